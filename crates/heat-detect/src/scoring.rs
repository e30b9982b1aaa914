//! The judge: alarms against what really happened, after the rules that stand with the detectors' design.
//!
//! An alarm counts by the time its output left the program, never by a back-dated onset. Every alarm that matches no
//! event is false, those before an onset included. Beside every recall stands what as many random alarms would reach.

use crate::balance::sequential::SplitMix;

const HOUR_US: i64 = 3_600_000_000;
const DAY_US: i64 = 24 * HOUR_US;
/// Random draws of the chance line.
const DRAWS: usize = 1_000;

/// What happened.
#[derive(Debug, Clone, PartialEq)]
pub struct Event {
    /// Class word, a kind in parentheses allowed.
    pub class: String,
    /// Network.
    pub network: String,
    /// Onset, microseconds since the epoch.
    pub on_us: i64,
    /// End.
    pub off_us: i64,
    /// Pipe, site or signal; empty where unknown.
    pub place: String,
    /// Loss, kg/s, where it is one.
    pub size_kg_s: Option<f64>,
}

/// What was said.
#[derive(Debug, Clone, PartialEq)]
pub struct Alarm {
    /// Class word.
    pub class: String,
    /// Network.
    pub network: String,
    /// When the output left the program, microseconds since the epoch.
    pub emitted_us: i64,
    /// Pipes, most probable first.
    pub ranked: Vec<String>,
    /// Loss, kg/s.
    pub size_kg_s: Option<f64>,
}

/// Alarms of one event, judged.
#[derive(Debug, Clone, PartialEq)]
pub struct Match {
    /// Index of the event.
    pub event: usize,
    /// Index of the alarm.
    pub alarm: usize,
    /// Onset to emission, microseconds.
    pub delay_us: i64,
}

/// The outcome of matching.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Matching {
    /// One-to-one pairs, in order of events.
    pub matches: Vec<Match>,
    /// Alarms that match nothing.
    pub false_alarms: Vec<usize>,
    /// Further alarms inside a matched live event: reported, not scored.
    pub repeats: Vec<usize>,
}

/// How long after its onset an alarm may still match an event of this class, microseconds.
pub fn window_us(class: &str) -> i64 {
    match base(class) {
        "burst" | "leak_abrupt" => DAY_US,
        "leak_incipient" => 14 * DAY_US,
        "sensor_fault" if class.contains("drift") => 14 * DAY_US,
        _ => 2 * DAY_US,
    }
}

fn base(class: &str) -> &str {
    class.split('(').next().unwrap_or(class)
}

fn is_leak(class: &str) -> bool {
    matches!(base(class), "burst" | "leak_abrupt" | "leak_incipient")
}

/// Merges alarms of one class and network within 6 h (losses of water) or 24 h (others); the first one stands.
pub fn merge(mut alarms: Vec<Alarm>) -> Vec<Alarm> {
    alarms.sort_by_key(|alarm| alarm.emitted_us);
    let mut kept: Vec<Alarm> = Vec::new();
    for alarm in alarms {
        let span = if is_leak(&alarm.class) { 6 * HOUR_US } else { DAY_US };
        let known = kept.iter().any(|earlier| {
            earlier.class == alarm.class
                && earlier.network == alarm.network
                && alarm.emitted_us - earlier.emitted_us < span
        });
        if !known {
            kept.push(alarm);
        }
    }
    kept
}

fn may_match(event: &Event, alarm: &Alarm) -> bool {
    base(&event.class) == base(&alarm.class)
        && event.network == alarm.network
        && event.on_us <= alarm.emitted_us
        && alarm.emitted_us <= event.off_us.min(event.on_us + window_us(&event.class))
}

/// One-to-one maximum matching; among equals, earlier alarms go first.
pub fn match_alarms(events: &[Event], alarms: &[Alarm]) -> Matching {
    let mut order: Vec<usize> = (0..alarms.len()).collect();
    order.sort_by_key(|&index| alarms[index].emitted_us);
    let mut alarm_of: Vec<Option<usize>> = vec![None; events.len()];
    for &alarm in &order {
        let mut seen = vec![false; events.len()];
        augment(events, alarms, alarm, &mut alarm_of, &mut seen);
    }
    let mut matching = Matching::default();
    let mut used = vec![false; alarms.len()];
    for (event, alarm) in alarm_of.iter().enumerate() {
        if let Some(alarm) = *alarm {
            used[alarm] = true;
            matching.matches.push(Match {
                event,
                alarm,
                delay_us: alarms[alarm].emitted_us - events[event].on_us,
            });
        }
    }
    for &alarm in order.iter().filter(|&&alarm| !used[alarm]) {
        let inside = matching.matches.iter().any(|found| {
            let event = &events[found.event];
            base(&event.class) == base(&alarms[alarm].class)
                && event.network == alarms[alarm].network
                && (event.on_us..=event.off_us).contains(&alarms[alarm].emitted_us)
        });
        if inside { matching.repeats.push(alarm) } else { matching.false_alarms.push(alarm) }
    }
    matching
}

/// Kuhn's augmenting path.
fn augment(
    events: &[Event],
    alarms: &[Alarm],
    alarm: usize,
    alarm_of: &mut [Option<usize>],
    seen: &mut [bool],
) -> bool {
    for event in 0..events.len() {
        if seen[event] || !may_match(&events[event], &alarms[alarm]) {
            continue;
        }
        seen[event] = true;
        let free = match alarm_of[event] {
            None => true,
            Some(other) => augment(events, alarms, other, alarm_of, seen),
        };
        if free {
            alarm_of[event] = Some(alarm);
            return true;
        }
    }
    false
}

