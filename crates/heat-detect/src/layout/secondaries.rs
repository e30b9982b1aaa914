//! Which circuits the stations feed, and what the clock on the wall says.

use std::collections::{BTreeMap, BTreeSet};

use heat_model::{
    CircuitId, NetworkId, NodeId, SiteId,
    plant::{CircuitKind, PlantModel, Site, SiteKind},
};

/// A station and the circuit that it feeds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Fed {
    pub(crate) circuit: CircuitId,
    pub(crate) station: SiteId,
    /// Whether it is topped up from a primary (一补二).
    pub(crate) is_topped_up: bool,
}

/// The secondaries of a network. A circuit belongs to the station at a node of whose pipes it stands, or else whose id its own
/// begins with.
pub(super) fn of(network: &NetworkId, plant: &PlantModel) -> Vec<Fed> {
    let circuits = plant
        .circuits
        .iter()
        .filter(|circuit| circuit.network == *network && circuit.kind == Some(CircuitKind::Secondary));
    let stations = || {
        plant.sites.iter().filter(|site| {
            site.kind == Some(SiteKind::Station) && site.network.as_ref().is_none_or(|of| of == network)
        })
    };
    let mut ends = BTreeMap::<&CircuitId, BTreeSet<&NodeId>>::new();
    for pipe in &plant.pipes {
        ends.entry(&pipe.circuit).or_default().extend([&pipe.from, &pipe.to]);
    }
    circuits
        .flat_map(|circuit| {
            let nodes = ends.get(&circuit.id);
            let is_at_pipes = |site: &&Site| {
                nodes.zip(site.node.as_ref()).is_some_and(|(nodes, node)| nodes.contains(node))
            };
            let is_named = |site: &&Site| is_named_after(circuit.id.as_str(), site.id.as_str());
            let by_pipes: Vec<&Site> = stations().filter(is_at_pipes).collect();
            let fed = if by_pipes.is_empty() { stations().filter(is_named).collect() } else { by_pipes };
            fed.into_iter().map(|station| Fed {
                circuit: circuit.id.clone(),
                station: station.id.clone(),
                is_topped_up: circuit.topped_up_from.is_some(),
            })
        })
        .collect()
}

/// `st07-secondary` is named after `st07`, `st071` is not.
fn is_named_after(circuit: &str, site: &str) -> bool {
    circuit
        .strip_prefix(site)
        .is_some_and(|rest| rest.chars().next().is_none_or(|next| !next.is_alphanumeric()))
}

/// Standard time less UTC, hours, of zones with district heating (IANA names). Summer time is of no matter: evenings are
/// told by hours, in the heating season. A zone that is not listed is unknown, and evenings are then not told.
pub(super) fn standard_hours(zone: &str) -> Option<i64> {
    Some(match zone {
        "UTC" | "Etc/UTC" | "Europe/London" | "Europe/Dublin" | "Atlantic/Reykjavik" => 0,
        "Europe/Berlin" | "Europe/Vienna" | "Europe/Zurich" | "Europe/Paris" | "Europe/Rome"
        | "Europe/Madrid" | "Europe/Amsterdam" | "Europe/Brussels" | "Europe/Copenhagen"
        | "Europe/Stockholm" | "Europe/Oslo" | "Europe/Warsaw" | "Europe/Prague" | "Europe/Budapest"
        | "Europe/Belgrade" | "Europe/Zagreb" | "Europe/Ljubljana" | "Europe/Bratislava" => 1,
        "Europe/Helsinki" | "Europe/Tallinn" | "Europe/Riga" | "Europe/Vilnius" | "Europe/Sofia"
        | "Europe/Bucharest" | "Europe/Kyiv" | "Europe/Kiev" => 2,
        "Europe/Moscow" | "Europe/Minsk" | "Europe/Istanbul" => 3,
        "Asia/Yekaterinburg" | "Asia/Almaty" | "Asia/Tashkent" => 5,
        "Asia/Urumqi" | "Asia/Bishkek" | "Asia/Omsk" => 6,
        "Asia/Novosibirsk" | "Asia/Krasnoyarsk" => 7,
        "Asia/Shanghai" | "Asia/Harbin" | "Asia/Chongqing" | "PRC" | "Asia/Ulaanbaatar" | "Asia/Irkutsk" => 8,
        "Asia/Seoul" | "Asia/Tokyo" => 9,
        "America/New_York" | "America/Toronto" => -5,
        "America/Chicago" | "America/Winnipeg" => -6,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_circuit_is_named_after_its_station_and_not_after_one_that_only_begins_alike() {
        assert!(is_named_after("st07-secondary", "st07"));
        assert!(is_named_after("st07", "st07"));
        assert!(!is_named_after("st071", "st07"));
    }
}
