//! Tables as texts: from CSV and from TOML alike.

use toml::de::{DeTable, DeValue};

use super::{At, Faults, suggest::nearest};

/// The tables of a plant model.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[expect(missing_docs, reason = "named as the tables")]
pub enum Table {
    Networks,
    Circuits,
    Nodes,
    Sites,
    Pipes,
    Valves,
    Signals,
    Seasons,
}

impl Table {
    /// All, in the order of reading and writing.
    pub const ALL: [Self; 8] = [
        Self::Networks,
        Self::Circuits,
        Self::Nodes,
        Self::Sites,
        Self::Pipes,
        Self::Valves,
        Self::Signals,
        Self::Seasons,
    ];

    /// Its name, which is its file's name without `.csv`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Networks => "networks",
            Self::Circuits => "circuits",
            Self::Nodes => "nodes",
            Self::Sites => "sites",
            Self::Pipes => "pipes",
            Self::Valves => "valves",
            Self::Signals => "signals",
            Self::Seasons => "seasons",
        }
    }

    /// Its columns.
    pub const fn columns(self) -> &'static [&'static str] {
        match self {
            Self::Networks => &["id", "name", "medium", "time_zone", "operator", "district"],
            Self::Circuits => &[
                "id",
                "network",
                "kind",
                "medium",
                "converted_on",
                "water_volume_m3",
                "design_flow_kg_s",
                "topped_up_from",
            ],
            Self::Nodes => &["id", "network", "x_m", "y_m", "elevation_m"],
            Self::Sites => &[
                "id",
                "network",
                "kind",
                "node",
                "parent",
                "name",
                "operator",
                "district",
                "heated_area_m2",
                "households",
                "lon",
                "lat",
                "crs",
            ],
            Self::Pipes => &[
                "id",
                "circuit",
                "from",
                "to",
                "length_m",
                "inner_diameter_mm",
                "roughness_mm",
                "side",
                "material",
                "laid_year",
                "depth_m",
            ],
            Self::Seasons => &["network", "circuit", "state", "from"],
            Self::Valves => &["id", "pipe", "chamber", "normal_state", "operable"],
            Self::Signals => &[
                "id",
                "site",
                "device",
                "name",
                "unit",
                "topic",
                "pointer",
                "interval_s",
                "range_min",
                "range_max",
                "accuracy_class",
                "sensor_side",
            ],
        }
    }

    /// Index of a column.
    pub(super) fn column(self, name: &str) -> Option<usize> {
        self.columns().iter().position(|known| *known == name)
    }

    fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|table| table.name() == name)
    }
}

/// A cell that is not empty.
#[derive(Debug)]
pub(super) struct Cell {
    /// Index of the column in [`Table::columns`].
    pub(super) column: usize,
    /// In CSV that of its row, in TOML that of its key.
    pub(super) line: u64,
    pub(super) text: String,
}

/// A row as texts; empty cells are left out.
#[derive(Debug)]
pub(super) struct RawRow {
    pub(super) table: Table,
    pub(super) line: u64,
    pub(super) cells: Vec<Cell>,
}

impl RawRow {
    pub(super) fn cell(&self, column: &str) -> Option<&Cell> {
        let index = self.table.column(column)?;
        self.cells.iter().find(|cell| cell.column == index)
    }
}

/// A table of one file.
#[derive(Debug)]
pub(super) struct RawTable {
    pub(super) table: Table,
    pub(super) file: String,
    pub(super) rows: Vec<RawRow>,
}

pub(super) fn read_all<N: AsRef<str>, T: AsRef<str>>(files: &[(N, T)], faults: &mut Faults) -> Vec<RawTable> {
    let mut tables = Vec::new();
    for (name, text) in files {
        let (name, text) = (name.as_ref(), text.as_ref());
        let at = At::line(name, 0);
        let file_name = name.rsplit(['/', '\\']).next().unwrap_or(name);
        match file_name.rsplit_once('.') {
            Some((stem, "csv")) => match Table::named(stem) {
                Some(table) => tables.push(read_csv(table, name, text, faults)),
                None => unknown_table(at, stem, faults),
            },
            Some((_, "toml")) => read_toml(name, text, &mut tables, faults),
            _ => faults.push(at, "", "not a .csv or .toml file".to_owned(), "give only plant tables"),
        }
    }
    tables.sort_by(|a, b| (a.table, &a.file).cmp(&(b.table, &b.file)));
    tables
}

fn unknown_table(at: At<'_>, name: &str, faults: &mut Faults) {
    let names = Table::ALL.map(Table::name);
    let remedy = match nearest(name, names) {
        Some(meant) => format!("did you mean {meant}?"),
        None => format!("the tables are {}", names.join(", ")),
    };
    faults.push(at, "", format!("there is no plant table {name:?}"), &remedy);
}

fn unknown_column(table: Table, at: At<'_>, column: &str, faults: &mut Faults) {
    let columns = table.columns();
    let remedy = match nearest(column, columns.iter().copied()) {
        Some(meant) => format!("did you mean {meant}?"),
        None => format!("leave it out; the columns are {}", columns.join(", ")),
    };
    faults.push(at, column, format!("table {} has no such column", table.name()), &remedy);
}

