//! Temperatures, heat and the sensors that measure them: sources, stations, homes.
//!
//! Each site has a bank of relations that physics holds constant (supply temperature against the source's with delay and
//! loss, return against the secondary and load, flow against valve and pressure, ...), learned online for this site, with
//! what all stations share taken out. A deviation of one relation may have many causes; the pattern over all of them has
//! one: `hypothesis`. So a sensor is told from the thing it measures, and where the redundancy for that is missing,
//! nothing is told below the meter's error.
//!
//! Why not limits per signal: a return temperature of 48 degC is right in a cold night and a fault on a mild day. Why not
//! one multivariate distance: it says that something is odd, never what.
//!
//! Cold start: a relation is judged after three days of data, with the threshold of [`relation`]. While the supply is
//! off its target no station is blamed, for as long as that is not how the network is run; while a burst is on nothing is
//! judged or learned. A finding clears when the site's relations have been back in line for two hours; what silence, a
//! rest and the end of heating do to it is in [`bank`] and [`course`].

mod bank;
mod beside;
mod costs;
mod course;
mod delivery;
mod homes;
mod hunting;
mod hypothesis;
mod meter;
mod outdoors;
mod relation;
mod reserve;
mod rls;
mod say;
mod second_law;
mod setback;
mod source;
mod station;
mod swapped;
mod values;
mod view;

use heat_hydraulics::water::density_kg_m3;
use heat_model::plant::SiteKind;
use serde::{Deserialize, Serialize};

pub(crate) use self::costs::Costs;
use self::{
    bank::{End, Instants, News},
    beside::delivered,
    homes::Homes,
    hunting::Hunting,
    hypothesis::{CHANNELS, Want},
    outdoors::Outdoors,
    relation::{Learns, Tail, Thresholds},
    reserve::Reserve,
    say::{Kind, Said},
    source::Source,
    station::{STILL_BINS, Station},
    swapped::Crossing,
    values::{Boundary, Means, PEERS_MIN, Readings, Sources, Surround, median_of},
};
use crate::{
    bins::{BIN_US, Bins},
    layout::{Layout, Role},
    network::statements::{Fact, Statement, Telling},
    quality::{Fault, Quality},
};

/// Share of the stations' usual flow that must report for a sum.
const SUM_SHARE: f64 = 0.8;
/// Without a source's meters to compare with, a deviation must last a day: with a few stations as witnesses, each of
/// whose owners opens and closes valves by hand, a shorter one is how they are run.
const PEERS_BINS: i64 = 96;
/// Temperature assumed of make-up water, degC.
const MAKE_UP_CELSIUS: f64 = 15.0;

/// What is known of a network's temperatures.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(crate) struct Thermal {
    boundary: Boundary,
    /// By site, in order.
    stations: Vec<(u32, Station)>,
    /// How supply and return of both circuits stand to each other, by station and source, in order.
    crossed: Vec<(u32, [Crossing; 2])>,
    /// The first source, with the flows of all.
    source: Source,
    /// The others by site, in order: what each says of itself.
    further: Vec<(u32, Source)>,
    homes: Homes,
    hunting: Hunting,
    reserve: Reserve,
    outdoors: Outdoors,
    plan_said: Option<Kind>,
    /// Since when the network has not heated.
    rests_since: Option<i64>,
    /// What the settings allowed at the last quarter hour; see [`Quarter::per_month`].
    per_month: f64,
    station_tails: [Tail; CHANNELS],
    source_tails: [Tail; CHANNELS],
}

/// A quarter hour to take.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Quarter<'a> {
    pub(crate) layout: &'a Layout,
    pub(crate) bins: &'a Bins,
    pub(crate) bin: i64,
    /// Whether its readings were live: history teaches and says nothing.
    pub(crate) judge: bool,
    /// Whether water is being lost, as far as the water balance knows: then flows off their balance are that.
    pub(crate) loses: bool,
    /// Promised indoor temperature, degC.
    pub(crate) promised: f64,
    /// Deviations that the relations of a station may name by chance in 30 days.
    pub(crate) per_month: f64,
}

