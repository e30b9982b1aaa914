//! Which stations' secondaries the primary tops up, and what the clock on the wall says.

use std::collections::BTreeSet;

use heat_model::{
    NetworkId, SiteId,
    plant::{CircuitKind, PlantModel, SiteKind},
};

/// Stations whose secondary is topped up from a primary (一补二). A circuit belongs to the station at a node of whose
/// pipes it stands, or else whose id its own begins with.
pub(super) fn topped_up(network: &NetworkId, plant: &PlantModel) -> BTreeSet<SiteId> {
    let circuits = plant.circuits.iter().filter(|circuit| {
        circuit.network == *network
            && circuit.kind == Some(CircuitKind::Secondary)
            && circuit.topped_up_from.is_some()
    });
    let stations = || {
        plant.sites.iter().filter(|site| {
            site.kind == Some(SiteKind::Station) && site.network.as_ref().is_none_or(|of| of == network)
        })
    };
    circuits
        .flat_map(|circuit| {
            let at_pipes = stations().filter(move |site| {
                site.node.as_ref().is_some_and(|node| {
                    plant
                        .pipes
                        .iter()
                        .any(|pipe| pipe.circuit == circuit.id && (pipe.from == *node || pipe.to == *node))
                })
            });
            let by_pipes: Vec<SiteId> = at_pipes.map(|site| site.id.clone()).collect();
            if !by_pipes.is_empty() {
                return by_pipes;
            }
            stations()
                .filter(|site| is_named_after(circuit.id.as_str(), site.id.as_str()))
                .map(|site| site.id.clone())
                .collect()
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
