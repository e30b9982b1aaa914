//! Where summer maintenance starts (冬病夏治): stations and pipes by what they cost.

use std::collections::BTreeMap;

use heat_model::{NetworkId, SiteId};
use serde::Serialize;

use crate::{
    Span,
    cases::{Case, TicketCase, is_station_fault},
    figure::count,
    ground::Ground,
    peers::PeerRow,
};

/// The kind of a station that no detector names, because it was as it is before it was first seen.
pub const ABOVE_PEERS: &str = "return_above_peers";
/// Most rows of a ranking.
pub const ROWS_MAX: usize = 50;

/// A station with what it cost.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct StationRow {
    /// Which.
    pub station: SiteId,
    /// What people call it.
    pub name: Option<String>,
    /// Its network.
    pub network: NetworkId,
    /// The mean of its shares of all stations' excess flow, excess heat and hours in fault, 0 to 1; the rank.
    pub share: f64,
    /// Incidents of its own that began in the span.
    pub incidents: u64,
    /// Their kinds, or classes where there is none.
    pub kinds: Vec<String>,
    /// Hours with one of them.
    pub fault_hours: f64,
    /// Flow that carried no heat while a fault was on, t.
    pub excess_flow_t: f64,
    /// The same against the return of its peers over the whole span, t; absent where it does not stand above them, or its
    /// flow is not known. The rank takes the larger of the two: both are of the same water.
    pub excess_over_peers_t: Option<f64>,
    /// Heat above what its network's median station takes per area and degree-day, GJ; absent without heat meter or area.
    pub excess_heat_gj: Option<f64>,
    /// Complaints from it and from what it feeds.
    pub tickets: u64,
}

/// A pipe with what it probably lost.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct PipeRow {
    /// Which.
    pub pipe: String,
    /// Its network.
    pub network: NetworkId,
    /// Losses on it that a crew found.
    pub found: u64,
    /// Losses expected on it: those found, and the probabilities of those that nobody placed.
    pub expected_losses: f64,
    /// Water expected to be lost there, m3; the rank.
    pub expected_water_m3: f64,
    /// Its length, m.
    pub length_m: Option<f64>,
    /// Year of laying.
    pub laid_year: Option<u32>,
    /// Material.
    pub material: Option<String>,
}

/// A ranking's rows, and how many there would be.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Ranking<T> {
    /// The first of them.
    pub rows: Vec<T>,
    /// All that have anything to show.
    pub of: usize,
}

impl<T> Ranking<T> {
    pub(crate) fn of(mut rows: Vec<T>, by: impl Fn(&T) -> f64, name: impl Fn(&T) -> &str) -> Self {
        rows.sort_by(|a, b| by(b).total_cmp(&by(a)).then_with(|| name(a).cmp(name(b))));
        let of = rows.len();
        rows.truncate(ROWS_MAX);
        Self { rows, of }
    }
}

/// Heat per area and degree-day of stations, and what it stands for.
pub(crate) type StationHeat = BTreeMap<SiteId, Taken>;

/// What a station took over its judged days.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Taken {
    pub(crate) heat_j: f64,
    /// Area times degree-days of the same days.
    pub(crate) area_degree_days: f64,
}

/// Ranks the stations.
pub(crate) fn stations(
    cases: &[Case],
    tickets: &[TicketCase],
    heat: &BTreeMap<NetworkId, StationHeat>,
    peers: &[PeerRow],
    ground: &Ground<'_>,
    span: &Span,
) -> Ranking<StationRow> {
    let mut rows: BTreeMap<SiteId, StationRow> = BTreeMap::new();
    for case in cases.iter().filter(|case| is_station_fault(case.incident.class)) {
        let Some(site) = case.site() else { continue };
        let station = ground.station_of(&site).cloned().unwrap_or(site);
        let row = row_of(&mut rows, &station, &case.incident.network, ground);
        row.incidents += u64::from(case.opened_in(span));
        let kind = case.incident.kind.clone().unwrap_or_else(|| case.incident.class.as_str().to_owned());
        if !row.kinds.contains(&kind) {
            row.kinds.push(kind);
        }
        row.fault_hours += case.seconds_in(span) / 3_600.0;
        row.excess_flow_t += case.excess_flow_kg(span).unwrap_or(0.0) / 1_000.0;
    }
    for ticket in tickets {
        let station = ticket.site.as_ref().and_then(|site| ground.station_of(site));
        if let Some(station) = station {
            row_of(&mut rows, station, &ticket.network, ground).tickets += 1;
        }
    }
    for (network, stations) in heat {
        let Some(median) = median(stations.values().map(|taken| taken.heat_j / taken.area_degree_days))
        else {
            continue;
        };
        for (station, taken) in stations {
            let above_j = (taken.heat_j - median * taken.area_degree_days).max(0.0);
            row_of(&mut rows, station, network, ground).excess_heat_gj = Some(above_j / 1e9);
        }
    }
    for peer in peers {
        let row = row_of(&mut rows, &peer.station, &peer.network, ground);
        row.excess_over_peers_t = peer.excess_flow_t;
        row.kinds.push(ABOVE_PEERS.to_owned());
    }
    let mut rows: Vec<StationRow> = rows.into_values().collect();
    set_shares(&mut rows);
    rows.retain(|row| row.share > 0.0 || row.tickets > 0 || !row.kinds.is_empty());
    Ranking::of(rows, |row| row.share, |row| row.station.as_str())
}

