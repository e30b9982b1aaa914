//! kill -9, in processes of their own: at every named step and at random moments; judged by DuckDB, which reads the
//! files that manifests and revisions name and compares them with what was sent.
#![expect(clippy::disallowed_methods, reason = "a test's own folders, and how long it may take")]

use std::{
    fmt::Write as _,
    ops::ControlFlow,
    os::unix::process::ExitStatusExt as _,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::Duration,
};

use heat_model::PartitionId;
use heat_tests::{Random, pace, python::Python, wait_until};
use serde::{Deserialize, Serialize};

use super::{
    City, Sent, TOPIC, archive_all, block_on,
    compact::{at_once, without_repeats},
    open, rotation, writer,
};
use crate::{
    Archive, ArchiveError, ArchivedReading, CompactSettings, archive::Disposition, revise::unobserved,
};

/// Tells a process what to do.
const TASK: &str = "HEATSTREAM_TEST_TASK";
/// The exit code of a process that gave way.
const FENCED: i32 = 17;
const SEED: u64 = 97;
const READINGS: usize = 60;
/// More than a writer can be disturbed by another that writes each path once.
const ATTEMPTS_MAX: usize = 10;

/// Random kills; more by `HEATSTREAM_TEST_KILLS`.
fn kills() -> u64 {
    std::env::var("HEATSTREAM_TEST_KILLS").ok().and_then(|kills| kills.parse().ok()).unwrap_or(50)
}

#[derive(Debug, Clone, Serialize, Deserialize)]
struct Task {
    folder: PathBuf,
    /// How much of the log there is.
    records: usize,
    /// Readings of a commit.
    readings: usize,
    /// Whether it compacts in the end.
    compacts: bool,
    /// Dies at this step when it comes by for so many a time; counted from 0.
    dies_at: Option<(String, usize)>,
    /// Says by this file that it is about to begin, and waits for `go` beside it.
    ready: Option<PathBuf>,
}

fn log(records: usize) -> Vec<Sent> {
    City::new(SEED).with_faults().spread_over_days(2).records(records)
}

/// Everything at once, so that each run comes by all steps.
fn settings() -> CompactSettings {
    CompactSettings { file_rows: 1 << 20, chapter_commits: 4, commits_kept: 3, ..at_once() }
}

impl Task {
    fn new(folder: &Path, records: usize) -> Self {
        Self {
            folder: folder.to_owned(),
            records,
            readings: READINGS,
            compacts: true,
            dies_at: None,
            ready: None,
        }
    }

    fn start(&self) -> Child {
        Command::new(std::env::current_exe().unwrap())
            .args(["tests::kill::works_in_a_process_of_its_own", "--exact", "--ignored", "--nocapture"])
            .env(TASK, serde_json::to_string(self).unwrap())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .spawn()
            .unwrap()
    }
}

/// Kills the process itself, as nobody's destructor can soften.
fn die() {
    rustix::process::kill_process(rustix::process::getpid(), rustix::process::Signal::KILL).unwrap();
}

