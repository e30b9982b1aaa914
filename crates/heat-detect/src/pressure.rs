//! Circulation and pressure: what stops the flow, boils or empties the pipes, or is too much for them, and what may
//! then freeze.
//!
//! - [`stop`]: pump trip and power failure, told from a burst by the return pressure, which does not fall, and by flows
//!   that fall on both sides.
//! - [`regime`]: flashing, emptying and overpressure at every elevation, against limits from the settings.
//! - [`frost`]: hours left until standing water reaches 5 degC.
//!
//! Rules on the latest values, judged once a second at the most; none needs to learn. Each takes two devices to
//! turn on (a frost risk two signals where a station has only one device), and [`latch::Latch`] keeps it from chattering.
//! What is on stays on until the data say otherwise: silence ends nothing. They judge nothing in a season in which the
//! primary circuit is meant to stand or to be empty.

pub(crate) mod frost;
pub(crate) mod latch;
pub(crate) mod regime;
pub(crate) mod stop;
pub(crate) mod zones;

use heat_model::{EventTime, incident::Evidence};
use serde::{Deserialize, Serialize};

use self::{frost::FrostWatch, regime::RegimeWatch, stop::StopWatch, zones::Zones};
use crate::{DetectSettings, Finding, burst::View, quality::Quality, thermal::Thermal};

/// Seconds between looks at the pressures of all sites.
const REGIME_SECONDS: i64 = 5;
/// Seconds between looks at temperatures.
const FROST_SECONDS: i64 = 10;

/// What the rules see.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Scene<'a> {
    pub(crate) settings: &'a DetectSettings,
    pub(crate) view: View<'a>,
    pub(crate) zones: &'a Zones,
    pub(crate) quality: &'a Quality,
    pub(crate) thermal: &'a Thermal,
    /// Time up to which the data tell, microseconds.
    pub(crate) now_us: i64,
    /// Append time at which the newest data came.
    pub(crate) arrived_us: i64,
}

/// State of all rules of one network.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(crate) struct PressureWatch {
    stop: StopWatch,
    regime: RegimeWatch,
    frost: FrostWatch,
    /// Newest data that the regime has seen.
    regime_saw_us: i64,
}

impl PressureWatch {
    /// Looks at the network; `second` is the append clock's. What changed, causes before effects.
    pub(crate) fn look(&mut self, scene: Scene<'_>, second: i64) -> Vec<Finding> {
        let mut found = Vec::new();
        self.stop.look(scene, &mut found);
        let has_news = scene.arrived_us > self.regime_saw_us || self.regime.is_under_way();
        if second.rem_euclid(REGIME_SECONDS) == 0 && has_news {
            self.regime_saw_us = scene.arrived_us;
            self.regime.look(scene, &mut found);
        }
        if second.rem_euclid(FROST_SECONDS) == 0 {
            self.frost.look(scene, &self.stop, &mut found);
        }
        found
    }

    /// The circuit is not in operation: what was on is over, by the operator's word.
    pub(crate) fn rest(&mut self, scene: Scene<'_>) -> Vec<Finding> {
        let mut found = Vec::new();
        self.stop.rest(scene, &mut found);
        self.regime.rest(scene, &mut found);
        self.frost.rest(scene, &mut found);
        found
    }

    /// Whether a finding still shows in the newest data.
    pub(crate) fn still_shows(&self, finding: &Finding) -> bool {
        self.stop.still_shows(finding) && self.regime.still_shows(finding) && self.frost.still_shows(finding)
    }
}

impl Scene<'_> {
    fn evidence(&self, detector: &str, signal: u32, what: &str, value: f64, unit: &str) -> Evidence {
        let layout = self.view.layout;
        let site = layout.placed[signal as usize].site;
        Evidence {
            detector: detector.to_owned(),
            place: layout.sites[site as usize].id.as_str().to_owned(),
            what: what.to_owned(),
            value,
            unit: unit.to_owned(),
            at: EventTime::from_micros(self.view.trackers[signal as usize].at_us),
        }
    }
}
