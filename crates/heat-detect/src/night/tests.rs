use super::{tanks::Tanks, *};
use crate::balance::sequential::SplitMix;

/// A network's inflow: a morning and an evening peak that make the mean 8 kg/s or so, and noise.
#[derive(Debug, Clone, Copy)]
struct Town {
    /// Bins between scans.
    every: i64,
    /// Amplitude of the year's wave, a share of all that is drawn.
    season: f64,
    /// What is drawn more on two days of the week.
    weekend: f64,
}

const QUARTERS: Town = Town { every: 1, season: 0.0, weekend: 0.0 };
const DAY: i64 = 96;

const fn plain(kg_s: f64) -> Drawn {
    Drawn { kg_s, slopes: Vec::new() }
}

impl Town {
    fn run(
        self,
        nights: &mut NightFlow,
        (from, to): (i64, i64),
        leak: impl Fn(i64) -> f64,
    ) -> Vec<(i64, Night)> {
        let settings = DetectSettings::default();
        let mut random = SplitMix::new(from.unsigned_abs() + 1);
        (from..to)
            .filter(|bin| bin % self.every == 0)
            .filter_map(|bin| {
                let hour = bin.rem_euclid(DAY) as f64 / 4.0;
                let peak = |at: f64| (-((hour - at) / 2.5).powi(2)).exp();
                let year = 1.0 + self.season * (std::f64::consts::TAU * bin as f64 / (365.0 * 96.0)).sin();
                let week = if bin.div_euclid(DAY) % 7 >= 5 { 1.0 + self.weekend } else { 1.0 };
                let demand = (2.0 + 20.0 * peak(8.0) + 15.0 * peak(19.0) + 6.0 * (hour / 24.0)) * year * week;
                let inflow = demand * (0.95 + 0.1 * random.unit()) + leak(bin);
                nights.observe(&settings, bin, &plain(inflow), true).map(|night| (bin, night))
            })
            .collect()
    }
}

fn first_leak(said: &[(i64, Night)]) -> (i64, NightLeak) {
    let leak = said.iter().find_map(|(bin, night)| match night {
        Night::Leak(leak) => Some((*bin, *leak)),
        Night::Over => None,
    });
    leak.unwrap_or_else(|| panic!("{said:?}"))
}

#[test]
fn a_sudden_leak_is_found_the_next_morning_and_is_over_after_its_repair_at_any_rate_of_scans() {
    for every in [1, 2, 4] {
        let town = Town { every, ..QUARTERS };
        let mut nights = NightFlow::default();
        assert_eq!(town.run(&mut nights, (0, 20 * DAY), |_| 0.0), [], "every {every}");

        let (bin, leak) = first_leak(&town.run(&mut nights, (20 * DAY, 22 * DAY), |_| 2.0));
        assert!(leak.abrupt && (leak.loss_kg_s - 2.0).abs() < 0.5 && bin < 21 * DAY, "{leak:?}");

        let after = town.run(&mut nights, (22 * DAY, 25 * DAY), |_| 0.0);
        assert_eq!(after.last().map(|(_, night)| *night), Some(Night::Over), "{after:?}");
    }
}

#[test]
fn a_leak_that_grows_is_found_by_many_nights_and_a_year_without_one_is_quiet() {
    let mut nights = NightFlow::default();
    assert_eq!(QUARTERS.run(&mut nights, (0, 365 * DAY), |_| 0.0), []);

    let on = 365 * DAY;
    let found = QUARTERS.run(&mut nights, (on, on + 20 * DAY), |bin| 0.06 * (bin - on) as f64 / 96.0);
    assert!(!first_leak(&found).1.abrupt, "{found:?}");
}

#[test]
fn a_season_that_raises_and_lowers_every_hour_stays_within_the_budget_and_is_never_sudden() {
    let town = Town { every: 2, season: 0.25, weekend: 0.15 };
    let mut nights = NightFlow::default();
    let said = town.run(&mut nights, (0, 160 * DAY), |_| 0.0);
    let leaks = || said.iter().filter(|(_, night)| matches!(night, Night::Leak(_)));
    // A fifth of the budget's one a month, in five months.
    assert!(leaks().count() <= 1, "{said:?}");
    assert!(leaks().all(|(_, night)| matches!(night, Night::Leak(leak) if !leak.abrupt)), "{said:?}");
}

