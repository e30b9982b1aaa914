//! The report, for people and for machines.

use std::fmt::Write as _;

use serde::Serialize;

use crate::{
    arguments::Options,
    figures::{Delays, Figure},
    percentiles::Percentiles,
    usage::Machine,
};

/// All figures of a run, with what they depend on.
#[derive(Debug, Serialize)]
pub(crate) struct Report {
    version: &'static str,
    /// Whether the program was built for speed; figures of another build say nothing about the product.
    is_release_build: bool,
    machine: Machine,
    seed: u64,
    figures: Vec<Figure>,
    delays: Vec<Delays>,
    notes: Vec<String>,
}

impl Report {
    pub(crate) fn new(
        machine: Machine,
        options: &Options,
        figures: Vec<Figure>,
        delays: Vec<Delays>,
        mut notes: Vec<String>,
    ) -> Self {
        let is_release_build = !cfg!(debug_assertions);
        if !is_release_build {
            notes
                .push("a development build: build with --release for figures that mean something".to_owned());
        }
        let version = env!("CARGO_PKG_VERSION");
        Self { version, is_release_build, machine, seed: options.seed, figures, delays, notes }
    }

    pub(crate) fn to_json(&self) -> String {
        let mut text = serde_json::to_string_pretty(self).expect("a report has string keys only");
        text.push('\n');
        text
    }

    pub(crate) fn to_table(&self) -> String {
        let mut text = String::new();
        let machine = &self.machine;
        line(
            &mut text,
            &format!(
                "heatstream {} on {} cores of {}, {} memory, Linux {}, load {:.2} before",
                self.version,
                machine.cores,
                machine.cpu,
                bytes(machine.memory_bytes),
                machine.kernel,
                machine.load_before
            ),
        );
        if !self.figures.is_empty() {
            line(&mut text, "");
            line(&mut text, &throughput_table(&self.figures));
        }
        let latencies: Vec<(&str, &str, &Percentiles)> = self
            .figures
            .iter()
            .map(|figure| (figure.name.as_str(), &figure.latencies))
            .chain(self.delays.iter().map(|delays| (delays.name.as_str(), &delays.latencies)))
            .flat_map(|(name, latencies)| latencies.iter().map(move |(what, of)| (name, *what, of)))
            .collect();
        if !latencies.is_empty() {
            line(&mut text, &latency_table(&latencies));
        }
        for figure in &self.figures {
            line(&mut text, &format!("{}: {}{}", figure.name, figure.what, details(&figure.details)));
        }
        for delays in &self.delays {
            line(&mut text, &format!("{}: {}{}", delays.name, delays.what, details(&delays.details)));
        }
        for note in &self.notes {
            line(&mut text, &format!("note: {note}"));
        }
        text
    }
}

fn line(text: &mut String, line: &str) {
    text.push_str(line);
    text.push('\n');
}

fn details(details: &[(&'static str, f64)]) -> String {
    let parts: Vec<String> =
        details.iter().map(|(name, value)| format!("{name} {}", number(*value))).collect();
    if parts.is_empty() { String::new() } else { format!(" ({})", parts.join(", ")) }
}

fn throughput_table(figures: &[Figure]) -> String {
    let header =
        ["figure", "unit", "a second", "CPU-s/million", "a core-second", "peak", "rate ratio", "CPU ratio"];
    let mut rows = vec![header.map(str::to_owned)];
    for figure in figures {
        let ratio = |of: fn(&crate::figures::Comparison) -> f64| {
            figure.baseline.as_ref().map_or_else(|| "-".to_owned(), |baseline| format!("{:.2}", of(baseline)))
        };
        rows.push([
            figure.name.clone(),
            figure.unit.to_owned(),
            number(figure.per_second),
            format!("{:.3}", figure.cpu_seconds_per_million),
            number(figure.per_core_second),
            bytes(figure.peak_memory_bytes),
            ratio(|baseline| baseline.rate_ratio),
            ratio(|baseline| baseline.cpu_ratio),
        ]);
    }
    table(&rows)
}

fn latency_table(latencies: &[(&str, &str, &Percentiles)]) -> String {
    let mut rows = vec![["figure", "latency, ms", "count", "p50", "p90", "p99", "max"].map(str::to_owned)];
    for (name, what, of) in latencies {
        let ms = |value: f64| if value < 100.0 { format!("{value:.2}") } else { format!("{value:.0}") };
        rows.push([
            (*name).to_owned(),
            (*what).to_owned(),
            of.count.to_string(),
            ms(of.p50_ms),
            ms(of.p90_ms),
            ms(of.p99_ms),
            ms(of.max_ms),
        ]);
    }
    table(&rows)
}

/// Columns as wide as their widest cell; text on the left, numbers on the right.
fn table<const COLUMNS: usize>(rows: &[[String; COLUMNS]]) -> String {
    let mut widths = [0; COLUMNS];
    for row in rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(cell.chars().count());
        }
    }
    let mut text = String::new();
    for row in rows {
        for (column, (cell, width)) in row.iter().zip(widths).enumerate() {
            let written =
                if column < 2 { write!(text, "{cell:<width$}  ") } else { write!(text, "{cell:>width$}  ") };
            written.expect("a string takes all that is written");
        }
        text.truncate(text.trim_end().len());
        text.push('\n');
    }
    text
}

/// A number with thin groups of three digits.
fn number(value: f64) -> String {
    if !value.is_finite() {
        return "-".to_owned();
    }
    if value.abs() < 1_000.0 {
        let text = format!("{value:.2}");
        return text.trim_end_matches('0').trim_end_matches('.').to_owned();
    }
    let digits = format!("{:.0}", value.abs());
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    if value < 0.0 { format!("-{text}") } else { text }
}

fn bytes(bytes: u64) -> String {
    const MIB: f64 = 1024.0 * 1024.0;
    let mib = bytes as f64 / MIB;
    if mib < 10_240.0 { format!("{mib:.0} MiB") } else { format!("{:.0} GiB", mib / 1024.0) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn large_numbers_are_grouped_and_small_ones_are_short() {
        assert_eq!(number(1_234_567.4), "1,234,567");
        assert_eq!(number(999.0), "999");
        assert_eq!(number(15.50), "15.5");
        assert_eq!(number(f64::INFINITY), "-");
    }

    #[test]
    fn columns_are_aligned() {
        let rows = [["a", "b", "c"], ["long", "b", "100"]].map(|row| row.map(str::to_owned));
        assert_eq!(table(&rows), "a     b    c\nlong  b  100\n");
    }
}
