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

/// A symmetric matrix, kept by its lower triangle: there are a dozen of these for each of thousands of stations. A row of
/// the upper half shares its line with its mirror image of the lower half.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Symmetric([[f64; INPUTS + 1]; INPUTS / 2]);

impl Symmetric {
    fn diagonal(value: f64) -> Self {
        let mut matrix = Self([[0.0; INPUTS + 1]; INPUTS / 2]);
        for index in 0..INPUTS {
            *matrix.at_mut(index, index) = value;
        }
        matrix
    }

    const fn place(row: usize, column: usize) -> (usize, usize) {
        let (row, column) = if column > row { (column, row) } else { (row, column) };
        if row >= INPUTS / 2 { (INPUTS - 1 - row, column) } else { (row, INPUTS - column) }
    }

    const fn at(&self, row: usize, column: usize) -> f64 {
        let (line, place) = Self::place(row, column);
        self.0[line][place]
    }

    const fn at_mut(&mut self, row: usize, column: usize) -> &mut f64 {
        let (line, place) = Self::place(row, column);
        &mut self.0[line][place]
    }

    fn row(&self, row: usize) -> Inputs {
        std::array::from_fn(|column| self.at(row, column))
    }

    fn times(&self, inputs: &Inputs) -> Inputs {
        std::array::from_fn(|row| self.row(row).iter().zip(inputs).map(|(p, x)| p * x).sum())
    }

    fn values_mut(&mut self) -> impl Iterator<Item = &mut f64> {
        self.0.iter_mut().flatten()
    }
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Rls {
    /// The coefficient that the prior holds next.
    turn: u8,
    coefficients: [f64; INPUTS],
    covariance: Symmetric,
}

impl Default for Rls {
    fn default() -> Self {
        Self { turn: 0, coefficients: [0.0; INPUTS], covariance: Symmetric::diagonal(UNKNOWN) }
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
        self.covariance.times(inputs).iter().zip(inputs).map(|(spread, x)| x * spread).sum()
    }

    /// Learns one instant. `weight` is 1 in line and less for an outlier.
    pub(super) fn learn(&mut self, inputs: &Inputs, target: f64, weight: f64) {
        let gain = self.covariance.times(inputs);
        let spread: f64 = gain.iter().zip(inputs).map(|(g, x)| g * x).sum();
        let denominator = FORGETTING / weight.max(1e-6) + spread;
        let error = target - self.predict(inputs);
        for (coefficient, gain) in self.coefficients.iter_mut().zip(&gain) {
            *coefficient += gain / denominator * error;
        }
        self.reduce(&gain, 1.0 / denominator);
        for value in self.covariance.values_mut() {
            *value /= FORGETTING;
        }
        self.hold();
    }

    /// Takes off what an observation with these gains has told.
    fn reduce(&mut self, gain: &Inputs, by: f64) {
        for row in 0..INPUTS {
            for column in 0..=row {
                *self.covariance.at_mut(row, column) -= gain[row] * gain[column] * by;
            }
        }
    }

    /// What no input excites is forgotten no further than to the start: a slow scan makes inputs equal, and without this
    /// their covariance would grow until rounding decides. One coefficient in turn is taken as it is, with the weight of
    /// the prior; the matrix stays positive.
    fn hold(&mut self) {
        let held = usize::from(self.turn);
        self.turn = (self.turn + 1) % INPUTS as u8;
        let gain = self.covariance.row(held);
        let weight = INPUTS as f64 * (1.0 - FORGETTING) / UNKNOWN;
        self.reduce(&gain, weight / (1.0 + weight * gain[held]));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_element_of_a_symmetric_matrix_has_its_own_place() {
        let mut matrix = Symmetric::diagonal(0.0);
        for row in 0..INPUTS {
            for column in 0..=row {
                *matrix.at_mut(row, column) = (10 * row + column) as f64;
            }
        }
        for row in 0..INPUTS {
            for column in 0..INPUTS {
                let expected = (10 * row.max(column) + row.min(column)) as f64;
                assert!((matrix.at(row, column) - expected).abs() < 1e-9, "{row} {column}");
            }
        }
    }

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
            model.covariance.values_mut().all(|value| value.is_finite() && value.abs() <= 1.01 * UNKNOWN)
        );
    }
}
