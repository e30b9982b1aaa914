use std::collections::{BTreeMap, VecDeque};

use heat_model::{
    AppendTime,
    incident::{AlarmState, Change, ChangeKind, Incident, Priority},
};
use heat_view::board::ChangeEntry;

use super::*;
use crate::console::samples;

const MINUTE: i64 = 60_000_000;

fn entry(version: u32, minutes: i64, work: WorkState) -> ChangeEntry {
    ChangeEntry {
        version,
        at: AppendTime::from_micros(minutes * MINUTE),
        change: Change { kind: ChangeKind::WorkMoved, by: format!("user-{version}"), reason: None },
        alarm: AlarmState::Acknowledged,
        work,
        priority: Priority::P1,
    }
}

fn held(work: WorkState, changes: Vec<ChangeEntry>) -> Held {
    let incident = Incident { work, opened: AppendTime::from_micros(0), ..samples::burst() };
    Held { incident, changes: VecDeque::from(changes) }
}

fn step(steps: &[WorkStep], state: WorkState) -> &WorkStep {
    steps.iter().find(|step| step.state == state).unwrap()
}

#[test]
fn a_step_knows_who_reached_it_when_and_whether_that_was_in_time() {
    let changes = vec![
        entry(1, 0, WorkState::AwaitingDispatch),
        entry(2, 5, WorkState::Dispatched),
        entry(3, 90, WorkState::OnSite),
    ];
    let held = held(WorkState::OnSite, changes);
    let steps = steps(&held, &Deadlines::default(), EventTime::from_micros(130 * MINUTE));

    let dispatched = step(&steps, WorkState::Dispatched);
    assert_eq!((dispatched.by.as_deref(), dispatched.late), (Some("user-2"), false));
    // Nobody said "accepted"; being on site implies it.
    assert_eq!(step(&steps, WorkState::Accepted).by.as_deref(), Some("user-3"));
    assert!(step(&steps, WorkState::OnSite).late, "on site after 90 minutes, promised within 60");
    let closed = step(&steps, WorkState::ValvesClosed);
    assert_eq!((closed.reached, closed.late), (None, true));
    assert!(!step(&steps, WorkState::Repaired).late);
}

#[test]
fn a_reopened_incident_begins_its_steps_anew() {
    let changes = vec![
        entry(1, 0, WorkState::Dispatched),
        entry(2, 10, WorkState::Repaired),
        entry(3, 20, WorkState::AwaitingDispatch),
        entry(4, 30, WorkState::Dispatched),
    ];
    let held = held(WorkState::Dispatched, changes);
    let steps = steps(&held, &Deadlines::default(), EventTime::from_micros(40 * MINUTE));
    assert_eq!(step(&steps, WorkState::Dispatched).by.as_deref(), Some("user-4"));
    assert_eq!(step(&steps, WorkState::Repaired).reached, None);
}

#[test]
fn deadlines_of_a_priority_are_replaced_whole_and_faults_name_the_word() {
    let raw = |priority: &str, step: &str, after: &str| {
        BTreeMap::from([(priority.to_owned(), BTreeMap::from([(step.to_owned(), after.to_owned())]))])
    };
    let deadlines = Deadlines::from_raw(&raw("P1", "on_site", "30m")).unwrap();
    let zero = AppendTime::from_micros(0);
    let due = |priority, state| deadlines.due(priority, state, zero).map(EventTime::as_micros);
    assert_eq!(due(Priority::P1, WorkState::OnSite), Some(30 * MINUTE));
    assert_eq!(due(Priority::P1, WorkState::Dispatched), None);
    assert_eq!(due(Priority::P2, WorkState::OnSite), Some(120 * MINUTE));
    for (priority, step, after, named) in [
        ("P0", "on_site", "1h", "P0"),
        ("P1", "coffee", "1h", "coffee"),
        ("P1", "on_site", "soon", "on_site"),
    ] {
        let problem = Deadlines::from_raw(&raw(priority, step, after)).unwrap_err();
        assert!(problem.contains(named), "{problem}");
    }
}
