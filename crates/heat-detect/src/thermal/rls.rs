//! A linear model learned online: recursive least squares with Huber's weights and slow forgetting.
//!
//! Why not a fixed regression over a window: state stays small, and one pass over the log gives the same bytes at any
//! cut. Why Huber: a fault that is not yet told must not bend the model that is to show it.

use serde::{Deserialize, Serialize};

/// Inputs of a model; unused ones are 0.
pub(super) const INPUTS: usize = 8;
/// Forgetting per quarter hour: a memory of three weeks.
const FORGETTING: f64 = 1.0 - 1.0 / 2_000.0;
/// Variance of a coefficient that nothing is known of, in units of the residual's variance.
const UNKNOWN: f64 = 1e4;

/// Inputs of one instant; the first is 1.
pub(super) type Inputs = [f64; INPUTS];

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Rls {
    /// The coefficient that the prior holds next.
    turn: u8,
    coefficients: [f64; INPUTS],
    covariance: [[f64; INPUTS]; INPUTS],
}

impl Default for Rls {
    fn default() -> Self {
        let mut covariance = [[0.0; INPUTS]; INPUTS];
        for (index, row) in covariance.iter_mut().enumerate() {
            row[index] = UNKNOWN;
        }
        Self { turn: 0, coefficients: [0.0; INPUTS], covariance }
    }
}

impl Rls {
    pub(super) fn predict(&self, inputs: &Inputs) -> f64 {
        self.coefficients.iter().zip(inputs).map(|(c, x)| c * x).sum()
    }

    /// Coefficient of one input.
    pub(super) fn slope(&self, input: usize) -> f64 {
        self.coefficients[input]
    }

    /// Variance of what the coefficients predict for these inputs, in units of the residual's variance: small inside what
    /// was learned, large beyond it.
    pub(super) fn leverage(&self, inputs: &Inputs) -> f64 {
        let rows = self.covariance.iter().zip(inputs);
        rows.map(|(row, x)| x * row.iter().zip(inputs).map(|(p, y)| p * y).sum::<f64>()).sum()
    }

    /// Learns one instant. `weight` is 1 in line and less for an outlier.
    pub(super) fn learn(&mut self, inputs: &Inputs, target: f64, weight: f64) {
        let mut gain = [0.0; INPUTS];
        for (gain, row) in gain.iter_mut().zip(&self.covariance) {
            *gain = row.iter().zip(inputs).map(|(p, x)| p * x).sum();
        }
        let spread: f64 = gain.iter().zip(inputs).map(|(g, x)| g * x).sum();
        let denominator = FORGETTING / weight.max(1e-6) + spread;
        let error = target - self.predict(inputs);
        for (coefficient, gain) in self.coefficients.iter_mut().zip(&gain) {
            *coefficient += gain / denominator * error;
        }
        self.reduce(&gain, 1.0 / denominator);
        for value in self.covariance.iter_mut().flatten() {
            *value /= FORGETTING;
        }
        self.hold();
    }

    /// Takes off what an observation with these gains has told.
    fn reduce(&mut self, gain: &Inputs, by: f64) {
        for row in 0..INPUTS {
            for column in 0..=row {
                let value = self.covariance[row][column] - gain[row] * gain[column] * by;
                self.covariance[row][column] = value;
                self.covariance[column][row] = value;
            }
        }
    }

    /// What no input excites is forgotten no further than to the start: a slow scan makes inputs equal, and without this
    /// their covariance would grow until rounding decides. One coefficient in turn is taken as it is, with the weight of
    /// the prior; the matrix stays positive.
    fn hold(&mut self) {
        let held = usize::from(self.turn);
        self.turn = (self.turn + 1) % INPUTS as u8;
        let gain = self.covariance[held];
        let weight = INPUTS as f64 * (1.0 - FORGETTING) / UNKNOWN;
        self.reduce(&gain, weight / (1.0 + weight * gain[held]));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn coefficients_are_found_and_an_outlier_does_not_move_them() {
        let mut model = Rls::default();
        for step in 0..400 {
            let x = f64::from(step % 17) / 17.0;
            let y = f64::from(step % 5) / 5.0;
            model.learn(&[1.0, x, y, 0.0, 0.0, 0.0, 0.0, 0.0], 3.0 + 2.0 * x - y, 1.0);
        }
        assert!((model.slope(0) - 3.0).abs() < 1e-3 && (model.slope(1) - 2.0).abs() < 1e-3);
        let before = model.predict(&[1.0, 0.5, 0.5, 0.0, 0.0, 0.0, 0.0, 0.0]);
        model.learn(&[1.0, 0.5, 0.5, 0.0, 0.0, 0.0, 0.0, 0.0], 50.0, 0.01);
        assert!((model.predict(&[1.0, 0.5, 0.5, 0.0, 0.0, 0.0, 0.0, 0.0]) - before).abs() < 0.1);
    }

    #[test]
    fn what_lies_beyond_all_that_was_learned_is_in_doubt() {
        let mut model = Rls::default();
        for step in 0..400 {
            let x = f64::from(step % 17) / 17.0;
            model.learn(&[1.0, x, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0], 3.0 + 2.0 * x, 1.0);
        }
        let at = |x: f64| model.leverage(&[1.0, x, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0]);
        assert!(at(0.5) < 0.01 && at(6.0) > 0.5, "{} {}", at(0.5), at(6.0));
    }

    #[test]
    fn inputs_that_are_equal_for_a_year_stay_bounded_and_predict() {
        let mut model = Rls::default();
        let at = |step: u32| {
            let x = f64::from(step % 23) / 23.0 + f64::from(step % 7) / 50.0;
            let before = f64::from(step.wrapping_sub(4) % 23) / 23.0;
            [1.0, x, x, x, before, before, 0.3 * x, 0.0]
        };
        let truth = |inputs: &Inputs| 60.0 + 8.0 * inputs[1] + 2.0 * inputs[4];
        for step in 4..40_000 {
            let inputs = at(step);
            model.learn(&inputs, truth(&inputs) + 0.1 * f64::from(step % 3), 1.0);
        }
        let inputs = at(11);
        assert!((model.predict(&inputs) - truth(&inputs) - 0.1).abs() < 0.2, "{}", model.predict(&inputs));
        assert!((0.0..0.1).contains(&model.leverage(&inputs)), "{}", model.leverage(&inputs));
    }

    #[test]
    fn inputs_that_are_never_seen_stay_bounded() {
        let mut model = Rls::default();
        for _ in 0..100_000 {
            model.learn(&[1.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0], 5.0, 1.0);
        }
        assert!(
            model.covariance.iter().flatten().all(|value| value.is_finite() && value.abs() <= 1.01 * UNKNOWN)
        );
    }
}
