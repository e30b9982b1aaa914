//! What a utility may turn. Thresholds are not among it: they follow from the alarm budget and the network's own
//! residuals.

use std::time::Duration;

/// Settings of a partition's core.
#[derive(Debug, Clone, PartialEq)]
pub struct DetectSettings {
    /// How late a live reading may come and still be applied.
    pub lateness: Duration,
    /// The alarm budget: false pages (P1 and P2) a network may have in 30 days. A design default, not a norm.
    pub false_pages_per_month: f64,
    /// Usable data a water balance needs before it judges.
    pub learning: Duration,
    /// Share of circulation lost from the start that is worth a note as `standing_loss`; one operators' rule calls
    /// 0.5 to 1 % a target, unverified in a standard.
    pub standing_loss_ratio: f64,
    /// Indoor temperature that homes are promised, degC; 18 is what Chinese cities' heating rules promise.
    pub promised_indoor_celsius: f64,
    /// Shortest time between two `updated` events of one incident.
    pub update_interval: Duration,
    /// How long a burst's evidence must be gone before it clears.
    pub burst_clear: Duration,
    /// How far the absolute pressure of the supply must stay above saturation, Pa. The default of 30 kPa is the lower of
    /// the two that CJJ 34 gives for heating networks.
    pub saturation_margin_pa: f64,
    /// Gauge pressure that the return must keep at its highest point, Pa; the default of 50 kPa is CJJ 34's.
    pub return_pressure_min_pa: f64,
    /// Gauge pressure that the equipment of the primary circuit stands, Pa; the default is PN 16.
    pub pressure_max_pa: f64,
    /// How long a pressure must be beyond its limit, and how long be inside again.
    pub pressure_delay: Duration,
    /// See [`Self::pressure_delay`].
    pub pressure_clear: Duration,
    /// Time constant with which standing water cools in the most exposed pipe: heat capacity over heat loss, each per
    /// metre. The default is a DN 50 pipe in the open air behind 40 mm of insulation.
    pub frost_time_constant: Duration,
    /// How long a repair may wait for the data's verdict before it is reopened.
    pub verify: Duration,
    /// Longest shelving of a P1 incident.
    pub shelve_p1_max: Duration,
    /// Longest shelving of any other incident.
    pub shelve_max: Duration,
    /// Share of the alarm budget that is listed and never paged: deviations of a station from its own behaviour that may
    /// be listed in 30 days. A design default.
    pub listed_per_station_month: f64,
    /// Networks in one partition.
    pub networks_max: usize,
    /// Signals of one network that detectors use.
    pub signals_max: usize,
    /// Sites of one network whose behaviour is learned.
    pub behaviour_sites_max: usize,
    /// Sites and areas of one network whose tickets are counted.
    pub ticket_places_max: usize,
    /// Incidents kept per network, cleared ones included.
    pub incidents_max: usize,
    /// How long after the last word on it an incident that is over stays in the topic of states.
    pub incident_retention: Duration,
    /// Incidents of one network that are over and stay there.
    pub ended_max: usize,
    /// Maintenance windows kept per network.
    pub maintenance_max: usize,
}

const fn hours(hours: u64) -> Duration {
    Duration::from_secs(hours * 3_600)
}

impl Default for DetectSettings {
    fn default() -> Self {
        Self {
            lateness: Duration::from_secs(120),
            false_pages_per_month: 1.0,
            learning: hours(3 * 24),
            standing_loss_ratio: 0.005,
            promised_indoor_celsius: 18.0,
            update_interval: hours(1),
            burst_clear: Duration::from_secs(600),
            saturation_margin_pa: 30e3,
            return_pressure_min_pa: 50e3,
            pressure_max_pa: 1.6e6,
            pressure_delay: Duration::from_secs(30),
            pressure_clear: Duration::from_secs(300),
            frost_time_constant: hours(9),
            verify: hours(24),
            shelve_p1_max: hours(1),
            shelve_max: hours(30 * 24),
            listed_per_station_month: 0.05,
            networks_max: 4_096,
            signals_max: 200_000,
            behaviour_sites_max: 10_000,
            ticket_places_max: 20_000,
            incidents_max: 256,
            // A season and the summer, so that a winter can be held against the one before.
            incident_retention: hours(400 * 24),
            ended_max: 4_096,
            maintenance_max: 256,
        }
    }
}

impl DetectSettings {
    /// [`Self::lateness`] in microseconds.
    pub(crate) fn lateness_us(&self) -> i64 {
        i64::try_from(self.lateness.as_micros()).unwrap_or(i64::MAX)
    }
}
