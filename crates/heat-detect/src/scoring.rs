//! The judge: alarms against what really happened, after the rules that stand with the detectors' design.
//!
//! - An alarm counts by the time its output left the program, never by a back-dated onset.
//! - It may match an event of its class and network while `on <= t <= min(off, on + W)`; W is [`window_us`]. Classes that
//!   speak of one place ([`is_of_a_place`]) must name the event's site, where both name one.
//! - Matching is one to one and maximum. Further alarms inside a matched event are repeats: reported, not scored. What
//!   matches nothing is false, alarms before the onset included. Nothing is adjusted point by point.
//! - Beside every recall stands what as many random alarms would reach ([`chance`]); beside every rate its interval.
//!
//! [`matching`] pairs alarms and events, [`confusion`] tells which cause is taken for which, [`chance`] gives the lines to
//! beat, [`delay`] times and losses, [`location`] metres of trench, [`detectability`] what the network's own noise
//! allows.

pub mod chance;
pub mod confusion;
pub mod delay;
pub mod detectability;
pub mod location;
pub mod matching;

pub use chance::{ChanceLine, EventRate, chance_line, event_rate, poisson_interval};
pub use matching::{Match, Matching, Rates, match_alarms, merge, rates};

/// Microseconds in an hour.
pub const HOUR_US: i64 = 3_600_000_000;
/// Microseconds in a day.
pub const DAY_US: i64 = 24 * HOUR_US;
/// After a network's first reading nothing is scored for so long: detectors learn.
pub const WARM_UP_US: i64 = 14 * DAY_US;
/// Length of a month in rates.
pub const MONTH_US: i64 = 30 * DAY_US;

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
    /// Loss, kg/s, where it is one: at onset where it began at once, at the end where it grew.
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
    /// Site or signal; empty where none was named.
    pub place: String,
}

/// A class word without its kind.
pub fn base(class: &str) -> &str {
    class.split('(').next().unwrap_or(class).trim()
}

/// Whether a class is a loss of water to the ground.
pub fn is_loss(class: &str) -> bool {
    matches!(base(class), "burst" | "leak_abrupt" | "leak_incipient")
}

/// Whether a loss begins within minutes.
pub fn is_sudden(class: &str) -> bool {
    matches!(base(class), "burst" | "leak_abrupt")
}

/// Whether a class speaks of one station, sensor or home, so that an alarm about another one is about something else.
pub fn is_of_a_place(class: &str) -> bool {
    matches!(
        base(class),
        "consumer_thermal"
            | "underheating"
            | "exchanger_leak"
            | "sensor_fault"
            | "clock_fault"
            | "silence"
            | "unknown"
    )
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

/// End of an event's window, microseconds since the epoch.
pub fn deadline_us(event: &Event) -> i64 {
    event.off_us.min(event.on_us.saturating_add(window_us(&event.class)))
}

/// The site in a place that is a site, a signal (`network/site/device/name`, or `site name`) or a device.
pub fn site_of<'a>(place: &'a str, network: &str) -> &'a str {
    let inner = place.strip_prefix(network).and_then(|rest| rest.strip_prefix('/')).unwrap_or(place);
    inner.split(['/', ' ']).next().unwrap_or(inner)
}

#[cfg(test)]
mod tests;
