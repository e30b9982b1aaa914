//! A leak whose case is closed is accepted; and what comes on top of a leak that is open.

use heat_model::{
    incident::{AlarmState, ChangeKind, Class, Incident, IncidentEvent, Priority, WorkState},
    record::Action,
};

use crate::{
    account::{DAY, HOUR, ON, SCAN, base, of_water, settings},
    world::{CALM, Feed, Now, START, plant},
};

/// What the trench `PA` loses from `ON` on, kg/s, over what is lost all the time.
fn losing(kg_s: impl Fn(i64) -> f64) -> impl Fn(i64) -> Now {
    move |at| {
        let lost = if at >= ON { kg_s(at - ON) } else { 0.0 };
        Now { leak: (lost > 0.0).then_some((1, lost)), feed: base(0.02, at), ..CALM }
    }
}

fn water(feed: &Feed) -> Vec<Incident> {
    of_water(feed.incidents())
}

fn close(feed: &mut Feed, at: i64, leak: &Incident) {
    let action = Action::Work { incident: leak.id, state: WorkState::Closed };
    feed.command(START + at, "li", action);
}

#[test]
fn a_leak_that_is_closed_as_accepted_is_not_raised_again_and_the_next_one_is() {
    let mut feed = Feed::new(settings(), plant());
    feed.run(0, ON + DAY, SCAN, losing(|_| 0.1));
    let first = water(&feed);
    assert_eq!(first.len(), 1, "{first:?}");
    close(&mut feed, ON + DAY, &first[0]);

    feed.run(ON + DAY, ON + 5 * DAY, SCAN, losing(|_| 0.1));
    let after: Vec<Incident> =
        water(&feed).into_iter().filter(|incident| incident.class != Class::StandingLoss).collect();
    assert_eq!(after.len(), 1, "{after:?}");
    assert_eq!((after[0].alarm, after[0].work), (AlarmState::Cleared, WorkState::Closed));

    feed.run(ON + 5 * DAY, ON + 6 * DAY, SCAN, losing(|_| 0.2));
    let new = &water(&feed)[1..];
    assert!(new.iter().any(|incident| incident.class == Class::LeakAbrupt), "{new:?}");
}

#[test]
fn an_accepted_leak_that_is_mended_later_leaves_no_room_for_the_next_to_hide_in() {
    let mut feed = Feed::new(settings(), plant());
    feed.run(0, ON + DAY, SCAN, losing(|_| 0.1));
    let first = water(&feed);
    close(&mut feed, ON + DAY, &first[0]);
    feed.run(ON + DAY, ON + 2 * DAY, SCAN, losing(|_| 0.1));
    feed.run(ON + 2 * DAY, ON + 3 * DAY, SCAN, losing(|_| 0.0));
    let calm = water(&feed).len();

    feed.run(ON + 3 * DAY, ON + 4 * DAY, SCAN, losing(|_| 0.08));
    let new = &water(&feed)[calm..];
    assert!(new.iter().any(|incident| incident.class == Class::LeakAbrupt), "{new:?}");
}

#[test]
fn closing_the_case_of_a_leak_that_has_just_stopped_accepts_nothing() {
    let mut feed = Feed::new(settings(), plant());
    feed.run(0, ON + DAY, SCAN, losing(|_| 0.1));
    let leak = water(&feed)[0].clone();
    feed.run(ON + DAY, ON + DAY + 2 * HOUR, SCAN, losing(|_| 0.0));
    close(&mut feed, ON + DAY + 2 * HOUR, &leak);
    feed.run(ON + DAY + 2 * HOUR, ON + 2 * DAY, SCAN, losing(|_| 0.0));

    feed.run(ON + 2 * DAY, ON + 3 * DAY, SCAN, losing(|_| 0.06));
    let new = &water(&feed)[1..];
    assert!(new.iter().any(|incident| incident.class == Class::LeakAbrupt), "{new:?}");
}

