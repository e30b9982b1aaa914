//! One network: its signals, its detectors, its incidents.

pub(crate) mod arrival;
mod bursts;
pub(crate) mod findings;
mod hotline;
mod lacked;
mod located;
pub(crate) mod place;
mod pressures;
mod say;
pub(crate) mod seasons;
pub(crate) mod statements;
pub(crate) mod stations;
mod status;
mod steam;
mod watch;
pub(crate) mod water;
mod water_findings;

use std::collections::BTreeMap;

use heat_model::{
    CircuitId, NetworkId,
    plant::{PlantModel, SiteKind},
    reading::Lane,
    record::Action,
};
use serde::{Deserialize, Serialize};

use crate::{
    Counters, DetectSettings, DetectorStatus, RefusalReason, SeasonSuggestion,
    balance::Balance,
    behaviour::Behaviour,
    bins::{BIN_US, Bins},
    burst::{self, BurstRule, View},
    core::Emitter,
    incidents::{Book, commands::Consequence},
    layout::{Layout, Role, SignalKey},
    network::{
        arrival::Arrival,
        place::Places,
        seasons::{Commanded, SeasonWatch},
        stations::StationWatch,
        water::Water,
    },
    pressure::{PressureWatch, zones::Zones},
    quality::{Quality, nature::counts_feed},
    steam::Steam,
    thermal::Thermal,
    tickets::Tickets,
    tracker::{Step, Tracker},
};

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
    steam: Steam,
    seasons: BTreeMap<CircuitId, Commanded>,
    season_watch: SeasonWatch,
    said_status: Vec<DetectorStatus>,
    said_seasons: Vec<SeasonSuggestion>,
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
            steam: Steam::default(),
            seasons: BTreeMap::new(),
            season_watch: SeasonWatch::default(),
            said_status: Vec::new(),
            said_seasons: Vec::new(),
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

    /// Registers a signal of any name with the behaviour of its site; `None` beyond the bound, and for a household, whose
    /// habits are nobody's to watch.
    pub(crate) fn register_behaviour(&mut self, key: &SignalKey, settings: &DetectSettings) -> Option<u32> {
        if self.layout.is_household(&key.site) {
            return None;
        }
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
            if has_changed {
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
        let value = self.state.quality.without_leaps(signal, placed.role, at_us, value);
        let tracker = &mut self.state.trackers[signal as usize];
        if counts_feed(placed.role) {
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
        self.state.quality.measured(signal, placed.role, at_us, value);
        if placed.role.is_status() {
            tracker.observe_status(at_us, value);
            return None;
        }
        let prior = burst::prior(placed, value, self.state.circulation);
        let step = tracker.observe(at_us, value, prior);
        for open in &mut self.state.burst.open {
            open.note(signal, value);
        }
        let step = step?;
        self.state.quality.stepped(signal, placed.role, at_us, value, step);
        let is_of_water = placed.role.is_pressure() || (placed.role.is_flow() && !placed.is_feed);
        (is_of_water && !self.is_aside(signal)).then_some(step)
    }

    fn observe_history(&mut self, settings: &DetectSettings, sample: Sample) {
        let Sample { signal, at_us, value } = sample;
        if counts_feed(self.layout.placed[signal as usize].role) {
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
            self.teach_steam(settings, bin);
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
        self.follow_bursts(settings, told_us, emit);
        self.watch_pressures(settings, second, emit);
        self.take_picture(second, told_us);
        if second.rem_euclid(60) == 0 {
            self.watch_minute(settings, emit);
        }
        if second.rem_euclid(10) == 0 && self.operates(emit.now()) {
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
        self.state.book.forget(settings, &self.state.id, emit);
        if self.state.book.needs_tick() {
            self.state.book.tick(settings, emit);
        }
    }

    fn watch_stations(&mut self, settings: &DetectSettings, told_us: i64, emit: &mut Emitter<'_>) {
        let urgent = self.state.burst.is_on();
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
        let burst_on = self.state.burst.is_on();
        if burst_on {
            self.state.balance.pause(bin);
        } else {
            self.state.stations.learn(&self.layout, &self.state.live);
        }
        self.close_water(settings, bin, emit);
        self.close_steam(settings, bin, emit);
        self.say_status(settings, emit);
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
            return self.command_season(settings, circuit, *state, emit.now());
        }
        if matches!(action, Action::Repaired { .. }) {
            self.state.balance.refilling(self.state.last_bin);
        }
        let consequence = self.state.book.command(settings, user, action, emit)?;
        match consequence {
            Consequence::None => {}
            Consequence::CaseClosed => {
                self.state.balance.close_case();
                self.state.water.forget_exchanger();
            }
            Consequence::SteamCaseClosed(part) => self.state.steam.close_case(part),
        }
        Ok(())
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
