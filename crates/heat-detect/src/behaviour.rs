//! What no rule names: sites whose signals do not move together as they usually do.
//!
//! Any set of signals will do, whatever their names. [`model`] holds the physics-free model and says why it is built so;
//! [`alone`] what a site of one or two signals is held against; [`site`] gathers readings into frames; [`episodes`]
//! decides by the alarm budget what is listed. A deviation that most signals of a site share, or that began at several sites
//! at once, is not the site's fault: the plant is run in another way, or the network is to blame, for which there are other
//! detectors. A site whose supply and return hardly differ delivers no heat, and is neither judged nor learned.
//!
//! Class `unknown`, P4: it names the site and the signals that are off, and leaves the cause to a person.

mod alone;
mod episodes;
mod matrix;
mod model;
mod site;

use std::collections::{BTreeMap, BTreeSet};

use heat_model::{
    EventTime, SiteId,
    incident::{Class, Evidence},
    plant::ModelLevel,
    unit::standard_dimensions,
};
use serde::{Deserialize, Serialize};

use self::site::{Change, Site};
use crate::{
    DetectSettings, Finding,
    budget::{Budget, Test},
    layout::SignalKey,
    network::findings,
};

/// Name of the detector.
pub(crate) const DETECTOR: &str = "station_behaviour";
/// Signals of one site.
const SIGNALS_MAX: usize = 32;
/// Signals named on an incident.
const NAMED_MAX: usize = 3;
/// From this share of the sites on, and two at least, a deviation is common to them.
const COMMON_SHARE: f64 = 0.1;
const COMMON_MIN: f64 = 2.0;

/// Behaviour of all sites of a network.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(crate) struct Behaviour {
    keys: Vec<SignalKey>,
    /// Site and column of each key.
    places: Vec<(u32, u8)>,
    ids: Vec<SiteId>,
    sites: Vec<Site>,
    /// Sites that are off now.
    off: u32,
    #[serde(skip)]
    site_index: BTreeMap<SiteId, u32>,
}

/// What the behaviour of one site was in its last frame.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Step<'a> {
    pub(crate) start_us: i64,
    /// Statistic over threshold; `None` while it learns.
    pub(crate) statistic: Option<f64>,
    pub(crate) off: bool,
    /// The signal that deviates most.
    pub(crate) signal: Option<&'a SignalKey>,
}

impl Behaviour {
    /// Rebuilds what is derived, after a restore.
    pub(crate) fn restored(&mut self) {
        self.site_index = self.ids.iter().cloned().zip(0..).collect();
    }

    /// Registers a signal; `None` beyond the bounds.
    pub(crate) fn register(
        &mut self,
        key: &SignalKey,
        is_plant: bool,
        settings: &DetectSettings,
    ) -> Option<u32> {
        if let Some(index) = self.known(key) {
            return Some(index);
        }
        let at = match self.site_index.get(&key.site) {
            Some(at) => *at,
            None => {
                if self.sites.len() >= settings.behaviour_sites_max {
                    return None;
                }
                let at = u32::try_from(self.sites.len()).ok()?;
                self.site_index.insert(key.site.clone(), at);
                self.ids.push(key.site.clone());
                self.sites.push(Site::new());
                at
            }
        };
        let site = &mut self.sites[at as usize];
        if site.columns.len() >= SIGNALS_MAX {
            return None;
        }
        let index = u32::try_from(self.keys.len()).ok()?;
        self.off -= u32::from(site.is_off());
        let column = u8::try_from(site.add(index, matches!(&*key.unit, "J" | "m3"))).ok()?;
        let name = key.name.as_str();
        let (circuit, bare) = match name.strip_prefix("secondary_") {
            Some(bare) => (1, bare),
            None => (0, name.strip_prefix("primary_").unwrap_or(name)),
        };
        site.is_plant |= is_plant || name.len() != bare.len();
        site.is_standard |= standard_dimensions(name).is_some();
        match bare {
            "supply_temperature" => site.pairs[circuit].supply = Some(column),
            "return_temperature" => site.pairs[circuit].back = Some(column),
            _ => {}
        }
        self.places.push((at, column));
        self.keys.push(key.clone());
        Some(index)
    }

    /// A site has few signals; a map of all of them would hold each name a second time.
    fn known(&self, key: &SignalKey) -> Option<u32> {
        let site = &self.sites[*self.site_index.get(&key.site)? as usize];
        site.columns.iter().map(|column| column.key).find(|index| self.keys[*index as usize] == *key)
    }

