//! Small symmetric matrices, packed as lower triangles.

/// Index of (row, column) in a packed lower triangle.
pub(super) const fn at(row: usize, column: usize) -> usize {
    let (row, column) = if row >= column { (row, column) } else { (column, row) };
    row * (row + 1) / 2 + column
}

/// Length of a packed triangle.
pub(super) const fn packed(size: usize) -> usize {
    size * (size + 1) / 2
}

/// Inverse of a positive definite matrix by Cholesky's factor; `None` if it is not positive definite.
pub(super) fn inverse(matrix: &[f64], size: usize) -> Option<Vec<f64>> {
    let mut factor = vec![0.0; packed(size)];
    for row in 0..size {
        for column in 0..=row {
            let product: f64 = (0..column).map(|k| factor[at(row, k)] * factor[at(column, k)]).sum();
            let rest = matrix[at(row, column)] - product;
            if row == column {
                if rest <= 1e-12 {
                    return None;
                }
                factor[at(row, row)] = rest.sqrt();
            } else {
                factor[at(row, column)] = rest / factor[at(column, column)];
            }
        }
    }
    // Inverse of the factor in place of it, then its square.
    let mut lower = vec![0.0; packed(size)];
    for column in 0..size {
        lower[at(column, column)] = 1.0 / factor[at(column, column)];
        for row in column + 1..size {
            let product: f64 = (column..row).map(|k| factor[at(row, k)] * lower[at(k, column)]).sum();
            lower[at(row, column)] = -product / factor[at(row, row)];
        }
    }
    let mut inverse = vec![0.0; packed(size)];
    for row in 0..size {
        for column in 0..=row {
            inverse[at(row, column)] = (row..size).map(|k| lower[at(k, row)] * lower[at(k, column)]).sum();
        }
    }
    Some(inverse)
}

/// Weight of the identity in place of a correlation matrix that `count` independent samples made: oracle approximating
/// shrinkage (Chen, Wiesel, Eldar & Hero, IEEE Trans. Signal Process. 58:5016, 2010).
pub(super) fn shrinkage(correlation: &[f64], size: usize, count: f64) -> f64 {
    let p = size as f64;
    let squares: f64 = (0..size)
        .flat_map(|row| (0..size).map(move |column| (row, column)))
        .map(|(row, column)| correlation[at(row, column)].powi(2))
        .sum();
    let spread = (count + 1.0 - 2.0 / p) * (squares - p);
    if spread <= 0.0 { 1.0 } else { (((1.0 - 2.0 / p) * squares + p * p) / spread).clamp(0.0, 1.0) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_matrix_times_its_inverse_is_the_identity() {
        let matrix = [4.0, 1.0, 3.0, -0.5, 0.3, 2.0];
        let inverse = inverse(&matrix, 3).unwrap();
        for row in 0..3 {
            for column in 0..3 {
                let product: f64 = (0..3).map(|k| matrix[at(row, k)] * inverse[at(k, column)]).sum();
                let expected = if row == column { 1.0 } else { 0.0 };
                assert!((product - expected).abs() < 1e-12, "{row} {column} {product}");
            }
        }
        assert_eq!(super::inverse(&[1.0, 1.0, 1.0], 2), None);
    }

    #[test]
    fn few_samples_leave_nothing_of_a_correlation_and_many_nearly_all() {
        let correlation = [1.0, 0.8, 1.0, 0.1, 0.0, 1.0];
        assert!(shrinkage(&correlation, 3, 2.0) > 0.9);
        assert!(shrinkage(&correlation, 3, 10_000.0) < 0.01);
    }
}
