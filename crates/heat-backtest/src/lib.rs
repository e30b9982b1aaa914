//! The backtest: what the live processor would have found in a recorded past, judged against what really happened.
//!
//! Is: recorded CSV files or the archive as the log's records ([`recorded`], [`archived`]), driven through the live
//! processor's own partition ([`heat_processor::part::Part`]: admission, ticks, core), what it said ([`run`]), judged
//! by the scorer of `heat-detect` ([`judge`]), told as table, JSON or HTML ([`report`]). Faults may be put in on the way ([`inject`]).
//! Is not: a detector, a second way of driving one, or a command line.
//!
//! Invariants:
//! - Labels are read by the judge only; what the detectors see is the data and the plant model.
//! - The same data give the same report, byte for byte; the clock is never asked.
//! - Memory is bounded whatever the length of the data; what a bound leaves out is said in the report's coverage.
//!
//! Start reading at [`run::Run`], then [`judge::judge`].
#![warn(missing_docs)]

pub mod archived;
pub mod inject;
pub mod judge;
pub mod recorded;
pub mod report;
pub mod run;
mod scores;

use heat_model::EventTime;

/// The stretch of append time that is looked at; open where it says nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Span {
    /// First instant.
    pub from: Option<EventTime>,
    /// First instant that is not looked at any more.
    pub to: Option<EventTime>,
}

impl Span {
    fn has_begun(&self, at_us: i64) -> bool {
        self.from.is_none_or(|from| from.as_micros() <= at_us)
    }

    fn is_over(&self, at_us: i64) -> bool {
        self.to.is_some_and(|to| to.as_micros() <= at_us)
    }
}