    /// Takes a value; a finding if it closes a frame that changes something.
    pub(crate) fn observe(
        &mut self,
        settings: &DetectSettings,
        signal: u32,
        at_us: i64,
        value: f64,
        live: bool,
    ) -> Option<Finding> {
        let (at, column) = self.places[signal as usize];
        let common = self.is_common(self.off as usize);
        let site = &mut self.sites[at as usize];
        let was_off = site.is_off();
        let per_month = Budget::of(settings).share(Test::Behaviour);
        let change = site.observe(usize::from(column), at_us, value, live, per_month, !common);
        match (was_off, site.is_off()) {
            (false, true) => {
                self.off += 1;
                self.share(at_us);
            }
            (true, false) => self.off -= 1,
            (true, true) | (false, false) => {}
        }
        let id = &self.ids[at as usize];
        match change? {
            Change::Well => {
                let mut finding =
                    findings::empty(DETECTOR, Class::Unknown, EventTime::from_micros(at_us), ModelLevel::L0);
                finding.active = false;
                finding.place = Some(id.as_str().to_owned());
                Some(finding)
            }
            Change::List { since_us, judged } => {
                let finding = self.finding(at, since_us, judged.deviate);
                // What no meter can tell is true by numbers alone.
                let is_slight = |evidence: &Evidence| evidence.value.abs() < told_from(&evidence.unit);
                let is_told = finding.evidence.is_empty() || !finding.evidence.iter().all(is_slight);
                is_told.then_some(finding)
            }
        }
    }

    fn is_common(&self, sites: usize) -> bool {
        sites as f64 >= COMMON_MIN.max(COMMON_SHARE * self.sites.len() as f64)
    }

    /// A site went off: what began at several within one window is common to them to its end. The others are well again
    /// earlier, each when its own noise lets it; the last one is no more to blame than they are.
    fn share(&mut self, at_us: i64) {
        let began = |site: &&mut Site| site.began_with(at_us);
        let count = self.sites.iter_mut().filter(began).count();
        if self.is_common(count) {
            self.sites.iter_mut().filter(began).for_each(Site::share);
        }
    }

    fn finding(&self, at: u32, since_us: i64, deviate: f64) -> Finding {
        let (id, site) = (&self.ids[at as usize], &self.sites[at as usize]);
        let onset = EventTime::from_micros(since_us);
        let mut finding = findings::empty(DETECTOR, Class::Unknown, onset, ModelLevel::L0);
        finding.place = Some(id.as_str().to_owned());
        finding.affected.push(id.clone());
        finding.strength = deviate;
        // A signal alone may be off in two ways: the stronger is told.
        let mut named = BTreeSet::new();
        finding.evidence = site
            .model()
            .into_iter()
            .flat_map(|model| model.shifts())
            .map(|shift| (site.key_of(shift.signal), shift))
            .filter(|(key, _)| named.insert(*key))
            .take(NAMED_MAX)
            .map(|(key, shift)| {
                let key = &self.keys[key as usize];
                Evidence {
                    detector: DETECTOR.to_owned(),
                    place: format!("{}/{}/{}", key.site, key.device, key.name),
                    what: "off_its_usual".to_owned(),
                    value: shift.shift,
                    unit: key.unit.to_string(),
                    at: onset,
                }
            })
            .collect();
        finding
    }

    /// The last frame of a site.
    pub(crate) fn step(&self, site: &SiteId) -> Option<Step<'_>> {
        let site = &self.sites[*self.site_index.get(site)? as usize];
        let frame = site.last?;
        Some(Step {
            start_us: frame.start_us,
            statistic: frame.judged.map(|judged| judged.statistic),
            off: frame.judged.is_some_and(|judged| judged.off),
            signal: frame.judged.map(|judged| &self.keys[site.key_of(judged.signal) as usize]),
        })
    }

    /// Sites that have a model and are listed, and how many of them judge.
    pub(crate) fn readiness(&self) -> (usize, usize) {
        let models = || self.sites.iter().filter(|site| site.lists()).filter_map(Site::model);
        (models().count(), models().filter(|model| model.learning_left() == 0).count())
    }

    /// Seconds of data until the first site judges; `None` without any site that could.
    pub(crate) fn learning_left_s(&self) -> Option<u64> {
        self.sites
            .iter()
            .filter(|site| site.lists())
            .filter_map(|site| {
                let left_us = i64::from(site.model()?.learning_left()) * site.step_us()?;
                u64::try_from(left_us / 1_000_000).ok()
            })
            .min()
    }
}

/// The least deviation that meters of a unit can tell: temperature pairs of EN 1434, transmitters of a quarter percent of 1 MPa,
/// positioners. Of others the size says nothing without their range.
fn told_from(unit: &str) -> f64 {
    match unit {
        "degC" | "K" => 0.1,
        "Pa" => 2_500.0,
        "1" => 0.005,
        _ => 0.0,
    }
}
