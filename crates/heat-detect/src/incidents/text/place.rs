//! Where it is, as far as is known: a pipe only where the evidence names one.

use heat_model::{
    incident::{Candidate, Incident},
    plant::Side,
};

use super::{super::fusion::is_loss, percent};

/// Candidates told after the first.
const OTHERS: usize = 3;
/// Stations told of a branch.
const STATIONS: usize = 5;

/// Whether it is a loss whose place nothing tells yet: any pipes listed are ranked by length and age alone.
pub(super) fn is_unknown(incident: &Incident) -> bool {
    is_loss(incident.class) && incident.place.is_none() && incident.branch.is_empty()
}

fn side(incident: &Incident, zh: bool) -> &'static str {
    match (incident.side, zh) {
        (Some(Side::Supply), true) => "（供水侧）",
        (Some(Side::Return), true) => "（回水侧）",
        (Some(Side::Supply), false) => " (supply)",
        (Some(Side::Return), false) => " (return)",
        (None, _) => "",
    }
}

fn others(candidates: &[Candidate], zh: bool) -> String {
    let pipes: Vec<&str> = candidates.iter().take(OTHERS).map(|candidate| candidate.pipe.as_str()).collect();
    match (pipes.is_empty(), zh) {
        (true, _) => String::new(),
        (false, true) => format!("；其次 {}", pipes.join("、")),
        (false, false) => format!("; then {}", pipes.join(", ")),
    }
}

/// The clause that says where.
pub(super) fn clause(incident: &Incident, zh: bool) -> String {
    let side = side(incident, zh);
    let stations: Vec<&str> = incident.branch.iter().take(STATIONS).map(heat_model::SiteId::as_str).collect();
    let branch = match (stations.is_empty(), zh) {
        (true, _) => String::new(),
        (false, true) => format!("，位于 {} 一侧的支线", stations.join("、")),
        (false, false) => format!(", on the branch of {}", stations.join(", ")),
    };
    let Some((best, rest)) = incident.candidates.split_first() else {
        return match (&incident.place, zh) {
            (Some(place), true) => format!("，位置 {place}{side}"),
            (Some(place), false) => format!(" at {place}{side}"),
            (None, _) if !branch.is_empty() => branch,
            (None, true) => format!("，位置暂不能确定{side}"),
            (None, false) => format!(", place not yet known{side}"),
        };
    };
    let (pipe, share, others) = (&best.pipe, percent(best.probability), others(rest, zh));
    match (incident.place.is_some(), branch.is_empty(), zh) {
        (true, _, true) => format!("，疑似管段 {pipe}{side}，概率 {share}{others}"),
        (true, _, false) => format!(", probably pipe {pipe}{side}, {share}{others}"),
        (false, false, true) => format!("{branch}{side}，管段未定，先 {pipe}，概率 {share}{others}"),
        (false, false, false) => format!("{branch}{side}, pipe not yet known, first {pipe}, {share}{others}"),
        (false, true, true) => {
            format!("，位置暂不能确定{side}；仅按管长和管龄排序：先 {pipe}，概率 {share}{others}")
        }
        (false, true, false) => {
            format!(", place not yet known{side}; by length and age alone first {pipe}, {share}{others}")
        }
    }
}
