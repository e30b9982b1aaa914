//! Sequential tests on whitened residuals, with thresholds from the alarm budget.
//!
//! Page's CUSUM, `S = max(0, S + e - k)`, for several reference shifts k side by side: the optimal test for a shift of
//! 2k standard deviations, and a good one around it. e is the residual whitened by its own lag-1 correlation, so that
//! a wandering base loss does not add up, and winsorised, so that a single refill cannot raise an alarm alone.
//!
//! Thresholds: days of the network's own clean whitened residuals are drawn at random (block bootstrap; the seed is a
//! hash of the data) and run as months; the threshold is the quantile of the months' maxima that the budget allows. A
//! short history underrates its tail, so only a third of the budget is spent, and the threshold has a floor:
//! Siegmund's approximation for normal residuals.

use serde::{Deserialize, Serialize};

/// Upper clip of a whitened residual: at least this many steps for the highest thresholds.
const CLIP_HIGH: f64 = 4.0;
/// Lower clip.
const CLIP_LOW: f64 = -3.0;
/// Months drawn.
const MONTHS: usize = 200;
/// A month of history tells its own mean and tail only roughly, and days cut apart lose what links them: on correlated
/// noise with tails, two years of alarms came to 2.7 times what the bare bootstrap promised.
const SHORT_HISTORY: f64 = 3.0;
/// Days in a month.
const DAYS: usize = 30;

/// One CUSUM.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Cusum {
    k: f64,
    pub(crate) sum: f64,
    /// First step of the present excursion.
    pub(crate) since: i64,
    /// Infinite until calibrated; stored as zero.
    threshold: f64,
}

/// CUSUMs over one sequence of residuals.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(crate) struct Bank {
    tests: Vec<Cusum>,
    correlation: f64,
    sigma: f64,
    last: Option<f64>,
}

impl Bank {
    pub(crate) fn new(references: &[f64]) -> Self {
        Self {
            tests: references.iter().map(|&k| Cusum { k, ..Cusum::default() }).collect(),
            ..Self::default()
        }
    }

    pub(crate) fn is_calibrated(&self) -> bool {
        self.sigma > 0.0
    }

    /// Standard deviation of the whitened residuals.
    pub(crate) const fn sigma(&self) -> f64 {
        self.sigma
    }

    /// Lag-1 correlation of the residuals.
    pub(crate) const fn correlation(&self) -> f64 {
        self.correlation
    }

    /// Takes the residual of one step.
    pub(crate) fn observe(&mut self, step: i64, residual: f64) {
        let before = self.last.replace(residual);
        if self.sigma <= 0.0 {
            return;
        }
        let innovation = residual - self.correlation * before.unwrap_or(residual);
        let e = (innovation / self.sigma).clamp(CLIP_LOW, CLIP_HIGH);
        for test in &mut self.tests {
            if test.sum <= 0.0 {
                test.since = step;
            }
            test.sum = (test.sum + e - test.k).max(0.0);
        }
    }

    /// The test that is above its threshold, the one with the largest excess first.
    pub(crate) fn alarm(&self) -> Option<Cusum> {
        self.tests
            .iter()
            .filter(|test| test.threshold > 0.0 && test.sum > test.threshold)
            .max_by(|a, b| (a.sum / a.threshold).total_cmp(&(b.sum / b.threshold)))
            .copied()
    }

    /// How near the nearest alarm is: 1 at the threshold.
    pub(crate) fn suspicion(&self) -> f64 {
        self.tests
            .iter()
            .filter(|test| test.threshold > 0.0)
            .map(|test| test.sum / test.threshold)
            .fold(0.0, f64::max)
    }

    pub(crate) fn reset(&mut self) {
        self.last = None;
        for test in &mut self.tests {
            test.sum = 0.0;
        }
    }

