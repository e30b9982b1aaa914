//! Files that are damaged, of somebody else, or gone: taken out of the way, named, never deleted, and taken again.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
};

use heat_model::{Offset, PartitionId};

use super::{
    City, Sent, TOPIC, archive_all, block_on, canonical,
    compact::{at_once, compact, dies_at, rows_by_folder, without_repeats},
    open, read_all, rotation,
};
use crate::{
    Archive, ArchiveError, CompactSettings, Dataset, FileEntry, Scan,
    archive::Disposition,
    compact::{Erasure, RetentionSettings},
    revise::unobserved,
    verify::Fault,
};

/// Ways in which a file is not as it was written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Harm {
    /// Bits have turned; the size is the same.
    Corrupt,
    Truncated,
    Empty,
    /// Text under a name of ours.
    Foreign,
    /// Another file of the archive under this name.
    Swapped,
    Gone,
}

const ALL: [Harm; 6] =
    [Harm::Corrupt, Harm::Truncated, Harm::Empty, Harm::Foreign, Harm::Swapped, Harm::Gone];

/// A file, what was written, and what lies there now.
struct Harmed {
    file: FileEntry,
    whole: Vec<u8>,
    now: Option<Vec<u8>>,
}

fn harm(root: &Path, harm: Harm, file: &FileEntry, other: &FileEntry) -> Harmed {
    let path = root.join(&file.path);
    let whole = std::fs::read(&path).unwrap();
    let now = match harm {
        Harm::Corrupt => {
            let mut bytes = whole.clone();
            // The first columns lie at the beginning; not every byte further on holds a row.
            bytes[4..68].iter_mut().for_each(|byte| *byte = !*byte);
            Some(bytes)
        }
        Harm::Truncated => Some(whole[..whole.len() / 2].to_vec()),
        Harm::Empty => Some(Vec::new()),
        Harm::Foreign => Some(b"signal,value\na,1\n".to_vec()),
        Harm::Swapped => Some(std::fs::read(root.join(&other.path)).unwrap()),
        Harm::Gone => None,
    };
    std::fs::remove_file(&path).unwrap();
    if let Some(bytes) = &now {
        std::fs::write(&path, bytes).unwrap();
    }
    Harmed { file: file.clone(), whole, now }
}

fn put_back(root: &Path, harmed: &[Harmed]) {
    for Harmed { file, whole, .. } in harmed {
        std::fs::write(root.join(&file.path), whole).unwrap();
    }
}

/// Rows missing by file, as `verify` names them; any other fault fails the test.
async fn missing(archive: &Archive) -> BTreeMap<String, u64> {
    let mut missing = BTreeMap::new();
    for fault in archive.verify().await.unwrap().faults {
        let Fault::SetAside { path, rows, .. } = fault else { panic!("{fault:?}") };
        *missing.entry(path).or_default() += rows;
    }
    missing
}

fn rows_of(harmed: &[Harmed]) -> BTreeMap<String, u64> {
    harmed.iter().map(|harmed| (harmed.file.path.clone(), harmed.file.rows)).collect()
}

async fn of(archive: &Archive, dataset: Dataset) -> Vec<FileEntry> {
    archive.files().await.unwrap().into_iter().filter(|file| file.dataset == dataset).collect()
}

fn town(seed: u64) -> Vec<Sent> {
    City::new(seed).with_inputs().spread_over_days(2).records(500)
}

