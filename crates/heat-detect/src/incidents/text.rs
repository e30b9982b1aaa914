//! Texts for the duty desk: what happened, where, how sure, what to do first. Chinese and English, in the units that
//! operators read.

mod chinese;
mod deviations;
mod english;
mod lacking;
mod place;
#[cfg(test)]
mod tests;

use heat_model::incident::{Evidence, Incident};

use super::{CONDENSATE, FURTHER_LOSS, GROWN_FROM, METER_AT_FAULT, SHARE_OF_CIRCULATION, STEAM};
use crate::{network::arrival::FOUND_LATE, pressure::frost::HOURS_LEFT};

/// Pieces of evidence told.
const TOLD_MAX: usize = 4;
/// A competing cause less probable than this is not told.
pub(crate) const TOLD_PROBABILITY: f64 = 0.01;

/// Writes both texts from the incident's state.
pub(crate) fn fill(incident: &mut Incident) {
    incident.text_zh = chinese::text(incident);
    incident.text_en = english::text(incident);
}

/// Probability that the make-up meter is wrong instead, where that is worth a word.
fn meter_at_fault(incident: &Incident) -> Option<f64> {
    let fault = incident.evidence.iter().find(|evidence| evidence.what == METER_AT_FAULT)?;
    (fault.value >= TOLD_PROBABILITY).then_some(fault.value)
}

/// Steam or condensate lost, t/h; water is told by volume.
fn steam_lost_t_h(incident: &Incident) -> Option<f64> {
    let is_steam = incident.kind.as_deref().is_some_and(|kind| [STEAM, CONDENSATE].contains(&kind));
    incident.loss_kg_s.filter(|_| is_steam).map(|loss| loss * 3.6)
}

/// A small share.
fn fine_percent(share: f64) -> String {
    format!("{:.2} %", 100.0 * share)
}

fn percent(probability: f64) -> String {
    format!("{:.0} %", 100.0 * probability)
}

/// A difference in the unit that operators read.
fn shown(value: f64, unit: &str) -> (f64, &str) {
    match unit {
        "Pa" => (value / 1e6, "MPa"),
        "kg/s" => (value * 3.6, "t/h"),
        "m3/s" => (value * 3_600.0, "m³/h"),
        "degC" => (value, "K"),
        "W" => (value / 1e6, "MW"),
        // A counter of heat is judged by its rate.
        "J" => (value / 1e6, "MW"),
        "m3" => (value * 3_600.0, "m³/h"),
        other => (value, other),
    }
}

