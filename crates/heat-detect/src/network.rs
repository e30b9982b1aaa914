//! One network: its signals, its detectors, its incidents.

pub(crate) mod arrival;
pub(crate) mod findings;
mod hotline;
mod located;
pub(crate) mod place;
mod pressures;
mod say;
pub(crate) mod statements;
pub(crate) mod stations;
mod watch;
pub(crate) mod water;
mod water_findings;

use std::collections::BTreeMap;

use heat_model::{
    AppendTime, CircuitId, NetworkId,
    plant::{PlantModel, SeasonState, SiteKind},
    reading::Lane,
    record::Action,
};
use serde::{Deserialize, Serialize};

use crate::{
    Counters, DetectSettings, DetectorState, DetectorStatus, NetworkStatus, Output, RefusalReason,
    balance::Balance,
    behaviour::{self, Behaviour},
    bins::{BIN_US, Bins},
    burst::{self, BurstRule, Progress, View},
    core::Emitter,
    incidents::{Book, commands::Consequence},
    layout::{Layout, Role, SignalKey},
    network::{arrival::Arrival, place::Places, stations::StationWatch, water::Water},
    pressure::{PressureWatch, zones::Zones},
    quality::Quality,
    thermal::Thermal,
    tickets::{self, Tickets},
    tracker::{Step, Tracker},
};

/// Seconds between pictures of all references: what a burst is compared with.
const PICTURE_SECONDS: i64 = 60;
/// Pictures kept.
const PICTURES: usize = 3;

/// All of a network's state that survives a restart.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct NetworkState {
    pub(crate) id: NetworkId,
    pub(crate) keys: Vec<SignalKey>,
    pub(crate) trackers: Vec<Tracker>,
    arrival: Arrival,
    live: Bins,
    history: Bins,
    /// Latest back-filled event time.
    history_until_us: i64,
    /// Newest bin that the balance has seen, of either lane.
    last_bin: i64,
    pub(crate) balance: Balance,
    water: Water,
    pub(crate) burst: BurstRule,
    pressure: PressureWatch,
    /// kg/s, refreshed each second.
    circulation: f64,
    pictures: Vec<(i64, Vec<f32>)>,
    places: Places,
    pub(crate) stations: StationWatch,
    pub(crate) quality: Quality,
    pub(crate) thermal: Thermal,
    pub(crate) behaviour: Behaviour,
    pub(crate) tickets: Tickets,
    pub(crate) book: Book,
    seasons: BTreeMap<CircuitId, SeasonState>,
    said_status: Vec<DetectorStatus>,
}

/// One usable value of one signal.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Sample {
    pub(crate) signal: u32,
    /// Event time, not after now.
    pub(crate) at_us: i64,
    pub(crate) value: f64,
}

/// A network with what is derived from its state and the plant model.
#[derive(Debug)]
pub(crate) struct Network {
    pub(crate) state: NetworkState,
    pub(crate) layout: Layout,
    pub(crate) by_key: BTreeMap<SignalKey, u32>,
    /// Of as many signals as the layout had.
    zones: (usize, Zones),
    /// Empty between records; kept for its room.
    steps: Vec<(u32, Step)>,
}

impl Network {
    pub(crate) fn new(id: NetworkId, plant: &PlantModel) -> Self {
        let layout = Layout::new(&id, plant, &[]);
        let state = NetworkState {
            id,
            keys: Vec::new(),
            trackers: Vec::new(),
            arrival: Arrival::default(),
            live: Bins::default(),
            history: Bins::default(),
            history_until_us: i64::MIN,
            last_bin: i64::MIN,
            balance: Balance::new(),
            water: Water::default(),
            burst: BurstRule::default(),
            pressure: PressureWatch::default(),
            circulation: 0.0,
            pictures: Vec::new(),
            places: Places::default(),
            stations: StationWatch::default(),
            quality: Quality::default(),
            thermal: Thermal::default(),
            behaviour: Behaviour::default(),
            tickets: Tickets::default(),
            book: Book::default(),
            seasons: BTreeMap::new(),
            said_status: Vec::new(),
        };
        Self { state, layout, by_key: BTreeMap::new(), zones: (0, Zones::default()), steps: Vec::new() }
    }

    pub(crate) fn restored(mut state: NetworkState, plant: &PlantModel) -> Self {
        let layout = Layout::new(&state.id, plant, &state.keys);
        let by_key = state.keys.iter().cloned().zip(0..).collect();
        state.behaviour.restored();
        state.tickets.restored();
        Self { state, layout, by_key, zones: (0, Zones::default()), steps: Vec::new() }
    }

