//! `heatstream archive list|verify|compact|retain|erase`.

use std::collections::BTreeMap;

use heat_archive::{
    Archive, CompactReport, CompactSettings, Dataset, View,
    compact::{EraseReport, Erasure, RetentionReport, RetentionSettings},
    revise::unobserved,
};
use heat_model::{EventTime, time::MICROS_PER_DAY};
use heat_runtime::{Clock, ExitStatus};

use crate::{
    Failure, audit,
    cli::{ArchiveCommand, ArchiveLocation},
    out::say,
};

/// A date is closed so long after its end, unless something else is asked for.
const CLOSES_AFTER_US: i64 = 6 * 3_600 * 1_000_000;

pub(crate) async fn run(command: ArchiveCommand) -> Result<ExitStatus, Failure> {
    match command {
        ArchiveCommand::List { archive, files: false, .. } => list(&open(&archive).await?).await,
        ArchiveCommand::List { archive, files: true, dataset } => {
            list_files(&open(&archive).await?, dataset).await
        }
        ArchiveCommand::Verify { archive, json } => verify(&open(&archive).await?, json).await,
        ArchiveCommand::Compact { archive, before, grace, check, json } => {
            let now_us = Clock.now().as_micros();
            let before_day = before.unwrap_or_else(|| (now_us - CLOSES_AFTER_US).div_euclid(MICROS_PER_DAY));
            let settings = CompactSettings { grace, check, ..CompactSettings::new(before_day, now_us) };
            compact(&open(&archive).await?, &settings, json).await
        }
        ArchiveCommand::Retain { archive, keep, dry_run, json } => {
            retain(&open(&archive).await?, &keep, dry_run, json).await
        }
        ArchiveCommand::Erase { archive, network, site, from, to, json } => {
            let erasure = Erasure {
                network: network.parse().map_err(|error| usage("network", &error))?,
                site: site.parse().map_err(|error| usage("site", &error))?,
                from: time(from.as_deref())?,
                to: time(to.as_deref())?,
            };
            erase(&open(&archive).await?, &erasure, json).await
        }
    }
}

fn usage(what: &str, error: &dyn std::error::Error) -> Failure {
    Failure::new(ExitStatus::Usage, format!("--{what}: {error}"))
}

fn time(text: Option<&str>) -> Result<Option<EventTime>, Failure> {
    let parsed = text.map(|text| {
        heat_codec::time_text::parse_rfc3339(text)
            .map_err(|reason| Failure::new(ExitStatus::Usage, format!("{text:?}: {reason}")))
    });
    parsed.transpose()
}

async fn open(location: &ArchiveLocation) -> Result<Archive, Failure> {
    let location = location.location();
    if location.folder().is_some_and(|folder| !std::path::Path::new(folder).is_dir()) {
        return Err(Failure::new(ExitStatus::Usage, format!("there is no archive at {location}")));
    }
    Ok(Archive::open(location).await?)
}

async fn list(archive: &Archive) -> Result<ExitStatus, Failure> {
    for (topic, partition) in archive.partitions().await? {
        let view = archive.view(&topic, partition).await?;
        let (files, bytes) =
            view.live().fold((0_u64, 0), |(files, bytes), file| (files + 1, bytes + file.entry.bytes));
        say(format!(
            "{topic}/{}: {} commits up to offset {}, {} revisions, {} rows in {files} files, {bytes} bytes",
            partition.0,
            view.commits(),
            view.next_offset().map_or(0, |next| next.0),
            view.next_revision(),
            view.rows(),
        ));
    }
    Ok(ExitStatus::Done)
}

async fn list_files(archive: &Archive, dataset: Dataset) -> Result<ExitStatus, Failure> {
    let mut paths: Vec<String> = Vec::new();
    for (topic, partition) in archive.partitions().await? {
        let view = archive.view(&topic, partition).await?;
        paths.extend(addresses(archive, &view, dataset));
    }
    paths.sort();
    paths.into_iter().for_each(say);
    Ok(ExitStatus::Done)
}

fn addresses<'a>(
    archive: &'a Archive,
    view: &'a View,
    dataset: Dataset,
) -> impl Iterator<Item = String> + 'a {
    let files = view.live().filter(move |file| file.entry.dataset == dataset);
    files.map(|file| archive.address(&file.entry.path))
}

