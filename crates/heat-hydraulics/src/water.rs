//! Properties of liquid water.
//!
//! - Density and heat capacity: IAPWS-IF97 (R7-97(2012)), region 1, complete: within 0.001 % in density below 100 MPa
//!   of the scientific formulation IAPWS-95.
//! - Saturation pressure: IAPWS-IF97, region 4, complete: within 0.025 %.
//! - Viscosity: IAPWS R12-08 without the critical enhancement, which is nil here: within 1 %.
//! - [`density_kg_m3`] and [`heat_capacity_j_kg_k`]: polynomials fitted to region 1 at 0.8 MPa (absolute) for inner loops;
//!   deviation from it in their doc. Between 0.1 and 1.6 MPa pressure moves the density by less than 0.04 %.

/// Standard gravity, m/s2.
pub const GRAVITY_M_S2: f64 = 9.806_65;
/// Standard atmosphere, Pa: what a gauge pressure adds to.
pub const ATMOSPHERE_PA: f64 = 101_325.0;

/// Region 1 of IAPWS-IF97: `(I, J, n)`.
const REGION_1: [(i32, i32, f64); 34] = [
    (0, -2, 0.146_329_712_131_67),
    (0, -1, -0.845_481_871_691_14),
    (0, 0, -3.756_360_367_204_0),
    (0, 1, 3.385_516_916_838_5),
    (0, 2, -0.957_919_633_878_72),
    (0, 3, 0.157_720_385_132_28),
    (0, 4, -0.016_616_417_199_501),
    (0, 5, 0.812_146_299_835_68e-3),
    (1, -9, 0.283_190_801_238_04e-3),
    (1, -7, -0.607_063_015_658_74e-3),
    (1, -1, -0.018_990_068_218_419),
    (1, 0, -0.032_529_748_770_505),
    (1, 1, -0.021_841_717_175_414),
    (1, 3, -0.528_383_579_699_30e-4),
    (2, -3, -0.471_843_210_732_67e-3),
    (2, 0, -0.300_017_807_930_26e-3),
    (2, 1, 0.476_613_939_069_87e-4),
    (2, 3, -0.441_418_453_308_46e-5),
    (2, 17, -0.726_949_962_975_94e-15),
    (3, -4, -0.316_796_448_450_54e-4),
    (3, 0, -0.282_707_979_853_12e-5),
    (3, 6, -0.852_051_281_201_03e-9),
    (4, -5, -0.224_252_819_080_00e-5),
    (4, -2, -0.651_712_228_956_01e-6),
    (4, 10, -0.143_417_299_379_24e-12),
    (5, -8, -0.405_169_968_601_17e-6),
    (8, -11, -0.127_343_017_416_41e-8),
    (8, -6, -0.174_248_712_306_34e-9),
    (21, -29, -0.687_621_312_955_31e-18),
    (23, -31, 0.144_783_078_285_21e-19),
    (29, -38, 0.263_357_816_627_95e-22),
    (30, -39, -0.119_476_226_400_71e-22),
    (31, -40, 0.182_280_945_814_04e-23),
    (32, -41, -0.935_370_872_924_58e-25),
];

const GAS_CONSTANT_J_KG_K: f64 = 461.526;
const KELVIN: f64 = 273.15;

/// Density by IAPWS-IF97 region 1, kg/m3; 0 to 350 degC, saturation pressure to 100 MPa (absolute).
pub fn if97_density_kg_m3(celsius: f64, absolute_pa: f64) -> f64 {
    let kelvin = celsius + KELVIN;
    let (pi, tau) = (absolute_pa / 16.53e6, 1_386.0 / kelvin);
    let gamma_pi: f64 = REGION_1
        .iter()
        .filter(|(i, _, _)| *i > 0)
        .map(|&(i, j, n)| -n * f64::from(i) * (7.1 - pi).powi(i - 1) * (tau - 1.222).powi(j))
        .sum();
    absolute_pa / (GAS_CONSTANT_J_KG_K * kelvin * pi * gamma_pi)
}