    /// Another plant model: incidents stay, and everything learned that the change does not touch; what is derived is
    /// made anew. Where other meters than before make up the water account, its baseline begins anew: the sums step
    /// without any water being lost. A leak said before stays open for the operator to close.
    pub(crate) fn use_plant(&mut self, plant: &PlantModel) {
        let layout = Layout::new(&self.state.id, plant, &self.state.keys);
        let before = std::mem::replace(&mut self.layout, layout);
        self.zones = (0, Zones::default());
        self.state.tickets.use_plant();
        if !self.layout.has_same_places(&before) {
            self.state.places = Places::default();
        }
        if !self.layout.has_same_account(&before) {
            self.begin_account();
        }
    }

    /// Other meters than before make up the water account.
    fn begin_account(&mut self) {
        self.state.balance = Balance::new();
        self.state.water.begin_account();
    }

    /// Registers a signal that detectors use; `None` beyond the bound.
    pub(crate) fn register(&mut self, key: SignalKey, settings: &DetectSettings) -> Option<u32> {
        if let Some(index) = self.by_key.get(&key) {
            return Some(*index);
        }
        if self.state.keys.len() >= settings.signals_max {
            return None;
        }
        let index = u32::try_from(self.state.keys.len()).ok()?;
        self.layout.add(&key);
        if self.layout.is_of_known_source(index) {
            self.begin_account();
        }
        self.note_extension(index);
        self.by_key.insert(key.clone(), index);
        self.state.keys.push(key);
        self.state.trackers.push(Tracker::default());
        self.state.quality.add_signal(self.layout.placed[index as usize].device);
        self.state.live.add_signal();
        self.state.history.add_signal();
        Some(index)
    }

    /// Registers a signal of any name with the behaviour of its site; `None` beyond the bound.
    pub(crate) fn register_behaviour(&mut self, key: &SignalKey, settings: &DetectSettings) -> Option<u32> {
        let is_plant = self.layout.is_known_plant(&key.site);
        self.state.behaviour.register(key, is_plant, settings)
    }

    /// Takes a usable value of a signal of any name.
    pub(crate) fn observe_behaviour(
        &mut self,
        settings: &DetectSettings,
        lane: Lane,
        sample: Sample,
        emit: &mut Emitter<'_>,
    ) {
        let Sample { signal, at_us, value } = sample;
        let found = self.state.behaviour.observe(settings, signal, at_us, value, lane == Lane::Live);
        if let Some(mut finding) = found {
            // What another detector named is no longer unknown; while it lasts, this is said again by itself.
            if finding.active && finding.affected.iter().any(|site| self.state.book.knows_better(site)) {
                return;
            }
            finding.level = self.layout.level();
            self.say(settings, finding, emit);
        }
    }

