//! What one quarter hour says of temperatures, flows and pressures, site by site.

use heat_hydraulics::water::{density_kg_m3, heat_capacity_j_kg_k};
use heat_model::plant::SiteKind;

use crate::{
    bins::{BIN_SECONDS, Bins},
    layout::{Layout, Role, Site},
    quality::Quality,
};

/// Quarter hours of the source's past that are kept, and the longest gap that its last value bridges.
const LAGS: usize = 12;
const HOLD_MAX: i64 = 8;
/// Time constants, quarter hours: of the weather in a house's walls, of a secondary.
const WEATHER_BINS: f64 = 24.0;
pub(super) const SECONDARY_BINS: f64 = 5.0;

/// Means of a quarter hour with the signals that say nothing left out.
#[derive(Debug, Clone, Copy)]
pub(super) struct Means<'a> {
    pub(super) layout: &'a Layout,
    pub(super) bins: &'a Bins,
    pub(super) quality: &'a Quality,
    /// Sites whose supply and return temperatures may be those of each other.
    pub(super) doubted: &'a [u32],
}

impl Means<'_> {
    pub(super) fn of(&self, site: &Site, role: Role) -> Option<f64> {
        let signal = site.signal(role)?;
        let mean = self.bins.measured(signal)?;
        let site = self.layout.placed[signal as usize].site;
        (!self.quality.is_blind(signal) && !self.quality.is_frozen(site)).then_some(mean)
    }

    fn celsius(&self, site: &Site, role: Role) -> Option<f64> {
        let is_doubted = matches!(role, Role::SupplyTemperature | Role::ReturnTemperature)
            && !self.doubted.is_empty()
            && site
                .signal(role)
                .is_some_and(|signal| self.doubted.contains(&self.layout.placed[signal as usize].site));
        self.of(site, role).filter(|celsius| !is_doubted && (1.0..=180.0).contains(celsius))
    }

    /// kg/s of a flow whose meter sits at water of `celsius`.
    pub(super) fn mass_flow(&self, site: &Site, role: Role, celsius: Option<f64>) -> Option<f64> {
        let signal = site.signal(role)?;
        let mean = self.of(site, role)?;
        if self.layout.placed[signal as usize].is_mass {
            Some(mean)
        } else {
            Some(mean * density_kg_m3(celsius?))
        }
    }
}

/// What a site's own meters say.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Readings {
    /// Whether the site has these signals at all: what is missing now is no reason to judge by something else.
    pub(super) has_heat: bool,
    pub(super) has_power: bool,
    pub(super) has_secondary_return: bool,
    pub(super) has_set_point: bool,
    pub(super) has_opening: bool,
    pub(super) has_return_flow: bool,
    pub(super) supply: Option<f64>,
    pub(super) back: Option<f64>,
    /// kg/s, more than 0.
    pub(super) flow: Option<f64>,
    /// The same where it stands too, kg/s.
    pub(super) stream: Option<f64>,
    pub(super) return_flow: Option<f64>,
    /// What its heat is reckoned with, kg/s: the return's flow, for most heat meters sit there.
    pub(super) heat_flow: Option<f64>,
    /// W, from flow and temperatures.
    pub(super) heat: Option<f64>,
    pub(super) power: Option<f64>,
    /// J, of a counter.
    pub(super) energy: Option<f64>,
    pub(super) set_point: Option<f64>,
    pub(super) secondary_supply: Option<f64>,
    pub(super) secondary_return: Option<f64>,
    /// 0 to 1.
    pub(super) opening: Option<f64>,
    /// 10 kPa.
    pub(super) supply_pressure: Option<f64>,
    pub(super) return_pressure: Option<f64>,
    pub(super) differential: Option<f64>,
}

/// Unit of pressures here, Pa.
const TEN_KILOPASCAL: f64 = 1e4;

