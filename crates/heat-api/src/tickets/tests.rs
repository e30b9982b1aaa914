use heat_model::{
    AppendTime,
    plant::{PlantModel, Site, SiteKind},
    ticket::Ticket,
};
use heat_view::{BoardSettings, DeskSettings};

use super::*;
use crate::console::samples;

const HOUR: i64 = 3_600_000_000;

fn plant() -> PlantIndex {
    let site = |id: &str, kind, parent: Option<&str>, name: Option<&str>| Site {
        network: Some("town".parse().unwrap()),
        kind: Some(kind),
        parent: parent.map(|id| id.parse().unwrap()),
        name: name.map(str::to_owned),
        ..Site::new(id.parse().unwrap())
    };
    PlantIndex::new(&PlantModel {
        sites: vec![
            site("st1", SiteKind::Station, None, Some("和平小区")),
            site("b7", SiteKind::Building, Some("st1"), None),
        ],
        ..PlantModel::default()
    })
}

fn ticket(kind: TicketKind, hours: i64, site: Option<&str>, area: Option<&str>) -> TicketEntry {
    TicketEntry {
        ticket: Ticket {
            id: "T1".to_owned(),
            time: EventTime::from_micros(hours * HOUR),
            kind,
            site: site.map(|id| id.parse().unwrap()),
            area: area.map(str::to_owned),
            external_id: None,
            text: None,
        },
        network: "town".parse().unwrap(),
        received: AppendTime::from_micros(hours * HOUR),
    }
}

/// A burst from hour 10 on that affects `st1`.
fn burst() -> Incident {
    Incident {
        onset: EventTime::from_micros(10 * HOUR),
        affected: vec!["st1".parse().unwrap()],
        ..samples::burst()
    }
}

fn tie(incident: &Incident, entry: &TicketEntry) -> Option<LinkBy> {
    let plant = plant();
    let mut board = IncidentBoard::new(BoardSettings::default());
    board.apply_state(incident);
    let desk = Desk::new(DeskSettings::default());
    Linker::new(&board, &desk, &plant).links(entry).first().map(|link| link.by)
}

#[test]
fn a_ticket_is_linked_by_its_site_or_one_above_it_or_by_the_name_in_its_area() {
    let cold = TicketKind::Cold;
    assert_eq!(tie(&burst(), &ticket(cold, 11, Some("st1"), None)), Some(LinkBy::Site));
    assert_eq!(tie(&burst(), &ticket(cold, 11, Some("b7"), None)), Some(LinkBy::Site));
    assert_eq!(tie(&burst(), &ticket(cold, 11, None, Some("道里区和平小区3号楼"))), Some(LinkBy::Area));
    assert_eq!(tie(&burst(), &ticket(cold, 11, None, Some("near st1, block 3"))), Some(LinkBy::Area));
    assert_eq!(tie(&burst(), &ticket(cold, 11, None, Some("near st12"))), None);
    assert_eq!(tie(&burst(), &ticket(cold, 11, Some("st2"), None)), None);
}

#[test]
fn time_and_kind_must_fit() {
    let at = |hours| tie(&burst(), &ticket(TicketKind::Cold, hours, Some("st1"), None));
    assert_eq!((at(3), at(5)), (None, Some(LinkBy::Site)));
    let over =
        Incident { alarm: AlarmState::Cleared, cleared: Some(AppendTime::from_micros(20 * HOUR)), ..burst() };
    let after = |hours| tie(&over, &ticket(TicketKind::Cold, hours, Some("st1"), None));
    assert_eq!((after(43), after(45)), (Some(LinkBy::Site), None));
    assert_eq!(tie(&burst(), &ticket(TicketKind::WaterQuality, 11, Some("st1"), None)), None);
}

#[test]
fn an_incident_without_places_explains_cold_homes_of_its_whole_network() {
    let trip = Incident { class: Class::PumpTrip, affected: Vec::new(), place: None, ..burst() };
    assert_eq!(tie(&trip, &ticket(TicketKind::Cold, 11, None, None)), Some(LinkBy::Network));
    assert_eq!(tie(&trip, &ticket(TicketKind::Leak, 11, None, None)), None);
}