#[test]
fn a_second_leak_on_top_of_one_that_nobody_repairs_is_told_with_its_own_onset() {
    let mut nights = NightFlow::default();
    let (first, second) = (20 * DAY, 50 * DAY);
    let lost = |bin: i64| f64::from(u8::from(bin >= first)) * 1.5 + f64::from(u8::from(bin >= second)) * 2.0;
    let before = QUARTERS.run(&mut nights, (0, second), lost);
    assert!(before.iter().all(|(_, night)| matches!(night, Night::Leak(leak) if leak.further.is_none())));

    let (_, leak) = first_leak(&QUARTERS.run(&mut nights, (second, second + 2 * DAY), lost));
    let (onset, height) = leak.further.unwrap();
    assert!((second..second + DAY).contains(&onset) && (height - 2.0).abs() < 0.6, "{leak:?}");
}

#[test]
fn a_hole_of_some_hours_in_the_night_or_the_day_is_no_leak() {
    let settings = DetectSettings::default();
    let mut nights = NightFlow::default();
    let town = Town { every: 2, ..QUARTERS };
    town.run(&mut nights, (0, 20 * DAY), |_| 0.0);
    // The day's peak is missing on every day, then an hour of each night.
    for (bin, hour) in (20 * DAY..40 * DAY).step_by(2).map(|bin| (bin, bin.rem_euclid(DAY) as f64 / 4.0)) {
        let hole = if bin < 30 * DAY { 6.0..11.0 } else { 1.0..2.0 };
        if !hole.contains(&hour) {
            let peak = |at: f64| (-((hour - at) / 2.5).powi(2)).exp();
            let inflow = 2.0 + 20.0 * peak(8.0) + 15.0 * peak(19.0) + 6.0 * (hour / 24.0);
            assert_eq!(nights.observe(&settings, bin, &plain(inflow), true), None, "{bin}");
        }
    }
}

#[test]
fn the_months_after_a_long_leak_s_repair_are_quiet() {
    let town = Town { every: 2, season: 0.2, weekend: 0.1 };
    let mut nights = NightFlow::default();
    let (on, off) = (30 * DAY, 90 * DAY);
    town.run(&mut nights, (0, off), |bin| if bin >= on { 2.0 } else { 0.0 });
    let after = town.run(&mut nights, (off, off + 120 * DAY), |_| 0.0);
    assert_eq!(after.iter().filter(|(_, night)| *night == Night::Over).count(), 1, "{after:?}");
    assert_eq!(after.last().map(|(_, night)| *night), Some(Night::Over), "{after:?}");
}

#[test]
fn the_nights_of_a_pump_that_fills_a_tank_and_rests_say_nothing() {
    let settings = DetectSettings::default();
    let mut nights = NightFlow::default();
    let said = (0..200 * DAY).step_by(2).filter_map(|bin| {
        // It runs for 12 h of 30, through some nights and not through others; after 100 days for 20 h.
        let hours = if bin < 100 * DAY { 12 } else { 20 };
        let inflow = if (bin / 4) % 30 < hours { 110.0 } else { 0.0 };
        nights.observe(&settings, bin, &plain(inflow), true)
    });
    assert_eq!(said.collect::<Vec<_>>(), []);
}

/// A pump that fills a tank of so many m2 between 1 m and 3 m, whatever is drawn from it; scans tell the moment.
#[derive(Debug, Clone, Copy)]
struct Pumped {
    area: f64,
    kg_s: f64,
    level: f64,
    runs: bool,
}

const PUMPED: Pumped = Pumped { area: 120.0, kg_s: 20.0, level: 2.0, runs: false };