#[test]
fn what_is_damaged_is_set_aside_and_named_the_rest_goes_on_and_put_back_it_counts_again() {
    let sent = town(31);
    block_on(async {
        let folder = heat_tests::memory_folder();
        let (archive, root) = (open(&folder).await, folder.path());
        archive_all(&archive, &sent, rotation(100)).await;
        let (readings, inputs) = (of(&archive, Dataset::Readings).await, of(&archive, Dataset::Inputs).await);
        let mut harmed: Vec<Harmed> = ALL
            .into_iter()
            .zip(readings.iter().step_by(3))
            .map(|(kind, file)| harm(root, kind, file, &readings[1]))
            .collect();
        harmed.push(harm(root, Harm::Truncated, &inputs[0], &inputs[0]));
        assert_eq!(harmed.len(), 7);

        let report = compact(&archive, &at_once()).await;

        let named: BTreeSet<&str> = report.unreadable.iter().map(|bad| bad.path.as_str()).collect();
        assert_eq!(named, harmed.iter().map(|harmed| harmed.file.path.as_str()).collect());
        for Harmed { file, now, .. } in &harmed {
            let aside = std::fs::read(root.join("set_aside").join(&file.path)).ok();
            assert_eq!(aside, *now, "{}: never deleted", file.path);
            assert!(!root.join(&file.path).is_file(), "{}: nobody stumbles over it", file.path);
        }
        for archive in [archive.clone(), open(&folder).await] {
            assert_eq!(missing(&archive).await, rows_of(&harmed));
            let rows = canonical(&read_all(&archive, &Scan::default()).await);
            assert_eq!(rows, canonical(&rows_by_folder(&archive, root).await), "by list and by folder");
            let verified = archive.verify().await.unwrap();
            let [of_input] = verified.partitions.as_slice() else { panic!("{verified:?}") };
            assert_eq!(of_input.set_aside, rows_of(&harmed).values().sum::<u64>());
            assert_eq!(of_input.written, of_input.rows + of_input.repeats + of_input.set_aside);
        }
        let again = compact(&archive, &at_once()).await;
        assert_eq!((again.folders, again.unreadable.len()), (0, 0), "nothing is left to do");
        assert_eq!((again.missing_files, again.missing_rows), (7, report.missing_rows), "it stays said");

        put_back(root, &harmed);

        assert!(archive.verify().await.unwrap().is_sound(), "whole again, before compaction knows");
        let restored = compact(&archive, &at_once()).await;
        assert_eq!((restored.restored.len(), restored.missing_files), (7, 0));
        let expected = canonical(&without_repeats(&sent));
        assert_eq!(canonical(&read_all(&archive, &Scan::default()).await), expected);
        assert_eq!(canonical(&rows_by_folder(&archive, root).await), expected);
        let verified = archive.verify().await.unwrap();
        assert!(verified.is_sound() && verified.orphans.is_empty(), "{verified:?}");
        for Harmed { file, now, .. } in &harmed {
            assert_eq!(std::fs::read(root.join("set_aside").join(&file.path)).ok(), *now, "{}", file.path);
        }
    });
}

#[test]
fn a_merged_file_that_is_damaged_later_is_found_by_its_size_or_when_all_are_checked() {
    let sent = town(37);
    block_on(async {
        let folder = heat_tests::memory_folder();
        let (archive, root) = (open(&folder).await, folder.path());
        archive_all(&archive, &sent, rotation(100)).await;
        compact(&archive, &at_once()).await;
        let readings = of(&archive, Dataset::Readings).await;
        let short = harm(root, Harm::Truncated, &readings[0], &readings[0]);
        let turned = harm(root, Harm::Corrupt, &readings[1], &readings[1]);

        let report = compact(&archive, &at_once()).await;

        let named: Vec<&str> = report.unreadable.iter().map(|bad| bad.path.as_str()).collect();
        assert_eq!(named, [short.file.path.as_str()], "nothing is read for it");
        let report = compact(&archive, &CompactSettings { check: true, ..at_once() }).await;
        let named: Vec<&str> = report.unreadable.iter().map(|bad| bad.path.as_str()).collect();
        assert_eq!(named, [turned.file.path.as_str()]);
        let harmed = [short, turned];
        assert_eq!(missing(&archive).await, rows_of(&harmed));

        put_back(root, &harmed);
        compact(&archive, &at_once()).await;

        assert!(archive.verify().await.unwrap().is_sound());
        let expected = canonical(&without_repeats(&sent));
        assert_eq!(canonical(&read_all(&archive, &Scan::default()).await), expected);
    });
}

