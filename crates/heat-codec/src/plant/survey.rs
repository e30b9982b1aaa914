//! What sound tables leave unsaid: warnings, and the level of description of each network.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
};

use heat_model::{
    CircuitId, NetworkId, NodeId, PipeId,
    plant::{CircuitKind, ModelLevel, Pipe, SiteKind},
};

use super::{
    Faults,
    rows::{Placed, Rows},
};

/// How much the tables say of one network, and what that is good for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NetworkLevel {
    /// The network.
    pub network: NetworkId,
    /// Its level; the detectors come to the same.
    pub level: ModelLevel,
    /// Its sites, pipes, valves and signals.
    pub counts: [usize; 4],
    /// What is missing for the levels above.
    pub missing: Vec<&'static str>,
}

impl fmt::Display for NetworkLevel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [sites, pipes, valves, signals] = self.counts;
        let says = match self.level {
            ModelLevel::L0 => "incidents concern the network as a whole",
            ModelLevel::L1 => "incidents name sites; none is placed on a pipe",
            ModelLevel::L2 => "leaks and bursts are placed on pipes",
            ModelLevel::L3 => "leaks and bursts are placed on pipes, with the valves that isolate them",
        };
        write!(
            f,
            "network {}: level {:?} ({sites} sites, {pipes} pipes, {valves} valves, {signals} signals): {says}",
            self.network, self.level
        )?;
        if !self.missing.is_empty() {
            write!(f, "; more with {}", self.missing.join(", "))?;
        }
        Ok(())
    }
}

/// Pipes by their ends, and which of them hang together.
#[derive(Debug, Default)]
struct Joined<'r> {
    /// A node's representative is found by following this up.
    above: BTreeMap<&'r NodeId, &'r NodeId>,
}

impl<'r> Joined<'r> {
    fn of(pipes: &[&'r Placed<'_, Pipe>]) -> Self {
        let mut joined = Self::default();
        for placed in pipes {
            let (from, to) = (joined.top(&placed.row.from), joined.top(&placed.row.to));
            joined.above.insert(from, to);
            joined.above.insert(to, to);
        }
        joined
    }

    fn top(&mut self, node: &'r NodeId) -> &'r NodeId {
        let mut top = node;
        while let Some(&above) = self.above.get(top).filter(|above| **above != top) {
            top = above;
        }
        // Paths are shortened as they are walked, or a long line of pipes would cost its square.
        let mut at = node;
        while at != top {
            at = self.above.insert(at, top).unwrap_or(top);
        }
        top
    }

    fn has(&self, node: &NodeId) -> bool {
        self.above.contains_key(node)
    }
}

/// Of tables without faults: adds warnings, and says the level of every network.
pub(super) fn survey(rows: &Rows<'_>, faults: &mut Faults) -> Vec<NetworkLevel> {
    unnamed_networks(rows, faults);
    rows.networks.iter().map(|placed| network(rows, &placed.row.id, faults)).collect()
}

fn is_of(of: Option<&NetworkId>, network: &NetworkId) -> bool {
    of.is_none_or(|of| of == network)
}

fn network(rows: &Rows<'_>, network: &NetworkId, faults: &mut Faults) -> NetworkLevel {
    let kinds: BTreeMap<&CircuitId, CircuitKind> = rows
        .circuits
        .iter()
        .filter(|placed| placed.row.network == *network)
        .map(|placed| (&placed.row.id, placed.row.kind.unwrap_or_default()))
        .collect();
    let of_kind = |kind| -> Vec<&Placed<'_, Pipe>> {
        rows.pipes.iter().filter(|placed| kinds.get(&placed.row.circuit) == Some(&kind)).collect()
    };
    let primary = of_kind(CircuitKind::Primary);
    let mut joined = Joined::of(&primary);
    let sources = sources_at_pipes(rows, network, &joined);
    if let Some(first) = primary.first() {
        if sources.is_empty() {
            let problem =
                format!("no source of {network} stands at a node of its pipes: nothing is placed on them");
            faults.warn(first.at, "", problem, "give the source's row in sites its node");
        } else {
            let tops: BTreeSet<_> = sources.iter().map(|node| joined.top(node)).collect();
            apart(&primary, &mut joined, &tops, faults);
        }
        sizes_missing(&primary, faults);
        sites_off_the_pipes(rows, network, &joined, faults);
    }
    secondaries_apart(rows, &of_kind(CircuitKind::Secondary), faults);

    let ids: BTreeSet<&PipeId> = primary.iter().map(|placed| &placed.row.id).collect();
    let valves: Vec<_> = rows.valves.iter().filter(|placed| ids.contains(&placed.row.pipe)).collect();
    let counts = [
        rows.sites.iter().filter(|placed| is_of(placed.row.network.as_ref(), network)).count(),
        rows.pipes.iter().filter(|placed| kinds.contains_key(&placed.row.circuit)).count(),
        valves.len(),
        rows.signals.iter().filter(|placed| placed.row.id.network == *network).count(),
    ];
    let has_valves = valves.iter().any(|placed| placed.row.operable != Some(false));
    let has_elevations = rows.nodes.iter().any(|placed| {
        is_of(placed.row.network.as_ref(), network)
            && placed.row.elevation_m.is_some()
            && joined.has(&placed.row.id)
    });
    let (level, missing) = level(counts[0] > 0, !sources.is_empty(), has_elevations, has_valves);
    NetworkLevel { network: network.clone(), level, counts, missing }
}

