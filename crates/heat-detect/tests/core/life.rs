use std::time::Duration;

use heat_detect::{DetectSettings, Output, RefusalReason};
use heat_model::{
    EventTime, IncidentId,
    incident::{AlarmState, ChangeKind, Class, Incident, WorkState},
    record::Action,
};

use crate::{
    quality::swing,
    world::{CALM, Device, Feed, Now, START, plant},
};

const HOUR: i64 = 3_600;
const DAY: i64 = 24 * HOUR;

fn with_a_burst() -> (Feed, IncidentId) {
    let mut feed = Feed::new(DetectSettings::default(), plant());
    feed.run(0, HOUR, 10, |_| CALM);
    feed.run(HOUR, HOUR + 900, 10, |_| Now { leak: Some((1, 5.0)), ..CALM });
    let id = feed.incidents()[0].id;
    (feed, id)
}

fn state(feed: &Feed) -> Incident {
    feed.incidents()[0].clone()
}

fn refusals(feed: &Feed) -> Vec<RefusalReason> {
    feed.out
        .iter()
        .filter_map(|output| match output {
            Output::Refused(refusal) => Some(refusal.reason.clone()),
            Output::Event(_) | Output::Status(_) | Output::Ticket(_) | Output::Forgotten(_) => None,
        })
        .collect()
}

#[test]
fn a_command_for_an_older_version_is_refused_and_one_for_the_current_is_carried_out() {
    let (mut feed, incident) = with_a_burst();
    let at = START + HOUR + 900;
    let current = state(&feed).version;

    feed.command(at, "li", Action::Acknowledge { incident, version: Some(current + 7) });
    assert_eq!(refusals(&feed), [RefusalReason::StaleVersion { seen: current + 7, current }]);
    assert_eq!(state(&feed).alarm, AlarmState::Unacknowledged);

    feed.command(at + 1, "li", Action::Acknowledge { incident, version: Some(current) });
    assert_eq!(state(&feed).alarm, AlarmState::Acknowledged);
    assert_eq!(state(&feed).version, current + 1);
}

#[test]
fn a_p1_is_shelved_by_two_users_for_an_hour_at_most_and_comes_back_by_itself() {
    let (mut feed, incident) = with_a_burst();
    let at = START + HOUR + 900;
    let shelve = |seconds: i64| Action::Shelve {
        incident,
        until: EventTime::from_micros((at + seconds) * 1_000_000),
        reason: "drill".to_owned(),
    };

    feed.command(at, "li", shelve(7_200));
    feed.command(at, "li", shelve(1_800));
    feed.command(at + 1, "li", shelve(1_800));
    assert_eq!(state(&feed).alarm, AlarmState::Unacknowledged, "one user, asked twice, is one user");
    feed.command(at + 2, "wang", shelve(1_800));
    assert_eq!(state(&feed).alarm, AlarmState::Shelved);
    assert_eq!(refusals(&feed).len(), 3);

    feed.run(HOUR + 903, HOUR + 900 + 1_810, 10, |_| Now { leak: Some((1, 5.0)), ..CALM });
    assert_eq!(state(&feed).alarm, AlarmState::Unacknowledged);
}

#[test]
fn a_repair_is_verified_by_the_data_or_reopened() {
    let repaired = |incident| Action::Repaired {
        incident,
        pipe: None,
        location: Some("chamber 3".to_owned()),
        cause: None,
        size_kg_s: Some(5.2),
    };

    let (mut feed, incident) = with_a_burst();
    feed.command(START + HOUR + 900, "li", repaired(incident));
    assert_eq!(state(&feed).alarm, AlarmState::AwaitingVerification);
    feed.run(HOUR + 903, 2 * HOUR + 903, 10, |_| CALM);
    let last = feed.events().last().map(|event| event.change.kind);
    assert_eq!((last, state(&feed).alarm), (Some(ChangeKind::Verified), AlarmState::Cleared));
    assert_eq!(state(&feed).work, WorkState::Closed);

    let (mut feed, incident) = with_a_burst();
    feed.command(START + HOUR + 900, "li", repaired(incident));
    feed.run(HOUR + 903, 26 * HOUR, 60, |_| Now { leak: Some((1, 5.0)), ..CALM });
    assert!(feed.events().iter().any(|event| event.change.kind == ChangeKind::Reopened));
    assert_eq!(state(&feed).alarm, AlarmState::Unacknowledged);
}

