//! An alarm's memory: on after the evidence has lasted, off after it has been gone.

use serde::{Deserialize, Serialize};

/// What the evidence says at a look.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Sight {
    /// Beyond the limit.
    Shows,
    /// Inside the limit by the deadband.
    Clear,
    /// Between the two, or nothing current to tell by: as it was.
    Unclear,
}

/// What a look changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Edge {
    None,
    On,
    Off,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Latch {
    /// Since when it shows, microseconds.
    pub(crate) since_us: Option<i64>,
    clear_since_us: Option<i64>,
    pub(crate) is_on: bool,
}

impl Latch {
    /// Takes what is seen at `now_us`. `on_us` and `off_us` are the delays.
    pub(crate) fn look(&mut self, sight: Sight, now_us: i64, on_us: i64, off_us: i64) -> Edge {
        match sight {
            Sight::Shows => {
                self.clear_since_us = None;
                let since_us = *self.since_us.get_or_insert(now_us);
                if !self.is_on && now_us - since_us >= on_us {
                    self.is_on = true;
                    return Edge::On;
                }
            }
            Sight::Clear => {
                if !self.is_on {
                    self.since_us = None;
                    return Edge::None;
                }
                let since_us = *self.clear_since_us.get_or_insert(now_us);
                if now_us - since_us >= off_us {
                    *self = Self::default();
                    return Edge::Off;
                }
            }
            Sight::Unclear => {}
        }
        Edge::None
    }

    /// Ends it without waiting; whether it was on.
    pub(crate) fn end(&mut self) -> bool {
        std::mem::take(self).is_on
    }

    /// Whether it is on and the newest evidence does not say clear.
    pub(crate) const fn still_shows(&self) -> bool {
        self.is_on && self.clear_since_us.is_none()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_turns_on_after_the_delay_holds_in_the_deadband_and_turns_off_after_the_other_delay() {
        let mut latch = Latch::default();
        let mut look = |sight, now_us| latch.look(sight, now_us, 30, 60);
        assert_eq!(look(Sight::Shows, 0), Edge::None);
        assert_eq!(look(Sight::Clear, 10), Edge::None);
        assert_eq!(look(Sight::Shows, 20), Edge::None, "the delay begins anew");
        assert_eq!(look(Sight::Shows, 49), Edge::None);
        assert_eq!(look(Sight::Shows, 50), Edge::On);
        assert_eq!(look(Sight::Shows, 60), Edge::None, "said once");
        assert_eq!(look(Sight::Unclear, 1_000), Edge::None);
        assert_eq!(look(Sight::Clear, 1_010), Edge::None);
        assert_eq!(look(Sight::Shows, 1_020), Edge::None, "no chattering");
        assert_eq!(look(Sight::Clear, 1_030), Edge::None);
        assert_eq!(look(Sight::Clear, 1_090), Edge::Off);
    }
}
