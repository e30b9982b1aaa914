//! The metric reference, from what the roles register.

use std::fmt::Write as _;

use heat_exporter::families::{Family, STANDARD_NAMES};
use heat_model::{SignalName, unit::standard_dimensions};
use heat_runtime::{
    ExitStatus,
    admin::READY,
    metrics::{Described, Metrics},
};

use crate::out::say;

/// A section of the reference.
struct Section {
    title: &'static str,
    about: &'static str,
    describe: fn(&Metrics),
}

const SECTIONS: [Section; 6] = [
    Section {
        title: "Every process",
        about: "On the admin port of each role, and of `heatstream up`.",
        describe: |metrics| {
            metrics.describe_process("", "");
            metrics.add_source(&[READY], |_| {});
            crate::log_metrics::describe(metrics);
        },
    },
    Section { title: "Gateway", about: "From MQTT to the log.", describe: heat_gateway::metrics::describe },
    Section {
        title: "Processor",
        about: "From the log to incidents.",
        describe: heat_processor::metrics::describe,
    },
    Section {
        title: "Archiver",
        about: "From the log to Parquet.",
        describe: heat_archiver::metrics::describe,
    },
    Section {
        title: "Exporter",
        about: "Incidents, the quality of alarms, rooms, pages, and the exporter itself.",
        describe: heat_exporter::metrics::describe,
    },
    Section { title: "API", about: "Requests, commands and events.", describe: heat_api::metrics::describe },
];

/// Prints the reference.
pub(crate) fn run() -> ExitStatus {
    say(reference().trim_end());
    ExitStatus::Done
}

/// The reference as Markdown.
pub(crate) fn reference() -> String {
    let mut text = String::from(
        "# Metrics\n\nMade by `heatstream metrics`; a test holds this file against the code. Base units everywhere; \
         no label names a home.\n",
    );
    for section in SECTIONS {
        let metrics = Metrics::default();
        (section.describe)(&metrics);
        writeln!(text, "\n## {}\n\n{}\n", section.title, section.about).expect("a string takes all");
        text.push_str("| metric | type | labels | meaning |\n|---|---|---|---|\n");
        for Described { name, kind, labels, help } in metrics.inventory() {
            let labels = labels.iter().map(|label| format!("`{label}`")).collect::<Vec<_>>().join(", ");
            writeln!(text, "| `{name}` | {kind} | {labels} | {help} |").expect("a string takes all");
        }
    }
    text.push_str(&plant_values());
    text
}

fn plant_values() -> String {
    let mut text = String::from(
        "\n## Plant values\n\nBy the exporter, with the labels `network`, `site` and `device`. A name that begins with \
         `primary_` or `secondary_` has the label `circuit` in its place. A value past its signal's own deadline is \
         gone, so an expression over it has no data, and not an old one. Names that are not here are \
         `heat_signal_value`, with `name` and `unit`.\n\n| signal | unit | metric | type |\n|---|---|---|---|\n",
    );
    for name in STANDARD_NAMES {
        let id: SignalName = name.parse().expect("standard names are names");
        for unit in standard_dimensions(name).unwrap_or_default().iter().map(|dimension| dimension.si()) {
            let family = Family::of(&id, unit);
            let (metric, kind) = (&family.metric, family.kind.as_str());
            writeln!(text, "| `{name}` | {unit} | `{metric}` | {kind} |").expect("a string takes all");
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../deploy/prometheus/METRICS.md");

    #[test]
    fn the_reference_in_the_repository_is_what_the_code_registers() {
        let file = std::fs::read_to_string(FILE).unwrap();
        assert!(
            file.trim_end() == reference().trim_end(),
            "deploy/prometheus/METRICS.md differs from the code: \
             cargo run -p heatstream -- metrics > deploy/prometheus/METRICS.md"
        );
    }

    #[test]
    fn names_follow_prometheuss_conventions() {
        for section in SECTIONS {
            let metrics = Metrics::default();
            (section.describe)(&metrics);
            for Described { name, kind, help, labels } in metrics.inventory() {
                assert!(name.starts_with("heat_") || name.starts_with("process_"), "{name}");
                assert_eq!(kind == "counter", name.ends_with("_total"), "{name} is a {kind}");
                assert!(help.ends_with('.') || name.starts_with("process_"), "{name}: {help}");
                assert!(!labels.iter().any(|label| label == "le" || label == "quantile"), "{name}");
            }
        }
    }
}
