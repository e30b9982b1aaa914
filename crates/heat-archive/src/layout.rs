//! Names of everything in the archive's folder. All are deterministic.
//!
//! ```text
//! readings/date=YYYY-MM-DD/network=ID/TOPIC-PARTITION-FIRST-LAST.parquet
//! incidents/date=YYYY-MM-DD/…, incident_events/…, inputs/…, rejected/… likewise, without the network's folder
//! manifests/TOPIC/PARTITION/FIRST.json
//! manifests/TOPIC/PARTITION/FIRST-NEXT.json   (a chapter: many commits' manifests as one)
//! ledger/TOPIC/PARTITION/FIRST-LAST.json
//! revisions/TOPIC/PARTITION/NUMBER.json
//! compacted/readings/date=…/network=…/TOPIC-PARTITION-FIRST-LAST-rNUMBER-DIGEST.parquet
//! set_aside/…                                 (damaged and foreign files, under their old path)
//! ```
//! Numbers are zero-padded, so that names sort as offsets do. A manifest's name holds the first offset only: two
//! archivers that go on from the same offset meet there, whatever each believes the commit's end to be. A compacted
//! file waits in `compacted/` until the files that it replaces may go, so that whoever reads `readings/**` sees each
//! row once at all times.

use std::fmt::Write as _;

use heat_model::{NetworkId, Offset, PartitionId, record::NextOffset};
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
    /// What meters in homes say; nobody else's.
    Households,
    /// Readings summed up by the hour.
    Rollups,
}

impl Dataset {
    /// All data sets.
    pub const ALL: [Self; 7] = [
        Self::Readings,
        Self::Incidents,
        Self::IncidentEvents,
        Self::Inputs,
        Self::Rejected,
        Self::Households,
        Self::Rollups,
    ];

    /// The name of its folder.
    pub const fn folder(self) -> &'static str {
        match self {
            Self::Readings => "readings",
            Self::Incidents => "incidents",
            Self::IncidentEvents => "incident_events",
            Self::Inputs => "inputs",
            Self::Rejected => "rejected",
            Self::Households => "households",
            Self::Rollups => "rollups",
        }
    }

    /// Whether its rows are readings, one by one.
    pub const fn holds_readings(self) -> bool {
        match self {
            Self::Readings | Self::Households => true,
            Self::Incidents | Self::IncidentEvents | Self::Inputs | Self::Rejected | Self::Rollups => false,
        }
    }

    /// The data set that a path below the archive's root belongs to.
    pub fn of_path(path: &str) -> Option<Self> {
        let folder = path.strip_prefix(COMPACTED).and_then(|path| path.strip_prefix('/')).unwrap_or(path);
        let folder = folder.split('/').next()?;
        Self::ALL.into_iter().find(|dataset| dataset.folder() == folder)
    }
}

/// Folder of the manifests.
pub(crate) const MANIFESTS: &str = "manifests";
/// Folder of the ledger.
pub(crate) const LEDGER: &str = "ledger";
/// Folder of the revisions.
pub(crate) const REVISIONS: &str = "revisions";
/// Folder where compacted files wait.
pub(crate) const COMPACTED: &str = "compacted";
/// Folder of what is damaged or foreign.
pub(crate) const SET_ASIDE: &str = "set_aside";

/// Digits of a digest in a file's name.
const DIGEST_DIGITS: usize = 32;

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
    pub(crate) fn readings_path(&self, dataset: Dataset, day: i64, network: &NetworkId) -> String {
        let (folder, network) = (dataset.folder(), escaped(network.as_str()));
        format!("{folder}/date={}/network={network}/{}", date_of_day(day), self.file_name())
    }

    /// Where a file waits that a revision makes of a folder's rows.
    pub(crate) fn compacted_path(&self, folder: &str, revision: u64, digest: &str) -> String {
        let name = self.file_name();
        let name = name.strip_suffix(".parquet").unwrap_or(&name);
        format!("{COMPACTED}/{folder}/{name}-r{revision}-{digest}.parquet")
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

/// Where the chapter goes that stands for the commits of `first..next`.
pub(crate) fn chapter_path(topic: &str, partition: PartitionId, first: Offset, next: NextOffset) -> String {
    format!("{}/{:020}-{:020}.json", partition_folder(MANIFESTS, topic, partition), first.0, next.0)
}

/// Where a revision goes.
pub(crate) fn revision_path(topic: &str, partition: PartitionId, number: u64) -> String {
    format!("{}/{number:020}.json", partition_folder(REVISIONS, topic, partition))
}

/// What a manifest's path says: the first offset, and of a chapter also the offset after its last.
pub(crate) fn manifest_span(path: &str) -> Option<(Offset, Option<NextOffset>)> {
    let name = path.rsplit('/').next()?.strip_suffix(".json")?;
    match name.split_once('-') {
        None => Some((Offset(name.parse().ok()?), None)),
        Some((first, next)) => Some((Offset(first.parse().ok()?), Some(NextOffset(next.parse().ok()?)))),
    }
}

/// What the name of a file of ours says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct FileName {
    /// Topic and partition, as in folders' names.
    pub(crate) of: String,
    pub(crate) last: Offset,
    pub(crate) revision: Option<u64>,
}

