//! Density of water, as cheap as a balance over thousands of stations needs it.

/// Density of air-free water at atmospheric pressure, kg/m3, 0 to 150 degC (extrapolated beyond its 100 degC as its
/// author does): Kell, J. Chem. Eng. Data 20 (1975) 97. Network pressure adds less than 0.1 %, alike on both sides.
pub(crate) fn density_kg_m3(celsius: f64) -> f64 {
    let t = celsius.clamp(0.0, 150.0);
    let numerator = 999.839_52
        + t * (16.945_176
            + t * (-7.987_040_1e-3 + t * (-46.170_461e-6 + t * (105.563_02e-9 - t * 280.542_53e-12))));
    numerator / (1.0 + 16.879_85e-3 * t)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn density_is_that_of_the_tables() {
        for (celsius, expected) in
            [(4.0, 999.97), (20.0, 998.21), (45.0, 990.21), (80.0, 971.80), (95.0, 961.89)]
        {
            assert!((density_kg_m3(celsius) - expected).abs() < 0.05, "{celsius}");
        }
    }
}
