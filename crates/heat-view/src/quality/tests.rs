use heat_model::{EventTime, IncidentId, record::Origin};

use super::*;
use crate::board::BoardSettings;

const HOUR: i64 = 3_600_000_000;
/// Long after 1970, so that every window lies after it.
const NOW: AppendTime = AppendTime::from_micros(10_000 * HOUR);

fn raised(number: u64, hours_ago: i64, priority: Priority, alarm: AlarmState) -> Incident {
    let network: NetworkId = "town".parse().unwrap();
    let origin = Origin { gateway: "g".parse().unwrap(), epoch: 1, seq: number };
    let opened = AppendTime::from_micros(NOW.as_micros() - hours_ago * HOUR);
    Incident {
        version: 1,
        priority,
        alarm,
        cleared: (alarm == AlarmState::Cleared).then_some(opened),
        place: Some(format!("p{number}")),
        strength: 1.0,
        ..Incident::new(
            IncidentId::derive(&network, &origin, 0),
            network,
            Class::Burst,
            EventTime::from_micros(opened.as_micros()),
            opened,
        )
    }
}

fn quality(incidents: &[Incident]) -> AlarmQuality {
    let mut board = IncidentBoard::new(BoardSettings::default());
    for incident in incidents {
        board.apply_state(incident);
    }
    AlarmQuality::of(&board, NOW)
}

fn only(counts: &BTreeMap<NetworkId, u64>) -> u64 {
    assert!(counts.len() <= 1);
    counts.values().sum()
}

#[test]
fn raised_incidents_count_in_every_window_that_reaches_back_to_them() {
    let state = AlarmState::Cleared;
    let ages = [0, 0, 5, 30, 24 * 29, 24 * 31];
    let incidents: Vec<_> =
        (0..).zip(ages).map(|(number, age)| raised(number, age, Priority::P3, state)).collect();

    let quality = quality(&incidents);

    let counts = quality.raised.values().next().unwrap();
    assert_eq!(*counts, [2, 2, 3, 5]);
    assert!(!quality.is_flood);
}

#[test]
fn more_than_ten_pages_in_ten_minutes_are_a_flood_and_lists_are_none() {
    for (priority, is_flood) in [(Priority::P1, true), (Priority::P3, false)] {
        let ten: Vec<_> = (0..10).map(|n| raised(n, 0, priority, AlarmState::Unacknowledged)).collect();
        assert!(!quality(&ten).is_flood);
        let eleven: Vec<_> = (0..11).map(|n| raised(n, 0, priority, AlarmState::Unacknowledged)).collect();
        assert_eq!(quality(&eleven).is_flood, is_flood, "{priority:?}");
    }
}

#[test]
fn the_same_place_three_times_a_day_chatters_and_three_places_do_not() {
    let mut incidents: Vec<_> = (0..3).map(|n| raised(n, 2, Priority::P2, AlarmState::Cleared)).collect();
    assert_eq!(only(&quality(&incidents).chattering), 0);
    for incident in &mut incidents {
        incident.place = Some("p7".to_owned());
    }
    assert_eq!(only(&quality(&incidents).chattering), 1);
}

#[test]
fn an_alarm_stands_after_a_day_unless_it_is_shelved() {
    let active = raised(1, 25, Priority::P3, AlarmState::Acknowledged);
    let young = raised(2, 23, Priority::P3, AlarmState::Unacknowledged);
    let shelved = raised(3, 25, Priority::P3, AlarmState::Shelved);
    assert_eq!(only(&quality(&[active, young, shelved]).standing), 1);
}

#[test]
fn a_page_cleared_without_a_repair_is_unconfirmed_and_a_repaired_one_is_not() {
    let mut repaired = raised(1, 5, Priority::P1, AlarmState::Cleared);
    repaired.work = WorkState::Closed;
    let silent = raised(2, 5, Priority::P1, AlarmState::Cleared);
    let listed = raised(3, 5, Priority::P4, AlarmState::Cleared);
    let open = raised(4, 5, Priority::P1, AlarmState::Acknowledged);
    let old = raised(5, 24 * 31, Priority::P1, AlarmState::Cleared);
    assert_eq!(only(&quality(&[repaired, silent, listed, open, old]).unconfirmed), 1);
}
