//! The report as JSON.

use super::Report;

/// One object, indented; equal reports give equal bytes.
pub fn json(report: &Report) -> String {
    let mut text = serde_json::to_string_pretty(report).expect("a report has string keys only");
    text.push('\n');
    text
}
