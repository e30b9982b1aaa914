//! Configuration: one TOML document, a table a role. Shapes are checked by serde table by table, meanings by each role;
//! all faults are reported at once, with key and line.

use std::{fmt, time::Duration};

pub use heat_model::time::parse_duration;
use serde::{Deserialize, Deserializer, de::DeserializeOwned};
use toml::{de::DeTable, de::DeValue};

/// One fault of a configuration.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Fault {
    /// Where: the key's path, or a file.
    pub key: String,
    /// Line of the document, from 1, where it is known.
    pub line: Option<usize>,
    /// What is wrong, and what would be right.
    pub problem: String,
}

impl Fault {
    /// A fault of a key; the line is found later.
    pub fn new(key: impl Into<String>, problem: impl Into<String>) -> Self {
        Self { key: key.into(), line: None, problem: problem.into() }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.line {
            Some(line) => write!(f, "line {line}: {}: {}", self.key, self.problem),
            None => write!(f, "{}: {}", self.key, self.problem),
        }
    }
}

/// A parsed document.
#[derive(Debug, Clone, Default)]
pub struct Document {
    text: String,
}

impl Document {
    /// Parses TOML.
    pub fn parse(text: &str) -> Result<Self, Fault> {
        DeTable::parse(text).map_err(|error| Fault {
            key: "(syntax)".to_owned(),
            line: error.span().map(|span| line_at(text, span.start)),
            problem: error.message().to_owned(),
        })?;
        Ok(Self { text: text.to_owned() })
    }

    /// Reads one table; its defaults where it is missing. A fault of its shape goes to `faults`.
    pub fn table<T: DeserializeOwned + Default>(&self, key: &str, faults: &mut Vec<Fault>) -> T {
        let mut document = match DeTable::parse(&self.text) {
            Ok(document) => document,
            Err(_) => return T::default(),
        };
        let Some(value) = document.get_mut().remove(key) else { return T::default() };
        let span = value.span();
        match T::deserialize(toml::de::ValueDeserializer::from(value)) {
            Ok(table) => table,
            Err(error) => {
                let start = error.span().map_or(span.start, |span| span.start);
                let problem = error.message().trim().to_owned();
                faults.push(Fault { key: key.to_owned(), line: Some(line_at(&self.text, start)), problem });
                T::default()
            }
        }
    }

    /// Top-level tables that nobody of `known` stands for.
    pub fn unknown_tables(&self, known: &[&str]) -> Vec<Fault> {
        let Ok(document) = DeTable::parse(&self.text) else { return Vec::new() };
        document
            .get_ref()
            .iter()
            .filter(|(key, _)| !known.contains(&key.get_ref().as_ref()))
            .map(|(key, _)| Fault {
                key: key.get_ref().to_string(),
                line: Some(line_at(&self.text, key.span().start)),
                problem: format!("there is no such table; known are {}", known.join(", ")),
            })
            .collect()
    }

    /// Finds the lines of faults that only name their key.
    pub fn locate(&self, faults: &mut [Fault]) {
        for fault in faults.iter_mut().filter(|fault| fault.line.is_none()) {
            fault.line = self.line_of(&fault.key);
        }
    }

    /// Line of a key's path, or of its nearest parent that is there.
    fn line_of(&self, path: &str) -> Option<usize> {
        let document = DeTable::parse(&self.text).ok()?;
        let mut table = document.get_ref();
        let mut found = None;
        for part in path.split('.') {
            let (name, indices) = part.split_once('[').unwrap_or((part, ""));
            let Some((key, value)) = table.get_key_value(name) else { break };
            found = Some(line_at(&self.text, key.span().start));
            let mut value = value;
            for index in indices.split(['[', ']']).filter_map(|index| index.parse::<usize>().ok()) {
                let DeValue::Array(entries) = value.get_ref() else { break };
                let Some(entry) = entries.get(index) else { break };
                found = Some(line_at(&self.text, entry.span().start));
                value = entry;
            }
            let DeValue::Table(inner) = value.get_ref() else { break };
            table = inner;
        }
        found
    }
}

fn line_at(text: &str, byte: usize) -> usize {
    text.as_bytes().iter().take(byte).filter(|byte| **byte == b'\n').count() + 1
}

/// For `#[serde(deserialize_with = "heat_runtime::config::duration")]`.
pub fn duration<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
    parse_duration(&String::deserialize(deserializer)?).map_err(serde::de::Error::custom)
}

/// Text that must never reach a log.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// Takes the text.
    pub const fn new(text: String) -> Self {
        Self(text)
    }

    /// The text, for use only.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("(secret)")
    }
}

/// Reads an environment variable; the only place that does.
#[expect(clippy::disallowed_methods, reason = "this is the one place that reads the environment")]
pub fn environment(name: &str) -> Option<String> {
    std::env::var(name).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, Default, Deserialize, PartialEq)]
    #[serde(deny_unknown_fields, default)]
    struct Sample {
        size_bytes: u64,
        wait: Option<String>,
    }

    #[test]
    fn a_fault_names_its_line_and_the_other_tables_are_still_read() {
        let text = "[one]\nsize_bytes = 3\n\n[two]\nsize_bytes = \"big\"\n[three]\nsise = 1\n";
        let document = Document::parse(text).unwrap();
        let mut faults = Vec::new();

        let one: Sample = document.table("one", &mut faults);
        let _two: Sample = document.table("two", &mut faults);
        let _three: Sample = document.table("three", &mut faults);

        assert_eq!(one.size_bytes, 3);
        assert_eq!(
            faults.iter().map(|fault| (fault.key.as_str(), fault.line)).collect::<Vec<_>>(),
            [("two", Some(5)), ("three", Some(7))]
        );
    }

    #[test]
    fn a_meaning_that_is_wrong_gets_the_line_of_its_key() {
        let document = Document::parse("[gateway]\nid = \"g\"\n[gateway.listen]\naddress = \"x\"\n").unwrap();
        let mut faults = [Fault::new("gateway.listen.address", "is no address")];
        document.locate(&mut faults);
        assert_eq!(faults[0].to_string(), "line 4: gateway.listen.address: is no address");
    }

    #[test]
    fn a_fault_in_an_array_gets_the_line_of_its_entry() {
        let text = "[gateway]\nmappings = [\n  \"a\",\n  \"b\",\n]\n[[gateway.users]]\nname = \"x\"\n\n\
                    [[gateway.users]]\nname = \"y\"\nclient_id = \"z\"\n";
        let document = Document::parse(text).unwrap();
        let lines =
            [("gateway.mappings[1]", 4), ("gateway.users[1].client_id", 11), ("gateway.mappings[7]", 2)];
        for (key, line) in lines {
            let mut faults = [Fault::new(key, "is wrong")];
            document.locate(&mut faults);
            assert_eq!(faults[0].line, Some(line), "{key}");
        }
    }

    #[test]
    fn an_unknown_table_is_a_fault() {
        let document = Document::parse("[gatway]\n").unwrap();
        assert_eq!(document.unknown_tables(&["gateway"])[0].line, Some(1));
    }

    #[test]
    fn a_secret_never_shows() {
        assert_eq!(format!("{:?}", Secret::new("hunter2".to_owned())), "(secret)");
    }
}