    /// Learns whitening and thresholds from clean residuals, oldest first. `alarms_per_month` is for the whole bank.
    pub(crate) fn calibrate(&mut self, residuals: &[f64], steps_per_day: usize, alarms_per_month: f64) {
        if residuals.len() < 2 * steps_per_day {
            return;
        }
        self.correlation = correlation(residuals);
        let mut whitened: Vec<f64> =
            residuals.windows(2).map(|pair| pair[1] - self.correlation * pair[0]).collect();
        let Some(sigma) = clipped_deviation(&whitened) else { return };
        self.sigma = sigma;
        for e in &mut whitened {
            *e = (*e / sigma).clamp(CLIP_LOW, CLIP_HIGH);
        }
        let share = (alarms_per_month / SHORT_HISTORY / self.tests.len() as f64).max(1e-4);
        let thresholds = self.bootstrap(&whitened, steps_per_day, share);
        for (test, threshold) in self.tests.iter_mut().zip(thresholds) {
            let floor = siegmund(test.k, (DAYS * steps_per_day) as f64 / share);
            test.threshold = threshold.max(floor);
        }
    }

    fn bootstrap(&self, whitened: &[f64], steps_per_day: usize, share: f64) -> Vec<f64> {
        let starts = whitened.len() - steps_per_day + 1;
        let mut random = SplitMix::seeded(whitened);
        let mut maxima: Vec<Vec<f64>> = vec![Vec::with_capacity(MONTHS); self.tests.len()];
        let mut sums = vec![0.0_f64; self.tests.len()];
        let mut peaks = vec![0.0_f64; self.tests.len()];
        for _ in 0..MONTHS {
            sums.fill(0.0);
            peaks.fill(0.0);
            for _ in 0..DAYS {
                let start = random.below(starts);
                for &e in &whitened[start..start + steps_per_day] {
                    for ((test, sum), peak) in self.tests.iter().zip(&mut sums).zip(&mut peaks) {
                        *sum = (*sum + e - test.k).max(0.0);
                        *peak = peak.max(*sum);
                    }
                }
            }
            for (maxima, peak) in maxima.iter_mut().zip(&peaks) {
                maxima.push(*peak);
            }
        }
        // Alarms come as a Poisson process: a month without one has probability exp(-share).
        let rank = (((-share).exp() * MONTHS as f64) as usize).min(MONTHS - 1);
        maxima
            .iter_mut()
            .map(|maxima| {
                maxima.sort_by(f64::total_cmp);
                maxima[rank]
            })
            .collect()
    }
}

/// Lag-1 correlation of residuals clipped to their bulk.
pub(crate) fn correlation(residuals: &[f64]) -> f64 {
    let Some(sigma) = clipped_deviation(residuals) else { return 0.0 };
    let clip = |value: f64| value.clamp(-3.0 * sigma, 3.0 * sigma);
    let (mut product, mut square) = (0.0, 0.0);
    for pair in residuals.windows(2) {
        product += clip(pair[0]) * clip(pair[1]);
        square += clip(pair[0]) * clip(pair[0]);
    }
    if square > 0.0 { (product / square).clamp(0.0, 0.98) } else { 0.0 }
}

/// Root mean square of values clipped at their 98th percentile of size; `None` if all are zero.
pub(crate) fn clipped_deviation(values: &[f64]) -> Option<f64> {
    let mut sizes: Vec<f64> = values.iter().map(|value| value.abs()).collect();
    sizes.sort_by(f64::total_cmp);
    let clip = *sizes.get(sizes.len() * 98 / 100)?;
    let mean = sizes.iter().map(|size| size.min(clip).powi(2)).sum::<f64>() / sizes.len() as f64;
    (mean > 0.0).then(|| mean.sqrt())
}

/// Threshold of a CUSUM on standard normal residuals whose mean time to a false alarm is `run_length` steps (Siegmund,
/// Sequential Analysis, 1985): `(exp(2k b) - 2k b - 1) / 2k^2`, b = h + 1.166, solved for h.
pub(crate) fn siegmund(k: f64, run_length: f64) -> f64 {
    let target = 2.0 * k * k * run_length;
    let (mut low, mut high) = (0.0_f64, 200.0_f64);
    for _ in 0..60 {
        let middle = f64::midpoint(low, high);
        let x = 2.0 * k * (middle + 1.166);
        if x.exp() - x - 1.0 < target { low = middle } else { high = middle }
    }
    high
}

