//! A burst from the votes to its end: what the network looked like before, what is said of it, when it is over.

use super::{Network, findings, lacked};
use crate::{
    DetectSettings,
    bins::BIN_US,
    burst::{Progress, View},
    core::Emitter,
};

/// Seconds between pictures of all references: what a burst is compared with.
const PICTURE_SECONDS: i64 = 60;
/// Pictures kept.
const PICTURES: usize = 3;

impl Network {
    /// Keeps what the references say in calm times.
    pub(super) fn take_picture(&mut self, second: i64, told_us: i64) {
        if second.rem_euclid(PICTURE_SECONDS) == 0 && self.state.burst.open.is_none() {
            if self.state.pictures.len() == PICTURES {
                self.state.pictures.remove(0);
            }
            self.state.pictures.push((told_us, self.picture()));
        }
    }

    pub(super) fn decide(&mut self, settings: &DetectSettings, at_us: i64, emit: &mut Emitter<'_>) {
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

    pub(super) fn say_burst(&mut self, settings: &DetectSettings, emit: &mut Emitter<'_>) {
        let Some(open) = &self.state.burst.open else { return };
        let mut finding = findings::burst(&self.layout, &self.state.places, self.view(), open, emit.now());
        finding.lacked.extend(lacked::silent(&self.layout, &self.state.trackers, open.averaged_until_us()));
        self.say(settings, finding, emit);
    }

    pub(super) fn end_burst(&mut self, at_us: i64) {
        self.state.burst.open = None;
        self.state.balance.pause(at_us.div_euclid(BIN_US));
    }

    pub(super) fn follow_burst(&mut self, settings: &DetectSettings, told_us: i64, emit: &mut Emitter<'_>) {
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
}
