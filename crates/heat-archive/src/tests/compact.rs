//! Compaction: what it keeps, what a crash leaves, and who meets whom.

use std::{
    collections::{BTreeMap, BTreeSet},
    ops::ControlFlow,
    path::Path,
    time::Duration,
};

use futures_util::future::BoxFuture;
use heat_model::{Body, EventTime, NetworkId, Offset, PartitionId, Position, SiteId};

use super::{City, Sent, TOPIC, archive_all, block_on, canonical, open, read_all, replay_all, rotation};
use crate::{
    Archive, ArchiveError, ArchivedReading, CompactReport, CompactSettings, Dataset, Scan,
    compact::{Erasure, RetentionSettings},
    layout,
    revise::{ReviseStep, unobserved},
    revision::Reason,
    verify::Fault,
};

/// After everything that the town sends.
pub(super) const LATER_US: i64 = 1_900_000_000_000_000;

/// All dates are closed, and nothing waits.
pub(super) fn at_once() -> CompactSettings {
    CompactSettings {
        grace: Duration::ZERO,
        group_rows: 150,
        file_rows: 400,
        ..CompactSettings::new(i64::MAX, LATER_US)
    }
}

pub(super) async fn compact(archive: &Archive, settings: &CompactSettings) -> CompactReport {
    archive.compact(settings, &mut unobserved).await.unwrap()
}

/// A town over several days, in which every seventh record comes again as a new one.
fn with_repeats(seed: u64, records: usize) -> Vec<Sent> {
    let mut all: Vec<Sent> = Vec::new();
    for sent in City::new(seed).with_faults().with_inputs().spread_over_days(3).records(records) {
        let is_repeated = all.len() % 7 == 6;
        all.push(sent.clone());
        if is_repeated {
            all.push(sent);
        }
    }
    for (offset, sent) in (0..).zip(&mut all) {
        sent.position.offset = Offset(offset);
        sent.envelope.origin.seq = offset;
    }
    all
}

/// What must remain: of equal readings in one folder the first of the log.
pub(super) fn without_repeats(sent: &[Sent]) -> Vec<ArchivedReading> {
    let mut seen = BTreeSet::new();
    let mut kept = Vec::new();
    for row in sent.iter().flat_map(Sent::expected) {
        let ingest = EventTime::from_micros(row.ingest_time.as_micros());
        let day = if row.code.is_clock_fault() { ingest.day() } else { row.event_time.day() };
        let raw = row.raw_value.map(f64::to_bits);
        if seen.insert((row.signal.id.to_string(), day, row.event_time, raw, row.quality as u8)) {
            kept.push(row);
        }
    }
    kept
}

/// Files of a data set that somebody finds who knows no manifests.
fn by_folder(root: &Path, dataset: Dataset) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    let mut folders = vec![root.join(dataset.folder())];
    while let Some(folder) = folders.pop() {
        let Ok(entries) = std::fs::read_dir(folder) else { continue };
        for entry in entries {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else {
                found.insert(path.strip_prefix(root).unwrap().to_str().unwrap().to_owned());
            }
        }
    }
    found
}

pub(super) async fn rows_by_folder(archive: &Archive, root: &Path) -> Vec<ArchivedReading> {
    let mut rows = Vec::new();
    for path in by_folder(root, Dataset::Readings) {
        let mut collect = |row| {
            rows.push(row);
            ControlFlow::Continue(())
        };
        let end = archive.scan_file(&path, &Scan::default(), &mut collect).await.unwrap();
        assert!(end.is_continue());
    }
    rows
}

pub(super) async fn files_by_folder(archive: &Archive, dataset: Dataset) -> BTreeMap<String, usize> {
    let mut folders = BTreeMap::new();
    for file in archive.files().await.unwrap().iter().filter(|file| file.dataset == dataset) {
        *folders.entry(file.folder().to_owned()).or_default() += 1;
    }
    folders
}