/// Precision, recall and their means.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Rates {
    /// True alarms of all scored; 1 where none was raised.
    pub precision: f64,
    /// Found events of all; 1 where there was none.
    pub recall: f64,
    /// Precision counts twice.
    pub f05: f64,
    /// Both count alike.
    pub f1: f64,
}

/// Rates of a matching.
pub fn rates(events: usize, matching: &Matching) -> Rates {
    let hits = matching.matches.len() as f64;
    let raised = hits + matching.false_alarms.len() as f64;
    let precision = if raised > 0.0 { hits / raised } else { 1.0 };
    let recall = if events > 0 { hits / events as f64 } else { 1.0 };
    let f = |beta: f64| {
        let weight = beta * beta;
        let below = weight * precision + recall;
        if below > 0.0 { (1.0 + weight) * precision * recall / below } else { 0.0 }
    };
    Rates { precision, recall, f05: f(0.5), f1: f(1.0) }
}

/// Recall that random alarms reach: as many of each class and network as were raised, uniform over the span.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ChanceLine {
    /// Mean recall of the draws.
    pub mean: f64,
    /// Recall that 95 % of the draws do not exceed.
    pub quantile95: f64,
}

/// The chance line over `from_us..to_us`; the draws are the same for the same input.
pub fn chance_line(events: &[Event], alarms: &[Alarm], from_us: i64, to_us: i64) -> ChanceLine {
    let mut random = SplitMix::new(0x4865_6174);
    let span = (to_us - from_us).max(1) as f64;
    let mut recalls: Vec<f64> = (0..DRAWS)
        .map(|_| {
            let drawn: Vec<Alarm> = alarms
                .iter()
                .map(|alarm| Alarm { emitted_us: from_us + (random.unit() * span) as i64, ..alarm.clone() })
                .collect();
            rates(events.len(), &match_alarms(events, &drawn)).recall
        })
        .collect();
    recalls.sort_by(f64::total_cmp);
    ChanceLine {
        mean: recalls.iter().sum::<f64>() / DRAWS as f64,
        quantile95: recalls[(DRAWS * 95 / 100).min(DRAWS - 1)],
    }
}

/// Two-sided 95 % interval of a Poisson count's expectation (Garwood, exact).
pub fn poisson_interval(count: u32) -> (f64, f64) {
    let solve = |target: f64, count: u32| {
        let (mut low, mut high) = (0.0_f64, 10.0 + 3.0 * f64::from(count));
        for _ in 0..100 {
            let middle = f64::midpoint(low, high);
            // The distribution function falls as the expectation rises.
            if poisson_cdf(count, middle) > target { low = middle } else { high = middle }
        }
        f64::midpoint(low, high)
    };
    let low = if count == 0 { 0.0 } else { solve(0.975, count - 1) };
    (low, solve(0.025, count))
}

fn poisson_cdf(count: u32, expectation: f64) -> f64 {
    let mut term = (-expectation).exp();
    let mut sum = term;
    for k in 1..=count {
        term *= expectation / f64::from(k);
        sum += term;
    }
    sum
}

/// False alarms per network-month with its 95 % interval.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct FalseAlarmRate {
    /// Point estimate.
    pub per_month: f64,
    /// Lower limit.
    pub low: f64,
    /// Upper limit.
    pub high: f64,
}

/// The rate of `count` false alarms in `network_months` (30 days each).
pub fn false_alarm_rate(count: u32, network_months: f64) -> FalseAlarmRate {
    let months = network_months.max(1e-9);
    let (low, high) = poisson_interval(count);
    FalseAlarmRate { per_month: f64::from(count) / months, low: low / months, high: high / months }
}

/// Kaplan-Meier quantile of delays: `observed` are delays, `censored` the times after which the missed were given up.
/// `None` where too few were found.
pub fn delay_quantile_us(observed: &[i64], censored: &[i64], quantile: f64) -> Option<i64> {
    let mut all: Vec<(i64, bool)> = observed.iter().map(|&delay| (delay, true)).collect();
    all.extend(censored.iter().map(|&time| (time, false)));
    // At equal times, what was found counts before what was given up.
    all.sort_by_key(|&(time, found)| (time, !found));
    let mut at_risk = all.len() as f64;
    let mut survival = 1.0;
    for (time, found) in all {
        if found {
            survival *= 1.0 - 1.0 / at_risk;
            if 1.0 - survival >= quantile - 1e-12 {
                return Some(time);
            }
        }
        at_risk -= 1.0;
    }
    None
}

/// Share of the trench that is dug before the true pipe is reached, following the ranking: half of the true pipe's own
/// length counts, unranked pipes come in random order after the ranked. Chance is 0.5. `trench_of` gives a pipe's
/// trench and its length; supply and return of one trench are dug once.
pub fn search_fraction(
    ranked: &[String],
    truth: &str,
    trenches: &[(String, f64)],
    trench_of: impl Fn(&str) -> Option<usize>,
) -> Option<f64> {
    let total: f64 = trenches.iter().map(|(_, length)| length).sum();
    let wanted = trench_of(truth)?;
    let mut dug = vec![false; trenches.len()];
    let mut length = 0.0;
    for pipe in ranked {
        let Some(trench) = trench_of(pipe) else { continue };
        if trench == wanted {
            return Some((length + 0.5 * trenches[trench].1) / total);
        }
        if !std::mem::replace(&mut dug[trench], true) {
            length += trenches[trench].1;
        }
    }
    Some(f64::midpoint(length, total) / total)
}

#[cfg(test)]
mod tests;