impl Readings {
    pub(super) fn of(means: Means<'_>, site: &Site) -> Self {
        let supply = means.celsius(site, Role::SupplyTemperature);
        let back = means.celsius(site, Role::ReturnTemperature);
        let forward = means.mass_flow(site, Role::SupplyFlow, supply);
        let return_flow = means.mass_flow(site, Role::ReturnFlow, back);
        let stream = forward.or(return_flow).map(|flow| flow.max(0.0));
        let flow = stream.filter(|flow| *flow > 0.0);
        let heat = match (flow, supply, back) {
            (Some(flow), Some(hot), Some(cold)) if hot > cold => {
                Some(flow * heat_capacity_j_kg_k(f64::midpoint(hot, cold)) * (hot - cold))
            }
            _ => None,
        };
        let pressure = |role| means.of(site, role).map(|pa| pa / TEN_KILOPASCAL);
        let (supply_pressure, return_pressure) =
            (pressure(Role::SupplyPressure), pressure(Role::ReturnPressure));
        let has = |role| site.signal(role).is_some();
        Self {
            has_heat: (has(Role::SupplyFlow) || has(Role::ReturnFlow)) && has(Role::ReturnTemperature),
            has_power: has(Role::HeatPower),
            has_secondary_return: has(Role::SecondaryReturnTemperature),
            has_opening: has(Role::ValveOpening),
            has_return_flow: has(Role::ReturnFlow),
            has_set_point: has(Role::SetPointTemperature) || has(Role::SecondarySetPointTemperature),
            supply,
            back,
            flow,
            stream,
            return_flow,
            heat_flow: return_flow.or(flow),
            heat,
            power: means.of(site, Role::HeatPower).filter(|watt| *watt > 0.0),
            energy: means.of(site, Role::HeatEnergy),
            set_point: means
                .celsius(site, Role::SecondarySetPointTemperature)
                .or_else(|| means.celsius(site, Role::SetPointTemperature)),
            secondary_supply: means.celsius(site, Role::SecondarySupplyTemperature),
            secondary_return: means.celsius(site, Role::SecondaryReturnTemperature),
            opening: means.of(site, Role::ValveOpening),
            supply_pressure,
            return_pressure,
            differential: pressure(Role::DifferentialPressure)
                .or_else(|| Some(supply_pressure? - return_pressure?)),
        }
    }
}

/// A value that is held over short gaps.
#[derive(Debug, Clone, Copy, Default, PartialEq, serde::Serialize, serde::Deserialize)]
struct Held {
    value: f64,
    bin: i64,
}

impl Held {
    fn take(slot: &mut Option<Self>, bin: i64, value: Option<f64>) -> Option<f64> {
        if let Some(value) = value {
            *slot = Some(Self { value, bin });
        }
        slot.filter(|held| bin - held.bin <= HOLD_MAX).map(|held| held.value)
    }
}

/// A mean that forgets with its own time constant.
#[derive(Debug, Clone, Copy, Default, PartialEq, serde::Serialize, serde::Deserialize)]
pub(super) struct Smooth {
    value: f64,
    bin: i64,
    seen: bool,
}

impl Smooth {
    /// Takes a value and gives the mean; a gap of a day begins anew.
    pub(super) fn take(&mut self, bin: i64, value: f64, span: f64) -> f64 {
        let elapsed = (bin - self.bin).max(1);
        if !self.seen || elapsed > 96 {
            self.value = value;
        } else {
            self.value += (1.0 - (-(elapsed as f64) / span).exp()) * (value - self.value);
        }
        self.seen = true;
        self.bin = bin;
        self.value
    }
}

/// A usual size, fixed once it is known, by which inputs are divided.
#[derive(Debug, Clone, Copy, Default, PartialEq, serde::Serialize, serde::Deserialize)]
pub(super) struct Usual {
    mean: f64,
    count: u32,
}

impl Usual {
    pub(super) fn take(&mut self, value: f64) -> f64 {
        if self.count < 96 {
            self.count += 1;
            self.mean += (value - self.mean) / f64::from(self.count);
        }
        self.mean
    }

    /// 0 until anything was taken.
    pub(super) const fn known(&self) -> f64 {
        self.mean
    }
}

/// What is remembered of the network's boundary.
#[derive(Debug, Clone, Default, serde::Serialize, serde::Deserialize)]
pub(super) struct Boundary {
    source: Option<Held>,
    peers: Option<Held>,
    lags: [f64; LAGS],
    lags_known: usize,
    lags_bin: i64,
    slow: Smooth,
    outdoor: Smooth,
    outdoor_held: Option<Held>,
    circulation: Usual,
}

