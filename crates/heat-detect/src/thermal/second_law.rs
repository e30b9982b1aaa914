//! Secondaries that read hotter than what heats them.
//!
//! Heat does not flow from a colder primary into a warmer secondary. When the secondary's supply reads far above the
//! hottest that its own primary has lately been, its sensor is wrong, whatever it reads: the plant is not overheated. What
//! primaries and secondaries do at rest, at a start, and while they cool beside each other stays far below
//! [`ABOVE_KELVIN`]. Which of the two circuits' sensors is wrong: the primary is vouched for when its supply reads what
//! should have arrived here; at rest, when flow or heat meter says so, both secondary sensors must say it, and the
//! secondary must have grown warmer meanwhile, which a circuit that nothing heats does not. Where neither holds nothing is
//! told.
//!
//! Often it is a whole device: its reference fails, and all that it measures is off together. Then the device is told, with
//! what its signals read, and what else is found of its signals is an effect of that.
//!
//! Why not the controller's set point: a secondary above it may be a valve that does not close, which is what this must be
//! told from. Cold start: a station must have been seen in order for [`ORDINARY`] readings; where a boiler or heat pump of
//! its own heats the secondary above the primary, that never comes. It is over a day after it last showed, once the return of a
//! station that delivers is where it usually is against the primary's.

use serde::{Deserialize, Serialize};

use super::{
    BIN_US, End, Fault, Layout, Quality, Role, Statement, Thermal, say,
    say::Said,
    station::Station,
    values::{Means, Readings},
};
use crate::{
    layout::Site,
    network::statements::{Fact, Place},
};

/// Above the primary by so much, K: twice what starts and rests of real stations show.
const ABOVE_KELVIN: f64 = 15.0;
/// A primary that is shut off cools no faster, in itself and in what it has heated, K by quarter hour.
const COOLS_KELVIN: f64 = 4.0;
/// The primary's supply reads what should have arrived to within so much, K.
const NEAR_KELVIN: f64 = 6.0;
/// What grew warmer by less has only been mixed, K.
const GREW_KELVIN: f64 = 5.0;
/// The secondary's return is back where it was to within so much, K.
const BACK_KELVIN: f64 = 8.0;
/// Readings in order before a station is judged.
const ORDINARY: u16 = 48;
/// Memory of how the returns stand to each other, readings.
const MEMORY: f64 = 1_000.0;
/// Readings that must show it within a day, and the time from the first of them.
const HITS: u8 = 3;
const LASTS_BINS: i64 = 4;
const DAY_BINS: i64 = 96;
/// Readings of a station that delivers, in order again, after which it is over.
const WELL: u8 = 8;
/// Longest gap over which the primary's past counts, quarter hours.
const GAP_MAX: i64 = 12;

/// What is known of one station.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Order {
    bin: i64,
    /// The hottest that the primary was, less what it may have cooled since.
    hot: f32,
    /// The coldest that the secondary's supply was since its primary was hotter.
    low: f32,
    /// Secondary return less primary return, usually.
    apart: f32,
    ordinary: u16,
    hits: u8,
    well: u8,
    first_bin: i64,
    hit_bin: i64,
    said: Option<Place>,
}

/// One reading of a station.
#[derive(Debug, Clone, Copy)]
struct Look {
    /// Primary supply and return, degC.
    primary: (f64, f64),
    supply: f64,
    back: Option<f64>,
    delivers: bool,
    /// Whether heat is drawn, by flow or heat meter.
    draws: Option<bool>,
    arrives: Option<f64>,
}

/// What a reading shows.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
struct Seen {
    supply: bool,
    back: bool,
}

impl Order {
    fn take(&mut self, bin: i64, look: Look) -> Seen {
        let passed = bin - self.bin;
        let now = look.primary.0.max(look.primary.1);
        let carried = f64::from(self.hot) - COOLS_KELVIN * passed as f64;
        let hot = if passed > GAP_MAX { now } else { now.max(carried) };
        (self.bin, self.hot) = (bin, hot as f32);
        // After a gap the secondary may be as warm as a primary that nobody saw.
        if look.supply <= hot || passed > GAP_MAX {
            self.low = look.supply as f32;
        }
        self.low = self.low.min(look.supply as f32);
        let above = |celsius: f64| celsius > hot + ABOVE_KELVIN;
        let is_vouched = look.arrives.is_some_and(|arrives| (look.primary.0 - arrives).abs() < NEAR_KELVIN);
        let grew_at_rest = look.draws == Some(false)
            && look.supply > f64::from(self.low) + GREW_KELVIN
            && look.back.is_none_or(above);
        let hits = self.ordinary >= ORDINARY && above(look.supply) && (is_vouched || grew_at_rest);
        if hits {
            if self.hits == 0 || bin - self.hit_bin > DAY_BINS {
                (self.hits, self.first_bin) = (0, bin);
            }
            self.hits = self.hits.saturating_add(1);
            self.hit_bin = bin;
            self.well = 0;
        } else {
            self.note_order(look, hot);
        }
        Seen { supply: hits, back: hits && look.back.is_some_and(above) }
    }

