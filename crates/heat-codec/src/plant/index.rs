//! The plant model as the gateway asks it: what is known of a device's signals, what to do with unknown ones, and which
//! networks and sites there are.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use heat_model::{
    DeviceId, NetworkId, SignalDecl, SignalName, SiteId, canary,
    plant::{PlantModel, Side, SignalSpec},
    unit::conversion,
};
use serde::Deserialize;

use super::Places;
use crate::reject::RejectReason;

/// What happens to a signal that the plant model does not have.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum UnknownSignals {
    /// It is taken as it comes.
    #[default]
    Take,
    /// It becomes a dead letter.
    Refuse,
}

/// The policy on unknown signals: one for all networks, and those that differ from it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct UnknownPolicy {
    /// Where no network says otherwise.
    pub default: UnknownSignals,
    /// By network.
    pub networks: BTreeMap<NetworkId, UnknownSignals>,
}

impl UnknownPolicy {
    /// The policy in a network. No plant model has the gateways' own canaries: they are always taken.
    pub fn of(&self, network: &NetworkId) -> UnknownSignals {
        if network.as_str() == canary::NETWORK {
            return UnknownSignals::Take;
        }
        self.networks.get(network).copied().unwrap_or(self.default)
    }
}

/// Values a signal may have, in SI, both ends included.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct SiRange {
    /// Lowest; minus infinity if there is none.
    pub min: f64,
    /// Highest; infinity if there is none.
    pub max: f64,
}

impl SiRange {
    /// Every value.
    pub const ANY: Self = Self { min: f64::NEG_INFINITY, max: f64::INFINITY };

    /// Whether the value lies within. NaN, which stands for no value, is not out of range.
    pub fn holds(self, value: f64) -> bool {
        !(value < self.min || value > self.max)
    }
}

/// What the plant model says of one signal.
#[derive(Debug, Clone, PartialEq)]
pub struct SignalFacts {
    /// Unit of values that come without one, as the table has it.
    pub unit: Option<Box<str>>,
    /// SI unit that the range is in.
    pub si: Box<str>,
    /// Values it may have.
    pub range: SiRange,
    /// Accuracy class of its meter, as the table has it.
    pub accuracy_class: Option<Box<str>>,
    /// Side of the pipe that the sensor sits on.
    pub sensor_side: Option<Side>,
    /// How often it is expected.
    pub interval: Option<Duration>,
}

impl SignalFacts {
    fn new(row: &SignalSpec) -> Self {
        // The checks of the tables refuse a unit that cannot be; without them the range is left unused.
        let (si, scale, offset) = conversion(row.name.as_str(), row.unit.as_deref())
            .unwrap_or_else(|_| ("".into(), f64::NAN, f64::NAN));
        let bound = |raw: Option<f64>, none: f64| raw.map_or(none, |raw| raw * scale + offset);
        Self {
            unit: row.unit.as_deref().map(Into::into),
            si,
            range: SiRange {
                min: bound(row.range_min, f64::NEG_INFINITY),
                max: bound(row.range_max, f64::INFINITY),
            },
            accuracy_class: row.accuracy_class.as_deref().map(Into::into),
            sensor_side: row.sensor_side,
            interval: row.interval_s.and_then(|seconds| Duration::try_from_secs_f64(seconds).ok()),
        }
    }
}

/// What is known of one device; the default knows no signal and takes all. Keep it beside the device's shapes.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct DeviceFacts {
    unknown: UnknownSignals,
    signals: BTreeMap<SignalName, SignalFacts>,
}

impl DeviceFacts {
    /// What the plant model says of a signal; `None` if it does not have it.
    pub fn signal(&self, name: &SignalName) -> Option<&SignalFacts> {
        self.signals.get(name)
    }

    /// For [`crate::shape::DeviceShapes::resolve`]: the unit of a name that came without one, or the reason to refuse
    /// the name.
    pub fn declare(&self, name: &SignalName) -> Result<Option<Box<str>>, RejectReason> {
        match (self.signals.get(name), self.unknown) {
            (Some(facts), _) => Ok(facts.unit.clone()),
            (None, UnknownSignals::Take) => Ok(None),
            (None, UnknownSignals::Refuse) => Err(RejectReason::UnknownSignal),
        }
    }

    /// The range of each of these signals, in their order; [`SiRange::ANY`] where none is known, or where values come
    /// in another dimension than the table's (a volume flow against a range of mass flow).
    pub fn ranges(&self, signals: &[SignalDecl]) -> Box<[SiRange]> {
        signals
            .iter()
            .map(|decl| match self.signals.get(&decl.name) {
                Some(facts) if facts.si == decl.unit => facts.range,
                Some(_) | None => SiRange::ANY,
            })
            .collect()
    }
}

/// All signals of a plant model, by device. Immutable: another model is another index.
#[derive(Debug, Clone, Default)]
pub struct SignalIndex {
    policy: UnknownPolicy,
    networks: BTreeMap<NetworkId, BTreeMap<SiteId, BTreeMap<DeviceId, Arc<DeviceFacts>>>>,
    signals: usize,
    places: Places,
}

impl SignalIndex {
    /// Of a checked model; the default knows no signal and takes all.
    pub fn new(model: &PlantModel, policy: UnknownPolicy) -> Self {
        let mut networks: BTreeMap<_, BTreeMap<_, BTreeMap<_, DeviceFacts>>> = BTreeMap::new();
        for row in &model.signals {
            let sites = networks.entry(row.id.network.clone()).or_default();
            let devices = sites.entry(row.site.clone()).or_default();
            let device = devices.entry(row.device.clone()).or_insert_with(|| DeviceFacts {
                unknown: policy.of(&row.id.network),
                signals: BTreeMap::new(),
            });
            device.signals.insert(row.name.clone(), SignalFacts::new(row));
        }
        let shared = |devices: BTreeMap<_, _>| {
            devices.into_iter().map(|(device, facts)| (device, Arc::new(facts))).collect()
        };
        let networks = networks
            .into_iter()
            .map(|(network, sites)| {
                (network, sites.into_iter().map(|(site, devices)| (site, shared(devices))).collect())
            })
            .collect();
        Self { policy, networks, signals: model.signals.len(), places: Places::new(model) }
    }

