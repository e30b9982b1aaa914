//! Which of a site's deviations are worth listing.
//!
//! An episode lasts while a site is off; its mass is the sum of its squared deviates, window by window. A length times a
//! square has a tail like exp(-sqrt(mass)), so the limit that the site's own episodes exceed so seldom as the budget says
//! follows from how often they came and how heavy they were. Listed ones count as well: a site that is often off in the
//! same way is listed once, and not every week.

use serde::{Deserialize, Serialize};

use super::model::{LEARN_FRAMES, WINDOW};

/// What is assumed of a site before it had episodes: three of this mass.
const PRIOR_EPISODES: f64 = 3.0;
const PRIOR_MASS: f64 = 30.0;
/// Squared deviate that is nothing special.
const COMMON: f64 = 6.25;

#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub(super) struct Episodes {
    frames: u32,
    count: u32,
    total: f64,
    /// Mass of the episode that is on.
    mass: f64,
}

impl Episodes {
    /// Takes the deviate of a frame that was judged; `None` while the site is well. True while the episode is worth
    /// listing. `budget` is how many may be listed by frame.
    pub(super) fn take(&mut self, deviate: Option<f64>, budget: f64) -> bool {
        let limit = self.limit(budget);
        self.frames = self.frames.saturating_add(1);
        match deviate {
            Some(deviate) => {
                self.mass += (deviate * deviate - COMMON).max(0.0) / WINDOW as f64;
                self.mass > limit
            }
            None => {
                self.end();
                false
            }
        }
    }

    /// The episode is over, or broken off.
    pub(super) fn end(&mut self) {
        if self.mass > 0.0 {
            self.count = self.count.saturating_add(1);
            self.total += self.mass;
            self.mass = 0.0;
        }
    }

    fn limit(&self, budget: f64) -> f64 {
        let count = f64::from(self.count) + PRIOR_EPISODES;
        let mean = (self.total + PRIOR_EPISODES * PRIOR_MASS) / count;
        let rate = count / f64::from(self.frames.saturating_add(LEARN_FRAMES));
        let rarity = (rate / budget.max(f64::MIN_POSITIVE)).ln().max(1.0);
        // Mean of the law is twice its scale.
        mean / 2.0 * rarity * rarity
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// One listed in 20 months of quarter hours.
    const BUDGET: f64 = 0.05 / 2_880.0;

    fn episode(episodes: &mut Episodes, deviate: f64, frames: u32) -> bool {
        let listed = (0..frames).any(|_| episodes.take(Some(deviate), BUDGET));
        episodes.take(None, BUDGET);
        listed
    }

    #[test]
    fn a_heavy_episode_is_listed_and_the_same_again_and_again_is_not() {
        let mut episodes = Episodes::default();
        for _ in 0..1_000 {
            assert!(!episodes.take(None, BUDGET));
        }
        assert!(!episode(&mut episodes, 4.0, 6));
        let listed = (0..40).filter(|_| episode(&mut episodes, 12.0, 60)).count();
        assert!((1..=4).contains(&listed), "{listed}");
    }

    #[test]
    fn a_smaller_budget_asks_for_a_heavier_episode() {
        let episodes = Episodes::default();
        assert!(episodes.limit(BUDGET / 100.0) > episodes.limit(BUDGET));
    }
}