async fn verify(archive: &Archive, json: bool) -> Result<ExitStatus, Failure> {
    let report = archive.verify().await?;
    if json {
        say(serde_json::to_string_pretty(&report)?);
    } else {
        say(format!("{} files, {} rows, {} faults", report.files, report.rows, report.faults.len()));
        for fault in &report.faults {
            say(format!("  {}", audit::describe(fault)));
        }
        for orphan in &report.orphans {
            say(format!(
                "  no manifest names {orphan}: it does not count (left by a crash, or foreign; compaction moves \
                 foreign files to set_aside)"
            ));
        }
        if report.replaced > 0 {
            say(format!("  {} replaced files wait for their grace time to pass", report.replaced));
        }
    }
    Ok(if report.is_sound() { ExitStatus::Done } else { ExitStatus::Data })
}

async fn compact(archive: &Archive, settings: &CompactSettings, json: bool) -> Result<ExitStatus, Failure> {
    let report: CompactReport = archive.compact(settings, &mut unobserved).await?;
    if json {
        say(serde_json::to_string_pretty(&report)?);
    } else {
        say(format!(
            "{} files of {} bytes became {} of {} bytes with {} rows; {} repeats left out, {} roll-ups, {} commits \
             folded, {} old files deleted",
            report.files_before,
            report.bytes_before,
            report.files_after,
            report.bytes_after,
            report.rows,
            report.repeats,
            report.rollup_rows,
            report.commits_folded,
            report.deleted
        ));
        for bad in &report.unreadable {
            let moved = bad.to.as_ref().map(|to| format!(", moved to {to}")).unwrap_or_default();
            say(format!("  {} is set aside{moved}: {}", bad.path, bad.reason));
        }
        for path in &report.restored {
            say(format!("  {path} is whole again and counts"));
        }
        if report.missing_files > 0 {
            say(format!(
                "  {} rows of {} damaged files are missing: put the files back from a backup, where they were, and \
                 compact again (`heatstream archive verify` names them)",
                report.missing_rows, report.missing_files
            ));
        }
        for file in &report.unread {
            say(format!("  {} cannot be read: its date waits for the next run: {}", file.path, file.reason));
        }
        for path in &report.newer {
            say(format!("  {path} is of a later version: its folder is left as it is"));
        }
        for path in &report.set_aside {
            say(format!("  {path} is foreign: it was moved to set_aside/{path}"));
        }
    }
    Ok(match (report.unread.is_empty(), report.missing_files) {
        (false, _) => ExitStatus::Failed,
        (true, 0) => ExitStatus::Done,
        (true, _) => ExitStatus::Data,
    })
}

async fn retain(
    archive: &Archive,
    keep: &[(Dataset, i64)],
    dry_run: bool,
    json: bool,
) -> Result<ExitStatus, Failure> {
    let now_us = Clock.now().as_micros();
    let today = now_us.div_euclid(MICROS_PER_DAY);
    let before_day: BTreeMap<Dataset, i64> =
        keep.iter().map(|(dataset, days)| (*dataset, today - days)).collect();
    let settings = RetentionSettings { before_day, now_us, partitions: None, dry_run };
    let gone: Vec<RetentionReport> = archive.retain(&settings, &mut unobserved).await?;
    if json {
        say(serde_json::to_string_pretty(&gone)?);
        return Ok(ExitStatus::Done);
    }
    let verb = if dry_run { "would go" } else { "goes" };
    for date in &gone {
        let RetentionReport { dataset, date, files, rows, bytes } = date;
        say(format!("{} {date} {verb}: {files} files, {rows} rows, {bytes} bytes", dataset.folder()));
    }
    if gone.is_empty() {
        say("nothing is older");
    }
    Ok(ExitStatus::Done)
}

async fn erase(archive: &Archive, erasure: &Erasure, json: bool) -> Result<ExitStatus, Failure> {
    let now_us = Clock.now().as_micros();
    let settings = CompactSettings::new(i64::MIN, now_us);
    let report: EraseReport = archive.erase(erasure, &settings, &mut unobserved).await?;
    if json {
        say(serde_json::to_string_pretty(&report)?);
    } else {
        say(format!(
            "{} rows erased; {} files written anew, {} deleted",
            report.rows, report.files, report.deleted
        ));
        for (dataset, rows) in &report.named_elsewhere {
            let name = dataset.folder();
            say(format!(
                "  {rows} rows of {name} name the site and stay until their age: `heatstream archive retain --keep \
                 {name}=30d`, or [archive.retention]"
            ));
        }
        for path in &report.set_aside {
            say(format!("  {path} is damaged and may hold such rows: delete it by hand"));
        }
        say("  the log keeps what its retention keeps, and the processor's state what it learned");
    }
    Ok(ExitStatus::Done)
}
