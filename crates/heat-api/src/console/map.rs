//! The schematic map of a network: its trenches, sources and stations, coloured by what is known of them. Supply and
//! return of a trench lie side by side, so they are drawn as one line with the state of the worse.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    fmt::Write as _,
};

use heat_model::{
    NetworkId, NodeId, PipeId, SiteId,
    plant::{Pipe, Side, Site, SiteKind},
};
use maud::{Markup, html};

use super::{Lang, format::percent};
use crate::state::PlantIndex;

/// Drawing units across.
const WIDTH: f64 = 1_000.0;
/// Most drawing units down.
const HEIGHT_MAX: f64 = 640.0;
const HEIGHT_MIN: f64 = 180.0;
const MARGIN: f64 = 34.0;
/// Nearer to a side edge than this, a label begins or ends at its place.
const LABEL_ROOM: f64 = 130.0;
/// How far below its place a label stands.
const LABEL_BELOW: f64 = 36.0;
/// More stations than this are drawn as dots without a link each: the page stays small.
const LINKED_SITES_MAX: usize = 250;
/// More trenches than this lose their thin ones.
const TRENCHES_MAX: usize = 4_000;
/// Candidates are drawn down to this part of the best one's share.
const FAR_LESS_LIKELY: f64 = 6.0;
/// Marked trenches with a line of their own.
const MARKED_MAX: usize = 60;

/// What a site is marked as; the later the more urgent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum SiteMark {
    /// It works.
    Well,
    /// Nothing current comes from it.
    Silent,
    /// In a maintenance window.
    Maintenance,
    /// Behind an incident's place.
    Affected,
    /// An incident's place itself.
    Incident,
}

/// What is known of a network's parts.
#[derive(Debug, Clone, Default)]
pub(crate) struct Marks {
    /// Probability that a pipe holds the leak.
    pub(crate) candidates: BTreeMap<PipeId, f64>,
    /// Pipes in a maintenance window.
    pub(crate) maintenance: BTreeSet<PipeId>,
    pub(crate) sites: BTreeMap<SiteId, SiteMark>,
}

impl Marks {
    /// Marks a site unless something more urgent is known of it.
    pub(crate) fn site(&mut self, site: &SiteId, mark: SiteMark) {
        let held = self.sites.entry(site.clone()).or_insert(mark);
        *held = (*held).max(mark);
    }

    pub(crate) fn of(&self, site: &SiteId) -> SiteMark {
        self.sites.get(site).copied().unwrap_or(SiteMark::Well)
    }
}

type Point = (f64, f64);

/// A trench with what lies in it.
#[derive(Debug)]
struct Trench<'a> {
    ends: (Point, Point),
    diameter_mm: f64,
    /// The likeliest candidate, its probability and side.
    candidate: Option<(&'a PipeId, f64, Option<Side>)>,
    in_maintenance: bool,
}

/// The map; nothing where the plant model has no pipes of this network.
pub(crate) fn map(lang: Lang, plant: &PlantIndex, network: &NetworkId, marks: &Marks) -> Option<Markup> {
    let pipes: Vec<&Pipe> = plant.pipes_of(network).collect();
    if pipes.is_empty() {
        return None;
    }
    let (places, height) = fit(&places(plant, &pipes));
    let trenches = trenches(&pipes, &places, marks);
    let sites: Vec<(&Site, Point)> = plant
        .sites_of(network)
        .filter(|site| {
            matches!(site.kind, Some(SiteKind::Source | SiteKind::Station))
                || marks.of(&site.id) > SiteMark::Well
        })
        .filter_map(|site| Some((site, *places.get(site.node.as_ref()?)?)))
        .collect();
    let name = plant.network_name(network);
    let label = lang.pick("示意图", "schematic map");
    Some(html! {
        svg.map viewBox={ "0 0 " (WIDTH) " " (height.round()) } role="group" aria-label={ (name) " " (label) } {
            @for (class, path) in plain(&trenches) { path class=(class) d=(path) fill="none" stroke="#7b8794" {} }
            @for trench in trenches.iter().filter(|trench| trench.in_maintenance).take(MARKED_MAX) {
                (line(trench, "maintenance", lang.pick("检修停用", "Out of service")))
            }
            (candidates(&trenches))
            (drawn_sites(lang, network, &sites, marks, height))
            (best_share(&trenches))
        }
    })
}

