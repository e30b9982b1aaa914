//! How well the gauges of a side fit a loss, whatever they share.
//!
//! Two things move many gauges at once without any loss: the source's own gauge, from which all are counted, and the meter
//! of a further source. What that one gives is a boundary of the network as the reference's pressure is, so an error of
//! its meter looks like water lost at its node, at every gauge of its zone alike. Both are shifts of a known shape and an
//! unknown size: the sizes that fit best are taken out, each held near nothing by its own standard deviation.

use super::{MODEL_ERROR, Residual, STUDENT};

/// Shifts that are told apart: the reference's and those of the further sources whose meters err most.
pub(super) const SHIFTS_MAX: usize = 4;
/// Sweeps in which gauges that are far off lose their weight.
const SWEEPS: usize = 2;

/// What one standard deviation of a shared error does to every gauge, Pa.
pub(super) type Shift = Vec<f64>;

/// Log likelihood of the gauges' residuals, where each should have fallen by this much.
pub(super) fn fit(gauges: &[Residual], falls: &[f64], shifts: &[Shift]) -> f64 {
    let shifts = &shifts[..shifts.len().min(SHIFTS_MAX)];
    let off = |gauge: &Residual, fall: f64| (gauge.value + fall, gauge.sigma.hypot(MODEL_ERROR * fall));
    let mut sizes = [0.0; SHIFTS_MAX];
    let shared = |sizes: &[f64; SHIFTS_MAX], index: usize| -> f64 {
        shifts.iter().zip(sizes).map(|(shift, size)| size * shift[index]).sum()
    };
    for _ in 0..SWEEPS {
        let mut sums = [0.0; SHIFTS_MAX];
        let mut weights = [[0.0; SHIFTS_MAX]; SHIFTS_MAX];
        for (number, row) in weights.iter_mut().enumerate() {
            row[number] = 1.0;
        }
        for (index, (gauge, &fall)) in gauges.iter().zip(falls).enumerate() {
            let (value, sigma) = off(gauge, fall);
            let z = (value - shared(&sizes, index)) / sigma;
            let weight = (STUDENT + 1.0) / (STUDENT + z * z) / (sigma * sigma);
            for (row, shift) in shifts.iter().enumerate() {
                sums[row] += weight * shift[index] * value;
                for (column, other) in shifts[..=row].iter().enumerate() {
                    weights[row][column] += weight * shift[index] * other[index];
                }
            }
        }
        sizes = solved(weights, sums);
    }
    let mut score = -0.5 * sizes.iter().map(|size| size * size).sum::<f64>();
    for (index, (gauge, &fall)) in gauges.iter().zip(falls).enumerate() {
        let (value, sigma) = off(gauge, fall);
        let z = (value - shared(&sizes, index)) / sigma;
        score -= f64::midpoint(STUDENT, 1.0) * (1.0 + z * z / STUDENT).ln() + (sigma / gauge.sigma).ln();
    }
    score
}

/// Solves a symmetric positive system of which the lower half is given (Cholesky).
fn solved(mut a: [[f64; SHIFTS_MAX]; SHIFTS_MAX], mut b: [f64; SHIFTS_MAX]) -> [f64; SHIFTS_MAX] {
    for row in 0..SHIFTS_MAX {
        for column in 0..=row {
            let known: f64 = (0..column).map(|k| a[row][k] * a[column][k]).sum();
            let rest = a[row][column] - known;
            // The ones on the diagonal keep it positive.
            a[row][column] = if row == column { rest.sqrt() } else { rest / a[column][column] };
        }
        let known: f64 = (0..row).map(|k| a[row][k] * b[k]).sum();
        b[row] = (b[row] - known) / a[row][row];
    }
    for row in (0..SHIFTS_MAX).rev() {
        let known: f64 = (row + 1..SHIFTS_MAX).map(|k| a[k][row] * b[k]).sum();
        b[row] = (b[row] - known) / a[row][row];
    }
    b
}

#[cfg(test)]
mod tests {
    use heat_model::plant::Side;

    use super::*;

    fn gauges(values: &[f64]) -> Vec<Residual> {
        (0..)
            .zip(values)
            .map(|(node, &value)| Residual { node, side: Side::Supply, value, sigma: 100.0 })
            .collect()
    }

    #[test]
    fn what_gauges_share_costs_little_as_one_error_and_much_as_many() {
        let zone = gauges(&[0.0, 0.0, 0.0, 900.0, 900.0, 900.0]);
        let common = vec![300.0; 6];
        let further = vec![0.0, 0.0, 0.0, 600.0, 600.0, 600.0];
        let nothing = [0.0; 6];

        let apart = fit(&zone, &nothing, &[common.clone(), further]);
        let alone = fit(&zone, &nothing, &[common]);

        // One and a half standard deviations of one meter, or three gauges out of line.
        assert!(apart > -2.5 && alone < apart - 3.0, "{apart} {alone}");
    }

    #[test]
    fn shifts_are_told_apart_exactly() {
        let a = [[4.0, 0.0, 0.0, 0.0], [2.0, 3.0, 0.0, 0.0], [0.0, 0.5, 2.0, 0.0], [1.0, 0.0, 0.0, 5.0]];
        let x = [1.0, -2.0, 3.0, 0.5];
        let at = |row: usize, column: usize| if column <= row { a[row][column] } else { a[column][row] };
        let b = [0, 1, 2, 3].map(|row| (0..4).map(|column| at(row, column) * x[column]).sum());

        for (found, expected) in solved(a, b).iter().zip(x) {
            assert!((found - expected).abs() < 1e-12, "{found} {expected}");
        }
    }
}
