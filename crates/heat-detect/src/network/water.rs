//! The water of a network, quarter hour by quarter hour: which account is judged, and what its verdicts become.

use heat_model::{
    AppendTime, SiteId,
    plant::{SeasonState, SiteKind},
};
use serde::{Deserialize, Serialize};

use super::{Network, findings, is_slow, lacked, place::Suspicion, water_findings};
use crate::{
    DetectSettings, DetectorState, DetectorStatus, Finding,
    balance::{
        Input, Judging, Leak, Verdict,
        features::{Features, Shares, features},
        make_up::Metering,
    },
    bins::{BIN_US, Bins},
    core::Emitter,
    layout::{Layout, Role, Site},
    night::{
        Night, NightFlow,
        tanks::{Drawn, Tanks},
    },
    season,
    secondary::{Secondaries, Sign},
};

/// Evening, local time, hours: when households draw hot water from radiators.
const EVENING_HOURS: std::ops::Range<i64> = 16..23;

/// Customers' meters that tell so much of the inflow make a balance of it.
const METERED_SHARE: f64 = 0.75;
/// Quarter hours that this share rests on at least, and its memory: a day and two weeks.
const METERED_BINS_MIN: u32 = 96;
const METERED_BINS: u32 = 14 * 96;

/// Lacked where the inflow rests and metered levels do not say why.
const TANKS_EXPLAIN: &str = "make_up_tank_level that explains the inflow";

/// What the water's detectors keep beside the balance.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(crate) struct Water {
    shares: Shares,
    /// State, by command or calendar, that the account is in.
    season: SeasonState,
    /// State that the data suggest.
    suggested: Option<SeasonState>,
    said_standing: bool,
    night: NightFlow,
    tanks: Tanks,
    /// Share of the inflow of a plain water network that its customers' meters tell, and quarter hours it rests on.
    metered: (f64, u32),
    secondaries: Secondaries,
    /// Site of the exchanger that explains the leak said.
    exchanger: Option<u32>,
    /// Onset of the further loss that was told last.
    told_step: Option<i64>,
}

impl Water {
    /// Other meters than before make up the water account.
    pub(crate) fn begin_account(&mut self) {
        self.said_standing = false;
    }

    /// The leak that an exchanger explained is nobody's any more.
    pub(crate) fn forget_exchanger(&mut self) {
        self.exchanger = None;
    }

    /// Whether customers are metered, but too few for a balance; or tanks take up what flows in, which a balance knows
    /// nothing of.
    fn tells_by_nights(&self) -> bool {
        let (metered, bins) = self.metered;
        (bins > 0 && metered < METERED_SHARE) || self.tanks.is_used()
    }

    /// Inflow less what metered customers draw and tanks take up, where its nights are what tells a leak: nothing else about
    /// the water is known, or too little of what is drawn is metered for a balance. The rest is demand, which no balance
    /// explains, so it gets none.
    fn unmetered_inflow(
        &mut self,
        layout: &Layout,
        bins: &Bins,
        bin: i64,
        features: &mut Features,
    ) -> Option<Drawn> {
        if features.metering != Metering::Nothing || features.has_return_meter {
            return None;
        }
        let inflow = features.inflow?;
        let levels: Vec<(u32, Option<f64>)> =
            layout.tank_levels().map(|signal| (signal, bins.mean(signal))).collect();
        let Some(drawn) = features.stations else {
            return (!has_station_meters(layout)).then(|| self.unstored(bin, inflow, &levels)).flatten();
        };
        if !layout.is_plain_water() {
            return None;
        }
        if inflow > 0.0 {
            let (metered, bins) = &mut self.metered;
            *bins = (*bins + 1).min(METERED_BINS);
            *metered += (drawn / inflow - *metered) / f64::from(*bins);
        }
        let unmetered = self.unstored(bin, inflow - drawn, &levels);
        if self.metered.1 >= METERED_BINS_MIN && !self.tells_by_nights() {
            return None;
        }
        features.stations = None;
        unmetered
    }

