//! What the detectors of a network can judge, told when it changes.

use heat_model::{AppendTime, plant::SiteKind};

use super::Network;
use crate::{
    DetectSettings, DetectorState, DetectorStatus, NetworkStatus, Output, behaviour, core::Emitter,
    layout::Role, tickets,
};

impl Network {
    pub(super) fn say_status(&mut self, settings: &DetectSettings, emit: &mut Emitter<'_>) {
        let detectors = self.status(settings, emit.now());
        let seasons = self.suggested_seasons(emit.now());
        // Time left to learn is no news; that it learns is.
        let same = self.state.said_status.len() == detectors.len()
            && self.state.said_status.iter().zip(&detectors).all(|(old, new)| {
                matches!(
                    (&old.state, &new.state),
                    (DetectorState::Learning { .. }, DetectorState::Learning { .. })
                ) || old.state == new.state
            });
        if same && self.state.said_seasons == seasons {
            return;
        }
        self.state.said_status.clone_from(&detectors);
        self.state.said_seasons.clone_from(&seasons);
        let status = NetworkStatus {
            network: self.state.id.clone(),
            at: emit.now(),
            level: self.layout.level(),
            detectors,
            seasons,
        };
        emit.push(|_, _, _| Output::Status(status));
    }

    /// What the detectors can judge, in a fixed order.
    pub(crate) fn status(&self, settings: &DetectSettings, now: AppendTime) -> Vec<DetectorStatus> {
        let has = |kind: SiteKind, role: Role| {
            self.layout.of_kind(kind).any(|(_, site)| {
                site.signal(role).is_some_and(|signal| self.state.trackers[signal as usize].seen)
            })
        };
        let make_up = [Role::MakeUpFlow, Role::MakeUpVolume, Role::MakeUpPumpRunning]
            .into_iter()
            .any(|role| has(SiteKind::Source, role))
            || (has(SiteKind::Source, Role::MakeUpTankLevel) && !self.layout.stores_water());
        let imbalance = has(SiteKind::Source, Role::SupplyFlow) && has(SiteKind::Source, Role::ReturnFlow);
        let left = self.state.balance.learning_left_s(settings);
        let balance = if let Some((season, suggested)) = self.state.water.pausing_season() {
            DetectorState::OutOfSeason { season, suggested }
        } else if !make_up && !imbalance {
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
        let ready_with = |has: bool, signal: &str| {
            if has {
                DetectorState::Ready
            } else {
                DetectorState::Lacking { signals: vec![signal.to_owned()] }
            }
        };
        let source_pressures =
            has(SiteKind::Source, Role::SupplyPressure) && has(SiteKind::Source, Role::ReturnPressure);
        let moves = source_pressures || has(SiteKind::Source, Role::SupplyFlow);
        let outdoor = self.layout.sites.iter().any(|site| {
            let signal = site.signal(Role::OutdoorTemperature);
            signal.is_some_and(|signal| self.state.trackers[signal as usize].seen)
        });
        let (models, judging) = self.state.behaviour.readiness();
        let behaviour = if models == 0 {
            DetectorState::Lacking { signals: vec!["three signals of one site".to_owned()] }
        } else if judging == 0 {
            let seconds_left = self.state.behaviour.learning_left_s().unwrap_or_default();
            DetectorState::Learning { seconds_left }
        } else {
            DetectorState::Ready
        };
        let mut all = vec![
            DetectorStatus { detector: "burst".to_owned(), state: burst },
            DetectorStatus { detector: "water_balance".to_owned(), state: balance },
            DetectorStatus { detector: "circulation".to_owned(), state: ready_with(moves, "supply_flow") },
            DetectorStatus {
                detector: "pressure_regime".to_owned(),
                state: ready_with(drops, "supply_pressure"),
            },
            DetectorStatus {
                detector: "frost".to_owned(),
                state: ready_with(outdoor, "outdoor_temperature"),
            },
            DetectorStatus { detector: behaviour::DETECTOR.to_owned(), state: behaviour },
            DetectorStatus { detector: tickets::DETECTOR.to_owned(), state: self.tickets_state() },
        ];
        all.extend(self.night_status(make_up || imbalance));
        all.extend(self.steam_status(settings, now));
        all.extend(self.thermal_status());
        all
    }

    pub(crate) fn now_status(&self, settings: &DetectSettings, now: AppendTime) -> NetworkStatus {
        NetworkStatus {
            network: self.state.id.clone(),
            at: now,
            level: self.layout.level(),
            detectors: self.status(settings, now),
            seasons: self.suggested_seasons(now),
        }
    }
}
