//! A leak whose case is closed is accepted; and what comes on top of a leak that is open.

use heat_model::{
    incident::{AlarmState, Class, Incident, WorkState},
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
