use heat_detect::TicketCause;
use heat_model::{
    Origin,
    ticket::{FollowUpOutcome, TicketKind},
};

use super::*;

const NETWORK: &str = "town";

fn envelope(body: Body) -> Envelope {
    Envelope {
        network: Some(NETWORK.parse().unwrap()),
        origin: Origin { gateway: "api-1".parse().unwrap(), epoch: 1, seq: 0 },
        ingest_time: heat_model::IngestTime::from_micros(0),
        messages: 0,
        body,
    }
}

fn position(offset: u64) -> Position {
    let append_time = AppendTime::from_micros(i64::try_from(offset).unwrap() * 1_000_000);
    Position { partition: PartitionId(0), offset: Offset(offset), append_time }
}

fn command(desk: &mut Desk, offset: u64, user: &str, action: Action) {
    let body = Body::Command(Command { user: user.to_owned(), action });
    desk.apply(&position(offset), &envelope(body));
}

fn ticket(desk: &mut Desk, offset: u64, id: &str) {
    let ticket = Ticket {
        id: id.to_owned(),
        time: EventTime::from_micros(0),
        kind: TicketKind::Cold,
        site: None,
        area: None,
        external_id: None,
        text: None,
    };
    desk.apply(&position(offset), &envelope(Body::Ticket(ticket)));
}

fn window(id: &str, until_seconds: i64) -> Action {
    let until = EventTime::from_micros(until_seconds * 1_000_000);
    Action::MaintenanceBegin { id: id.to_owned(), place: None, until, reason: "valve".to_owned() }
}

fn open_windows(desk: &Desk, at_seconds: i64) -> Vec<String> {
    desk.windows(EventTime::from_micros(at_seconds * 1_000_000)).map(|window| window.id.clone()).collect()
}

#[test]
fn a_window_holds_until_its_end_or_until_somebody_ends_it() {
    let mut desk = Desk::new(DeskSettings::default());
    command(&mut desk, 1, "duty", window("a", 100));
    command(&mut desk, 2, "duty", window("b", 50));
    assert_eq!(open_windows(&desk, 10), ["a", "b"]);
    assert_eq!(open_windows(&desk, 50), ["a"]);
    command(&mut desk, 3, "chief", Action::MaintenanceEnd { id: "a".to_owned() });
    assert!(open_windows(&desk, 10) == ["b"]);
    // Records of the archive come again and later; an end is not undone by the beginning that it ended.
    command(&mut desk, 1, "duty", window("a", 100));
    assert_eq!(open_windows(&desk, 10), ["b"]);
}

#[test]
fn a_refused_command_is_kept_as_refused_and_has_no_effect_whichever_is_read_first() {
    let incident = IncidentId::derive(
        &NETWORK.parse().unwrap(),
        &Origin { gateway: "g".parse().unwrap(), epoch: 1, seq: 1 },
        0,
    );
    let repaired =
        Action::Repaired { incident, pipe: None, location: None, cause: None, size_kg_s: Some(2.0) };
    for refusal_first in [true, false] {
        let mut desk = Desk::new(DeskSettings::default());
        if refusal_first {
            desk.refuse((PartitionId(0), Offset(7)));
        }
        command(&mut desk, 7, "duty", repaired.clone());
        if !refusal_first {
            assert!(desk.repair_of(incident).is_some());
            desk.refuse((PartitionId(0), Offset(7)));
        }
        assert_eq!(desk.repair_of(incident), None);
        assert!(desk.commands_newest_first().all(|(_, entry)| entry.refused));
    }
}

#[test]
fn the_newest_tickets_stay_and_come_first() {
    let mut desk = Desk::new(DeskSettings { tickets_max: 2, ..DeskSettings::default() });
    for (offset, id) in [(1, "t1"), (2, "t2"), (3, "t3"), (3, "t3"), (2, "t2")] {
        ticket(&mut desk, offset, id);
    }
    let ids: Vec<_> = desk.tickets_newest_first(None).map(|entry| entry.ticket.id.clone()).collect();
    assert_eq!(ids, ["t3", "t2"]);
    let first = desk.ticket_by_id(&NETWORK.parse().unwrap(), "t3").unwrap().clone();
    assert_eq!(desk.tickets_newest_first(Some(&first)).count(), 1);
}

