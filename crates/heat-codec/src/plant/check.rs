//! What no row can tell alone: repeated ids, references that lead nowhere, sites that contain themselves.

use std::collections::{BTreeMap, BTreeSet};

use heat_model::{
    CircuitId, NetworkId, NodeId, PipeId, SiteId,
    plant::{Circuit, PlantModel},
};

use super::{
    At, Faults,
    rows::{Placed, Rows},
    table::Table,
};
use crate::{mapped, mapping::MappingFault};

type Scoped<'r, T> = BTreeSet<(Option<&'r NetworkId>, &'r T)>;

pub(super) fn check(rows: &Rows<'_>, faults: &mut Faults) {
    repeated(&rows.networks, "network", |row| &row.id, faults);
    repeated(&rows.circuits, "circuit", |row| &row.id, faults);
    repeated(&rows.nodes, "node", |row| (&row.network, &row.id), faults);
    repeated(&rows.sites, "site", |row| (&row.network, &row.id), faults);
    repeated(&rows.signals, "signal", |row| &row.id, faults);
    repeated(&rows.valves, "valve", |row| (&row.pipe, &row.id), faults);

    let networks: BTreeSet<_> = rows.networks.iter().map(|placed| &placed.row.id).collect();
    let circuits: BTreeMap<_, _> =
        rows.circuits.iter().map(|placed| (&placed.row.id, &placed.row.network)).collect();
    repeated(&rows.pipes, "pipe", |row| (circuits.get(&row.circuit), &row.id), faults);
    networks_exist(rows, &networks, faults);
    circuits_exist(rows, &circuits, faults);
    seasons_fit(rows, &circuits, faults);
    nodes_exist(rows, &circuits, faults);
    sites_exist(rows, faults);
    valves_fit(rows, &circuits, faults);
    sites_are_no_loop(rows, faults);
}

/// The columns `topic` and `pointer` of the signals, which the gateway reads payloads by.
pub(super) fn mappings(rows: &Rows<'_>, faults: &mut Faults) {
    let signals = rows.signals.iter().map(|placed| placed.row.clone()).collect();
    let Err(found) = mapped::from_plant(&PlantModel { signals, ..PlantModel::default() }) else { return };
    for MappingFault { key, problem } in found {
        let row = key.strip_prefix("signals ").and_then(|key| key.split_once(": "));
        let placed = row.and_then(|(id, column)| {
            let id = id.parse().ok()?;
            Some((rows.signals.iter().find(|placed| placed.row.id == id)?, column))
        });
        match placed {
            Some((placed, column)) => {
                faults.push(placed.at, column, problem, "correct it, or leave it empty")
            }
            None => faults.push(At::line("signals", 0), &key, problem, "correct it, or leave it empty"),
        }
    }
}

fn repeated<'r, T, K: Ord>(
    rows: &'r [Placed<'_, T>],
    what: &str,
    key: impl Fn(&'r T) -> K,
    faults: &mut Faults,
) {
    let mut first = BTreeMap::new();
    for placed in rows {
        if let Some(earlier) = first.insert(key(&placed.row), placed.at) {
            let problem = format!("this {what} is there already: {}:{}", earlier.file, earlier.line_of("id"));
            faults.push(placed.at, "id", problem, "give it an id of its own, or leave one row out");
        }
    }
}

fn dangling<T>(
    placed: &Placed<'_, T>,
    column: &str,
    id: &dyn std::fmt::Display,
    table: Table,
    faults: &mut Faults,
) {
    let problem = format!("{id} is not in table {}", table.name());
    faults.push(placed.at, column, problem, "add its row, or correct the reference");
}

fn networks_exist(rows: &Rows<'_>, networks: &BTreeSet<&NetworkId>, faults: &mut Faults) {
    if !rows.given.contains(&Table::Networks) {
        return;
    }
    for placed in &rows.circuits {
        if !networks.contains(&placed.row.network) {
            dangling(placed, "network", &placed.row.network, Table::Networks, faults);
        }
    }
    for placed in rows.seasons.iter().filter(|placed| !networks.contains(&placed.row.network)) {
        dangling(placed, "network", &placed.row.network, Table::Networks, faults);
    }
    for placed in &rows.nodes {
        if let Some(network) = placed.row.network.as_ref().filter(|network| !networks.contains(network)) {
            dangling(placed, "network", network, Table::Networks, faults);
        }
    }
    for placed in &rows.sites {
        if let Some(network) = placed.row.network.as_ref().filter(|network| !networks.contains(network)) {
            dangling(placed, "network", network, Table::Networks, faults);
        }
    }
    for placed in &rows.signals {
        if !networks.contains(&placed.row.id.network) {
            dangling(placed, "id", &placed.row.id.network, Table::Networks, faults);
        }
    }
}

fn circuits_exist(rows: &Rows<'_>, circuits: &BTreeMap<&CircuitId, &NetworkId>, faults: &mut Faults) {
    for placed in &rows.pipes {
        if !circuits.contains_key(&placed.row.circuit) {
            dangling(placed, "circuit", &placed.row.circuit, Table::Circuits, faults);
        }
    }
    for placed in &rows.circuits {
        let Some(other) = &placed.row.topped_up_from else { continue };
        if *other == placed.row.id {
            let problem = "a circuit cannot top itself up".to_owned();
            faults.push(placed.at, "topped_up_from", problem, "name the other circuit, or leave it empty");
        } else if let Some(network) = circuits.get(other) {
            if **network != placed.row.network {
                let problem = format!("{other} belongs to network {network}");
                faults.push(placed.at, "topped_up_from", problem, "water cannot come from another network");
            }
        } else {
            dangling(placed, "topped_up_from", other, Table::Circuits, faults);
        }
    }
    let above =
        |placed: &Placed<'_, Circuit>| Some((placed.row.id.clone(), placed.row.topped_up_from.clone()?));
    let above: BTreeMap<_, _> = rows.circuits.iter().filter_map(above).collect();
    for placed in rows.circuits.iter().filter(|placed| is_above_itself(&placed.row.id, &above)) {
        // One that tops itself up is reported so.
        if placed.row.topped_up_from.as_ref() != Some(&placed.row.id) {
            let problem = "by way of other circuits, this one tops itself up".to_owned();
            faults.push(placed.at, "topped_up_from", problem, "correct one of them");
        }
    }
}