/// Trenches without a mark as one path for each width.
fn plain(trenches: &[Trench<'_>]) -> Vec<(&'static str, String)> {
    let thin_kept = trenches.len() <= TRENCHES_MAX;
    let mut paths =
        vec![("pipe thin", String::new()), ("pipe middle", String::new()), ("pipe thick", String::new())];
    let mut pens: [Option<(i64, i64)>; 3] = [None; 3];
    for trench in trenches {
        let width = match trench.diameter_mm {
            mm if mm >= 400.0 => 2,
            mm if mm >= 150.0 => 1,
            _ => 0,
        };
        if width == 0 && !thin_kept {
            continue;
        }
        let ((ax, ay), (bx, by)) = trench.ends;
        let (from, to) = (whole(ax, ay), whole(bx, by));
        // A line that goes on where the last one ended needs no new start: half the bytes.
        if pens[width] != Some(from) {
            write!(paths[width].1, "M{} {}", from.0, from.1).expect("writing to a string does not fail");
        }
        let drawn = match (from.0 == to.0, from.1 == to.1) {
            (_, true) => write!(paths[width].1, "H{}", to.0),
            (true, false) => write!(paths[width].1, "V{}", to.1),
            (false, false) => write!(paths[width].1, "L{} {}", to.0, to.1),
        };
        drawn.expect("writing to a string does not fail");
        pens[width] = Some(to);
    }
    paths.retain(|(_, path)| !path.is_empty());
    paths
}

/// A point in whole drawing units.
#[expect(clippy::cast_possible_truncation, reason = "places are fitted into the drawing")]
fn whole(x: f64, y: f64) -> (i64, i64) {
    (x.round() as i64, y.round() as i64)
}

fn line(trench: &Trench<'_>, class: &str, title: &str) -> Markup {
    let ((ax, ay), (bx, by)) = trench.ends;
    html! {
        line class=(class) x1=(fixed(ax)) y1=(fixed(ay)) x2=(fixed(bx)) y2=(fixed(by)) { title { (title) } }
    }
}

/// The likely trenches, the likeliest last, so that it lies on top, with its share beside it.
fn candidates(trenches: &[Trench<'_>]) -> Markup {
    let mut marked: Vec<_> =
        trenches.iter().filter_map(|trench| trench.candidate.map(|candidate| (trench, candidate))).collect();
    marked.sort_by(|(_, a), (_, b)| b.1.total_cmp(&a.1));
    marked.truncate(MARKED_MAX);
    // What is far less likely than the best is no place to look at, and would paint the whole network.
    let least = marked.first().map_or(0.0, |(_, (_, share, _))| share / FAR_LESS_LIKELY);
    marked.retain(|(_, (_, share, _))| *share >= least);
    html! {
        @for (trench, (pipe, share, side)) in marked.iter().rev() {
            @let class = match *share { share if share >= 0.3 => "likely high", share if share >= 0.1 => "likely middle", _ => "likely low" };
            @let dashed = if *side == Some(Side::Return) { " return" } else { "" };
            (line(trench, &format!("{class}{dashed}"), &format!("{pipe} {}", percent(*share))))
        }
    }
}

/// The likeliest trench's share, on top of all.
fn best_share(trenches: &[Trench<'_>]) -> Markup {
    let shares = trenches.iter().filter_map(|trench| Some((trench.ends, trench.candidate?.1)));
    let best = shares.max_by(|(_, a), (_, b)| a.total_cmp(b));
    html! {
        @if let Some((((ax, ay), (bx, by)), share)) = best {
            @let (x, y) = (f64::midpoint(ax, bx), f64::midpoint(ay, by));
            @let above = if y < 60.0 { y + 44.0 } else { y - 24.0 };
            circle.here cx=(fixed(x)) cy=(fixed(y)) r="17" {}
            text.share x=(fixed(x.clamp(50.0, WIDTH - 50.0))) y=(fixed(above)) text-anchor="middle" { (percent(share)) }
        }
    }
}

/// A word beside a place: under it, or above it near the lower edge, and always whole within the drawing.
fn label((x, y): Point, height: f64, text: &str) -> Markup {
    let (x, anchor) = match x {
        x if x < LABEL_ROOM => (x - 13.0, "start"),
        x if x > WIDTH - LABEL_ROOM => (x + 13.0, "end"),
        x => (x, "middle"),
    };
    let y = if y + LABEL_BELOW + 8.0 > height { y - 24.0 } else { y + LABEL_BELOW };
    html! { text.name x=(fixed(x)) y=(fixed(y)) text-anchor=(anchor) { (text) } }
}

fn drawn_sites(
    lang: Lang,
    network: &NetworkId,
    sites: &[(&Site, Point)],
    marks: &Marks,
    height: f64,
) -> Markup {
    let linked = sites.len() <= LINKED_SITES_MAX;
    let mut dots = String::new();
    for (site, (x, y)) in sites {
        if !linked && marks.of(&site.id) == SiteMark::Well && site.kind != Some(SiteKind::Source) {
            write!(dots, "M{x:.0} {y:.0}h0").expect("writing to a string does not fail");
        }
    }
    html! {
        @if !dots.is_empty() { path.dots d=(dots) {} }
        @for (site, at) in sites {
            @if linked || marks.of(&site.id) > SiteMark::Well || site.kind == Some(SiteKind::Source) {
                (drawn_site(lang, network, site, *at, marks.of(&site.id), height))
            }
        }
    }
}

/// Shape and colour both tell the state: a triangle is affected, a ring is silent.
fn drawn_site(
    lang: Lang,
    network: &NetworkId,
    site: &Site,
    (x, y): Point,
    mark: SiteMark,
    height: f64,
) -> Markup {
    let name = site.name.as_deref().unwrap_or(site.id.as_str());
    let (class, state) = match mark {
        SiteMark::Well => ("well", lang.pick("正常", "in order")),
        SiteMark::Silent => ("silent", lang.pick("数据中断", "silent")),
        SiteMark::Maintenance => ("paused", lang.pick("检修停用", "out of service")),
        SiteMark::Affected => ("affected", lang.pick("受影响", "affected")),
        SiteMark::Incident => ("struck", lang.pick("事件所在", "incident here")),
    };
    let is_source = site.kind == Some(SiteKind::Source);
    html! {
        a href=(site_path(network, &site.id)) {
            title { (name) " · " (state) }
            @if is_source {
                rect class={ "site source " (class) } x=(fixed(x - 13.0)) y=(fixed(y - 13.0)) width="26" height="26" rx="4" {}
                (label((x, y), height, name))
            } @else if mark >= SiteMark::Affected {
                path class={ "site " (class) } d=(format!("M{x:.0} {:.0}l12 21h-24z", y - 14.0)) {}
            } @else {
                circle class={ "site " (class) } cx=(fixed(x)) cy=(fixed(y)) r="8" {}
            }
        }
    }
}

/// Address of a site's page; ids hold no slash, all else is encoded.
pub(crate) fn site_path(network: &NetworkId, site: &SiteId) -> String {
    format!("/networks/{}/sites/{}", segment(network.as_str()), segment(site.as_str()))
}

/// Text as one segment of a path.
pub(crate) fn segment(text: &str) -> String {
    let mut path = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => {
                path.push(char::from(byte))
            }
            other => write!(path, "%{other:02X}").expect("writing to a string does not fail"),
        }
    }
    path
}

fn fixed(number: f64) -> String {
    format!("{number:.0}")
}

fn trenches<'a>(pipes: &[&'a Pipe], places: &BTreeMap<&'a NodeId, Point>, marks: &Marks) -> Vec<Trench<'a>> {
    let mut trenches: BTreeMap<(&NodeId, &NodeId), Trench<'a>> = BTreeMap::new();
    for pipe in pipes {
        let (Some(from), Some(to)) = (places.get(&pipe.from), places.get(&pipe.to)) else { continue };
        let key = if pipe.from <= pipe.to { (&pipe.from, &pipe.to) } else { (&pipe.to, &pipe.from) };
        let trench = trenches.entry(key).or_insert(Trench {
            ends: (*from, *to),
            diameter_mm: 0.0,
            candidate: None,
            in_maintenance: false,
        });
        trench.diameter_mm = trench.diameter_mm.max(pipe.inner_diameter_mm.unwrap_or(0.0));
        trench.in_maintenance |= marks.maintenance.contains(&pipe.id);
        if let Some(share) = marks.candidates.get(&pipe.id)
            && trench.candidate.is_none_or(|(_, held, _)| held < *share)
        {
            trench.candidate = Some((&pipe.id, *share, pipe.side));
        }
    }
    trenches.into_values().collect()
}