    /// Inflow less what tanks take up, whose areas are known better from night to night.
    fn unstored(&mut self, bin: i64, inflow: f64, levels: &[(u32, Option<f64>)]) -> Option<Drawn> {
        let drawn = self.tanks.observe(bin, inflow, levels, self.night.is_quiet(bin));
        if let Some(by) = self.tanks.take_moved() {
            self.night.move_areas(&by);
        }
        drawn
    }

    /// State of the season that keeps the account from being judged, and whether only the data say so.
    pub(crate) fn pausing_season(&self) -> Option<(SeasonState, bool)> {
        if season::judging(self.season) == Judging::Nothing {
            return Some((self.season, false));
        }
        self.suggested.filter(|state| is_pausing(*state)).map(|state| (state, true))
    }
}

const fn is_pausing(suggested: SeasonState) -> bool {
    matches!(suggested, SeasonState::Filling | SeasonState::WetLayup)
}

impl Network {
    /// State of the night flow, where nothing better tells a loss.
    pub(super) fn night_status(&self, has_account: bool) -> Option<DetectorStatus> {
        let inflow = self.layout.of_kind(SiteKind::Source).any(|(_, site)| {
            site.signal(Role::SupplyFlow).is_some_and(|signal| self.state.trackers[signal as usize].seen)
        });
        (inflow && (!has_account || self.state.water.tells_by_nights())).then(|| {
            let nights = self.state.water.night.nights_left() as u64;
            let state = if self.state.water.night.rests() {
                // Its levels do not explain the inflow, or there are none.
                DetectorState::Lacking { signals: vec![self.lacked_level().to_owned()] }
            } else if nights > 0 {
                DetectorState::Learning { seconds_left: nights * 86_400 }
            } else {
                DetectorState::Ready
            };
            DetectorStatus { detector: "night_flow".to_owned(), state }
        })
    }

