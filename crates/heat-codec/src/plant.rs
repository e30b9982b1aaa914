//! The plant model as tables: read, checked, written, hashed.
//!
//! Is: text in, model or faults out; reading the files is the caller's. Tables are CSV files named after the table
//! (`pipes.csv`) or arrays of tables in TOML (`[[pipes]]`), in any mixture. Files and columns may be missing. If there
//! is one network only, its id may be left out everywhere; without a `networks` table the networks are those that the
//! other tables name.
//!
//! Ids of circuits are unique in the model, all others within their network. All faults are reported at once, each
//! with file, line, column and remedy; a model with a fault is refused whole.

mod check;
mod rows;
mod table;
mod write;

use std::fmt;

use heat_model::plant::{PlantHash, PlantModel};
use xxhash_rust::xxh3::Xxh3;

pub use table::Table;
pub use write::write_tables;

/// Faults kept; the rest is counted.
pub const FAULTS_MAX: usize = 1_000;

/// One fault of the plant tables.
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

/// Collects faults while reading.
#[derive(Debug, Default)]
struct Faults {
    kept: Vec<PlantFault>,
    more: usize,
}

/// Where a row stands.
#[derive(Debug, Clone, Copy)]
struct At<'a> {
    file: &'a str,
    line: u64,
}

impl Faults {
    fn push(&mut self, at: At<'_>, column: &str, problem: String, remedy: &str) {
        if self.kept.len() >= FAULTS_MAX {
            self.more += 1;
            return;
        }
        self.kept.push(PlantFault {
            file: at.file.to_owned(),
            line: at.line,
            column: column.to_owned(),
            problem,
            remedy: remedy.to_owned(),
        });
    }

    fn is_empty(&self) -> bool {
        self.kept.is_empty()
    }
}

/// Reads a plant model from files, given as name and text, and checks it. The order of the files does not matter.
pub fn read<N: AsRef<str>, T: AsRef<str>>(files: &[(N, T)]) -> Result<PlantModel, PlantFaults> {
    let mut faults = Faults::default();
    let tables = table::read_all(files, &mut faults);
    let rows = rows::Rows::read(&tables, &mut faults);
    check::check(&rows, &mut faults);
    if faults.is_empty() {
        return Ok(rows.into_model());
    }
    faults.kept.sort();
    faults.kept.dedup();
    Err(PlantFaults { faults: faults.kept, more: faults.more })
}

/// Hash of the content: equal for equal models, whatever the order of rows, files and columns.
pub fn hash(model: &PlantModel) -> PlantHash {
    let mut sorted = model.clone();
    sorted.networks.sort_by(|a, b| a.id.cmp(&b.id));
    sorted.circuits.sort_by(|a, b| a.id.cmp(&b.id));
    sorted.nodes.sort_by(|a, b| (&a.network, &a.id).cmp(&(&b.network, &b.id)));
    sorted.sites.sort_by(|a, b| (&a.network, &a.id).cmp(&(&b.network, &b.id)));
    sorted.pipes.sort_by(|a, b| (&a.circuit, &a.id).cmp(&(&b.circuit, &b.id)));
    sorted.valves.sort_by(|a, b| (&a.pipe, &a.id).cmp(&(&b.pipe, &b.id)));
    sorted.signals.sort_by(|a, b| a.id.cmp(&b.id));
    let mut hash = Xxh3::new();
    for (name, text) in write_tables(&sorted) {
        hash.update(name.as_bytes());
        hash.update(&[0]);
        hash.update(text.as_bytes());
        hash.update(&[0]);
    }
    PlantHash(hash.digest())
}

#[cfg(test)]
mod tests;