#[test]
fn compaction_keeps_every_row_once_sorted_and_counts_the_repeats_it_leaves_out() {
    for seed in [3, 44] {
        let sent = with_repeats(seed, 500);
        let expected = without_repeats(&sent);
        let all: Vec<ArchivedReading> = sent.iter().flat_map(Sent::expected).collect();
        block_on(async {
            let folder = heat_tests::memory_folder();
            let archive = open(&folder).await;
            archive_all(&archive, &sent, rotation(120)).await;
            let before = files_by_folder(&archive, Dataset::Readings).await;
            assert!(before.values().any(|files| *files > 5), "{before:?}");

            let report = compact(&archive, &CompactSettings { file_rows: 1 << 20, ..at_once() }).await;

            assert_eq!(canonical(&read_all(&archive, &Scan::default()).await), canonical(&expected));
            assert_eq!(report.repeats, (all.len() - expected.len()) as u64);
            assert!(report.repeats > 0);
            let verified = archive.verify().await.unwrap();
            assert!(verified.is_sound(), "{:?}", verified.faults);
            assert_eq!((verified.orphans.len(), verified.replaced), (0, 0));
            let of_input = &verified.partitions[0];
            assert_eq!(of_input.written, of_input.rows + of_input.repeats);
            assert!(files_by_folder(&archive, Dataset::Readings).await.values().all(|files| *files == 1));
            // Who reads whole folders finds exactly this.
            let live: BTreeSet<String> =
                archive.files().await.unwrap().into_iter().map(|file| file.path).collect();
            let found: BTreeSet<String> =
                Dataset::ALL.into_iter().flat_map(|of| by_folder(folder.path(), of)).collect();
            assert_eq!(found, live);
            assert_eq!(compact(&archive, &at_once()).await.folders, 0, "nothing is left to do");
        });
    }
}

#[test]
fn files_are_sorted_by_signal_and_event_time_whatever_the_bounds() {
    let sent = with_repeats(5, 600);
    for (fan_in, group_rows, file_rows) in [(2, 7, 30), (3, 100, 1_000_000), (64, 1_000_000, 1_000_000)] {
        block_on(async {
            let folder = heat_tests::memory_folder();
            let archive = open(&folder).await;
            archive_all(&archive, &sent, rotation(60)).await;

            compact(&archive, &CompactSettings { fan_in, group_rows, file_rows, ..at_once() }).await;

            let mut last = (String::new(), String::new(), EventTime::from_micros(0));
            for file in archive.files().await.unwrap() {
                if file.dataset != Dataset::Readings {
                    continue;
                }
                let mut rows = Vec::new();
                let mut collect = |row: ArchivedReading| {
                    rows.push((file.path.clone(), row.signal.id.to_string(), row.event_time));
                    ControlFlow::Continue(())
                };
                let end = archive.scan_file(&file.path, &Scan::default(), &mut collect).await.unwrap();
                assert!(end.is_continue() && rows.is_sorted(), "{}", file.path);
                assert_ne!(rows.last(), Some(&last));
                last = rows.pop().unwrap();
            }
            let expected = without_repeats(&sent);
            assert_eq!(canonical(&read_all(&archive, &Scan::default()).await), canonical(&expected));
            let report = archive.verify().await.unwrap();
            assert!(report.is_sound() && report.orphans.is_empty(), "{report:?}");
        });
    }
}

#[test]
fn in_the_grace_time_the_old_list_the_new_list_and_the_whole_folder_each_hold_every_row() {
    let sent = with_repeats(12, 300);
    let all: Vec<ArchivedReading> = sent.iter().flat_map(Sent::expected).collect();
    let expected = without_repeats(&sent);
    block_on(async {
        let folder = heat_tests::memory_folder();
        let archive = open(&folder).await;
        archive_all(&archive, &sent, rotation(100)).await;
        let old_list = archive.files().await.unwrap();
        let hour = CompactSettings { grace: Duration::from_secs(3_600), ..at_once() };

        compact(&archive, &hour).await;

        assert!(old_list.iter().all(|file| folder.path().join(&file.path).is_file()));
        assert_eq!(canonical(&read_all(&archive, &Scan::default()).await), canonical(&expected));
        assert_eq!(canonical(&rows_by_folder(&archive, folder.path()).await), canonical(&all));

        let new_list = archive.files().await.unwrap();
        compact(&archive, &CompactSettings { now_us: LATER_US + 3_600_000_000, ..hour.clone() }).await;

        assert!(new_list.iter().all(|file| folder.path().join(&file.path).is_file()));
        assert_eq!(canonical(&rows_by_folder(&archive, folder.path()).await), canonical(&expected));

        compact(&archive, &CompactSettings { now_us: LATER_US + 7_200_000_000, ..hour }).await;

        assert!(by_folder(folder.path(), Dataset::Readings).len() < old_list.len());
        assert!(!new_list.iter().any(|file| folder.path().join(&file.path).is_file()), "{new_list:?}");
        assert!(archive.verify().await.unwrap().is_sound());
    });
}

