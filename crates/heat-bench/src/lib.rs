//! The bench: what heatstream does on this machine, measured and never judged.
//!
//! Is: `heatstream bench`. Every figure is taken from the real roles, each in a process of its own (this program started
//! again), so that its CPU seconds and memory are its own; beside it stands a baseline measured in the same run. Is not:
//! a test (no figure passes or fails), nor a claim about another machine: the report names the one it ran on.
//!
//! Invariants:
//! - A run that lost, invented or left out a message or a reading gives no figure but an error.
//! - CPU seconds are user and system time of the measured process alone, from the kernel, without its start and its
//!   warm-up; the load comes from other processes.
//! - Inputs follow from the seed; only the wall clock's stamps differ from run to run.
//! - What it starts it ends, and its files are removed; Kafka topics that hold foreign records are left alone.
//!
//! Start reading at [`run`], then `ingest`, `work`, `days` and `latency`; `child` is how the processes talk.
#![warn(missing_docs)]

mod arguments;
mod broker;
mod child;
mod days;
mod drain;
mod engine;
mod error;
mod figures;
mod fill;
mod gateway;
mod ingest;
mod latency;
mod load;
mod percentiles;
mod plant;
mod report;
mod roles;
mod usage;
mod work;

pub use arguments::BenchArguments;
pub use error::BenchError;

use std::io::Write as _;

use heat_runtime::ExitStatus;

use crate::{
    arguments::{Options, What},
    figures::Bench,
    report::Report,
};

/// Measures and prints. Also runs as one of its own children, when started with the hidden subcommand.
pub fn run(arguments: BenchArguments) -> Result<ExitStatus, BenchError> {
    let (what, options) = match arguments.what {
        What::Child { task } => return Ok(child::serve(&task)),
        What::Ingest(options) => (Part::Ingest, options),
        What::Process(options) => (Part::Process, options),
        What::Archive(options) => (Part::Archive, options),
        What::Latency(options) => (Part::Latency, options),
        What::Drain(options) => (Part::Drain, options),
        What::All(options) => (Part::All, options),
    };
    let is_json = options.json;
    let report = interruptible(what, options)?;
    let text = if is_json { report.to_json() } else { report.to_table() };
    let mut out = std::io::stdout().lock();
    // A closed pipe is no error.
    drop(out.write_all(text.as_bytes()).and_then(|()| out.flush()));
    Ok(ExitStatus::Done)
}

/// What to measure.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Part {
    Ingest,
    Process,
    Archive,
    Latency,
    Drain,
    All,
}

/// Measures until done or Ctrl-C; the scratch directory is removed either way.
fn interruptible(part: Part, options: Options) -> Result<Report, BenchError> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(BenchError::act("start the bench's own threads"))?;
    let bench = Bench::new(options)?;
    let scratch = bench.scratch_path();
    let outcome = runtime.block_on(async {
        let measured = tokio::task::spawn_blocking(move || measure(part, bench));
        tokio::select! {
            measured = measured => measured.map_err(BenchError::act("measure"))?,
            _ = tokio::signal::ctrl_c() => Err(BenchError::Interrupted),
        }
    });
    runtime.shutdown_background();
    // Measuring removed it unless it was interrupted; children end with this process.
    if let Err(error) = std::fs::remove_dir_all(&scratch)
        && error.kind() != std::io::ErrorKind::NotFound
    {
        return outcome.and(Err(BenchError::file("remove", &scratch)(error)));
    }
    outcome
}

fn measure(part: Part, mut bench: Bench) -> Result<Report, BenchError> {
    if let Some(kafka) = bench.kafka() {
        bench.block_on(kafka.prepare())?;
    }
    if matches!(part, Part::Process | Part::Archive | Part::All) {
        let (process, archive) = (part != Part::Archive, part != Part::Process);
        work::measure(&mut bench, process, archive)?;
    }
    if matches!(part, Part::Ingest | Part::All) {
        ingest::measure(&mut bench)?;
    }
    if matches!(part, Part::Latency | Part::All) {
        latency::measure(&mut bench)?;
    }
    if matches!(part, Part::Drain | Part::All) {
        drain::measure(&mut bench)?;
    }
    Ok(bench.into_report())
}
