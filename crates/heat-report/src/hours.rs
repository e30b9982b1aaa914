//! What meters measured, folded from hours to days: a day of a signal is a few numbers, whatever its rate.
//!
//! A day's amount of a flow (or power) is the mean of its known hours times the whole day, with at least
//! [`DAY_HOURS_MIN`] of them; else that of a counter of the same device, if it only rose. A network's day is known if it
//! is known of every meter that was in use on that day, so that a missing meter never reads as less water.

use std::collections::{BTreeMap, BTreeSet, btree_map::Entry};

use heat_model::{DeviceId, NetworkId, SiteId};

use crate::Span;

/// Fewest hours for a day to be known.
pub const DAY_HOURS_MIN: u32 = 18;
/// Most days of signals kept: 5,000 stations with eight meters over a season.
const SIGNAL_DAYS_MAX: usize = 8_000_000;
/// Most homes counted.
const HOMES_MAX: usize = 500_000;
const DAY_S: f64 = 86_400.0;
/// Mass of a volume of a primary's water between supply and return, kg/m3: within 2 % of either.
const WATER_KG_M3: f64 = 980.0;
/// Hours of a day.
pub const DAY_HOURS: usize = 24;

/// What is measured, as far as a report asks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[expect(missing_docs, reason = "named as the signals")]
pub enum Quantity {
    HeatPower,
    HeatEnergy,
    MakeUpFlow,
    MakeUpVolume,
    SecondaryMakeUpFlow,
    SecondaryMakeUpVolume,
    SteamFlow,
    CondensateFlow,
    SupplyFlow,
    ReturnFlow,
    Volume,
    OutdoorTemperature,
    SupplyTemperature,
    ReturnTemperature,
    MakeUpTemperature,
    IndoorTemperature,
}

impl Quantity {
    /// By a signal's standard name; `None` for what no report asks for.
    pub fn of_name(name: &str) -> Option<Self> {
        Some(match name.strip_prefix("primary_").unwrap_or(name) {
            "heat_power" => Self::HeatPower,
            "heat_energy" => Self::HeatEnergy,
            "make_up_flow" => Self::MakeUpFlow,
            "make_up_volume" => Self::MakeUpVolume,
            "secondary_make_up_flow" => Self::SecondaryMakeUpFlow,
            "secondary_make_up_volume" => Self::SecondaryMakeUpVolume,
            "steam_flow" => Self::SteamFlow,
            "condensate_flow" => Self::CondensateFlow,
            "supply_flow" => Self::SupplyFlow,
            "return_flow" => Self::ReturnFlow,
            "volume" => Self::Volume,
            "outdoor_temperature" => Self::OutdoorTemperature,
            "supply_temperature" => Self::SupplyTemperature,
            "return_temperature" => Self::ReturnTemperature,
            "make_up_temperature" => Self::MakeUpTemperature,
            "indoor_temperature" => Self::IndoorTemperature,
            _ => return None,
        })
    }

    /// What a value in this unit is multiplied by to be in W, J, m3/s, m3 (make-up), kg/s, kg or degC; `None` for a unit
    /// that does not measure it.
    fn factor(self, unit: &str) -> Option<f64> {
        match (self, unit) {
            (Self::HeatPower, "W") | (Self::HeatEnergy, "J") => Some(1.0),
            (Self::MakeUpFlow | Self::SecondaryMakeUpFlow, "m3/s") => Some(1.0),
            (Self::MakeUpFlow | Self::SecondaryMakeUpFlow, "kg/s") => Some(1e-3),
            (Self::MakeUpVolume | Self::SecondaryMakeUpVolume, "m3") => Some(1.0),
            (Self::SteamFlow | Self::CondensateFlow | Self::SupplyFlow | Self::ReturnFlow, "kg/s") => {
                Some(1.0)
            }
            (Self::SupplyFlow | Self::ReturnFlow, "m3/s") | (Self::Volume, "m3") => Some(WATER_KG_M3),
            (
                Self::OutdoorTemperature
                | Self::SupplyTemperature
                | Self::ReturnTemperature
                | Self::MakeUpTemperature
                | Self::IndoorTemperature,
                "degC",
            ) => Some(1.0),
            _ => None,
        }
    }

    /// The counter that measures the same.
    const fn counter(self) -> Option<Self> {
        match self {
            Self::HeatPower => Some(Self::HeatEnergy),
            Self::MakeUpFlow => Some(Self::MakeUpVolume),
            Self::SecondaryMakeUpFlow => Some(Self::SecondaryMakeUpVolume),
            Self::SupplyFlow => Some(Self::Volume),
            Self::HeatEnergy
            | Self::MakeUpVolume
            | Self::SecondaryMakeUpVolume
            | Self::SteamFlow
            | Self::CondensateFlow
            | Self::ReturnFlow
            | Self::Volume
            | Self::OutdoorTemperature
            | Self::SupplyTemperature
            | Self::ReturnTemperature
            | Self::MakeUpTemperature
            | Self::IndoorTemperature => None,
        }
    }
}