#[test]
fn in_a_maintenance_window_a_burst_is_listed_as_out_of_service_until_the_window_ends() {
    let mut feed = Feed::new(DetectSettings::default(), plant());
    feed.run(0, HOUR, 10, |_| CALM);
    feed.command(
        START + HOUR,
        "li",
        Action::MaintenanceBegin {
            id: "w1".to_owned(),
            place: None,
            until: EventTime::from_micros((START + 3 * HOUR) * 1_000_000),
            reason: "flushing".to_owned(),
        },
    );
    feed.run(HOUR + 3, HOUR + 903, 10, |_| Now { leak: Some((1, 5.0)), ..CALM });
    assert_eq!(state(&feed).alarm, AlarmState::OutOfService);

    feed.command(START + HOUR + 910, "li", Action::MaintenanceEnd { id: "w1".to_owned() });
    assert_eq!(state(&feed).alarm, AlarmState::Unacknowledged);
}

#[test]
fn every_change_raises_the_version_by_one_and_keeps_offsets_in_order() {
    let (mut feed, incident) = with_a_burst();
    let at = START + HOUR + 900;
    feed.command(at, "li", Action::Acknowledge { incident, version: None });
    feed.command(at + 1, "li", Action::Work { incident, state: WorkState::Dispatched });

    let events = feed.events();
    for (expected, event) in (1..).zip(&events) {
        assert_eq!(event.incident.version, expected);
    }
    assert!(events.windows(2).all(|w| (w[0].input_offset, w[0].ordinal) < (w[1].input_offset, w[1].ordinal)));
}

#[test]
fn a_full_list_gives_up_the_least_urgent_and_says_so_and_takes_nothing_that_is_no_more_urgent() {
    let mut feed = Feed::new(DetectSettings { incidents_max: 2, ..DetectSettings::default() }, plant());
    let without = |sites: &'static [&'static str]| {
        move |at: i64, list: &mut Vec<Device>| {
            swing(at, list);
            list.retain(|(site, device, _)| !(sites.contains(site) && *device == "meter"));
        }
    };
    let places =
        |feed: &Feed| feed.incidents().into_iter().map(|incident| incident.place).collect::<Vec<_>>();
    let both = ["town/a1/meter", "town/a2/meter"].map(|place| Some(place.to_owned()));
    feed.run_with(0, 2 * DAY, 900, |_| CALM, without(&[]));
    feed.run_with(2 * DAY, 2 * DAY + 3 * HOUR, 900, |_| CALM, without(&["a1"]));
    feed.run_with(2 * DAY + 3 * HOUR, 2 * DAY + 6 * HOUR, 900, |_| CALM, without(&["a1", "a2"]));
    assert_eq!(places(&feed), both);
    assert_eq!(feed.core.counters().incidents_dropped, 0);

    let silent = ["a1", "a2", "b1"].as_slice();
    feed.run_with(2 * DAY + 6 * HOUR, 2 * DAY + 9 * HOUR, 900, |_| CALM, without(silent));
    assert_eq!(places(&feed), both, "a third that is no more urgent is kept out");
    assert!(feed.core.counters().incidents_dropped > 0);

    feed.run_with(2 * DAY + 9 * HOUR, 2 * DAY + 10 * HOUR, 10, |_| CALM, without(silent));
    let leak = |_: i64| Now { leak: Some((1, 5.0)), ..CALM };
    feed.run_with(2 * DAY + 10 * HOUR, 2 * DAY + 10 * HOUR + 900, 10, leak, without(silent));
    let (given_up, burst) = (&feed.incidents()[1], &feed.incidents()[2]);
    assert_eq!(given_up.alarm, AlarmState::Cleared, "nobody would ever have ended it");
    assert_eq!(burst.class, Class::Burst);
    let why = feed.events().into_iter().find(|event| event.change.by == "life_cycle").unwrap();
    assert_eq!(why.incident.id, given_up.id);
    assert_eq!(why.change.reason.as_deref(), Some("no longer followed: 2 incidents are open"));
}

