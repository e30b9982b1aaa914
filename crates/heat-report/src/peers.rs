//! Stations whose return stands above their peers' all season.
//!
//! What has been wrong with a station since before it was first seen is in its own past, and no detector that holds a
//! station against itself finds it: a fouled exchanger, a bypass, a controller that was never set. So each station is held
//! against peers of like size in the same network, day by day: on one day all have the same weather and the same supply. The
//! mean of the daily differences, weighted by the station's flow, stands out where it is [`ABOVE_KELVIN`] or more, most of
//! its days say so, and the peers' own differences do not scatter so far.
//!
//! What it costs is the flow beyond what the same heat would have needed at the peers' return, Q / (c (Ts - Tr)): the same
//! excess that the detector tells of a fault it saw begin. Where heat and flow are both metered, the excess follows from these two,
//! and a return that only its own sensor calls warm costs nothing: then it is the sensor, and not listed.
//!
//! Size is the heated area; where the tables give none, what heat or flow the station takes. A station with fewer than
//! [`PEERS_MIN`] peers is not judged, and counted as such.

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use heat_model::{NetworkId, SiteId};
use serde::Serialize;

use crate::{
    ground::Ground,
    hours::{At, Hours, Quantity},
    rank::{Ranking, median},
    report::HEAT_CAPACITY_J_KG_K,
};

/// Peers that a station needs, and has at most.
pub const PEERS_MIN: usize = 8;
const PEERS_MAX: usize = 16;
/// A peer is so many times as large or small at most.
const LIKE_SIZE: f64 = 4.0;
/// Days that a station is judged by at least.
pub const DAYS_MIN: usize = 30;
/// Return above the peers' that is told, K.
pub const ABOVE_KELVIN: f64 = 5.0;
/// And the share of days on which it is at least half of that.
const DAYS_SHARE: f64 = 0.75;
/// Standard deviations of the peers' own differences that it must exceed.
const STANDS_OUT: f64 = 3.5;
/// Share of the excess that the return says, which metered heat and flow must bear out.
const COSTS_SHARE: f64 = 0.5;
/// Median absolute deviations in a standard deviation.
const MAD_SIGMA: f64 = 1.482_6;
/// A supply this much below the median station's is of a pipe at rest, K.
const AT_REST_KELVIN: f64 = 15.0;

/// What a station's size is taken from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum SizeBasis {
    /// Heated area, m2.
    HeatedArea,
    /// Heat, GJ a day.
    Heat,
    /// Flow, t a day.
    Flow,
}

/// A station that stands above its peers.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct PeerRow {
    /// Which.
    pub station: SiteId,
    /// What people call it.
    pub name: Option<String>,
    /// Its network.
    pub network: NetworkId,
    /// What made its peers its peers.
    pub size_basis: SizeBasis,
    /// Its size, in that unit.
    pub size: f64,
    /// Peers that it was held against.
    pub peers: usize,
    /// Days on which it was.
    pub days: usize,
    /// Its return over these days, degC.
    pub return_celsius: f64,
    /// The median peer's, degC, with the same weights.
    pub peers_return_celsius: f64,
    /// Their difference, K.
    pub above_kelvin: f64,
    /// Water that went through it on days with a known flow, t.
    pub flow_t: Option<f64>,
    /// The part of it that the same heat would not have needed at the peers' return, t; the rank.
    pub excess_flow_t: Option<f64>,
    /// Heat on the same days, GJ.
    pub heat_gj: Option<f64>,
    /// `flow_t` by `heat_gj`, t/GJ.
    pub flow_per_heat: Option<f64>,
    /// The median peer's, t/GJ.
    pub peers_flow_per_heat: Option<f64>,
}

/// Stations against their peers.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Peers {
    /// Those that stand above, the most excess flow first.
    #[serde(flatten)]
    pub ranking: Ranking<PeerRow>,
    /// Stations that were judged.
    pub judged: usize,
    /// Stations with a return temperature that were not, for want of days, size or peers.
    pub not_judged: usize,
}

#[derive(Debug, Clone, Copy)]
struct Day {
    supply: f64,
    back: f64,
    /// kg, where it is metered or follows from metered heat.
    flow: Option<f64>,
    /// J.
    heat: Option<f64>,
    /// Whether both are metered, so that the return's own sensor has no say in what is in excess.
    both: bool,
}

/// One station's season.
#[derive(Debug)]
struct Season<'a> {
    id: &'a SiteId,
    basis: SizeBasis,
    size: f64,
    days: BTreeMap<i32, Day>,
}