fn evidence_line(incident: &Incident, zh: bool) -> String {
    let mut parts: Vec<String> = Vec::new();
    let told = |evidence: &&Evidence| ![FOUND_LATE, METER_AT_FAULT].contains(&evidence.what.as_str());
    for evidence in incident.evidence.iter().filter(told).take(TOLD_MAX) {
        let plain = evidence.what.replace('_', " ");
        let (what, figure) = match (evidence.what.as_str(), evidence.unit.as_str()) {
            ("pressure_drop", _) => {
                (if zh { "压力下降" } else { "pressure down" }, format!("{:.3} MPa", evidence.value / 1e6))
            }
            ("make_up_surge", _) => {
                (if zh { "补水突增" } else { "make-up up" }, format!("{:.1} t/h", evidence.value * 3.6))
            }
            ("flow_step", _) => (
                if zh { "供回水流量差突增" } else { "supply-return difference up" },
                format!("{:.1} t/h", evidence.value * 3.6),
            ),
            ("make_up_excess", _) => (
                if zh { "补水量高于基线" } else { "make-up above baseline" },
                format!("{:.2} t/h", evidence.value * 3.6),
            ),
            (FURTHER_LOSS, _) => (
                if zh { "漏失再次突增" } else { "lost on top at once" },
                format!("{:.2} t/h", evidence.value * 3.6),
            ),
            (GROWN_FROM, _) => (
                if zh { "上次报警时漏失" } else { "lost when last called" },
                format!("{:.2} t/h", evidence.value * 3.6),
            ),
            ("make_up_at_its_limit", _) => (
                if zh {
                    "补水已达上限，失水不少于"
                } else {
                    "make-up at its limit, loss at least"
                },
                format!("{:.2} t/h", evidence.value * 3.6),
            ),
            ("unmetered_filling", _) => (
                if zh { "未计量补水" } else { "unmetered filling" },
                format!("{:.2} t/h", evidence.value * 3.6),
            ),
            ("night_flow_excess", _) => (
                if zh { "夜间最小流量高于基线" } else { "night flow above baseline" },
                format!("{:.2} t/h", evidence.value * 3.6),
            ),
            ("tank_uptake", _) => (
                if zh { "夜间进入水箱" } else { "taken up by tanks at night" },
                format!("{:.2} t/h", evidence.value * 3.6),
            ),
            ("tank_area", _) => (
                if zh { "水箱面积（学习所得）" } else { "tank's area, learned" },
                format!("{:.0} m²", evidence.value),
            ),
            ("secondary_make_up_excess", _) => (
                if zh { "二次侧补水高于基线" } else { "secondary make-up above baseline" },
                format!("{:.2} t/h", evidence.value * 3.6),
            ),
            ("steam_unaccounted", _) => (
                if zh {
                    "蒸汽供出与计量之差高于常态"
                } else {
                    "steam unaccounted for above its usual"
                },
                format!("{:.2} t/h", evidence.value * 3.6),
            ),
            ("condensate_missing", _) => (
                if zh { "未回收凝结水高于常态" } else { "condensate missing above its usual" },
                format!("{:.2} t/h", evidence.value * 3.6),
            ),
            ("condensate_return", _) => {
                (if zh { "凝结水回收率" } else { "condensate returned" }, percent(evidence.value))
            }
            ("condensate_return_usual", _) => {
                (if zh { "平时回收率" } else { "usually returned" }, percent(evidence.value))
            }
            ("loss_found", _) => (
                if zh { "现场实测漏量" } else { "loss found on site" },
                format!("{:.2} t/h", evidence.value * 3.6),
            ),
            ("head_lost", _) => {
                (if zh { "供回水压差损失" } else { "head lost" }, format!("{:.3} MPa", evidence.value / 1e6))
            }
            ("flow_lost", _) => {
                (if zh { "循环流量减少" } else { "flow down" }, format!("{:.1} t/h", evidence.value * 3.6))
            }
            ("pump_stands", _) => (if zh { "循环泵停" } else { "pump stands" }, String::new()),
            ("power_lost", _) => (if zh { "失电" } else { "no power" }, String::new()),
            ("above_saturation", _) => (
                if zh { "高于汽化压力" } else { "above saturation" },
                format!("{:.3} MPa", evidence.value / 1e6),
            ),
            ("gauge_at_top", _) => (
                if zh { "最高点表压" } else { "gauge pressure at the highest point" },
                format!("{:.3} MPa", evidence.value / 1e6),
            ),
            ("gauge_at_bottom", _) => (
                if zh { "最低点表压" } else { "gauge pressure at the lowest point" },
                format!("{:.3} MPa", evidence.value / 1e6),
            ),
            ("outdoor", _) => (if zh { "室外" } else { "outdoors" }, format!("{:.1} ℃", evidence.value)),
            ("circulation_stands", _) => (
                if zh { "循环停止，水温" } else { "circulation stands, water at" },
                format!("{:.1} ℃", evidence.value),
            ),
            ("return_cold", _) => {
                (if zh { "回水温度" } else { "return at" }, format!("{:.1} ℃", evidence.value))
            }
            (HOURS_LEFT, _) => {
                (if zh { "降到 5 ℃ 约剩" } else { "until 5 ℃ about" }, format!("{:.1} h", evidence.value))
            }
            ("tickets", _) => (if zh { "投诉工单" } else { "complaints" }, format!("{:.0}", evidence.value)),
            ("tickets_usual", _) => {
                (if zh { "常态工单" } else { "complaints usually" }, format!("{:.1}", evidence.value))
            }
            ("off_its_usual", unit) => {
                let (value, unit) = shown(evidence.value, unit);
                (
                    if zh {
                        "偏离与其他测点的常态关系"
                    } else {
                        "off what the others say of it by"
                    },
                    { format!("{value:+.3} {unit}").trim_end().to_owned() },
                )
            }
            ("share_of_inflow", _) => {
                (if zh { "占平均进水量" } else { "share of the mean inflow" }, fine_percent(evidence.value))
            }
            (SHARE_OF_CIRCULATION, _) => {
                (if zh { "占循环量" } else { "share of circulation" }, fine_percent(evidence.value))
            }
            (other, unit) => match deviations::words(other) {
                Some((chinese, english)) => {
                    let figure = deviations::figure(other, evidence.value, unit);
                    (if zh { chinese } else { english }, figure)
                }
                None => (plain.as_str(), format!("{:.3} {unit}", evidence.value)),
            },
        };
        parts.push(format!("{} {what} {figure}", evidence.place).trim().to_owned());
    }
    parts.join(if zh { "；" } else { "; " })
}

/// By how many minutes the data that showed it were late.
fn minutes_late(incident: &Incident) -> Option<f64> {
    let late = incident.evidence.iter().find(|evidence| evidence.what == FOUND_LATE)?;
    Some((late.value / 60.0).ceil())
}
