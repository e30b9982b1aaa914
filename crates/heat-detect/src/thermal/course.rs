//! What becomes of what was said of a station: it lasts and costs, it is over, it comes back, heating ends.
//!
//! What comes back within [`AGAIN_BINS`] is the same matter, whether it comes and goes or a repair did not hold: its
//! incident is opened again, so that a fault that comes every night is one line of the list, and none that is back stays
//! "cleared". Then it has to be gone for a day.
//!
//! When heating ends, so does what is the matter with the plant: nothing bears it out any longer, and nothing is lost
//! by it. A sensor stays wrong over the summer, until it is seen right.

use std::collections::BTreeMap;

use heat_model::plant::SiteKind;
use serde::{Deserialize, Serialize};

use super::{
    Thermal,
    bank::{Case, End, LOST_BINS},
    closes,
    costs::{self, Spent},
    relation::REST_BINS,
    say::{self, Kind, Said},
    station::Station,
};
use crate::{
    bins::BIN_US,
    layout::Layout,
    network::statements::{Fact, Statement, Telling},
    quality::Quality,
};

/// What comes again within so many quarter hours is the same matter; the book keeps it for a day longer.
pub(super) const AGAIN_BINS: i64 = 14 * 96;
/// Quarter hours of a day.
const DAY_BINS: i64 = 96;

/// What was over not long ago.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub(super) struct Over {
    bin: i64,
    said: Said,
    spent: Spent,
}

/// What was said of a station, and what it has come to.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Course {
    /// What was said of the cause that is open: its kind must end as it began.
    pub(super) said: Option<Said>,
    spent: Spent,
    /// When its sums are due.
    due_bin: i64,
    /// By rule.
    over: BTreeMap<u8, Over>,
}

fn days(what: &'static str, value: f64) -> Fact {
    Fact { signal: None, what, value, unit: "d" }
}

fn heating_ended(mut statement: Statement) -> Statement {
    statement.telling = Telling::Over;
    statement.facts.insert(0, days("heating_ended", (REST_BINS / DAY_BINS) as f64));
    statement
}

/// A statement that ends what was said, with why.
pub(super) fn ended(mut statement: Statement, end: End) -> Statement {
    statement.telling = Telling::Over;
    if end == End::Lost {
        statement.facts.insert(0, days("not_judged", f64::from(LOST_BINS) / DAY_BINS as f64));
    }
    statement
}

impl Station {
    /// Begins to say a cause: what it was called not long ago, if that is of the same class. The statement, without its
    /// other reasons.
    pub(super) fn begins(&mut self, what: Said, case: Case, site: u32, bin: i64) -> Statement {
        let course = &mut self.course;
        course.over.retain(|_, over| bin - over.bin < AGAIN_BINS);
        let before = course.over.get(&case.rule).filter(|over| over.said.is_like(what)).copied();
        let what = before.map_or(what, |before| before.said);
        course.said = Some(what);
        course.spent = before.map(|before| before.spent).unwrap_or_default();
        course.due_bin = bin + DAY_BINS;
        let mut statement = say::statement(what, site, case.onset_bin * BIN_US, true);
        if before.is_some() {
            statement.telling = Telling::Again;
            self.bank.is_again();
        }
        statement.facts = self.course.spent.facts();
        statement
    }

    /// Adds a quarter hour of what is open, as far as it was measured; its sums, which are told after one, two, four, ..
    /// days.
    pub(super) fn goes_on(&mut self, site: u32, bin: i64) -> Option<Statement> {
        let (what, case) = self.course.said.zip(self.bank.case)?;
        let excess = costs::excess(self, what, bin);
        let cooling = self.context.map_or(0.0, |context| context.cooling);
        self.costs.add(excess, cooling);
        self.course.spent.add(excess);
        let facts = self.course.spent.facts();
        if bin < self.course.due_bin || facts.is_empty() {
            return None;
        }
        self.course.due_bin = bin + (bin - case.onset_bin).max(DAY_BINS);
        let mut statement = say::statement(what, site, case.onset_bin * BIN_US, true);
        statement.telling = Telling::Further;
        statement.facts = facts;
        Some(statement)
    }

    /// Ends what was said, if anything was, with what it has cost.
    pub(super) fn ends(
        &mut self,
        rule: u8,
        end: End,
        site: u32,
        bin: i64,
        quality: &mut Quality,
    ) -> Option<Statement> {
        let said = self.course.said.take()?;
        closes(said, quality);
        let spent = std::mem::take(&mut self.course.spent);
        self.course.over.insert(rule, Over { bin, said, spent });
        let mut statement = say::statement(said, site, (bin + 1) * BIN_US, false);
        statement.facts = spent.facts();
        Some(ended(statement, end))
    }
}

impl Thermal {
    /// A live quarter hour in which the network does not heat. Cases stand still; after [`REST_BINS`] heating has ended.
    pub(crate) fn rest(&mut self, layout: &Layout, bin: i64, quality: &mut Quality) -> Vec<Statement> {
        let since = *self.rests_since.get_or_insert(bin);
        if bin - since < REST_BINS {
            return Vec::new();
        }
        let at_us = (bin + 1) * BIN_US;
        let mut said = Vec::new();
        for (site, station) in &mut self.stations {
            let is_of_plant = matches!(station.course.said, Some(Said::Kind(_)));
            if let Some(case) = station.bank.case.filter(|_| is_of_plant) {
                said.extend(station.ends(case.rule, End::InLine, *site, bin, quality));
                station.bank.dismiss();
            }
            if station.setback.ends() {
                let mut statement = say::statement(Said::Kind(Kind::SetbackLost), *site, at_us, false);
                statement.facts = std::mem::take(&mut station.nights).facts();
                said.push(statement);
            }
        }
        let further = self.further.iter_mut().map(|(_, source)| source);
        let sources = std::iter::once(&mut self.source).chain(further);
        for ((site, _), source) in layout.of_kind(SiteKind::Source).zip(sources) {
            if let Some(Said::Kind(kind)) = source.said {
                source.said = None;
                source.bank.dismiss();
                said.push(say::statement(Said::Kind(kind), site, at_us, false));
            }
        }
        if let Some((source, _)) = layout.of_kind(SiteKind::Source).next() {
            let plan = self.plan_said.take();
            let short = self.reserve.ends().then_some(Kind::CapacityReserve);
            let ended = plan.into_iter().chain(short);
            said.extend(ended.map(|kind| say::statement(Said::Kind(kind), source, at_us, false)));
        }
        let hunts = self.hunting.end_all().into_iter();
        let site_of = |signal: u32| layout.placed[signal as usize].site;
        said.extend(
            hunts.map(|signal| say::statement(Said::Kind(Kind::Hunting), site_of(signal), at_us, false)),
        );
        said.extend(self.homes.end_all(at_us));
        said.into_iter().map(heating_ended).collect()
    }
}