/// A station held against its peers.
#[derive(Debug, Clone, Copy)]
struct Held {
    days: usize,
    back: f64,
    above: f64,
    /// Share of days that are clearly above.
    clear: f64,
    flow: Option<f64>,
    /// kg that the heat would not have needed; and what the temperatures alone say of it.
    excess: f64,
    excess_by_return: f64,
    heat: f64,
}

/// Holds every station of these networks against its peers.
pub(crate) fn peers<'n>(
    networks: impl Iterator<Item = &'n NetworkId>,
    hours: &Hours,
    ground: &Ground<'_>,
) -> Peers {
    let mut all = Peers { ranking: Ranking { rows: Vec::new(), of: 0 }, judged: 0, not_judged: 0 };
    let mut rows = Vec::new();
    for network in networks {
        let seasons = seasons(network, hours, ground, &mut all.not_judged);
        let near: Vec<Vec<usize>> = (0..seasons.len()).map(|own| nearest(&seasons, own)).collect();
        let held: Vec<Option<Held>> =
            seasons.iter().zip(&near).map(|(season, near)| hold(season, near, &seasons)).collect();
        for ((season, near), own) in seasons.iter().zip(&near).zip(&held) {
            let Some(own) = own else {
                all.not_judged += 1;
                continue;
            };
            all.judged += 1;
            let of_peers: Vec<&Held> = near.iter().filter_map(|peer| held[*peer].as_ref()).collect();
            if stands_out(own, &of_peers) {
                rows.push(row(season, own, &of_peers, network, ground, near.len()));
            }
        }
    }
    all.ranking = Ranking::of(rows, |row| row.excess_flow_t.unwrap_or(0.0), |row| row.station.as_str());
    all
}

fn seasons<'a>(
    network: &NetworkId,
    hours: &Hours,
    ground: &Ground<'a>,
    not_judged: &mut usize,
) -> Vec<Season<'a>> {
    let mut seasons = Vec::new();
    for id in ground.stations(network) {
        let there = At::Site(id);
        let back = hours.temperatures(network, Quantity::ReturnTemperature, there);
        if back.is_empty() {
            continue;
        }
        let supply = hours.temperatures(network, Quantity::SupplyTemperature, there);
        let heat = hours.amounts(network, Quantity::HeatPower, there);
        let forward = hours.amounts(network, Quantity::SupplyFlow, there);
        let returned = hours.amounts(network, Quantity::ReturnFlow, there);
        let of_day = |(day, back): (&i32, &f64)| {
            let (supply, back) = (*supply.get(day)?, *back);
            let per_kg = HEAT_CAPACITY_J_KG_K * (supply - back);
            let heat = heat.get(day).copied().filter(|heat| *heat > 0.0);
            let metered = forward.get(day).or_else(|| returned.get(day)).copied().filter(|flow| *flow > 0.0);
            let both = metered.is_some() && heat.is_some();
            let flow = metered.or_else(|| heat.map(|heat| heat / per_kg));
            let heat = heat.or_else(|| metered.map(|flow| flow * per_kg));
            (per_kg > 0.0).then_some((*day, Day { supply, back, flow, heat, both }))
        };
        let days: BTreeMap<i32, Day> = back.iter().filter_map(of_day).collect();
        let mean = |of: &dyn Fn(&Day) -> Option<f64>| {
            let known: Vec<f64> = days.values().filter_map(of).collect();
            let share = crate::figure::count(known.len() as u64);
            (!known.is_empty()).then(|| known.iter().sum::<f64>() / share)
        };
        let size = ground
            .station_area_m2(id)
            .map(|area| (SizeBasis::HeatedArea, area))
            .or_else(|| Some((SizeBasis::Heat, mean(&|day| day.heat)? / 1e9)))
            .or_else(|| Some((SizeBasis::Flow, mean(&|day| day.flow)? / 1_000.0)));
        match size {
            Some((basis, size)) if days.len() >= DAYS_MIN => seasons.push(Season { id, basis, size, days }),
            Some(_) | None => *not_judged += 1,
        }
    }
    leave_out_rests(&mut seasons);
    seasons
}

