//! `heatstream archive list|verify`.

use heat_archive::{Archive, Dataset};
use heat_runtime::ExitStatus;

use crate::{Failure, audit, cli::ArchiveCommand, out::say};

pub(crate) async fn run(command: ArchiveCommand) -> Result<ExitStatus, Failure> {
    match command {
        ArchiveCommand::List { archive, files } => list(&open(&archive).await?, files).await,
        ArchiveCommand::Verify { archive, json } => verify(&open(&archive).await?, json).await,
    }
}

async fn open(location: &str) -> Result<Archive, Failure> {
    if !location.contains("://") && !std::path::Path::new(location).is_dir() {
        return Err(Failure::new(ExitStatus::Usage, format!("there is no archive at {location}")));
    }
    Ok(Archive::open(location).await?)
}

async fn list(archive: &Archive, files: bool) -> Result<ExitStatus, Failure> {
    if files {
        let mut paths: Vec<String> = archive
            .files()
            .await?
            .into_iter()
            .filter(|file| file.dataset == Dataset::Readings)
            .map(|file| archive.address(&file.path))
            .collect();
        paths.sort();
        for path in paths {
            say(path);
        }
        return Ok(ExitStatus::Done);
    }
    for (topic, partition) in archive.partitions().await? {
        let manifests = archive.manifests(&topic, partition).await?;
        let rows: u64 = manifests.iter().flat_map(|manifest| &manifest.files).map(|file| file.rows).sum();
        let bytes: u64 = manifests.iter().flat_map(|manifest| &manifest.files).map(|file| file.bytes).sum();
        let next = manifests.last().map_or(0, |manifest| manifest.next_offset.0);
        say(format!(
            "{topic}/{}: {} commits up to offset {next}, {rows} rows, {bytes} bytes",
            partition.0,
            manifests.len()
        ));
    }
    Ok(ExitStatus::Done)
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
                "  no manifest names {orphan}: it does not count (left by a crash; it may be removed)"
            ));
        }
    }
    Ok(if report.is_sound() { ExitStatus::Done } else { ExitStatus::Data })
}
