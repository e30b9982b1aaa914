//! `heatstream backtest`: what would have been found in a recorded past, and how good that is.

mod arguments;
mod inject;

use std::{
    fs::File,
    io::{BufWriter, Write as _},
    path::{Path, PathBuf},
    sync::Arc,
};

use heat_archive::{Archive, Location};
use heat_backtest::{
    Span, archived,
    judge::{Case, judge},
    recorded::{FileSet, Oddities, Recorded, RecordedError},
    report::{Report, html::html, json::json, table::table},
    run::{Record, Run},
};
use heat_codec::{labels, mapping::Mapping, time_text::parse_rfc3339};
use heat_detect::DetectSettings;
use heat_gateway::plant::PlantFiles;
use heat_model::{Envelope, EventTime, Position, label::Label, plant::PlantModel};
use heat_runtime::ExitStatus;

pub(crate) use arguments::BacktestArguments;
use arguments::Format;

use crate::{
    Failure,
    config::RawConfig,
    out::{complain, is_terminal},
};

/// Records between two moves of the progress bar.
const PROGRESS_RECORDS: u64 = 20_000;

pub(crate) fn run(arguments: &BacktestArguments) -> Result<ExitStatus, Failure> {
    let span =
        Span { from: time("--from", arguments.from.as_ref())?, to: time("--to", arguments.to.as_ref())? };
    if let (Some(from), Some(to)) = (span.from, span.to)
        && from >= to
    {
        return Err(Failure::new(ExitStatus::Usage, "--from must lie before --to"));
    }
    let plant = Arc::new(read_plant(arguments.plant.as_deref())?);
    let labels = arguments.labels.as_deref().map(read_labels).transpose()?;
    let settings = match &arguments.config {
        Some(path) => RawConfig::read(path)?.detect_settings()?,
        None => DetectSettings::default(),
    };
    if !arguments.inject.is_empty() {
        return inject::run(arguments, span, &plant, labels.unwrap_or_default(), &settings);
    }
    let scores = arguments.scores.as_deref().map(create).transpose()?;
    let scores = scores.map(|file| Box::new(file) as Box<dyn std::io::Write + Send>);

    let mut run = Run::new(settings.clone(), Arc::clone(&plant), scores);
    let oddities = match &arguments.archive {
        Some(location) => {
            crate::block_on(replay_archive(location, span, &mut run))?;
            None
        }
        None => Some(replay_files(arguments, span, &mut |position, envelope| {
            run.take(position, &envelope).map_err(Failure::from)
        })?),
    };
    let record = run.finish().map_err(|error| unwritable(arguments.scores.as_deref(), &error))?;
    if record.networks.is_empty() {
        return Err(Failure::new(ExitStatus::Data, "there is no reading between --from and --to"));
    }
    let report = judge(Case {
        record: &record,
        labels: labels.as_deref(),
        plant: &plant,
        settings: &settings,
        oddities: oddities.as_ref(),
        injection: None,
    });
    tell(arguments, &report, &record, &plant)
}

fn tell(
    arguments: &BacktestArguments,
    report: &Report,
    record: &Record,
    plant: &PlantModel,
) -> Result<ExitStatus, Failure> {
    let text = match arguments.format {
        Format::Table => table(report),
        Format::Json => json(report),
        Format::Html => html(report, record, plant),
    };
    write_report(arguments.output.as_deref(), &text)?;
    Ok(ExitStatus::Done)
}

fn time(name: &str, text: Option<&String>) -> Result<Option<EventTime>, Failure> {
    let read = |text: &String| {
        parse_rfc3339(text)
            .map_err(|error| Failure::new(ExitStatus::Usage, format!("{name}: {text:?}: {error}")))
    };
    text.map(read).transpose()
}

fn read_text(path: &Path) -> Result<String, Failure> {
    let read = if path == Path::new("-") {
        std::io::read_to_string(std::io::stdin())
    } else {
        std::fs::read_to_string(path)
    };
    read.map_err(|error| Failure::new(ExitStatus::Usage, format!("cannot read {}: {error}", path.display())))
}

fn read_plant(path: Option<&Path>) -> Result<PlantModel, Failure> {
    let Some(path) = path else { return Ok(PlantModel::default()) };
    PlantFiles::new(path.to_path_buf()).read().outcome.map_err(|faults| {
        let count = faults.faults.len() + faults.more;
        Failure::new(ExitStatus::Configuration, format!("{count} fault(s) in the plant tables:\n{faults}"))
    })
}

fn read_labels(path: &Path) -> Result<Vec<Label>, Failure> {
    labels::read(&read_text(path)?)
        .map_err(|fault| Failure::new(ExitStatus::Data, format!("{}: {fault}", path.display())))
}

