use heat_model::plant::{Circuit, Pipe, PlantModel, Side};
use proptest::prelude::*;

use super::{
    delay::{Step, curve, lost_m3, quantile_us, smallest_found_by_half},
    location::{Trenches, locate},
    *,
};
use crate::balance::sequential::SplitMix;

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
        place: String::new(),
    }
}

fn placed(class: &str, at_h: i64, place: &str) -> Alarm {
    Alarm { place: place.to_owned(), ..alarm(class, at_h) }
}

#[test]
fn an_alarm_before_the_onset_is_false_and_one_after_the_window_is_false() {
    let events = [event("burst", 100, 200)];
    let matching = match_alarms(&events, &[alarm("burst", 99), alarm("burst", 125)]);
    assert!(matching.matches.is_empty());
    assert_eq!(matching.false_alarms, [0, 1]);
}

#[test]
fn each_class_has_its_window() {
    let found = |class: &str, hours: i64| {
        match_alarms(&[event(class, 0, 10_000)], &[alarm(class, hours)]).matches.len()
    };
    for (class, window_h) in [
        ("burst", 24),
        ("leak_abrupt", 24),
        ("leak_incipient", 14 * 24),
        ("sensor_fault(drift)", 14 * 24),
        ("sensor_fault(stuck)", 48),
        ("consumer_thermal(high_return)", 48),
    ] {
        assert_eq!((found(class, window_h), found(class, window_h + 1)), (1, 0), "{class}");
    }
    let ends_early = [event("leak_incipient", 0, 30)];
    assert!(match_alarms(&ends_early, &[alarm("leak_incipient", 31)]).matches.is_empty());
}

#[test]
fn a_perfect_detector_has_recall_and_precision_one_and_a_silent_one_recall_zero() {
    let events = [event("burst", 10, 20), event("leak_incipient", 100, 300)];
    let perfect = match_alarms(&events, &[alarm("burst", 10), alarm("leak_incipient", 200)]);
    let all = Rates { precision: Some(1.0), recall: Some(1.0), f05: Some(1.0), f1: Some(1.0) };
    assert_eq!(rates(2, perfect.matches.len(), perfect.false_alarms.len()), all);
    assert_eq!(perfect.matches[1].delay_us, 100 * HOUR_US);

    let silent = match_alarms(&events, &[]);
    let nothing = Rates { precision: None, recall: Some(0.0), f05: Some(0.0), f1: Some(0.0) };
    assert_eq!(rates(2, silent.matches.len(), silent.false_alarms.len()), nothing);
    let without_events = Rates { precision: Some(0.0), recall: None, f05: None, f1: None };
    assert_eq!(rates(0, 0, 3), without_events);
}

#[test]
fn rates_are_those_computed_by_hand() {
    // 3 of 4 found, 1 false: precision 0.75, recall 0.75; with 3 false: 0.5 and 0.75.
    let even = rates(4, 3, 1);
    assert!((even.f1.unwrap() - 0.75).abs() < 1e-12 && (even.f05.unwrap() - 0.75).abs() < 1e-12);
    let uneven = rates(4, 3, 3);
    assert!((uneven.f1.unwrap() - 0.6).abs() < 1e-12);
    assert!((uneven.f05.unwrap() - 1.25 * 0.375 / 0.875).abs() < 1e-12);
}

#[test]
fn matching_is_maximal_where_greedy_would_lose_one() {
    // The first alarm fits both events, the second only the first.
    let events = [event("burst", 0, 30), event("burst", 5, 8)];
    let matching = match_alarms(&events, &[alarm("burst", 6), alarm("burst", 20)]);
    assert_eq!(matching.matches.len(), 2);
    assert_eq!((matching.matches[0].alarm, matching.matches[1].alarm), (1, 0));
}

#[test]
fn repeats_inside_a_found_event_are_reported_and_not_scored() {
    let events = [event("leak_abrupt", 0, 48)];
    let matching = match_alarms(&events, &[alarm("leak_abrupt", 2), alarm("leak_abrupt", 40)]);
    assert_eq!((matching.matches.len(), matching.repeats.len(), matching.false_alarms.len()), (1, 1, 0));
}

