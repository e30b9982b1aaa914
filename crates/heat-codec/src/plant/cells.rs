//! The cells of one row as typed values; what is wrong with them is reported with its place.

use std::str::FromStr;

use heat_model::{InvalidId, NetworkId};

use super::{At, Faults, suggest::nearest, table::RawRow};

/// Reads the cells of one row and collects their faults.
pub(super) struct Row<'r, 'f> {
    pub(super) at: At<'r>,
    pub(super) raw: &'r RawRow,
    pub(super) implied: Option<&'r NetworkId>,
    pub(super) faults: &'f mut Faults,
}

/// Bounds of a number and their name.
#[derive(Clone, Copy)]
pub(super) enum Bound {
    Any,
    Positive,
    PositiveUpTo(f64),
    NotNegative,
    Within(f64, f64),
}

impl<'r> Row<'r, '_> {
    pub(super) fn text(&self, column: &str) -> Option<&'r str> {
        debug_assert!(self.raw.table.column(column).is_some(), "{column} is a column of the table");
        self.raw.cell(column).map(|cell| cell.text.as_str())
    }

    /// Free text. Control characters would end up in logs and labels.
    pub(super) fn own(&mut self, column: &str) -> Option<String> {
        let text = self.text(column)?;
        if text.chars().any(char::is_control) {
            let problem = format!("{text:?} has line breaks or other control characters");
            self.fault(column, problem, "write it in one line");
            return None;
        }
        Some(text.to_owned())
    }

    pub(super) fn warn(&mut self, column: &str, problem: String, remedy: &str) {
        self.faults.warn(self.at, column, problem, remedy);
    }

    pub(super) fn fault(&mut self, column: &str, problem: String, remedy: &str) {
        self.faults.push(self.at, column, problem, remedy);
    }

    /// An id that may be missing; `None` also if it is faulty, which is reported.
    pub(super) fn id<T: FromStr<Err = InvalidId>>(&mut self, column: &str) -> Option<T> {
        let text = self.text(column)?;
        match text.parse() {
            Ok(id) => Some(id),
            Err(fault) => {
                self.fault(
                    column,
                    format!("{text:?} is not an id: {fault}"),
                    "choose an id that fits a topic level",
                );
                None
            }
        }
    }

    pub(super) fn required<T: FromStr<Err = InvalidId>>(&mut self, column: &str) -> Option<T> {
        if self.text(column).is_none() {
            self.fault(column, "it is missing".to_owned(), "every row needs it");
        }
        self.id(column)
    }

    /// The network of the row, or the only one there is.
    pub(super) fn network(&mut self) -> Option<NetworkId> {
        if self.text("network").is_some() { self.id("network") } else { self.implied.cloned() }
    }

    pub(super) fn number(&mut self, column: &str, bound: Bound) -> Option<f64> {
        let text = self.text(column)?;
        let number = text.parse::<f64>().ok().filter(|number| number.is_finite());
        let (fits, wanted) = match bound {
            Bound::Any => (true, "a number".to_owned()),
            Bound::Positive => (number.is_some_and(|number| number > 0.0), "a number above 0".to_owned()),
            Bound::PositiveUpTo(max) => (
                number.is_some_and(|number| number > 0.0 && number <= max),
                format!("a number above 0 and up to {max}"),
            ),
            Bound::NotNegative => {
                (number.is_some_and(|number| number >= 0.0), "a number of at least 0".to_owned())
            }
            Bound::Within(min, max) => (
                number.is_some_and(|number| (min..=max).contains(&number)),
                format!("a number from {min} to {max}"),
            ),
        };
        if number.is_none() || !fits {
            self.fault(
                column,
                format!("{text:?} is not {wanted}"),
                "correct the value or leave the cell empty",
            );
            return None;
        }
        number
    }

    pub(super) fn count(&mut self, column: &str, min: u32, max: u32) -> Option<u32> {
        let text = self.text(column)?;
        let count = text.parse::<u32>().ok().filter(|count| (min..=max).contains(count));
        if count.is_none() {
            let problem = format!("{text:?} is not a whole number from {min} to {max}");
            self.fault(column, problem, "correct the value or leave the cell empty");
        }
        count
    }

    pub(super) fn word<T: Copy>(&mut self, column: &str, words: &[(&str, T)]) -> Option<T> {
        let text = self.text(column)?;
        let found = words.iter().find(|(word, _)| *word == text).map(|&(_, value)| value);
        if found.is_none() {
            let known: Vec<_> = words.iter().map(|(word, _)| *word).collect();
            let remedy = match nearest(text, known.iter().copied()) {
                Some(meant) => format!("did you mean {meant}?"),
                None => format!("write one of {}", known.join(", ")),
            };
            self.fault(column, format!("{text:?} is not known"), &remedy);
        }
        found
    }
}
