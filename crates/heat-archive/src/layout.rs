//! Names of everything in the archive's folder. All are deterministic.
//!
//! ```text
//! readings/date=YYYY-MM-DD/network=ID/TOPIC-PARTITION-FIRST-LAST.parquet
//! incidents/date=YYYY-MM-DD/…, incident_events/…, inputs/…, rejected/… likewise, without the network's folder
//! manifests/TOPIC/PARTITION/FIRST.json
//! ledger/TOPIC/PARTITION/FIRST-LAST.json
//! ```
//! Numbers are zero-padded, so that names sort as offsets do. A manifest's name holds the first offset only: two
//! archivers that go on from the same offset meet there, whatever each believes the commit's end to be.

use std::fmt::Write as _;

use heat_model::{NetworkId, Offset, PartitionId};
use serde::{Deserialize, Serialize};

/// A kind of rows, with a folder of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Dataset {
    /// What the meters say.
    Readings,
    /// Incidents in each of their states.
    Incidents,
    /// What happened to incidents.
    IncidentEvents,
    /// Commands, tickets, forecasts and activations of plant models.
    Inputs,
    /// Dead letters.
    Rejected,
}

impl Dataset {
    /// All data sets.
    pub const ALL: [Self; 5] =
        [Self::Readings, Self::Incidents, Self::IncidentEvents, Self::Inputs, Self::Rejected];

    /// The name of its folder.
    pub const fn folder(self) -> &'static str {
        match self {
            Self::Readings => "readings",
            Self::Incidents => "incidents",
            Self::IncidentEvents => "incident_events",
            Self::Inputs => "inputs",
            Self::Rejected => "rejected",
        }
    }
}

/// Folder of the manifests.
pub(crate) const MANIFESTS: &str = "manifests";
/// Folder of the ledger.
pub(crate) const LEDGER: &str = "ledger";

/// One stretch of a partition, as names need it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Stretch<'a> {
    pub(crate) topic: &'a str,
    pub(crate) partition: PartitionId,
    pub(crate) first: Offset,
    pub(crate) last: Offset,
}

impl Stretch<'_> {
    fn file_name(&self) -> String {
        format!(
            "{}-{}-{:020}-{:020}.parquet",
            escaped(self.topic),
            self.partition.0,
            self.first.0,
            self.last.0
        )
    }

    /// Where the readings of one day and network go.
    pub(crate) fn readings_path(&self, day: i64, network: &NetworkId) -> String {
        let network = escaped(network.as_str());
        format!("readings/date={}/network={network}/{}", date_of_day(day), self.file_name())
    }

    /// Where the rows of a small data set of one day go.
    pub(crate) fn table_path(&self, dataset: Dataset, day: i64) -> String {
        format!("{}/date={}/{}", dataset.folder(), date_of_day(day), self.file_name())
    }

    /// Where the ledger goes.
    pub(crate) fn ledger_path(&self) -> String {
        let folder = partition_folder(LEDGER, self.topic, self.partition);
        format!("{folder}/{:020}-{:020}.json", self.first.0, self.last.0)
    }
}

/// Where the manifest of the commit that begins at `first` goes.
pub(crate) fn manifest_path(topic: &str, partition: PartitionId, first: Offset) -> String {
    format!("{}/{:020}.json", partition_folder(MANIFESTS, topic, partition), first.0)
}

/// The first offset that a manifest's path names.
pub(crate) fn first_offset(path: &str) -> Option<Offset> {
    path.rsplit('/').next()?.strip_suffix(".json")?.parse().ok().map(Offset)
}

/// The folder of a partition's manifests or ledger.
pub(crate) fn partition_folder(of: &str, topic: &str, partition: PartitionId) -> String {
    format!("{of}/{}/{}", escaped(topic), partition.0)
}

/// Percent-encodes, byte by byte, what not every file system and object store keeps in a name.
pub(crate) fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.') {
            out.push(char::from(byte));
        } else {
            write!(out, "%{byte:02X}").expect("writing to a string succeeds");
        }
    }
    out
}

/// `YYYY-MM-DD` of a day counted from 1970-01-01. Years outside 0..=9999 are clamped to that range: such a time is
/// a device's fault, and the row itself keeps it.
pub fn date_of_day(day: i64) -> String {
    const FIRST: i64 = -719_528;
    const LAST: i64 = 2_932_896;
    // Days to civil date after Howard Hinnant: eras of 400 years that begin on 1 March.
    let shifted = day.clamp(FIRST, LAST) + 719_468;
    let era = shifted.div_euclid(146_097);
    let day_of_era = shifted.rem_euclid(146_097);
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day_of_month = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    format!("{year:04}-{month:02}-{day_of_month:02}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_are_named_by_their_utc_date() {
        for (day, date) in [
            (0, "1970-01-01"),
            (-1, "1969-12-31"),
            (11_016, "2000-02-29"),
            (20_781, "2026-11-24"),
            (i64::MIN, "0000-01-01"),
            (i64::MAX, "9999-12-31"),
        ] {
            assert_eq!(date_of_day(day), date);
        }
    }

    #[test]
    fn a_manifests_path_tells_where_its_commit_begins() {
        let path = manifest_path("heat.rejected.v1", PartitionId(2), Offset(17));
        assert_eq!(first_offset(&path), Some(Offset(17)));
        assert_eq!(first_offset("manifests/heat.rejected.v1/2/note.txt"), None);
    }

    #[test]
    fn a_path_holds_any_id() {
        let stretch = Stretch {
            topic: "heat.input.v1",
            partition: PartitionId(3),
            first: Offset(10),
            last: Offset(12),
        };
        let network = NetworkId::new("一 网=%").unwrap();

        assert_eq!(
            stretch.readings_path(0, &network),
            "readings/date=1970-01-01/network=%E4%B8%80%20%E7%BD%91%3D%25/\
             heat.input.v1-3-00000000000000000010-00000000000000000012.parquet"
        );
    }
}