/// Archives what is new, compacts, and dies where it is told to.
async fn work(task: &Task) -> Result<(), ArchiveError> {
    let archive = Archive::open(task.folder.to_str().unwrap()).await?;
    let mut seen = 0;
    let mut pass = |step: String| {
        if let Some((dies_at, times)) = &task.dies_at
            && *dies_at == step
        {
            if seen == *times {
                die();
            }
            seen += 1;
        }
    };
    let mut writer = writer(&archive, rotation(task.readings)).await;
    if let Some(ready) = &task.ready {
        std::fs::write(ready, b"").unwrap();
        let go = ready.with_file_name("go");
        wait_until("the other process is ready", Duration::from_secs(60), || go.exists());
    }
    let start = writer.next_offset().0;
    let sent = log(task.records);
    let mut rest = sent.iter().skip_while(|sent| sent.position.offset.0 < start).peekable();
    while let Some(sent) = rest.next() {
        writer.append(&sent.position, &sent.envelope, sent.keep()).unwrap();
        let closes = |next: &&Sent| writer.should_close_before(&next.position, next.readings());
        if rest.peek().is_none_or(closes) {
            let sealed = writer.seal().unwrap().unwrap();
            let mut observe = |step| {
                pass(format!("{step:?}"));
                ControlFlow::Continue(())
            };
            // As the archiver does it: of two that write one path at once, one may take the other's half-written file for
            // a leftover, and that one tries again.
            let mut attempt = 1;
            loop {
                match archive.publish_observed(&sealed, &mut observe).await {
                    Err(error) if error.disposition() == Disposition::Retry && attempt < ATTEMPTS_MAX => {
                        attempt += 1
                    }
                    published => {
                        let _published = published?;
                        break;
                    }
                }
            }
        }
    }
    if !task.compacts {
        return Ok(());
    }
    let mut observe = |step| -> futures_util::future::BoxFuture<'static, ControlFlow<()>> {
        pass(format!("{step:?}"));
        unobserved(step)
    };
    archive.compact(&settings(), &mut observe).await?;
    Ok(())
}

#[test]
#[ignore = "the other tests here start it"]
fn works_in_a_process_of_its_own() {
    let Ok(task) = std::env::var(TASK) else { return };
    let task: Task = serde_json::from_str(&task).unwrap();
    match block_on(work(&task)) {
        Ok(()) => {}
        Err(ArchiveError::Fenced { .. }) => std::process::exit(FENCED),
        Err(error) => panic!("{error:?}"),
    }
}

/// Fails unless DuckDB finds exactly these rows, each once.
fn assert_exact(python: &Python, folder: &Path, expected: &[ArchivedReading], what: &str) {
    let mut csv = String::from("kafka_offset,signal,event_time,raw_value,quality\n");
    for row in expected {
        let raw = row.raw_value.map_or(String::new(), |raw| format!("{raw:?}"));
        let (signal, time) = (&row.signal.id, row.event_time.as_micros());
        writeln!(csv, "{},{signal},{time},{raw},{:?}", row.offset.0, row.quality).unwrap();
    }
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), csv.to_lowercase()).unwrap();
    let sql = format!(
        "WITH held AS (SELECT kafka_offset, signal, event_time, raw_value, quality FROM readings), \
         sent AS (FROM read_csv('{}', header = true, columns = {{'kafka_offset': 'BIGINT', 'signal': 'VARCHAR', \
         'event_time': 'BIGINT', 'raw_value': 'DOUBLE', 'quality': 'VARCHAR'}})) \
         SELECT (SELECT count(*) FROM held) AS held, (SELECT count(*) FROM sent) AS sent, \
         (SELECT count(*) FROM (FROM held EXCEPT ALL FROM sent)) AS invented, \
         (SELECT count(*) FROM (FROM sent EXCEPT ALL FROM held)) AS lost",
        file.path().display()
    );
    let found = &python.query(folder, &sql)[0];
    assert_eq!((&found["invented"], &found["lost"]), (&0.into(), &0.into()), "{what}: {found}");
    assert_eq!(found["held"], expected.len(), "{what}: {found}");
}

/// Ends what the processes began, and judges it.
fn assert_whole(python: &Python, folder: &tempfile::TempDir, records: usize, what: &str) {
    let task = Task::new(folder.path(), records);
    // Twice: a run deletes the manifests that the run before it folded.
    for _ in 0..2 {
        assert!(
            task.start().wait().unwrap().success(),
            "{what}: a process that nobody kills does all the work"
        );
    }
    block_on(async {
        let archive = open(folder).await;
        let report = archive.verify().await.unwrap();
        assert!(report.is_sound() && report.orphans.is_empty(), "{what}: {report:?}");
        let straight_folder = heat_tests::memory_folder();
        let straight = open(&straight_folder).await;
        archive_all(&straight, &log(records), rotation(READINGS)).await;
        let written = archive.view(TOPIC, PartitionId(0)).await.unwrap().written().clone();
        let expected = straight.view(TOPIC, PartitionId(0)).await.unwrap().written().clone();
        assert_eq!(
            written, expected,
            "{what}: the digests of what was written are those of an undisturbed run"
        );
    });
    assert_exact(python, folder.path(), &without_repeats(&log(records)), what);
}