#[test]
fn the_status_follows_the_repair_work_and_every_answer_has_both_languages() {
    let status_at = |work, alarm| {
        let incident = Incident { work, alarm, ..burst() };
        status(Some(&Link { incident: &incident, by: LinkBy::Site }), None)
    };
    assert_eq!(status(None, None), TicketStatus::Received);
    assert_eq!(status(None, Some(TicketCause::NoneFound)), TicketStatus::NotThePlant);
    for (work, alarm, expected) in [
        (WorkState::AwaitingDispatch, AlarmState::Unacknowledged, TicketStatus::Known),
        (WorkState::Accepted, AlarmState::Acknowledged, TicketStatus::CrewOnItsWay),
        (WorkState::Excavating, AlarmState::Acknowledged, TicketStatus::OnSite),
        (WorkState::Repaired, AlarmState::AwaitingVerification, TicketStatus::Repaired),
        (WorkState::Closed, AlarmState::Cleared, TicketStatus::Resolved),
    ] {
        assert_eq!(status_at(work, alarm), expected);
        let (chinese, english) = answer(expected);
        assert!(!chinese.is_empty() && !english.is_empty());
    }
}

#[test]
fn what_the_processor_says_of_a_ticket_comes_before_what_its_words_tie_it_to() {
    let plant = plant();
    let mut board = IncidentBoard::new(BoardSettings::default());
    let other = Incident { id: samples::incident_id(7), class: Class::TicketCluster, ..burst() };
    board.apply_state(&burst());
    board.apply_state(&Incident { affected: Vec::new(), ..other.clone() });
    let mut desk = Desk::new(DeskSettings::default());
    let entry = ticket(TicketKind::Cold, 11, Some("st1"), None);
    desk.answer(&TicketLink {
        input_offset: heat_model::Offset(5),
        ordinal: 0,
        at: AppendTime::from_micros(0),
        network: entry.network.clone(),
        ticket: entry.ticket.id.clone(),
        external_id: None,
        incident: Some(other.id),
        cause: TicketCause::Suspected,
    });

    let linker = Linker::new(&board, &desk, &plant);
    let links = linker.links(&entry);

    let found: Vec<_> = links.iter().map(|link| (link.incident.id, link.by)).collect();
    assert_eq!(found, [(other.id, LinkBy::Processor), (burst().id, LinkBy::Site)]);
    let view = crate::json::desk::TicketView::of(&entry, &linker, &plant);
    assert_eq!((view.status, view.cause), (TicketStatus::Suspected, Some(TicketCause::Suspected)));
}

#[test]
fn a_call_is_due_from_the_closing_on_and_again_once_what_explained_the_ticket_later_is_over() {
    let at = AppendTime::from_micros;
    let call = |outcome, hours: i64| FollowUpEntry {
        outcome,
        note: None,
        user: "li".to_owned(),
        at: at(hours * HOUR),
    };
    let state = |closed: Option<i64>, call: Option<&FollowUpEntry>| {
        FollowUpState::of(closed.map(|hours| at(hours * HOUR)), call)
    };
    assert_eq!((state(None, None), state(Some(20), None)), (None, Some(FollowUpState::Due)));
    let missed = call(FollowUpOutcome::NotReached, 21);
    assert_eq!(
        (state(Some(20), Some(&missed)), state(None, Some(&missed))),
        (Some(FollowUpState::Due), None)
    );
    let unresolved = call(FollowUpOutcome::NotResolved, 21);
    for (closed, expected) in
        [(Some(20), FollowUpState::Reopened), (None, FollowUpState::Reopened), (Some(30), FollowUpState::Due)]
    {
        assert_eq!(state(closed, Some(&unresolved)), Some(expected), "{closed:?}");
    }
    assert_eq!(state(None, Some(&call(FollowUpOutcome::Satisfied, 21))), Some(FollowUpState::Done));
}
