//! A network half converted from steam to hot water (汽改水): each converted circuit before and after its date.

use std::collections::{BTreeMap, BTreeSet};

use heat_model::{CircuitId, NetworkId, SiteId};
use serde::Serialize;

use crate::{
    hours::{At, Quantity},
    report::{Desk, sources, taken},
};

/// A converted circuit.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Conversion {
    /// Which.
    pub circuit: CircuitId,
    /// Its network.
    pub network: NetworkId,
    /// When it was converted, as the plant table says.
    pub converted_on: String,
    /// Stations on its pipes; where none is known, the figures are those of the whole network.
    pub stations: usize,
    /// Before that date.
    pub before: Stretch,
    /// From that date on.
    pub after: Stretch,
}

/// One side of a conversion. A figure without its denominator is absent.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Stretch {
    /// Days of the span on this side.
    pub days: i32,
    /// Heat on days with weather, GJ.
    pub heat_gj: Option<f64>,
    /// Area times degree-days of the same days, m2 K d.
    pub area_degree_days: Option<f64>,
    /// Heat per area and degree-day, kJ/(m2 K d).
    pub heat_kj_m2_k_d: Option<f64>,
    /// Primary make-up of the network, m3, over `make_up_days`.
    pub make_up_m3: Option<f64>,
    /// Days with known make-up.
    pub make_up_days: usize,
    /// Steam delivered, t; where condensate is metered, on the days that know both.
    pub steam_t: Option<f64>,
    /// Condensate that came back on those days, t.
    pub condensate_t: Option<f64>,
    /// Part of the steam that came back.
    pub condensate_share: Option<f64>,
    /// Tickets of its stations.
    pub tickets: u64,
    /// Households of its stations.
    pub households: Option<f64>,
    /// Tickets per 10,000 households and 30 days.
    pub complaints_per_10_000_month: Option<f64>,
}

pub(crate) fn conversions(desk: &Desk<'_>) -> Vec<Conversion> {
    let of = |(circuit, network, on): (&CircuitId, &NetworkId, &str)| {
        let day = i32::try_from(heat_archive::layout::day_of_date(on)?).ok()?;
        let stations: BTreeSet<&SiteId> = desk.ground.stations_on(circuit);
        let first = desk.span.day_and_hour(desk.span.from.as_micros()).0;
        let last = desk.span.day_and_hour(desk.span.to.as_micros() - 1).0;
        let stretch = |from: i32, to: i32| stretch(desk, network, &stations, from, to);
        Some(Conversion {
            circuit: circuit.clone(),
            network: network.clone(),
            converted_on: on.to_owned(),
            stations: stations.len(),
            before: stretch(first, last.min(day - 1)),
            after: stretch(first.max(day), last),
        })
    };
    desk.circuits().filter_map(of).collect()
}

/// The days from `first` to `last`, both included.
fn stretch(
    desk: &Desk<'_>,
    network: &NetworkId,
    stations: &BTreeSet<&SiteId>,
    first: i32,
    last: i32,
) -> Stretch {
    if first > last {
        return Stretch::default();
    }
    let within = |days: BTreeMap<i32, f64>| -> BTreeMap<i32, f64> {
        days.range(first..=last).map(|(d, v)| (*d, *v)).collect()
    };
    let hours = &desk.facts.hours;
    let Some(days) = desk.days.get(network) else { return Stretch::default() };
    let (mut heat_j, mut area_degree_days) = (0.0, 0.0);
    let mut add = |heat: BTreeMap<i32, f64>, area: Option<f64>| {
        if let Some(taken) = area.and_then(|area| taken(&within(heat), &days.degree_days, area)) {
            heat_j += taken.heat_j;
            area_degree_days += taken.area_degree_days;
        }
    };
    if stations.is_empty() {
        add(days.heat_j.clone(), desk.ground.area_m2(network));
    }
    for station in stations {
        let heat = hours.amounts(network, Quantity::HeatPower, At::Site(station));
        add(heat, desk.ground.station_area_m2(station));
    }
    // Stations meter again what the sources have sent.
    let at_source = sources(network, desk.facts, &desk.ground);
    let amounts = |quantity: Quantity| {
        let sent = hours.amounts(network, quantity, At::Sites(&at_source));
        within(if sent.is_empty() { hours.amounts(network, quantity, At::Anywhere) } else { sent })
    };
    let (steam, condensate) = (amounts(Quantity::SteamFlow), amounts(Quantity::CondensateFlow));
    let both: Vec<(f64, f64)> =
        steam.iter().filter_map(|(day, steam)| Some((*steam, *condensate.get(day)?))).collect();
    let total =
        |of: fn(&(f64, f64)) -> f64| (!both.is_empty()).then(|| both.iter().map(of).sum::<f64>() / 1_000.0);
    let (steam_t, condensate_t) = (total(|both| both.0), total(|both| both.1));
    let make_up = within(days.make_up_m3.clone());
    let known = (area_degree_days > 0.0).then_some((heat_j, area_degree_days));
    let tickets = tickets(desk, network, stations, first, last);
    let households = households(desk, network, stations);
    let length = last - first + 1;
    Stretch {
        days: length,
        heat_gj: known.map(|(heat, _)| heat / 1e9),
        area_degree_days: known.map(|(_, area)| area),
        heat_kj_m2_k_d: known.map(|(heat, area)| heat / area / 1e3),
        make_up_m3: (!make_up.is_empty()).then(|| make_up.values().sum()),
        make_up_days: make_up.len(),
        condensate_share: steam_t
            .zip(condensate_t)
            .filter(|(steam, _)| *steam > 0.0)
            .map(|(steam, back)| back / steam),
        steam_t: steam_t.or_else(|| (!steam.is_empty()).then(|| steam.values().sum::<f64>() / 1_000.0)),
        condensate_t,
        complaints_per_10_000_month: households
            .map(|homes| crate::figure::count(tickets) / homes * 10_000.0 * 30.0 / f64::from(length)),
        tickets,
        households,
    }
}

fn tickets(desk: &Desk<'_>, network: &NetworkId, stations: &BTreeSet<&SiteId>, first: i32, last: i32) -> u64 {
    let of_circuit = |site: Option<&SiteId>| {
        stations.is_empty()
            || site.and_then(|site| desk.ground.station_of(site)).is_some_and(|at| stations.contains(at))
    };
    let counts = desk.facts.tickets.iter().filter(|ticket| {
        let day = desk.span.day_and_hour(ticket.time.as_micros()).0;
        ticket.network == *network && (first..=last).contains(&day) && of_circuit(ticket.site.as_ref())
    });
    counts.count() as u64
}

fn households(desk: &Desk<'_>, network: &NetworkId, stations: &BTreeSet<&SiteId>) -> Option<f64> {
    if stations.is_empty() {
        return desk.ground.households().get(&crate::ground::Scope::Network(network.clone())).copied();
    }
    let of = stations.iter().filter_map(|station| desk.ground.site(station)?.households);
    Some(of.map(f64::from).sum::<f64>()).filter(|homes| *homes > 0.0)
}