#[test]
fn an_alarm_about_another_station_finds_nothing() {
    let mut fault = event("sensor_fault(drift)", 0, 100);
    fault.place = "n/st12/meter/primary_supply_temperature".to_owned();
    let said =
        |place: &str| match_alarms(&[fault.clone()], &[placed("sensor_fault", 5, place)]).matches.len();
    assert_eq!([said("st12 supply_temperature"), said("st12"), said("st13"), said("")], [1, 1, 0, 1]);
    // A leak's place is judged in metres instead.
    let leak = Event { place: "P001s".to_owned(), ..event("burst", 0, 10) };
    assert_eq!(match_alarms(&[leak], &[placed("burst", 5, "P002s")]).matches.len(), 1);
}

#[test]
fn alarms_of_one_class_merge_within_six_hours_and_those_of_a_station_within_a_day() {
    let alarms = [alarm("burst", 5), alarm("burst", 0), alarm("burst", 7), alarm("leak_abrupt", 1)];
    let hours: Vec<i64> = merge(&alarms).iter().map(|&at| alarms[at].emitted_us / HOUR_US).collect();
    assert_eq!(hours, [0, 1, 7]);

    let stations = [
        placed("consumer_thermal", 0, "a"),
        placed("consumer_thermal", 1, "b"),
        placed("consumer_thermal", 23, "a"),
        placed("consumer_thermal", 25, "a"),
    ];
    assert_eq!(merge(&stations), [0, 1, 3]);
}

#[test]
fn the_poisson_interval_is_that_of_the_tables() {
    for (count, low, high) in [(0, 0.0, 3.689), (1, 0.0253, 5.572), (5, 1.623, 11.668), (20, 12.217, 30.888)]
    {
        let got = poisson_interval(count);
        assert!((got.0 - low).abs() < 2e-3 && (got.1 - high).abs() < 2e-3, "{count}: {got:?}");
    }
    // Normal approximation of a count that would underflow a naive sum.
    let (low, high) = poisson_interval(2_000);
    assert!((low - 1_913.3).abs() < 1.0 && (high - 2_089.6).abs() < 1.0, "{low} {high}");
}

#[test]
fn a_rate_is_per_thirty_days_of_exposure() {
    let rate = event_rate(2, 4 * MONTH_US).unwrap();
    assert!((rate.per_month - 0.5).abs() < 1e-12);
    assert!((rate.high - 7.225 / 4.0).abs() < 1e-3, "{rate:?}");
    assert_eq!(event_rate(0, 0), None);
}

#[test]
fn the_chance_line_of_one_alarm_is_the_share_of_time_that_the_event_fills() {
    let events = [event("burst", 0, 10)];
    let line = |at| chance_line(&events, &[alarm("burst", at)], |_| (0, 100 * HOUR_US)).unwrap();
    assert!((line(5).mean - 0.1).abs() < 0.03, "{:?}", line(5));
    assert_eq!(line(5), line(7));
    assert_eq!(chance_line(&[], &[alarm("burst", 5)], |_| (0, HOUR_US)), None);
}

#[test]
fn a_random_detector_scores_at_the_chance_line() {
    let events: Vec<Event> =
        (0..20).map(|week| event("leak_abrupt", 168 * week + 30, 168 * week + 70)).collect();
    let span = (0, 20 * 168 * HOUR_US);
    let mut random = SplitMix::new(11);
    let mut recalls = 0.0;
    let mut lines = (0.0, 0.0);
    for _ in 0..40 {
        let alarms: Vec<Alarm> = (0..15)
            .map(|_| Alarm { emitted_us: (random.unit() * span.1 as f64) as i64, ..alarm("leak_abrupt", 0) })
            .collect();
        recalls += match_alarms(&events, &alarms).matches.len() as f64 / 20.0 / 40.0;
        let line = chance_line(&events, &alarms, |_| span).unwrap();
        lines = (line.mean, line.quantile95);
    }
    assert!((recalls - lines.0).abs() < 0.02, "random {recalls}, chance {lines:?}");
    assert!(recalls < lines.1);
}