impl Thermal {
    /// Takes a quarter hour.
    pub(crate) fn close_bin(&mut self, quarter: Quarter<'_>, quality: &mut Quality) -> Vec<Statement> {
        let Quarter { layout, bins, bin, judge, loses, promised, per_month } = quarter;
        self.per_month = per_month;
        if judge {
            self.rests_since = None;
        }
        self.enrol(layout);
        let mut said = Vec::new();
        let doubted =
            if judge { self.find_swapped(layout, bins, bin, quality, &mut said) } else { Vec::new() };
        let means = Means { layout, bins, quality, doubted: &doubted };
        let sources = Sources::of(means);
        let mut stations = values::stations(means);
        let impossible = self.find_impossible(means, bin, &mut stations);
        let surround = self.boundary.take(means, bin, &sources.leading(), &stations);
        let of_plant = |role| {
            layout
                .of_kind(SiteKind::Source)
                .find_map(|(_, site)| means.mass_flow(site, role, Some(MAKE_UP_CELSIUS)))
        };
        let fed = source::Fed { make_up: of_plant(Role::MakeUpFlow), relief: of_plant(Role::ReliefFlow) };
        let shared = self.take_stations(&surround, &stations);
        let sums = self.sums(&stations, &shared);
        if let Some(first) = sources.first() {
            let instants = self.source.instants(&surround, &first, fed, &sums);
            let (limits, tails) = (&source::LIMITS, &mut self.source_tails);
            self.source.bank.take(bin, &instants, &[0.0; CHANNELS], Learns::Yes, limits, tails);
        }
        self.take_further(layout, surround, &sources, &sums);
        self.source.note_target(bin);
        self.further.iter_mut().for_each(|(_, source)| source.note_target(bin));
        self.homes.take(means, bin, promised);
        self.outdoors.take(means, bin, surround.angle);
        let delivered = delivered(means);
        self.reserve.take(bin, delivered, surround.outdoor);
        if !judge {
            return said;
        }
        let at_us = (bin + 1) * BIN_US;
        self.judge_reserve(layout, bin, delivered, &mut said);
        self.judge_hunting(layout, at_us, &mut said);
        self.judge_nights(&surround, &stations, &mut said);
        let is_normal = !self.is_off_target(bin);
        said.extend(self.homes.judge(means, bin, (bin + 1) * BIN_US, is_normal));
        self.say_impossible(impossible, layout, bin, quality, &mut said);
        said.extend(self.outdoors.judge(bin, per_month, quality));
        self.judge_sources(layout, bin, loses, quality, &mut said);
        if is_normal {
            self.judge_stations(layout, &surround, quality, &mut said);
        }
        said
    }

    fn station_thresholds(&self) -> [Thresholds; CHANNELS] {
        self.station_tails.each_ref().map(|tail| tail.thresholds(self.per_month))
    }

    fn source_thresholds(&self) -> [Thresholds; CHANNELS] {
        self.source_tails.each_ref().map(|tail| tail.thresholds(self.per_month))
    }

    fn enrol(&mut self, layout: &Layout) {
        for (site, _) in layout.of_kind(SiteKind::Station) {
            if let Err(at) = self.stations.binary_search_by_key(&site, |(site, _)| *site) {
                self.stations.insert(at, (site, Station::default()));
            }
        }
        for (site, _) in layout.of_kind(SiteKind::Station).chain(layout.of_kind(SiteKind::Source)) {
            if let Err(at) = self.crossed.binary_search_by_key(&site, |(site, _)| *site) {
                self.crossed.insert(at, (site, Default::default()));
            }
        }
    }

    fn sources(&self) -> impl Iterator<Item = &Source> {
        std::iter::once(&self.source).chain(self.further.iter().map(|(_, source)| source))
    }