    fn note_order(&mut self, look: Look, hot: f64) {
        let is_in_order = look.delivers && look.supply <= hot;
        let apart = look.back.map(|back| back - look.primary.1);
        if self.said.is_none() {
            if is_in_order {
                self.ordinary = self.ordinary.saturating_add(1);
                let weight = 1.0 / f64::from(self.ordinary).min(MEMORY);
                self.apart += (weight * (apart.unwrap_or(0.0) - f64::from(self.apart))) as f32;
            }
            return;
        }
        let is_back = apart.is_none_or(|apart| (apart - f64::from(self.apart)).abs() < BACK_KELVIN);
        if look.delivers {
            self.well = if is_in_order && is_back { self.well.saturating_add(1) } else { 0 };
        }
    }

    const fn shows(&self, bin: i64) -> bool {
        self.hits >= HITS && self.hit_bin == bin && bin - self.first_bin >= LASTS_BINS
    }

    const fn is_over(&self, bin: i64) -> bool {
        self.well >= WELL && bin - self.hit_bin >= DAY_BINS
    }
}

/// Means of a site's secondary, whatever is told of it here.
fn secondary(means: Means<'_>, site: &Site, role: Role) -> Option<(u32, f64)> {
    let signal = site.signal(role)?;
    let is_own = means.quality.fault(signal) == Some(Fault::Impossible);
    let mean = means.bins.measured(signal)?;
    (is_own || !means.quality.is_blind(signal)).then_some((signal, mean))
}

impl Thermal {
    /// Takes the impossible out of the stations' readings, and says whose sensors or devices give it.
    pub(super) fn find_impossible(
        &mut self,
        means: Means<'_>,
        bin: i64,
        stations: &mut [(u32, Readings)],
    ) -> Vec<Change> {
        let mut changes = Vec::new();
        for (index, own) in stations {
            let Some(primary) = own.supply.zip(own.back) else { continue };
            let site = &means.layout.sites[*index as usize];
            let Some((supply, celsius)) = secondary(means, site, Role::SecondarySupplyTemperature) else {
                continue;
            };
            let back = secondary(means, site, Role::SecondaryReturnTemperature);
            let Some(station) = self.station_mut(*index) else { continue };
            let look = Look {
                primary,
                supply: celsius,
                back: back.map(|(_, celsius)| celsius),
                delivers: station.delivers,
                draws: station.draws(bin, own),
                arrives: station.arrived(),
            };
            let seen = station.order.take(bin, look);
            if seen.supply {
                own.secondary_supply = None;
            }
            if seen.back {
                own.secondary_return = None;
            }
            let hot = f64::from(station.order.hot);
            let signals: Vec<(u32, f64)> =
                std::iter::once((supply, celsius)).chain(back.filter(|_| seen.back)).collect();
            if station.order.said.is_some() && seen.supply || station.order.shows(bin) {
                changes.push(Change { site: *index, signals, hot, is_over: false });
            } else if station.order.said.is_some() && station.order.is_over(bin) {
                let both = std::iter::once((supply, celsius)).chain(back).collect();
                changes.push(Change { site: *index, signals: both, hot, is_over: true });
            }
        }
        changes
    }

    /// Says what [`Self::find_impossible`] has found.
    pub(super) fn say_impossible(
        &mut self,
        changes: Vec<Change>,
        layout: &Layout,
        bin: i64,
        quality: &mut Quality,
        said: &mut Vec<Statement>,
    ) {
        for change in changes {
            let Some(station) = self.station_mut(change.site) else { continue };
            if change.is_over {
                said.extend(station.in_order_again(&change, bin, quality));
            } else {
                said.extend(station.out_of_order(&change, layout, bin, quality));
            }
        }
    }
}

/// A station whose secondary reads what it cannot, or does so no longer.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Change {
    site: u32,
    /// Those that read it, and what.
    signals: Vec<(u32, f64)>,
    /// The hottest that the primary has lately been.
    hot: f64,
    is_over: bool,
}

