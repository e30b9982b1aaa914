//! Mappings of recorded data: how a CSV file's columns become signals. TOML, one mapping for files of one kind.
//!
//! ```toml
//! format = "wide"                          # or "tall": one row a value
//! separator = ";"                          # default ","
//! header = true                            # false: columns are named "1", "2", ...
//! decimal = "."
//! network = "demo"
//! file_name = "scada_{site}.csv"           # optional: what the file's name tells; {network}, {site}, {device}
//! missing = ["", "NaN"]                    # no value: nothing was reported
//! nulls = ["null"]                         # reported as null: a bad value
//! sentinels = [-39.9]                      # numbers that mean "no measurement": bad, the number is kept
//! order = "descending"                     # newest row first; default "ascending"
//! lane = "backfill"                        # default: not declared
//!
//! [time]
//! column = "time"
//! format = "%Y-%m-%d %H:%M:%S"             # strptime, or rfc3339, unix_s, unix_ms, unix_us
//! zone = "Asia/Shanghai"                   # where the format carries no offset
//!
//! [received]                               # optional: the time of arrival
//! column = "received"
//! format = "rfc3339"
//!
//! [[dead_rows]]                            # optional: the whole row is bad where this column has one of these
//! column = "state"
//! values = [0.0]
//!
//! [[columns]]                              # wide: one a column; columns that are not listed are left out
//! column = "t1"
//! site = "st01"                            # may come from file_name
//! device = "meter"
//! name = "supply_temperature"
//! unit = "degC"                            # missing, nulls, sentinels may be given here instead of above
//!
//! [columns]                                # tall: which column holds what
//! site = "site"
//! device = "device"
//! name = "name"
//! unit = "unit"                            # optional
//! value = "value"
//! lane = "lane"                            # optional
//! quality = "quality"                      # optional: good, uncertain, bad
//! ```

mod raw;
mod time;

pub(crate) use raw::{Faults, toml_of};
pub use time::{Ambiguity, RowTime, TimeColumn, TimeFormat};

use heat_model::{DeviceId, Lane, NetworkId, SignalName, SiteId};

/// One fault of a mapping.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{key}: {problem}")]
pub struct MappingFault {
    /// Key path, or `line N`.
    pub key: String,
    /// What is wrong, and the remedy.
    pub problem: String,
}

/// Whether the file's first row is its oldest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Order {
    /// Oldest first; streamed.
    #[default]
    Ascending,
    /// Newest first; read into memory and given out from its end.
    Descending,
}

/// Texts and numbers that are no measurement.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Absent {
    /// Nothing was reported.
    pub missing: Vec<String>,
    /// Null was reported.
    pub nulls: Vec<String>,
    /// Numbers that mean "no measurement".
    pub sentinels: Vec<f64>,
}

/// One column of a wide file.
#[derive(Debug, Clone, PartialEq)]
pub struct WideColumn {
    /// Its name in the header, or its number from 1.
    pub column: String,
    /// Site; `None`: from the file's name.
    pub site: Option<SiteId>,
    /// Device; `None`: from the file's name.
    pub device: Option<DeviceId>,
    /// Name of the signal.
    pub name: SignalName,
    /// Unit, if it is not the name's standard one.
    pub unit: Option<Box<str>>,
    /// What is no measurement.
    pub absent: Absent,
}

/// The columns of a tall file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TallColumns {
    /// Site; `None`: from the file's name.
    pub site: Option<String>,
    /// Device; `None`: from the file's name.
    pub device: Option<String>,
    /// Name of the signal.
    pub name: String,
    /// Unit.
    pub unit: Option<String>,
    /// The value.
    pub value: String,
    /// Lane.
    pub lane: Option<String>,
    /// Quality.
    pub quality: Option<String>,
}

/// Wide or tall.
#[derive(Debug, Clone, PartialEq)]
pub enum Layout {
    /// One row a time, one column a signal.
    Wide(Vec<WideColumn>),
    /// One row a value.
    Tall(TallColumns),
}