/// Where the nodes lie: by the plant model, or as a tree from the source where it does not say.
fn places<'a>(plant: &'a PlantIndex, pipes: &[&'a Pipe]) -> BTreeMap<&'a NodeId, Point> {
    let nodes: BTreeSet<&NodeId> = pipes.iter().flat_map(|pipe| [&pipe.from, &pipe.to]).collect();
    let surveyed: BTreeMap<&NodeId, Point> = nodes
        .iter()
        .filter_map(|id| {
            let row = plant.nodes.get(*id)?;
            Some((*id, (row.x_m?, -row.y_m?)))
        })
        .collect();
    if surveyed.len() * 10 >= nodes.len() * 9 { surveyed } else { tree(plant, pipes, &nodes) }
}

/// Depth across, leaves downwards; each node in the middle of its children.
fn tree<'a>(
    plant: &'a PlantIndex,
    pipes: &[&'a Pipe],
    nodes: &BTreeSet<&'a NodeId>,
) -> BTreeMap<&'a NodeId, Point> {
    let mut neighbours: BTreeMap<&NodeId, BTreeSet<&'a NodeId>> = BTreeMap::new();
    for pipe in pipes {
        neighbours.entry(&pipe.from).or_default().insert(&pipe.to);
        neighbours.entry(&pipe.to).or_default().insert(&pipe.from);
    }
    let sources = plant.sites.values().filter(|site| site.kind == Some(SiteKind::Source));
    let sources = sources.filter_map(|site| nodes.get(site.node.as_ref()?).copied());
    let mut order: Vec<(&'a NodeId, Option<&'a NodeId>, f64)> = Vec::new();
    let mut seen: BTreeSet<&NodeId> = BTreeSet::new();
    for root in sources.chain(nodes.iter().copied()) {
        if !seen.insert(root) {
            continue;
        }
        let mut queue = VecDeque::from([(root, None, 0.0)]);
        while let Some((node, parent, depth)) = queue.pop_front() {
            order.push((node, parent, depth));
            for next in neighbours.get(node).into_iter().flatten() {
                if seen.insert(next) {
                    queue.push_back((next, Some(node), depth + 1.0));
                }
            }
        }
    }
    rows(&order)
}

