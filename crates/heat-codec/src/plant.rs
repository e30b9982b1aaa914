//! The plant model as tables: read, checked, written, hashed.
//!
//! Is: text in, model or faults out; reading the files is the caller's. Tables are CSV files named after the table
//! (`pipes.csv`) or arrays of tables in TOML (`[[pipes]]`), in any mixture. Files and columns may be missing. If there
//! is one network only, its id may be left out everywhere; without a `networks` table the networks are those that the
//! other tables name.
//!
//! Ids of circuits are unique in the model, all others within their network. Rows are sorted by id, so that equal models
//! are equal whatever the order in the files.
//!
//! All faults are reported at once, each with file, line, column and remedy; a model with a fault is refused whole.
//! Warnings refuse nothing: they tell what is kept but says less than it could, and [`NetworkLevel`] what that leaves.

mod cells;
mod check;
mod classes;
pub mod index;
mod places;
pub mod published;
mod rows;
mod suggest;
mod survey;
mod table;
mod write;

use std::fmt;

use heat_model::plant::{PlantHash, PlantModel};
use xxhash_rust::xxh3::Xxh3;

use table::RawRow;

pub use index::{DeviceFacts, SiRange, SignalFacts, SignalIndex, UnknownPolicy, UnknownSignals};
pub use places::Places;
pub use survey::NetworkLevel;
pub use table::Table;
pub use write::write_tables;

/// Faults kept, and warnings kept; the rest is counted.
pub const FAULTS_MAX: usize = 1_000;

/// One fault of the plant tables, or a warning.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct PlantFault {
    /// File as the caller named it.
    pub file: String,
    /// Line, from 1; 0 if it is no line's fault.
    pub line: u64,
    /// Column; empty if it is no column's fault.
    pub column: String,
    /// What is wrong.
    pub problem: String,
    /// What to do about it.
    pub remedy: String,
}

impl fmt::Display for PlantFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.file)?;
        if self.line > 0 {
            write!(f, ":{}", self.line)?;
        }
        if !self.column.is_empty() {
            write!(f, ": {}", self.column)?;
        }
        write!(f, ": {}; {}", self.problem, self.remedy)
    }
}

/// All faults of the plant tables, by file and line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PlantFaults {
    /// The first [`FAULTS_MAX`].
    pub faults: Vec<PlantFault>,
    /// How many more there are.
    pub more: usize,
}

impl fmt::Display for PlantFaults {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for fault in &self.faults {
            writeln!(f, "{fault}")?;
        }
        if self.more > 0 {
            writeln!(f, "and {} more faults", self.more)?;
        }
        Ok(())
    }
}

impl std::error::Error for PlantFaults {}

/// Everything that reading the tables brought to light.
#[derive(Debug, Clone, PartialEq)]
pub struct PlantReport {
    /// The model, or why it is refused.
    pub outcome: Result<PlantModel, PlantFaults>,
    /// Warnings by file and line, the first [`FAULTS_MAX`].
    pub warnings: Vec<PlantFault>,
    /// How many more there are.
    pub more_warnings: usize,
    /// What can be said of each network; empty with faults.
    pub levels: Vec<NetworkLevel>,
}

impl fmt::Display for PlantReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Err(found) = &self.outcome {
            for fault in &found.faults {
                writeln!(f, "fault: {fault}")?;
            }
            if found.more > 0 {
                writeln!(f, "and {} more faults", found.more)?;
            }
        }
        for warning in &self.warnings {
            writeln!(f, "warning: {warning}")?;
        }
        if self.more_warnings > 0 {
            writeln!(f, "and {} more warnings", self.more_warnings)?;
        }
        for level in &self.levels {
            writeln!(f, "{level}")?;
        }
        Ok(())
    }
}

/// Collects faults and warnings while reading.
#[derive(Debug, Default)]
struct Faults {
    kept: Vec<PlantFault>,
    more: usize,
    warnings: Vec<PlantFault>,
    more_warnings: usize,
}