#[test]
fn a_closed_incident_makes_room_for_the_next_and_counts_as_nothing_lost() {
    let mut feed = Feed::new(DetectSettings { incidents_max: 1, ..DetectSettings::default() }, plant());
    let is_silent = |at: i64| (2 * DAY..2 * DAY + 3 * HOUR).contains(&at);
    let calm = |at: i64, list: &mut Vec<Device>| {
        swing(at, list);
        list.retain(|(site, device, _)| !(is_silent(at) && *site == "a1" && *device == "meter"));
    };
    feed.run_with(0, 2 * DAY + 5 * HOUR, 900, |_| CALM, calm);
    feed.run_with(2 * DAY + 5 * HOUR, 2 * DAY + 6 * HOUR, 10, |_| CALM, calm);
    assert_eq!(state(&feed).alarm, AlarmState::Cleared);
    let leak = |_: i64| Now { leak: Some((1, 5.0)), ..CALM };
    feed.run_with(2 * DAY + 6 * HOUR, 2 * DAY + 6 * HOUR + 900, 10, leak, calm);
    assert_eq!(feed.incidents()[1].class, Class::Burst);
    assert_eq!(feed.core.counters().incidents_dropped, 0);
}

fn forgotten(feed: &Feed) -> Vec<IncidentId> {
    let id = |output: &Output| match output {
        Output::Forgotten(forgotten) => Some(forgotten.incident),
        Output::Event(_) | Output::Status(_) | Output::Refused(_) | Output::Ticket(_) => None,
    };
    feed.out.iter().filter_map(id).collect()
}

#[test]
fn an_incident_that_has_been_over_for_long_goes_once_and_nothing_is_said_of_it_any_more() {
    let settings =
        DetectSettings { incident_retention: Duration::from_secs(7_200), ..DetectSettings::default() };
    let mut feed = Feed::new(settings, plant());
    feed.run(0, HOUR, 10, |_| CALM);
    feed.run(HOUR, HOUR + 900, 10, |_| Now { leak: Some((1, 5.0)), ..CALM });
    feed.run(HOUR + 900, 2 * HOUR + 900, 10, |_| CALM);
    let (incident, over) = (state(&feed).id, state(&feed).updated.second());
    assert_eq!(state(&feed).alarm, AlarmState::Cleared);

    // A word on it, and it stays for as long again.
    feed.command(over + HOUR, "li", Action::Work { incident, state: WorkState::Dispatched });
    let last = state(&feed).updated.second();
    assert_eq!(last, over + HOUR);
    feed.pass(last + 2 * HOUR - 1);
    assert_eq!(forgotten(&feed), []);
    feed.pass(last + 2 * HOUR);
    assert_eq!(forgotten(&feed), [incident]);

    feed.command(last + 2 * HOUR + 1, "li", Action::Work { incident, state: WorkState::OnSite });
    assert_eq!(refusals(&feed), [RefusalReason::UnknownIncident]);
    feed.pass(last + 9 * HOUR);
    assert_eq!(forgotten(&feed), [incident]);
}

#[test]
fn of_more_ended_incidents_than_the_bound_the_one_of_which_nothing_was_said_for_longest_goes() {
    let mut feed = Feed::new(DetectSettings { ended_max: 1, ..DetectSettings::default() }, plant());
    feed.run(0, HOUR, 10, |_| CALM);
    for burst in 0..2 {
        let begins = HOUR + burst * 6 * HOUR;
        feed.run(begins, begins + 900, 10, |_| Now { leak: Some((1, 5.0)), ..CALM });
        feed.run(begins + 900, begins + 6 * HOUR, 10, |_| CALM);
    }
    let ids: Vec<IncidentId> = feed.incidents().iter().map(|incident| incident.id).collect();
    assert_eq!(ids.len(), 2, "two bursts, hours apart");
    assert_eq!(forgotten(&feed), ids[..1]);
}

#[test]
fn incidents_taken_over_as_they_were_published_go_when_their_time_has_come() {
    let (mut feed, _) = with_a_burst();
    feed.run(HOUR + 900, 2 * HOUR + 900, 10, |_| CALM);
    let settings =
        DetectSettings { incident_retention: Duration::from_secs(7_200), ..DetectSettings::default() };
    let mut rebuilt = Feed::new(settings, plant());
    let (over, open) =
        (state(&feed), Incident { id: "00000000000000ff".parse().unwrap(), ..with_a_burst_on() });
    rebuilt.core.adopt_incidents([open, over.clone()]);
    rebuilt.pass(over.updated.second() + 3 * HOUR);
    assert_eq!(forgotten(&rebuilt), [over.id], "an open one stays, however long nothing is said of it");
}

fn with_a_burst_on() -> Incident {
    state(&with_a_burst().0)
}