#[test]
fn a_sudden_loss_on_top_of_a_growing_leak_raises_its_incident_to_a_page() {
    let mut feed = Feed::new(settings(), plant());
    let grown = |since: i64| 0.08 * (since as f64 / (2 * DAY) as f64).min(1.0);
    let torn = 3 * DAY;
    let lost = move |since: i64| grown(since) + if since >= torn { 0.12 } else { 0.0 };
    feed.run(0, ON + torn, SCAN, losing(lost));
    let before = water(&feed);
    assert_eq!(before.len(), 1, "{before:?}");
    assert_eq!((before[0].class, before[0].priority), (Class::LeakIncipient, Priority::P3));

    let said = feed.events().len();
    feed.run(ON + torn, ON + torn + 6 * HOUR, SCAN, losing(lost));
    let after = water(&feed);
    assert_eq!(after.len(), 1, "one cause is one incident: {after:?}");
    assert_eq!((after[0].class, after[0].priority), (Class::LeakAbrupt, Priority::P2));
    assert_eq!((after[0].id, after[0].onset), (before[0].id, before[0].onset));
    assert!((after[0].loss_kg_s.unwrap() - 0.2).abs() < 0.04, "{:?}", after[0].loss_kg_s);
    let raised = feed.events()[said..].iter().find(|e| e.incident.class == Class::LeakAbrupt).unwrap().at;
    assert!(raised.second() - (START + ON + torn) <= 3 * HOUR, "{raised:?}");
}

#[test]
fn a_leak_that_only_grows_stays_on_the_list_and_one_that_stands_is_told_once() {
    for lost in [|since: i64| 0.25 * since as f64 / (4 * DAY) as f64, |_: i64| 0.3] {
        let mut feed = Feed::new(settings(), plant());
        feed.run(0, ON + 4 * DAY, SCAN, losing(lost));
        let raised: Vec<&IncidentEvent> = feed
            .events()
            .into_iter()
            .filter(|event| event.change.reason.as_deref().is_some_and(|reason| reason.contains("on top")))
            .collect();
        assert!(raised.is_empty(), "{raised:?}");
        assert_eq!(water(&feed).len(), 1);
    }
}

#[test]
fn a_second_sudden_leak_asks_again_for_those_who_had_acknowledged_the_first() {
    let mut feed = Feed::new(settings(), plant());
    let lost = |since: i64| if since >= DAY { 0.25 } else { 0.1 };
    feed.run(0, ON + DAY, SCAN, losing(lost));
    let leak = water(&feed)[0].clone();
    feed.command(START + ON + DAY, "li", Action::Acknowledge { incident: leak.id, version: None });
    feed.run(ON + DAY, ON + DAY + 6 * HOUR, SCAN, losing(lost));
    let after = water(&feed);
    assert_eq!(after.len(), 1, "{after:?}");
    assert_eq!(after[0].alarm, AlarmState::Unacknowledged);
    assert!(after[0].text_en.contains("on top"), "{}", after[0].text_en);
}

#[test]
fn a_leak_that_has_grown_threefold_asks_again_for_those_who_had_acknowledged_it() {
    let mut feed = Feed::new(settings(), plant());
    let small = 0.08;
    // It stands for two days, and then grows for four, to five times as much.
    let lost = move |since: i64| {
        let ramp = (since as f64 / (12 * HOUR) as f64).min(1.0);
        small * ramp * (1.0 + 4.0 * ((since - 2 * DAY).max(0) as f64 / (4 * DAY) as f64).min(1.0))
    };
    feed.run(0, ON + 2 * DAY, SCAN, losing(lost));
    let leak = water(&feed)[0].clone();
    feed.command(START + ON + 2 * DAY, "li", Action::Acknowledge { incident: leak.id, version: None });
    let said = feed.events().len();
    feed.run(ON + 2 * DAY, ON + 6 * DAY, SCAN, losing(lost));

    let escalated: Vec<&IncidentEvent> = feed.events()[said..]
        .iter()
        .copied()
        .filter(|event| event.change.kind == ChangeKind::Escalated)
        .collect();
    assert_eq!(escalated.len(), 1, "{escalated:?}");
    let incident = &escalated[0].incident;
    assert_eq!((incident.id, incident.onset, incident.class), (leak.id, leak.onset, leak.class));
    assert_eq!(incident.alarm, AlarmState::Unacknowledged);
    let loss = incident.loss_kg_s.unwrap();
    assert!((3.0 * small * 0.8..4.0 * small).contains(&loss), "{loss}");
    let from = incident.evidence.iter().find(|evidence| evidence.what == "grown_from").unwrap();
    assert!((from.value - small).abs() < 0.02, "{from:?}");
    assert!(incident.text_en.contains("lost when last called"), "{}", incident.text_en);
    assert_eq!(water(&feed).len(), 1, "one cause is one incident");
}
