//! The steam of a network, quarter hour by quarter hour: when it is judged, and what its account's signs become.

use heat_model::{
    AppendTime, EventTime, SignalId,
    incident::{Class, Evidence},
    plant::SiteKind,
};

use super::{
    Network,
    findings::{empty, leak_class},
    water::bin_start_us,
};
use crate::{
    DetectSettings, DetectorState, DetectorStatus, Finding,
    balance::Judging,
    core::Emitter,
    incidents::{CONDENSATE, STEAM},
    season,
    steam::{Cause, Loss, Part, Readiness, Sign, Steam, Taking},
};

const DETECTOR: &str = "steam_balance";

impl Network {
    /// The load of the lower open bin of a lane, kg/s.
    pub(super) fn steam_load(&self, live: bool) -> Option<f64> {
        Steam::load(&self.layout, if live { &self.state.live } else { &self.state.history })
    }

    /// What back-filled data teach.
    pub(super) fn teach_steam(&mut self, settings: &DetectSettings, bin: i64) {
        let state = &mut self.state;
        let taking = Taking { settings, layout: &self.layout, bins: &state.history, bin, judges: false };
        let signs = state.steam.observe(taking);
        debug_assert!(signs.is_empty(), "history is not judged");
    }

    /// Takes the quarter hour that ended.
    pub(super) fn close_steam(&mut self, settings: &DetectSettings, bin: i64, emit: &mut Emitter<'_>) {
        // Pipes that are heated up or cool down condense what is metered nowhere.
        if season::judging(self.steam_season(emit.now())) != Judging::All {
            return;
        }
        let state = &mut self.state;
        let taking = Taking { settings, layout: &self.layout, bins: &state.live, bin, judges: true };
        for sign in state.steam.observe(taking) {
            let (loss, active) = match sign {
                Sign::Off(loss) => (loss, true),
                Sign::Over(loss) => (loss, false),
            };
            let finding = self.steam_finding(&loss, active);
            self.say(settings, finding, emit);
        }
    }

    fn steam_finding(&self, loss: &Loss, active: bool) -> Finding {
        let layout = &self.layout;
        let onset = EventTime::from_micros(bin_start_us(loss.onset_bin()));
        let kind = match loss.part {
            Part::Steam => STEAM,
            Part::Condensate => CONDENSATE,
        };
        let source = layout.of_kind(SiteKind::Source).map(|(_, site)| site).find(|site| site.feed.is_some());
        let source = source.or_else(|| layout.of_kind(SiteKind::Source).map(|(_, site)| site).next());
        let evidence = |what: &str, value: f64, unit: &str| Evidence {
            detector: DETECTOR.to_owned(),
            place: source.map_or_else(String::new, |site| site.id.as_str().to_owned()),
            what: what.to_owned(),
            value,
            unit: unit.to_owned(),
            at: onset,
        };
        let mut finding = match loss.cause {
            Cause::Lost(station) => {
                let class = leak_class(loss.abrupt);
                let mut finding = empty(DETECTOR, class, onset, layout.level());
                finding.kind = Some(kind.to_owned());
                finding.loss_kg_s = Some(loss.loss_kg_s);
                if let Some(id) = station.map(|site| &layout.sites[site as usize].id) {
                    finding.place = Some(id.as_str().to_owned());
                    finding.affected.push(id.clone());
                }
                if !loss.confirmed {
                    finding.lacked.push("boiler_feed".to_owned());
                }
                finding
            }
            Cause::Meter(signal) => {
                let mut finding = empty(DETECTOR, Class::SensorFault, onset, layout.level());
                finding.kind = Some("bias".to_owned());
                let key = &self.state.keys[signal as usize];
                let id = SignalId {
                    network: self.state.id.clone(),
                    site: key.site.clone(),
                    device: key.device.clone(),
                    name: key.name.clone(),
                };
                finding.place = Some(id.to_string());
                finding
            }
        };
        finding.active = active;
        finding.strength = loss.strength;
        let what = match loss.part {
            Part::Steam => "steam_unaccounted",
            Part::Condensate => "condensate_missing",
        };
        finding.evidence.push(evidence(what, loss.loss_kg_s, "kg/s"));
        if let Some((usual, lately)) = loss.returned {
            finding.evidence.push(evidence("condensate_return", lately, "1"));
            finding.evidence.push(evidence("condensate_return_usual", usual, "1"));
        }
        finding
    }

    /// What the steam account can judge; nothing is said where no source sends metered steam.
    pub(super) fn steam_status(&self, settings: &DetectSettings, now: AppendTime) -> Option<DetectorStatus> {
        let season = self.steam_season(now);
        let state = match self.state.steam.readiness(settings, &self.layout) {
            Readiness::NoSteam => return None,
            _ if season::judging(season) != Judging::All => {
                DetectorState::OutOfSeason { season, suggested: false }
            }
            Readiness::Lacking => DetectorState::Lacking {
                signals: vec!["steam_flow by mass at stations".to_owned(), "condensate_flow".to_owned()],
            },
            Readiness::Learning(seconds_left) => DetectorState::Learning { seconds_left },
            Readiness::Ready => DetectorState::Ready,
        };
        Some(DetectorStatus { detector: DETECTOR.to_owned(), state })
    }
}