fn level(sites: bool, pipes: bool, elevations: bool, valves: bool) -> (ModelLevel, Vec<&'static str>) {
    let needed = [
        (sites, "sites"),
        (pipes, "pipes joined to a source"),
        (elevations, "elevations of their nodes"),
        (valves, "valves on them"),
    ];
    let missing = needed.iter().filter(|(there, _)| !there).map(|(_, what)| *what).collect();
    let level = match (pipes, elevations && valves) {
        (true, true) => ModelLevel::L3,
        (true, false) => ModelLevel::L2,
        (false, _) if sites => ModelLevel::L1,
        (false, _) => ModelLevel::L0,
    };
    (level, missing)
}

fn sources_at_pipes<'r>(rows: &'r Rows<'_>, network: &NetworkId, joined: &Joined<'_>) -> Vec<&'r NodeId> {
    rows.sites
        .iter()
        .filter(|placed| {
            placed.row.kind == Some(SiteKind::Source) && is_of(placed.row.network.as_ref(), network)
        })
        .filter_map(|placed| placed.row.node.as_ref())
        .filter(|node| joined.has(node))
        .collect()
}

/// One warning for each set of pipes that hang together and with no source.
fn apart<'r>(
    pipes: &[&'r Placed<'_, Pipe>],
    joined: &mut Joined<'r>,
    tops: &BTreeSet<&NodeId>,
    faults: &mut Faults,
) {
    let mut sets: BTreeMap<&NodeId, Vec<&Placed<'_, Pipe>>> = BTreeMap::new();
    for placed in pipes {
        let top = joined.top(&placed.row.from);
        if !tops.contains(top) {
            sets.entry(top).or_default().push(placed);
        }
    }
    for set in sets.values() {
        let problem = match set.len() {
            1 => format!("pipe {} is not joined to a source", set[0].row.id),
            several => format!(
                "{several} pipes that hang together, {} first, are not joined to a source",
                set[0].row.id
            ),
        };
        faults.warn(set[0].at, "from", problem, "correct their nodes, or add the pipe that joins them");
    }
}

fn secondaries_apart(rows: &Rows<'_>, pipes: &[&Placed<'_, Pipe>], faults: &mut Faults) {
    for circuit in &rows.circuits {
        let own: Vec<_> =
            pipes.iter().copied().filter(|placed| placed.row.circuit == circuit.row.id).collect();
        let Some(first) = own.first() else { continue };
        let mut joined = Joined::of(&own);
        let main = BTreeSet::from([joined.top(&first.row.from)]);
        let mut told = BTreeSet::new();
        for placed in &own {
            let top = joined.top(&placed.row.from);
            if !main.contains(top) && told.insert(top) {
                let problem = format!(
                    "pipe {} is not joined to the others of circuit {}",
                    placed.row.id, circuit.row.id
                );
                faults.warn(placed.at, "from", problem, "correct its nodes, or add the pipe that joins it");
            }
        }
    }
}

fn sizes_missing(pipes: &[&Placed<'_, Pipe>], faults: &mut Faults) {
    let missing = |column: &str| {
        let lacks = |placed: &&&Placed<'_, Pipe>| match column {
            "length_m" => placed.row.length_m.is_none(),
            _ => placed.row.inner_diameter_mm.is_none(),
        };
        let lacking: Vec<_> = pipes.iter().filter(lacks).collect();
        lacking.first().map(|first| (first.at, lacking.len(), first.row.id.clone()))
    };
    for (column, assumed) in [("length_m", "50 m"), ("inner_diameter_mm", "150 mm")] {
        if let Some((at, count, first)) = missing(column) {
            let have = if count == 1 { "has".to_owned() } else { format!("and {} more have", count - 1) };
            let problem = format!("{first} {have} none; {assumed} is assumed");
            faults.warn(at, column, problem, "enter it: places are only as good as the pipes' sizes");
        }
    }
}

fn sites_off_the_pipes(rows: &Rows<'_>, network: &NetworkId, joined: &Joined<'_>, faults: &mut Faults) {
    for placed in rows.sites.iter().filter(|placed| is_of(placed.row.network.as_ref(), network)) {
        let on_pipes =
            matches!(placed.row.kind, Some(SiteKind::Source | SiteKind::Station | SiteKind::Chamber));
        match &placed.row.node {
            None if on_pipes => {
                let problem = format!("{} has no node: what it measures places nothing", placed.row.id);
                faults.warn(placed.at, "node", problem, "enter the node where it stands");
            }
            Some(node) if on_pipes && !joined.has(node) => {
                let problem = format!("node {node} of {} is no end of a primary pipe", placed.row.id);
                faults.warn(placed.at, "node", problem, "correct the node, or add the pipe that leads there");
            }
            None | Some(_) => {}
        }
    }
    let ends: BTreeSet<_> = rows.pipes.iter().flat_map(|pipe| [&pipe.row.from, &pipe.row.to]).collect();
    let idle: Vec<_> = rows
        .nodes
        .iter()
        .filter(|placed| is_of(placed.row.network.as_ref(), network) && !ends.contains(&placed.row.id))
        .collect();
    if let Some(first) = idle.first() {
        let are = if idle.len() == 1 { "is".to_owned() } else { format!("and {} more are", idle.len() - 1) };
        let problem = format!("{} {are} no end of a pipe", first.row.id);
        faults.warn(first.at, "id", problem, "leave them out, or add the pipes that lead there");
    }
}

/// With several networks, rows that name none count for all of them.
fn unnamed_networks(rows: &Rows<'_>, faults: &mut Faults) {
    if rows.networks.len() < 2 {
        return;
    }
    let nodes = rows.nodes.iter().filter(|placed| placed.row.network.is_none()).map(|placed| placed.at);
    let sites = rows.sites.iter().filter(|placed| placed.row.network.is_none()).map(|placed| placed.at);
    for at in nodes.chain(sites) {
        let problem =
            "it is missing, and there are several networks: the row counts for each of them".to_owned();
        faults.warn(at, "network", problem, "name the network");
    }
}