/// Ends the work at the step with this number.
pub(super) fn dies_at(step: usize) -> impl FnMut(ReviseStep) -> BoxFuture<'static, ControlFlow<()>> + Send {
    let mut steps = 0;
    move |_| {
        steps += 1;
        let flow = if steps > step { ControlFlow::Break(()) } else { ControlFlow::Continue(()) };
        Box::pin(std::future::ready(flow))
    }
}

#[test]
fn after_a_crash_at_any_step_of_compaction_every_row_is_there_once_and_the_next_run_ends_it() {
    let sent = with_repeats(19, 24);
    let all: BTreeSet<String> =
        canonical(&sent.iter().flat_map(Sent::expected).collect::<Vec<_>>()).into_iter().collect();
    let expected = canonical(&without_repeats(&sent));
    block_on(async {
        let mut seen = BTreeSet::new();
        for step in 0.. {
            let folder = heat_tests::memory_folder();
            let archive = open(&folder).await;
            archive_all(&archive, &sent, rotation(100)).await;

            let outcome = archive.compact(&at_once(), &mut dies_at(step)).await;

            // A process that starts anew knows nothing of the one before.
            let archive = open(&folder).await;
            let report = archive.verify().await.unwrap();
            assert!(report.is_sound(), "step {step}: {:?}", report.faults);
            let rows = canonical(&read_all(&archive, &Scan::default()).await);
            let distinct: BTreeSet<String> = rows.iter().cloned().collect();
            assert_eq!(distinct.len(), rows.len(), "step {step}: no row is there twice");
            assert!(
                distinct.is_subset(&all) && expected.iter().all(|row| distinct.contains(row)),
                "step {step}"
            );
            let in_folder = canonical(&rows_by_folder(&archive, folder.path()).await);
            assert!(expected.iter().all(|row| in_folder.contains(row)), "step {step}: a folder lacks rows");

            compact(&archive, &at_once()).await;
            assert_eq!(canonical(&read_all(&archive, &Scan::default()).await), expected, "step {step}");
            assert_eq!(canonical(&rows_by_folder(&archive, folder.path()).await), expected, "step {step}");
            let report = archive.verify().await.unwrap();
            assert!(report.is_sound() && report.orphans.is_empty(), "step {step}: {report:?}");
            match outcome {
                Ok(_) => break,
                Err(ArchiveError::Stopped { step }) => seen.insert(format!("{step:?}")),
                Err(error) => panic!("{error}"),
            };
        }
        let steps: Vec<&str> = seen.iter().map(String::as_str).collect();
        let wanted =
            ["AfterRevision", "BeforeCopy", "BeforeDelete", "BeforeMerge", "BeforeRevision", "FilesWritten"];
        assert_eq!(steps, wanted);
    });
}

#[test]
fn of_two_processes_that_compact_the_same_dates_one_gives_way_and_no_row_is_lost() {
    let sent = with_repeats(23, 200);
    block_on(async {
        let folder = heat_tests::memory_folder();
        let (one, two) = (open(&folder).await, open(&folder).await);
        archive_all(&one, &sent, rotation(100)).await;
        // The second begins and pauses before its revision; the first does all its work meanwhile.
        let first = one.clone();
        let mut met = false;
        let mut observe = move |step| -> BoxFuture<'static, ControlFlow<()>> {
            let first = first.clone();
            let meets = step == ReviseStep::BeforeRevision && !std::mem::replace(&mut met, true);
            Box::pin(async move {
                if meets {
                    compact(&first, &at_once()).await;
                }
                ControlFlow::Continue(())
            })
        };

        // Were the two runs alike to the microsecond, their revisions would be one and the same.
        let later = CompactSettings { now_us: LATER_US + 1, ..at_once() };
        let error = two.compact(&later, &mut observe).await.unwrap_err();

        assert!(matches!(error, ArchiveError::Revised { .. }), "{error}");
        let expected = canonical(&without_repeats(&sent));
        assert_eq!(canonical(&read_all(&one, &Scan::default()).await), expected);
        assert!(one.verify().await.unwrap().is_sound());
        compact(&two, &at_once()).await;
        assert_eq!(canonical(&read_all(&two, &Scan::default()).await), expected);
        assert_eq!(
            two.verify().await.unwrap().orphans,
            Vec::<String>::new(),
            "what the second wrote is gone"
        );
    });
}

