//! Which one cause explains the deviations of a site's relations.
//!
//! Each cause moves the relations in a direction that physics gives: a return sensor that reads 2 K too much seems to
//! narrow the cooling and takes heat off the account, while water that really comes back warmer makes the station draw
//! more, and leaves the heat as it was. The cause whose direction leaves least unexplained is named, by least squares in
//! units of the relations' own scatter; what it leaves open counts against it, and so does freedom.

/// Relations of a site; a site with fewer leaves some out.
pub(super) const CHANNELS: usize = 9;

/// What a cause asks of a relation.
#[derive(Debug, Clone, Copy)]
pub(super) enum Want {
    /// In line.
    Zero,
    /// So much per unit of the cause.
    Per(f64),
    /// The same, or in line: a heat meter with sensors of its own shows what is wrong with another's, one that shares
    /// them does not.
    PerOrZero(f64),
    /// Clearly below or above the line, by whatever amount.
    Below,
    Above,
    /// Whatever.
    Any,
    /// In line, or whatever.
    May,
}

/// A cause, as what it does to the relations.
#[derive(Debug, Clone, Copy)]
pub(super) struct Rule {
    pub(super) wants: [Want; CHANNELS],
    /// Sign that its size must have.
    pub(super) sign: Option<f64>,
    /// Whether a sensor is at fault, not the plant.
    pub(super) is_sensor: bool,
    /// What counts against it from the start: it is rarer than another that looks like it.
    pub(super) rare: f64,
}

/// A cause with how badly it explains what is seen.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Ranked {
    /// Index of the rule.
    pub(super) rule: usize,
    /// In the unit of the rule.
    pub(super) size: f64,
    pub(super) cost: f64,
    /// The largest of the deviations, in standard deviations.
    pub(super) largest: f64,
}

impl Ranked {
    /// How strongly it shows: its size; of a cause that asks for no size, the largest deviation.
    pub(super) fn strength(&self) -> f64 {
        if self.size == 0.0 { self.largest } else { self.size.abs() }
    }
}

/// Deviation and standard deviation of each relation that is known now.
pub(super) type Deviations = [Option<(f64, f64)>; CHANNELS];

/// Cost that one relation can add at most: beyond, it only says "not this".
const COST_MAX: f64 = 80.0;
/// Cost of a free relation.
const FREE: f64 = 2.0;
/// Standard deviations from which on a relation is clearly below or above.
const CLEARLY: f64 = 4.0;
/// Share of a predicted deviation that the models may be wrong by.
const MODEL_ERROR: f64 = 0.2;

/// The rule as either of what a relation may do, the better one.
fn cost(index: usize, rule: &Rule, seen: &Deviations) -> Ranked {
    let as_if = |shows: bool| {
        let wants = rule.wants.map(|want| match want {
            Want::PerOrZero(factor) if shows => Want::Per(factor),
            Want::PerOrZero(_) => Want::Zero,
            Want::Zero | Want::Per(_) | Want::Below | Want::Above | Want::Any | Want::May => want,
        });
        cost_of(index, &Rule { wants, ..*rule }, seen)
    };
    let mut plain = as_if(true);
    let has_choice =
        rule.wants.iter().zip(seen).any(|(want, seen)| matches!(want, Want::PerOrZero(_)) && seen.is_some());
    if !has_choice {
        return plain;
    }
    // A choice is freedom: where nothing else is off, the meter itself is.
    plain.cost += FREE;
    let unseen = as_if(false);
    if unseen.cost < plain.cost { unseen } else { plain }
}