impl Pumped {
    /// Runs the tank on what is drawn from it; the inflow is what the pump takes and what is drawn beside it. Gives what the nights
    /// said.
    fn run(
        &mut self,
        (tanks, nights): (&mut Tanks, &mut NightFlow),
        (from, to): (i64, i64),
        drawn: impl Fn(f64, i64) -> (f64, f64),
    ) -> Vec<(i64, Night)> {
        let settings = DetectSettings::default();
        let mut random = SplitMix::new(from.unsigned_abs() + 7);
        let mut said = Vec::new();
        for bin in (from..to).step_by(2) {
            let hour = bin.rem_euclid(DAY) as f64 / 4.0;
            let peak = |at: f64| (-((hour - at) / 2.5).powi(2)).exp();
            let wave = (2.0 + 12.0 * peak(8.0) + 9.0 * peak(19.0)) * (0.97 + 0.06 * random.unit());
            let (of_tank, beside) = drawn(wave, bin);
            self.runs = if self.runs { self.level < 3.0 } else { self.level < 1.0 };
            let fed = if self.runs { self.kg_s } else { 0.0 };
            let read = (self.level * 1_000.0 + 4.0 * random.unit()).round() / 1_000.0;
            let level = [(3, Some(read))];
            if let Some(drawn) = tanks.observe(bin, fed + beside, &level, nights.is_quiet(bin)) {
                if let Some(by) = tanks.take_moved() {
                    nights.move_areas(&by);
                }
                said.extend(nights.observe(&settings, bin, &drawn, true).map(|night| (bin, night)));
            }
            self.level += (fed - of_tank) * 1_800.0 / 1_000.0 / self.area;
        }
        said
    }
}

fn area(tanks: &Tanks) -> f64 {
    let areas: Vec<f64> = tanks.areas().map(|(_, area)| area).collect();
    assert_eq!(areas.len(), 1, "{tanks:?}");
    areas[0]
}

#[test]
fn a_leak_is_found_behind_a_pump_that_fills_a_tank_and_rests_and_the_tank_s_area_is_learned() {
    let (mut tanks, mut nights, mut pumped) = (Tanks::default(), NightFlow::default(), PUMPED);
    let on = 60 * DAY;
    let calm = pumped.run((&mut tanks, &mut nights), (0, on), |wave, _| (wave, 0.0));
    assert_eq!(calm, []);
    assert!((area(&tanks) - 120.0).abs() < 6.0, "{}", area(&tanks));

    let found = pumped.run((&mut tanks, &mut nights), (on, on + 10 * DAY), |wave, _| (wave + 0.8, 0.0));
    let (_, leak) = first_leak(&found);
    assert!((leak.loss_kg_s - 0.8).abs() < 0.3, "{leak:?}");
    assert!((area(&tanks) - 120.0).abs() < 6.0, "a leak is no part of an area: {}", area(&tanks));
}

#[test]
fn a_leak_is_found_where_an_upper_zone_s_tank_is_filled_from_the_network() {
    let (mut tanks, mut nights) = (Tanks::default(), NightFlow::default());
    let mut upper = Pumped { area: 40.0, kg_s: 5.0, ..PUMPED };
    let on = 60 * DAY;
    let calm = upper.run((&mut tanks, &mut nights), (0, on), |wave, _| (0.3 * wave, wave));
    assert_eq!(calm, []);
    assert!((area(&tanks) - 40.0).abs() < 2.0, "{}", area(&tanks));

    let found = upper.run((&mut tanks, &mut nights), (on, on + 10 * DAY), |wave, _| (0.3 * wave, wave + 0.8));
    assert!((first_leak(&found).1.loss_kg_s - 0.8).abs() < 0.3, "{found:?}");
}

#[test]
fn a_level_that_the_inflow_does_not_follow_changes_nothing() {
    let (mut tanks, mut random) = (Tanks::default(), SplitMix::new(5));
    let mut level = 2.0_f64;
    for bin in 0..60 * DAY {
        let inflow = 8.0 + 4.0 * (bin as f64 / 96.0 * std::f64::consts::TAU).sin() + random.unit();
        // It is drawn down and filled by somebody else.
        level += if bin % 50 < 25 { 0.02 } else { -0.02 } + 0.002 * random.unit();
        let drawn = tanks.observe(bin, inflow, &[(0, Some(level))], bin % DAY < 12);
        assert_eq!(drawn, Some(plain(inflow)), "{bin}");
    }
}
