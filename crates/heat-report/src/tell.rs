//! Telling a report: as one self-contained page, as CSV, as JSON; Chinese and English.

mod csv;
mod html;
mod words;

pub use html::html;

use crate::shape::Report;

/// A reader's language.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lang {
    /// 中文.
    Chinese,
    /// English.
    English,
}

impl Lang {
    /// The one of the two that is asked for.
    pub(crate) const fn pick(self, both: [&'static str; 2]) -> &'static str {
        match self {
            Self::Chinese => both[0],
            Self::English => both[1],
        }
    }
}

/// The report for programs, indented.
pub fn json(report: &Report) -> String {
    let mut text = serde_json::to_string_pretty(report).expect("a report's maps have string keys");
    text.push('\n');
    text
}

/// The report as one table: a figure a row, with numerator and denominator.
pub fn csv(report: &Report, lang: Lang) -> String {
    csv::csv(report, lang)
}
