//! `heatstream report season|day`: out of the archive and the plant tables, without Kafka.

use std::{
    io::Write as _,
    path::{Path, PathBuf},
};

use clap::{Args, Subcommand, ValueEnum};
use heat_archive::{Archive, Location};
use heat_codec::time_text::parse_rfc3339;
use heat_gateway::plant::PlantFiles;
use heat_model::{EventTime, plant::PlantModel};
use heat_report::{
    Settings, Span, read,
    report::report,
    tell::{self, Lang},
};
use heat_runtime::{Clock, ExitStatus};
use jiff::{Timestamp, ToSpan as _, ZonedDateTime, civil::Date, tz::TimeZone};

use crate::{
    Failure,
    config::{Defaults, RawConfig},
    data_dir::DataDir,
    out::is_terminal,
};

const TIME_ZONE: &str = "Asia/Shanghai";

#[derive(Debug, Subcommand)]
pub(crate) enum ReportCommand {
    /// The heating year: from the last 1 July, or where the archive begins, to its newest reading.
    Season(ReportArguments),
    /// The last whole day that the archive holds.
    Day(ReportArguments),
}

#[derive(Debug, Args)]
pub(crate) struct ReportArguments {
    /// Archive to read; by default that of --config or --data-dir.
    #[arg(long, value_name = "URL", conflicts_with = "data_dir")]
    archive: Option<String>,
    /// Configuration file (TOML): where archive and plant tables lie, deadlines, time zone.
    #[arg(long, value_name = "FILE", conflicts_with = "data_dir")]
    config: Option<PathBuf>,
    /// Data directory of `up`; it may be running.
    #[arg(long, value_name = "DIR")]
    data_dir: Option<PathBuf>,
    /// Folder with the plant tables (CSV), or one TOML file: areas, households, pipes, operators, districts.
    #[arg(long, value_name = "DIR")]
    plant: Option<PathBuf>,
    /// First instant (RFC 3339), or first day (2026-11-15).
    #[arg(long, value_name = "TIME")]
    from: Option<String>,
    /// Instant to stop before, or the day after the last.
    #[arg(long, value_name = "TIME")]
    to: Option<String>,
    /// How the report is told.
    #[arg(long, value_enum, default_value_t = Format::Html)]
    format: Format,
    /// Language of page and table.
    #[arg(long, value_enum, default_value_t = Language::Zh)]
    lang: Language,
    /// Write the report into this file; standard output by default.
    #[arg(long, value_name = "FILE")]
    output: Option<PathBuf>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Format {
    /// One page for people.
    Html,
    /// A figure a row, for spreadsheets.
    Csv,
    /// For programs.
    Json,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Language {
    Zh,
    En,
}

/// Where everything is.
struct Sources {
    location: Location,
    plant: PlantModel,
    settings: Settings,
    zone: TimeZone,
}

pub(crate) async fn run(command: ReportCommand) -> Result<ExitStatus, Failure> {
    let (arguments, is_season) = match command {
        ReportCommand::Season(arguments) => (arguments, true),
        ReportCommand::Day(arguments) => (arguments, false),
    };
    let sources = sources(&arguments)?;
    if sources.location.folder().is_some_and(|folder| !Path::new(folder).is_dir()) {
        let text = format!(
            "there is no archive at {}; name one with --archive, --config or --data-dir",
            sources.location
        );
        return Err(Failure::new(ExitStatus::Usage, text));
    }
    let archive = Archive::open(&sources.location).await?;
    let span = span(&archive, &arguments, is_season, &sources.zone).await?;
    let bar = bar();
    let mut progress = |done: usize, of: usize| {
        bar.set_length(of as u64);
        bar.set_position(done as u64);
    };
    let facts = read::read(&archive, &span, &sources.settings, &mut progress).await?;
    bar.finish_and_clear();
    let report = report(&facts, &sources.plant, &span, &sources.settings);
    let lang = match arguments.lang {
        Language::Zh => Lang::Chinese,
        Language::En => Lang::English,
    };
    let title =
        if is_season { ["供暖季报告", "Report of the season"] } else { ["日报", "Report of the day"] };
    let text = match arguments.format {
        Format::Html => tell::html(&report, title, lang),
        Format::Csv => tell::csv(&report, lang),
        Format::Json => tell::json(&report),
    };
    write(arguments.output.as_deref(), &text)?;
    Ok(ExitStatus::Done)
}

fn sources(arguments: &ReportArguments) -> Result<Sources, Failure> {
    let configured = match &arguments.config {
        Some(path) => Some(RawConfig::read(path)?.check(None, &Defaults::default())?),
        None => None,
    };
    let dir = match (&arguments.archive, &arguments.config) {
        (None, None) => {
            Some(DataDir::find(arguments.data_dir.as_deref().unwrap_or(Path::new("heatstream-data")))?)
        }
        (Some(_), _) | (_, Some(_)) => None,
    };
    let location = match (&arguments.archive, &configured, &dir) {
        (Some(url), _, _) => Location::from(url),
        (None, Some(config), _) => config.archiver.location.clone(),
        (None, None, Some(dir)) => Location::from(dir.archive().display().to_string()),
        (None, None, None) => unreachable!("one of the three is there"),
    };
    let tables =
        arguments.plant.clone().or_else(|| dir.map(|dir| dir.plant()).filter(|folder| folder.is_dir()));
    let plant = match (&tables, &configured) {
        (Some(path), _) => read_plant(path)?,
        (None, Some(config)) => PlantModel::clone(&config.shared.plant),
        (None, None) => PlantModel::default(),
    };
    let mut settings = Settings::default();
    let mut zone = None;
    if let Some(config) = configured {
        settings.deadlines = config.api.deadlines;
        zone = Some(config.api.time_zone);
    }
    let of_plant = plant.networks.iter().find_map(|network| network.time_zone.as_deref());
    let zone = match zone {
        Some(zone) => zone,
        None => TimeZone::get(of_plant.unwrap_or(TIME_ZONE))?,
    };
    Ok(Sources { location, plant, settings, zone })
}

fn read_plant(path: &Path) -> Result<PlantModel, Failure> {
    PlantFiles::new(path.to_path_buf()).read().outcome.map_err(|faults| {
        let count = faults.faults.len() + faults.more;
        Failure::new(ExitStatus::Configuration, format!("{count} fault(s) in the plant tables:\n{faults}"))
    })
}

async fn span(
    archive: &Archive,
    arguments: &ReportArguments,
    is_season: bool,
    zone: &TimeZone,
) -> Result<Span, Failure> {
    let asked = |name: &str, text: Option<&String>| text.map(|text| instant(name, text, zone)).transpose();
    let (from, to) = (asked("--from", arguments.from.as_ref())?, asked("--to", arguments.to.as_ref())?);
    let (from, to) = match (from, to) {
        (Some(from), Some(to)) => (from, to),
        (from, to) => {
            let (begin, end) = whole(archive, is_season, zone, to).await?;
            (from.unwrap_or(begin), to.unwrap_or(end))
        }
    };
    if from >= to {
        return Err(Failure::new(ExitStatus::Usage, "--from must lie before --to"));
    }
    Ok(Span { from, to, zone: zone.clone() })
}

/// The season's or day's bounds where none are given: of the archive as it is.
async fn whole(
    archive: &Archive,
    is_season: bool,
    zone: &TimeZone,
    to: Option<EventTime>,
) -> Result<(EventTime, EventTime), Failure> {
    let held = read::held(archive).await?;
    let (oldest, newest) =
        held.ok_or_else(|| Failure::new(ExitStatus::Data, "the archive holds no readings"))?;
    // A device whose clock is ahead does not make the season longer.
    let now = EventTime::from_micros(Clock.now().as_micros());
    let end = to.unwrap_or(newest.min(now));
    let at = Timestamp::from_microsecond(end.as_micros())?.to_zoned_datetime(zone.clone());
    if is_season {
        let year = if at.month() >= 7 { at.year() } else { at.year() - 1 };
        let begin = of_zoned(&Date::new(year, 7, 1)?.to_zoned_datetime(zone.clone())?);
        return Ok((begin.max(oldest), end));
    }
    let today = at.start_of_day()?;
    let end = if to.is_some() { at } else { today };
    Ok((of_zoned(&end.checked_sub(1.day())?), of_zoned(&end)))
}

fn of_zoned(at: &ZonedDateTime) -> EventTime {
    EventTime::from_micros(at.timestamp().as_microsecond())
}

fn instant(name: &str, text: &str, zone: &TimeZone) -> Result<EventTime, Failure> {
    if let Ok(date) = text.parse::<Date>()
        && !text.contains('T')
    {
        return Ok(of_zoned(&date.to_zoned_datetime(zone.clone())?));
    }
    parse_rfc3339(text).map_err(|error| Failure::new(ExitStatus::Usage, format!("{name}: {text:?}: {error}")))
}

fn write(path: Option<&Path>, text: &str) -> Result<(), Failure> {
    let written = match path {
        Some(path) => std::fs::write(path, text),
        None => match std::io::stdout().lock().write_all(text.as_bytes()) {
            // Whoever reads has seen enough.
            Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => Ok(()),
            outcome => outcome,
        },
    };
    let name = path.map_or_else(|| "standard output".to_owned(), |path| path.display().to_string());
    written.map_err(|error| Failure::new(ExitStatus::Failed, format!("cannot write {name}: {error}")))
}

fn bar() -> indicatif::ProgressBar {
    if !is_terminal() {
        return indicatif::ProgressBar::hidden();
    }
    let bar = indicatif::ProgressBar::new(0);
    let style = indicatif::ProgressStyle::with_template("  report  {bar:40} {percent}%  {eta} left")
        .expect("the template is a constant of the right shape");
    bar.set_style(style);
    bar
}
