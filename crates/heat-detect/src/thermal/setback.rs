//! Night set-back that is lost: a station that used to go down at night, and no longer does.
//!
//! A day's course of the secondary supply is kept by hour, as the difference to the day's own mean, with a memory of
//! two weeks. The four hours in which it is lowest are the station's night; how far it goes down there is its usual
//! set-back, whatever the hours are called and wherever the station stands. It is lost when less than
//! [`LOST_SHARE`] of it is left for [`NIGHTS`] nights on which it was not colder than when it was learned: in a
//! cold snap, plants heat through on purpose. Stations that lose it together were told to, and are not told.
//!
//! Cold start: twice [`DAYS_KNOWN`] days; a set-back that varies from night to night is none. It clears with the first night that has it again, and is the new
//! normal after two weeks.

use serde::{Deserialize, Serialize};

const HOURS: usize = 24;
/// Hours of the night.
const NIGHT: usize = 4;
/// Indoor temperature for the loss of a heated house, degC.
const INDOOR_CELSIUS: f64 = 20.0;
/// A set-back of less is none, K.
const DEPTH_MIN_KELVIN: f64 = 2.0;
/// Share of the usual depth below which it is lost, and above which it is there.
const LOST_SHARE: f64 = 0.3;
const THERE_SHARE: f64 = 0.6;
/// Standard deviations of a regular set-back that it is deep.
const REGULAR: f64 = 3.0;
/// Nights in a row.
const NIGHTS: u8 = 4;
const DAYS_KNOWN: u16 = 10;
const MEMORY_DAYS: f64 = 14.0;
/// Nights after which what is lost is how the station is run.
const ACCEPT_NIGHTS: u8 = 14;
/// Nights this much colder than those learned are no evidence, K.
const COLDER_KELVIN: f64 = 1.0;
/// Hours of a day with readings for it to count.
const HOURS_MIN: usize = 20;
/// Days begin at noon UTC, so that from Europe to China no night is cut.
const BEGINS_HOUR: i64 = 12;

#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
struct Mean {
    sum: f32,
    count: u16,
}

/// One station's nights.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Setback {
    day: Option<i64>,
    hours: [Mean; HOURS],
    outdoor: Mean,
    /// Usual difference to the day's mean, by hour from noon UTC.
    usual: [f32; HOURS],
    usual_outdoor: f32,
    /// Mean and variance of how far its nights went down.
    depth: f32,
    depth_variance: f32,
    days: u16,
    lost: u8,
    pub(super) said: bool,
}

/// What a day that ended says of its night.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Night {
    /// It has no set-back, or is not known yet, or too cold a night to tell.
    Unknown,
    /// It went down as usual.
    There,
    /// It did not; how far it usually does and did, K, and the day's mean.
    Lost { usual: f64, depth: f64, mean: f64 },
}

impl Night {
    /// Heat that a day with such a night takes beyond its usual, as a share: the night's part of the day, by how much
    /// warmer the house's supply is kept.
    pub(super) fn warmer(self) -> f64 {
        match self {
            Self::Unknown | Self::There => 0.0,
            Self::Lost { usual, depth, mean } => {
                (usual - depth) / (mean - INDOOR_CELSIUS).max(5.0) * NIGHT as f64 / HOURS as f64
            }
        }
    }
}

impl Setback {
    /// Takes a quarter hour; what the day that it ends says.
    pub(super) fn take(&mut self, bin: i64, supply: Option<f64>, outdoor: Option<f64>) -> Option<Night> {
        let hour = bin.div_euclid(4) - BEGINS_HOUR;
        let day = hour.div_euclid(24);
        let ended = self.day.replace(day).filter(|before| *before < day).map(|_| self.end_day());
        let add = |mean: &mut Mean, value: Option<f64>| {
            if let Some(value) = value {
                mean.sum += value as f32;
                mean.count += 1;
            }
        };
        add(&mut self.hours[hour.rem_euclid(24) as usize], supply);
        add(&mut self.outdoor, outdoor);
        ended
    }