    /// What would tell the nights of an inflow that rests.
    fn lacked_level(&self) -> &'static str {
        let level = Role::MakeUpTankLevel.word();
        if self.layout.tank_levels().next().is_some() { TANKS_EXPLAIN } else { level }
    }

    /// Whether the sources' circuit gives heat, by what is said and by its data: only then are temperatures judged.
    pub(super) fn heats(&self, now: AppendTime) -> bool {
        self.season(now) == SeasonState::Heating && self.state.water.pausing_season().is_none()
    }

    /// A signal was registered: a station's first flow meter is an extension of the network.
    pub(crate) fn note_extension(&mut self, signal: u32) {
        let placed = self.layout.placed[signal as usize];
        let is_station = self.layout.sites[placed.site as usize].kind == SiteKind::Station;
        if is_station && placed.role.is_flow() && self.state.last_bin > i64::MIN {
            self.state.balance.extended(self.state.last_bin);
        }
    }

    /// What back-filled data teach.
    pub(super) fn teach_water(&mut self, settings: &DetectSettings, bin: i64) {
        let mut features = features(&self.layout, &self.state.history, &self.state.water.shares);
        let (layout, history) = (&self.layout, &self.state.history);
        let drawn = self.state.water.unmetered_inflow(layout, history, bin, &mut features);
        let input = Input {
            bin,
            features: &features,
            volume_m3: self.layout.water_volume_m3,
            slow_scan: is_slow(&self.layout, &self.state.history),
            judging: Judging::Teaching,
            may_drain: false,
        };
        self.state.balance.observe(settings, &input);
        learn_shares(&mut self.state.water.shares, &self.layout, &self.state.history, &features);
        self.learn_seasons(&features, self.steam_load(false));
        let quiet = Suspicion::default();
        self.state.places.learn(&self.layout, &self.state.history, bin, &features, quiet);
        if let Some(drawn) = drawn {
            self.state.water.night.observe(settings, bin, &drawn, false);
        }
    }

    /// Takes the quarter hour that ended.
    pub(super) fn close_water(&mut self, settings: &DetectSettings, bin: i64, emit: &mut Emitter<'_>) {
        let mut features = features(&self.layout, &self.state.live, &self.state.water.shares);
        let (layout, live) = (&self.layout, &self.state.live);
        let drawn = self.state.water.unmetered_inflow(layout, live, bin, &mut features);
        let judging = self.judging(&features, emit.now());
        self.watch_seasons(bin, &features, self.steam_load(true), emit.now());
        let input = Input {
            bin,
            features: &features,
            volume_m3: self.layout.water_volume_m3,
            slow_scan: is_slow(&self.layout, &self.state.live),
            judging,
            may_drain: self.is_evening(bin) && self.layout.is_open_to_households(),
        };
        let verdicts = self.state.balance.observe(settings, &input);
        learn_shares(&mut self.state.water.shares, &self.layout, &self.state.live, &features);
        // Before anything is said of it: a place is told with this quarter hour's pressures.
        if !self.state.burst.is_on() {
            let balance = &self.state.balance;
            let suspicion = Suspicion { since: balance.suspect_since, leak: balance.leak() };
            self.state.places.learn(&self.layout, &self.state.live, bin, &features, suspicion);
        }
        self.watch_secondaries(settings, bin, emit);
        for (index, verdict) in verdicts.iter().enumerate() {
            // A batch releases many quarter hours at once: of a leak that goes on through them the last word counts.
            let goes_on = matches!(verdicts.get(index + 1), Some(Verdict::Leak(_)));
            if !(goes_on && matches!(verdict, Verdict::Leak(_))) {
                self.say_verdict(settings, bin, verdict, emit);
            }
        }
        self.say_standing(settings, bin, emit);
        if let Some(drawn) = drawn {
            let judges = judging == Judging::All;
            if let Some(night) = self.state.water.night.observe(settings, bin, &drawn, judges) {
                self.say_night(settings, bin, night, emit);
            }
        }
    }

    fn say_night(&mut self, settings: &DetectSettings, bin: i64, night: Night, emit: &mut Emitter<'_>) {
        let inflow = self.state.balance.circulation;
        let finding = match night {
            Night::Leak(leak) => water_findings::night(&self.layout, &leak, inflow, &self.state.water.tanks),
            Night::Over => water_findings::night_over(bin),
        };
        self.say(settings, finding, emit);
    }

    fn watch_secondaries(&mut self, settings: &DetectSettings, bin: i64, emit: &mut Emitter<'_>) {
        let is_evening = self.is_evening(bin);
        let resting = self.resting_secondaries(emit.now());
        let (layout, live) = (&self.layout, &self.state.live);
        let signs = self.state.water.secondaries.observe(settings, layout, live, bin, is_evening, &resting);
        for sign in signs {
            let layout = &self.layout;
            let finding = match sign {
                Sign::Leak { site, since, loss_kg_s, strength } => {
                    water_findings::secondary_leak(layout, site, since, loss_kg_s, strength)
                }
                Sign::LeakOver { site } => {
                    water_findings::over(water_findings::secondary_leak(layout, site, bin, 0.0, 0.0))
                }
                Sign::Draining { site, since, loss_kg_s } => {
                    water_findings::draining_station(layout, site, since, loss_kg_s)
                }
                Sign::DrainingOver { site } => {
                    water_findings::over(water_findings::draining_station(layout, site, bin, 0.0))
                }
            };
            self.say(settings, finding, emit);
        }
    }

    /// A leak of the primary is pinned on an exchanger where its secondary says so; from then on that stands.
    /// `None` while its incident waits for its next update: to rank a city's pipes is dear.
    fn loss_finding(
        &mut self,
        settings: &DetectSettings,
        bin: i64,
        leak: &Leak,
        now: AppendTime,
    ) -> Option<Finding> {
        let water = &mut self.state.water;
        let known = water.exchanger;
        water.exchanger = known.or_else(|| water.secondaries.leaking_exchanger(leak.onset_bin, bin));
        let step = leak.step.map(|step| step.onset_bin);
        let is_step_told = step == std::mem::replace(&mut water.told_step, step);
        if is_step_told && known == water.exchanger && self.state.book.has_fresh_leak(settings, now) {
            return None;
        }
        let mut finding = match self.state.water.exchanger {
            Some(site) => water_findings::exchanger_leak(&self.layout, site, leak),
            None => findings::leak(&self.layout, &self.state.places, leak, self.state.balance.circulation),
        };
        let until_us = bin_start_us(bin + 1);
        finding.lacked.extend(lacked::silent(&self.layout, &self.state.trackers, until_us));
        Some(finding)
    }

    fn judging(&mut self, features: &Features, now: AppendTime) -> Judging {
        let season = self.season(now);
        let before = std::mem::replace(&mut self.state.water.season, season);
        if !season::keeps_baseline(before, season) {
            self.begin_account();
        }
        let usual = self.state.balance.circulation;
        let share = |flow: f64| flow / usual;
        let known = usual > 0.0 && season == SeasonState::Heating;
        self.state.water.suggested = known
            .then(|| {
                season::suggested(
                    features.supply.map(share),
                    features.make_up.filter(|_| features.metering.is_mass()).map(share),
                    features.source_supply_celsius,
                )
            })
            .flatten();
        if self.state.water.suggested.is_some_and(is_pausing) {
            return Judging::Nothing;
        }
        season::judging(season)
    }

    fn is_evening(&self, bin: i64) -> bool {
        self.layout.zone_hours.is_some_and(|offset| {
            let hour = (bin.div_euclid(4) + offset).rem_euclid(24);
            EVENING_HOURS.contains(&hour)
        })
    }

    fn say_verdict(
        &mut self,
        settings: &DetectSettings,
        bin: i64,
        verdict: &Verdict,
        emit: &mut Emitter<'_>,
    ) {
        let layout = &self.layout;
        let finding = match verdict {
            Verdict::Leak(leak) => {
                let Some(finding) = self.loss_finding(settings, bin, leak, emit.now()) else { return };
                finding
            }
            Verdict::Over => match self.state.water.exchanger.take() {
                Some(site) => water_findings::exchanger_over(layout, site, bin),
                None => findings::leak_over(bin),
            },
            Verdict::MeterFault { onset_bin, excess_kg_s } => {
                water_findings::make_up_fault(layout, *onset_bin, *excess_kg_s)
            }
            Verdict::MeterWell => water_findings::make_up_well(layout, bin),
            Verdict::Drained { onset_bin, loss_kg_s } => {
                let drained = water_findings::drained(layout, *onset_bin, *loss_kg_s, self.cold_end());
                self.say(settings, drained.clone(), emit);
                water_findings::over(drained)
            }
        };
        self.say(settings, finding, emit);
    }

    /// The station with the coldest secondary return, or supply: where homes are cold, radiators are drained.
    fn cold_end(&self) -> Option<SiteId> {
        let celsius = |role: Role| {
            self.layout
                .of_kind(SiteKind::Station)
                .filter_map(|(_, site)| {
                    let value = self.state.live.mean(site.signal(role)?)?;
                    Some((value, &site.id))
                })
                .min_by(|a, b| a.0.total_cmp(&b.0).then_with(|| a.1.cmp(b.1)))
                .map(|(_, id)| id.clone())
        };
        celsius(Role::SecondaryReturnTemperature).or_else(|| celsius(Role::SupplyTemperature))
    }

    fn say_standing(&mut self, settings: &DetectSettings, bin: i64, emit: &mut Emitter<'_>) {
        let circulation = self.state.balance.circulation;
        let Some(loss) = self.state.balance.standing_loss(settings) else { return };
        let limit = settings.standing_loss_ratio * circulation;
        let said = self.state.water.said_standing;
        let finding = if !said && loss > limit {
            water_findings::standing(&self.layout, bin, loss, circulation)
        } else if said && loss < 0.8 * limit {
            water_findings::over(water_findings::standing(&self.layout, bin, loss, circulation))
        } else {
            return;
        };
        self.state.water.said_standing = !said;
        self.say(settings, finding, emit);
    }
}

fn has_station_meters(layout: &Layout) -> bool {
    let has = |site: &Site, role| site.signal(role).is_some();
    layout
        .of_kind(SiteKind::Station)
        .any(|(_, site)| has(site, Role::SupplyFlow) || has(site, Role::ReturnFlow))
}

fn learn_shares(shares: &mut Shares, layout: &Layout, bins: &Bins, features: &Features) {
    if let Some(supply) = features.supply {
        shares.learn(layout, bins, supply);
    }
}

/// Start of a bin, microseconds since the epoch.
pub(super) const fn bin_start_us(bin: i64) -> i64 {
    bin.saturating_mul(BIN_US)
}