/// Reads the name of a file of ours; `None` if it is not one.
pub(crate) fn file_name(path: &str) -> Option<FileName> {
    let name = path.rsplit('/').next()?.strip_suffix(".parquet")?;
    let revised = name.rsplit_once("-r").and_then(|(name, revision)| {
        let (number, digest) = revision.split_once('-')?;
        (digest.len() == DIGEST_DIGITS).then_some(())?;
        Some((name, Some(number.parse().ok()?)))
    });
    let (name, revision) = revised.unwrap_or((name, None));
    let mut parts = name.rsplitn(4, '-');
    let last = Offset(parts.next()?.parse().ok()?);
    let _first: u64 = parts.next()?.parse().ok()?;
    let partition: u32 = parts.next()?.parse().ok()?;
    Some(FileName { of: format!("{}/{partition}", parts.next()?), last, revision })
}

/// The folder with homes' readings that a path lies in, wherever it waits.
pub(crate) fn private_folder(path: &str) -> Option<&'static str> {
    const PRIVATE: [&str; 3] = ["households", "compacted/households", "set_aside/households"];
    PRIVATE.into_iter().find(|folder| path.strip_prefix(folder).is_some_and(|rest| rest.starts_with('/')))
}

/// The folder that a path lies in.
pub(crate) fn parent_of(path: &str) -> &str {
    path.rsplit_once('/').map_or("", |(folder, _)| folder)
}

/// The folder of a file's date (and network), wherever the file itself waits.
pub(crate) fn folder_of(path: &str) -> &str {
    let folder = parent_of(path);
    folder.strip_prefix(COMPACTED).and_then(|folder| folder.strip_prefix('/')).unwrap_or(folder)
}

/// The day that a folder or path names.
pub(crate) fn day_of(path: &str) -> Option<i64> {
    day_of_date(path.split('/').find_map(|part| part.strip_prefix("date="))?)
}

/// The day of a date written as `YYYY-MM-DD`; the inverse of [`date_of_day`].
pub fn day_of_date(date: &str) -> Option<i64> {
    let (year, rest) = date.split_once('-')?;
    let (month, day) = rest.split_once('-')?;
    let (year, month, day): (i64, i64, i64) = (year.parse().ok()?, month.parse().ok()?, day.parse().ok()?);
    if !(1..=12).contains(&month) || !(1..=31).contains(&day) {
        return None;
    }
    // After the same source.
    let year = year - i64::from(month <= 2);
    let era = year.div_euclid(400);
    let year_of_era = year.rem_euclid(400);
    let month_from_march = (month + 9) % 12;
    let day_of_year = (153 * month_from_march + 2) / 5 + day - 1;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    Some(era * 146_097 + day_of_era - 719_468)
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
            if (-719_528..2_932_897).contains(&day) {
                assert_eq!(day_of(&format!("readings/date={date}/network=n/x")), Some(day));
            }
        }
    }

    #[test]
    fn a_manifests_path_tells_which_offsets_it_covers() {
        let (topic, partition) = ("heat.rejected.v1", PartitionId(2));
        let commit = manifest_path(topic, partition, Offset(17));
        assert_eq!(manifest_span(&commit), Some((Offset(17), None)));
        let chapter = chapter_path(topic, partition, Offset(17), NextOffset(40));
        assert_eq!(manifest_span(&chapter), Some((Offset(17), Some(NextOffset(40)))));
        assert!(chapter < commit, "a listing shows the chapter before the commits that it stands for");
        assert_eq!(manifest_span("manifests/heat.rejected.v1/2/note.txt"), None);
    }

    #[test]
    fn a_files_name_tells_where_it_comes_from() {
        let stretch = Stretch {
            topic: "heat-r2.input",
            partition: PartitionId(3),
            first: Offset(10),
            last: Offset(12),
        };
        let folder = "readings/date=1970-01-01/network=n";
        let of = "heat-r2.input/3".to_owned();
        let written = stretch.readings_path(Dataset::Readings, 0, &NetworkId::new("n").unwrap());
        let plain = FileName { of: of.clone(), last: Offset(12), revision: None };
        assert_eq!(file_name(&written), Some(plain));
        let compacted = stretch.compacted_path(folder, 7, &"0f".repeat(16));
        assert_eq!(file_name(&compacted), Some(FileName { of, last: Offset(12), revision: Some(7) }));
        assert_eq!((folder_of(&compacted), Dataset::of_path(&compacted)), (folder, Some(Dataset::Readings)));
        assert_eq!(file_name("readings/date=1970-01-01/part-0.parquet"), None);
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
            stretch.readings_path(Dataset::Readings, 0, &network),
            "readings/date=1970-01-01/network=%E4%B8%80%20%E7%BD%91%3D%25/\
             heat.input.v1-3-00000000000000000010-00000000000000000012.parquet"
        );
    }
}
