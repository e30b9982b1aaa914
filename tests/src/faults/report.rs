//! What the checker found, act by act.

use std::fmt::Write as _;

use serde::{Deserialize, Serialize};

/// Findings about the messages measured from one act's begin to the next one's.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[expect(missing_docs, reason = "kafka_check.py says what each counts")]
pub struct Span {
    pub name: String,
    pub sent: u64,
    pub lost: u64,
    pub invented: u64,
    pub doubled: u64,
    pub reordered: u64,
    pub old: u64,
    pub unacknowledged: u64,
    pub holes: u64,
    pub letters_lost: u64,
    pub letters_invented: u64,
    pub letters_doubled: u64,
    pub repeats_by_number: u64,
    pub repeats_by_content: u64,
    pub puback_gap_s: f64,
    pub fresh_s: f64,
    pub all_s: f64,
}

/// What a bridge used during a calm.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct Cost {
    /// Messages that devices sent meanwhile.
    pub messages: u64,
    /// How long it lasted.
    pub seconds: f64,
    /// CPU seconds of the bridge alone, for a million messages.
    pub cpu_s_per_million: f64,
    /// Its largest resident memory by then, MiB.
    pub peak_mib: f64,
}

/// Findings of a run.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Report {
    /// Whose bridge, and which road.
    pub title: String,
    /// Act by act.
    pub spans: Vec<Span>,
    /// Malformed messages sent.
    pub malformed: u64,
    /// Some of what was found.
    pub examples: serde_json::Value,
    /// Acts after which the road did not recover in the time for it.
    pub unrecovered: Vec<String>,
    /// How often a bridge ended by itself and was started again, as a supervisor does.
    pub restarts: u64,
    /// What the first bridge used while nothing happened.
    pub cost: Option<Cost>,
    /// ERROR lines of our gateways' logs.
    pub errors: Vec<String>,
}

impl Report {
    /// The sum of one kind of finding.
    pub fn total(&self, of: fn(&Span) -> u64) -> u64 {
        self.spans.iter().map(of).sum()
    }

    /// As a table in Markdown.
    pub fn markdown(&self) -> String {
        let mut out = format!(
            "| {} | sent | lost | invented | doubled | reordered | never acknowledged | dead letters lost | records and \
             readings again, which readers drop | worst PUBACK gap s | fresh again after s | all there after s \
             |\n|---|---|---|---|---|---|---|---|---|---|---|---|\n",
            self.title
        );
        for span in &self.spans {
            writeln!(
                out,
                "| {} | {} | {} | {} | {} | {} | {} | {} | {} | {:.1} | {:.1} | {:.1} |",
                span.name,
                span.sent,
                span.lost,
                span.invented,
                span.doubled,
                span.reordered,
                span.unacknowledged,
                span.letters_lost,
                span.repeats_by_number + span.repeats_by_content,
                span.puback_gap_s,
                span.fresh_s,
                span.all_s
            )
            .expect("a string can be written");
        }
        if let Some(Cost { messages, seconds, cpu_s_per_million, peak_mib }) = self.cost {
            let pace = messages as f64 / seconds;
            writeln!(
                out,
                "\nDuring the calm: {pace:.0} messages/s, {cpu_s_per_million:.1} CPU-s per million, {peak_mib:.0} MiB."
            )
            .expect("a string can be written");
        }
        if self.restarts > 0 {
            writeln!(
                out,
                "\nEnded by itself and was started again by the supervisor: {} times.",
                self.restarts
            )
            .expect("a string can be written");
        }
        if !self.unrecovered.is_empty() {
            writeln!(
                out,
                "\nDid not recover by itself, was started again by hand: {}.",
                self.unrecovered.join(", ")
            )
            .expect("a string can be written");
        }
        out
    }

    /// Fails the test unless nothing was lost, invented, doubled or reordered, everything was acknowledged, and the road
    /// recovered from each act.
    #[track_caller]
    pub fn assert_exact(&self) {
        self.assert_complete();
        assert_eq!(self.total(|span| span.reordered), 0, "reordered: {self:#?}");
    }

    /// The same where the road itself promises no order.
    #[track_caller]
    pub fn assert_complete(&self) {
        let found = [
            ("lost", self.total(|span| span.lost)),
            ("invented", self.total(|span| span.invented)),
            ("doubled", self.total(|span| span.doubled)),
            ("never acknowledged", self.total(|span| span.unacknowledged)),
            ("holes in the numbering", self.total(|span| span.holes)),
            ("dead letters lost", self.total(|span| span.letters_lost)),
            ("dead letters invented", self.total(|span| span.letters_invented)),
        ];
        for (kind, count) in found {
            assert_eq!(count, 0, "{kind}: {self:#?}");
        }
        assert!(self.unrecovered.is_empty(), "{self:#?}");
        assert!(self.errors.is_empty(), "{self:#?}");
    }
}
