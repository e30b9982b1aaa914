//! Where a network's parts lie in the drawing, worked out once for each plant model; and the plain lines and dots in few
//! bytes.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    fmt::Write as _,
};

use heat_model::{
    NetworkId, NodeId, PipeId,
    plant::{Pipe, SiteKind},
};

use crate::state::PlantIndex;

/// Drawing units across.
pub(super) const WIDTH: f64 = 1_000.0;
/// Most drawing units down.
const HEIGHT_MAX: f64 = 640.0;
const HEIGHT_MIN: f64 = 180.0;
const MARGIN: f64 = 34.0;
/// Grids in drawing units, the finest first, on which lines and dots that fall together are drawn once.
const GRIDS: [f64; 5] = [1.0, 2.0, 4.0, 8.0, 16.0];

pub(super) type Point = (f64, f64);

/// A trench: supply and return side by side.
#[derive(Debug)]
pub(super) struct Trench {
    pub(super) ends: (Point, Point),
    diameter_mm: f64,
}

/// A network's drawing without what is known of its parts.
#[derive(Debug)]
pub(crate) struct Layout {
    pub(super) height: f64,
    pub(super) places: BTreeMap<NodeId, Point>,
    pub(super) trenches: Vec<Trench>,
    /// In which trench a pipe lies.
    pub(super) trench_of: BTreeMap<PipeId, usize>,
}

impl Layout {
    /// Nothing where the plant model has no pipes of this network.
    pub(crate) fn new(plant: &PlantIndex, network: &NetworkId) -> Option<Self> {
        let pipes: Vec<&Pipe> = plant.pipes_of(network).collect();
        if pipes.is_empty() {
            return None;
        }
        let (places, height) = fit(&places(plant, &pipes));
        let mut by_ends: BTreeMap<(&NodeId, &NodeId), usize> = BTreeMap::new();
        let (mut trenches, mut trench_of): (Vec<Trench>, _) = (Vec::new(), BTreeMap::new());
        for pipe in &pipes {
            let (Some(from), Some(to)) = (places.get(&pipe.from), places.get(&pipe.to)) else { continue };
            let key = if pipe.from <= pipe.to { (&pipe.from, &pipe.to) } else { (&pipe.to, &pipe.from) };
            let index = *by_ends.entry(key).or_insert(trenches.len());
            if index == trenches.len() {
                trenches.push(Trench { ends: (*from, *to), diameter_mm: 0.0 });
            }
            let trench = &mut trenches[index];
            trench.diameter_mm = trench.diameter_mm.max(pipe.inner_diameter_mm.unwrap_or(0.0));
            trench_of.insert(pipe.id.clone(), index);
        }
        let places = places.into_iter().map(|(id, at)| (id.clone(), at)).collect();
        Some(Self { height, places, trenches, trench_of })
    }

    /// All trenches as one path for each width, of at most so many lines: on a coarser grid where they are more, and of
    /// the widest where even that does not do.
    pub(super) fn lines(&self, max: usize) -> Vec<(&'static str, String)> {
        let mut lines = Vec::new();
        for grid in GRIDS {
            lines = self.on_grid(grid);
            if lines.len() <= max {
                break;
            }
        }
        lines.sort_by_key(|(width, _)| std::cmp::Reverse(*width));
        lines.truncate(max);
        let mut paths = Vec::new();
        for (width, class) in [(0, "pipe thin"), (1, "pipe middle"), (2, "pipe thick")] {
            let mut pen = Pen::default();
            for (_, (from, to)) in lines.iter().filter(|(of, _)| *of == width) {
                pen.line(*from, *to);
            }
            if !pen.path.is_empty() {
                paths.push((class, pen.path));
            }
        }
        paths
    }

    /// Lines that are longer than nothing on a grid, each once, with its width class; in order of their places.
    fn on_grid(&self, grid: f64) -> Vec<(usize, (Whole, Whole))> {
        let mut widths: BTreeMap<(Whole, Whole), usize> = BTreeMap::new();
        for trench in &self.trenches {
            let (a, b) = (snapped(trench.ends.0, grid), snapped(trench.ends.1, grid));
            if a == b {
                continue;
            }
            let width = match trench.diameter_mm {
                mm if mm >= 400.0 => 2,
                mm if mm >= 150.0 => 1,
                _ => 0,
            };
            let held = widths.entry((a.min(b), a.max(b))).or_insert(width);
            *held = (*held).max(width);
        }
        widths.into_iter().map(|(line, width)| (width, line)).collect()
    }
}

type Whole = (i64, i64);

/// A point on a grid, in whole drawing units.
#[expect(clippy::cast_possible_truncation, reason = "places are fitted into the drawing")]
fn snapped((x, y): Point, grid: f64) -> Whole {
    (((x / grid).round() * grid) as i64, ((y / grid).round() * grid) as i64)
}

/// Places as one path of dots, of at most so many: those that fall together on a coarser grid are one.
pub(super) fn dots(places: &[Point], max: usize) -> String {
    let mut kept = BTreeSet::new();
    for grid in GRIDS {
        kept = places.iter().map(|place| snapped(*place, grid)).collect();
        if kept.len() <= max {
            break;
        }
    }
    let mut pen = Pen::default();
    for at in kept.into_iter().take(max) {
        pen.dot(at);
    }
    pen.path
}

/// Writes a path by steps from where it stands: a step has fewer digits than a place.
#[derive(Debug, Default)]
struct Pen {
    path: String,
    at: Whole,
}

impl Pen {
    fn go(&mut self, to: Whole) -> Whole {
        let step = (to.0 - self.at.0, to.1 - self.at.1);
        self.at = to;
        step
    }

    fn move_to(&mut self, to: Whole) {
        // The first step of a path is from its origin.
        if self.path.is_empty() || self.at != to {
            let (x, y) = self.go(to);
            self.write('m', &[x, y]);
        }
    }

    fn line(&mut self, from: Whole, to: Whole) {
        // Either end may be the first.
        let (from, to) = if self.at == to && !self.path.is_empty() { (to, from) } else { (from, to) };
        self.move_to(from);
        match self.go(to) {
            (x, 0) => self.write('h', &[x]),
            (0, y) => self.write('v', &[y]),
            (x, y) => self.write('l', &[x, y]),
        }
    }

    fn dot(&mut self, at: Whole) {
        let (x, y) = self.go(at);
        self.write('m', &[x, y]);
        self.path.push_str("h0");
    }

    fn write(&mut self, command: char, numbers: &[i64]) {
        self.path.push(command);
        for (index, number) in numbers.iter().enumerate() {
            // A minus sign parts numbers as well as a space does.
            let gap = if index > 0 && *number >= 0 { " " } else { "" };
            write!(self.path, "{gap}{number}").expect("writing to a string does not fail");
        }
    }
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
