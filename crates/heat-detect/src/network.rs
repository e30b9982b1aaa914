//! One network: its signals, its detectors, its incidents.

pub(crate) mod findings;
mod hotline;
pub(crate) mod place;
pub(crate) mod stations;

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
    balance::{Balance, Verdict, features::features},
    behaviour::{self, Behaviour},
    bins::{BIN_US, Bins},
    burst::{self, BurstRule, Progress, View},
    core::Emitter,
    incidents::{Book, commands::Consequence},
    layout::{Layout, Role, SignalKey},
    network::{place::Places, stations::StationWatch},
    tickets::{self, Tickets},
    tracker::Tracker,
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
    live: Bins,
    history: Bins,
    /// Latest back-filled event time.
    history_until_us: i64,
    /// Newest bin that the balance has seen, of either lane.
    last_bin: i64,
    pub(crate) balance: Balance,
    pub(crate) burst: BurstRule,
    /// kg/s, refreshed each second.
    circulation: f64,
    pictures: Vec<(i64, Vec<f32>)>,
    places: Places,
    pub(crate) stations: StationWatch,
    pub(crate) behaviour: Behaviour,
    pub(crate) tickets: Tickets,
    pub(crate) book: Book,
    seasons: BTreeMap<CircuitId, SeasonState>,
    said_status: Vec<DetectorStatus>,
    said_standing: bool,
}

/// One usable value of one signal.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Sample {
    pub(crate) signal: u32,
    pub(crate) lane: Lane,
    pub(crate) at_us: i64,
    pub(crate) value: f64,
}

/// A network with what is derived from its state and the plant model.
#[derive(Debug)]
pub(crate) struct Network {
    pub(crate) state: NetworkState,
    pub(crate) layout: Layout,
    pub(crate) by_key: BTreeMap<SignalKey, u32>,
}

impl Network {
    pub(crate) fn new(id: NetworkId, plant: &PlantModel) -> Self {
        let layout = Layout::new(&id, plant, &[]);
        let state = NetworkState {
            id,
            keys: Vec::new(),
            trackers: Vec::new(),
            live: Bins::default(),
            history: Bins::default(),
            history_until_us: i64::MIN,
            last_bin: i64::MIN,
            balance: Balance::new(),
            burst: BurstRule::default(),
            circulation: 0.0,
            pictures: Vec::new(),
            places: Places::default(),
            stations: StationWatch::default(),
            behaviour: Behaviour::default(),
            tickets: Tickets::default(),
            book: Book::default(),
            seasons: BTreeMap::new(),
            said_status: Vec::new(),
            said_standing: false,
        };
        Self { state, layout, by_key: BTreeMap::new() }
    }

    pub(crate) fn restored(mut state: NetworkState, plant: &PlantModel) -> Self {
        let layout = Layout::new(&state.id, plant, &state.keys);
        let by_key = state.keys.iter().cloned().zip(0..).collect();
        state.behaviour.restored();
        state.tickets.restored();
        Self { state, layout, by_key }
    }

    /// Another plant model: incidents stay, and everything learned that the change does not touch; what is derived is
    /// made anew. Where other meters than before make up the water account, its baseline begins anew: the sums step
    /// without any water being lost. A leak said before stays open for the operator to close.
    pub(crate) fn use_plant(&mut self, plant: &PlantModel) {
        let layout = Layout::new(&self.state.id, plant, &self.state.keys);
        let before = std::mem::replace(&mut self.layout, layout);
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
        self.state.said_standing = false;
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
        self.by_key.insert(key.clone(), index);
        self.state.keys.push(key);
        self.state.trackers.push(Tracker::default());
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
        sample: Sample,
        emit: &mut Emitter<'_>,
    ) {
        let at_us = sample.at_us.min(emit.now().as_micros());
        let live = sample.lane == Lane::Live;
        let found = self.state.behaviour.observe(settings, sample.signal, at_us, sample.value, live);
        if let Some(mut finding) = found {
            // What another detector named is no longer unknown; while it lasts, this is said again by itself.
            if finding.active && finding.affected.iter().any(|site| self.state.book.knows_better(site)) {
                return;
            }
            finding.level = self.layout.level();
            self.state.book.apply(settings, &self.state.id, finding, emit);
        }
    }

