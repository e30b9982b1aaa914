//! Every detector's statistic as CSV, for outside benchmarks.
//!
//! ```text
//! time,network,site,device,name,value,burst_z,burst_loss_votes,burst_drop_votes,station_pressure_share,
//! balance_water_kg_s,balance_expected_kg_s,balance_residual_kg_s,balance_statistic
//! ```
//! A row per live reading that was applied and that a detector uses (`burst_z`: standard deviations from where the
//! signal stood a minute before; votes: devices of the network that show a loss, and a pressure drop, at that time),
//! and after each quarter hour one per station (`station_pressure_share`: differential pressure over its usual one) and
//! one per network (`balance_*`; `balance_statistic` is 1 at the threshold, empty while it learns). `value` is SI,
//! `time` UTC.

use std::io::{self, Write};

use heat_codec::time_text::rfc3339;
use heat_detect::{
    PartitionCore,
    probe::{BalanceStep, NetworkProbe},
};
use heat_model::{EventTime, Lane, NetworkId, record::Readings};

const COLUMNS: [&str; 14] = [
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
];

const QUARTER_US: i64 = 900_000_000;

pub(crate) struct ScoresWriter {
    csv: csv::Writer<Box<dyn Write + Send>>,
    begun: bool,
}

impl std::fmt::Debug for ScoresWriter {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ScoresWriter").field("begun", &self.begun).finish_non_exhaustive()
    }
}

fn number(value: Option<f64>) -> String {
    value.map(|value| format!("{value:.6}")).unwrap_or_default()
}

impl ScoresWriter {
    pub(crate) fn new(out: Box<dyn Write + Send>) -> Self {
        Self { csv: csv::Writer::from_writer(out), begun: false }
    }

    fn row(&mut self, cells: [&str; 14]) -> Result<(), io::Error> {
        if !std::mem::replace(&mut self.begun, true) {
            self.csv.write_record(COLUMNS)?;
        }
        self.csv.write_record(cells)?;
        Ok(())
    }

    /// Rows of a record's readings that were applied.
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
            let (value, z) = (step.value.to_string(), number(step.z.map(f64::from)));
            let (losses, drops) = probe.burst_votes(step.at_us);
            self.row([
                &rfc3339(reading.event_time),
                set.network.as_str(),
                set.site.as_str(),
                set.device.as_str(),
                decl.name.as_str(),
                &value,
                &z,
                &losses.to_string(),
                &drops.to_string(),
                "",
                "",
                "",
                "",
                "",
            ])?;
        }
        Ok(())
    }

    /// Rows of a network and its stations after a quarter hour.
    pub(crate) fn step(
        &mut self,
        network: &NetworkId,
        step: &BalanceStep,
        probe: NetworkProbe<'_>,
    ) -> Result<(), io::Error> {
        let end_us = step.bin_start_us + QUARTER_US;
        let time = rfc3339(EventTime::from_micros(end_us));
        for (site, share) in probe.stations() {
            if share.is_some() {
                let share = number(share);
                self.row([
                    &time,
                    network.as_str(),
                    site.as_str(),
                    "",
                    "",
                    "",
                    "",
                    "",
                    "",
                    &share,
                    "",
                    "",
                    "",
                    "",
                ])?;
            }
        }
        self.row([
            &time,
            network.as_str(),
            "",
            "",
            "",
            "",
            "",
            "",
            "",
            "",
            &number(Some(step.water_kg_s)),
            &number(Some(step.expected_kg_s)),
            &number(Some(step.residual_kg_s)),
            &number((!step.learns).then_some(step.statistic)),
        ])
    }

    /// Writes what is left.
    pub(crate) fn finish(mut self) -> Result<(), io::Error> {
        if !self.begun {
            self.csv.write_record(COLUMNS)?;
        }
        self.csv.flush()
    }
}
