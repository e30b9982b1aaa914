//! Pressure loss of a pipe: Darcy-Weisbach, friction factor by Swamee & Jain.
//!
//! Swamee & Jain, J. Hydraulics Div. ASCE 102 (1976) 657: within 1 % of Colebrook for relative roughness 1e-6 to 1e-2
//! and Reynolds 5e3 to 1e8. Laminar below 2,000: 64/Re. Between 2,000 and 4,000 a cubic joins the two with their slopes
//! (Dunlop's, which EPANET uses as well), so that the loss is continuous in the flow and so is its derivative, as
//! Newton's method wants it.

use std::f64::consts::{LOG10_E, PI};

const LAMINAR_REYNOLDS: f64 = 2_000.0;
const TURBULENT_REYNOLDS: f64 = 4_000.0;

/// Darcy friction factor; `relative_roughness` is roughness over inner diameter. Zero flow gives 0.
pub fn friction_factor(reynolds: f64, relative_roughness: f64) -> f64 {
    friction(reynolds, relative_roughness).factor
}

#[derive(Debug, Clone, Copy)]
struct Friction {
    factor: f64,
    /// Reynolds times d(factor)/d(Reynolds).
    reynolds_slope: f64,
}

fn friction(reynolds: f64, relative_roughness: f64) -> Friction {
    if reynolds <= 0.0 {
        Friction { factor: 0.0, reynolds_slope: 0.0 }
    } else if reynolds < LAMINAR_REYNOLDS {
        let factor = 64.0 / reynolds;
        Friction { factor, reynolds_slope: -factor }
    } else if reynolds < TURBULENT_REYNOLDS {
        let (low, high) = (64.0 / LAMINAR_REYNOLDS, swamee_jain(TURBULENT_REYNOLDS, relative_roughness));
        let span = TURBULENT_REYNOLDS - LAMINAR_REYNOLDS;
        // Hermite's cubic over x in 0..1, slopes per x.
        let x = (reynolds - LAMINAR_REYNOLDS) / span;
        let (slope_low, slope_high) =
            (-low * span / LAMINAR_REYNOLDS, high.reynolds_slope * span / TURBULENT_REYNOLDS);
        let rise = high.factor - low;
        let (c, d) = (3.0 * rise - 2.0 * slope_low - slope_high, slope_low + slope_high - 2.0 * rise);
        let slope = slope_low + x * (2.0 * c + x * 3.0 * d);
        Friction { factor: low + x * (slope_low + x * (c + x * d)), reynolds_slope: slope * reynolds / span }
    } else {
        swamee_jain(reynolds, relative_roughness)
    }
}

fn swamee_jain(reynolds: f64, relative_roughness: f64) -> Friction {
    let smooth = 5.74 / reynolds.powf(0.9);
    let sum = relative_roughness / 3.7 + smooth;
    let log = sum.log10();
    let factor = 0.25 / (log * log);
    Friction { factor, reynolds_slope: 1.8 * factor * LOG10_E * smooth / (sum * log) }
}

/// A pipe's dimensions.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Geometry {
    /// Length, m.
    pub length_m: f64,
    /// Inner diameter, m; above 0.
    pub inner_diameter_m: f64,
    /// Roughness, m.
    pub roughness_m: f64,
    /// Sum of the loss coefficients of bends, valves and fittings; 0 for none.
    pub local_loss: f64,
}

impl Geometry {
    /// Cross-section, m2.
    pub fn area_m2(&self) -> f64 {
        PI / 4.0 * self.inner_diameter_m * self.inner_diameter_m
    }

    /// Water inside, m3.
    pub fn volume_m3(&self) -> f64 {
        self.area_m2() * self.length_m
    }

    /// Loss of pressure along the flow and its derivative by the flow, Pa and Pa s/kg.
    pub fn loss_and_slope(&self, flow_kg_s: f64, density_kg_m3: f64, viscosity_pa_s: f64) -> (f64, f64) {
        let (area, flow) = (self.area_m2(), flow_kg_s.abs());
        let reynolds = flow * self.inner_diameter_m / (area * viscosity_pa_s);
        let slender = self.length_m / self.inner_diameter_m;
        let scale = 1.0 / (2.0 * density_kg_m3 * area * area);
        if reynolds < LAMINAR_REYNOLDS {
            // Written out: 64/Re has no value at rest, its product with the flow has.
            let linear = 64.0 * slender * area * viscosity_pa_s / self.inner_diameter_m;
            let loss = scale * flow_kg_s * (linear + self.local_loss * flow);
            return (loss, scale * (linear + 2.0 * self.local_loss * flow));
        }
        let friction = friction(reynolds, self.roughness_m / self.inner_diameter_m);
        let coefficient = friction.factor * slender + self.local_loss;
        let slope = scale * flow * (2.0 * coefficient + friction.reynolds_slope * slender);
        (scale * coefficient * flow * flow_kg_s, slope)
    }

    /// Loss of pressure along the flow, Pa; negative for a negative flow.
    pub fn loss_pa(&self, flow_kg_s: f64, density_kg_m3: f64, viscosity_pa_s: f64) -> f64 {
        self.loss_and_slope(flow_kg_s, density_kg_m3, viscosity_pa_s).0
    }

    /// The resistance at this flow; between flows of 30 % and 150 % of it the error of keeping it constant is some
    /// percent of the loss where the pipe is rough, as district heating's are.
    pub fn resistance(&self, flow_kg_s: f64, density_kg_m3: f64, viscosity_pa_s: f64) -> Resistance {
        let area = self.area_m2();
        let reynolds = flow_kg_s.abs() * self.inner_diameter_m / (area * viscosity_pa_s);
        let friction = friction_factor(reynolds, self.roughness_m / self.inner_diameter_m);
        let coefficient = friction * self.length_m / self.inner_diameter_m + self.local_loss;
        Resistance { pa_s2_kg2: coefficient / (2.0 * density_kg_m3 * area * area) }
    }
}

