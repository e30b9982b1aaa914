//! The command line of `backtest`.

use std::path::PathBuf;

use clap::{Arg, ArgAction, ArgMatches, Args, Command, FromArgMatches, ValueEnum, value_parser};

#[derive(Debug, Args)]
pub(crate) struct BacktestArguments {
    /// Archive to replay: its own append times, lanes, commands and plant activations.
    #[arg(long, value_name = "URL", conflicts_with = "mapping", required_unless_present = "mapping")]
    pub(crate) archive: Option<String>,
    #[command(flatten)]
    pub(crate) recorded: RecordedArguments,
    /// Judge rows that their mapping declares as back-filled (`lane = "backfill"`) as if they had come live.
    #[arg(long, requires = "mapping")]
    pub(crate) live: bool,
    /// Put faults into the data and count what is found of them: one run for each of these seeds, judged together.
    #[arg(
        long,
        value_name = "SEED,...",
        value_delimiter = ',',
        requires = "mapping",
        conflicts_with = "scores"
    )]
    pub(crate) inject: Vec<u64>,
    /// Configuration file (TOML) whose [processor] table sets the detectors as it sets the live ones; defaults without it.
    #[arg(long, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
    /// Folder with the plant tables (CSV), or one TOML file; without it nothing can be located.
    #[arg(long, value_name = "DIR")]
    pub(crate) plant: Option<PathBuf>,
    /// What really happened: event,class,network,start,end,place,side,size_kg_s; for judging only.
    #[arg(long, value_name = "FILE")]
    pub(crate) labels: Option<PathBuf>,
    /// First instant of arrival (RFC 3339).
    #[arg(long, value_name = "TIME")]
    pub(crate) from: Option<String>,
    /// Instant of arrival to stop before (RFC 3339).
    #[arg(long, value_name = "TIME")]
    pub(crate) to: Option<String>,
    /// How the report is told.
    #[arg(long, value_enum, default_value_t = Format::Table)]
    pub(crate) format: Format,
    /// Write the report into this file; standard output by default.
    #[arg(long, value_name = "FILE")]
    pub(crate) output: Option<PathBuf>,
    /// Write every detector's statistic into this file: CSV, a row per signal or station and time.
    #[arg(long, value_name = "FILE")]
    pub(crate) scores: Option<PathBuf>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// For a terminal.
    Table,
    /// For programs.
    Json,
    /// One page with plots, for people.
    Html,
}

/// `--mapping M FILE...`, as often as there are kinds of files. By hand, because derived arguments forget which values
/// came together.
#[derive(Debug)]
pub(crate) struct RecordedArguments {
    /// Of each occurrence the mapping and its files.
    pub(crate) sets: Vec<Vec<PathBuf>>,
}

const MAPPING: &str = "mapping";

impl FromArgMatches for RecordedArguments {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        let sets = matches
            .get_occurrences::<PathBuf>(MAPPING)
            .map(|occurrences| occurrences.map(|values| values.cloned().collect()).collect())
            .unwrap_or_default();
        Ok(Self { sets })
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        *self = Self::from_arg_matches(matches)?;
        Ok(())
    }
}

impl Args for RecordedArguments {
    fn augment_args(command: Command) -> Command {
        command.arg(
            Arg::new(MAPPING)
                .long(MAPPING)
                .value_names(["MAPPING", "FILE"])
                .num_args(2..)
                .action(ArgAction::Append)
                .value_parser(value_parser!(PathBuf))
                .help(
                    "Recorded files (CSV, plain or gzip; `-` is standard input) and the mapping (TOML) that describes them; \
                     again for files of another kind. All are merged by time of arrival",
                ),
        )
    }

    fn augment_args_for_update(command: Command) -> Command {
        Self::augment_args(command)
    }
}
