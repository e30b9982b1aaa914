//! Small runs of the bench from end to end: real roles in processes of their own, judged by what came out, never by how
//! fast. This program is also the bench's children, so it has no test harness.

use std::{ffi::OsString, process::ExitCode};

use clap::{Args, Command, FromArgMatches as _};
use heat_bench::BenchArguments;
use heat_runtime::ExitStatus;

fn run(arguments: impl IntoIterator<Item = OsString>) -> Result<ExitStatus, String> {
    let command = BenchArguments::augment_args(Command::new("bench"));
    let matches = command.try_get_matches_from(arguments).map_err(|error| error.to_string())?;
    let arguments = BenchArguments::from_arg_matches(&matches).map_err(|error| error.to_string())?;
    heat_bench::run(arguments).map_err(|error| heat_runtime::tasks::Chain(&error).to_string())
}

/// A run fails by itself where what came out is not what went in.
const RUNS: [&[&str]; 3] = [
    &["bench", "ingest", "--messages", "2000", "--paced", "500", "--connections", "3", "--devices", "50"],
    &["bench", "process", "--readings", "20000", "--networks", "2", "--stations", "10", "--json"],
    &["bench", "archive", "--readings", "20000", "--networks", "2", "--stations", "10", "--json"],
];

fn main() -> ExitCode {
    let arguments: Vec<OsString> = std::env::args_os().skip(1).collect();
    if arguments.get(1).is_some_and(|argument| argument == "child") {
        return run(arguments).map_or(ExitCode::FAILURE, ExitCode::from);
    }
    // Test runners ask for names, or for one test by name.
    if arguments.iter().any(|argument| argument == "--list") {
        return ExitCode::SUCCESS;
    }
    if arguments.first().is_some_and(|argument| argument == "bench") {
        return finish(run(arguments));
    }
    for run_arguments in RUNS {
        let outcome = run(run_arguments.iter().map(OsString::from));
        if !matches!(outcome, Ok(ExitStatus::Done)) {
            return finish(outcome);
        }
    }
    ExitCode::SUCCESS
}

fn finish(outcome: Result<ExitStatus, String>) -> ExitCode {
    match outcome {
        Ok(status) => status.into(),
        Err(message) => {
            use std::io::Write as _;
            drop(writeln!(std::io::stderr(), "{message}"));
            ExitCode::FAILURE
        }
    }
}
