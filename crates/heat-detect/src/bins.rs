//! Means over quarter hours, per signal, for what needs no seconds.
//!
//! Two bins are open at a time, so that a late reading still finds its own.

use serde::{Deserialize, Serialize};

/// Width of a bin, seconds: the scan rate of slow plants, and short against the transit of any network.
pub(crate) const BIN_SECONDS: i64 = 900;
/// The same in microseconds.
pub(crate) const BIN_US: i64 = BIN_SECONDS * 1_000_000;
/// Bins in a day.
pub(crate) const BINS_PER_DAY: usize = 96;

#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
struct Sum {
    sum: f64,
    count: u32,
}

/// Open bins of one lane.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(crate) struct Bins {
    /// Lower of the two open bins; bins are numbered from the epoch.
    open: Option<i64>,
    sums: Vec<[Sum; 2]>,
    /// Signals that are set aside: they have no mean for those who build on them.
    aside: Vec<bool>,
}

/// Number of the bin that an instant lies in.
pub(crate) const fn bin_of(at_us: i64) -> i64 {
    at_us.div_euclid(BIN_US)
}

impl Bins {
    pub(crate) fn add_signal(&mut self) {
        self.sums.push(<[Sum; 2]>::default());
        self.aside.push(false);
    }

    /// Adds a value; false if its bin is not open.
    pub(crate) fn add(&mut self, signal: u32, at_us: i64, value: f64) -> bool {
        let bin = bin_of(at_us);
        let open = *self.open.get_or_insert(bin);
        if bin != open && bin != open + 1 {
            return false;
        }
        let sum = &mut self.sums[signal as usize][bin.rem_euclid(2) as usize];
        sum.sum += value;
        sum.count += 1;
        true
    }

    /// The lower open bin, if it has ended at `until_us`.
    pub(crate) fn ended(&self, until_us: i64) -> Option<i64> {
        self.open.filter(|open| (open + 1) * BIN_US <= until_us)
    }

    /// Sets signals aside, or takes them back.
    pub(crate) fn set_aside(&mut self, is_aside: impl Fn(u32) -> bool) {
        for (signal, aside) in (0_u32..).zip(&mut self.aside) {
            *aside = is_aside(signal);
        }
    }

    /// Mean of a signal in the lower open bin; none of one that is set aside.
    pub(crate) fn mean(&self, signal: u32) -> Option<f64> {
        self.measured(signal).filter(|_| !self.aside[signal as usize])
    }

    /// Mean of a signal in the lower open bin, also of one that is set aside: for those who judge the signal itself.
    pub(crate) fn measured(&self, signal: u32) -> Option<f64> {
        let bin = self.open?;
        let sum = self.sums[signal as usize][bin.rem_euclid(2) as usize];
        (sum.count > 0).then(|| sum.sum / f64::from(sum.count))
    }

    /// Number of a signal's values in the lower open bin.
    pub(crate) fn count(&self, signal: u32) -> u32 {
        self.open.map_or(0, |bin| self.sums[signal as usize][bin.rem_euclid(2) as usize].count)
    }

    /// Sum of a signal in the lower open bin.
    pub(crate) fn sum(&self, signal: u32) -> Option<f64> {
        let bin = self.open?;
        let sum = self.sums[signal as usize][bin.rem_euclid(2) as usize];
        (sum.count > 0).then_some(sum.sum)
    }

    /// Closes the lower open bin; after a gap of time the next one is that of `until_us`.
    pub(crate) fn close(&mut self, until_us: i64) {
        let Some(open) = self.open else { return };
        let newest = bin_of(until_us);
        for sums in &mut self.sums {
            sums[open.rem_euclid(2) as usize] = Sum::default();
        }
        self.open = Some(open + 1);
        // Only the two open bins can hold anything, so nothing is skipped.
        if newest > open + 2
            && self.sums.iter().all(|sums| sums[(open + 1).rem_euclid(2) as usize].count == 0)
        {
            self.open = Some(newest - 1);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_late_value_finds_its_bin_until_the_bin_closes() {
        let mut bins = Bins::default();
        bins.add_signal();
        assert!(bins.add(0, 10, 1.0));
        assert!(bins.add(0, BIN_US + 1, 5.0));
        assert!(bins.add(0, 20, 3.0));
        assert_eq!(bins.ended(BIN_US - 1), None);
        assert_eq!(bins.ended(BIN_US), Some(0));
        assert_eq!(bins.mean(0), Some(2.0));

        bins.close(BIN_US);

        assert!(!bins.add(0, 30, 1.0));
        assert_eq!(bins.mean(0), Some(5.0));
    }

    #[test]
    fn a_signal_that_is_set_aside_has_no_mean_but_is_measured() {
        let mut bins = Bins::default();
        bins.add_signal();
        bins.add(0, 10, 1.0);
        bins.set_aside(|_| true);
        assert_eq!((bins.mean(0), bins.measured(0)), (None, Some(1.0)));
        bins.set_aside(|_| false);
        assert_eq!(bins.mean(0), Some(1.0));
    }

    #[test]
    fn a_gap_of_days_is_skipped_at_once() {
        let mut bins = Bins::default();
        bins.add_signal();
        bins.add(0, 0, 1.0);
        let until = 96 * BIN_US;
        let mut closed = 0;
        while bins.ended(until).is_some() {
            bins.close(until);
            closed += 1;
        }
        assert!(closed < 4, "{closed}");
    }
}