    /// What the stations may learn: nothing of a network that is not in order, until that is how it is run.
    fn lesson(&self, bin: i64) -> Learns {
        if self.is_off_target(bin) || !self.sources().all(|source| source.bank.is_settled(bin)) {
            Learns::No
        } else if self.sources().all(|source| source.bank.is_calm()) {
            Learns::Yes
        } else {
            Learns::Apart
        }
    }

    /// Whether a source's supply is far from its target, so that stations show no fault of their own.
    fn is_off_target(&self, bin: i64) -> bool {
        self.sources().any(|source| source.is_off_target(bin))
    }

    /// Takes a quarter hour into the sources beside the first. What arrives at the stations, and whether water is lost,
    /// is judged with the first one.
    fn take_further(
        &mut self,
        layout: &Layout,
        surround: Surround,
        sources: &Sources,
        sums: &source::Stations,
    ) {
        let all = sources.flow;
        let others = || layout.of_kind(SiteKind::Source).enumerate().skip(1);
        self.further.retain(|(known, _)| others().any(|(_, (index, _))| index == *known));
        for (nth, (index, _)) in others() {
            let at = self.further.binary_search_by_key(&index, |(site, _)| *site).unwrap_or_else(|at| {
                self.further.insert(at, (index, Source::default()));
                at
            });
            let source = &mut self.further[at].1;
            let Some(own) = sources.further(nth, all.or(sums.flow)) else { continue };
            // What the other sources leave of the stations' flow is this one's.
            let flow = own.flow.zip(all).zip(sums.flow).map(|((own, all), sum)| sum - (all - own));
            let flow = flow.filter(|flow| *flow > 0.0);
            let stations = source::Stations { flow, back: sums.back, ..source::Stations::default() };
            // Its own meter's error is in the circulation too, which must not explain it.
            let surround = Surround { circulation: None, ..surround };
            let instants = source.instants(&surround, &own, source::Fed::default(), &stations);
            let (limits, tails) = (&source::LIMITS, &mut self.source_tails);
            source.bank.take(surround.bin, &instants, &[0.0; CHANNELS], Learns::Yes, limits, tails);
        }
    }

    fn station_mut(&mut self, site: u32) -> Option<&mut Station> {
        let at = self.stations.binary_search_by_key(&site, |(site, _)| *site).ok()?;
        Some(&mut self.stations[at].1)
    }

    /// Takes a quarter hour into the stations; gives what they share.
    fn take_stations(
        &mut self,
        surround: &Surround,
        readings: &[(u32, Readings)],
    ) -> [Option<f64>; CHANNELS] {
        let bin = surround.bin;
        let mut instants: Vec<(u32, Instants)> = Vec::with_capacity(readings.len());
        for (site, own) in readings {
            if let Some(station) = self.station_mut(*site) {
                instants.push((*site, station.instants(surround, own)));
            }
        }
        let shared: [Option<f64>; CHANNELS] = std::array::from_fn(|channel| {
            let residuals = instants.iter().filter_map(|(site, instants)| {
                let at = self.stations.binary_search_by_key(site, |(site, _)| *site).ok()?;
                self.stations[at].1.bank.residual(bin, channel, instants)
            });
            median_of(residuals, PEERS_MIN).filter(|_| station::SHARED[channel])
        });
        let common = shared.map(Option::unwrap_or_default);
        // What most models only guess tells nothing of the source.
        let beyond: [usize; CHANNELS] = std::array::from_fn(|channel| {
            let is_beyond = |(site, instants): &&(u32, Instants)| {
                let at = self.stations.binary_search_by_key(site, |(site, _)| *site);
                at.is_ok_and(|at| self.stations[at].1.bank.is_beyond(channel, instants))
            };
            instants.iter().filter(is_beyond).count()
        });
        let learns = self.lesson(bin);
        for (site, instants) in &instants {
            let Ok(at) = self.stations.binary_search_by_key(site, |(site, _)| *site) else { continue };
            let bank = &mut self.stations[at].1.bank;
            bank.take(bin, instants, &common, learns, &station::LIMITS, &mut self.station_tails);
        }
        let half = instants.len() / 2;
        std::array::from_fn(|channel| shared[channel].filter(|_| beyond[channel] <= half))
    }

