use super::*;

fn event(class: &str, on_h: i64, off_h: i64) -> Event {
    Event {
        class: class.to_owned(),
        network: "n".to_owned(),
        on_us: on_h * HOUR_US,
        off_us: off_h * HOUR_US,
        place: String::new(),
        size_kg_s: None,
    }
}

fn alarm(class: &str, at_h: i64) -> Alarm {
    Alarm {
        class: class.to_owned(),
        network: "n".to_owned(),
        emitted_us: at_h * HOUR_US,
        ranked: Vec::new(),
        size_kg_s: None,
    }
}

#[test]
fn an_alarm_before_the_onset_is_false_and_one_after_the_window_is_false() {
    let events = [event("burst", 100, 200)];
    let matching = match_alarms(&events, &[alarm("burst", 99), alarm("burst", 125)]);
    assert!(matching.matches.is_empty());
    assert_eq!(matching.false_alarms.len(), 2);
}

#[test]
fn a_perfect_detector_has_recall_and_precision_one_and_a_silent_one_recall_zero() {
    let events = [event("burst", 10, 20), event("leak_incipient", 100, 300)];
    let perfect = match_alarms(&events, &[alarm("burst", 10), alarm("leak_incipient", 200)]);
    assert_eq!(rates(2, &perfect), Rates { precision: 1.0, recall: 1.0, f05: 1.0, f1: 1.0 });
    assert_eq!(perfect.matches[1].delay_us, 100 * HOUR_US);

    let silent = match_alarms(&events, &[]);
    assert!(rates(2, &silent).recall.abs() < 1e-12);
    assert!((rates(2, &silent).precision - 1.0).abs() < 1e-12);
}

#[test]
fn matching_is_maximal_where_greedy_would_lose_one() {
    // The first alarm fits both events, the second only the first.
    let events = [event("burst", 0, 30), event("burst", 5, 30)];
    let matching = match_alarms(&events, &[alarm("burst", 3), alarm("burst", 6)]);
    assert_eq!(matching.matches.len(), 2);
}

#[test]
fn repeats_inside_a_found_event_are_reported_and_not_scored() {
    let events = [event("leak_abrupt", 0, 48)];
    let matching = match_alarms(&events, &[alarm("leak_abrupt", 2), alarm("leak_abrupt", 40)]);
    assert_eq!((matching.matches.len(), matching.repeats.len(), matching.false_alarms.len()), (1, 1, 0));
}

#[test]
fn alarms_of_one_class_merge_within_six_hours() {
    let merged =
        merge(vec![alarm("burst", 5), alarm("burst", 0), alarm("burst", 7), alarm("leak_abrupt", 1)]);
    let hours: Vec<i64> = merged.iter().map(|alarm| alarm.emitted_us / HOUR_US).collect();
    assert_eq!(hours, [0, 1, 7]);
}

#[test]
fn the_poisson_interval_is_that_of_the_tables() {
    for (count, low, high) in [(0, 0.0, 3.689), (1, 0.0253, 5.572), (5, 1.623, 11.668), (20, 12.217, 30.888)]
    {
        let got = poisson_interval(count);
        assert!((got.0 - low).abs() < 2e-3 && (got.1 - high).abs() < 2e-3, "{count}: {got:?}");
    }
}

#[test]
fn the_chance_line_of_one_alarm_is_the_share_of_time_that_the_event_fills() {
    let events = [event("burst", 0, 10)];
    let line = chance_line(&events, &[alarm("burst", 5)], 0, 100 * HOUR_US);
    assert!((line.mean - 0.1).abs() < 0.03, "{line:?}");
    assert_eq!(line, chance_line(&events, &[alarm("burst", 7)], 0, 100 * HOUR_US));
}

#[test]
fn delays_are_kaplan_meier_with_the_missed_as_censored() {
    assert_eq!(delay_quantile_us(&[1, 2, 3], &[], 0.5), Some(2));
    // Two found, two missed at 10: survival 0.75, 0.5 at the second.
    assert_eq!(delay_quantile_us(&[1, 4], &[10, 10], 0.5), Some(4));
    assert_eq!(delay_quantile_us(&[1, 4], &[10, 10], 0.9), None);
}

#[test]
fn searching_in_the_right_order_digs_half_the_pipe_and_in_no_order_half_the_network() {
    let trenches = [("a".to_owned(), 10.0), ("b".to_owned(), 30.0), ("c".to_owned(), 60.0)];
    let of = |pipe: &str| trenches.iter().position(|(id, _)| id == pipe.trim_end_matches(['s', 'r']));
    let names = |list: &[&str]| list.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
    let fraction = |list: &[&str]| search_fraction(&names(list), "br", &trenches, of).unwrap();
    assert!((fraction(&["bs", "as"]) - 0.15).abs() < 1e-12);
    assert!((fraction(&["as", "ar", "br"]) - 0.25).abs() < 1e-12);
    assert!((fraction(&[]) - 0.5).abs() < 1e-12);
    assert!((fraction(&["as"]) - 0.55).abs() < 1e-12);
}
