//! The `[gateway.buffer]` table.

use std::{path::PathBuf, time::Duration};

use heat_runtime::config::{Fault, parse_duration};
use serde::Deserialize;

/// Where the buffer lies unless configured; relative to the working directory, like all data.
const DIRECTORY: &str = "heatstream-data/gateway-buffer";
/// An outage of three hours at 1,000 messages of 370 bytes a second, and a file system's small change.
const BYTES_MAX: u64 = 4 << 30;
/// Below this, segments would be too small to be worth a file.
const BYTES_MIN: u64 = 1 << 20;
/// Two weekends and the days between: longer than that nobody leaves Kafka down, and Kafka's default retention is not
/// much longer.
const AGE_MAX: Duration = Duration::from_hours(7 * 24);
const AGE_MIN: Duration = Duration::from_mins(1);

/// The table as written.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RawBuffer {
    /// Whether there is a buffer; default true. Without it, a Kafka that takes nothing stops the senders.
    pub enabled: Option<bool>,
    /// Its directory, for this gateway alone; default `heatstream-data/gateway-buffer`.
    pub directory: Option<PathBuf>,
    /// Bytes on disk at which nothing more is taken from senders; default 4294967296 (4 GiB).
    pub bytes_max: Option<u64>,
    /// Age of the oldest record at which nothing more is taken from senders; default "7d".
    pub age_max: Option<String>,
    /// Most records older than `live_max_age` sent to Kafka in a second after an outage; default: as fast as live
    /// records allow.
    pub drain_records_per_second_max: Option<u64>,
}

/// The buffer's settings.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BufferSettings {
    /// Its directory.
    pub directory: PathBuf,
    /// Bytes on disk at which it is full.
    pub bytes_max: u64,
    /// Age of the oldest record at which it is full.
    pub age_max: Duration,
    /// Most old records forwarded in a second.
    pub drain_records_per_second_max: Option<u64>,
}

impl BufferSettings {
    /// The defaults, in this directory.
    pub fn new(directory: impl Into<PathBuf>) -> Self {
        Self {
            directory: directory.into(),
            bytes_max: BYTES_MAX,
            age_max: AGE_MAX,
            drain_records_per_second_max: None,
        }
    }

    /// Checks the table; faults are added. None where there is to be no buffer.
    pub fn from_raw(raw: RawBuffer, faults: &mut Vec<Fault>) -> Option<Self> {
        let mut settings = Self::new(raw.directory.unwrap_or_else(|| DIRECTORY.into()));
        if let Some(bytes) = raw.bytes_max {
            if bytes < BYTES_MIN {
                faults.push(Fault::new("gateway.buffer.bytes_max", "must be at least 1048576 (1 MiB)"));
            }
            settings.bytes_max = bytes;
        }
        match raw.age_max.as_deref().map(parse_duration) {
            None => {}
            Some(Ok(age)) if age >= AGE_MIN => settings.age_max = age,
            Some(Ok(_)) => faults.push(Fault::new("gateway.buffer.age_max", "must be at least 1min")),
            Some(Err(problem)) => faults.push(Fault::new("gateway.buffer.age_max", problem)),
        }
        if raw.drain_records_per_second_max.is_some_and(|rate| rate < 10) {
            let problem = "must be at least 10; leave it out for no limit";
            faults.push(Fault::new("gateway.buffer.drain_records_per_second_max", problem));
        }
        settings.drain_records_per_second_max = raw.drain_records_per_second_max;
        raw.enabled.unwrap_or(true).then_some(settings)
    }

    /// Space is given back segment by segment.
    pub(crate) fn segment_max_bytes(&self) -> u64 {
        (self.bytes_max / 16).clamp(64 << 10, 64 << 20)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_empty_table_means_the_defaults_and_all_faults_come_at_once() {
        let mut faults = Vec::new();
        assert_eq!(
            BufferSettings::from_raw(RawBuffer::default(), &mut faults),
            Some(BufferSettings::new(DIRECTORY))
        );
        assert_eq!(faults, []);

        let raw = RawBuffer {
            bytes_max: Some(1),
            age_max: Some("1s".to_owned()),
            drain_records_per_second_max: Some(0),
            ..RawBuffer::default()
        };
        BufferSettings::from_raw(raw, &mut faults);
        let keys: Vec<_> = faults.iter().map(|fault| fault.key.rsplit('.').next().unwrap()).collect();
        assert_eq!(keys, ["bytes_max", "age_max", "drain_records_per_second_max"]);
    }

    #[test]
    fn it_can_be_switched_off() {
        let raw = RawBuffer { enabled: Some(false), ..RawBuffer::default() };
        assert_eq!(BufferSettings::from_raw(raw, &mut Vec::new()), None);
    }
}
