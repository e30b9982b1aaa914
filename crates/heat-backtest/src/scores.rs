//! Every detector's statistic as CSV, for outside benchmarks.
//!
//! ```text
//! time,network,site,device,name,value,burst_z,burst_loss_votes,burst_drop_votes,station_pressure_share,
//! balance_water_kg_s,balance_expected_kg_s,balance_residual_kg_s,balance_statistic,
//! behaviour_statistic,behaviour_off
//! ```
//! A row per live reading that was applied and that a detector uses (`burst_z`: standard deviations from where the
//! signal stood a minute before; votes: devices of the network that show a loss, and a pressure drop, at that time),
//! and after each quarter hour one per station (`station_pressure_share`: differential pressure over its usual one) and
//! one per network (`balance_*`; `balance_statistic` is 1 at the threshold, empty while it learns). `value` is SI,
//! `time` UTC.
//!
//! A row per site and frame, at the frame's start, tells how the site's signals move together: `behaviour_statistic` is 1
//! at the threshold and empty while it learns, `behaviour_off` is 0 or 1, and device and name are of the signal that
//! deviates most. A frame is judged when the next one begins.

use std::{
    collections::BTreeMap,
    io::{self, Write},
};

use heat_codec::time_text::rfc3339;
use heat_detect::{
    PartitionCore,
    probe::{BalanceStep, NetworkProbe},
};
use heat_model::{EventTime, Lane, NetworkId, SiteId, record::Readings};

const COLUMNS: [&str; 16] = [
    "time",
    "network",
    "site",
    "device",
    "name",
    "value",
    "burst_z",
    "burst_loss_votes",
    "burst_drop_votes",
    "station_pressure_share",
    "balance_water_kg_s",
    "balance_expected_kg_s",
    "balance_residual_kg_s",
    "balance_statistic",
    "behaviour_statistic",
    "behaviour_off",
];

const QUARTER_US: i64 = 900_000_000;

pub(crate) struct ScoresWriter {
    csv: csv::Writer<Box<dyn Write + Send>>,
    begun: bool,
    /// Start of the last frame written, by site.
    frames: BTreeMap<(NetworkId, SiteId), i64>,
}

impl std::fmt::Debug for ScoresWriter {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ScoresWriter").field("begun", &self.begun).finish_non_exhaustive()
    }
}

/// Cells of one row; what does not apply is empty.
#[derive(Debug, Default)]
struct Row<'a> {
    time: String,
    network: &'a str,
    site: &'a str,
    device: &'a str,
    name: &'a str,
    value: String,
    /// Statistics, from `burst_z` on.
    statistics: [String; 10],
}

fn number(value: Option<f64>) -> String {
    value.map(|value| format!("{value:.6}")).unwrap_or_default()
}

impl ScoresWriter {
    pub(crate) fn new(out: Box<dyn Write + Send>) -> Self {
        Self { csv: csv::Writer::from_writer(out), begun: false, frames: BTreeMap::new() }
    }

    fn row(&mut self, row: &Row<'_>) -> Result<(), io::Error> {
        if !std::mem::replace(&mut self.begun, true) {
            self.csv.write_record(COLUMNS)?;
        }
        let place = [&row.time, row.network, row.site, row.device, row.name, &row.value];
        self.csv.write_record(place.into_iter().chain(row.statistics.iter().map(String::as_str)))?;
        Ok(())
    }

    /// Rows of a record's readings that were applied, and of the frame that they closed.
    pub(crate) fn readings(&mut self, core: &PartitionCore, readings: &Readings) -> Result<(), io::Error> {
        if readings.lane != Lane::Live {
            return Ok(());
        }
        let set = &readings.set;
        let Some(probe) = core.probe(&set.network) else { return Ok(()) };
        for reading in &readings.readings {
            let Some(decl) = set.signals.get(reading.signal as usize) else { continue };
            let Some(step) = probe.signal(&set.site, &set.device, &decl.name, &decl.unit) else { continue };
            if step.at_us != reading.event_time.as_micros() || reading.usable().is_none() {
                continue;
            }
            let (losses, drops) = probe.burst_votes(step.at_us);
            let mut row = Row {
                time: rfc3339(reading.event_time),
                network: set.network.as_str(),
                site: set.site.as_str(),
                device: set.device.as_str(),
                name: decl.name.as_str(),
                value: step.value.to_string(),
                ..Row::default()
            };
            row.statistics[0] = number(step.z.map(f64::from));
            row.statistics[1] = losses.to_string();
            row.statistics[2] = drops.to_string();
            self.row(&row)?;
        }
        self.frame(&set.network, &set.site, probe)
    }

    fn frame(
        &mut self,
        network: &NetworkId,
        site: &SiteId,
        probe: NetworkProbe<'_>,
    ) -> Result<(), io::Error> {
        let Some(step) = probe.behaviour(site) else { return Ok(()) };
        let key = (network.clone(), site.clone());
        if self.frames.insert(key, step.start_us) == Some(step.start_us) {
            return Ok(());
        }
        let mut row = Row {
            time: rfc3339(EventTime::from_micros(step.start_us)),
            network: network.as_str(),
            site: site.as_str(),
            ..Row::default()
        };
        if let Some((device, name)) = step.signal {
            (row.device, row.name) = (device.as_str(), name.as_str());
        }
        row.statistics[8] = number(step.statistic);
        row.statistics[9] = u8::from(step.off).to_string();
        self.row(&row)
    }

    /// Rows of a network and its stations after a quarter hour.
    pub(crate) fn step(
        &mut self,
        network: &NetworkId,
        step: &BalanceStep,
        probe: NetworkProbe<'_>,
    ) -> Result<(), io::Error> {
        let time = rfc3339(EventTime::from_micros(step.bin_start_us + QUARTER_US));
        for (site, share) in probe.stations() {
            if share.is_some() {
                let mut row = Row {
                    time: time.clone(),
                    network: network.as_str(),
                    site: site.as_str(),
                    ..Row::default()
                };
                row.statistics[3] = number(share);
                self.row(&row)?;
            }
        }
        let mut row = Row { time, network: network.as_str(), ..Row::default() };
        row.statistics[4] = number(Some(step.water_kg_s));
        row.statistics[5] = number(Some(step.expected_kg_s));
        row.statistics[6] = number(Some(step.residual_kg_s));
        row.statistics[7] = number((!step.learns).then_some(step.statistic));
        self.row(&row)
    }

    /// Writes what is left.
    pub(crate) fn finish(mut self) -> Result<(), io::Error> {
        if !self.begun {
            self.csv.write_record(COLUMNS)?;
        }
        self.csv.flush()
    }
}
