//! Outdoor sensors against one another.
//!
//! Where three sites or more report the outdoor temperature, each is held against the median of the others, with its own
//! usual difference by the hour (sun on the wall, height) taken out. What no other sensor says for hours is the sensor's
//! fault, and at once what no weather and no sun does within an hour or two. With fewer sites nothing says which of them is wrong, and nothing is told; models of load use the median of
//! all, so that one wrong sensor moves none of them.

use serde::{Deserialize, Serialize};

use super::{
    course::AGAIN_BINS,
    relation::{Course, Learns, Relation, SCALES, Tail, Take},
    rls::INPUTS,
    values::{Means, median_of},
};
use crate::{
    bins::BIN_US,
    layout::Role,
    network::statements::{Fact, Place, Statement, Telling},
    quality::{Fault, Quality},
};

/// Sites besides its own that a sensor is held against.
const OTHERS_MIN: usize = 2;
/// Sensors in radiation shields differ by less, K; those on walls shift against one another by this within a season.
const SMALLEST_KELVIN: f64 = 3.0;
const FLOOR_KELVIN: f64 = 0.2;
/// Hours that it must last: the sun comes back every day, and its share is learned by the hour.
const LASTS_BINS: i64 = 48;
/// Off by so much within so few quarter hours is neither a front nor the sun, K. A cold front brings some 10 K in an hour, to all
/// sensors of a city.
const LEAP_KELVIN: f64 = 15.0;
const LEAP_BINS: std::ops::RangeInclusive<i64> = 4..=8;
const IN_LINE: f64 = 3.5;
const CLEAR_BINS: u32 = 48;

#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
struct Sensor {
    signal: u32,
    relation: Relation,
    off_since: Option<i64>,
    in_line: u32,
    said: Option<Fault>,
    /// When it was right again, and what it was before.
    over: Option<(i64, Fault)>,
}

/// The outdoor sensors of a network.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Outdoors {
    /// In order of signals.
    sensors: Vec<Sensor>,
    tail: Tail,
}

impl Outdoors {
    /// Takes a quarter hour. `angle` is that of the hour.
    pub(super) fn take(&mut self, means: Means<'_>, bin: i64, angle: f64) {
        let now: Vec<(u32, f64)> = means
            .layout
            .sites
            .iter()
            .filter_map(|site| {
                Some((site.signal(Role::OutdoorTemperature)?, means.of(site, Role::OutdoorTemperature)?))
            })
            .collect();
        if now.len() <= OTHERS_MIN {
            return;
        }
        for (signal, celsius) in &now {
            let others = now.iter().filter(|(other, _)| other != signal).map(|(_, celsius)| *celsius);
            let Some(others) = median_of(others, OTHERS_MIN) else { continue };
            let mut inputs = [0.0; INPUTS];
            inputs[..5].copy_from_slice(&[
                1.0,
                angle.cos(),
                angle.sin(),
                (2.0 * angle).cos(),
                (2.0 * angle).sin(),
            ]);
            let at = match self.sensors.binary_search_by_key(signal, |sensor| sensor.signal) {
                Ok(at) => at,
                Err(at) => {
                    self.sensors.insert(at, Sensor { signal: *signal, ..Sensor::default() });
                    at
                }
            };
            let sensor = &mut self.sensors[at];
            let learns = if sensor.said.is_some() { Learns::Held } else { Learns::Yes };
            let target = celsius - others;
            let take = Take { bin, inputs: &inputs, target, common: 0.0, floor: FLOOR_KELVIN, learns };
            sensor.relation.take(take, &mut self.tail);
        }
    }

    /// Which sensors became wrong or right.
    pub(super) fn judge(&mut self, bin: i64, per_month: f64, quality: &mut Quality) -> Vec<Statement> {
        let mut said = Vec::new();
        let thresholds = self.tail.thresholds(per_month);
        for sensor in self.sensors.iter_mut().filter(|sensor| sensor.relation.is_current(bin)) {
            let relation = &sensor.relation;
            if let Some(fault) = sensor.said {
                let is_in_line = relation.z(0, FLOOR_KELVIN).abs() < IN_LINE
                    || relation.mean(0).abs() < SMALLEST_KELVIN / 2.0;
                sensor.in_line = if is_in_line { sensor.in_line + 1 } else { 0 };
                if sensor.in_line >= CLEAR_BINS {
                    sensor.said = None;
                    sensor.in_line = 0;
                    sensor.relation.settle();
                    quality.closes(sensor.signal);
                    sensor.over = Some((bin, fault));
                    said.push(statement(sensor.signal, fault, bin, 0.0, false));
                }
                continue;
            }
            let is_off = (0..SCALES).any(|scale| {
                let mean = relation.mean(scale);
                relation.z(scale, FLOOR_KELVIN).abs() > thresholds[scale]
                    && mean.abs() > SMALLEST_KELVIN
                    && relation.mean(0) * mean.signum() > 0.5 * mean.abs()
            });
            if !is_off {
                sensor.off_since = None;
                continue;
            }
            let since = *sensor.off_since.get_or_insert(bin);
            let has_leapt = LEAP_BINS.contains(&(bin - since)) && relation.mean(0).abs() > LEAP_KELVIN;
            if bin - since < LASTS_BINS && !has_leapt {
                continue;
            }
            let fault = if has_leapt {
                Fault::Rate
            } else if relation.course() == Course::Ramp {
                Fault::Drift
            } else {
                Fault::Bias
            };
            let before = sensor.over.filter(|(over, _)| bin - over < AGAIN_BINS);
            let fault = before.map_or(fault, |(_, before)| before);
            if quality.opens(sensor.signal, fault, (bin + 1) * BIN_US).is_some() {
                sensor.said = Some(fault);
                sensor.off_since = None;
                let mut statement = statement(sensor.signal, fault, since, relation.mean(0), true);
                if before.is_some() {
                    statement.telling = Telling::Again;
                }
                said.push(statement);
            }
        }
        said
    }

    /// Sensors that others tell the level of, each with the least bias that they can show, K.
    pub(super) fn told(&self, per_month: f64) -> impl Iterator<Item = (u32, f64)> {
        let thresholds = self.tail.thresholds(per_month);
        self.sensors.iter().filter(|sensor| sensor.relation.is_known()).map(move |sensor| {
            let shows = |scale: usize| thresholds[scale] * sensor.relation.sigma(scale, FLOOR_KELVIN);
            let least = (0..SCALES).map(shows).fold(f64::INFINITY, f64::min);
            (sensor.signal, least.max(SMALLEST_KELVIN))
        })
    }
}

fn statement(signal: u32, fault: Fault, since_bin: i64, off: f64, active: bool) -> Statement {
    let fact = Fact { signal: Some(signal), what: "outdoor_temperature_off", value: off, unit: "K" };
    Statement {
        detector: "thermal",
        class: heat_model::incident::Class::SensorFault,
        kind: Some(fault.kind()),
        place: Place::Signal(signal),
        onset_us: since_bin * BIN_US,
        active,
        facts: if active { vec![fact] } else { Vec::new() },
        strength: off.abs(),
        affected: Vec::new(),
        telling: Telling::Anew,
    }
}