/// SplitMix64: a small generator whose sequence is fixed by its seed (Steele, Lea & Flood, OOPSLA 2014).
#[derive(Debug)]
pub(crate) struct SplitMix(u64);

impl SplitMix {
    pub(crate) const fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// The seed is a hash of the data: the same data draw the same months.
    fn seeded(values: &[f64]) -> Self {
        let mut seed = 0x9e37_79b9_7f4a_7c15_u64;
        for value in values {
            seed = (seed ^ value.to_bits()).wrapping_mul(0x100_0000_01b3).rotate_left(23);
        }
        Self(seed)
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    pub(crate) fn below(&mut self, bound: usize) -> usize {
        (self.next() % bound.max(1) as u64) as usize
    }

    /// Uniform in [0, 1).
    pub(crate) fn unit(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1_u64 << 53) as f64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Sum of twelve uniforms less six: near enough to a normal deviate.
    fn normal(random: &mut SplitMix) -> f64 {
        (0..12).map(|_| random.unit()).sum::<f64>() - 6.0
    }

    #[test]
    fn siegmund_gives_the_textbook_threshold() {
        // Two-sided ARL0 = 465 at k = 0.5, h = 5 (Montgomery, Introduction to Statistical Quality Control): one-sided
        // twice that.
        assert!((siegmund(0.5, 930.0) - 5.0).abs() < 0.05);
    }

    #[test]
    fn clean_noise_alarms_no_more_often_than_the_budget_and_a_shift_of_one_sigma_within_a_day() {
        let mut random = SplitMix::new(7);
        let mut bank = Bank::new(&[0.25, 0.5]);
        let residuals: Vec<f64> = (0..28 * 24).map(|_| normal(&mut random)).collect();
        bank.calibrate(&residuals, 24, 0.2);

        let mut alarms = 0;
        for step in 0..12 * 30 * 24 {
            bank.observe(step, normal(&mut random));
            if bank.alarm().is_some() {
                alarms += 1;
                bank.reset();
            }
        }
        assert!(alarms <= 6, "{alarms} in a year where 2.4 are budgeted");

        bank.reset();
        let found = (0..72).find(|&step| {
            bank.observe(step, 1.0 + normal(&mut random));
            bank.alarm().is_some()
        });
        assert!(found.is_some_and(|steps| steps < 48), "{found:?}");
    }

    #[test]
    fn noise_that_wanders_and_has_tails_alarms_no_more_often_than_the_budget_either() {
        let mut random = SplitMix::new(11);
        let mut slow = 0.0;
        let mut next = move || {
            slow = 0.6 * slow + 0.8 * normal(&mut random);
            // Plant draws: one hour in fifty stands out.
            slow + if random.below(50) == 0 { 4.0 } else { 0.0 }
        };
        let mut bank = Bank::new(&[0.25, 0.5]);
        let residuals: Vec<f64> = (0..28 * 24).map(|_| next()).collect();
        let mean = residuals.iter().sum::<f64>() / residuals.len() as f64;
        let centred: Vec<f64> = residuals.iter().map(|residual| residual - mean).collect();
        bank.calibrate(&centred, 24, 0.2);

        let mut alarms = 0;
        for step in 0..24 * 30 * 24 {
            bank.observe(step, next() - mean);
            if bank.alarm().is_some() {
                alarms += 1;
                bank.reset();
            }
        }
        // 4.8 are promised in two years; twelve is the upper 99.8 % limit of that.
        assert!(alarms <= 12, "{alarms} in two years where 4.8 are promised");
    }

    #[test]
    fn thresholds_depend_on_the_data_and_on_nothing_else() {
        let mut random = SplitMix::new(1);
        let residuals: Vec<f64> = (0..500).map(|_| normal(&mut random)).collect();
        let thresholds = |residuals: &[f64]| {
            let mut bank = Bank::new(&[0.5]);
            bank.calibrate(residuals, 24, 0.1);
            bank.tests[0].threshold
        };
        assert_eq!(thresholds(&residuals).to_bits(), thresholds(&residuals).to_bits());
    }
}
