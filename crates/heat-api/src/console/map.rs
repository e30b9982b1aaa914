//! The schematic map of a network: its trenches, sources and stations, coloured by what is known of them. Supply and
//! return of a trench lie side by side, so they are drawn as one line with the state of the worse.

use std::{
    borrow::Cow,
    collections::{BTreeMap, BTreeSet},
    fmt::Write as _,
};

use heat_model::{
    NetworkId, PipeId, SiteId,
    plant::{Side, Site, SiteKind},
};
use maud::{Markup, html};

use self::layout::{Layout, Point, WIDTH, dots};
use super::{Lang, format::percent};
use crate::state::PlantIndex;

pub(crate) mod layout;

/// Nearer to a side edge than this, a label begins or ends at its place.
const LABEL_ROOM: f64 = 130.0;
/// How far below its place a label stands.
const LABEL_BELOW: f64 = 36.0;
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

/// How much of a network is drawn, so that a page stays below 100 KB.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Detail {
    /// Most lines.
    pub(crate) lines: usize,
    /// Sites with a shape and a link of their own; of more, only the most urgent have one.
    pub(crate) links: usize,
    /// Most dots for the others, of each colour.
    pub(crate) dots: usize,
}

impl Detail {
    /// For a page with one map.
    pub(crate) const PAGE: Self = Self { lines: 1_500, links: 100, dots: 1_000 };

    /// For each of several maps on one page: a small one takes what it needs, the large ones share the rest. `sizes` are
    /// lines and sites.
    pub(crate) fn shared(sizes: &[(usize, usize)]) -> Vec<Self> {
        let lines = shares(&sizes.iter().map(|size| size.0).collect::<Vec<_>>(), 1_500);
        let sites: Vec<usize> = sizes.iter().map(|size| size.1).collect();
        let (links, dots) = (shares(&sites, 160), shares(&sites, 1_500));
        let each = lines.into_iter().zip(links).zip(dots);
        each.map(|((lines, links), dots)| Self { lines, links, dots }).collect()
    }
}

/// Parts of a total: no more than each needs, and what the small ones leave goes to the large ones.
fn shares(needs: &[usize], total: usize) -> Vec<usize> {
    let mut order: Vec<usize> = (0..needs.len()).collect();
    order.sort_by_key(|index| needs[*index]);
    let (mut left, mut parts) = (total, vec![0; needs.len()]);
    for (done, index) in order.into_iter().enumerate() {
        parts[index] = needs[index].min(left / (needs.len() - done));
        left -= parts[index];
    }
    parts
}

/// A trench that is marked.
#[derive(Debug)]
struct Marked<'a> {
    ends: (Point, Point),
    /// The likeliest candidate, its probability and side.
    candidate: Option<(&'a PipeId, f64, Option<Side>)>,
    in_maintenance: bool,
}

/// Lines and sites that a map of this network would have.
pub(crate) fn size(plant: &PlantIndex, network: &NetworkId) -> (usize, usize) {
    let lines = plant.layout(network).map_or(0, |layout| layout.trenches.len());
    (lines, plant.sites_of(network).filter(|site| is_drawn(site)).count())
}

fn is_drawn(site: &Site) -> bool {
    matches!(site.kind, Some(SiteKind::Source | SiteKind::Station))
}

/// The map; nothing where the plant model has no pipes of this network.
pub(crate) fn map(
    lang: Lang,
    plant: &PlantIndex,
    network: &NetworkId,
    marks: &Marks,
    detail: Detail,
) -> Option<Markup> {
    let layout = plant.layout(network)?;
    let trenches = marked(plant, &layout, marks);
    let sites: Vec<(&Site, Point)> = plant
        .sites_of(network)
        .filter(|site| is_drawn(site) || marks.of(&site.id) > SiteMark::Well)
        .filter_map(|site| Some((site, *layout.places.get(site.node.as_ref()?)?)))
        .collect();
    let name = plant.network_name(network);
    let label = lang.pick("示意图", "schematic map");
    Some(html! {
        svg.map viewBox={ "0 0 " (WIDTH) " " (layout.height.round()) } role="group" aria-label={ (name) " " (label) } {
            @for (class, path) in layout.lines(detail.lines) { path class=(class) d=(path) fill="none" stroke="#7b8794" {} }
            @for trench in trenches.iter().filter(|trench| trench.in_maintenance).take(MARKED_MAX) {
                (line(trench, "maintenance", lang.pick("检修停用", "Out of service")))
            }
            (candidates(&trenches))
            (drawn_sites(lang, network, &sites, marks, layout.height, detail))
            (best_share(&trenches))
        }
    })
}