#[test]
fn files_that_share_a_dates_signals_are_merged_again_whatever_their_names_say() {
    // The last signals have the first offsets, so that names and signals are not in one order.
    let mut sent = City::new(59).records(300);
    sent.sort_by_key(|sent| std::cmp::Reverse(sent.expected()[0].signal.id.device.to_string()));
    let times: Vec<Position> = City::new(59).records(300).into_iter().map(|sent| sent.position).collect();
    sent.iter_mut().zip(times).for_each(|(sent, position)| sent.position = position);
    block_on(async {
        let folder = heat_tests::memory_folder();
        let archive = open(&folder).await;
        archive_all(&archive, &sent[..280], rotation(100)).await;
        let settings = CompactSettings { group_rows: 40, file_rows: 80, ..at_once() };
        compact(&archive, &settings).await;
        let folders = files_by_folder(&archive, Dataset::Readings).await;
        assert!(folders.values().any(|files| *files > 3), "a date has several files: {folders:?}");

        archive_all(&archive, &sent, rotation(100)).await;
        let report = compact(&archive, &settings).await;

        assert!(report.folders > 0 && report.unreadable.is_empty(), "{report:?}");
        let expected = without_repeats(&sent);
        assert_eq!(canonical(&read_all(&archive, &Scan::default()).await), canonical(&expected));
        assert!(archive.verify().await.unwrap().is_sound());
    });
}

#[test]
fn a_backlog_of_dates_is_compacted_with_one_reading_of_its_manifests() {
    let sent = with_repeats(43, 400);
    block_on(async {
        let folder = heat_tests::memory_folder();
        let archive = open(&folder).await;
        archive_all(&archive, &sent, rotation(100)).await;
        let folders: BTreeSet<String> =
            archive.files().await.unwrap().iter().map(|file| file.folder().to_owned()).collect();
        let (here, away) = (folder.path().join("manifests"), folder.path().join("away"));
        let mut hide = |step| {
            if step == ReviseStep::AfterRevision && here.is_dir() {
                std::fs::rename(&here, &away).unwrap();
            }
            unobserved(step)
        };

        let settings = CompactSettings { grace: Duration::from_hours(1), ..at_once() };
        let report = archive.compact(&settings, &mut hide).await.unwrap();

        std::fs::rename(&away, &here).unwrap();
        assert_eq!(
            report.folders,
            folders.len(),
            "every date, though manifests could be read for the first only"
        );
        let report = open(&folder).await.verify().await.unwrap();
        assert!(report.is_sound(), "{:?}", report.faults);
    });
}

#[test]
fn a_foreign_file_among_the_manifests_is_named_and_stops_nothing() {
    let sent = City::new(47).records(100);
    block_on(async {
        let folder = heat_tests::memory_folder();
        let archive = open(&folder).await;
        archive_all(&archive, &sent, rotation(100)).await;
        let foreign = ["manifests/note.txt", "manifests/heat.input.v1/0/.DS_Store", "manifests/note.json"];
        for path in foreign {
            std::fs::write(folder.path().join(path), b"mine").unwrap();
        }

        assert_eq!(archive.partitions().await.unwrap(), [(TOPIC.to_owned(), PartitionId(0))]);
        assert!(!archive.files().await.unwrap().is_empty());
        assert!(compact(&archive, &at_once()).await.folders > 0);
        let report = archive.verify().await.unwrap();

        assert!(report.is_sound(), "{:?}", report.faults);
        for path in foreign {
            assert!(report.orphans.iter().any(|orphan| orphan == path), "{path}: {:?}", report.orphans);
        }
    });
}

#[test]
fn a_lost_revision_is_a_fault() {
    let sent = with_repeats(37, 200);
    block_on(async {
        let folder = heat_tests::memory_folder();
        let archive = open(&folder).await;
        archive_all(&archive, &sent, rotation(100)).await;
        compact(&archive, &at_once()).await;
        let first = layout::revision_path(TOPIC, PartitionId(0), 0);
        std::fs::remove_file(folder.path().join(&first)).unwrap();

        let archive = open(&folder).await;
        let faults = archive.verify().await.unwrap().faults;

        assert!(faults.contains(&Fault::Missing { path: first.clone() }), "{faults:?}");
        assert!(faults.iter().any(|fault| matches!(fault, Fault::Balance { .. })), "{faults:?}");
        let error = archive.view(TOPIC, PartitionId(0)).await.unwrap_err();
        assert!(matches!(error, ArchiveError::Missing { path } if path == first));
    });
}