/// Where a row stands.
#[derive(Debug, Clone, Copy)]
struct At<'a> {
    file: &'a str,
    line: u64,
    row: Option<&'a RawRow>,
}

impl<'a> At<'a> {
    const fn line(file: &'a str, line: u64) -> Self {
        Self { file, line, row: None }
    }

    /// Line of a column's cell, or else of the row.
    fn line_of(self, column: &str) -> u64 {
        self.row.and_then(|row| row.cell(column)).map_or(self.line, |cell| cell.line)
    }

    fn fault(self, column: &str, problem: String, remedy: &str) -> PlantFault {
        PlantFault {
            file: self.file.to_owned(),
            line: self.line_of(column),
            column: column.to_owned(),
            problem,
            remedy: remedy.to_owned(),
        }
    }
}

impl Faults {
    fn push(&mut self, at: At<'_>, column: &str, problem: String, remedy: &str) {
        if self.kept.len() < FAULTS_MAX {
            self.kept.push(at.fault(column, problem, remedy));
        } else {
            self.more += 1;
        }
    }

    fn warn(&mut self, at: At<'_>, column: &str, problem: String, remedy: &str) {
        if self.warnings.len() < FAULTS_MAX {
            self.warnings.push(at.fault(column, problem, remedy));
        } else {
            self.more_warnings += 1;
        }
    }

    fn is_empty(&self) -> bool {
        self.kept.is_empty()
    }
}

/// Reads a plant model from files, given as name and text, and checks it. The order of the files does not matter.
pub fn read<N: AsRef<str>, T: AsRef<str>>(files: &[(N, T)]) -> Result<PlantModel, PlantFaults> {
    report(files).outcome
}

/// The same with warnings and levels.
pub fn report<N: AsRef<str>, T: AsRef<str>>(files: &[(N, T)]) -> PlantReport {
    let mut faults = Faults::default();
    let tables = table::read_all(files, &mut faults);
    let rows = rows::Rows::read(&tables, &mut faults);
    check::check(&rows, &mut faults);
    if faults.is_empty() {
        check::mappings(&rows, &mut faults);
    }
    let levels = if faults.is_empty() { survey::survey(&rows, &mut faults) } else { Vec::new() };
    let Faults { mut kept, more, mut warnings, more_warnings } = faults;
    for list in [&mut kept, &mut warnings] {
        list.sort();
        list.dedup();
    }
    let outcome =
        if kept.is_empty() { Ok(sorted(rows.into_model())) } else { Err(PlantFaults { faults: kept, more }) };
    PlantReport { outcome, warnings, more_warnings, levels }
}

/// Hash of the content: equal for equal models, whatever the order of rows, files and columns.
pub fn hash(model: &PlantModel) -> PlantHash {
    let mut hash = Xxh3::new();
    for (name, text) in write_tables(&sorted(model.clone())) {
        hash.update(name.as_bytes());
        hash.update(&[0]);
        hash.update(text.as_bytes());
        hash.update(&[0]);
    }
    PlantHash(hash.digest())
}

/// The model with its rows in the order of their ids: what is derived from equal models is equal.
fn sorted(mut sorted: PlantModel) -> PlantModel {
    sorted.networks.sort_by(|a, b| a.id.cmp(&b.id));
    sorted.circuits.sort_by(|a, b| a.id.cmp(&b.id));
    sorted.nodes.sort_by(|a, b| (&a.network, &a.id).cmp(&(&b.network, &b.id)));
    sorted.sites.sort_by(|a, b| (&a.network, &a.id).cmp(&(&b.network, &b.id)));
    sorted.pipes.sort_by(|a, b| (&a.circuit, &a.id).cmp(&(&b.circuit, &b.id)));
    sorted.valves.sort_by(|a, b| (&a.pipe, &a.id).cmp(&(&b.pipe, &b.id)));
    sorted.signals.sort_by(|a, b| a.id.cmp(&b.id));
    sorted.seasons.sort_by(|a, b| (&a.network, &a.circuit, a.from).cmp(&(&b.network, &b.circuit, b.from)));
    sorted
}

#[cfg(test)]
mod tests;
