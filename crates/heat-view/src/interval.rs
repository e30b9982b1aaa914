//! A signal's own interval, learned from the distances between its arrivals.
//!
//! The second largest of the last eight distances: one outage among them does not count, while a signal that is sent on
//! change, with distances of all sizes, still gets a deadline that it keeps. A median would call such a signal late
//! half of the time.

use std::time::Duration;

/// Distances remembered.
const KEPT: usize = 8;

/// The last distances between arrivals, in milliseconds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Interval {
    millis: [u32; KEPT],
    seen: u8,
    next: u8,
}

impl Interval {
    /// Remembers a distance; zero distances (several values in one record) say nothing and are left out.
    pub fn observe_micros(&mut self, micros: i64) {
        let Ok(millis) = u32::try_from(micros / 1_000) else { return };
        if millis == 0 {
            return;
        }
        self.millis[usize::from(self.next)] = millis;
        self.next = (self.next + 1) % 8;
        self.seen = self.seen.saturating_add(1).min(8);
    }

    /// The interval, once there is a distance to learn it from.
    pub fn learned(&self) -> Option<Duration> {
        let kept = &self.millis[..usize::from(self.seen)];
        let (mut largest, mut second) = (0, 0);
        for &millis in kept {
            if millis > largest {
                second = largest;
                largest = millis;
            } else if millis > second {
                second = millis;
            }
        }
        match kept.len() {
            0 => None,
            1 | 2 => Some(Duration::from_millis(largest.into())),
            _ => Some(Duration::from_millis(second.into())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(seconds: &[i64]) -> Option<Duration> {
        let mut interval = Interval::default();
        for second in seconds {
            interval.observe_micros(second * 1_000_000);
        }
        interval.learned()
    }

    #[test]
    fn one_outage_among_the_last_distances_does_not_stretch_the_interval() {
        assert_eq!(of(&[]), None);
        assert_eq!(of(&[10]), Some(Duration::from_secs(10)));
        assert_eq!(of(&[10, 10, 10, 3_600, 10]), Some(Duration::from_secs(10)));
    }

    #[test]
    fn a_signal_sent_on_change_gets_the_long_end_of_its_distances() {
        assert_eq!(of(&[5, 60, 7, 55, 20]), Some(Duration::from_secs(55)));
    }

    #[test]
    fn a_new_rhythm_is_learned_within_eight_arrivals() {
        assert_eq!(of(&[60, 60, 60, 60, 1, 1, 1, 1, 1, 1, 1, 1]), Some(Duration::from_secs(1)));
    }

    #[test]
    fn distances_of_nothing_and_backwards_are_left_out() {
        assert_eq!(of(&[0, -5]), None);
    }
}