/// Isobaric heat capacity by IAPWS-IF97 region 1, J/(kg K); the range of [`if97_density_kg_m3`].
pub fn if97_heat_capacity_j_kg_k(celsius: f64, absolute_pa: f64) -> f64 {
    let (pi, tau) = (absolute_pa / 16.53e6, 1_386.0 / (celsius + KELVIN));
    let gamma_tau_tau: f64 = REGION_1
        .iter()
        .map(|&(i, j, n)| n * (7.1 - pi).powi(i) * f64::from(j * (j - 1)) * (tau - 1.222).powi(j - 2))
        .sum();
    -tau * tau * gamma_tau_tau * GAS_CONSTANT_J_KG_K
}

/// Saturation pressure by IAPWS-IF97 region 4, Pa absolute; 0 to 374 degC.
pub fn saturation_pa(celsius: f64) -> f64 {
    let kelvin = celsius + KELVIN;
    let theta = kelvin - 0.238_555_575_678_49 / (kelvin - 650.175_348_447_98);
    let a = theta * theta + 1_167.052_145_276_7 * theta - 724_213.167_032_06;
    let b = -17.073_846_940_092 * theta * theta + 12_020.824_702_470 * theta - 3_232_555.032_233_3;
    let c = 14.915_108_613_530 * theta * theta - 4_823.265_736_159_1 * theta + 405_113.405_420_57;
    1e6 * (2.0 * c / (-b + (b * b - 4.0 * a * c).sqrt())).powi(4)
}

/// Dynamic viscosity by IAPWS R12-08, Pa s, of water of this temperature and density.
pub fn viscosity_of_density_pa_s(celsius: f64, density_kg_m3: f64) -> f64 {
    const H0: [f64; 4] = [1.677_52, 2.204_62, 0.636_656_4, -0.241_605];
    const H1: [(i32, i32, f64); 21] = [
        (0, 0, 0.520_094),
        (1, 0, 0.085_089_5),
        (2, 0, -1.083_74),
        (3, 0, -0.289_555),
        (0, 1, 0.222_531),
        (1, 1, 0.999_115),
        (2, 1, 1.887_97),
        (3, 1, 1.266_13),
        (5, 1, 0.120_573),
        (0, 2, -0.281_378),
        (1, 2, -0.906_851),
        (2, 2, -0.772_479),
        (3, 2, -0.489_837),
        (4, 2, -0.257_040),
        (0, 3, 0.161_913),
        (1, 3, 0.257_399),
        (0, 4, -0.032_537_2),
        (3, 4, 0.069_845_2),
        (4, 5, 0.008_721_02),
        (3, 6, -0.004_356_73),
        (5, 6, -0.000_593_264),
    ];
    let (t, rho) = ((celsius + KELVIN) / 647.096, density_kg_m3 / 322.0);
    let dilute = 100.0 * t.sqrt() / H0.iter().zip(0..).map(|(h, i)| h / t.powi(i)).sum::<f64>();
    let dense: f64 = H1.iter().map(|&(i, j, h)| h * (1.0 / t - 1.0).powi(i) * (rho - 1.0).powi(j)).sum();
    dilute * (rho * dense).exp() * 1e-6
}

/// Dynamic viscosity of liquid water near 0.8 MPa, Pa s; 0 to 150 degC.
pub fn viscosity_pa_s(celsius: f64) -> f64 {
    viscosity_of_density_pa_s(celsius, density_kg_m3(celsius))
}

/// Density of water at 0.8 MPa (absolute), kg/m3; 0.5 to 150 degC. Within 0.02 kg/m3 of region 1.
pub fn density_kg_m3(celsius: f64) -> f64 {
    let x = (celsius - 75.0) / 75.0;
    let high = -1.194_001_040_751_292_7 + x * (0.875_756_767_880_305_7 + x * -0.544_812_359_774_401);
    let low = -44.773_223_966_786_17 + x * (-14.727_044_328_729_471 + x * (2.378_258_479_399_651 + x * high));
    975.167_112_186_681_3 + x * low
}

