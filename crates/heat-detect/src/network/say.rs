//! From findings to the book: at once, or, from late data, when they have caught up.

use heat_model::incident::Class;

use super::Network;
use crate::{DetectSettings, Finding, core::Emitter};

impl Network {
    /// Makes a finding known; news from late data, when they have caught up.
    pub(super) fn say(&mut self, settings: &DetectSettings, mut finding: Finding, emit: &mut Emitter<'_>) {
        finding.affected_households = self.layout.homes.of(&finding.affected);
        let now_us = emit.now().as_micros();
        let behind_us = now_us - self.state.arrival.told_until(now_us, settings.lateness_us());
        let mut late_us = (behind_us > settings.lateness_us()).then_some(behind_us);
        if finding.class == Class::Burst
            && let Some(open) = self.state.burst.of(finding.onset)
        {
            late_us = open.late_us;
        }
        let late_us = late_us.filter(|_| self.state.book.is_news(&finding, emit.now()));
        if let Some(finding) = self.state.arrival.hold(finding, late_us, now_us) {
            self.state.book.apply(settings, &self.state.id, finding, emit);
        }
    }

    /// Says what was held, where the wait is over.
    pub(super) fn say_held(&mut self, settings: &DetectSettings, emit: &mut Emitter<'_>) {
        if !self.state.arrival.has_held() {
            return;
        }
        let now_us = emit.now().as_micros();
        let lateness_us = settings.lateness_us();
        let voters_lag = self.state.burst.open.iter().any(|open| {
            open.late_us.is_some() && now_us - open.voters_until_us(&self.state.trackers) > lateness_us
        });
        let has_caught_up = !voters_lag && !self.state.arrival.is_behind(lateness_us);
        for mut finding in self.state.arrival.take_due(has_caught_up, emit.now()) {
            if finding.class == Class::Burst
                && let Some(open) = self.state.burst.of(finding.onset)
            {
                open.late_us = None;
                if open.is_gone() {
                    finding.active = false;
                    self.end_burst(finding.onset, now_us);
                }
            }
            finding.active &= self.state.pressure.still_shows(&finding);
            if finding.active {
                self.state.book.apply(settings, &self.state.id, finding, emit);
            } else {
                self.state.book.note_past(settings, &self.state.id, finding, emit);
            }
        }
    }
}
