//! The steps of repair work and when they are due.

use std::{collections::BTreeMap, time::Duration};

use heat_model::{
    AppendTime, EventTime,
    incident::{Priority, WorkState},
    time::parse_duration,
};

use crate::board::priority_word;

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

    /// By when an incident opened then is to reach a step; absent where no deadline is set.
    pub fn due(&self, priority: Priority, state: WorkState, opened: AppendTime) -> Option<EventTime> {
        let after = self.by_priority.get(&priority)?.get(&state)?;
        let after = i64::try_from(after.as_micros()).unwrap_or(i64::MAX);
        Some(EventTime::from_micros(opened.as_micros().saturating_add(after)))
    }
}

fn priority_of(word: &str) -> Option<Priority> {
    [Priority::P1, Priority::P2, Priority::P3, Priority::P4]
        .into_iter()
        .find(|priority| priority_word(*priority) == word)
}
