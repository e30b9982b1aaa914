//! What detectors hold, for onlookers: plots, scores for outside benchmarks. Reading changes nothing.

use heat_model::{DeviceId, SignalName, SiteId, plant::SiteKind};

use crate::{
    bins::BIN_SECONDS,
    layout::{self, SignalKey},
    network::Network,
};

/// What the water balance made of one quarter hour.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct BalanceStep {
    /// Start of the quarter hour, microseconds since the epoch.
    pub bin_start_us: i64,
    /// Make-up, kg/s; the sources' supply less return where none is metered.
    pub water_kg_s: f64,
    /// What of it thermal contraction takes up, kg/s; 0 where it cannot be told.
    pub contraction_kg_s: f64,
    /// Baseline of the corrected make-up before this quarter hour was learned, kg/s.
    pub expected_kg_s: f64,
    /// Corrected make-up less its baseline, kg/s.
    pub residual_kg_s: f64,
    /// Mean circulation, kg/s.
    pub circulation_kg_s: f64,
    /// Largest sequential statistic over its threshold: 1 is an alarm.
    pub statistic: f64,
    /// Whether it was judged: not while learning, back-filled, or refilling after a burst.
    pub judged: bool,
    /// Whether the baseline was still being learned.
    pub learns: bool,
}

/// A signal as the burst rule sees it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct SignalStep {
    /// Event time of the last value, microseconds since the epoch.
    pub at_us: i64,
    /// The last value, SI.
    pub value: f64,
    /// How far it stood from where the signal stood a minute before, in standard deviations; `None` for the first value
    /// and after a gap.
    pub z: Option<f32>,
}

/// The behaviour of a site in its last frame.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct BehaviourStep<'a> {
    /// Start of the frame, microseconds since the epoch.
    pub start_us: i64,
    /// Largest deviation of a signal from what the site's others say of it, over its threshold: 1 is off; `None` while it
    /// learns.
    pub statistic: Option<f64>,
    /// Whether the site is off, with hysteresis.
    pub off: bool,
    /// Device and name of the signal that deviates most.
    pub signal: Option<(&'a DeviceId, &'a SignalName)>,
}

/// What other signals can tell of a signal's level.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Redundancy<'a> {
    /// Where the signal is.
    pub site: &'a SiteId,
    /// Its device.
    pub device: &'a DeviceId,
    /// Its name.
    pub name: &'a SignalName,
    /// The least bias that they can show, in `unit`; that of a flow is a share of it.
    pub least: f64,
    /// `K`, `Pa` or `1`.
    pub unit: &'static str,
}

/// What a station's named faults have cost since the detectors began.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct StationCost<'a> {
    /// The station.
    pub site: &'a SiteId,
    /// Water pumped for nothing, kg.
    pub excess_kg: f64,
    /// Heat delivered for nothing, J.
    pub excess_j: f64,
    /// Capacity of the network that both took, J: what stations are ranked by.
    pub capacity_j: f64,
    /// How long, seconds.
    pub seconds: u64,
}

/// Whether any detector uses a signal of this name.
pub fn uses(name: &str) -> bool {
    layout::is_used(name)
}

/// One network's detectors.
#[derive(Debug, Clone, Copy)]
pub struct NetworkProbe<'a> {
    pub(crate) network: &'a Network,
}

impl<'a> NetworkProbe<'a> {
    /// What the balance made of the newest quarter hours, oldest first: at most four.
    pub fn balance_steps(&self) -> impl Iterator<Item = &'a BalanceStep> {
        self.network.state.balance.steps()
    }

    /// Devices that show a loss of water and devices that show a pressure drop at this instant: a burst needs both.
    pub fn burst_votes(&self, now_us: i64) -> (u32, u32) {
        self.network.state.burst.votes_now(now_us)
    }

    /// The signal's last value; `None` for a signal that no detector uses.
    pub fn signal(
        &self,
        site: &SiteId,
        device: &DeviceId,
        name: &SignalName,
        unit: &str,
    ) -> Option<SignalStep> {
        let key =
            SignalKey { site: site.clone(), device: device.clone(), name: name.clone(), unit: unit.into() };
        let index = *self.network.by_key.get(&key)?;
        let tracker = self.network.state.trackers.get(index as usize)?;
        tracker.seen.then_some(SignalStep { at_us: tracker.at_us, value: tracker.value, z: tracker.last_z })
    }

    /// The behaviour of a site in its last frame; `None` before its first.
    pub fn behaviour(&self, site: &SiteId) -> Option<BehaviourStep<'a>> {
        let step = self.network.state.behaviour.step(site)?;
        Some(BehaviourStep {
            start_us: step.start_us,
            statistic: step.statistic,
            off: step.off,
            signal: step.signal.map(|key| (&key.device, &key.name)),
        })
    }

    /// Stations, each with its differential pressure as a share of its usual one, where that is known.
    pub fn stations(&self) -> impl Iterator<Item = (&'a SiteId, Option<f64>)> {
        let network = self.network;
        network.layout.of_kind(SiteKind::Station).map(move |(index, site)| {
            let state = &network.state;
            (&site.id, state.stations.share_of_usual(index, &network.layout, &state.trackers))
        })
    }

    /// Stations whose named faults cost flow or heat, the worst first: where summer maintenance begins.
    pub fn station_costs(&self) -> impl Iterator<Item = StationCost<'a>> {
        let network = self.network;
        network.state.thermal.costs().into_iter().map(move |(site, costs)| StationCost {
            site: &network.layout.sites[site as usize].id,
            excess_kg: costs.excess_kg,
            excess_j: costs.excess_j,
            capacity_j: costs.capacity_j,
            seconds: u64::from(costs.bins) * BIN_SECONDS.unsigned_abs(),
        })
    }

    /// Signals whose level other signals tell. Of those that are not among them, a bias or drift cannot be judged.
    pub fn redundancy(&self) -> impl Iterator<Item = Redundancy<'a>> {
        let network = self.network;
        network.state.thermal.redundancy(&network.layout).into_iter().map(move |(signal, least, unit)| {
            let key = &network.state.keys[signal as usize];
            Redundancy { site: &key.site, device: &key.device, name: &key.name, least, unit }
        })
    }
}
