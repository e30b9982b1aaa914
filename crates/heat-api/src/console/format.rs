//! Times and quantities as operators read them: city time, MPa, t/h, m³/h, GJ, MW, ℃.

use heat_model::EventTime;
use jiff::{Timestamp, tz::TimeZone};
use maud::{Markup, html};

use super::{Lang, View};
use crate::json::ApiTime;

impl View {
    /// An instant at the reader's clock, with its exact time for programs.
    pub(crate) fn time(&self, at: EventTime) -> Markup {
        let exact = ApiTime(at).to_string();
        html! { time datetime=(exact) title=(exact) { (clock_text(at, self.now, &self.zone)) } }
    }

    /// A span of time in the largest unit that fits.
    pub(crate) fn span(&self, seconds: f64) -> String {
        span(self.lang, seconds)
    }
}

/// The time of day; with the date if it is another day, with the year if it is another year.
pub(crate) fn clock_text(at: EventTime, now: EventTime, zone: &TimeZone) -> String {
    let local = |time: EventTime| {
        Timestamp::from_microsecond(time.as_micros()).ok().map(|time| time.to_zoned_datetime(zone.clone()))
    };
    let (Some(at), Some(now)) = (local(at), local(now)) else { return "–".to_owned() };
    let pattern = if at.date() == now.date() {
        "%H:%M:%S"
    } else if at.year() == now.year() {
        "%m-%d %H:%M"
    } else {
        "%Y-%m-%d %H:%M"
    };
    at.strftime(pattern).to_string()
}

/// A moment of today's or another day's clock as `datetime-local` wants it, and back.
pub(crate) fn input_text(at: EventTime, zone: &TimeZone) -> String {
    Timestamp::from_microsecond(at.as_micros())
        .map(|time| time.to_zoned_datetime(zone.clone()).strftime("%Y-%m-%dT%H:%M").to_string())
        .unwrap_or_default()
}

/// What a `datetime-local` field said, at this zone's clock.
pub(crate) fn input_time(text: &str, zone: &TimeZone) -> Option<EventTime> {
    let local: jiff::civil::DateTime = text.parse().ok()?;
    let zoned = local.to_zoned_datetime(zone.clone()).ok()?;
    Some(EventTime::from_micros(zoned.timestamp().as_microsecond()))
}

pub(crate) fn span(lang: Lang, seconds: f64) -> String {
    let seconds = seconds.max(0.0);
    let (amount, unit) = if seconds < 120.0 {
        (seconds, lang.pick("秒", "s"))
    } else if seconds < 2.0 * 3_600.0 {
        (seconds / 60.0, lang.pick("分钟", "min"))
    } else if seconds < 2.0 * 86_400.0 {
        (seconds / 3_600.0, lang.pick("小时", "h"))
    } else {
        (seconds / 86_400.0, lang.pick("天", "d"))
    };
    format!("{amount:.0} {unit}")
}

/// How an SI unit is shown: factor, unit, decimals.
fn shown(unit: &str) -> (f64, &str, usize) {
    match unit {
        "Pa" => (1e-6, "MPa", 3),
        "kg/s" => (3.6, "t/h", 1),
        "m3/s" => (3_600.0, "m³/h", 2),
        "m3/h" => (1.0, "m³/h", 1),
        "W" => (1e-6, "MW", 2),
        "J" => (1e-9, "GJ", 1),
        "degC" => (1.0, "℃", 1),
        "K" => (1.0, "K", 1),
        "m3" => (1.0, "m³", 1),
        "m" => (1.0, "m", 2),
        "m2" => (1.0, "m²", 0),
        "ohm" => (1e-3, "kΩ", 1),
        "1" => (100.0, "%", 0),
        other => (1.0, other, 2),
    }
}

/// A value for operators, with its unit.
pub(crate) fn quantity(value: f64, unit: &str) -> String {
    let (factor, unit, decimals) = shown(unit);
    let number = value * factor;
    // A minus in front of nothing but zeros says something that is not there.
    let text = format!("{number:.decimals$}");
    let is_zero = text.trim_start_matches('-').chars().all(|c| matches!(c, '0' | '.'));
    let text = if is_zero { text.trim_start_matches('-').to_owned() } else { text };
    if unit.is_empty() { text } else { format!("{text} {unit}") }
}

/// Whether a signal is on or off, and nothing between.
pub(crate) fn is_state(name: &str) -> bool {
    name.ends_with("pump_running") || name.ends_with("power_supply")
}

/// A state in a word.
pub(crate) const fn state(lang: Lang, value: f64) -> &'static str {
    if value > 0.5 { lang.pick("开", "on") } else { lang.pick("关", "off") }
}

/// A signal's value: states in words.
pub(crate) fn value(lang: Lang, name: &str, value: f64, unit: &str) -> String {
    if is_state(name) { state(lang, value).to_owned() } else { quantity(value, unit) }
}

/// The factor from SI and the unit's name, for axes.
pub(crate) fn axis(unit: &str) -> (f64, &str) {
    let (factor, unit, _) = shown(unit);
    (factor, unit)
}

/// A share of one as a percentage.
pub(crate) fn percent(share: f64) -> String {
    format!("{:.0} %", share * 100.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantities_are_in_the_operators_units() {
        for (value, unit, expected) in [
            (612_345.0, "Pa", "0.612 MPa"),
            (49.3, "kg/s", "177.5 t/h"),
            (0.000_5, "m3/s", "1.80 m³/h"),
            (3.2e6, "W", "3.20 MW"),
            (-0.001, "degC", "0.0 ℃"),
            (0.53, "1", "53 %"),
            (7.0, "bar?", "7.00 bar?"),
        ] {
            assert_eq!(quantity(value, unit), expected);
        }
    }

    #[test]
    fn a_time_is_the_citys_and_says_its_day_where_it_is_another() {
        let zone = TimeZone::get("Asia/Shanghai").unwrap();
        let at = |text: &str| EventTime::from_micros(text.parse::<Timestamp>().unwrap().as_microsecond());
        let now = at("2026-11-24T10:00:00Z");
        assert_eq!(clock_text(at("2026-11-24T01:02:03Z"), now, &zone), "09:02:03");
        assert_eq!(clock_text(at("2026-11-23T01:02:03Z"), now, &zone), "11-23 09:02");
        assert_eq!(clock_text(at("2025-11-23T01:02:03Z"), now, &zone), "2025-11-23 09:02");
        assert_eq!(input_time(&input_text(now, &zone), &zone), Some(now));
        assert_eq!(input_time("soon", &zone), None);
    }

    #[test]
    fn spans_are_rounded_to_what_matters() {
        assert_eq!(span(Lang::English, 90.4), "90 s");
        assert_eq!(span(Lang::Chinese, 600.0), "10 分钟");
        assert_eq!(span(Lang::English, 200_000.0), "2 d");
    }
}
