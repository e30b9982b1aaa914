//! The network's map as far as coordinates exist, with the pipes that were suspected and the true one.

use std::collections::{BTreeMap, BTreeSet};

use heat_model::{
    NetworkId,
    plant::{PlantModel, SiteKind},
};

use super::escaped;
use crate::report::CandidateReport;

const WIDTH: f64 = 400.0;
const HEIGHT_MAX: f64 = 330.0;
const MARGIN: f64 = 14.0;
/// Pipes drawn; of a larger network the first of its table, and what was suspected.
const PIPES_MAX: usize = 4_000;

/// What is drawn.
pub(super) struct Drawn<'a> {
    pub(super) plant: &'a PlantModel,
    pub(super) network: &'a NetworkId,
    pub(super) candidates: &'a [CandidateReport],
    pub(super) truth: Option<&'a str>,
}

/// The map as SVG; `None` where fewer than two nodes have coordinates.
pub(super) fn draw(drawn: &Drawn<'_>) -> Option<String> {
    let plant = drawn.plant;
    let circuits: Vec<_> = plant
        .circuits
        .iter()
        .filter(|circuit| circuit.network == *drawn.network)
        .map(|circuit| &circuit.id)
        .collect();
    let suspected = |pipe: &str| {
        drawn.truth == Some(pipe) || drawn.candidates.iter().any(|candidate| candidate.pipe == pipe)
    };
    let pipes: Vec<_> = plant
        .pipes
        .iter()
        .filter(|pipe| circuits.contains(&&pipe.circuit))
        .enumerate()
        .filter(|(at, pipe)| *at < PIPES_MAX || suspected(pipe.id.as_str()))
        .map(|(_, pipe)| pipe)
        .collect();
    let joined: BTreeSet<&str> =
        pipes.iter().flat_map(|pipe| [pipe.from.as_str(), pipe.to.as_str()]).collect();
    let mut places: BTreeMap<&str, (f64, f64)> = BTreeMap::new();
    for node in plant.nodes.iter().filter(|node| node.network.as_ref().is_none_or(|of| of == drawn.network)) {
        if let (Some(x), Some(y)) = (node.x_m, node.y_m)
            && joined.contains(node.id.as_str())
        {
            places.insert(node.id.as_str(), (x, y));
        }
    }
    if places.len() < 2 {
        return None;
    }
    let bounds = places.values().fold(
        (f64::INFINITY, f64::NEG_INFINITY, f64::INFINITY, f64::NEG_INFINITY),
        |(left, right, low, high), (x, y)| (left.min(*x), right.max(*x), low.min(*y), high.max(*y)),
    );
    let (left, right, low, high) = bounds;
    let scale = ((WIDTH - 2.0 * MARGIN) / (right - left).max(1.0))
        .min((HEIGHT_MAX - 2.0 * MARGIN) / (high - low).max(1.0));
    let height = (high - low) * scale + 2.0 * MARGIN;
    let at = |node: &str| {
        places.get(node).map(|(x, y)| (MARGIN + (x - left) * scale, MARGIN + (high - y) * scale))
    };
    let mut map = format!("<svg viewBox=\"0 0 {WIDTH:.0} {height:.0}\" role=\"img\">");
    let line = |map: &mut String, class: &str, more: &str, pipe: &heat_model::plant::Pipe, title: &str| {
        if let (Some((x1, y1)), Some((x2, y2))) = (at(pipe.from.as_str()), at(pipe.to.as_str())) {
            map.push_str(&format!(
                "<path class=\"{class}\"{more} d=\"M{x1:.1} {y1:.1}L{x2:.1} {y2:.1}\"><title>{}</title></path>",
                escaped(title)
            ));
        }
    };
    for pipe in pipes.iter().filter(|pipe| drawn.truth == Some(pipe.id.as_str())) {
        line(&mut map, "truth", "", pipe, pipe.id.as_str());
    }
    for pipe in &pipes {
        line(&mut map, "pipe", "", pipe, pipe.id.as_str());
    }
    for candidate in drawn.candidates.iter().rev() {
        let Some(pipe) = pipes.iter().find(|pipe| pipe.id.as_str() == candidate.pipe) else { continue };
        let share = candidate.probability.clamp(0.0, 1.0).sqrt();
        let more = format!(
            " stroke-width=\"{:.1}\" stroke-opacity=\"{:.2}\"",
            1.6 + 5.0 * share,
            0.25 + 0.75 * share
        );
        let title = format!("{} {:.1} %", candidate.pipe, 100.0 * candidate.probability);
        line(&mut map, "candidate", &more, pipe, &title);
    }
    for site in plant.sites.iter().filter(|site| site.network.as_ref().is_none_or(|of| of == drawn.network)) {
        let Some((x, y)) = site.node.as_ref().and_then(|node| at(node.as_str())) else { continue };
        let (class, radius) = match site.kind {
            Some(SiteKind::Source) => ("source", 5.0),
            Some(SiteKind::Station) => ("station", 1.8),
            Some(SiteKind::Chamber | SiteKind::Building | SiteKind::Household) | None => continue,
        };
        map.push_str(&format!(
            "<circle class=\"{class}\" cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"{radius}\"><title>{}</title></circle>",
            escaped(site.id.as_str())
        ));
    }
    map.push_str("</svg>\n");
    Some(map)
}