fn row_of<'r>(
    rows: &'r mut BTreeMap<SiteId, StationRow>,
    station: &SiteId,
    network: &NetworkId,
    ground: &Ground<'_>,
) -> &'r mut StationRow {
    rows.entry(station.clone()).or_insert_with(|| StationRow {
        station: station.clone(),
        name: ground.site_name(station.as_str()).map(str::to_owned),
        network: network.clone(),
        share: 0.0,
        incidents: 0,
        kinds: Vec::new(),
        fault_hours: 0.0,
        excess_flow_t: 0.0,
        excess_over_peers_t: None,
        excess_heat_gj: None,
        tickets: 0,
    })
}

fn set_shares(rows: &mut [StationRow]) {
    let costs: [fn(&StationRow) -> f64; 3] = [
        |row| row.excess_flow_t.max(row.excess_over_peers_t.unwrap_or(0.0)),
        |row| row.excess_heat_gj.unwrap_or(0.0),
        |row| row.fault_hours,
    ];
    let totals = costs.map(|cost| rows.iter().map(cost).sum::<f64>());
    let told = count(totals.iter().filter(|total| **total > 0.0).count() as u64);
    for row in rows {
        let shares = costs.iter().zip(totals).filter(|(_, total)| *total > 0.0);
        row.share = shares.map(|(cost, total)| cost(row) / total).sum::<f64>() / told.max(1.0);
    }
}

/// The median; `None` for less than three, which have no usual one among them.
pub(crate) fn median(values: impl Iterator<Item = f64>) -> Option<f64> {
    let mut values: Vec<f64> = values.filter(|value| value.is_finite()).collect();
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    match values.len() {
        0..3 => None,
        length if length % 2 == 1 => Some(values[middle]),
        _ => Some(f64::midpoint(values[middle - 1], values[middle])),
    }
}

/// Ranks the pipes.
pub(crate) fn pipes(cases: &[Case], ground: &Ground<'_>, span: &Span) -> Ranking<PipeRow> {
    let mut rows: BTreeMap<String, PipeRow> = BTreeMap::new();
    for case in cases.iter().filter(|case| case.is_water_loss()) {
        let lost_m3 = case.lost_kg(span).unwrap_or(0.0) / 1_000.0;
        let found = case.repair.as_ref().and_then(|repair| repair.pipe.clone());
        let weights: Vec<(String, f64)> = match &found {
            Some(pipe) => vec![(pipe.clone(), 1.0)],
            None => {
                let candidates = case.incident.candidates.iter();
                candidates
                    .map(|candidate| (candidate.pipe.as_str().to_owned(), candidate.probability))
                    .collect()
            }
        };
        for (pipe, weight) in weights {
            let row = rows.entry(pipe.clone()).or_insert_with(|| {
                let described = heat_model::PipeId::new(&pipe).ok().and_then(|id| ground.pipe(&id));
                PipeRow {
                    pipe,
                    network: case.incident.network.clone(),
                    found: 0,
                    expected_losses: 0.0,
                    expected_water_m3: 0.0,
                    length_m: described.and_then(|row| row.length_m),
                    laid_year: described.and_then(|row| row.laid_year),
                    material: described.and_then(|row| row.material.clone()),
                }
            });
            row.found += u64::from(found.is_some());
            row.expected_losses += weight;
            row.expected_water_m3 += weight * lost_m3;
        }
    }
    let rows = rows.into_values().filter(|row| row.expected_losses > 0.01).collect();
    Ranking::of(rows, |row| row.expected_water_m3, |row| &row.pipe)
}
