//! Which kind of cause is taken for which: sensor, consumer, network, leak.
//!
//! What was said of an event is the first alarm that concerns it within its window (`on <= t <= min(off, on + W)`, as
//! for matching), whatever its class. An event at a station is concerned by what is said of that station and of the
//! network as a whole; an event of the network (a leak, a cold supply) by what is said of the network and of its
//! sources: a station's own finding sends nobody to dig.
//!
//! Classes about the data alone (`silence`, `clock_fault`) and those that name no cause (`unknown`, `ticket_cluster`)
//! belong to no family: an event that only these tell counts as not named.

use super::{Alarm, Event, base, deadline_us, is_of_a_place, site_of};

/// Kinds of causes that a duty desk answers in different ways.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Family {
    /// A sensor measures wrong.
    Sensor,
    /// A station or its homes.
    Consumer,
    /// The network as a whole: supply temperature, pumps, pressures.
    Network,
    /// Water is lost.
    Leak,
}

impl Family {
    /// All families, in the order of tables.
    pub const ALL: [Self; 4] = [Self::Sensor, Self::Consumer, Self::Network, Self::Leak];

    /// Family of a class, a kind in parentheses allowed.
    pub fn of(class: &str) -> Option<Self> {
        Some(match base(class) {
            "sensor_fault" => Self::Sensor,
            "consumer_thermal" | "underheating" => Self::Consumer,
            "network_thermal" | "pressure_regime" | "pump_trip" | "power_failure" => Self::Network,
            "burst" | "leak_abrupt" | "leak_incipient" | "exchanger_leak" => Self::Leak,
            _ => return None,
        })
    }

    /// Its word in reports.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Sensor => "sensor",
            Self::Consumer => "consumer",
            Self::Network => "network",
            Self::Leak => "leak",
        }
    }
}

/// Whether what an alarm says concerns an event, whatever the time. `is_source` tells sources by their site.
pub fn concerns(event: &Event, alarm: &Alarm, is_source: impl Fn(&str) -> bool) -> bool {
    if event.network != alarm.network {
        return false;
    }
    if !is_of_a_place(&alarm.class) {
        return true;
    }
    let said = site_of(&alarm.place, &alarm.network);
    if is_of_a_place(&event.class) {
        let true_site = site_of(&event.place, &event.network);
        return said.is_empty() || true_site.is_empty() || said == true_site;
    }
    said.is_empty() || is_source(said)
}

/// Whether an alarm came while it could still be of use for an event.
pub fn in_time(event: &Event, alarm: &Alarm) -> bool {
    (event.on_us..=deadline_us(event)).contains(&alarm.emitted_us)
}

/// Wilson's 95 % interval of a share; `None` of nothing.
pub fn wilson(part: usize, whole: usize) -> Option<(f64, f64)> {
    if whole == 0 {
        return None;
    }
    let z = 1.959_964_f64;
    let (n, p) = (whole as f64, part as f64 / whole as f64);
    let scale = 1.0 + z * z / n;
    let middle = (p + z * z / (2.0 * n)) / scale;
    let half = z / scale * (p * (1.0 - p) / n + z * z / (4.0 * n * n)).sqrt();
    Some(((middle - half).max(0.0), (middle + half).min(1.0)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(class: &str, place: &str) -> Event {
        Event {
            class: class.to_owned(),
            network: "n".to_owned(),
            on_us: 0,
            off_us: 10,
            place: place.to_owned(),
            size_kg_s: None,
        }
    }

    fn alarm(class: &str, place: &str) -> Alarm {
        Alarm { class: class.to_owned(), network: "n".to_owned(), emitted_us: 5, place: place.to_owned() }
    }

    #[test]
    fn a_station_is_concerned_by_its_own_findings_and_the_network_by_its_sources() {
        let is_source = |site: &str| site == "source";
        let says = |event: &Event, class, place| concerns(event, &alarm(class, place), is_source);
        let bias = event("sensor_fault(bias)", "n/st1/meter/primary_supply_flow");
        assert!(says(&bias, "consumer_thermal", "st1"));
        assert!(says(&bias, "leak_abrupt", "P1"));
        assert!(!says(&bias, "sensor_fault", "n/st2/meter/primary_supply_flow"));
        let leak = event("leak_abrupt", "P7");
        assert!(says(&leak, "network_thermal", ""));
        assert!(says(&leak, "sensor_fault", "source make_up_flow"));
        assert!(!says(&leak, "consumer_thermal", "st1"));
    }

    #[test]
    fn wilson_s_interval_is_the_published_one() {
        // Newcombe, Stat. Med. 17:857 (1998), table I: 81 of 263.
        let (low, high) = wilson(81, 263).unwrap();
        assert!((low - 0.2553).abs() < 1e-4 && (high - 0.3662).abs() < 1e-4, "{low} {high}");
        assert_eq!(wilson(0, 0), None);
    }

    #[test]
    fn what_names_no_cause_has_no_family() {
        assert_eq!(Family::of("sensor_fault(drift)"), Some(Family::Sensor));
        assert_eq!(Family::of("unknown"), None);
        assert_eq!(Family::of("silence"), None);
    }
}