/// Rows that are bad as a whole.
#[derive(Debug, Clone, PartialEq)]
pub struct DeadRows {
    /// Column that tells.
    pub column: String,
    /// Its numbers that tell so.
    pub values: Vec<f64>,
}

/// How files of one kind are read.
#[derive(Debug, Clone)]
pub struct Mapping {
    /// Wide or tall.
    pub layout: Layout,
    /// Between cells.
    pub separator: u8,
    /// Whether the first row names the columns.
    pub header: bool,
    /// Before the decimals.
    pub decimal: char,
    /// Network; `None`: from the file's name.
    pub network: Option<NetworkId>,
    /// What the file's name tells.
    pub file_name: Option<FileName>,
    /// What is no measurement, where a column says nothing else.
    pub absent: Absent,
    /// Oldest or newest first.
    pub order: Order,
    /// Declared lane of all rows.
    pub lane: Option<Lane>,
    /// When it was measured.
    pub time: TimeColumn,
    /// When it arrived.
    pub received: Option<TimeColumn>,
    /// Rows that are bad as a whole.
    pub dead_rows: Vec<DeadRows>,
}

impl Mapping {
    /// Reads a mapping; all faults at once.
    pub fn parse(text: &str) -> Result<Self, Vec<MappingFault>> {
        raw::parse(text)
    }
}

/// A pattern of file names with captures, such as `scada_{site}.csv`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileName {
    pieces: Vec<Piece>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Piece {
    Text(String),
    Capture(Capture),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Capture {
    Network,
    Site,
    Device,
}

/// What a file's name told.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct FileIds {
    /// Network.
    pub network: Option<NetworkId>,
    /// Site.
    pub site: Option<SiteId>,
    /// Device.
    pub device: Option<DeviceId>,
}

impl FileName {
    /// Reads a pattern; captures must have text between them.
    pub fn parse(pattern: &str) -> Result<Self, String> {
        let mut pieces = Vec::new();
        let mut rest = pattern;
        while let Some((before, behind)) = rest.split_once('{') {
            let (name, behind) = behind.split_once('}').ok_or("a { without }")?;
            let capture = match name {
                "network" => Capture::Network,
                "site" => Capture::Site,
                "device" => Capture::Device,
                other => return Err(format!("{{{other}}} is not one of {{network}}, {{site}}, {{device}}")),
            };
            if pieces.contains(&Piece::Capture(capture)) {
                return Err(format!("{{{name}}} is there twice"));
            }
            if before.is_empty() && !pieces.is_empty() {
                return Err("two captures need text between them".to_owned());
            }
            pieces.push(Piece::Text(before.to_owned()));
            pieces.push(Piece::Capture(capture));
            rest = behind;
        }
        pieces.push(Piece::Text(rest.to_owned()));
        Ok(Self { pieces })
    }

    fn has(&self, capture: Capture) -> bool {
        self.pieces.contains(&Piece::Capture(capture))
    }

    /// What the last part of a path tells; `None` if it does not fit the pattern or what it tells is no id.
    pub fn ids(&self, path: &str) -> Option<FileIds> {
        let mut rest = path.rsplit(['/', '\\']).next().unwrap_or(path);
        let mut ids = FileIds::default();
        let mut pieces = self.pieces.iter().peekable();
        while let Some(piece) = pieces.next() {
            match piece {
                Piece::Text(text) => rest = rest.strip_prefix(text.as_str())?,
                Piece::Capture(capture) => {
                    let end = match pieces.peek() {
                        Some(Piece::Text(text)) if !text.is_empty() => rest.find(text.as_str())?,
                        _ => rest.len(),
                    };
                    let (found, behind) = rest.split_at(end);
                    match capture {
                        Capture::Network => ids.network = Some(found.parse().ok()?),
                        Capture::Site => ids.site = Some(found.parse().ok()?),
                        Capture::Device => ids.device = Some(found.parse().ok()?),
                    }
                    rest = behind;
                }
            }
        }
        // A compressed file keeps its name's end.
        matches!(rest, "" | ".gz" | ".zst").then_some(ids)
    }
}

#[cfg(test)]
mod tests;
