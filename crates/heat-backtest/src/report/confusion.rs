//! Which kind of cause was taken for which.

use serde::Serialize;

/// A share with its 95 % interval after Wilson.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Proportion {
    /// How many.
    pub part: usize,
    /// Of how many.
    pub whole: usize,
    /// Point estimate.
    pub share: Option<f64>,
    /// Lower limit.
    pub low95: Option<f64>,
    /// Upper limit.
    pub high95: Option<f64>,
}

/// How events of one kind were named first.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct ConfusionRow {
    /// What it was: `sensor`, `consumer`, `network`, `leak`; `none` counts alarms that concern no event.
    pub truth: &'static str,
    /// Scored events; alarms in the row `none`.
    pub events: usize,
    /// Named a sensor's fault first.
    pub sensor: usize,
    /// Named a station's or its homes' matter first.
    pub consumer: usize,
    /// Named the network's matter first.
    pub network: usize,
    /// Named a loss of water first.
    pub leak: usize,
    /// Not named, not judgeable ones included.
    pub none: usize,
    /// Of them those that nothing in the data could show.
    pub not_judgeable: usize,
}

/// How one event was named.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ConfusionEvent {
    /// The event.
    pub event: String,
    /// Its class.
    pub class: String,
    /// Its network.
    pub network: String,
    /// Its place.
    pub place: String,
    /// What it was.
    pub truth: &'static str,
    /// What was said first, if anything.
    pub said: Option<&'static str>,
    /// The alarm that said it.
    pub alarm: Option<String>,
    /// Other families named while it was on.
    pub also: Vec<&'static str>,
    /// Why the data could not show it, where it was not named.
    pub not_judgeable: Option<String>,
}

/// Which kind of cause was taken for which.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Confusion {
    /// A row for each family, and `none`.
    pub rows: Vec<ConfusionRow>,
    /// Events that were named anything.
    pub named: Proportion,
    /// The same of events that the data could show.
    pub named_of_judgeable: Proportion,
    /// Named events whose first name was right.
    pub right: Proportion,
    /// Sensor faults, stations and supply temperatures for which a loss of water was named at any time.
    pub leak_for_temperature: usize,
    /// Losses of water for which something else was named at any time.
    pub temperature_for_leak: usize,
    /// Event by event.
    pub events: Vec<ConfusionEvent>,
}