#[test]
fn damaged_roll_ups_are_summed_up_anew_and_sound_ones_outlive_the_readings_that_they_know() {
    let sent = City::new(41).spread_over_days(2).records(400);
    block_on(async {
        let folder = heat_tests::memory_folder();
        let (archive, root) = (open(&folder).await, folder.path());
        archive_all(&archive, &sent[..390], rotation(100)).await;
        compact(&archive, &CompactSettings { file_rows: 1 << 20, ..at_once() }).await;
        let hours = of(&archive, Dataset::Rollups).await;
        harm(root, Harm::Truncated, &hours[0], &hours[0]);

        compact(&archive, &at_once()).await;
        compact(&archive, &at_once()).await;

        let rows: u64 = hours.iter().map(|file| file.rows).sum();
        let hour_rows = |files: &[FileEntry]| files.iter().map(|file| file.rows).sum::<u64>();
        assert_eq!(hour_rows(&of(&archive, Dataset::Rollups).await), rows, "as many hours as before");
        assert!(archive.verify().await.unwrap().is_sound());

        let readings = of(&archive, Dataset::Readings).await;
        let harmed = [harm(root, Harm::Truncated, &readings[0], &readings[0])];
        archive_all(&archive, &sent, rotation(100)).await;
        compact(&archive, &at_once()).await;

        assert_eq!(missing(&archive).await, rows_of(&harmed));
        assert!(hour_rows(&of(&archive, Dataset::Rollups).await) >= rows, "what they know is kept");
        put_back(root, &harmed);
        compact(&archive, &at_once()).await;
        let verified = archive.verify().await.unwrap();
        assert!(verified.is_sound() && verified.orphans.is_empty(), "{verified:?}");
    });
}

#[test]
fn after_a_crash_while_damage_is_set_aside_nothing_is_lost_and_the_next_run_ends_it() {
    let sent = City::new(43).spread_over_days(2).records(40);
    let expected = canonical(&without_repeats(&sent));
    block_on(async {
        for step in 0.. {
            let folder = heat_tests::memory_folder();
            let (archive, root) = (open(&folder).await, folder.path());
            archive_all(&archive, &sent, rotation(40)).await;
            let readings = of(&archive, Dataset::Readings).await;
            let harmed = [
                harm(root, Harm::Corrupt, &readings[0], &readings[0]),
                harm(root, Harm::Truncated, &readings[2], &readings[2]),
            ];

            let outcome = archive.compact(&at_once(), &mut dies_at(step)).await;

            let archive = open(&folder).await;
            compact(&archive, &at_once()).await;
            assert_eq!(missing(&archive).await, rows_of(&harmed), "step {step}");
            for Harmed { file, now, .. } in &harmed {
                let aside = root.join("set_aside").join(&file.path);
                assert_eq!(std::fs::read(&aside).ok(), *now, "step {step}");
                assert!(!aside.with_extension("parquet.2").is_file(), "step {step}: copied once");
                assert!(!root.join(&file.path).is_file(), "step {step}");
            }
            put_back(root, &harmed);
            compact(&archive, &at_once()).await;
            assert_eq!(canonical(&rows_by_folder(&archive, root).await), expected, "step {step}");
            let verified = archive.verify().await.unwrap();
            assert!(verified.is_sound() && verified.orphans.is_empty(), "step {step}: {verified:?}");
            match outcome {
                Ok(_) => break,
                Err(ArchiveError::Stopped { .. }) => {}
                Err(error) => panic!("{error}"),
            }
        }
    });
}

#[test]
fn what_is_put_back_damaged_is_set_aside_again_beside_the_first() {
    let sent = City::new(47).records(100);
    block_on(async {
        let folder = heat_tests::memory_folder();
        let (archive, root) = (open(&folder).await, folder.path());
        archive_all(&archive, &sent, rotation(100)).await;
        let readings = of(&archive, Dataset::Readings).await;
        let harmed = harm(root, Harm::Truncated, &readings[0], &readings[0]);
        compact(&archive, &at_once()).await;
        std::fs::write(root.join(&harmed.file.path), b"a bad copy").unwrap();

        let report = compact(&archive, &at_once()).await;

        let path = &harmed.file.path;
        assert_eq!(report.unreadable[0].to.as_deref(), Some(format!("set_aside/{path}.2").as_str()));
        assert_eq!(std::fs::read(root.join(format!("set_aside/{path}.2"))).unwrap(), b"a bad copy");
        assert_eq!(missing(&archive).await, rows_of(&[harmed]));
    });
}

