//! What became of faults that were put into the data.

use serde::Serialize;

use super::Proportion;

/// Faults of one kind and size.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct InjectedRow {
    /// Its kind.
    pub kind: &'static str,
    /// Its size; absent in the row of all sizes.
    pub size: Option<f64>,
    /// Unit of the size.
    pub unit: &'static str,
    /// Found at the right station, of all that were put in.
    pub found: Proportion,
    /// Of those found, called by their kind.
    pub kind_right: usize,
    /// Called another kind of cause first: a station's, the network's, or a loss of water.
    pub misnamed: usize,
    /// Not found, and nothing in the data could have shown them.
    pub not_judgeable: usize,
    /// What as many random alarms find: mean, and what 95 % of the draws do not exceed.
    pub chance_mean: Option<f64>,
    /// See `chance_mean`.
    pub chance_quantile95: Option<f64>,
    /// Median time from onset to alarm, of those found.
    pub median_delay_h: Option<f64>,
}

/// All injected faults.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Injected {
    /// Seeds; the networks of each are told apart by them.
    pub seeds: Vec<u64>,
    /// Times at which a site should have got a fault and delivered no heat.
    pub empty_slots: u64,
    /// By kind, all sizes first.
    pub rows: Vec<InjectedRow>,
}