/// Isobaric heat capacity of water at 0.8 MPa (absolute), J/(kg K); 0.5 to 150 degC. Within 1.3 J/(kg K) of region 1.
pub fn heat_capacity_j_kg_k(celsius: f64) -> f64 {
    let x = (celsius - 75.0) / 75.0;
    let high = -10.193_885_890_711_101 + x * (-18.119_491_546_925_687 + x * 21.848_733_217_665_72);
    let low = 54.192_401_421_921_43 + x * (60.503_771_046_778_28 + x * (11.539_288_227_732_438 + x * high));
    4_189.940_390_843_485 + x * low
}

#[cfg(test)]
mod tests {
    use super::*;

    fn near(value: f64, published: f64, relative: f64) {
        assert!((value / published - 1.0).abs() < relative, "{value} is not {published}");
    }

    #[test]
    fn region_1_gives_the_published_verification_values() {
        // R7-97(2012), table 5: specific volume in m3/kg, heat capacity in kJ/(kg K).
        for (kelvin, mpa, volume, capacity) in [
            (300.0, 3.0, 0.100_215_168e-2, 4.173_012_18),
            (300.0, 80.0, 0.971_180_894e-3, 4.010_089_87),
            (500.0, 3.0, 0.120_241_800e-2, 4.655_806_82),
        ] {
            near(1.0 / if97_density_kg_m3(kelvin - 273.15, mpa * 1e6), volume, 1e-8);
            near(if97_heat_capacity_j_kg_k(kelvin - 273.15, mpa * 1e6) / 1e3, capacity, 1e-8);
        }
    }

    #[test]
    fn saturation_gives_the_published_verification_values() {
        // R7-97(2012), table 35.
        for (kelvin, mpa) in [(300.0, 0.353_658_941e-2), (500.0, 2.638_897_76), (600.0, 12.344_314_6)] {
            near(saturation_pa(kelvin - 273.15) / 1e6, mpa, 1e-8);
        }
        near(saturation_pa(100.0), ATMOSPHERE_PA, 1e-3);
    }

    #[test]
    fn viscosity_gives_the_published_verification_values() {
        // R12-08, table 4, without critical enhancement.
        near(viscosity_of_density_pa_s(25.0, 998.0), 889.735_100e-6, 1e-7);
        near(viscosity_of_density_pa_s(25.0, 1_200.0), 1_437.649_467e-6, 1e-7);
        near(viscosity_of_density_pa_s(100.0, 1_000.0), 307.883_622e-6, 1e-7);
    }

    #[test]
    fn the_fits_keep_their_stated_error() {
        for tenth in 0..=1_500 {
            let celsius = f64::from(tenth) / 10.0;
            let density = if97_density_kg_m3(celsius, 0.8e6);
            let capacity = if97_heat_capacity_j_kg_k(celsius, 0.8e6);
            // At and below 0.5 degC the fit is extrapolated; it still keeps the bound of the range around it.
            assert!((density_kg_m3(celsius) - density).abs() < 0.03, "{celsius} degC");
            assert!(tenth < 5 || (density_kg_m3(celsius) - density).abs() < 0.02, "{celsius} degC");
            assert!((heat_capacity_j_kg_k(celsius) - capacity).abs() < 2.0, "{celsius} degC");
            assert!(tenth < 5 || (heat_capacity_j_kg_k(celsius) - capacity).abs() < 1.3, "{celsius} degC");
        }
    }

    #[test]
    fn pressure_moves_the_density_by_less_than_stated() {
        for celsius in [10.0, 45.0, 70.0, 95.0] {
            let (low, high) = (if97_density_kg_m3(celsius, 0.1e6), if97_density_kg_m3(celsius, 1.6e6));
            let middle = if97_density_kg_m3(celsius, 0.8e6);
            assert!((low / middle - 1.0).abs() < 4e-4 && (high / middle - 1.0).abs() < 4e-4);
        }
    }
}