#[test]
fn a_foreign_file_is_moved_aside_and_another_of_its_name_beside_it() {
    let sent = City::new(31).records(100);
    block_on(async {
        let folder = heat_tests::memory_folder();
        let (archive, root) = (open(&folder).await, folder.path());
        archive_all(&archive, &sent, rotation(100)).await;
        let foreign = format!("{}/notes.parquet", archive.files().await.unwrap()[0].folder());
        let aside = |name: &str| std::fs::read(root.join("set_aside").join(name)).unwrap();
        for (bytes, name) in [(b"mine", foreign.clone()), (b"else", format!("{foreign}.2"))] {
            std::fs::write(root.join(&foreign), bytes).unwrap();

            let report = compact(&archive, &at_once()).await;

            assert_eq!(report.set_aside, std::slice::from_ref(&foreign));
            assert_eq!((aside(&name), root.join(&foreign).is_file()), (bytes.to_vec(), false));
        }
        assert_eq!(aside(&foreign), b"mine");
        assert!(archive.verify().await.unwrap().is_sound());
    });
}

#[test]
fn retention_ends_the_waiting_and_an_erasure_says_what_it_cannot_reach() {
    let sent = town(53);
    block_on(async {
        let folder = heat_tests::memory_folder();
        let (archive, root) = (open(&folder).await, folder.path());
        archive_all(&archive, &sent, rotation(100)).await;
        compact(&archive, &at_once()).await;
        let readings = of(&archive, Dataset::Readings).await;
        let harmed = [harm(root, Harm::Truncated, &readings[0], &readings[0])];
        compact(&archive, &at_once()).await;
        assert_eq!(missing(&archive).await, rows_of(&harmed));
        let (network, site) = (readings[0].network.clone().unwrap(), "s0".parse().unwrap());
        let erasure = Erasure { network, site, from: None, to: None };

        let erased = archive.erase(&erasure, &at_once(), &mut unobserved).await.unwrap();

        assert_eq!(erased.set_aside, [format!("set_aside/{}", harmed[0].file.path)]);
        let settings = RetentionSettings {
            before_day: [(Dataset::Readings, i64::MAX)].into(),
            now_us: super::compact::LATER_US,
            partitions: None,
            dry_run: false,
        };
        archive.retain(&settings, &mut unobserved).await.unwrap();
        let verified = archive.verify().await.unwrap();
        assert!(verified.is_sound(), "{:?}", verified.faults);
        assert!(verified.partitions[0].expired >= harmed[0].file.rows);
    });
}

#[test]
fn files_that_an_earlier_version_left_out_where_they_were_are_set_aside_too() {
    let sent = City::new(61).records(200);
    block_on(async {
        let folder = heat_tests::memory_folder();
        let (archive, root) = (open(&folder).await, folder.path());
        archive_all(&archive, &sent, rotation(100)).await;
        let readings = of(&archive, Dataset::Readings).await;
        let harmed = [harm(root, Harm::Truncated, &readings[0], &readings[0])];
        // As it wrote: the file is excepted and stays.
        let path = crate::layout::revision_path(TOPIC, PartitionId(0), 0);
        let revision = serde_json::json!({
            "format": 1, "topic": TOPIC, "partition": 0, "number": 0, "kind": "compaction", "at_us": 1,
            "changes": [{
                "folder": readings[0].folder(), "except": [readings[0].path],
                "commits_up_to": Offset(0).next(),
            }],
        });
        std::fs::create_dir_all(root.join(&path).parent().unwrap()).unwrap();
        std::fs::write(root.join(&path), revision.to_string()).unwrap();

        compact(&open(&folder).await, &at_once()).await;

        assert_eq!(missing(&archive).await, rows_of(&harmed));
    });
}

#[test]
fn where_most_files_are_gone_nothing_is_set_aside_and_nothing_compacted() {
    let sent = town(67);
    block_on(async {
        let folder = heat_tests::memory_folder();
        let (archive, root) = (open(&folder).await, folder.path());
        archive_all(&archive, &sent, rotation(100)).await;
        let (here, away) = (root.join("readings"), root.join("away"));
        std::fs::rename(&here, &away).unwrap();

        let error = archive.compact(&at_once(), &mut unobserved).await.unwrap_err();

        assert!(matches!(error, ArchiveError::Gone { .. }), "{error}");
        assert_eq!(error.disposition(), Disposition::Retry);
        std::fs::rename(&away, &here).unwrap();
        assert!(archive.verify().await.unwrap().is_sound());
        assert!(compact(&archive, &at_once()).await.unreadable.is_empty());
        let expected = canonical(&without_repeats(&sent));
        assert_eq!(canonical(&read_all(&archive, &Scan::default()).await), expected);
    });
}
