//! One signal, as the burst rule sees it: where it stood a minute ago, how much it usually moves, how far it is off.
//!
//! The reference is an exponential mean over a minute (or the sample before, where scans are slower). Its own
//! innovations give the scale, apart for fast and slow scans, because a signal moves more in 15 min than in 10 s. The
//! reference waits while a signal is off, so that a burst's ramp of half a minute is seen whole; a signal that stays
//! off is accepted as the new normal after [`STREAK_MAX`] samples and [`STREAK_SECONDS`].

use serde::{Deserialize, Serialize};

/// Time constant of the reference, seconds.
const REFERENCE_SECONDS: f64 = 60.0;
/// Innovations averaged for the scale.
const SCALE_SAMPLES: f32 = 200.0;
/// Samples before a learned scale may be smaller than its prior.
const SCALE_LEARNED: u16 = 20;
/// Beyond this many standard deviations the reference waits.
const HOLD_Z: f64 = 2.5;
/// Samples off before the new level is accepted.
const STREAK_MAX: u8 = 6;
/// And seconds off.
const STREAK_SECONDS: f64 = 240.0;
/// A signal silent for longer starts anew: what it was before says nothing about a step.
const GAP_MAX_SECONDS: f64 = 7_200.0;

/// Scans up to this many seconds apart are fast.
const FAST_SECONDS: f64 = 60.0;
/// Up to this many, medium; beyond, slow.
const MEDIUM_SECONDS: f64 = 400.0;

#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
pub(crate) struct Tracker {
    /// Event time of the last value, microseconds.
    pub(crate) at_us: i64,
    /// The last value.
    pub(crate) value: f64,
    /// The reference.
    pub(crate) reference: f64,
    /// Seconds between the last two values.
    pub(crate) interval_s: f32,
    /// When the current streak of off values began, microseconds; 0 while in line.
    pub(crate) off_since_us: i64,
    streak: u8,
    /// Standard deviation of the innovations per scan class.
    scale: [f32; 3],
    samples: [u16; 3],
    pub(crate) seen: bool,
    /// What the last value said, in standard deviations; for onlookers only.
    #[serde(skip)]
    pub(crate) last_z: Option<f32>,
}

/// What one value says.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Step {
    /// Value less reference.
    pub(crate) change: f64,
    /// The same in standard deviations.
    pub(crate) z: f64,
}

impl Tracker {
    /// A tracker that has seen one value.
    pub(crate) fn standing(at_us: i64, value: f64) -> Self {
        Self { at_us, value, reference: value, seen: true, ..Self::default() }
    }

    fn class(interval_s: f64) -> usize {
        if interval_s <= FAST_SECONDS {
            0
        } else if interval_s <= MEDIUM_SECONDS {
            1
        } else {
            2
        }
    }

    /// Scale of the class in use; `prior` is what is assumed until enough was seen (grown for slower scans).
    fn scale_of(&self, class: usize, prior: f64) -> f64 {
        let prior = prior * [1.0, 1.7, 3.0][class];
        let learned = f64::from(self.scale[class]);
        if self.samples[class] >= SCALE_LEARNED { learned.max(prior * 0.2) } else { learned.max(prior) }
    }

    /// Takes a value; `None` for the first one, after a gap, or out of order.
    pub(crate) fn observe(&mut self, at_us: i64, value: f64, prior: f64) -> Option<Step> {
        let elapsed = (at_us - self.at_us) as f64 / 1e6;
        if !self.seen || elapsed > GAP_MAX_SECONDS {
            self.at_us = at_us;
            self.value = value;
            self.reference = value;
            self.interval_s = 0.0;
            self.off_since_us = 0;
            self.streak = 0;
            self.seen = true;
            self.last_z = None;
            return None;
        }
        if elapsed <= 0.0 {
            return None;
        }
        self.interval_s = elapsed as f32;
        self.at_us = at_us;
        self.value = value;
        let class = Self::class(elapsed);
        let scale = self.scale_of(class, prior);
        let change = value - self.reference;
        let z = change / scale;
        self.last_z = Some(z as f32);
        if z.abs() > HOLD_Z {
            if self.streak == 0 {
                self.off_since_us = at_us;
            }
            self.streak = self.streak.saturating_add(1);
            if self.streak >= STREAK_MAX && (at_us - self.off_since_us) as f64 / 1e6 >= STREAK_SECONDS {
                self.reference = value;
                self.streak = 0;
                self.off_since_us = 0;
            }
        } else {
            self.streak = 0;
            self.off_since_us = 0;
            let weight = 1.0 - (-elapsed / REFERENCE_SECONDS.max(elapsed)).exp();
            self.reference += weight * change;
        }
        let samples = &mut self.samples[class];
        *samples = samples.saturating_add(1);
        let weight = 1.0 / f32::from((*samples).min(SCALE_SAMPLES as u16)).max(1.0);
        // Clipped, so that one burst does not blind the next; 1.25 turns a mean deviation into a standard one.
        let deviation = (change.abs() * 1.25).min(4.0 * scale) as f32;
        let learned = &mut self.scale[class];
        *learned += weight * (deviation - *learned);
        Some(Step { change, z })
    }

    /// Takes a status: its reference is what it was before it last changed, for as long as a new level is new, however
    /// long it had said nothing.
    pub(crate) fn observe_status(&mut self, at_us: i64, value: f64) {
        if !self.seen {
            *self = Self::standing(at_us, value);
            return;
        }
        let elapsed = (at_us - self.at_us) as f64 / 1e6;
        if elapsed <= 0.0 {
            return;
        }
        if (value - self.value).abs() > 0.5 {
            self.reference = self.value;
            self.off_since_us = at_us;
        } else if (at_us - self.off_since_us) as f64 / 1e6 >= STREAK_SECONDS {
            self.reference = value;
            self.off_since_us = 0;
        }
        self.interval_s = elapsed as f32;
        self.at_us = at_us;
        self.value = value;
    }

    /// Standard deviation of a change at the present scan rate.
    pub(crate) fn sigma(&self, prior: f64) -> f64 {
        self.scale_of(Self::class(f64::from(self.interval_s)), prior)
    }

    /// Seconds from the value to `now`.
    pub(crate) fn age_s(&self, now_us: i64) -> f64 {
        (now_us - self.at_us) as f64 / 1e6
    }

    /// Whether the value is of about this time, before or after it: within two of its own intervals and a minute.
    pub(crate) fn is_of(&self, at_us: i64) -> bool {
        self.seen && self.age_s(at_us).abs() <= (2.0 * f64::from(self.interval_s)).max(60.0)
    }

    /// Whether a value is recent enough to say how things are: within two of its own intervals and a minute.
    pub(crate) fn is_current(&self, now_us: i64) -> bool {
        self.seen && self.age_s(now_us) <= (2.0 * f64::from(self.interval_s)).max(60.0)
    }
}
