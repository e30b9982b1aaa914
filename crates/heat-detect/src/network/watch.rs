//! The watch over signals, sources, stations and homes, wired into a network.

use std::collections::BTreeMap;

use heat_model::{QualityCode, plant::SiteKind, record::Forecast};

use super::{Network, statements};
use crate::{
    DetectSettings, DetectorState, DetectorStatus,
    bins::{BIN_US, Bins},
    budget::{Budget, Test},
    burst,
    core::Emitter,
    layout::Layout,
    network::statements::{Statement, Telling},
    quality::{Quality, nature::may_stand_still},
    thermal::Quarter,
};

impl Network {
    /// A live reading has come, whatever it says.
    pub(crate) fn arrived(&mut self, signal: u32, now_us: i64) {
        self.state.quality.arrived(signal, now_us);
    }

    /// A reading carries a wrong time.
    pub(crate) fn clock_marked(&mut self, signal: u32, code: QualityCode, now_us: i64) {
        let device = self.layout.placed[signal as usize].device;
        self.state.quality.clock_marked(device, code, now_us);
    }

    /// Whether a value is a measurement at all.
    pub(super) fn admit(&mut self, signal: u32, at_us: i64, value: f64) -> bool {
        let placed = self.layout.placed[signal as usize];
        let tracker = &self.state.trackers[signal as usize];
        let prior = burst::prior(placed, tracker.reference, self.state.circulation);
        self.state.quality.admit(signal, placed.role, at_us, value, tracker, prior)
    }

    /// Whether other detectors leave a signal out because it has an open fault. A source's level that is merely off stays
    /// in: the water balance weighs its meters against one another, and would be blind without them.
    pub(super) fn is_aside(&self, signal: u32) -> bool {
        is_aside(&self.layout, &self.state.quality, signal)
    }

    /// A forecast of the outdoor temperature has come.
    pub(crate) fn forecast(&mut self, forecast: &Forecast) {
        let ahead = forecast.outdoor_celsius.iter().map(|(at, celsius)| (at.as_micros(), *celsius));
        self.state.thermal.forecast(forecast.issued.as_micros(), ahead);
    }

    /// What temperatures and their sensors can be judged by.
    pub(super) fn thermal_status(&self) -> Vec<DetectorStatus> {
        let thermal = &self.state.thermal;
        let status = |detector: &str, state| DetectorStatus { detector: detector.to_owned(), state };
        let lacking = |signals: Vec<String>| DetectorState::Lacking { signals };
        let mut all = Vec::new();
        if let Some((stations, known, seconds_left)) = thermal.readiness() {
            let state = if stations > 0 && known == 0 {
                DetectorState::Learning { seconds_left }
            } else {
                DetectorState::Ready
            };
            all.push(status("thermal", state));
        }
        match thermal.loops() {
            (true, false) => {
                all.push(status("hunting", lacking(vec!["valve_opening every five minutes".to_owned()])));
            }
            (true, true) => all.push(status("hunting", DetectorState::Ready)),
            (false, _) => {}
        }
        let alone = self.without_redundancy();
        if !alone.is_empty() {
            all.push(status("sensor_bias", lacking(alone)));
        }
        all
    }

    /// Names of measured signals whose level no other signal tells, with how many there are.
    fn without_redundancy(&self) -> Vec<String> {
        let told = self.state.thermal.told_signals(&self.layout);
        if told.is_empty() {
            return Vec::new();
        }
        let mut alone: BTreeMap<&str, usize> = BTreeMap::new();
        for (signal, (placed, key)) in (0_u32..).zip(self.layout.placed.iter().zip(&self.state.keys)) {
            let is_measured =
                placed.role.is_temperature() || placed.role.is_flow() || placed.role.is_pressure();
            if is_measured && !may_stand_still(placed.role) && told.binary_search(&signal).is_err() {
                *alone.entry(key.name.as_str()).or_default() += 1;
            }
        }
        alone.into_iter().map(|(name, count)| format!("second witness of {name} ({count})")).collect()
    }

    pub(super) fn watch_minute(&mut self, settings: &DetectSettings, emit: &mut Emitter<'_>) {
        let said = self.state.quality.minute(&self.layout, emit.now().as_micros());
        self.say_all(settings, &said, emit);
    }

    /// A live quarter hour has ended.
    pub(super) fn watch_bin(&mut self, settings: &DetectSettings, bin: i64, emit: &mut Emitter<'_>) {
        let heats = self.heats(emit.now());
        let state = &mut self.state;
        let mut said = state.quality.close_bin(&self.layout, &state.trackers, (bin + 1) * BIN_US);
        // A burst moves everything, and so does a network that is being filled, heated up or shut down: nothing of it is
        // a station's or a sensor's own.
        if !heats {
            said.extend(state.thermal.rest(&self.layout, bin, &mut state.quality));
        } else if !state.burst.is_on() {
            let quarter = quarter(settings, &self.layout, &state.live, bin, true, state.balance.is_leaking());
            said.extend(state.thermal.close_bin(quarter, &mut state.quality));
        }
        let (layout, quality) = (&self.layout, &state.quality);
        state.live.set_aside(|signal| is_aside(layout, quality, signal));
        self.say_all(settings, &said, emit);
    }

    /// A quarter hour of history teaches and says nothing.
    pub(super) fn learn_bin(&mut self, settings: &DetectSettings, bin: i64) {
        let state = &mut self.state;
        let quarter = quarter(settings, &self.layout, &state.history, bin, false, false);
        let said = state.thermal.close_bin(quarter, &mut state.quality);
        debug_assert!(said.is_empty(), "history is not judged");
    }

    fn say_all(&mut self, settings: &DetectSettings, said: &[Statement], emit: &mut Emitter<'_>) {
        for statement in said {
            let mut finding = statements::finding(&self.state.id, &self.layout, &self.state.keys, statement);
            finding.affected_households = self.layout.homes.of(&finding.affected);
            // What late data show waits like anything else of theirs, and is then told by itself.
            let is_in_time = !self.state.arrival.is_behind(settings.lateness_us());
            let book = &mut self.state.book;
            match statement.telling {
                Telling::Further => book.adds_up(&finding, emit),
                Telling::Again if finding.active && is_in_time && book.resume(&finding, emit) => {}
                Telling::Over => {
                    book.note_sums(&finding, emit);
                    self.say(settings, finding, emit);
                }
                Telling::Again | Telling::Anew => self.say(settings, finding, emit),
            }
        }
    }
}

fn is_aside(layout: &Layout, quality: &Quality, signal: u32) -> bool {
    let placed = layout.placed[signal as usize];
    if quality.is_frozen(placed.site) {
        return true;
    }
    let is_source = layout.sites[placed.site as usize].kind == SiteKind::Source;
    if is_source { quality.is_blind(signal) } else { !quality.is_trusted(signal) }
}

fn quarter<'a>(
    settings: &DetectSettings,
    layout: &'a Layout,
    bins: &'a Bins,
    bin: i64,
    judge: bool,
    loses: bool,
) -> Quarter<'a> {
    let per_month = Budget::of(settings).share(Test::Thermal);
    Quarter { layout, bins, bin, judge, loses, promised: settings.promised_indoor_celsius, per_month }
}
