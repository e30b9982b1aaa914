//! What onlookers may ask: who is judged, by what, and what it costs.

use heat_model::plant::SiteKind;

use super::{Costs, Thermal, say, source, station};
use crate::{bins::BIN_SECONDS, layout::Layout};

impl Thermal {
    /// Usual flow of a station, kg/s; `None` until it is known.
    pub(crate) fn usual_flow(&self, site: u32) -> Option<f64> {
        let at = self.stations.binary_search_by_key(&site, |(site, _)| *site).ok()?;
        Some(self.stations[at].1.usual_flow.known()).filter(|flow| *flow > 0.0)
    }

    /// Stations that cost something, the worst first.
    pub(crate) fn costs(&self) -> Vec<(u32, Costs)> {
        let mut costs: Vec<(u32, Costs)> = self
            .stations
            .iter()
            .filter(|(_, station)| station.costs.capacity_j > 0.0)
            .map(|(site, station)| (*site, station.costs))
            .collect();
        costs.sort_by(|a, b| b.1.capacity_j.total_cmp(&a.1.capacity_j).then(a.0.cmp(&b.0)));
        costs
    }

    /// Stations with temperatures, those of them that are judged, and the seconds of data until the first one is; `None`
    /// without stations.
    pub(crate) fn readiness(&self) -> Option<(usize, usize, u64)> {
        let known = self.stations.iter().filter(|(_, station)| station.bank.is_known()).count();
        let left = self.stations.iter().map(|(_, station)| station.bank.learning_left()).min()?;
        Some((self.stations.len(), known, u64::from(left) * BIN_SECONDS.unsigned_abs()))
    }

    /// Signals whose level others tell, in order.
    pub(crate) fn told_signals(&self, layout: &Layout) -> Vec<u32> {
        let mut told: Vec<u32> = self.outdoors.told(self.per_month).map(|(signal, _)| signal).collect();
        for ((_, site), source) in layout.of_kind(SiteKind::Source).zip(self.sources()) {
            for (cause, rule) in source::CAUSES.into_iter().zip(&source.rules()) {
                told.extend(say::source_sensor(site, cause).filter(|_| source.bank.tells(rule)));
            }
        }
        for (index, station) in &self.stations {
            let site = &layout.sites[*index as usize];
            let Some(rules) = station.rules() else { continue };
            for (cause, rule) in station::CAUSES.into_iter().zip(&rules) {
                told.extend(say::station_sensor(site, cause).filter(|_| station.bank.tells(rule)));
            }
        }
        told.sort_unstable();
        told.dedup();
        told
    }

    /// Signals that others say the level of, each with the least bias that they can show, SI, and its unit. A signal that
    /// is not among them may be off by anything without being noticed.
    pub(crate) fn redundancy(&self, layout: &Layout) -> Vec<(u32, f64, &'static str)> {
        let (source_thresholds, station_thresholds) = (self.source_thresholds(), self.station_thresholds());
        let mut known: Vec<(u32, f64, &'static str)> =
            self.outdoors.told(self.per_month).map(|(signal, least)| (signal, least, "K")).collect();
        for ((_, site), source) in layout.of_kind(SiteKind::Source).zip(self.sources()) {
            for (cause, rule) in source::CAUSES.into_iter().zip(&source.rules()) {
                let signal = say::source_sensor(site, cause);
                let least = source.bank.least(rule, &source::LIMITS, &source_thresholds);
                known.extend(signal.zip(least).map(|(signal, (least, unit))| (signal, least, unit)));
            }
        }
        for (index, station) in &self.stations {
            let site = &layout.sites[*index as usize];
            let Some(rules) = station.rules() else { continue };
            for (cause, rule) in station::CAUSES.into_iter().zip(&rules) {
                let signal = say::station_sensor(site, cause);
                let least = station.bank.least(rule, &station::LIMITS, &station_thresholds);
                known.extend(signal.zip(least).map(|(signal, (least, unit))| (signal, least, unit)));
            }
        }
        known
    }
}
