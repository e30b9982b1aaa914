//! What a network's own noise allows.
//!
//! The corrected make-up's hours, less their mean, r, whitened by their lag-1 correlation c:
//! `w = (r_t - c r_(t-1)) / (1 - c)`. A lasting loss shifts w by its full size, so `s = loss / sd(w)` compares it with
//! independent noise, and the best sequential test at one false alarm per 720 h needs about
//! `2 ln(720) / s^2 = 13 h / s^2` (Lorden 1971).

use crate::balance::sequential::{clipped_deviation, correlation};

/// Hours by the best test at s = 1.
pub const HOURS_AT_ONE: f64 = 13.0;
/// Fewest hours that say anything about noise.
const HOURS_MIN: usize = 48;

/// The noise of one network.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Noise {
    /// Standard deviation of the whitened hourly residuals, kg/s.
    pub sigma_kg_s: f64,
    /// Lag-1 correlation of the residuals.
    pub correlation: f64,
    /// Hours that it rests on.
    pub hours: usize,
}

impl Noise {
    /// s of a loss.
    pub fn detectability(&self, loss_kg_s: f64) -> f64 {
        loss_kg_s / self.sigma_kg_s
    }

    /// Loss that the best test finds within so many hours, kg/s.
    pub fn smallest_kg_s(&self, hours: f64) -> f64 {
        (HOURS_AT_ONE / hours).sqrt() * self.sigma_kg_s
    }
}

/// Noise of hourly corrected make-up, kg/s, by number of the hour, rising; hours in which water was lost must be left out.
/// `None` for too few.
pub fn noise(hourly: &[(i64, f64)]) -> Option<Noise> {
    if hourly.len() < HOURS_MIN {
        return None;
    }
    let mean = hourly.iter().map(|(_, residual)| residual).sum::<f64>() / hourly.len() as f64;
    let residuals: Vec<f64> = hourly.iter().map(|(_, residual)| residual - mean).collect();
    let correlation = correlation(&residuals);
    let whitened: Vec<f64> = (1..hourly.len())
        .filter(|&at| hourly[at].0 == hourly[at - 1].0 + 1)
        .map(|at| (residuals[at] - correlation * residuals[at - 1]) / (1.0 - correlation))
        .collect();
    let sigma_kg_s = clipped_deviation(&whitened)?;
    Some(Noise { sigma_kg_s, correlation, hours: hourly.len() })
}