/// The network's boundary in one quarter hour.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Surround {
    pub(super) bin: i64,
    /// Supply temperature of the source now, 1, 2, 4, 8 quarter hours before, and its slow mean; of the stations' median
    /// where no source is metered.
    pub(super) lags: Option<[f64; 6]>,
    /// Outdoor temperature now and in a house's walls, degC.
    pub(super) outdoor: Option<(f64, f64)>,
    /// Circulation against the usual one.
    pub(super) circulation: Option<f64>,
    /// Pressures of the source, 10 kPa.
    pub(super) supply_pressure: Option<f64>,
    pub(super) return_pressure: Option<f64>,
    /// Whether no source is metered, so that what arrives is only known by the stations' median.
    pub(super) by_peers: bool,
    /// Angle of the hour.
    pub(super) angle: f64,
    /// 1 on Saturdays and Sundays, when offices and schools rest, 0 otherwise and where the network's hours are not known.
    pub(super) weekend: f64,
}

fn median(mut values: Vec<f64>) -> Option<f64> {
    if values.is_empty() {
        return None;
    }
    values.sort_by(f64::total_cmp);
    Some(values[values.len() / 2])
}

/// 1 on Saturdays and Sundays where clocks show `zone` hours more than UTC, else 0.
fn weekend(bin: i64, zone: i64) -> f64 {
    let days = (bin * BIN_SECONDS + zone * 3_600).div_euclid(86_400);
    // The epoch was a Thursday.
    f64::from(u8::from(matches!(days.rem_euclid(7), 2 | 3)))
}

/// Median of what enough sites say.
pub(super) fn median_of(values: impl Iterator<Item = f64>, least: usize) -> Option<f64> {
    let values: Vec<f64> = values.collect();
    if values.len() < least { None } else { median(values) }
}

/// Stations for a median that one of them cannot move.
pub(super) const PEERS_MIN: usize = 4;

impl Boundary {
    pub(super) fn take(
        &mut self,
        means: Means<'_>,
        bin: i64,
        source: &Readings,
        stations: &[(u32, Readings)],
    ) -> Surround {
        let outdoor = median(
            means.layout.sites.iter().filter_map(|site| means.of(site, Role::OutdoorTemperature)).collect(),
        );
        let outdoor = Held::take(&mut self.outdoor_held, bin, outdoor)
            .map(|now| (now, self.outdoor.take(bin, now, WEATHER_BINS)));
        let of_peers = median_of(stations.iter().filter_map(|(_, station)| station.supply), PEERS_MIN);
        let own = Held::take(&mut self.source, bin, source.supply);
        let peers = Held::take(&mut self.peers, bin, of_peers);
        let circulation = source.flow.map(|flow| flow / self.circulation.take(flow).max(1e-6));
        let hours = (bin * BIN_SECONDS) as f64 / 3_600.0;
        Surround {
            bin,
            by_peers: own.is_none(),
            lags: own.or(peers).and_then(|now| self.lag(bin, now)),
            outdoor,
            circulation,
            supply_pressure: source.supply_pressure,
            return_pressure: source.return_pressure,
            angle: hours.rem_euclid(24.0) / 24.0 * std::f64::consts::TAU,
            weekend: means.layout.zone_hours.map_or(0.0, |zone| weekend(bin, zone)),
        }
    }

    fn lag(&mut self, bin: i64, now: f64) -> Option<[f64; 6]> {
        let passed = usize::try_from((bin - self.lags_bin).clamp(1, LAGS as i64)).unwrap_or(1);
        self.lags_bin = bin;
        self.lags.rotate_right(passed);
        self.lags[..passed].fill(now);
        self.lags_known = (self.lags_known + passed).min(LAGS);
        let slow = self.slow.take(bin, now, WEATHER_BINS);
        let lags = &self.lags;
        (self.lags_known == LAGS).then(|| [lags[0], lags[1], lags[2], lags[4], lags[8], slow])
    }
}

/// A source that gives less of the flow stands by: its pipe cools, and its set point is nobody's.
const RUNS_SHARE: f64 = 0.02;

