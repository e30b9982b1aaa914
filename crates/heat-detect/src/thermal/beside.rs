//! What is judged beside the relations of a site: hunting control, lost set-backs, plan and reserve of the sources.

use heat_model::plant::SiteKind;

use super::{
    Thermal,
    hunting::Hunting,
    reserve::{Change, Delivered},
    say::{self, Kind, Said},
    setback::Night,
    values::{Means, Readings, Surround},
};
use crate::{
    bins::BIN_US,
    layout::{Layout, Role, Site},
    network::statements::{Fact, Statement, Telling},
};

/// Stations that lose their set-back in one night were told to, from this share of those that have one on, and two at
/// least.
const COMMON_NIGHT_SHARE: f64 = 0.4;

impl Thermal {
    /// Takes a live value of a signal that shows how control moves.
    pub(crate) fn moved(&mut self, signal: u32, role: Role, at_us: i64, value: f64) {
        if Hunting::uses(role) {
            self.hunting.take(signal, role, at_us, value);
        }
    }

    /// Whether there are control loops, and whether any is read often enough for hunting to be judged.
    pub(crate) fn loops(&self) -> (bool, bool) {
        (self.hunting.has_any(), self.hunting.is_judging())
    }

    /// Takes a forecast of the outdoor temperature: microseconds and degC.
    pub(crate) fn forecast(&mut self, issued_us: i64, ahead: impl Iterator<Item = (i64, f64)>) {
        self.reserve.forecast(issued_us, ahead);
    }

    pub(super) fn judge_reserve(
        &mut self,
        layout: &Layout,
        bin: i64,
        delivered: Delivered,
        said: &mut Vec<Statement>,
    ) {
        let changes = self.reserve.judge(bin, delivered);
        let Some((index, _)) = layout.of_kind(SiteKind::Source).next() else { return };
        for change in changes {
            let watts = |what, value| Fact { signal: None, what, value, unit: "W" };
            // A source that ceases to be off its plan does so as it began.
            let (kind, active, strength, facts) = match change {
                Change::OffPlan { delivered, planned } => {
                    let kind = if delivered < planned { Kind::BelowPlan } else { Kind::AbovePlan };
                    let facts = vec![watts("heat_delivered", delivered), watts("heat_planned", planned)];
                    self.plan_said = Some(kind);
                    (kind, true, (delivered / planned - 1.0).abs(), facts)
                }
                Change::OnPlan => {
                    let Some(kind) = self.plan_said.take() else { continue };
                    (kind, false, 0.0, Vec::new())
                }
                Change::Short { needed, available, celsius } => {
                    let day = Fact { signal: None, what: "coldest_day", value: celsius, unit: "degC" };
                    let facts = vec![watts("heat_needed", needed), watts("heat_available", available), day];
                    (Kind::CapacityReserve, true, needed / available, facts)
                }
                Change::Enough => (Kind::CapacityReserve, false, 0.0, Vec::new()),
            };
            let mut statement = say::statement(Said::Kind(kind), index, (bin + 1) * BIN_US, active);
            statement.strength = strength;
            statement.facts = facts;
            said.push(statement);
        }
    }

    pub(super) fn judge_hunting(&mut self, layout: &Layout, at_us: i64, said: &mut Vec<Statement>) {
        for hunt in self.hunting.judge(layout, at_us) {
            let site = layout.placed[hunt.signal as usize].site;
            let mut statement = say::statement(Said::Kind(Kind::Hunting), site, hunt.since_us, hunt.active);
            statement.telling = Telling::Again;
            statement.strength = hunt.turns_by_hour;
            statement.facts.push(Fact {
                signal: Some(hunt.signal),
                what: "turns_by_hour",
                value: hunt.turns_by_hour,
                unit: "1",
            });
            said.push(statement);
        }
    }

    /// Takes a quarter hour into the stations' nights.
    pub(super) fn judge_nights(
        &mut self,
        surround: &Surround,
        readings: &[(u32, Readings)],
        said: &mut Vec<Statement>,
    ) {
        let mut nights: Vec<(u32, Night)> = Vec::new();
        for (site, own) in readings {
            let Some(station) = self.station_mut(*site) else { continue };
            let outdoor = surround.outdoor.map(|(now, _)| now);
            nights.extend(
                station.setback.take(surround.bin, own.secondary_supply, outdoor).map(|night| (*site, night)),
            );
        }
        let with_one = nights.iter().filter(|(_, night)| *night != Night::Unknown).count();
        let lost = nights.iter().filter(|(_, night)| matches!(night, Night::Lost { .. })).count();
        let is_common = lost >= 2 && lost as f64 >= COMMON_NIGHT_SHARE * with_one as f64;
        for (site, night) in nights {
            let Some(station) = self.station_mut(site) else { continue };
            let change = station.setback.follow(night, is_common);
            let excess = night.warmer() * station.usual_heat();
            if station.setback.said && excess > 0.0 {
                station.costs.add_heat(excess * 86_400.0);
                station.nights.add_heat(excess * 86_400.0);
            }
            let Some(active) = change else { continue };
            let at_us = surround.bin * BIN_US;
            let mut statement = say::statement(Said::Kind(Kind::SetbackLost), site, at_us, active);
            if let (Night::Lost { usual, depth, .. }, true) = (night, active) {
                statement.telling = Telling::Again;
                statement.strength = usual - depth;
                let fact = |what, value, unit| Fact { signal: None, what, value, unit };
                statement.facts = vec![fact("setback_usual", usual, "K"), fact("setback_left", depth, "K")];
                statement.facts.extend((excess > 0.0).then(|| fact("excess_heat", excess, "W")));
            } else {
                statement.telling = Telling::Over;
                statement.facts = std::mem::take(&mut station.nights).facts();
            }
            said.push(statement);
        }
    }
}

/// What all sources deliver together, and should and could.
pub(super) fn delivered(means: Means<'_>) -> Delivered {
    let sources = || means.layout.of_kind(SiteKind::Source).map(|(_, site)| site);
    let sum = |of: &dyn Fn(&Site) -> Option<f64>| sources().map(of).reduce(|a, b| Some(a? + b?)).flatten();
    let heat = |site: &Site| {
        let own = Readings::of(means, site);
        own.power.or(own.heat)
    };
    Delivered {
        heat: sum(&heat),
        planned: sum(&|site| means.of(site, Role::PlannedHeatPower)),
        available: sum(&|site| means.of(site, Role::AvailableHeatPower)),
    }
}