/// Rows from the leaves upwards: `order` has every parent before its children.
fn rows<'a>(order: &[(&'a NodeId, Option<&'a NodeId>, f64)]) -> BTreeMap<&'a NodeId, Point> {
    let mut children: BTreeMap<&'a NodeId, Vec<&'a NodeId>> = BTreeMap::new();
    for &(node, parent, _) in order {
        if let Some(parent) = parent {
            children.entry(parent).or_default().push(node);
        }
    }
    // Leaves in depth-first order, so that branches do not cross.
    let mut leaf_rows: BTreeMap<&'a NodeId, f64> = BTreeMap::new();
    let mut next_row = 0.0;
    for &(root, _, _) in order.iter().filter(|(_, parent, _)| parent.is_none()) {
        let mut stack = vec![root];
        while let Some(node) = stack.pop() {
            match children.get(node) {
                Some(below) => stack.extend(below.iter().rev()),
                None => {
                    leaf_rows.insert(node, next_row);
                    next_row += 1.0;
                }
            }
        }
    }
    let mut places: BTreeMap<&'a NodeId, Point> = BTreeMap::new();
    for &(node, _, depth) in order.iter().rev() {
        let below: Vec<f64> =
            children.get(node).into_iter().flatten().filter_map(|child| Some(places.get(child)?.1)).collect();
        let row = match (below.first(), below.last()) {
            (Some(first), Some(last)) => f64::midpoint(*first, *last),
            _ => leaf_rows.get(node).copied().unwrap_or(0.0),
        };
        places.insert(node, (depth, row));
    }
    places
}

/// Scales places into the drawing; gives the drawing's height.
fn fit<'a>(places: &BTreeMap<&'a NodeId, Point>) -> (BTreeMap<&'a NodeId, Point>, f64) {
    let bounds = |pick: fn(&Point) -> f64| {
        let values = places.values().map(pick);
        let (low, high) = values.fold((f64::MAX, f64::MIN), |(low, high), v| (low.min(v), high.max(v)));
        (low, (high - low).max(1e-9))
    };
    let ((left, across), (top, down)) = (bounds(|place| place.0), bounds(|place| place.1));
    let room = (WIDTH - 2.0 * MARGIN, HEIGHT_MAX - 2.0 * MARGIN);
    let scale = (room.0 / across).min(room.1 / down);
    // A schematic may stretch: a long thin network still fills the width.
    let (scale_x, scale_y) = (room.0 / across, scale.max(f64::min(room.1, HEIGHT_MIN) / down));
    let height = down * scale_y + 2.0 * MARGIN;
    let place = |(x, y): Point| (MARGIN + (x - left) * scale_x, MARGIN + (y - top) * scale_y);
    (places.iter().map(|(id, at)| (*id, place(*at))).collect(), height)
}

#[cfg(test)]
mod tests;
