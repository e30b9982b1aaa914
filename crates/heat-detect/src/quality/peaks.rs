//! Single readings that leave a slow signal's course and are back with the next.
//!
//! Where a signal is read every few minutes or hours, a step of the plant between two readings is as large as a spike, so
//! a standard deviation of the steps tells nothing. What a spike has and a step has not is the way back: the height of a
//! peak is the smaller of the steps to it and from it, with the same sign. Mornings and valves make peaks too, so a
//! peak is odd only beyond [`BEYOND`] times the height that one in twenty of the signal's own peaks passes; and where one
//! as high went the other way just before, a control loop hunts.

use serde::{Deserialize, Serialize};

/// Slow, and still slow: seconds between readings. Faster signals are judged by their tracker, and what is further apart says
/// nothing of one another.
const SLOW_S: f64 = 400.0;
const APART_S: f64 = 2.5 * 3_600.0;
/// Share of the peaks that are higher than what is usual; smaller ones than this, K, are the last digit's.
const HIGH_SHARE: f64 = 0.05;
const PEAK_KELVIN: f64 = 0.5;
const BEYOND: f64 = 1.2;
/// A peak that follows one of so large a share of its height the other way is an oscillation.
const HUNTS: f64 = 0.7;
/// And at least so high, K: only temperatures are looked at. The noise of flows and pressures has peaks of every height,
/// and they follow the plant within seconds.
const HIGH_KELVIN: f64 = 4.0;
/// Readings before the usual height is known, and how fast it follows afterwards.
const KNOWN: u16 = 150;
const FOLLOWS: f64 = 0.02;
const BEGINS: f64 = 0.1;
/// Peaks from this height on are kept as witnesses of what others show at the same time, K.
const WITNESS_KELVIN: f64 = 0.4;

/// The reading before the last was a peak.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub(super) struct Peak {
    pub(super) at_us: i64,
    /// With its sign.
    pub(super) height: f64,
    /// Whether it is higher than the signal's own past allows.
    pub(super) is_odd: bool,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Peaks {
    at_us: [i64; 2],
    values: [f64; 2],
    /// The last peak's height.
    height: f64,
    seen: u16,
    /// Peaks that the usual height was learned from.
    peaks: u16,
    usual: f64,
}

impl Peaks {
    /// Takes a measurement; the peak that it ends, if one that is worth a look.
    pub(super) fn take(&mut self, at_us: i64, value: f64) -> Option<Peak> {
        let seconds = |later: i64, earlier: i64| (later - earlier) as f64 / 1e6;
        let (first, middle) = (seconds(self.at_us[1], self.at_us[0]), seconds(at_us, self.at_us[1]));
        let (up, down) = (self.values[1] - self.values[0], self.values[1] - value);
        let peak_us = self.at_us[1];
        (self.at_us, self.values) = ([self.at_us[1], at_us], [self.values[1], value]);
        if ![first, middle].iter().all(|apart| (SLOW_S..APART_S).contains(apart)) {
            self.height = 0.0;
            return None;
        }
        let height = if up * down > 0.0 { up.abs().min(down.abs()).copysign(up) } else { 0.0 };
        let before = std::mem::replace(&mut self.height, height);
        let hunts = before * height < 0.0 && before.abs() > HUNTS * height.abs();
        let odd_from = (BEYOND * self.usual).max(HIGH_KELVIN);
        let is_odd = self.seen >= KNOWN && height.abs() > odd_from && !hunts;
        self.learn(height.abs());
        (height.abs() >= WITNESS_KELVIN).then_some(Peak { at_us: peak_us, height, is_odd })
    }

    /// Follows the height that [`HIGH_SHARE`] of the peaks pass.
    fn learn(&mut self, height: f64) {
        self.seen = self.seen.saturating_add(1);
        if height < PEAK_KELVIN {
            return;
        }
        self.peaks = self.peaks.saturating_add(1);
        let step = FOLLOWS.max(1.0 / f64::from(self.peaks));
        if height > self.usual {
            // From next to nothing it begins with a part of what there is.
            let grown = self.usual * (1.0 + step * (1.0 - HIGH_SHARE));
            self.usual = grown.max(BEGINS * height).min(height);
        } else {
            self.usual *= 1.0 - step * HIGH_SHARE;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR_US: i64 = 3_600_000_000;

    /// A signal that swings by day and steps by 30 K each morning and evening.
    fn plain(hour: i64) -> f64 {
        let by_night = if hour % 24 < 6 { -30.0 } else { 0.0 };
        70.0 + by_night + 0.1 * (hour * 7 % 11) as f64
    }

    fn run(peaks: &mut Peaks, hours: std::ops::Range<i64>, value: impl Fn(i64) -> f64) -> Vec<i64> {
        hours
            .filter_map(|hour| peaks.take((hour + 1) * HOUR_US, value(hour)))
            .filter(|peak| peak.is_odd)
            .map(|peak| peak.at_us / HOUR_US - 1)
            .collect()
    }

    #[test]
    fn a_reading_that_leaves_and_comes_back_is_a_peak_and_a_step_of_the_plant_is_none() {
        let mut peaks = Peaks::default();
        assert!(run(&mut peaks, 0..600, plain).is_empty());
        let spiked = |hour: i64| plain(hour) + if hour % 9 == 0 { 12.0 } else { 0.0 };
        assert_eq!(run(&mut peaks, 600..640, spiked), [603, 612, 621, 630]);
    }

    #[test]
    fn a_loop_that_hunts_has_peaks_and_no_spikes() {
        let mut peaks = Peaks::default();
        run(&mut peaks, 0..600, plain);
        let hunting = |hour: i64| plain(hour) + if hour % 2 == 0 { 15.0 } else { 0.0 };
        assert!(run(&mut peaks, 602..640, hunting).len() <= 2, "but for the first");
    }

    #[test]
    fn a_signal_that_peaks_by_nature_has_no_odd_peaks() {
        let mut peaks = Peaks::default();
        let restless = |hour: i64| plain(hour) + if hour % 13 == 0 { 20.0 } else { 0.0 };
        run(&mut peaks, 0..2_500, restless);
        assert!(run(&mut peaks, 2_500..2_900, restless).is_empty());
    }
}
