use heat_model::{GatewayId, NetworkId, incident::Class, record::Origin};

use super::*;

const SECOND: i64 = 1_000_000;
const START: i64 = 1_700_000_000;

fn at(seconds: i64) -> IngestTime {
    IngestTime::from_micros((START + seconds) * SECOND)
}

fn settings() -> BookSettings {
    BookSettings {
        lowest: Priority::P3,
        resend: Duration::from_mins(1),
        hold: Duration::from_hours(1),
        alerts_max: 3,
        targets: 2,
        links: Links { incident: "http://c/incidents/".to_owned(), runbook: "http://c/r".to_owned() },
    }
}

/// An incident opened at the given second.
fn burst(number: u64, seconds: i64) -> Incident {
    let network: NetworkId = "town".parse().unwrap();
    let gateway: GatewayId = "g".parse().unwrap();
    let opened = AppendTime::from_micros((START + seconds) * SECOND);
    Incident {
        version: 1,
        place: Some("p1".to_owned()),
        strength: 1.0,
        ..Incident::new(
            IncidentId::derive(&network, &Origin { gateway, epoch: 1, seq: number }, 0),
            network,
            Class::Burst,
            EventTime::from_micros(opened.as_micros()),
            opened,
        )
    }
}

fn next(incident: &Incident, change: impl FnOnce(&mut Incident)) -> Incident {
    let mut next = incident.clone();
    next.version += 1;
    change(&mut next);
    next
}

fn cleared(incident: &Incident, seconds: i64) -> Incident {
    next(incident, |incident| {
        incident.alarm = AlarmState::Cleared;
        incident.cleared = Some(AppendTime::from_micros((START + seconds) * SECOND));
    })
}

fn live() -> Book {
    let mut book = Book::new(settings());
    book.caught_up(at(0));
    book
}

/// Tells everything due; true for ends.
fn tell(book: &mut Book, target: usize, seconds: i64) -> Vec<bool> {
    let posts = book.plan(target, at(seconds));
    book.settle(target, &posts, at(seconds));
    posts.iter().map(|post| post.is_end).collect()
}

fn text(time: i64) -> String {
    rfc3339(EventTime::from_micros((START + time) * SECOND))
}

#[test]
fn an_incident_is_told_at_once_with_stable_labels_and_again_each_resend_with_its_end_ahead() {
    let mut book = live();
    book.observe(&burst(1, 0), at(1));

    let posts = book.plan(0, at(1));

    let json = serde_json::to_value(&posts[0].body).unwrap();
    assert_eq!(json["labels"]["alertname"], "HeatIncident");
    assert_eq!(json["labels"]["severity"], "critical");
    assert_eq!(json["startsAt"], text(0));
    assert_eq!(json["endsAt"], text(3601));
    assert!(json["generatorURL"].as_str().unwrap().starts_with("http://c/incidents/"));
    assert_eq!(book.settle(0, &posts, at(2)), [Duration::from_secs(2)], "how long it had been open");
    assert!(book.plan(0, at(61)).is_empty());
    assert_eq!(tell(&mut book, 0, 62), [false]);
    assert_eq!(book.plan(1, at(62)).len(), 1, "the other Alertmanager was told nothing yet");
}

#[test]
fn a_change_of_what_people_read_is_told_at_once_and_changes_no_label() {
    let mut book = live();
    let first = burst(1, 0);
    book.observe(&first, at(0));
    tell(&mut book, 0, 0);
    book.observe(&next(&first, |incident| incident.loss_m3_h = Some(180.0)), at(5));

    let posts = book.plan(0, at(5));

    assert_eq!(posts.len(), 1);
    assert_eq!(posts[0].key, AlertKey::of(&first));
    book.observe(&next(&first, |incident| incident.version = 3), at(6));
    tell(&mut book, 0, 6);
    book.observe(&next(&first, |incident| incident.version = 2), at(7));
    assert!(book.plan(0, at(7)).is_empty(), "an older state changes nothing");
}

#[test]
fn the_end_is_told_until_it_is_taken_and_a_quarter_of_an_hour_more() {
    let mut book = live();
    let incident = burst(1, 0);
    book.observe(&incident, at(0));
    tell(&mut book, 0, 0);
    tell(&mut book, 1, 0);
    book.observe(&cleared(&incident, 600), at(600));

    assert_eq!(tell(&mut book, 0, 600), [true]);
    assert_eq!(book.plan(1, at(7200)).len(), 1, "one that was away for two hours learns of it");
    assert_eq!(tell(&mut book, 0, 700), [true]);
    book.forget(at(7200));
    assert_eq!(book.len(), 1);
    assert_eq!(tell(&mut book, 1, 7200), [true]);
    assert!(tell(&mut book, 0, 7200).is_empty());
    book.forget(at(7200 + 900));
    assert!(book.is_empty());
}

