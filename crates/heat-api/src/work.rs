//! What became of each step of repair work.

use heat_model::{EventTime, incident::WorkState};
use heat_view::board::{Held, is_cleared};
pub use heat_view::work::{Deadlines, STEPS, work_word};
use serde::{Deserialize, Serialize};

use crate::json::ApiTime;

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

#[cfg(test)]
mod tests;
