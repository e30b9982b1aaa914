//! A burst from the votes to its end: what the network looked like before, what is said of it, when it is over.

use heat_model::{AppendTime, EventTime};

use super::{Network, findings, lacked};
use crate::{
    DetectSettings, Finding,
    bins::BIN_US,
    burst::{OpenBurst, Progress, View},
    core::Emitter,
};

/// Seconds between pictures of all references: what a burst is compared with.
const PICTURE_SECONDS: i64 = 60;
/// Pictures kept.
const PICTURES: usize = 3;

impl Network {
    /// Keeps what the references say in calm times.
    pub(super) fn take_picture(&mut self, second: i64, told_us: i64) {
        if second.rem_euclid(PICTURE_SECONDS) == 0 && !self.state.burst.is_settling(told_us) {
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
        let finding = self.burst_finding(&opened, emit.now());
        self.state.burst.open.push(opened);
        self.say(settings, finding, emit);
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

    fn burst_finding(&self, open: &OpenBurst, now: AppendTime) -> Finding {
        let mut finding = findings::burst(&self.layout, &self.state.places, self.view(), open, now);
        finding.lacked.extend(lacked::silent(&self.layout, &self.state.trackers, open.averaged_until_us()));
        finding
    }

    /// The burst that began then is over.
    pub(super) fn end_burst(&mut self, onset: EventTime, at_us: i64) {
        self.state.burst.open.retain(|open| open.onset_us != onset.as_micros());
        if !self.state.burst.is_on() {
            self.state.balance.pause(at_us.div_euclid(BIN_US));
        }
    }

    pub(super) fn follow_bursts(&mut self, settings: &DetectSettings, told_us: i64, emit: &mut Emitter<'_>) {
        let mut rule = std::mem::take(&mut self.state.burst);
        let progress = rule.follow(self.view(), told_us, settings.burst_clear.as_secs_f64());
        self.state.burst = rule;
        let told = |progress: Progress| progress != Progress::None;
        let findings: Vec<(Progress, Finding)> = (self.state.burst.open.iter().zip(progress))
            .filter(|(_, progress)| told(*progress))
            .map(|(open, progress)| (progress, self.burst_finding(open, emit.now())))
            .collect();
        for (progress, mut finding) in findings {
            if progress == Progress::Over {
                finding.active = false;
                self.end_burst(finding.onset, told_us);
            }
            self.say(settings, finding, emit);
        }
    }
}