    fn view(&self) -> View<'_> {
        View { layout: &self.layout, trackers: &self.state.trackers, circulation: self.state.circulation }
    }

    /// Takes one usable value.
    pub(crate) fn observe(
        &mut self,
        settings: &DetectSettings,
        sample: Sample,
        emit: &mut Emitter<'_>,
        counters: &mut Counters,
    ) {
        let Sample { signal, lane, at_us, value } = sample;
        let at_us = at_us.min(emit.now().as_micros());
        if lane == Lane::Backfill {
            self.observe_history(settings, signal, at_us, value);
            return;
        }
        let late_us = emit.now().as_micros() - at_us;
        if late_us > i64::try_from(settings.lateness.as_micros()).unwrap_or(i64::MAX) {
            counters.late += 1;
            return;
        }
        let placed = self.layout.placed[signal as usize];
        if placed.role == Role::MakeUpVolume {
            if let Some(volume) = counted(&mut self.state.trackers[signal as usize], at_us, value)
                && !self.state.live.add(signal, at_us, volume)
            {
                counters.late += 1;
            }
            return;
        }
        if !self.state.live.add(signal, at_us, value) {
            counters.late += 1;
        }
        let prior = burst::prior(placed, value, self.state.circulation);
        let step = self.state.trackers[signal as usize].observe(at_us, value, prior);
        if let Some(open) = &mut self.state.burst.open {
            open.note(signal, value);
        }
        let Some(step) = step else { return };
        if !(placed.role.is_flow() || placed.role.is_pressure()) {
            return;
        }
        let view = View {
            layout: &self.layout,
            trackers: &self.state.trackers,
            circulation: self.state.circulation,
        };
        if self.state.burst.observe(view, signal, step) && self.state.burst.open.is_none() {
            self.decide(settings, at_us, emit);
        }
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
        let finding = findings::burst(&self.layout, self.view(), open, emit.now());
        self.state.book.apply(settings, &self.state.id, finding, emit);
    }

    fn observe_history(&mut self, settings: &DetectSettings, signal: u32, at_us: i64, value: f64) {
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
            let features = features(&self.layout, &self.state.history);
            let slow = is_slow(&self.layout, &self.state.history);
            let volume = self.layout.water_volume_m3;
            self.state.balance.observe(settings, volume, bin, &features, slow, false);
            self.state.places.learn(&self.layout, &self.state.history, None);
            self.state.stations.learn(&self.layout, &self.state.history);
            self.state.last_bin = bin;
        }
        self.state.history.close(until_us);
    }

    /// A second passes.
    pub(crate) fn tick(&mut self, settings: &DetectSettings, second: i64, emit: &mut Emitter<'_>) {
        let now_us = emit.now().as_micros();
        self.state.circulation = burst::circulation(&self.layout, &self.state.trackers);
        self.follow_burst(settings, now_us, emit);
        if second.rem_euclid(PICTURE_SECONDS) == 0 && self.state.burst.open.is_none() {
            if self.state.pictures.len() == PICTURES {
                self.state.pictures.remove(0);
            }
            self.state.pictures.push((now_us, self.picture()));
        }
        if second.rem_euclid(10) == 0 {
            self.watch_stations(settings, now_us, emit);
        }
        let lateness_us = i64::try_from(settings.lateness.as_micros()).unwrap_or(i64::MAX);
        while let Some(bin) = self.state.live.ended(now_us - lateness_us) {
            self.close_bin(settings, bin, emit);
            self.state.live.close(now_us - lateness_us);
        }
        if second.rem_euclid(60) == 0 {
            self.pass_tickets(settings, emit);
        }
        if self.state.book.needs_tick() {
            self.state.book.tick(settings, emit);
        }
    }

    fn follow_burst(&mut self, settings: &DetectSettings, now_us: i64, emit: &mut Emitter<'_>) {
        let Some(mut open) = self.state.burst.open.take() else { return };
        let progress = open.follow(self.view(), now_us, settings.burst_clear.as_secs_f64());
        self.state.burst.open = Some(open);
        match progress {
            Progress::None => {}
            Progress::Locate => self.say_burst(settings, emit),
            Progress::Over => {
                let mut finding = match &self.state.burst.open {
                    Some(open) => findings::burst(&self.layout, self.view(), open, emit.now()),
                    None => return,
                };
                finding.active = false;
                self.state.burst.open = None;
                self.state.balance.pause(now_us.div_euclid(BIN_US));
                self.state.book.apply(settings, &self.state.id, finding, emit);
            }
        }
    }

    fn watch_stations(&mut self, settings: &DetectSettings, now_us: i64, emit: &mut Emitter<'_>) {
        let urgent = self.state.burst.open.is_some();
        let found = self.state.stations.watch(&self.layout, &self.state.trackers, now_us, urgent);
        for (site, kind, since_us, active) in found {
            let finding = findings::station(&self.layout, site, kind, since_us, active);
            self.state.book.apply(settings, &self.state.id, finding, emit);
        }
    }

    fn close_bin(&mut self, settings: &DetectSettings, bin: i64, emit: &mut Emitter<'_>) {
        if bin <= self.state.last_bin {
            return;
        }
        self.state.last_bin = bin;
        let burst_on = self.state.burst.open.is_some();
        if burst_on {
            self.state.balance.pause(bin);
        } else {
            self.state.stations.learn(&self.layout, &self.state.live);
        }
        let features = features(&self.layout, &self.state.live);
        let slow = is_slow(&self.layout, &self.state.live);
        let before = self.state.balance.open.is_some();
        let verdict =
            self.state.balance.observe(settings, self.layout.water_volume_m3, bin, &features, slow, true);
        if !burst_on {
            let suspect = self.state.balance.suspect_since;
            self.state.places.learn(&self.layout, &self.state.live, suspect);
        }
        let circulation = self.state.balance.circulation;
        match verdict {
            Verdict::Quiet => {}
            Verdict::Leak(leak) => {
                let finding = findings::leak(&self.layout, &self.state.places, &leak, circulation);
                self.state.book.apply(settings, &self.state.id, finding, emit);
            }
            Verdict::Over => {
                debug_assert!(before, "only what was said can be over");
                self.state.book.apply(settings, &self.state.id, findings::leak_over(bin), emit);
            }
            Verdict::MeterFault { onset_bin, excess_kg_s } => {
                let finding = findings::make_up_fault(&self.layout, onset_bin, excess_kg_s);
                self.state.book.apply(settings, &self.state.id, finding, emit);
            }
        }
        if let Some(loss) = self.state.balance.standing_loss(settings)
            && !self.state.said_standing
            && loss > settings.standing_loss_ratio * circulation
        {
            self.state.said_standing = true;
            let finding = findings::standing(&self.layout, bin, loss, circulation);
            self.state.book.apply(settings, &self.state.id, finding, emit);
        }
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
        let make_up = has(SiteKind::Source, Role::MakeUpFlow) || has(SiteKind::Source, Role::MakeUpVolume);
        let imbalance = has(SiteKind::Source, Role::SupplyFlow) && has(SiteKind::Source, Role::ReturnFlow);
        let left = self.state.balance.learning_left_s(settings);
        let balance = if !make_up && !imbalance {
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
        let (models, judging) = self.state.behaviour.readiness();
        let behaviour = if models == 0 {
            DetectorState::Lacking { signals: vec!["three signals of one site".to_owned()] }
        } else if judging == 0 {
            let seconds_left = self.state.behaviour.learning_left_s().unwrap_or_default();
            DetectorState::Learning { seconds_left }
        } else {
            DetectorState::Ready
        };
        vec![
            DetectorStatus { detector: "burst".to_owned(), state: burst },
            DetectorStatus { detector: "water_balance".to_owned(), state: balance },
            DetectorStatus { detector: behaviour::DETECTOR.to_owned(), state: behaviour },
            DetectorStatus { detector: tickets::DETECTOR.to_owned(), state: self.tickets_state() },
        ]
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