#[test]
fn delays_are_kaplan_meier_with_the_missed_as_censored() {
    let quantile = |found: &[i64], missed: &[i64], share| quantile_us(&curve(found, missed), share);
    assert_eq!(quantile(&[1, 2, 3], &[], 0.5), Some(2));
    // Two found, two missed at 10: survival 0.75, 0.5 at the second.
    assert_eq!(quantile(&[1, 4], &[10, 10], 0.5), Some(4));
    assert_eq!(quantile(&[1, 4], &[10, 10], 0.9), None);
    // Missed at 2 of four: 3/4, then 3/4 * 1/2.
    assert_eq!(curve(&[1, 4], &[2, 9]), [Step { at_us: 1, found: 0.25 }, Step { at_us: 4, found: 0.625 }]);
}

#[test]
fn water_lost_grows_with_time_and_for_a_growing_leak_with_its_square() {
    let mut leak = event("leak_abrupt", 0, 10);
    leak.size_kg_s = Some(2.0);
    let kg_m3 = heat_hydraulics::water::density_kg_m3(45.0);
    let lost = |event: &Event, hours: i64| lost_m3(event, hours * HOUR_US, Some(Side::Return)).unwrap();
    assert!((lost(&leak, 1) - 7_200.0 / kg_m3).abs() < 1e-9);
    assert!((lost(&leak, 99) - 72_000.0 / kg_m3).abs() < 1e-9);
    leak.class = "leak_incipient".to_owned();
    assert!((lost(&leak, 5) - 0.25 * 36_000.0 / kg_m3).abs() < 1e-9);
    leak.size_kg_s = None;
    assert_eq!(lost_m3(&leak, HOUR_US, None), None);
}

#[test]
fn the_smallest_size_found_by_half_is_isotonic() {
    assert_eq!(smallest_found_by_half(&[(1.0, false), (2.0, true), (3.0, true)]), Some(2.0));
    // 2 found, 3 missed, 4 found: 2 and 3 pool to one half.
    assert_eq!(smallest_found_by_half(&[(1.0, false), (2.0, true), (3.0, false), (4.0, true)]), Some(2.0));
    assert_eq!(smallest_found_by_half(&[(1.0, true), (2.0, false), (3.0, false)]), None);
    assert_eq!(smallest_found_by_half(&[]), None);
}

#[test]
fn noise_of_independent_hours_is_their_deviation_and_of_a_wandering_loss_its_long_run_one() {
    let mut random = SplitMix::new(3);
    let mut normal = || (0..12).map(|_| random.unit()).sum::<f64>() - 6.0;
    let white: Vec<(i64, f64)> = (0..2_000).map(|hour| (hour, 0.1 * normal())).collect();
    let noise = detectability::noise(&white).unwrap();
    assert!((noise.sigma_kg_s - 0.1).abs() < 0.01 && noise.correlation < 0.1, "{noise:?}");
    assert!((noise.detectability(0.2) - 2.0).abs() < 0.2);

    let mut level = 0.0;
    let wandering: Vec<(i64, f64)> = (0..4_000)
        .map(|hour| {
            level = 0.8 * level + 0.1 * normal();
            (hour, level)
        })
        .collect();
    let noise = detectability::noise(&wandering).unwrap();
    assert!((noise.sigma_kg_s - 0.5).abs() < 0.08 && (noise.correlation - 0.8).abs() < 0.05, "{noise:?}");
    assert_eq!(detectability::noise(&white[..10]), None);
}

/// a - b - c in a row, 10, 30 and 60 m; each trench with a supply and a return pipe.
fn row() -> Trenches {
    let mut plant = PlantModel::default();
    plant.circuits.push(Circuit::new("c".parse().unwrap(), "n".parse().unwrap()));
    for (id, from, to, length_m, laid_year) in
        [("a", "1", "2", 10.0, 2000), ("b", "2", "3", 30.0, 1960), ("c", "3", "4", 60.0, 2015)]
    {
        for (suffix, side) in [("s", Side::Supply), ("r", Side::Return)] {
            plant.pipes.push(Pipe {
                length_m: Some(length_m),
                side: Some(side),
                laid_year: Some(laid_year),
                ..Pipe::new(
                    format!("{id}{suffix}").parse().unwrap(),
                    "c".parse().unwrap(),
                    from.parse().unwrap(),
                    to.parse().unwrap(),
                )
            });
        }
    }
    Trenches::new(&plant, &"n".parse().unwrap())
}