/// A station that is shut off has the temperatures of its cellar.
fn leave_out_rests(seasons: &mut [Season<'_>]) {
    let mut supplies: BTreeMap<i32, Vec<f64>> = BTreeMap::new();
    for season in &*seasons {
        for (day, own) in &season.days {
            supplies.entry(*day).or_default().push(own.supply);
        }
    }
    let usual: BTreeMap<i32, f64> =
        supplies.into_iter().filter_map(|(day, all)| Some((day, median(all.into_iter())?))).collect();
    for season in seasons {
        season.days.retain(|day, own| usual.get(day).is_none_or(|usual| own.supply > usual - AT_REST_KELVIN));
    }
}

/// The stations nearest in size, nearest first; none where there are too few.
fn nearest(seasons: &[Season<'_>], own: usize) -> Vec<usize> {
    let of = &seasons[own];
    let apart = |other: &Season<'_>| (other.size / of.size).ln().abs();
    let mut near: Vec<usize> = (0..seasons.len())
        .filter(|at| *at != own && seasons[*at].basis == of.basis && apart(&seasons[*at]) <= LIKE_SIZE.ln())
        .collect();
    near.sort_by(|a, b| apart(&seasons[*a]).total_cmp(&apart(&seasons[*b])).then(a.cmp(b)));
    near.truncate(PEERS_MAX);
    if near.len() < PEERS_MIN { Vec::new() } else { near }
}

fn hold(season: &Season<'_>, near: &[usize], seasons: &[Season<'_>]) -> Option<Held> {
    let (mut days, mut clear) = (0_usize, 0_usize);
    let (mut weight, mut back_sum, mut above_sum) = (0.0, 0.0, 0.0);
    let (mut flow, mut excess, mut excess_by_return, mut heat) = (None, 0.0, 0.0, 0.0);
    let knows_flow = season.days.values().any(|day| day.flow.is_some());
    for (day, own) in &season.days {
        let of_peers: Vec<f64> =
            near.iter().filter_map(|peer| Some(seasons[*peer].days.get(day)?.back)).collect();
        if of_peers.len() < PEERS_MIN {
            continue;
        }
        let Some(usual) = median(of_peers.into_iter()) else { continue };
        // Where a flow is metered, days without it weigh nothing.
        let by = own.flow.unwrap_or(if knows_flow { 0.0 } else { 1.0 });
        let above = own.back - usual;
        days += 1;
        clear += usize::from(above >= 0.5 * ABOVE_KELVIN);
        weight += by;
        back_sum += by * own.back;
        above_sum += by * above;
        if let Some(kg) = own.flow {
            *flow.get_or_insert(0.0) += kg;
            heat += own.heat.unwrap_or(0.0);
            if own.supply > usual {
                let cooling = own.supply - usual;
                let by_return = kg * above / cooling;
                let by_heat =
                    own.heat.filter(|_| own.both).map(|heat| kg - heat / HEAT_CAPACITY_J_KG_K / cooling);
                excess_by_return += by_return;
                excess += by_heat.unwrap_or(by_return);
            }
        }
    }
    let share = |count: usize| crate::figure::count(count as u64);
    (days >= DAYS_MIN && weight > 0.0).then(|| Held {
        days,
        back: back_sum / weight,
        above: above_sum / weight,
        clear: share(clear) / share(days),
        flow,
        excess,
        excess_by_return,
        heat,
    })
}

fn stands_out(own: &Held, of_peers: &[&Held]) -> bool {
    let Some(usual) = median(of_peers.iter().map(|held| held.above)) else { return false };
    let spread = median(of_peers.iter().map(|held| (held.above - usual).abs())).unwrap_or(0.0);
    own.above >= ABOVE_KELVIN
        && own.above - usual >= STANDS_OUT * MAD_SIGMA * spread
        && own.clear >= DAYS_SHARE
        && own.flow.is_none_or(|_| own.excess >= COSTS_SHARE * own.excess_by_return)
}

fn row(
    season: &Season<'_>,
    own: &Held,
    of_peers: &[&Held],
    network: &NetworkId,
    ground: &Ground<'_>,
    peers: usize,
) -> PeerRow {
    let per_heat =
        |held: &Held| held.flow.filter(|_| held.heat > 0.0).map(|flow| flow / 1e3 / (held.heat / 1e9));
    PeerRow {
        station: season.id.clone(),
        name: ground.site_name(season.id.as_str()).map(str::to_owned),
        network: network.clone(),
        size_basis: season.basis,
        size: season.size,
        peers,
        days: own.days,
        return_celsius: own.back,
        peers_return_celsius: own.back - own.above,
        above_kelvin: own.above,
        flow_t: own.flow.map(|flow| flow / 1e3),
        excess_flow_t: own.flow.map(|_| own.excess / 1e3),
        heat_gj: own.flow.map(|_| own.heat / 1e9),
        flow_per_heat: per_heat(own),
        peers_flow_per_heat: median(of_peers.iter().filter_map(|held| per_heat(held))),
    }
}