fn cost_of(index: usize, rule: &Rule, seen: &Deviations) -> Ranked {
    let (mut square, mut product) = (0.0, 0.0);
    for (want, seen) in rule.wants.iter().zip(seen) {
        if let (Want::Per(factor), Some((value, sigma))) = (want, seen) {
            square += (factor / sigma).powi(2);
            product += factor * value / (sigma * sigma);
        }
    }
    let mut size = if square > 0.0 { product / square } else { 0.0 };
    if rule.sign.is_some_and(|sign| sign * size < 0.0) {
        size = 0.0;
    }
    let mut cost = rule.rare;
    for (want, seen) in rule.wants.iter().zip(seen) {
        let Some((value, sigma)) = *seen else { continue };
        let off = |expected: f64| {
            let error = sigma.hypot(MODEL_ERROR * expected);
            ((value - expected) / error).powi(2).min(COST_MAX)
        };
        cost += match want {
            Want::Zero => off(0.0),
            Want::Per(factor) | Want::PerOrZero(factor) => off(factor * size),
            Want::Any => FREE,
            Want::May => off(0.0).min(FREE),
            Want::Below => FREE + short(-value / sigma),
            Want::Above => FREE + short(value / sigma),
        };
    }
    let largest = seen.iter().flatten().map(|(value, sigma)| (value / sigma).abs()).fold(0.0, f64::max);
    Ranked { rule: index, size, cost, largest }
}

/// What a deviation lacks that must be there.
fn short(z: f64) -> f64 {
    2.0 * (CLEARLY - z).max(0.0).powi(2).min(COST_MAX)
}

/// How probable the other of two causes is, where their costs are those of squared deviations. One in twenty at the most of the
/// cases that are told at once; where a cause was waited for in vain, up to half.
pub(super) fn weight_of_other(best: &Ranked, other: &Ranked) -> f64 {
    1.0 / (1.0 + (0.5 * (other.cost - best.cost).max(0.0)).exp())
}

/// The best cause, and the best one of the other family (sensor or plant) where there is one.
pub(super) fn rank(rules: &[Rule], seen: &Deviations) -> Option<(Ranked, Option<Ranked>)> {
    let best_of = |is_sensor: bool| {
        rules
            .iter()
            .enumerate()
            .filter(|(_, rule)| rule.is_sensor == is_sensor)
            .map(|(index, rule)| cost(index, rule, seen))
            .reduce(|a, b| if b.cost < a.cost { b } else { a })
    };
    match (best_of(true), best_of(false)) {
        (Some(sensor), Some(plant)) if plant.cost < sensor.cost => Some((plant, Some(sensor))),
        (Some(sensor), plant) => Some((sensor, plant)),
        (None, plant) => plant.map(|plant| (plant, None)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cause_that_asks_for_no_size_is_as_strong_as_the_largest_deviation() {
        let mut wants = [Want::Zero; CHANNELS];
        (wants[0], wants[1]) = (Want::Below, Want::Above);
        let rule = Rule { wants, sign: None, is_sensor: false, rare: 0.0 };
        let mut seen: Deviations = [None; CHANNELS];
        (seen[0], seen[1]) = (Some((-3.0, 0.25)), Some((1.0, 0.2)));
        let (best, _) = rank(&[rule], &seen).expect("there is one rule");
        assert!((best.strength() - 12.0).abs() < 1e-9, "{best:?}");
        wants[0] = Want::Per(-1.0);
        let (best, _) = rank(&[Rule { wants, ..rule }], &seen).expect("there is one rule");
        assert!((best.strength() - 3.0).abs() < 1e-9, "{best:?}");
    }
    #[test]
    fn the_other_cause_weighs_half_in_a_tie_and_next_to_nothing_where_the_best_one_is_clear() {
        let cause = |cost: f64| Ranked { rule: 0, size: 1.0, cost, largest: 5.0 };
        let weight = |other: f64| weight_of_other(&cause(4.0), &cause(other));
        assert!((weight(4.0) - 0.5).abs() < 1e-12, "{}", weight(4.0));
        assert!(
            (0.01..0.05).contains(&weight(12.0)) && weight(40.0) < 1e-6,
            "{} {}",
            weight(12.0),
            weight(40.0)
        );
    }
}