    fn view(&self) -> View<'_> {
        View { layout: &self.layout, trackers: &self.state.trackers, circulation: self.state.circulation }
    }

    /// Takes the usable values of one record, in order of event time and signal. Those of one moment are seen together:
    /// what they say does not depend on their order in the record.
    pub(crate) fn observe(
        &mut self,
        settings: &DetectSettings,
        lane: Lane,
        samples: &[Sample],
        emit: &mut Emitter<'_>,
        counters: &mut Counters,
    ) {
        if lane == Lane::Backfill {
            for sample in samples {
                self.observe_history(settings, *sample);
            }
            return;
        }
        let now_us = emit.now().as_micros();
        for moment in samples.chunk_by(|a, b| a.at_us == b.at_us) {
            let at_us = moment[0].at_us;
            self.state.arrival.note(at_us, now_us);
            let is_late = now_us - at_us > settings.lateness_us();
            let mut steps = std::mem::take(&mut self.steps);
            for sample in moment {
                steps.extend(self.take(*sample, is_late, counters).map(|step| (sample.signal, step)));
            }
            let view = View {
                layout: &self.layout,
                trackers: &self.state.trackers,
                circulation: self.state.circulation,
            };
            let mut has_changed = false;
            for (signal, step) in steps.drain(..) {
                has_changed |= self.state.burst.observe(view, signal, step);
            }
            self.steps = steps;
            if has_changed && self.state.burst.open.is_none() {
                self.decide(settings, at_us, emit);
            }
        }
    }

    /// Takes one live value; its step where the burst rule can use it.
    fn take(&mut self, sample: Sample, is_late: bool, counters: &mut Counters) -> Option<Step> {
        let Sample { signal, at_us, value } = sample;
        let tracker = &self.state.trackers[signal as usize];
        if is_late {
            // Late, it is of use in its order only: beside what is already known of later moments it would mislead.
            if tracker.seen && at_us <= tracker.at_us {
                counters.late += 1;
                return None;
            }
            counters.late_judged += 1;
        }
        let placed = self.layout.placed[signal as usize];
        if !self.admit(signal, at_us, value) {
            counters.no_measurement += 1;
            return None;
        }
        let tracker = &mut self.state.trackers[signal as usize];
        if placed.role == Role::MakeUpVolume {
            if let Some(volume) = counted(tracker, at_us, value)
                && !self.state.live.add(signal, at_us, volume)
            {
                counters.past_bins += 1;
            }
            return None;
        }
        if !self.state.live.add(signal, at_us, value) {
            counters.past_bins += 1;
        }
        self.state.thermal.moved(signal, placed.role, at_us, value);
        if placed.role.is_status() {
            tracker.observe_status(at_us, value);
            return None;
        }
        let prior = burst::prior(placed, value, self.state.circulation);
        let step = tracker.observe(at_us, value, prior);
        if let Some(open) = &mut self.state.burst.open {
            open.note(signal, value);
        }
        let step = step?;
        self.state.quality.stepped(signal, placed.role, at_us, value, step);
        ((placed.role.is_flow() || placed.role.is_pressure()) && !self.is_aside(signal)).then_some(step)
    }

    fn decide(&mut self, settings: &DetectSettings, at_us: i64, emit: &mut Emitter<'_>) {
        let view = View {
            layout: &self.layout,
            trackers: &self.state.trackers,
            circulation: self.state.circulation,
        };
        let Some(mut opened) = self.state.burst.decide(view, at_us) else { return };
        // The newest picture that is surely from before.
        let until = opened.onset_us - 1_000_000;
        opened.before = self
            .state
            .pictures
            .iter()
            .rev()
            .find(|(taken_us, _)| *taken_us <= until)
            .map_or_else(|| self.picture(), |(_, picture)| picture.clone());
        opened.before.resize(self.state.trackers.len(), f32::NAN);
        for (before, tracker) in opened.before.iter_mut().zip(&self.state.trackers) {
            if !before.is_finite() {
                *before = tracker.reference as f32;
            }
        }
        let late_us = emit.now().as_micros() - at_us;
        opened.late_us = (late_us > settings.lateness_us()).then_some(late_us);
        self.state.burst.open = Some(opened);
        self.say_burst(settings, emit);
    }

    fn picture(&self) -> Vec<f32> {
        self.state
            .trackers
            .iter()
            .map(
                |tracker| {
                    if tracker.interval_s > 60.0 { tracker.value as f32 } else { tracker.reference as f32 }
                },
            )
            .collect()
    }

    fn say_burst(&mut self, settings: &DetectSettings, emit: &mut Emitter<'_>) {
        let Some(open) = &self.state.burst.open else { return };
        let finding = findings::burst(&self.layout, &self.state.places, self.view(), open, emit.now());
        self.say(settings, finding, emit);
    }

    fn end_burst(&mut self, at_us: i64) {
        self.state.burst.open = None;
        self.state.balance.pause(at_us.div_euclid(BIN_US));
    }

    fn observe_history(&mut self, settings: &DetectSettings, sample: Sample) {
        let Sample { signal, at_us, value } = sample;
        if self.layout.placed[signal as usize].role == Role::MakeUpVolume {
            // Counters need their own order of time; a back-filled one is left to the archive.
            return;
        }
        if at_us > self.state.history_until_us {
            self.state.history_until_us = at_us;
            while self.state.history.ended(at_us - BIN_US).is_some() {
                self.close_history(settings, at_us - BIN_US);
            }
        }
        self.state.history.add(signal, at_us, value);
    }

    fn close_history(&mut self, settings: &DetectSettings, until_us: i64) {
        if let Some(bin) = self.state.history.ended(until_us).filter(|bin| *bin > self.state.last_bin) {
            self.teach_water(settings, bin);
            self.state.stations.learn(&self.layout, &self.state.history);
            self.learn_bin(settings, bin);
            self.state.last_bin = bin;
        }
        self.state.history.close(until_us);
    }

    /// A second passes.
    pub(crate) fn tick(&mut self, settings: &DetectSettings, second: i64, emit: &mut Emitter<'_>) {
        let now_us = emit.now().as_micros();
        self.state.circulation = burst::circulation(&self.layout, &self.state.trackers);
        let told_us = self.state.arrival.told_until(now_us, settings.lateness_us());
        self.follow_burst(settings, told_us, emit);
        self.watch_pressures(settings, second, emit);
        if second.rem_euclid(PICTURE_SECONDS) == 0 && self.state.burst.open.is_none() {
            if self.state.pictures.len() == PICTURES {
                self.state.pictures.remove(0);
            }
            self.state.pictures.push((told_us, self.picture()));
        }
        if second.rem_euclid(60) == 0 {
            self.watch_minute(settings, emit);
        }
        if second.rem_euclid(10) == 0 && self.operates() {
            self.watch_stations(settings, told_us, emit);
        }
        let ended_us = told_us - settings.lateness_us();
        while let Some(bin) = self.state.live.ended(ended_us) {
            self.close_bin(settings, bin, emit);
            self.state.live.close(ended_us);
        }
        self.say_held(settings, emit);
        if second.rem_euclid(60) == 0 {
            self.pass_tickets(settings, emit);
        }
        if self.state.book.needs_tick() {
            self.state.book.tick(settings, emit);
        }
    }

    fn follow_burst(&mut self, settings: &DetectSettings, told_us: i64, emit: &mut Emitter<'_>) {
        let Some(mut open) = self.state.burst.open.take() else { return };
        let progress = open.follow(self.view(), told_us, settings.burst_clear.as_secs_f64());
        self.state.burst.open = Some(open);
        match progress {
            Progress::None => {}
            Progress::Locate => self.say_burst(settings, emit),
            Progress::Over => {
                let mut finding = match &self.state.burst.open {
                    Some(open) => {
                        findings::burst(&self.layout, &self.state.places, self.view(), open, emit.now())
                    }
                    None => return,
                };
                finding.active = false;
                self.end_burst(told_us);
                self.say(settings, finding, emit);
            }
        }
    }

    fn watch_stations(&mut self, settings: &DetectSettings, told_us: i64, emit: &mut Emitter<'_>) {
        let urgent = self.state.burst.open.is_some();
        let mut watch = std::mem::take(&mut self.state.stations);
        let found =
            watch.watch(&self.layout, &self.state.trackers, told_us, urgent, |signal| self.is_aside(signal));
        self.state.stations = watch;
        for (site, kind, since_us, active) in found {
            let finding = findings::station(&self.layout, site, kind, since_us, active);
            self.say(settings, finding, emit);
        }
    }

    fn close_bin(&mut self, settings: &DetectSettings, bin: i64, emit: &mut Emitter<'_>) {
        if bin <= self.state.last_bin {
            return;
        }
        self.state.last_bin = bin;
        self.watch_bin(settings, bin, emit);
        let burst_on = self.state.burst.open.is_some();
        if burst_on {
            self.state.balance.pause(bin);
        } else {
            self.state.stations.learn(&self.layout, &self.state.live);
        }
        self.close_water(settings, bin, emit);
        self.say_status(settings, emit);
    }

    fn say_status(&mut self, settings: &DetectSettings, emit: &mut Emitter<'_>) {
        let detectors = self.status(settings);
        // Time left to learn is no news; that it learns is.
        let same = self.state.said_status.len() == detectors.len()
            && self.state.said_status.iter().zip(&detectors).all(|(old, new)| {
                matches!(
                    (&old.state, &new.state),
                    (DetectorState::Learning { .. }, DetectorState::Learning { .. })
                ) || old.state == new.state
            });
        if same {
            return;
        }
        self.state.said_status.clone_from(&detectors);
        let status = NetworkStatus {
            network: self.state.id.clone(),
            at: emit.now(),
            level: self.layout.level(),
            detectors,
        };
        emit.push(|_, _, _| Output::Status(status));
    }

    /// What the detectors can judge, in a fixed order.
    pub(crate) fn status(&self, settings: &DetectSettings) -> Vec<DetectorStatus> {
        let has = |kind: SiteKind, role: Role| {
            self.layout.of_kind(kind).any(|(_, site)| {
                site.signal(role).is_some_and(|signal| self.state.trackers[signal as usize].seen)
            })
        };
        let make_up = [Role::MakeUpFlow, Role::MakeUpVolume, Role::MakeUpPumpRunning, Role::MakeUpTankLevel]
            .into_iter()
            .any(|role| has(SiteKind::Source, role));
        let imbalance = has(SiteKind::Source, Role::SupplyFlow) && has(SiteKind::Source, Role::ReturnFlow);
        let left = self.state.balance.learning_left_s(settings);
        let balance = if let Some((season, suggested)) = self.state.water.pausing_season() {
            DetectorState::OutOfSeason { season, suggested }
        } else if !make_up && !imbalance {
            DetectorState::Lacking { signals: vec!["make_up_flow".to_owned(), "return_flow".to_owned()] }
        } else if left > 0 {
            DetectorState::Learning { seconds_left: left }
        } else {
            DetectorState::Ready
        };
        let drops = [Role::SupplyPressure, Role::ReturnPressure].into_iter().any(|role| {
            has(SiteKind::Source, role) || has(SiteKind::Station, role) || has(SiteKind::Chamber, role)
        });
        let mut missing = Vec::new();
        if !has(SiteKind::Source, Role::SupplyFlow) {
            missing.push("supply_flow".to_owned());
        }
        if !drops {
            missing.push("supply_pressure".to_owned());
        }
        if !make_up && !imbalance {
            missing.push("make_up_flow".to_owned());
        }
        let burst = if missing.is_empty() {
            DetectorState::Ready
        } else {
            DetectorState::Lacking { signals: missing }
        };
        let ready_with = |has: bool, signal: &str| {
            if has {
                DetectorState::Ready
            } else {
                DetectorState::Lacking { signals: vec![signal.to_owned()] }
            }
        };
        let source_pressures =
            has(SiteKind::Source, Role::SupplyPressure) && has(SiteKind::Source, Role::ReturnPressure);
        let moves = source_pressures || has(SiteKind::Source, Role::SupplyFlow);
        let outdoor = self.layout.sites.iter().any(|site| {
            let signal = site.signal(Role::OutdoorTemperature);
            signal.is_some_and(|signal| self.state.trackers[signal as usize].seen)
        });
        let (models, judging) = self.state.behaviour.readiness();
        let behaviour = if models == 0 {
            DetectorState::Lacking { signals: vec!["three signals of one site".to_owned()] }
        } else if judging == 0 {
            let seconds_left = self.state.behaviour.learning_left_s().unwrap_or_default();
            DetectorState::Learning { seconds_left }
        } else {
            DetectorState::Ready
        };
        let mut all = vec![
            DetectorStatus { detector: "burst".to_owned(), state: burst },
            DetectorStatus { detector: "water_balance".to_owned(), state: balance },
            DetectorStatus { detector: "circulation".to_owned(), state: ready_with(moves, "supply_flow") },
            DetectorStatus {
                detector: "pressure_regime".to_owned(),
                state: ready_with(drops, "supply_pressure"),
            },
            DetectorStatus {
                detector: "frost".to_owned(),
                state: ready_with(outdoor, "outdoor_temperature"),
            },
            DetectorStatus { detector: behaviour::DETECTOR.to_owned(), state: behaviour },
            DetectorStatus { detector: tickets::DETECTOR.to_owned(), state: self.tickets_state() },
        ];
        all.extend(self.night_status(make_up || imbalance));
        all.extend(self.thermal_status());
        all
    }

    /// Carries out a command.
    pub(crate) fn command(
        &mut self,
        settings: &DetectSettings,
        user: &str,
        action: &Action,
        emit: &mut Emitter<'_>,
    ) -> Result<(), RefusalReason> {
        if let Action::Season { circuit, state } = action {
            if self.state.seasons.len() >= settings.maintenance_max
                && !self.state.seasons.contains_key(circuit)
            {
                let limit = settings.maintenance_max as u64;
                return Err(RefusalReason::TooMany { what: "circuit seasons".to_owned(), limit });
            }
            self.state.seasons.insert(circuit.clone(), *state);
            return Ok(());
        }
        if matches!(action, Action::Repaired { .. }) {
            self.state.balance.refilling(self.state.last_bin);
        }
        let consequence = self.state.book.command(settings, user, action, emit)?;
        if consequence == Consequence::CaseClosed {
            self.state.balance.close_case();
        }
        Ok(())
    }

    pub(crate) fn now_status(&self, settings: &DetectSettings, now: AppendTime) -> NetworkStatus {
        NetworkStatus {
            network: self.state.id.clone(),
            at: now,
            level: self.layout.level(),
            detectors: self.status(settings),
        }
    }
}

/// Volume since a counter's last value; a reset or a repeated time gives nothing.
fn counted(tracker: &mut Tracker, at_us: i64, value: f64) -> Option<f64> {
    let before = *tracker;
    if tracker.seen && at_us <= tracker.at_us {
        return None;
    }
    *tracker = Tracker::standing(at_us, value);
    (before.seen && value >= before.value).then_some(value - before.value)
}

/// Whether the source's flow is one sample a bin: such samples stand at the start of the bin.
fn is_slow(layout: &Layout, bins: &Bins) -> bool {
    layout
        .of_kind(SiteKind::Source)
        .filter_map(|(_, source)| source.signal(Role::SupplyFlow))
        .any(|signal| bins.count(signal) == 1)
}
