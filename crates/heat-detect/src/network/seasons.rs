//! In which state the circuits are: by command, by the calendar of the plant tables, whichever said it last; and what
//! their data suggest instead.

use heat_model::{
    AppendTime, CircuitId, EventTime, SiteId,
    plant::{SeasonInForce, SeasonState, season_in_force, season_planned},
};
use serde::{Deserialize, Serialize};

use super::{Network, water::bin_start_us};
use crate::{
    DetectSettings, RefusalReason, SeasonSuggestion,
    balance::{Judging, features::Features},
    season::{self, Shown, Watch},
};

/// What was commanded of a circuit, and when.
pub(crate) type Commanded = (SeasonState, EventTime);

/// How the circuits of each medium run against the state that they are said to be in.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(crate) struct SeasonWatch {
    water: Watch,
    steam: Watch,
}

impl Network {
    /// Takes a command; refuses it beyond the bound on circuits.
    pub(super) fn command_season(
        &mut self,
        settings: &DetectSettings,
        circuit: &CircuitId,
        state: SeasonState,
        now: AppendTime,
    ) -> Result<(), RefusalReason> {
        if self.state.seasons.len() >= settings.maintenance_max && !self.state.seasons.contains_key(circuit) {
            let limit = settings.maintenance_max as u64;
            return Err(RefusalReason::TooMany { what: "circuit seasons".to_owned(), limit });
        }
        self.state.seasons.insert(circuit.clone(), (state, now.as_event_now()));
        Ok(())
    }

    fn in_force(&self, circuit: &CircuitId, now: AppendTime) -> Option<SeasonInForce> {
        let calendar = self.layout.calendars.of(Some(circuit));
        let planned = season_planned(calendar, now.as_event_now());
        season_in_force(self.state.seasons.get(circuit).copied(), planned)
    }

    /// State of the hot water that the sources feed. What is filled or tested takes its water from the others' make-up, so
    /// it decides for all.
    pub(super) fn season(&self, now: AppendTime) -> SeasonState {
        let primaries = &self.layout.primaries;
        if primaries.is_empty() {
            // Without a plant model a network has one circuit.
            let commanded =
                self.state.seasons.values().next().filter(|_| self.layout.steam_circuits.is_empty());
            let planned = season_planned(self.layout.calendars.of(None), now.as_event_now());
            return season_in_force(commanded.copied(), planned)
                .map_or_else(SeasonState::default, |held| held.state);
        }
        let mut states = primaries.iter().filter_map(|circuit| Some(self.in_force(circuit, now)?.state));
        let first = states.next();
        let takes_water =
            |state: &SeasonState| matches!(state, SeasonState::Filling | SeasonState::PressureTest);
        first.into_iter().chain(states).find(takes_water).or(first).unwrap_or_default()
    }

    /// State of the steam circuits: of the first that has one.
    pub(super) fn steam_season(&self, now: AppendTime) -> SeasonState {
        let circuits = self.layout.steam_circuits.iter();
        circuits
            .filter_map(|circuit| self.in_force(circuit, now))
            .map(|held| held.state)
            .next()
            .unwrap_or_default()
    }

    /// Stations whose own circuit is filled, tested, repaired or off: what it takes then is no leak. In order.
    pub(super) fn resting_secondaries(&self, now: AppendTime) -> Vec<SiteId> {
        let rests = |circuit: &CircuitId| {
            self.in_force(circuit, now).is_some_and(|held| season::judging(held.state) == Judging::Nothing)
        };
        let fed = self.layout.secondaries.iter();
        let mut resting: Vec<SiteId> =
            fed.filter(|fed| rests(&fed.circuit)).map(|fed| fed.station.clone()).collect();
        resting.sort();
        resting
    }

    /// Whether a hot-water circuit of the sources is meant to be full and under way.
    pub(super) fn operates(&self, now: AppendTime) -> bool {
        let mut known =
            self.layout.primaries.iter().filter_map(|circuit| self.in_force(circuit, now)).peekable();
        known.peek().is_none()
            || known.any(|held| match held.state {
                SeasonState::ColdCirculation | SeasonState::HeatingUp | SeasonState::Heating => true,
                SeasonState::Off
                | SeasonState::WetLayup
                | SeasonState::Filling
                | SeasonState::PressureTest
                | SeasonState::ShuttingDown
                | SeasonState::Repair => false,
            })
    }

    /// Compares a live quarter hour with the states in force.
    pub(super) fn watch_seasons(
        &mut self,
        bin: i64,
        features: &Features,
        steam: Option<f64>,
        now: AppendTime,
    ) {
        let (water_state, steam_state) = (self.season(now), self.steam_season(now));
        let design = self.layout.design_flow_kg_s;
        let watch = &mut self.state.season_watch;
        let make_up = features.make_up.filter(|_| features.metering.is_mass());
        let shown = Shown { flow: features.supply, make_up, celsius: features.source_supply_celsius };
        watch.water.observe(bin, water_state, shown, design);
        let shown = Shown { flow: steam, make_up: None, celsius: None };
        watch.steam.observe(bin, steam_state, shown, None);
    }

    /// What runs teaches how much runs usually; back-filled data, too.
    pub(super) fn learn_seasons(&mut self, features: &Features, steam: Option<f64>) {
        self.state.season_watch.water.learn(features.supply);
        self.state.season_watch.steam.learn(steam);
    }

    /// What the data have suggested for long, and nobody has said.
    pub(super) fn suggested_seasons(&self, now: AppendTime) -> Vec<SeasonSuggestion> {
        let watch = &self.state.season_watch;
        let of = |watch: &Watch, circuit: Option<&CircuitId>, state: SeasonState| {
            let (suggested, since) = watch.suggested(self.state.last_bin)?;
            (suggested != state).then(|| SeasonSuggestion {
                circuit: circuit.cloned(),
                state,
                suggested,
                since: EventTime::from_micros(bin_start_us(since)),
            })
        };
        let water = of(&watch.water, self.layout.primaries.first(), self.season(now));
        let steam = self.layout.steam_circuits.first();
        let steam = steam.and_then(|circuit| of(&watch.steam, Some(circuit), self.steam_season(now)));
        water.into_iter().chain(steam).collect()
    }
}