    fn end_day(&mut self) -> Night {
        let hours = std::mem::take(&mut self.hours);
        let outdoor = std::mem::take(&mut self.outdoor);
        let of = |mean: &Mean| (mean.count > 0).then(|| f64::from(mean.sum) / f64::from(mean.count));
        let known: Vec<f64> = hours.iter().filter_map(of).collect();
        if known.len() < HOURS_MIN {
            return Night::Unknown;
        }
        let mean = known.iter().sum::<f64>() / known.len() as f64;
        let course: [f64; HOURS] = std::array::from_fn(|at| of(&hours[at]).map_or(0.0, |value| value - mean));
        let outdoor = of(&outdoor);
        if self.days < DAYS_KNOWN {
            self.learn(&course, outdoor);
            return Night::Unknown;
        }
        let (usual, night) = self.night();
        if usual < DEPTH_MIN_KELVIN {
            self.learn(&course, outdoor);
            return Night::Unknown;
        }
        let depth = -course[night..night + NIGHT].iter().sum::<f64>() / NIGHT as f64;
        // One that is run by hand, some nights so and some so, has no set-back to lose.
        let is_regular =
            f64::from(self.depth_variance).sqrt() * REGULAR < usual && self.days >= 2 * DAYS_KNOWN;
        let is_colder = outdoor.is_some_and(|now| now < f64::from(self.usual_outdoor) - COLDER_KELVIN);
        if depth < LOST_SHARE * usual && is_regular {
            return if is_colder { Night::Unknown } else { Night::Lost { usual, depth, mean } };
        }
        self.learn(&course, outdoor);
        if depth > THERE_SHARE * usual { Night::There } else { Night::Unknown }
    }

    /// How far it goes down in its lowest hours, and where they begin.
    fn night(&self) -> (f64, usize) {
        (0..=HOURS - NIGHT)
            .map(|at| {
                let sum: f32 = self.usual[at..at + NIGHT].iter().sum();
                (-f64::from(sum) / NIGHT as f64, at)
            })
            .max_by(|a, b| a.0.total_cmp(&b.0))
            .unwrap_or((0.0, 0))
    }

    fn learn(&mut self, course: &[f64; HOURS], outdoor: Option<f64>) {
        self.days = self.days.saturating_add(1);
        let weight = (1.0 / f64::from(self.days).min(MEMORY_DAYS)) as f32;
        let (_, night) = self.night();
        let depth = (-course[night..night + NIGHT].iter().sum::<f64>() / NIGHT as f64) as f32;
        let off = depth - self.depth;
        self.depth += weight * off;
        self.depth_variance += weight * (off * off - self.depth_variance);
        for (usual, now) in self.usual.iter_mut().zip(course) {
            *usual += weight * (*now as f32 - *usual);
        }
        if let Some(outdoor) = outdoor {
            self.usual_outdoor += weight * (outdoor as f32 - self.usual_outdoor);
        }
    }

    /// Heating has ended; whether it was said to be lost.
    pub(super) fn ends(&mut self) -> bool {
        self.lost = 0;
        std::mem::take(&mut self.said)
    }

    /// Follows nights: true when it begins to be lost, false when it is over. `is_common`: many lost it at once.
    pub(super) fn follow(&mut self, night: Night, is_common: bool) -> Option<bool> {
        match night {
            Night::Unknown => None,
            Night::There => {
                self.lost = 0;
                std::mem::take(&mut self.said).then_some(false)
            }
            Night::Lost { .. } if is_common => None,
            Night::Lost { .. } => {
                self.lost = self.lost.saturating_add(1);
                if self.lost > ACCEPT_NIGHTS {
                    let was_said = self.said;
                    *self = Self { day: self.day, ..Self::default() };
                    return was_said.then_some(false);
                }
                (self.lost >= NIGHTS && !std::mem::replace(&mut self.said, self.lost >= NIGHTS))
                    .then_some(true)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Days of a supply that goes down by `depth` from 22 to 5 o'clock in China, at some outdoor temperature.
    fn days(setback: &mut Setback, days: std::ops::Range<i64>, depth: f64, outdoor: f64) -> Vec<(i64, bool)> {
        let mut said = Vec::new();
        for bin in days.start * 96..days.end * 96 {
            let local = (bin.div_euclid(4) + 8).rem_euclid(24);
            let night = if (22..24).contains(&local) || local < 5 { depth } else { 0.0 };
            if let Some(night) = setback.take(bin, Some(45.0 - night), Some(outdoor)) {
                said.extend(setback.follow(night, false).map(|active| (bin / 96, active)));
            }
        }
        said
    }

    #[test]
    fn a_set_back_that_is_lost_is_told_after_four_nights_and_ends_with_the_first_that_has_it() {
        let mut setback = Setback::default();
        assert_eq!(days(&mut setback, 0..30, 8.0, 0.0), []);
        let lost = days(&mut setback, 30..36, 0.5, 0.0);
        assert!(matches!(lost.as_slice(), [(33..=34, true)]), "{lost:?}");
        let back = days(&mut setback, 36..39, 8.0, 0.0);
        assert!(matches!(back.as_slice(), [(37, false)]), "{back:?}");
    }

    #[test]
    fn heating_through_a_cold_snap_and_a_station_without_set_back_are_not_told() {
        let mut setback = Setback::default();
        days(&mut setback, 0..30, 8.0, 0.0);
        assert_eq!(days(&mut setback, 30..36, 0.5, -9.0), []);
        let mut flat = Setback::default();
        assert_eq!(days(&mut flat, 0..40, 0.5, 0.0), []);
    }
}
