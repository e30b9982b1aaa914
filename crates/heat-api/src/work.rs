//! When repair work is due, and what became of each step.

use std::{collections::BTreeMap, time::Duration};

use heat_model::{
    AppendTime, EventTime,
    incident::{Priority, WorkState},
};
use heat_runtime::config::parse_duration;
use heat_view::board::{Held, is_cleared};
use serde::{Deserialize, Serialize};

use crate::json::ApiTime;

/// The steps of repair work (抢修工单), in order.
pub const STEPS: [WorkState; 10] = [
    WorkState::Dispatched,
    WorkState::Accepted,
    WorkState::OnSite,
    WorkState::ValvesClosed,
    WorkState::Excavating,
    WorkState::Repaired,
    WorkState::Refilled,
    WorkState::Restored,
    WorkState::AwaitingVerification,
    WorkState::Closed,
];

/// The word of a work state in payloads.
pub const fn work_word(state: WorkState) -> &'static str {
    match state {
        WorkState::AwaitingDispatch => "awaiting_dispatch",
        WorkState::Dispatched => "dispatched",
        WorkState::Accepted => "accepted",
        WorkState::OnSite => "on_site",
        WorkState::ValvesClosed => "valves_closed",
        WorkState::Excavating => "excavating",
        WorkState::Repaired => "repaired",
        WorkState::Refilled => "refilled",
        WorkState::Restored => "restored",
        WorkState::AwaitingVerification => "awaiting_verification",
        WorkState::Closed => "closed",
    }
}

/// How soon after an incident's opening a step is due.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Deadlines {
    by_priority: BTreeMap<Priority, BTreeMap<WorkState, Duration>>,
}

impl Default for Deadlines {
    /// What service promises of Chinese utilities commonly say: on site within the hour at a burst, repaired within a
    /// day; slower where nothing runs out.
    fn default() -> Self {
        let minutes = Duration::from_mins;
        let hours = Duration::from_hours;
        let by_priority = [
            (
                Priority::P1,
                BTreeMap::from([
                    (WorkState::Dispatched, minutes(10)),
                    (WorkState::OnSite, hours(1)),
                    (WorkState::ValvesClosed, hours(2)),
                    (WorkState::Repaired, hours(24)),
                ]),
            ),
            (
                Priority::P2,
                BTreeMap::from([
                    (WorkState::Dispatched, minutes(30)),
                    (WorkState::OnSite, hours(2)),
                    (WorkState::Repaired, hours(48)),
                ]),
            ),
            (
                Priority::P3,
                BTreeMap::from([(WorkState::Dispatched, hours(24)), (WorkState::Repaired, hours(14 * 24))]),
            ),
        ];
        Self { by_priority: by_priority.into() }
    }
}

impl Deadlines {
    /// From the configuration; a priority that it names replaces its default whole.
    pub fn from_raw(raw: &BTreeMap<String, BTreeMap<String, String>>) -> Result<Self, String> {
        let mut deadlines = Self::default();
        for (priority, steps) in raw {
            let priority = priority_of(priority)
                .ok_or_else(|| format!("{priority:?} is not a priority: P1, P2, P3 or P4"))?;
            let mut by_step = BTreeMap::new();
            for (step, after) in steps {
                let state = STEPS.into_iter().find(|state| work_word(*state) == step);
                let state = state
                    .ok_or_else(|| format!("{step:?} is not a step: {}", STEPS.map(work_word).join(", ")))?;
                by_step.insert(state, parse_duration(after).map_err(|problem| format!("{step}: {problem}"))?);
            }
            deadlines.by_priority.insert(priority, by_step);
        }
        Ok(deadlines)
    }

    fn due(&self, priority: Priority, state: WorkState, opened: AppendTime) -> Option<EventTime> {
        let after = self.by_priority.get(&priority)?.get(&state)?;
        let after = i64::try_from(after.as_micros()).unwrap_or(i64::MAX);
        Some(EventTime::from_micros(opened.as_micros().saturating_add(after)))
    }
}

/// A step of an incident's repair work.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct WorkStep {
    /// Which.
    pub state: WorkState,
    /// By when it is to be reached; absent where no deadline is set.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub due: Option<ApiTime>,
    /// When it, or a step behind it, was reached.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub reached: Option<ApiTime>,
    /// Who said so.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub by: Option<String>,
    /// Past its deadline and not reached, or reached too late.
    pub late: bool,
}

/// The steps of an incident's repair work at `now`.
pub fn steps(held: &Held, deadlines: &Deadlines, now: EventTime) -> Vec<WorkStep> {
    let incident = &held.incident;
    let step = |state| {
        // A reopened incident begins its steps anew: what counts is the unbroken run of states up to now.
        let reached = (incident.work >= state)
            .then(|| {
                let behind = held.changes.iter().rev().take_while(|entry| entry.work >= state);
                behind.last()
            })
            .flatten();
        let due = deadlines.due(incident.priority, state, incident.opened);
        let at = reached.map(|entry| EventTime::from_micros(entry.at.as_micros()));
        let late = match (due, at) {
            (None, _) => false,
            (Some(due), Some(at)) => at > due,
            (Some(due), None) => now > due && incident.work < state && !is_cleared(incident),
        };
        WorkStep {
            state,
            due: due.map(ApiTime),
            reached: at.map(ApiTime),
            by: reached.map(|entry| entry.change.by.clone()),
            late,
        }
    };
    STEPS.into_iter().map(step).collect()
}

fn priority_of(word: &str) -> Option<Priority> {
    [Priority::P1, Priority::P2, Priority::P3, Priority::P4]
        .into_iter()
        .find(|priority| heat_view::board::priority_word(*priority) == word)
}

#[cfg(test)]
mod tests;