#[test]
fn a_season_is_the_newest_commanded_one() {
    let mut desk = Desk::new(DeskSettings::default());
    let circuit: CircuitId = "primary".parse().unwrap();
    for (offset, state) in [(5, SeasonState::Heating), (4, SeasonState::Filling)] {
        command(&mut desk, offset, "duty", Action::Season { circuit: circuit.clone(), state });
    }
    let season = desk.season(&NETWORK.parse().unwrap(), &circuit).unwrap();
    assert_eq!(season.state, SeasonState::Heating);
}

#[test]
fn of_several_answers_to_a_ticket_the_last_one_holds_and_their_number_is_bounded() {
    let mut desk = Desk::new(DeskSettings { tickets_max: 2, ..DeskSettings::default() });
    let mut answer = |offset: u64, ticket: &str, cause| {
        desk.answer(&TicketLink {
            input_offset: Offset(offset),
            ordinal: 0,
            at: position(offset).append_time,
            network: NETWORK.parse().unwrap(),
            ticket: ticket.to_owned(),
            external_id: None,
            incident: None,
            cause,
        });
    };
    answer(5, "T1", TicketCause::Plant);
    answer(3, "T1", TicketCause::Suspected);
    answer(6, "T2", TicketCause::NoneFound);
    let cause = |desk: &Desk, id: &str| Some(desk.answers.get(&NETWORK.parse().unwrap(), id)?.cause);
    assert_eq!(cause(&desk, "T1"), Some(TicketCause::Plant));

    let link = desk.answers.get(&NETWORK.parse().unwrap(), "T1").unwrap().clone();
    desk.answer(&TicketLink { ticket: "T3".to_owned(), at: position(9).append_time, ..link });

    assert_eq!((cause(&desk, "T1"), cause(&desk, "T2")), (None, Some(TicketCause::NoneFound)));
}

#[test]
fn the_last_call_that_reached_a_caller_holds_in_whatever_order_it_is_read_and_their_number_is_bounded() {
    let mut desk = Desk::new(DeskSettings { tickets_max: 2, ..DeskSettings::default() });
    let outcome = |desk: &Desk, id: &str| {
        let entry = desk.ticket_by_id(&NETWORK.parse().unwrap(), id)?;
        Some(desk.follow_up_of(entry)?.outcome)
    };
    let call = |desk: &mut Desk, offset: u64, id: &str, outcome| {
        command(desk, offset, "duty", Action::FollowUp { ticket: id.to_owned(), outcome, note: None });
    };
    // A call may be read before its ticket.
    call(&mut desk, 8, "t1", FollowUpOutcome::Satisfied);
    ticket(&mut desk, 1, "t1");
    ticket(&mut desk, 2, "t2");
    for (offset, said) in
        [(5, FollowUpOutcome::NotResolved), (8, FollowUpOutcome::Satisfied), (9, FollowUpOutcome::NotReached)]
    {
        call(&mut desk, offset, "t1", said);
    }
    assert_eq!(outcome(&desk, "t1"), Some(FollowUpOutcome::Satisfied));
    assert_eq!(outcome(&desk, "t2"), None);

    call(&mut desk, 10, "t2", FollowUpOutcome::NotReached);
    assert_eq!(outcome(&desk, "t2"), Some(FollowUpOutcome::NotReached));
    call(&mut desk, 11, "t2", FollowUpOutcome::NotResolved);
    call(&mut desk, 12, "t3", FollowUpOutcome::NotReached);
    assert_eq!((outcome(&desk, "t1"), outcome(&desk, "t2")), (None, Some(FollowUpOutcome::NotResolved)));
}
