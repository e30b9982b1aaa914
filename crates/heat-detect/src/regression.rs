//! Straight line of a value over a load, by sums that forget.

use serde::{Deserialize, Serialize};

/// Weighted sums; each newer pair counts more than those before.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Regression {
    weight: f64,
    load: f64,
    load_square: f64,
    value: f64,
    cross: f64,
}

impl Regression {
    /// Takes a pair; `memory` is in pairs.
    pub(crate) fn learn(&mut self, memory: f64, load: f64, value: f64) {
        let keep = 1.0 - 1.0 / memory;
        self.weight = self.weight * keep + 1.0;
        self.load = self.load * keep + load;
        self.load_square = self.load_square * keep + load * load;
        self.value = self.value * keep + value;
        self.cross = self.cross * keep + load * value;
    }

    /// Pairs that count; 0 before the first.
    pub(crate) fn weight(&self) -> f64 {
        self.weight
    }

    pub(crate) fn mean_load(&self) -> f64 {
        self.load / self.weight
    }

    pub(crate) fn mean_value(&self) -> f64 {
        self.value / self.weight
    }

    /// Sum of the squares of the loads' distances from their mean.
    pub(crate) fn spread(&self) -> f64 {
        (self.load_square - self.load * self.mean_load()).max(0.0)
    }

    /// Sum of the products of the distances of loads and values from their means.
    pub(crate) fn covariance(&self) -> f64 {
        self.cross - self.load * self.mean_value()
    }
}