#[test]
fn searching_in_the_right_order_digs_half_the_pipe_and_in_no_order_half_the_network() {
    let trenches = row();
    assert_eq!(trenches.list.len(), 3);
    let fraction = |ranked: &[&str]| {
        trenches.search_fraction(&trenches.ranked(ranked.iter().copied()), trenches.of("br").unwrap())
    };
    assert!((fraction(&["bs", "as"]) - 0.15).abs() < 1e-12);
    assert!((fraction(&["as", "ar", "br"]) - 0.25).abs() < 1e-12);
    assert!((fraction(&[]) - 0.5).abs() < 1e-12);
    assert!((fraction(&["as"]) - 0.55).abs() < 1e-12);
}

#[test]
fn distance_runs_along_the_trenches_from_middle_to_middle() {
    let trenches = row();
    let between = |a: &str, b: &str| trenches.distance_m(trenches.of(a).unwrap(), trenches.of(b).unwrap());
    assert_eq!(between("as", "ar"), Some(0.0));
    assert_eq!(between("as", "bs"), Some(20.0));
    assert_eq!(between("cs", "as"), Some(65.0));
    let located = locate(&trenches, &[2, 0], 0);
    assert_eq!((located.distance_m, located.rank), (Some(65.0), Some(2)));
    assert_eq!(locate(&trenches, &[], 0).distance_m, None);
}

#[test]
fn the_prior_prefers_long_and_old_pipes() {
    // 10 m x 25 a, 30 m x 65 a, 60 m x 10 a.
    assert_eq!(row().prior(2025), [1, 2, 0]);
}

/// Largest matching by trying everything.
fn best(events: &[Event], alarms: &[Alarm], used: u32) -> usize {
    let Some((first, rest)) = alarms.split_first() else { return 0 };
    let without = best(events, rest, used);
    (0..events.len())
        .filter(|&at| used & (1 << at) == 0 && matching::may_match(&events[at], first))
        .map(|at| 1 + best(events, rest, used | (1 << at)))
        .fold(without, usize::max)
}

fn any_events() -> impl Strategy<Value = Vec<Event>> {
    let one = (0_usize..2, 0_i64..60, 1_i64..40)
        .prop_map(|(class, on, length)| event(["burst", "leak_abrupt"][class], on, on + length));
    prop::collection::vec(one, 0..6)
}

fn any_alarms() -> impl Strategy<Value = Vec<Alarm>> {
    let one = (0_usize..2, 0_i64..100).prop_map(|(class, at)| alarm(["burst", "leak_abrupt"][class], at));
    prop::collection::vec(one, 0..7)
}

proptest! {
    #[test]
    fn matching_is_maximum(events in any_events(), alarms in any_alarms()) {
        prop_assert_eq!(match_alarms(&events, &alarms).matches.len(), best(&events, &alarms, 0));
    }

    #[test]
    fn every_alarm_is_judged_once_and_every_match_is_allowed(events in any_events(), alarms in any_alarms()) {
        let matching = match_alarms(&events, &alarms);
        let mut seen: Vec<usize> = matching.matches.iter().map(|m| m.alarm)
            .chain(matching.false_alarms.iter().copied()).chain(matching.repeats.iter().copied()).collect();
        seen.sort_unstable();
        prop_assert_eq!(seen, (0..alarms.len()).collect::<Vec<_>>());
        for found in &matching.matches {
            prop_assert!(matching::may_match(&events[found.event], &alarms[found.alarm]));
        }
    }

    #[test]
    fn the_order_of_events_and_alarms_does_not_matter(
        (events, shuffled) in any_events().prop_flat_map(|e| (Just(e.clone()), Just(e).prop_shuffle())),
        (alarms, mixed) in any_alarms().prop_flat_map(|a| (Just(a.clone()), Just(a).prop_shuffle())),
    ) {
        let (one, other) = (match_alarms(&events, &alarms), match_alarms(&shuffled, &mixed));
        prop_assert_eq!(one.matches.len(), other.matches.len());
        let times = |matching: &Matching, alarms: &[Alarm]| {
            let mut times: Vec<(i64, String)> = matching.matches.iter()
                .map(|m| (alarms[m.alarm].emitted_us, alarms[m.alarm].class.clone())).collect();
            times.sort();
            times
        };
        prop_assert_eq!(times(&one, &alarms), times(&other, &mixed));
        prop_assert_eq!(
            (one.false_alarms.len(), one.repeats.len()), (other.false_alarms.len(), other.repeats.len())
        );
    }
}