/// An hour of one signal.
#[derive(Debug, Clone, Copy, PartialEq)]
#[expect(missing_docs, reason = "named as in the archive")]
pub struct Hour<'a> {
    pub network: &'a NetworkId,
    pub site: &'a SiteId,
    pub device: &'a DeviceId,
    pub quantity: Quantity,
    pub unit: &'a str,
    pub hour_us: i64,
    pub min: f64,
    pub mean: f64,
    pub max: f64,
}

#[derive(Debug, Clone, Copy, PartialEq)]
struct Day {
    /// Which hours are known, as bits.
    hours: u32,
    sum: f64,
    first: (u32, f64),
    last: (u32, f64),
    min: f64,
    max: f64,
}

impl Day {
    fn known(&self) -> bool {
        self.hours.count_ones() >= DAY_HOURS_MIN
    }

    fn mean(&self) -> f64 {
        self.sum / f64::from(self.hours.count_ones())
    }

    /// What a counter rose by; `None` if it did not only rise.
    fn rise(&self) -> Option<f64> {
        let rose_only = self.min >= self.first.1 && self.max <= self.last.1;
        rose_only.then_some(self.last.1 - self.first.1)
    }
}

type Meters = BTreeMap<(DeviceId, Quantity), BTreeMap<i32, Day>>;

/// Whose meters are asked.
#[derive(Debug, Clone, Copy)]
pub enum At<'a> {
    /// Every site's.
    Anywhere,
    /// Those of these sites.
    Sites(&'a BTreeSet<SiteId>),
    /// One site's.
    Site(&'a SiteId),
}

impl At<'_> {
    fn holds(self, site: &SiteId) -> bool {
        match self {
            Self::Anywhere => true,
            Self::Sites(sites) => sites.contains(site),
            Self::Site(one) => one == site,
        }
    }
}

/// One home's hours, by the hour of the day. Which home it is is never told.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Home {
    /// Hours at the promised temperature or above.
    pub warm: [u32; DAY_HOURS],
    /// Hours measured.
    pub measured: [u32; DAY_HOURS],
}

/// The fold.
#[derive(Debug)]
pub struct Hours {
    span: Span,
    promised_celsius: f64,
    days: BTreeMap<NetworkId, BTreeMap<SiteId, Meters>>,
    kept: usize,
    homes: BTreeMap<(NetworkId, SiteId, DeviceId), Home>,
    refused: u64,
    unusable_units: u64,
}

impl Hours {
    /// An empty fold over a span.
    pub fn new(span: Span, promised_celsius: f64) -> Self {
        Self {
            span,
            promised_celsius,
            days: BTreeMap::new(),
            kept: 0,
            homes: BTreeMap::new(),
            refused: 0,
            unusable_units: 0,
        }
    }

    /// Hours that a bound kept out.
    pub fn refused(&self) -> u64 {
        self.refused
    }

    /// Hours in a unit that does not measure the quantity.
    pub fn unusable_units(&self) -> u64 {
        self.unusable_units
    }

    /// Takes an hour of a meter; the hour of another of the same name and device is not added twice.
    pub fn add(&mut self, hour: &Hour<'_>) {
        let Some(factor) = hour.quantity.factor(hour.unit) else {
            self.unusable_units += 1;
            return;
        };
        if !self.span.holds(hour.hour_us) || !hour.mean.is_finite() {
            return;
        }
        if hour.quantity == Quantity::IndoorTemperature {
            self.add_room(hour);
            return;
        }
        let (day, of_day) = self.span.day_and_hour(hour.hour_us);
        let (min, mean, max) = (hour.min * factor, hour.mean * factor, hour.max * factor);
        let sites = self.days.entry(hour.network.clone()).or_default();
        let meters = sites.entry(hour.site.clone()).or_default();
        let days = meters.entry((hour.device.clone(), hour.quantity)).or_default();
        let bit = 1_u32 << of_day;
        match days.get_mut(&day) {
            Some(held) if held.hours & bit != 0 => {}
            Some(held) => {
                held.hours |= bit;
                held.sum += mean;
                (held.min, held.max) = (held.min.min(min), held.max.max(max));
                if of_day < held.first.0 {
                    held.first = (of_day, min);
                }
                if of_day > held.last.0 {
                    held.last = (of_day, max);
                }
            }
            None if self.kept >= SIGNAL_DAYS_MAX => self.refused += 1,
            None => {
                self.kept += 1;
                let day_of =
                    Day { hours: bit, sum: mean, first: (of_day, min), last: (of_day, max), min, max };
                days.insert(day, day_of);
            }
        }
    }