/// Records as a replay must give them, whatever files hold them.
fn replayed_rows(replayed: &[(Position, heat_model::Envelope)]) -> Vec<String> {
    let mut rows = Vec::new();
    for (position, envelope) in replayed {
        match &envelope.body {
            Body::Readings(readings) => rows.extend(readings.readings.iter().map(|reading| {
                let id = readings.set.signal_id(reading.signal as usize);
                format!("{position:?} {id} {:?} {:?} {:?}", reading.event_time, reading.raw, reading.quality)
            })),
            body @ (Body::Command(_)
            | Body::Ticket(_)
            | Body::Forecast(_)
            | Body::ModelActivated(_)
            | Body::Heartbeat(_)) => rows.push(format!("{position:?} {body:?}")),
        }
    }
    rows.sort();
    rows
}

#[test]
fn manifests_of_many_commits_become_chapters_and_nothing_else_changes() {
    let sent = City::new(41).with_inputs().records(140);
    block_on(async {
        let folder = heat_tests::memory_folder();
        let archive = open(&folder).await;
        archive_all(&archive, &sent, rotation(2)).await;
        let commits = archive.resume(TOPIC, PartitionId(0)).await.unwrap();
        let before = replayed_rows(&replay_all(&archive).await);
        let manifests = folder.path().join("manifests").join(TOPIC).join("0");
        let count = |path: &Path| std::fs::read_dir(path).unwrap().count();
        assert!(count(&manifests) > 72, "{}", count(&manifests));
        let settings =
            CompactSettings { file_rows: 1 << 20, chapter_commits: 32, commits_kept: 8, ..at_once() };

        let first = compact(&archive, &settings).await;
        let second = compact(&archive, &settings).await;

        assert_eq!((first.commits_folded, second.commits_folded), (64, 0));
        let kept = usize::try_from(commits.commits).unwrap() - 64 + 2;
        assert_eq!(count(&manifests), kept);
        assert_eq!(count(&folder.path().join("ledger").join(TOPIC).join("0")), kept);
        for archive in [archive, open(&folder).await] {
            assert_eq!(archive.resume(TOPIC, PartitionId(0)).await.unwrap(), commits);
            assert_eq!(replayed_rows(&replay_all(&archive).await), before);
            let report = archive.verify().await.unwrap();
            assert!(report.is_sound() && report.orphans.is_empty(), "{report:?}");
            assert_eq!(report.partitions[0].commits, commits.commits);
        }
    });
}

#[test]
fn retention_tells_first_and_then_gives_up_whole_dates_that_stay_accounted_for() {
    let sent = with_repeats(43, 400);
    let last_day = sent.last().unwrap().envelope.ingest_time.day();
    block_on(async {
        let folder = heat_tests::memory_folder();
        let archive = open(&folder).await;
        archive_all(&archive, &sent, rotation(100)).await;
        compact(&archive, &at_once()).await;
        let rows = read_all(&archive, &Scan::default()).await;
        let mut settings = RetentionSettings {
            before_day: [(Dataset::Readings, last_day)].into(),
            now_us: LATER_US,
            partitions: None,
            dry_run: true,
        };

        let told = archive.retain(&settings, &mut unobserved).await.unwrap();
        assert_eq!(read_all(&archive, &Scan::default()).await.len(), rows.len(), "a dry run does nothing");
        settings.dry_run = false;
        let gone = archive.retain(&settings, &mut unobserved).await.unwrap();
        compact(&archive, &at_once()).await;

        assert_eq!(told, gone);
        let held = read_all(&archive, &Scan::default()).await.len();
        let expired: u64 = gone.iter().map(|date| date.rows).sum();
        assert!(expired > 0 && held > 0);
        assert_eq!(held as u64 + expired, rows.len() as u64);
        let old = format!("readings/date={}", layout::date_of_day(last_day - 1));
        assert!(!by_folder(folder.path(), Dataset::Readings).iter().any(|path| path.starts_with(&old)));
        let report = archive.verify().await.unwrap();
        assert!(report.is_sound(), "{:?}", report.faults);
        assert_eq!(report.partitions[0].expired, expired);
    });
}