/// Each row of the calendar is of a circuit of its network, and of another moment than the others.
fn seasons_fit(rows: &Rows<'_>, circuits: &BTreeMap<&CircuitId, &NetworkId>, faults: &mut Faults) {
    let mut known = BTreeSet::new();
    for placed in &rows.seasons {
        let row = &placed.row;
        if !known.insert((&row.network, &row.circuit, row.from)) {
            let problem = "another row says the state from this moment on".to_owned();
            faults.push(placed.at, "from", problem, "leave one of them out");
        }
        let Some(circuit) = &row.circuit else { continue };
        match circuits.get(circuit) {
            None => dangling(placed, "circuit", circuit, Table::Circuits, faults),
            Some(network) if **network != row.network => {
                let problem = format!("{circuit} belongs to network {network}");
                faults.push(placed.at, "circuit", problem, "correct one of them");
            }
            Some(_) => {}
        }
    }
}

/// Whether going up from a place leads back to it.
fn is_above_itself<T: Ord>(start: &T, above: &BTreeMap<T, T>) -> bool {
    let mut at = start;
    for _ in 0..=above.len() {
        let Some(next) = above.get(at) else { return false };
        if next == start {
            return true;
        }
        at = next;
    }
    // The way leads into a loop that does not pass here.
    false
}

fn nodes_exist(rows: &Rows<'_>, circuits: &BTreeMap<&CircuitId, &NetworkId>, faults: &mut Faults) {
    if !rows.given.contains(&Table::Nodes) {
        return;
    }
    let nodes: Scoped<'_, NodeId> =
        rows.nodes.iter().map(|placed| (placed.row.network.as_ref(), &placed.row.id)).collect();
    let known = |network: Option<&NetworkId>, node: &NodeId| {
        nodes.contains(&(network, node)) || nodes.contains(&(None, node))
    };
    for placed in &rows.pipes {
        let network = circuits.get(&placed.row.circuit).copied();
        for (column, node) in [("from", &placed.row.from), ("to", &placed.row.to)] {
            // A pipe without circuit is reported there.
            if network.is_some() && !known(network, node) {
                dangling(placed, column, node, Table::Nodes, faults);
            }
        }
    }
    for placed in &rows.sites {
        if let Some(node) = placed.row.node.as_ref().filter(|node| !known(placed.row.network.as_ref(), node))
        {
            dangling(placed, "node", node, Table::Nodes, faults);
        }
    }
}

fn sites_exist(rows: &Rows<'_>, faults: &mut Faults) {
    let sites: Scoped<'_, SiteId> =
        rows.sites.iter().map(|placed| (placed.row.network.as_ref(), &placed.row.id)).collect();
    let known = |network: Option<&NetworkId>, site: &SiteId| {
        sites.contains(&(network, site)) || sites.contains(&(None, site))
    };
    for placed in &rows.sites {
        if let Some(parent) =
            placed.row.parent.as_ref().filter(|site| !known(placed.row.network.as_ref(), site))
        {
            dangling(placed, "parent", parent, Table::Sites, faults);
        }
    }
    if !rows.given.contains(&Table::Sites) {
        return;
    }
    for placed in &rows.signals {
        if !known(Some(&placed.row.id.network), &placed.row.site) {
            dangling(placed, "site", &placed.row.site, Table::Sites, faults);
        }
    }
}

fn valves_fit(rows: &Rows<'_>, circuits: &BTreeMap<&CircuitId, &NetworkId>, faults: &mut Faults) {
    let mut pipes: BTreeMap<&PipeId, BTreeSet<Option<&NetworkId>>> = BTreeMap::new();
    for placed in &rows.pipes {
        pipes.entry(&placed.row.id).or_default().insert(circuits.get(&placed.row.circuit).copied());
    }
    let sites: BTreeSet<_> = rows.sites.iter().map(|placed| &placed.row.id).collect();
    for placed in &rows.valves {
        match pipes.get(&placed.row.pipe).map(BTreeSet::len) {
            None => dangling(placed, "pipe", &placed.row.pipe, Table::Pipes, faults),
            Some(1) => {}
            Some(_) => {
                let problem = format!("several networks have a pipe {}", placed.row.pipe);
                faults.push(placed.at, "pipe", problem, "give pipes with valves an id of their own");
            }
        }
        if let Some(chamber) = placed.row.chamber.as_ref().filter(|site| !sites.contains(site)) {
            dangling(placed, "chamber", chamber, Table::Sites, faults);
        }
    }
}

fn sites_are_no_loop(rows: &Rows<'_>, faults: &mut Faults) {
    let parents: BTreeMap<_, _> = rows
        .sites
        .iter()
        .filter_map(|placed| {
            let network = placed.row.network.as_ref();
            placed.row.parent.as_ref().map(|parent| ((network, &placed.row.id), (network, parent)))
        })
        .collect();
    for placed in &rows.sites {
        if is_above_itself(&(placed.row.network.as_ref(), &placed.row.id), &parents) {
            let problem = "the site is, by its parents, a part of itself".to_owned();
            faults.push(placed.at, "parent", problem, "correct one of the parents");
        }
    }
}