/// Loss = resistance * flow * |flow|.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Resistance {
    /// Pa per (kg/s)2.
    pub pa_s2_kg2: f64,
}

impl Resistance {
    /// Of a valve or a station with a flow coefficient Kv: m3/h of water of 1,000 kg/m3 at 1 bar.
    pub fn of_kv(kv_m3_h: f64, density_kg_m3: f64) -> Self {
        // dp = 1e5 Pa (rho / 1,000) (V / Kv)2 with V = 3,600 q / rho.
        Self { pa_s2_kg2: 1e5 * 3_600.0 * 3_600.0 / (1_000.0 * density_kg_m3 * kv_m3_h * kv_m3_h) }
    }

    /// Loss of pressure along the flow, Pa.
    pub fn loss_pa(self, flow_kg_s: f64) -> f64 {
        self.pa_s2_kg2 * flow_kg_s * flow_kg_s.abs()
    }

    /// d(loss)/d(flow), Pa s/kg.
    pub fn slope_pa_s_kg(self, flow_kg_s: f64) -> f64 {
        2.0 * self.pa_s2_kg2 * flow_kg_s.abs()
    }
}

/// Mass flow through an orifice, kg/s: `Cd A sqrt(2 rho dp)`; none against the pressure.
pub fn orifice_kg_s(effective_area_m2: f64, density_kg_m3: f64, pressure_pa: f64) -> f64 {
    effective_area_m2 * (2.0 * density_kg_m3 * pressure_pa.max(0.0)).sqrt()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::water;

    /// Colebrook by fixed point.
    fn colebrook(reynolds: f64, relative_roughness: f64) -> f64 {
        let mut x = 8.0;
        for _ in 0..60 {
            x = -2.0 * (relative_roughness / 3.7 + 2.51 * x / reynolds).log10();
        }
        1.0 / (x * x)
    }

    #[test]
    fn an_orifice_at_8_bar_loses_what_the_design_says() {
        let area = |mm: f64| 0.62 * PI / 4.0 * (mm / 1e3) * (mm / 1e3);
        let small = orifice_kg_s(area(1.0), 1_000.0, 8e5) * 3.6;
        let large = orifice_kg_s(area(10.0), 1_000.0, 8e5);
        assert!((small - 0.07).abs() < 0.005, "{small} m3/h");
        assert!((large - 1.95).abs() < 0.1, "{large} kg/s");
    }

    #[test]
    fn a_known_pipe_has_its_known_loss() {
        // DN200, 1 m/s, 0.5 mm, 70 degC: Re = 4.8e5, f = 0.0253, so 62 Pa/m.
        let pipe = Geometry { length_m: 100.0, inner_diameter_m: 0.2, roughness_m: 0.5e-3, local_loss: 0.0 };
        let density = water::density_kg_m3(70.0);
        let flow = pipe.area_m2() * density;
        let loss = pipe.loss_pa(flow, density, water::viscosity_pa_s(70.0)) / pipe.length_m;
        assert!((loss - 62.0).abs() < 1.0, "{loss} Pa/m");
    }

    #[test]
    fn a_valve_passes_its_kv_at_one_bar() {
        let flow = 16.0 * 1_000.0 / 3_600.0;
        assert!((Resistance::of_kv(16.0, 1_000.0).loss_pa(flow) - 1e5).abs() < 1e-6);
    }

    proptest! {
        #[test]
        fn the_slope_of_the_loss_is_its_derivative_in_every_regime(
            log_reynolds in 0.0_f64..7.0, log_roughness in -6.0_f64..-2.0, local_loss in 0.0_f64..5.0
        ) {
            let pipe = Geometry {
                length_m: 80.0, inner_diameter_m: 0.1, roughness_m: 0.1 * 10_f64.powf(log_roughness), local_loss,
            };
            let flow = 10_f64.powf(log_reynolds) * pipe.area_m2() * 4e-4 / 0.1;
            let loss = |q: f64| pipe.loss_and_slope(q, 975.0, 4e-4);
            let step = 1e-6 * flow;
            let difference = (loss(flow + step).0 - loss(flow - step).0) / (2.0 * step);
            prop_assert!((loss(flow).1 / difference - 1.0).abs() < 1e-3, "{} {difference}", loss(flow).1);
        }

        #[test]
        fn the_friction_factor_is_within_3_percent_of_colebrook(
            log_reynolds in 3.7_f64..8.0, log_roughness in -6.0_f64..-2.0
        ) {
            let (reynolds, roughness) = (10_f64.powf(log_reynolds), 10_f64.powf(log_roughness));
            let ratio = friction_factor(reynolds, roughness) / colebrook(reynolds, roughness);
            prop_assert!((ratio - 1.0).abs() < 0.03, "{ratio}");
        }

        #[test]
        fn the_loss_grows_with_the_flow_and_turns_with_its_sign(flow in 1e-4_f64..500.0) {
            let pipe = Geometry { length_m: 50.0, inner_diameter_m: 0.1, roughness_m: 2e-4, local_loss: 1.0 };
            let loss = |q: f64| pipe.loss_pa(q, 975.0, 3.8e-4);
            prop_assert!(loss(flow * 1.01) > loss(flow));
            prop_assert!((loss(flow) + loss(-flow)).abs() < 1e-9 * loss(flow));
        }
    }
}