fn create(path: &Path) -> Result<BufWriter<File>, Failure> {
    File::create(path).map(BufWriter::new).map_err(|error| unwritable(Some(path), &error))
}

fn unwritable(path: Option<&Path>, error: &std::io::Error) -> Failure {
    let name = path.map_or_else(|| "standard output".to_owned(), |path| path.display().to_string());
    Failure::new(ExitStatus::Failed, format!("cannot write {name}: {error}"))
}

fn write_report(path: Option<&Path>, text: &str) -> Result<(), Failure> {
    let written = match path {
        Some(path) => std::fs::write(path, text),
        None => match std::io::stdout().lock().write_all(text.as_bytes()) {
            // Whoever reads has seen enough.
            Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => Ok(()),
            outcome => outcome,
        },
    };
    written.map_err(|error| unwritable(path, &error))
}

fn file_set(occurrence: &[PathBuf], live: bool) -> Result<FileSet, Failure> {
    let (mapping, files) = occurrence.split_first().expect("the command line demands two values at least");
    let mapping_name = mapping.display().to_string();
    let mut parsed = Mapping::parse(&read_text(mapping)?).map_err(|faults| {
        let lines: Vec<String> = faults.iter().map(|fault| format!("  {fault}")).collect();
        Failure::new(
            ExitStatus::Configuration,
            format!("{} fault(s) in {mapping_name}:\n{}", faults.len(), lines.join("\n")),
        )
    })?;
    if live {
        parsed.lane = None;
    }
    Ok(FileSet { mapping_name, mapping: parsed, files: files.to_vec() })
}

fn of_recorded(error: &RecordedError) -> Failure {
    let status = match error {
        RecordedError::Open { .. } => ExitStatus::Usage,
        RecordedError::Mapping { .. }
        | RecordedError::Unordered { .. }
        | RecordedError::Jump { .. }
        | RecordedError::Nothing { .. } => ExitStatus::Data,
    };
    Failure::new(status, error.to_string())
}

type TakeRecord<'a> = dyn FnMut(&Position, Envelope) -> Result<(), Failure> + 'a;

fn replay_files(
    arguments: &BacktestArguments,
    span: Span,
    take: &mut TakeRecord<'_>,
) -> Result<Oddities, Failure> {
    let sets = &arguments.recorded.sets;
    let sets: Vec<FileSet> =
        sets.iter().map(|set| file_set(set, arguments.live)).collect::<Result<_, _>>()?;
    let mut recorded = Recorded::open(&sets, span).map_err(|error| of_recorded(&error))?;
    let bar = bar(recorded.progress().1);
    let mut records: u64 = 0;
    while let Some((position, envelope)) = recorded.next_record().map_err(|error| of_recorded(&error))? {
        take(&position, envelope)?;
        records += 1;
        if records.is_multiple_of(PROGRESS_RECORDS) {
            bar.set_position(recorded.progress().0);
        }
    }
    bar.finish_and_clear();
    let oddities = recorded.oddities().clone();
    for fault in &oddities.faults {
        complain(fault);
    }
    Ok(oddities)
}

async fn replay_archive(location: &str, span: Span, run: &mut Run) -> Result<ExitStatus, Failure> {
    let folder = Location::from(location);
    if folder.folder().is_some_and(|folder| !Path::new(folder).is_dir()) {
        return Err(Failure::new(ExitStatus::Usage, format!("there is no archive at {location}")));
    }
    let archive = Archive::open(location).await?;
    let stretches = archived::stretches(&archive).await?;
    if stretches.is_empty() {
        return Err(Failure::new(ExitStatus::Data, format!("the archive at {location} holds no readings")));
    }
    let bar = bar(stretches.iter().map(|stretch| stretch.rows).sum());
    let mut before = 0;
    for stretch in &stretches {
        let mut take = |position: &_, envelope: &_, rows: u64| -> Result<(), Failure> {
            run.take(position, envelope)?;
            bar.set_position(before + rows);
            Ok(())
        };
        archived::replay(&archive, stretch, span, &mut take).await?;
        run.end_partition()?;
        before += stretch.rows;
    }
    bar.finish_and_clear();
    Ok(ExitStatus::Done)
}

fn bar(length: u64) -> indicatif::ProgressBar {
    if !is_terminal() {
        return indicatif::ProgressBar::hidden();
    }
    let bar = indicatif::ProgressBar::new(length);
    let style = indicatif::ProgressStyle::with_template("  backtest  {bar:40} {percent}%  {eta} left")
        .expect("the template is a constant of the right shape");
    bar.set_style(style);
    bar
}
