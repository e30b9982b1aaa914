//! How often a signal spikes, by nature and in the last day.

use serde::{Deserialize, Serialize};

/// Days over which spikes are counted; and what a signal is taken to have by nature, per day.
const SPIKE_DAYS: f32 = 14.0;
const SPIKES_PRIOR: f32 = 0.02;

#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Spikes {
    /// A day, by nature; and those of the last day.
    rate: f32,
    of_day: f32,
    at_us: i64,
}

impl Spikes {
    /// A spike of this signal was no event of the plant.
    pub(super) fn note(&mut self, at_us: i64) {
        // Those of a day, and the natural rate of two weeks, fade.
        if self.at_us != 0 {
            let days = (at_us - self.at_us) as f32 / 86_400e6;
            self.of_day *= (-days).exp();
            self.rate *= (-days / SPIKE_DAYS).exp();
        }
        self.at_us = at_us;
        self.of_day += 1.0;
        self.rate += 1.0 / SPIKE_DAYS;
    }

    /// Whether it spiked now, and more often in the last day than this signal does by nature.
    pub(super) fn shows(&self, at_us: i64) -> bool {
        let natural = f64::from((self.rate - self.of_day / SPIKE_DAYS).max(SPIKES_PRIOR));
        // A Poisson count of this mean passes that once in some thousand days.
        at_us == self.at_us && f64::from(self.of_day) > 1.9 + natural + 3.7 * natural.sqrt()
    }
}