#[test]
fn erasing_a_site_takes_its_rows_out_of_every_file_and_nothing_else() {
    let sent = with_repeats(47, 400);
    block_on(async {
        let folder = heat_tests::memory_folder();
        let archive = open(&folder).await;
        archive_all(&archive, &sent[..200], rotation(100)).await;
        compact(&archive, &CompactSettings { grace: Duration::from_secs(60), ..at_once() }).await;
        archive_all(&archive, &sent, rotation(100)).await;
        let before = read_all(&archive, &Scan::default()).await;
        let (network, site) = (NetworkId::new("demo-south").unwrap(), "s1".parse::<SiteId>().unwrap());
        let is_erased =
            |row: &ArchivedReading| row.signal.id.network == network && row.signal.id.site == site;
        let erasure = Erasure { network: network.clone(), site: site.clone(), from: None, to: None };

        let report = archive.erase(&erasure, &at_once(), &mut unobserved).await.unwrap();

        assert_eq!(report.rows, before.iter().filter(|row| is_erased(row)).count() as u64);
        assert!(report.rows > 0);
        let view = archive.view(TOPIC, PartitionId(0)).await.unwrap();
        assert_eq!(view.rows_removed(Reason::Erased), report.rows);
        assert!(!read_all(&archive, &Scan::default()).await.iter().any(is_erased));
        // No earlier state of a file holds them either, wherever it waits.
        let waiting = by_folder(&folder.path().join("compacted"), Dataset::Readings);
        let waiting = waiting.into_iter().map(|path| format!("compacted/{path}"));
        for path in by_folder(folder.path(), Dataset::Readings).into_iter().chain(waiting) {
            let mut look =
                |row| if is_erased(&row) { ControlFlow::Break(()) } else { ControlFlow::Continue(()) };
            let end = archive.scan_file(&path, &Scan::default(), &mut look).await.unwrap();
            assert!(end.is_continue(), "{path}");
        }
        compact(&archive, &at_once()).await;
        let mut kept = without_repeats(&sent);
        kept.retain(|row| !is_erased(row));
        assert_eq!(canonical(&read_all(&archive, &Scan::default()).await), canonical(&kept));
        let verified = archive.verify().await.unwrap();
        assert!(verified.is_sound() && verified.orphans.is_empty(), "{verified:?}");
    });
}

#[test]
fn roll_ups_sum_up_each_hour_of_each_signal() {
    let sent = with_repeats(53, 500);
    block_on(async {
        let folder = heat_tests::memory_folder();
        let archive = open(&folder).await;
        archive_all(&archive, &sent, rotation(100)).await;
        compact(&archive, &at_once()).await;

        let mut found = BTreeMap::new();
        let mut collect = |row: crate::read::HourRow| {
            found.insert((row.signal.clone(), row.hour_us), row);
            ControlFlow::Continue(())
        };
        archive.scan_hours(&Scan::default(), &mut collect).await.unwrap();

        // The last of the log stands for its time.
        let mut rows = without_repeats(&sent);
        rows.retain(|row| !row.code.is_clock_fault());
        rows.sort_by_key(|row| row.offset);
        let mut times: BTreeMap<(String, i64), BTreeMap<EventTime, ArchivedReading>> = BTreeMap::new();
        for row in rows {
            let hour = row.event_time.as_micros().div_euclid(3_600_000_000) * 3_600_000_000;
            let key = (row.signal.id.to_string(), hour);
            times.entry(key).or_default().insert(row.event_time, row);
        }
        assert_eq!(found.keys().collect::<Vec<_>>(), times.keys().collect::<Vec<_>>());
        for (key, rows) in times {
            let hour = &found[&key];
            let usable: Vec<f64> =
                rows.values().filter_map(|row| row.value).filter(|value| value.is_finite()).collect();
            assert_eq!((hour.readings, hour.count), (rows.len() as u64, usable.len() as u64), "{key:?}");
            let (least, most) =
                usable.iter().fold((f64::MAX, f64::MIN), |(a, b), value| (a.min(*value), b.max(*value)));
            if let Some([min, mean, max]) = hour.values {
                assert_eq!((min.to_bits(), max.to_bits()), (least.to_bits(), most.to_bits()), "{key:?}");
                let expected = usable.iter().sum::<f64>() / usable.len() as f64;
                assert!((mean - expected).abs() <= 1e-9 * expected.abs().max(1.0), "{mean} {expected}");
            } else {
                assert!(usable.is_empty());
            }
            let good = rows.values().filter(|row| row.quality == heat_model::Quality::Good).count();
            assert!((hour.good_share - good as f64 / rows.len() as f64).abs() < 1e-12);
        }
    });
}
