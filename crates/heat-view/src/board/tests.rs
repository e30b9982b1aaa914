use heat_model::{
    EventTime,
    incident::{Change, ChangeKind},
    record::Origin,
};

use super::*;

fn incident(number: u64, version: u32, alarm: AlarmState) -> Incident {
    let network: NetworkId = "town".parse().unwrap();
    let origin = Origin { gateway: "g".parse().unwrap(), epoch: 1, seq: number };
    let micros = i64::try_from(number).unwrap() * 1_000_000;
    Incident {
        version,
        alarm,
        updated: AppendTime::from_micros(micros + i64::from(version)),
        cleared: (alarm == AlarmState::Cleared).then(|| AppendTime::from_micros(micros)),
        strength: 1.0,
        ..Incident::new(
            IncidentId::derive(&network, &origin, 0),
            network,
            Class::Burst,
            EventTime::from_micros(micros),
            AppendTime::from_micros(micros),
        )
    }
}

fn event(incident: Incident, kind: ChangeKind) -> IncidentEvent {
    IncidentEvent {
        input_offset: Offset(u64::from(incident.version)),
        ordinal: 0,
        at: incident.updated,
        change: Change { kind, by: "test".to_owned(), reason: None },
        incident,
    }
}

#[test]
fn an_older_version_never_replaces_a_newer_one_but_its_change_is_kept_in_order() {
    let mut board = IncidentBoard::new(BoardSettings::default());
    let newest = incident(1, 3, AlarmState::Acknowledged);

    assert_eq!(board.apply_state(&newest), Applied::Changed);
    let opened = event(incident(1, 1, AlarmState::Unacknowledged), ChangeKind::Opened);
    assert_eq!(board.apply_event(&opened), Applied::Stale);
    let acknowledged = event(newest.clone(), ChangeKind::Acknowledged);
    assert_eq!(board.apply_event(&acknowledged), Applied::Stale);
    assert_eq!(board.apply_event(&opened), Applied::Stale);

    let held = board.get(newest.id).unwrap();
    assert_eq!(held.incident, newest);
    assert_eq!(held.changes.iter().map(|entry| entry.version).collect::<Vec<_>>(), [1, 3]);
}

#[test]
fn the_list_has_open_ones_first_then_priority_then_the_newest() {
    let mut board = IncidentBoard::new(BoardSettings::default());
    let mut low = incident(9, 1, AlarmState::Unacknowledged);
    low.priority = Priority::P4;
    let states = [
        incident(1, 1, AlarmState::Unacknowledged),
        low,
        incident(5, 1, AlarmState::Unacknowledged),
        incident(7, 1, AlarmState::Cleared),
    ];
    for state in &states {
        board.apply_state(state);
    }

    let ids: Vec<_> = board.list(None).map(|incident| incident.id).collect();

    assert_eq!(ids, [states[2].id, states[0].id, states[1].id, states[3].id]);
    let rest: Vec<_> = board.list(Some(ListKey::of(&states[0]))).map(|incident| incident.id).collect();
    assert_eq!(rest, [states[1].id, states[3].id]);
    assert_eq!(board.open().count(), 3);
}

#[test]
fn cleared_incidents_make_room_and_open_ones_beyond_the_bound_are_refused_and_counted() {
    let settings = BoardSettings { open_max: 2, cleared_max: 2, changes_max: 2, networks_max: 1 };
    let mut board = IncidentBoard::new(settings);
    for number in 0..5 {
        board.apply_state(&incident(number, 1, AlarmState::Cleared));
    }
    assert_eq!((board.len(), board.counts().forgotten), (2, 3));
    assert!(board.get(incident(0, 1, AlarmState::Cleared).id).is_none());

    for number in 10..13 {
        board.apply_state(&incident(number, 1, AlarmState::Unacknowledged));
    }
    assert_eq!((board.open().count(), board.counts().refused), (2, 1));

    let clearing = incident(10, 2, AlarmState::Cleared);
    assert_eq!(board.apply_state(&clearing), Applied::Changed);
    assert_eq!(board.apply_state(&incident(12, 1, AlarmState::Unacknowledged)), Applied::Changed);
}

#[test]
fn changes_of_one_incident_are_bounded() {
    let mut board = IncidentBoard::new(BoardSettings { changes_max: 3, ..BoardSettings::default() });
    for version in 1..=10 {
        board.apply_event(&event(incident(1, version, AlarmState::Unacknowledged), ChangeKind::Updated));
    }
    let held = board.get(incident(1, 1, AlarmState::Cleared).id).unwrap();
    assert_eq!(held.changes.iter().map(|entry| entry.version).collect::<Vec<_>>(), [8, 9, 10]);
}

#[test]
fn a_reopened_incident_is_open_again() {
    let mut board = IncidentBoard::new(BoardSettings::default());
    board.apply_state(&incident(1, 2, AlarmState::Cleared));
    board.apply_state(&incident(1, 3, AlarmState::Unacknowledged));
    assert_eq!((board.open().count(), board.len()), (1, 1));
    assert_eq!(board.active().values().sum::<u64>(), 1);
}

#[test]
fn a_position_is_read_as_it_is_written() {
    let position = OutputPosition { partition: PartitionId(3), input_offset: Offset(17), ordinal: 2 };
    assert_eq!(position.to_string().parse(), Ok(position));
    for text in ["", "1:2", "1:2:3:4", "a:1:1", "1:+2:3", "4294967296:1:1"] {
        assert_eq!(text.parse::<OutputPosition>(), Err(InvalidOutputPosition), "{text}");
    }
}

#[test]
fn an_incident_that_is_no_longer_kept_leaves_the_list_and_one_that_was_never_held_changes_nothing() {
    let mut board = IncidentBoard::new(BoardSettings::default());
    let (over, open) = (incident(1, 2, AlarmState::Cleared), incident(2, 1, AlarmState::Unacknowledged));
    for held in [&over, &open] {
        assert_eq!(board.apply_record(&State::Is(Box::new(held.clone()))), Applied::Changed);
    }
    let gone = crate::feed::state(Some(over.id.to_string().as_bytes()), b"").unwrap();
    assert_eq!(board.apply_record(&gone), Applied::Changed);
    assert_eq!(board.apply_record(&gone), Applied::Stale);
    assert_eq!(board.list(None).map(|incident| incident.id).collect::<Vec<_>>(), [open.id]);
    assert_eq!((board.len(), board.counts().forgotten), (1, 0));
}

#[test]
fn an_empty_record_without_an_incidents_id_as_its_key_is_an_error() {
    for key in [None, Some(b"town".as_slice()), Some(b"\xff".as_slice())] {
        assert!(crate::feed::state(key, b"").is_err(), "{key:?}");
    }
}
