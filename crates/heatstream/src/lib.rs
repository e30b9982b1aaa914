//! The command line: reads arguments and configuration, wires roles, and ends with the exit codes of the interface.
//!
//! Is: wiring and words for people. Is not: a place for logic of the pipeline.
//!
//! Start reading at [`run`]; `up` wires everything in one process, `single` one role.

mod archive;
mod audit;
mod backtest;
mod check;
mod cli;
mod config;
mod data_dir;
mod desk;
mod incidents;
mod log_metrics;
mod metrics;
mod out;
mod process;
mod rejected;
mod replay;
mod report;
mod sim;
mod single;
mod topics;
mod up;

use std::ffi::OsString;

use clap::Parser as _;
use heat_runtime::{ExitStatus, tasks::Chain};

use crate::cli::{Cli, Command, ProcessorArguments};

/// What a command failed of.
#[derive(Debug)]
pub(crate) struct Failure {
    status: ExitStatus,
    message: String,
}

impl Failure {
    pub(crate) fn new(status: ExitStatus, message: impl Into<String>) -> Self {
        Self { status, message: message.into() }
    }

    /// Failed at run time, with the chain of causes.
    pub(crate) fn of(error: &(dyn std::error::Error + 'static)) -> Self {
        Self::new(ExitStatus::Failed, Chain(error).to_string())
    }
}

impl<E: std::error::Error + 'static> From<E> for Failure {
    fn from(error: E) -> Self {
        Self::of(&error)
    }
}

/// Runs a command line and says how it ended.
pub fn run(arguments: impl IntoIterator<Item = OsString>) -> ExitStatus {
    let cli = match Cli::try_parse_from(arguments) {
        Ok(cli) => cli,
        Err(error) => {
            // Help goes to standard output, faults to standard error.
            let status = if error.use_stderr() { ExitStatus::Usage } else { ExitStatus::Done };
            drop(error.print());
            return status;
        }
    };
    if cli.command.runs_on() {
        process::keep_arenas_few();
        process::allow_open_files();
    }
    match dispatch(cli) {
        Ok(status) => status,
        Err(failure) => {
            out::complain(&failure.message);
            failure.status
        }
    }
}

fn dispatch(cli: Cli) -> Result<ExitStatus, Failure> {
    match cli.command {
        Command::Up(arguments) => block_on(up::run(arguments)),
        Command::Gateway(arguments) => block_on(single::run(single::Role::Gateway, arguments)),
        Command::Processor(ProcessorArguments { role, state }) => {
            block_on(single::run(single::Role::Processor(state), role))
        }
        Command::Archiver(arguments) => block_on(single::run(single::Role::Archiver, arguments)),
        Command::Exporter(arguments) => block_on(single::run(single::Role::Exporter, arguments)),
        Command::Api(arguments) => block_on(single::run(single::Role::Api, arguments)),
        Command::Check(arguments) => check::run(&arguments),
        Command::Metrics => Ok(metrics::run()),
        Command::Sim(arguments) => block_on(sim::run(arguments)),
        Command::Replay(arguments) => block_on(replay::run(arguments)),
        Command::Backtest(arguments) => backtest::run(&arguments),
        Command::Audit(arguments) => block_on(audit::run(arguments)),
        Command::Archive(arguments) => block_on(archive::run(arguments)),
        Command::Topics(arguments) => block_on(topics::run(arguments)),
        Command::Incidents(arguments) => incidents::run(arguments),
        Command::Maintenance(arguments) => desk::maintenance(arguments),
        Command::Season(arguments) => desk::season(arguments),
        Command::Report(command) => block_on(report::run(command)),
        Command::Rejected(arguments) => rejected::run(arguments),
        Command::Bench(arguments) => heat_bench::run(arguments).map_err(|error| Failure::of(&error)),
    }
}

fn block_on(command: impl Future<Output = Result<ExitStatus, Failure>>) -> Result<ExitStatus, Failure> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let outcome = runtime.block_on(command);
    // What still blocks (a consumer that does not answer) must not hold the process.
    runtime.shutdown_timeout(std::time::Duration::from_secs(2));
    outcome
}