    fn add_room(&mut self, hour: &Hour<'_>) {
        let key = (hour.network.clone(), hour.site.clone(), hour.device.clone());
        let is_full = self.homes.len() >= HOMES_MAX;
        let home = match self.homes.entry(key) {
            Entry::Occupied(held) => held.into_mut(),
            Entry::Vacant(_) if is_full => {
                self.refused += 1;
                return;
            }
            Entry::Vacant(free) => free.insert(Home::default()),
        };
        let of_day = self.span.day_and_hour(hour.hour_us).1 as usize;
        home.measured[of_day] += 1;
        home.warm[of_day] += u32::from(hour.mean >= self.promised_celsius);
    }

    /// Homes with network and site.
    pub fn homes(&self) -> impl Iterator<Item = (&NetworkId, &SiteId, &Home)> {
        self.homes.iter().map(|((network, site, _), home)| (network, site, home))
    }

    /// Networks with any meter.
    pub fn networks(&self) -> BTreeSet<&NetworkId> {
        let of_homes = self.homes.keys().map(|(network, _, _)| network);
        self.days.keys().chain(of_homes).collect()
    }

    /// Each known day's mean temperature over the meters there, degC.
    pub fn temperatures(&self, network: &NetworkId, quantity: Quantity, at: At<'_>) -> BTreeMap<i32, f64> {
        let mut sums: BTreeMap<i32, (f64, f64)> = BTreeMap::new();
        for (_, days) in self.meters(network, at, Some(quantity)) {
            for (day, held) in days.iter().filter(|(_, held)| held.known()) {
                let sum = sums.entry(*day).or_default();
                *sum = (sum.0 + held.mean(), sum.1 + 1.0);
            }
        }
        sums.into_iter().map(|(day, (sum, count))| (day, sum / count)).collect()
    }

    /// Each known day's amount, in J, m3 or kg, summed over the meters there. `flow` is the quantity's flow or power.
    pub fn amounts(&self, network: &NetworkId, flow: Quantity, at: At<'_>) -> BTreeMap<i32, f64> {
        let mut meters: BTreeMap<(&SiteId, &DeviceId), BTreeMap<i32, Option<f64>>> = BTreeMap::new();
        for (device, days) in self.meters(network, at, Some(flow)) {
            let amount = |held: &Day| held.known().then(|| held.mean() * DAY_S);
            meters.insert(device, days.iter().map(|(day, held)| (*day, amount(held))).collect());
        }
        for (device, days) in self.meters(network, at, flow.counter()) {
            let meter = meters.entry(device).or_default();
            for (day, held) in days {
                let risen = held.known().then(|| held.rise()).flatten();
                let amount = meter.entry(*day).or_default();
                *amount = amount.or(risen);
            }
        }
        sum_of_meters(meters.into_values().collect())
    }

    /// Sites of a network that meter its make-up.
    pub fn sites_with_make_up(&self, network: &NetworkId) -> BTreeSet<SiteId> {
        let of = |quantity| self.meters(network, At::Anywhere, Some(quantity));
        let meters = of(Quantity::MakeUpFlow).chain(of(Quantity::MakeUpVolume));
        meters.map(|((site, _), _)| site.clone()).collect()
    }

    fn meters<'a>(
        &'a self,
        network: &NetworkId,
        at: At<'a>,
        quantity: Option<Quantity>,
    ) -> impl Iterator<Item = ((&'a SiteId, &'a DeviceId), &'a BTreeMap<i32, Day>)> {
        let sites = self.days.get(network);
        let one = match at {
            At::Site(site) => sites.and_then(|sites| sites.get_key_value(site)),
            At::Anywhere | At::Sites(_) => None,
        };
        let many = match at {
            At::Site(_) => None,
            At::Anywhere | At::Sites(_) => sites,
        };
        let sites = many.into_iter().flatten().chain(one).filter(move |(site, _)| at.holds(site));
        sites.flat_map(move |(site, meters)| {
            let of = meters.iter().filter(move |((_, measured), _)| Some(*measured) == quantity);
            of.map(move |((device, _), days)| ((site, device), days))
        })
    }
}

/// The days on which every meter in use is known, with the sum of all.
fn sum_of_meters(meters: Vec<BTreeMap<i32, Option<f64>>>) -> BTreeMap<i32, f64> {
    let days: BTreeSet<i32> = meters.iter().flat_map(|meter| meter.keys().copied()).collect();
    let in_use = |meter: &BTreeMap<i32, Option<f64>>, day: i32| {
        meter.keys().next().is_some_and(|first| *first <= day)
            && meter.keys().next_back().is_some_and(|last| day <= *last)
    };
    days.into_iter()
        .filter_map(|day| {
            let used = meters.iter().filter(|meter| in_use(meter, day));
            let amounts: Option<Vec<f64>> = used.map(|meter| meter.get(&day).copied().flatten()).collect();
            Some((day, amounts?.into_iter().sum()))
        })
        .collect()
}