#[test]
fn what_came_and_went_in_an_outage_is_shown_before_its_end_is_told() {
    let mut book = live();
    let incident = burst(1, 0);
    book.observe(&incident, at(0));
    book.observe(&cleared(&incident, 20), at(20));

    assert_eq!(book.waiting(0, at(3600)).oldest, Duration::from_secs(3580));
    assert_eq!(tell(&mut book, 0, 3600), [false], "shown first");
    assert_eq!(book.waiting(0, at(3600)).alerts, 1, "and its end still waits");
    assert!(tell(&mut book, 0, 3650).is_empty());
    assert_eq!(tell(&mut book, 0, 3660), [false]);
    assert_eq!(tell(&mut book, 0, 3721), [true]);
    assert_eq!(book.waiting(0, at(3721)), Waiting::default());
}

#[test]
fn what_was_over_at_the_start_is_not_told_as_new() {
    let mut book = Book::new(settings());
    let (old, recent, open) = (burst(1, -90_000), burst(2, -900), burst(3, -600));
    for incident in [&old, &recent, &open] {
        book.observe(incident, at(0));
    }
    book.observe(&cleared(&old, -80_000), at(0));
    book.observe(&cleared(&recent, -60), at(0));
    assert!(book.plan(0, at(0)).is_empty(), "nothing is told before all is read");

    book.caught_up(at(0));

    let told: Vec<_> = book.plan(0, at(0)).iter().map(|post| (post.key.incident, post.is_end)).collect();
    assert_eq!(told.len(), 2);
    assert!(told.contains(&(open.id, false)));
    assert!(told.contains(&(recent.id, true)), "its end may not have been told before the restart");
}

#[test]
fn another_class_ends_the_old_alert_in_the_same_message() {
    let mut book = live();
    let leak = next(&burst(1, 0), |incident| {
        incident.class = Class::LeakAbrupt;
        incident.priority = Priority::P2;
    });
    book.observe(&leak, at(0));
    tell(&mut book, 0, 0);
    let worse = next(&leak, |incident| {
        incident.class = Class::Burst;
        incident.priority = Priority::P1;
    });
    book.observe(&worse, at(10));

    let told: Vec<_> = book.plan(0, at(10)).iter().map(|post| (post.key.class, post.is_end)).collect();

    assert_eq!(told, [(Class::Burst, false), (Class::LeakAbrupt, true)]);
}

#[test]
fn the_daily_list_never_pages() {
    let mut book = live();
    book.observe(&next(&burst(1, 0), |incident| incident.priority = Priority::P4), at(0));
    assert!(book.plan(0, at(0)).is_empty());
}

#[test]
fn a_reopened_incident_is_active_again() {
    let mut book = live();
    let incident = burst(1, 0);
    book.observe(&incident, at(0));
    tell(&mut book, 0, 0);
    let over = cleared(&incident, 300);
    book.observe(&over, at(300));
    tell(&mut book, 0, 300);
    let again = next(&over, |incident| {
        incident.alarm = AlarmState::Unacknowledged;
        incident.cleared = None;
    });
    book.observe(&again, at(310));

    assert_eq!(tell(&mut book, 0, 310), [false]);
    book.observe(&cleared(&again, 400), at(400));
    assert_eq!(tell(&mut book, 0, 400), [true]);
}

#[test]
fn a_full_book_lets_ended_alerts_go_first_and_counts_what_it_loses() {
    let mut book = live();
    for number in 1..=3 {
        book.observe(&burst(number, 0), at(0));
    }
    book.observe(&burst(4, 0), at(0));
    assert_eq!((book.len(), book.counts().refused), (3, 1));
    book.observe(&cleared(&burst(2, 0), 1), at(1));

    book.observe(&burst(5, 2), at(2));

    assert_eq!((book.len(), book.counts().ends_dropped), (3, 1));
    assert!(book.knows(burst(5, 2).id) && !book.knows(burst(2, 0).id));
}

#[test]
fn what_somebody_takes_care_of_is_quiet_and_no_longer_when_it_is_over() {
    let mut book = live();
    let incident = burst(1, 0);
    book.observe(&incident, at(0));
    let before = book.quiet().0;
    assert!(book.quiet().1.is_empty());

    let seen = next(&incident, |incident| incident.alarm = AlarmState::Acknowledged);
    book.observe(&seen, at(1));
    assert_eq!(book.quiet().1[&incident.id], Quiet::WhileItLasts(AlarmState::Acknowledged));
    assert_ne!(book.quiet().0, before);

    let until = EventTime::from_micros((START + 900) * SECOND);
    let shelved = next(&seen, |incident| {
        incident.alarm = AlarmState::Shelved;
        incident.shelved_until = Some(until);
    });
    book.observe(&shelved, at(2));
    assert_eq!(book.quiet().1[&incident.id], Quiet::Until(until));

    book.observe(&cleared(&shelved, 3), at(3));
    assert!(book.quiet().1.is_empty());
}
