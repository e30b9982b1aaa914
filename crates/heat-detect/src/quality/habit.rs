//! How a signal usually rests, from quarter hour to quarter hour: what stands still longer than its habit is stuck.
//!
//! How long a value may stand still follows from how often this signal repeats itself, so a coarse or slow signal is not
//! taken for a stuck one.

use serde::{Deserialize, Serialize};

/// How many quarter hours with readings a value must stand still at least, and the chance that is left to it: a slow scan
/// has few readings, and each of them says more.
const STUCK_BINS: u16 = 5;
const STUCK_LOG_CHANCE: f64 = -15.0;
/// What a signal's longest rest loses with each quarter hour with readings.
const REST_FADES: f32 = 1.0 / 1_500.0;
/// Memory of the habit of repeating, quarter hours.
const HABIT_BINS: f32 = 2_000.0;
/// Weight of a look in the habit of the last day, and how much calmer than usual that must be to count.
const CALM_WEIGHT: f32 = 1.0 / 24.0;
const CALMER: f32 = 0.1;
/// Where it has moved by less than this share of its usual stride, it must stand still so many times longer.
const CALM_STRIDE: f32 = 0.25;
const CALM_LOOKS: f64 = 3.0;
/// Quarter hours before that habit is known, and those in which it must have moved: what never did has no habit.
const HABIT_KNOWN: u16 = 96;
const MOVED_MIN: u16 = 24;
/// What is taken for still: an hour's worth of looks.
const STILL_BINS: u16 = 4;

#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Habit {
    /// Quarter hours for which the value has stood still; the longest such time that ended, and the one that just did.
    still: u16,
    longest: f32,
    rested: u16,
    /// Quarter hours with readings since it moved, whatever the site did.
    rests: u16,
    /// Quarter hours in which it moved.
    moved: u16,
    /// Quarter hours in which the site moved, and the share of them without a change.
    looks: u16,
    repeats: f32,
    /// The same over the last day or so.
    calm: f32,
    /// Its value at the end of the last quarter hour; none before the first.
    closed: Option<f64>,
    /// How far it moves from one quarter hour to the next, usually and over the last day or so: a circuit that comes to rest
    /// grows calm.
    stride: f32,
    recent_stride: f32,
}

impl Habit {
    /// A quarter hour with readings ends. `site_moves`: whether the other signals of the site moved in it.
    pub(super) fn close_bin(&mut self, last: f64, changed: bool, site_moves: bool) {
        self.rests = if changed { 0 } else { self.rests.saturating_add(1) };
        if changed {
            self.rested = self.still;
            self.still = 0;
            self.moved = self.moved.saturating_add(1);
        } else if site_moves {
            self.still = self.still.saturating_add(1);
        }
        let stride = self.closed.map_or(0.0, |closed| (last - closed).abs() as f32);
        if site_moves {
            self.look(stride, changed);
        }
        self.closed = Some(last);
    }

    fn look(&mut self, stride: f32, changed: bool) {
        self.looks = self.looks.saturating_add(1);
        let weight = 1.0 / f32::from(self.looks).min(HABIT_BINS);
        self.stride += weight * (stride - self.stride);
        // What is held against it does not become its habit.
        let is_ordinary = self.still < STUCK_BINS;
        if is_ordinary {
            // One start of the plant does not make the day lively.
            self.recent_stride += CALM_WEIGHT * (stride.min(2.0 * self.stride) - self.recent_stride);
        }
        if changed {
            self.repeats -= weight * self.repeats;
            self.calm -= CALM_WEIGHT * self.calm;
        } else if is_ordinary {
            self.repeats += weight * (1.0 - self.repeats);
            self.calm += CALM_WEIGHT * (1.0 - self.calm);
        }
    }

    /// A rest that ended while the rest of its site moved is how this signal is; one that was its fault is not.
    pub(super) fn note_rest(&mut self, is_its_own: bool) {
        self.longest *= 1.0 - REST_FADES;
        let rested = std::mem::take(&mut self.rested);
        if is_its_own {
            self.longest = self.longest.max(f32::from(rested));
        }
    }

    /// Whether it has moved often enough to be known for it.
    pub(super) const fn is_known_to_move(&self) -> bool {
        self.moved >= MOVED_MIN
    }

    /// Logarithm of the chance that it repeats itself for as long as it has.
    pub(super) fn log_chance_of_rest(&self) -> f64 {
        f64::from(self.rests) * log_of(self.repeats)
    }

    pub(super) const fn is_still(&self) -> bool {
        self.still >= STILL_BINS
    }

    /// Whether it stands still for longer than it does by itself.
    pub(super) fn is_broken(&self) -> bool {
        if self.looks < HABIT_KNOWN || !self.is_known_to_move() {
            return false;
        }
        let repeats = if self.calm > 2.0 * self.repeats + CALMER { self.calm } else { self.repeats };
        let slows = if self.recent_stride < CALM_STRIDE * self.stride { CALM_LOOKS } else { 1.0 };
        let by_chance = STUCK_LOG_CHANCE / log_of(repeats);
        let least = by_chance.max(f64::from(STUCK_BINS)).max(2.0 * f64::from(self.longest));
        f64::from(self.still) >= slows * least
    }
}

/// Logarithm of the share of quarter hours without a change; never nothing and never certainty.
fn log_of(repeats: f32) -> f64 {
    f64::from(repeats.max(0.05)).ln().min(-1e-3)
}