fn read_csv(table: Table, file: &str, text: &str, faults: &mut Faults) -> RawTable {
    let text = text.trim_start_matches('\u{feff}');
    let mut reader = csv::ReaderBuilder::new()
        .flexible(true)
        .has_headers(false)
        .trim(csv::Trim::All)
        .from_reader(text.as_bytes());
    let mut columns: Option<Vec<Option<usize>>> = None;
    let mut rows = Vec::new();
    for record in reader.records() {
        let record = match record {
            Ok(record) => record,
            Err(fault) => {
                let line = fault.position().map_or(0, csv::Position::line);
                faults.push(At::line(file, line), "", format!("not CSV: {fault}"), "correct the line");
                continue;
            }
        };
        // The reader's position is where it began to look, before the empty lines that it skipped.
        let line = record.position().map_or(0, |position| position.line() + skipped(text, position.byte()));
        let at = At::line(file, line);
        let Some(columns) = &columns else {
            columns = Some(header(table, at, &record, faults));
            continue;
        };
        if columns.len() == 1 && record.len() == 1 && columns[0].is_none() {
            // Its header is reported; without it no row says anything.
            continue;
        }
        if record.len() != columns.len() {
            let problem = format!("{} cells under a header of {}", record.len(), columns.len());
            faults.push(at, "", problem, "give each row as many cells as the header has");
            continue;
        }
        let cells = columns.iter().zip(&record).filter(|(_, text)| !text.is_empty());
        let cells =
            cells.filter_map(|(column, text)| Some(Cell { column: (*column)?, line, text: text.to_owned() }));
        rows.push(RawRow { table, line, cells: cells.collect() });
    }
    RawTable { table, file: file.to_owned(), rows }
}

/// Empty lines from a byte on.
fn skipped(text: &str, byte: u64) -> u64 {
    let from = usize::try_from(byte).unwrap_or(usize::MAX);
    let rest = text.as_bytes().get(from..).unwrap_or_default();
    let empty = rest.iter().take_while(|byte| matches!(byte, b'\n' | b'\r'));
    empty.filter(|byte| **byte == b'\n').count() as u64
}

fn header(table: Table, at: At<'_>, record: &csv::StringRecord, faults: &mut Faults) -> Vec<Option<usize>> {
    if let (1, Some(separator)) = (record.len(), record[0].chars().find(|c| matches!(c, ';' | '\t' | '|'))) {
        let problem = format!("the columns are separated by {separator:?}");
        faults.push(at, "", problem, "export it with commas between the columns");
        return vec![None];
    }
    let mut columns = Vec::with_capacity(record.len());
    for name in record {
        let column = table.column(name);
        if column.is_none() {
            unknown_column(table, at, name, faults);
        } else if columns.contains(&column) {
            faults.push(at, name, "the column is there twice".to_owned(), "leave one of them out");
        }
        columns.push(column);
    }
    columns
}

fn read_toml(file: &str, text: &str, tables: &mut Vec<RawTable>, faults: &mut Faults) {
    let line_of = |byte: usize| {
        let before = text.as_bytes().get(..byte).unwrap_or(text.as_bytes());
        u64::try_from(before.iter().filter(|&&byte| byte == b'\n').count() + 1).unwrap_or(u64::MAX)
    };
    let document = match DeTable::parse(text) {
        Ok(document) => document,
        Err(fault) => {
            let line = fault.span().map_or(0, |span| line_of(span.start));
            faults.push(
                At::line(file, line),
                "",
                format!("not TOML: {}", fault.message()),
                "correct the line",
            );
            return;
        }
    };
    for (key, value) in document.get_ref() {
        let at = At::line(file, line_of(key.span().start));
        let Some(table) = Table::named(key.get_ref()) else {
            unknown_table(at, key.get_ref(), faults);
            continue;
        };
        let DeValue::Array(items) = value.get_ref() else {
            faults.push(at, "", "not an array of tables".to_owned(), &format!("write [[{}]]", table.name()));
            continue;
        };
        let mut rows = Vec::new();
        for item in items.iter() {
            let at = At::line(file, line_of(item.span().start));
            if let DeValue::Table(row) = item.get_ref() {
                rows.push(toml_row(table, at, row, line_of, faults));
            } else {
                faults.push(at, "", "not a table".to_owned(), &format!("write [[{}]]", table.name()));
            }
        }
        tables.push(RawTable { table, file: file.to_owned(), rows });
    }
}

fn toml_row(
    table: Table,
    at: At<'_>,
    row: &DeTable<'_>,
    line_of: impl Fn(usize) -> u64,
    faults: &mut Faults,
) -> RawRow {
    let mut cells = Vec::with_capacity(row.len());
    for (key, value) in row {
        let line = line_of(key.span().start);
        let here = At { line, ..at };
        let Some(column) = table.column(key.get_ref()) else {
            unknown_column(table, here, key.get_ref(), faults);
            continue;
        };
        let text = match value.get_ref() {
            DeValue::String(text) => text.trim().to_owned(),
            DeValue::Integer(number) => number.as_str().replace('_', ""),
            DeValue::Float(number) => number.as_str().replace('_', ""),
            DeValue::Boolean(truth) => truth.to_string(),
            DeValue::Datetime(time) => time.to_string(),
            DeValue::Array(_) | DeValue::Table(_) => {
                let problem = "a list or table where a single value belongs".to_owned();
                faults.push(here, key.get_ref(), problem, "give one text, number or truth value");
                continue;
            }
        };
        if !text.is_empty() {
            cells.push(Cell { column, line, text });
        }
    }
    RawRow { table, line: at.line, cells }
}