#[test]
fn a_process_killed_at_any_named_step_leaves_every_row_once() {
    let Some(python) = Python::find() else { return };
    let steps = [
        ("BeforeWrite", 2),
        ("MidWrite(1)", 2),
        ("FilesWritten", 0),
        ("BeforeManifest", 3),
        ("AfterManifest", 1),
        ("BeforeMerge", 2),
        ("BeforeRevision", 1),
        ("AfterRevision", 0),
        ("BeforeCopy", 1),
        ("BeforeDelete", 5),
        ("AfterChapter", 0),
    ];
    let folder = heat_tests::memory_folder();
    // One archive for all: each process meets what the one before it left.
    for (records, (step, times)) in (1..).map(|part| part * 60).zip(steps) {
        let task = Task { dies_at: Some((step.to_owned(), times)), ..Task::new(folder.path(), records) };

        let status = task.start().wait().unwrap();

        assert_eq!(status.signal(), Some(9), "it came by {step} {times} times and died there");
        block_on(async {
            let report = open(&folder).await.verify().await.unwrap();
            assert!(report.is_sound(), "{step}: {:?}", report.faults);
        });
    }
    assert_whole(&python, &folder, steps.len() * 60, "after kills at named steps");
}

#[test]
fn processes_killed_at_random_moments_leave_every_row_once() {
    let Some(python) = Python::find() else { return };
    let (mut random, folder) = (Random::new(SEED), heat_tests::memory_folder());
    let (kills, mut part, mut killed) = (kills(), 0, 0);
    // On a fast machine many a process has done its work before its moment comes.
    while part < kills || killed < kills / 2 {
        part += 1;
        assert!(part <= 10 * kills, "kills hardly ever meet a process at work: {killed} of {part}");
        let mut child = Task::new(folder.path(), usize::try_from(part).unwrap() * 24).start();
        pace(Duration::from_millis(random.between(5, 120)));
        child.kill().unwrap();
        killed += u64::from(child.wait().unwrap().signal() == Some(9));
    }
    assert_whole(&python, &folder, usize::try_from(part).unwrap() * 24, "after kills at random moments");
}

#[test]
fn of_two_processes_on_one_partition_one_gives_way_and_nothing_is_there_twice() {
    let Some(python) = Python::find() else { return };
    for (readings, gives_way) in [(45, 1), (READINGS, 0)] {
        let (folder, meeting) = (heat_tests::memory_folder(), heat_tests::memory_folder());
        let task = |name: &str, readings| Task {
            readings,
            compacts: false,
            ready: Some(meeting.path().join(name)),
            ..Task::new(folder.path(), 120)
        };
        let tasks = [task("one", READINGS), task("two", readings)];
        let mut children = tasks.clone().map(|task| task.start());
        let is_ready = |task: &Task| task.ready.as_ref().is_some_and(|ready| ready.exists());
        wait_until("both know where the archive ends", Duration::from_secs(60), || {
            tasks.iter().all(is_ready)
        });
        std::fs::write(meeting.path().join("go"), b"").unwrap();

        let codes = children.each_mut().map(|child| child.wait().unwrap().code());

        // Equal commits are the same commit, whoever wrote it.
        let count = |wanted| codes.iter().filter(|code| **code == Some(wanted)).count();
        assert_eq!((count(FENCED), count(0)), (gives_way, 2 - gives_way), "{codes:?}");
        block_on(async {
            let archive = open(&folder).await;
            archive.compact(&settings(), &mut unobserved).await.unwrap();
            let report = archive.verify().await.unwrap();
            assert!(report.is_sound(), "{report:?}");
        });
        assert_exact(&python, folder.path(), &without_repeats(&log(120)), "two at once");
    }
}
