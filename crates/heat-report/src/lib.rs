//! The report of a season or a day: what failed, what it cost, what was repaired, and how the city was heated.
//!
//! Is: facts folded as they are read ([`cases`] from incidents, commands and tickets, [`hours`] from meters), held
//! against what the plant tables say there is ([`ground`]), summed up ([`report`]) and told ([`tell`]); all of it pure.
//! Only [`read`] touches the archive. Is not: a detector (what failed is what the processor said), or a command line.
//!
//! Invariants:
//! - Every figure carries its numerator and denominator; one that cannot be told says what it lacks, and is never 0.
//! - A day counts for a meter only with [`hours::DAY_HOURS_MIN`] hours of it, and in a ratio only where both sides have it.
//! - Of homes only sums of ten homes and more come out.
//! - The same archive, plant tables and span give the same bytes; the clock is an argument.
//!
//! Start reading at [`report::report`].
#![warn(missing_docs)]

pub mod cases;
pub mod convert;
pub mod figure;
pub mod ground;
pub mod hours;
pub mod peers;
pub mod rank;
pub mod read;
pub mod report;
pub mod rooms;
pub mod shape;
pub mod tell;
#[cfg(test)]
mod tests;

use heat_model::{EventTime, time::MICROS_PER_DAY};
use heat_view::Deadlines;
use jiff::{Timestamp, tz::TimeZone};

/// The stretch of time that a report is about, and the clock that its days follow.
#[derive(Debug, Clone, PartialEq)]
pub struct Span {
    /// First instant.
    pub from: EventTime,
    /// First instant that does not belong to it.
    pub to: EventTime,
    /// Whose days count.
    pub zone: TimeZone,
}

impl Span {
    /// The day at this zone's clock, in days since 1970-01-01, and the hour of the day.
    pub fn day_and_hour(&self, at_us: i64) -> (i32, u32) {
        let offset_s =
            Timestamp::from_microsecond(at_us).map_or(0, |at| i64::from(self.zone.to_offset(at).seconds()));
        let local_us = at_us.saturating_add(offset_s * 1_000_000);
        let day = i32::try_from(local_us.div_euclid(MICROS_PER_DAY)).unwrap_or(i32::MAX);
        let hour = local_us.rem_euclid(MICROS_PER_DAY) / 3_600_000_000;
        (day, u32::try_from(hour).unwrap_or(0))
    }

    /// Whether it holds an instant.
    pub fn holds(&self, at_us: i64) -> bool {
        self.from.as_micros() <= at_us && at_us < self.to.as_micros()
    }

    /// Its length in days.
    pub fn days(&self) -> f64 {
        self.to.since(self.from).as_secs_f64() / 86_400.0
    }
}

/// What the report is measured by.
#[derive(Debug, Clone, PartialEq)]
pub struct Settings {
    /// When repair work is due.
    pub deadlines: Deadlines,
    /// What homes are promised, degC.
    pub promised_celsius: f64,
    /// A day colder than this is counted by its difference to it, degC (HDD18).
    pub base_celsius: f64,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            deadlines: Deadlines::default(),
            promised_celsius: heat_view::rooms::PROMISED_CELSIUS,
            base_celsius: 18.0,
        }
    }
}