/// The trenches of which something is known.
fn marked<'a>(plant: &PlantIndex, layout: &Layout, marks: &'a Marks) -> Vec<Marked<'a>> {
    let mut found: BTreeMap<usize, Marked<'a>> = BTreeMap::new();
    let candidates = marks.candidates.iter().map(|(pipe, share)| (pipe, Some(*share)));
    for (pipe, share) in candidates.chain(marks.maintenance.iter().map(|pipe| (pipe, None))) {
        let Some(index) = layout.trench_of.get(pipe) else { continue };
        let ends = layout.trenches[*index].ends;
        let held = found.entry(*index).or_insert(Marked { ends, candidate: None, in_maintenance: false });
        match share {
            None => held.in_maintenance = true,
            Some(share) if held.candidate.is_none_or(|(_, best, _)| best < share) => {
                held.candidate = Some((pipe, share, plant.pipes.get(pipe).and_then(|row| row.side)));
            }
            Some(_) => {}
        }
    }
    found.into_values().collect()
}

fn line(trench: &Marked<'_>, class: &str, title: &str) -> Markup {
    let ((ax, ay), (bx, by)) = trench.ends;
    html! {
        line class=(class) x1=(fixed(ax)) y1=(fixed(ay)) x2=(fixed(bx)) y2=(fixed(by)) { title { (title) } }
    }
}

/// The likely trenches, the likeliest last, so that it lies on top, with its share beside it.
fn candidates(trenches: &[Marked<'_>]) -> Markup {
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
fn best_share(trenches: &[Marked<'_>]) -> Markup {
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

/// Widest name on a drawing, a Chinese character counting two; the site's page has it whole.
const LABEL_WIDTH_MAX: usize = 28;

/// A name that leaves room for the drawing.
fn shortened(text: &str) -> Cow<'_, str> {
    let width = |c: char| if c.is_ascii() { 1 } else { 2 };
    if text.chars().map(width).sum::<usize>() <= LABEL_WIDTH_MAX {
        return text.into();
    }
    let mut room = LABEL_WIDTH_MAX - 2;
    let fits = |c: &char| {
        let taken = room.checked_sub(width(*c));
        room = taken.unwrap_or(0);
        taken.is_some()
    };
    let short: String = text.chars().take_while(fits).collect();
    format!("{}…", short.trim_end()).into()
}

/// A word beside a place: under it, or above it near the lower edge, and always whole within the drawing.
fn label((x, y): Point, height: f64, text: &str) -> Markup {
    let (x, anchor) = match x {
        x if x < LABEL_ROOM => (x - 13.0, "start"),
        x if x > WIDTH - LABEL_ROOM => (x + 13.0, "end"),
        x => (x, "middle"),
    };
    let y = if y + LABEL_BELOW + 8.0 > height { y - 24.0 } else { y + LABEL_BELOW };
    html! { text.name x=(fixed(x)) y=(fixed(y)) text-anchor=(anchor) { (shortened(text)) } }
}

/// The most urgent with a shape and a link each; the others as dots of their colour.
fn drawn_sites(
    lang: Lang,
    network: &NetworkId,
    sites: &[(&Site, Point)],
    marks: &Marks,
    height: f64,
    detail: Detail,
) -> Markup {
    let rank = |site: &Site| (site.kind == Some(SiteKind::Source), marks.of(&site.id));
    let mut order: Vec<&(&Site, Point)> = sites.iter().collect();
    if sites.len() > detail.links {
        order.retain(|(site, _)| rank(site) > (false, SiteMark::Well));
        order.sort_by_key(|(site, _)| std::cmp::Reverse(rank(site)));
        order.truncate(detail.links);
    }
    let linked: BTreeSet<&SiteId> = order.iter().map(|(site, _)| &site.id).collect();
    let mut others: BTreeMap<SiteMark, Vec<Point>> = BTreeMap::new();
    for (site, at) in sites.iter().filter(|(site, _)| !linked.contains(&site.id)) {
        others.entry(marks.of(&site.id)).or_default().push(*at);
    }
    html! {
        @for (mark, places) in &others { path class={ "dots " (class(*mark)) } d=(dots(places, detail.dots)) {} }
        // The most urgent last, so that it lies on top.
        @for (site, at) in order.iter().rev() {
            (drawn_site(lang, network, site, *at, marks.of(&site.id), height))
        }
    }
}

const fn class(mark: SiteMark) -> &'static str {
    match mark {
        SiteMark::Well => "well",
        SiteMark::Silent => "silent",
        SiteMark::Maintenance => "paused",
        SiteMark::Affected => "affected",
        SiteMark::Incident => "struck",
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
    let class = class(mark);
    let state = match mark {
        SiteMark::Well => lang.pick("正常", "in order"),
        SiteMark::Silent => lang.pick("数据中断", "silent"),
        SiteMark::Maintenance => lang.pick("检修停用", "out of service"),
        SiteMark::Affected => lang.pick("受影响", "affected"),
        SiteMark::Incident => lang.pick("事件所在", "incident here"),
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

#[cfg(test)]
mod tests;
