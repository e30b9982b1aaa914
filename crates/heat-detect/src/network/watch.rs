//! The watch over signals, sources, stations and homes, wired into a network.

use heat_model::QualityCode;

use super::{Network, statements};
use crate::{
    DetectSettings,
    bins::{BIN_US, Bins},
    burst,
    core::Emitter,
    layout::Layout,
    network::statements::Statement,
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

    /// Whether other detectors may build on a signal: no fault of it is open.
    #[expect(dead_code, reason = "the water balance asks it next")]
    pub(crate) fn is_trusted(&self, signal: u32) -> bool {
        self.state.quality.is_trusted(signal)
    }

    pub(super) fn watch_minute(&mut self, settings: &DetectSettings, emit: &mut Emitter<'_>) {
        let said = self.state.quality.minute(&self.layout, emit.now().as_micros());
        self.say_all(settings, &said, emit);
    }

    /// A live quarter hour has ended.
    pub(super) fn watch_bin(&mut self, settings: &DetectSettings, bin: i64, emit: &mut Emitter<'_>) {
        let state = &mut self.state;
        let mut said = state.quality.close_bin(&self.layout, &state.trackers, (bin + 1) * BIN_US);
        // A burst moves everything, and nothing of it is a station's or a sensor's own.
        if state.burst.open.is_none() {
            let quarter = quarter(settings, &self.layout, &state.live, bin, true, state.balance.is_leaking());
            said.extend(state.thermal.close_bin(quarter, &mut state.quality));
        }
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
            let finding = statements::finding(&self.state.id, &self.layout, &self.state.keys, statement);
            self.say(settings, finding, emit);
        }
    }
}

fn quarter<'a>(
    settings: &DetectSettings,
    layout: &'a Layout,
    bins: &'a Bins,
    bin: i64,
    judge: bool,
    loses: bool,
) -> Quarter<'a> {
    Quarter { layout, bins, bin, judge, loses, promised: settings.promised_indoor_celsius }
}