/// What the sources say.
#[derive(Debug, Clone, Default)]
pub(super) struct Sources {
    /// Each, in the order of the layout.
    each: Vec<Readings>,
    /// Flow of all, kg/s, more than 0; `None` while one that meters its flow is silent.
    pub(super) flow: Option<f64>,
}

impl Sources {
    pub(super) fn of(means: Means<'_>) -> Self {
        let each: Vec<Readings> =
            means.layout.of_kind(SiteKind::Source).map(|(_, site)| Readings::of(means, site)).collect();
        let flow = each.iter().map(|source| source.stream).sum::<Option<f64>>().filter(|flow| *flow > 0.0);
        Self { each, flow }
    }

    /// Whether a source feeds the network, as far as flows tell, of which `all` is given by all of them.
    fn runs(own: &Readings, all: Option<f64>) -> bool {
        own.stream.zip(all).is_none_or(|(own, all)| own > RUNS_SHARE * all)
    }

    /// With what flows in all sources: what the first of them says, while it feeds the network.
    pub(super) fn first(&self) -> Option<Readings> {
        self.each.first().filter(|first| Self::runs(first, self.flow)).map(|first| self.with_all(first))
    }

    /// The same of the source that is the network's boundary: the first, or, while it stands by, the one that gives most.
    pub(super) fn leading(&self) -> Readings {
        let given = |source: &Readings| source.stream.unwrap_or(0.0);
        self.first().unwrap_or_else(|| {
            let most = self.each.iter().max_by(|a, b| given(a).total_cmp(&given(b)));
            most.map(|most| self.with_all(most)).unwrap_or_default()
        })
    }

    /// What a further source says, if it is seen to feed the network; `all` is what it gives part of, kg/s.
    pub(super) fn further(&self, nth: usize, all: Option<f64>) -> Option<Readings> {
        let own = self.each.get(nth)?;
        (own.flow.is_some() && all.is_some() && Self::runs(own, all))
            .then_some(Readings { return_flow: None, ..*own })
    }

    /// Flows add up; temperatures, pressures and heat are one source's own.
    fn with_all(&self, own: &Readings) -> Readings {
        let return_flow = self.each.iter().map(|source| source.return_flow).sum();
        Readings { flow: self.flow, return_flow, ..*own }
    }
}

/// The readings of each station.
pub(super) fn stations(means: Means<'_>) -> Vec<(u32, Readings)> {
    means.layout.of_kind(SiteKind::Station).map(|(index, site)| (index, Readings::of(means, site))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn weekends_are_those_of_the_network_s_own_clocks() {
        // 2026-11-27, a Friday, 16:00 UTC is Saturday's midnight in Shanghai.
        let friday = 1_795_795_200 / BIN_SECONDS;
        let rests = |bin: i64, zone: i64| weekend(bin, zone) > 0.5;
        assert_eq!([rests(friday - 1, 8), rests(friday, 8), rests(friday, 0)], [false, true, false]);
        let monday = friday + 2 * 96;
        assert_eq!([rests(monday - 1, 8), rests(monday, 8)], [true, false]);
    }

    #[test]
    fn the_boundary_is_the_first_source_or_the_one_that_gives_most_while_it_stands_by() {
        let source = |stream: f64, supply: f64| Readings {
            stream: Some(stream),
            flow: Some(stream).filter(|flow| *flow > 0.0),
            supply: Some(supply),
            ..Readings::default()
        };
        let of = |first: f64, second: f64| {
            let each = vec![source(first, 30.0), source(second, 90.0), source(0.0, 20.0)];
            Sources { flow: Some(first + second).filter(|flow| *flow > 0.0), each }
        };
        let both = of(5.0, 15.0);
        assert_eq!((both.leading().supply, both.leading().flow), (Some(30.0), Some(20.0)));
        let second = of(0.0, 15.0);
        assert!(second.first().is_none());
        assert_eq!((second.leading().supply, second.leading().flow), (Some(90.0), Some(15.0)));
        assert!(second.further(1, Some(15.0)).is_some() && second.further(2, Some(15.0)).is_none());
        assert!(of(0.0, 0.0).first().is_some(), "when nothing flows, nobody stands by for another");
    }
}