impl Station {
    fn out_of_order(
        &mut self,
        change: &Change,
        layout: &Layout,
        bin: i64,
        quality: &mut Quality,
    ) -> Vec<Statement> {
        let at_us = (bin + 1) * BIN_US;
        for (signal, _) in &change.signals {
            quality.opens(*signal, Fault::Impossible, at_us);
        }
        let [(first, celsius), rest @ ..] = change.signals.as_slice() else { return Vec::new() };
        if self.order.said.is_some() || quality.fault(*first) != Some(Fault::Impossible) {
            return Vec::new();
        }
        let device = layout.placed[*first as usize].device;
        let is_device = rest.iter().any(|(signal, _)| layout.placed[*signal as usize].device == device);
        let place = if is_device { Place::Device(device) } else { Place::Signal(*first) };
        self.order.said = Some(place);
        let mut said = Vec::new();
        // What was told of the plant meanwhile was these sensors.
        if let Some(case) = self.bank.case {
            said.extend(self.ends(case.rule, End::InLine, change.site, bin, quality));
        }
        self.bank.dismiss();
        let fact = |signal, what, value| Fact { signal, what, value, unit: "degC" };
        let mut statement = statement(*first, place, self.order.first_bin, true);
        statement.facts = change
            .signals
            .iter()
            .map(|(signal, value)| fact(Some(*signal), Fault::Impossible.kind(), *value))
            .collect();
        statement.facts.push(fact(None, "primary_at_most", change.hot));
        statement.strength = celsius - change.hot;
        said.push(statement);
        said
    }

    fn in_order_again(&mut self, change: &Change, bin: i64, quality: &mut Quality) -> Option<Statement> {
        for (signal, _) in &change.signals {
            quality.closes_if(*signal, Fault::Impossible);
        }
        (self.order.hits, self.order.well) = (0, 0);
        let place = self.order.said.take()?;
        let (signal, _) = change.signals.first()?;
        Some(statement(*signal, place, bin + 1, false))
    }
}

fn statement(signal: u32, place: Place, onset_bin: i64, active: bool) -> Statement {
    let mut statement =
        say::statement(Said::Sensor(signal, Fault::Impossible), 0, onset_bin * BIN_US, active);
    statement.place = place;
    statement
}

#[cfg(test)]
mod tests {
    use super::*;

    fn look(primary: f64, supply: f64) -> Look {
        Look {
            primary: (primary, primary - 30.0),
            supply,
            back: Some(supply - 4.0),
            delivers: true,
            draws: Some(true),
            arrives: Some(primary),
        }
    }

    fn ordinary() -> Order {
        let mut order = Order::default();
        for hour in 0..60 {
            assert_eq!(order.take(4 * hour, look(75.0, 44.0)), Seen::default());
        }
        order
    }

    fn shown_after(order: &mut Order, from: i64, looks: &[Look]) -> Option<usize> {
        looks.iter().zip(from..).position(|(look, hour)| {
            order.take(4 * hour, *look);
            order.shows(4 * hour)
        })
    }

    #[test]
    fn both_sensors_of_a_secondary_far_above_a_primary_that_is_vouched_for_are_told_in_three_readings() {
        let mut order = ordinary();
        assert_eq!(shown_after(&mut order, 60, &[look(75.0, 114.0); 5]), Some(2));
        let seen = order.take(4 * 65, look(75.0, 114.0));
        assert_eq!(seen, Seen { supply: true, back: true });
    }

    #[test]
    fn a_primary_whose_own_sensor_may_be_the_wrong_one_blames_no_secondary() {
        let mut order = ordinary();
        let wrong = Look { primary: (20.0, 40.0), supply: 58.0, back: Some(42.0), ..look(80.0, 58.0) };
        assert_eq!(shown_after(&mut order, 60, &[wrong; 40]), None);
    }

    #[test]
    fn circuits_that_cool_beside_each_other_are_in_order_and_one_that_grows_warmer_is_not() {
        let rests = |hour: i64, supply: f64| Look {
            delivers: false,
            draws: Some(false),
            arrives: Some(75.0),
            primary: (20.0 + 55.0 * (-(hour as f64)).exp(), 24.0),
            back: Some(supply),
            supply,
        };
        let cools: Vec<Look> = (0..12).map(|hour| rests(hour, 50.0 - hour as f64)).collect();
        assert_eq!(shown_after(&mut ordinary(), 60, &cools), None);
        let grows: Vec<Look> = (0..12).map(|hour| rests(hour, 45.0 + 2.0 * hour as f64)).collect();
        assert!(shown_after(&mut ordinary(), 60, &grows).is_some());
    }

    #[test]
    fn a_secondary_that_has_a_boiler_of_its_own_is_never_judged() {
        let mut order = Order::default();
        assert_eq!(shown_after(&mut order, 0, &[look(40.0, 60.0); 400]), None);
    }

    #[test]
    fn it_is_over_a_day_after_it_last_showed_when_the_returns_are_where_they_were() {
        let mut order = ordinary();
        shown_after(&mut order, 60, &[look(75.0, 114.0); 5]);
        order.said = Some(Place::Site(0));
        let hides = Look { back: Some(74.0), ..look(85.0, 76.0) };
        for hour in 65..100 {
            order.take(4 * hour, hides);
            assert!(
                !order.is_over(4 * hour),
                "a return of 74 degC in a primary return of 55 is not in order"
            );
        }
        for hour in 100..108 {
            order.take(4 * hour, look(75.0, 44.0));
        }
        assert!(order.is_over(4 * 107));
    }
}