    /// What is known of a device; of one that the model does not have, only the network's policy.
    pub fn device(&self, network: &NetworkId, site: &SiteId, device: &DeviceId) -> Arc<DeviceFacts> {
        let known = self
            .networks
            .get(network)
            .and_then(|sites| sites.get(site))
            .and_then(|devices| devices.get(device));
        known.cloned().unwrap_or_else(|| {
            Arc::new(DeviceFacts { unknown: self.policy.of(network), signals: BTreeMap::new() })
        })
    }

    /// One signal, looked up from the root; `None` if the model does not have it.
    pub fn signal(
        &self,
        network: &NetworkId,
        site: &SiteId,
        device: &DeviceId,
        name: &SignalName,
    ) -> Option<&SignalFacts> {
        self.networks.get(network)?.get(site)?.get(device)?.signal(name)
    }

    /// Where tickets may belong.
    pub const fn places(&self) -> &Places {
        &self.places
    }

    /// Signals in it.
    pub const fn len(&self) -> usize {
        self.signals
    }

    /// Whether it has none.
    pub const fn is_empty(&self) -> bool {
        self.signals == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TABLE: &str = "id,unit,range_min,range_max,accuracy_class,sensor_side,interval_s\n\
        n/s/d/supply_pressure,MPa,0,1.6,0.5,supply,10\n\
        n/s/d/make_up_flow,t/h,,12,,,\n\
        n/s/d/vibration,furlong,1,,,,\n";

    fn index(policy: UnknownPolicy) -> SignalIndex {
        SignalIndex::new(&crate::plant::read(&[("signals.csv", TABLE)]).unwrap(), policy)
    }

    fn facts(index: &SignalIndex, device: &str) -> Arc<DeviceFacts> {
        index.device(&"n".parse().unwrap(), &"s".parse().unwrap(), &device.parse().unwrap())
    }

    fn name(text: &str) -> SignalName {
        text.parse().unwrap()
    }

    fn decl(name_text: &str, unit: &str) -> SignalDecl {
        let (si, scale, offset) = conversion(name_text, Some(unit)).unwrap();
        SignalDecl { name: name(name_text), unit: si, raw_unit: unit.into(), scale, offset }
    }

    #[test]
    fn a_known_signal_has_its_unit_and_its_range_in_si() {
        let index = index(UnknownPolicy::default());
        let device = facts(&index, "d");
        assert_eq!(device.declare(&name("supply_pressure")), Ok(Some("MPa".into())));
        let pressure = device.signal(&name("supply_pressure")).unwrap();
        assert_eq!(pressure.range, SiRange { min: 0.0, max: 1.6e6 });
        assert_eq!(pressure.interval, Some(Duration::from_secs(10)));
        assert_eq!(
            (pressure.accuracy_class.as_deref(), pressure.sensor_side),
            (Some("0.5"), Some(Side::Supply))
        );
        assert_eq!(index.len(), 3);
    }

    #[test]
    fn a_range_judges_only_values_of_its_own_dimension() {
        let device = facts(&index(UnknownPolicy::default()), "d");
        let ranges = device.ranges(&[
            decl("supply_pressure", "bar"),
            decl("make_up_flow", "t/h"),
            decl("make_up_flow", "m3/h"),
            decl("vibration", "furlong"),
            decl("other", "mm"),
        ]);
        assert!((ranges[1].max - 12.0 / 3.6).abs() < 1e-12);
        assert_eq!(ranges[0], SiRange { min: 0.0, max: 1.6e6 });
        assert_eq!(ranges[2], SiRange::ANY);
        assert_eq!(ranges[3], SiRange { min: 1.0, max: f64::INFINITY });
        assert_eq!(ranges[4], SiRange::ANY);
    }

    #[test]
    fn a_range_includes_its_ends_and_says_nothing_of_no_value() {
        let range = SiRange { min: 0.0, max: 1.0 };
        assert!(range.holds(0.0) && range.holds(1.0) && range.holds(f64::NAN));
        assert!(!range.holds(-1e-9) && !range.holds(1.1) && !range.holds(f64::INFINITY));
    }

    #[test]
    fn a_gateways_canary_is_taken_whatever_the_policy() {
        let policy = UnknownPolicy { default: UnknownSignals::Refuse, ..UnknownPolicy::default() };
        assert_eq!(policy.of(&canary::NETWORK.parse().unwrap()), UnknownSignals::Take);
    }

    #[test]
    fn an_unknown_signal_is_taken_or_refused_as_its_network_says() {
        let refusing = UnknownPolicy {
            default: UnknownSignals::Take,
            networks: BTreeMap::from([("n".parse().unwrap(), UnknownSignals::Refuse)]),
        };
        let index = index(refusing);
        for device in ["d", "unheard-of"] {
            assert_eq!(facts(&index, device).declare(&name("x")), Err(RejectReason::UnknownSignal));
        }
        let elsewhere = index.device(&"m".parse().unwrap(), &"s".parse().unwrap(), &"d".parse().unwrap());
        assert_eq!(elsewhere.declare(&name("x")), Ok(None));
        assert_eq!(facts(&index, "d").declare(&name("vibration")), Ok(Some("furlong".into())));
    }
}