    /// What the stations say together.
    fn sums(&mut self, readings: &[(u32, Readings)], shared: &[Option<f64>; CHANNELS]) -> source::Stations {
        let (mut usual_all, mut usual, mut flow_sum) = (0.0, 0.0, 0.0);
        let (mut weight, mut back_sum) = (0.0, 0.0);
        let (mut warm, mut arriving, mut leaving) = (0.0, 0.0, 0.0);
        for (site, own) in readings {
            let Some(station) = self.station_mut(*site) else { continue };
            let calm = !station.doubts_water();
            let flow = own.flow.filter(|_| calm);
            let usual_flow = match flow {
                Some(flow) => station.usual_flow.take(flow),
                None => station.usual_flow.known(),
            };
            usual_all += usual_flow;
            let Some(flow) = flow else { continue };
            usual += usual_flow;
            flow_sum += flow;
            if let Some(back) = own.back {
                weight += flow;
                back_sum += flow * back;
            }
            if let Some((hot, cold)) = own.supply.zip(own.back) {
                warm += flow;
                arriving += flow * density_kg_m3(hot);
                leaving += flow * density_kg_m3(cold);
            }
        }
        source::Stations {
            supply: shared[station::SUPPLY],
            supply_pressure: shared[station::SUPPLY_PRESSURE],
            return_pressure: shared[station::RETURN_PRESSURE],
            flow: (usual > SUM_SHARE * usual_all && usual > 0.0).then(|| flow_sum * usual_all / usual),
            back: (weight > 0.0).then(|| back_sum / weight),
            densities: (warm > 0.0).then(|| (arriving / warm, leaving / warm)),
        }
    }

    fn judge_sources(
        &mut self,
        layout: &Layout,
        bin: i64,
        loses: bool,
        quality: &mut Quality,
        said: &mut Vec<Statement>,
    ) {
        let thresholds = self.source_thresholds();
        let further = self.further.iter_mut().map(|(_, source)| source);
        let sources = std::iter::once(&mut self.source).chain(further);
        for (nth, ((index, site), source)) in layout.of_kind(SiteKind::Source).zip(sources).enumerate() {
            // A loss of water is the water balance's to tell.
            let is_off_target = source.is_off_target(bin);
            let has_heat_meter = source.has_heat_meter(bin);
            let knows_its_flow = nth == 0 || source.knows_its_flow(bin);
            let waits = |rule: usize| {
                let cause = source::CAUSES[rule];
                let is_cold_or_hot = matches!(cause, source::Cause::TooCold | source::Cause::TooHot);
                let is_told = !is_for_balance(cause, loses, has_heat_meter)
                    && (is_off_target || !is_cold_or_hot)
                    && (knows_its_flow || cause != source::Cause::SupplyFlowSensor);
                if is_told { 0 } else { i64::MAX }
            };
            // A sensor that is not there explains nothing.
            let has = |cause| say::source_sensor(site, cause).is_some();
            let mut rules = source.rules();
            for (rule, cause) in rules.iter_mut().zip(source::CAUSES) {
                if rule.is_sensor && !has(cause) {
                    rule.wants = [Want::Zero; CHANNELS];
                }
            }
            match source.bank.judge(bin, &rules, waits, &source::LIMITS, &thresholds) {
                Some(News::Opened(case, best, or_else)) => {
                    let what = say::of_source(site, case).filter(|what| opens(*what, quality, bin));
                    source.said = what;
                    if let Some(Said::Sensor(_, Fault::Swapped)) = what {
                        // Neither says what it names; when they are put back is seen by `find_swapped`.
                        if let Some(back) = site.signal(Role::ReturnTemperature) {
                            quality.opens(back, Fault::Swapped, (bin + 1) * BIN_US);
                        }
                        source.said = None;
                    }
                    let Some(what) = what else {
                        source.bank.is_not_said();
                        continue;
                    };
                    let mut statement = say::statement(what, index, case.onset_bin * BIN_US, true);
                    statement.telling = Telling::Again;
                    statement.facts = facts(&source.bank.facts(bin, &source::LIMITS), &source::LIMITS);
                    statement.facts.extend(say::or_else(rules[best.rule].is_sensor, or_else));
                    statement.strength = best.strength();
                    said.push(statement);
                }
                Some(News::Closed(case, end)) => {
                    if let Some(what) = source.said.take() {
                        closes(what, quality);
                        let statement = say::statement(what, index, case.onset_bin * BIN_US, false);
                        said.push(course::ended(statement, end));
                    }
                }
                None => {}
            }
        }
    }

