//! Names of metrics as names of signals, and back.
//!
//! A metric's name is free text with `/` between its parts; a signal's name is an id. `/` becomes `.`; what an id may
//! not have, and `.` and `%` themselves, become `%` with two hexadecimal digits for every byte, as in a URL. So two
//! metrics never get one name, and the name can be read back.

use std::fmt::Write as _;

use heat_model::{SignalName, ids::InvalidId};

/// Name of the signal that tells whether a device is there: 1 at its birth, 0 at its death.
pub const ONLINE: &str = "online";

/// Metrics that serve the protocol and are no readings.
pub(super) fn is_protocol(metric: &str) -> bool {
    metric == BD_SEQ || metric.starts_with("Node Control/") || metric.starts_with("Device Control/")
}

/// The metric that pairs a node's death with its birth.
pub(super) const BD_SEQ: &str = "bdSeq";

/// Name of the signal of a metric.
pub fn signal_name(metric: &str) -> Result<SignalName, InvalidId> {
    let last = metric.chars().count().saturating_sub(1);
    let mut name = String::with_capacity(metric.len());
    for (at, c) in metric.chars().enumerate() {
        let outer = at == 0 || at == last;
        match c {
            '/' => name.push('.'),
            '.' | '%' | '#' | '+' | '\\' => escape(&mut name, c),
            c if c.is_control() || (outer && c.is_whitespace()) => escape(&mut name, c),
            c => name.push(c),
        }
    }
    // "/" and "//" alone would be steps of a path.
    if matches!(name.as_str(), "." | "..") {
        name = name.replace('.', "%2F");
    }
    SignalName::new(&name)
}

/// Name of the metric of a signal; `None` if no metric has this name.
pub fn metric_name(signal: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(signal.len());
    let mut rest = signal.bytes();
    while let Some(byte) = rest.next() {
        bytes.push(match byte {
            b'.' => b'/',
            b'%' => {
                let (high, low) = (digit(rest.next()?)?, digit(rest.next()?)?);
                high << 4 | low
            }
            other => other,
        });
    }
    let metric = String::from_utf8(bytes).ok()?;
    signal_name(&metric).is_ok_and(|name| name.as_str() == signal).then_some(metric)
}

fn digit(byte: u8) -> Option<u8> {
    u8::try_from(char::from(byte).to_digit(16)?).ok()
}

fn escape(name: &mut String, c: char) {
    for byte in c.encode_utf8(&mut [0; 4]).bytes() {
        write!(name, "%{byte:02X}").expect("a string takes all that is written to it");
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn slashes_become_dots_and_what_an_id_may_not_have_is_escaped() {
        for (metric, name) in [
            ("Supply/Temperature", "Supply.Temperature"),
            ("supply_temperature", "supply_temperature"),
            ("一次/供水温度", "一次.供水温度"),
            ("v1.2", "v1%2E2"),
            ("50%", "50%25"),
            (" padded ", "%20padded%20"),
            ("a+b#c", "a%2Bb%23c"),
            ("/", "%2F"),
            ("//", "%2F%2F"),
        ] {
            assert_eq!(signal_name(metric).unwrap().as_str(), name, "{metric:?}");
            assert_eq!(metric_name(name).as_deref(), Some(metric), "{name:?}");
        }
        assert!(signal_name("").is_err() && signal_name(&"x".repeat(129)).is_err());
        for nobodys in ["a/b", "%", "%2", "%2e", "%41", "%FF"] {
            assert_eq!(metric_name(nobodys), None, "{nobodys}");
        }
    }

    proptest! {
        #[test]
        fn a_name_can_be_read_back(metric in "[/.%a-c #+\\\\\u{1}\u{3000}度]{1,20}") {
            let name = signal_name(&metric).unwrap();
            prop_assert_eq!(metric_name(name.as_str()), Some(metric));
        }
    }
}