    fn judge_stations(
        &mut self,
        layout: &Layout,
        surround: &Surround,
        quality: &mut Quality,
        said: &mut Vec<Statement>,
    ) {
        let bin = surround.bin;
        let thresholds = self.station_thresholds();
        let still_bins = i64::try_from(STILL_BINS).unwrap_or(i64::MAX);
        let patience = if surround.by_peers { PEERS_BINS } else { 0 };
        for (index, station) in &mut self.stations {
            let site = &layout.sites[*index as usize];
            let Some(rules) = station.rules() else { continue };
            said.extend(station.goes_on(*index, bin));
            let waits = |rule: usize| {
                let cause = station::CAUSES[rule];
                if !cause.is_told() {
                    i64::MAX
                } else if cause.needs_valve() {
                    still_bins.max(patience)
                } else {
                    patience
                }
            };
            match station.bank.judge(bin, &rules, waits, &station::LIMITS, &thresholds) {
                Some(News::Opened(case, best, or_else)) => {
                    let what =
                        say::of_station(site, station, case, bin).filter(|what| opens(*what, quality, bin));
                    let Some(what) = what else {
                        station.bank.is_not_said();
                        continue;
                    };
                    let excess = costs::excess(station, what, bin);
                    let mut statement = station.begins(what, case, *index, bin);
                    statement.strength = if excess.kg_s > 0.0 { excess.kg_s } else { best.strength() };
                    let deviations = facts(&station.bank.facts(bin, &station::LIMITS), &station::LIMITS);
                    statement.facts = [excess.facts(), deviations, statement.facts].concat();
                    statement.facts.extend(say::or_else(rules[best.rule].is_sensor, or_else));
                    said.push(statement);
                }
                Some(News::Closed(case, end)) => {
                    said.extend(station.ends(case.rule, end, *index, bin, quality));
                }
                None => {}
            }
        }
    }
}

/// Whether flows that do not balance are the water balance's to tell. Only a heat meter tells the return meter from
/// the make-up meter.
const fn is_for_balance(cause: source::Cause, loses: bool, has_heat_meter: bool) -> bool {
    match cause {
        source::Cause::Water => true,
        source::Cause::SupplyFlowSensor => loses,
        source::Cause::ReturnFlowSensor => loses || !has_heat_meter,
        source::Cause::SupplySensor
        | source::Cause::ReturnSensor
        | source::Cause::HeatMeter
        | source::Cause::SupplyPressureSensor
        | source::Cause::ReturnPressureSensor
        | source::Cause::TooCold
        | source::Cause::TooHot
        | source::Cause::Swapped => false,
    }
}

fn opens(what: Said, quality: &mut Quality, bin: i64) -> bool {
    match what {
        Said::Sensor(signal, fault) => quality.opens(signal, fault, (bin + 1) * BIN_US).is_some(),
        Said::Kind(_) => true,
    }
}

fn closes(what: Said, quality: &mut Quality) {
    if let Said::Sensor(signal, _) = what {
        quality.closes(signal);
    }
}

fn facts(seen: &[(usize, f64)], limits: &bank::Limits) -> Vec<Fact> {
    seen.iter()
        .map(|(channel, value)| Fact {
            signal: None,
            what: limits[*channel].what,
            value: *value,
            unit: limits[*channel].unit,
        })
        .collect()
}
