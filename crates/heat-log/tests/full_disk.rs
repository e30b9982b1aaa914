//! A full disk: acknowledging stops, nothing is lost or doubled, and it goes on by itself once there is space.
//!
//! The error is a real one of the kernel. It comes from a limit on file sizes, because that needs no privileges: the test
//! runs itself again in a process with SIGXFSZ ignored (so that a write beyond the limit fails, perhaps after a part,
//! as on a full disk) and that process lowers and lifts its own limit. A second test fills a real, small file system
//! where it may mount one.
#![expect(clippy::unwrap_used, reason = "what helps a test fails by panicking, too")]

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use heat_ledger::durable::Marks;
use heat_log::{
    Appender, AppenderSettings, ConsumerSettings, EmbeddedSettings, Health, Log, StartFrom, TopicSpec,
};
use heat_model::{PartitionId, record::NextOffset};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

const P: PartitionId = PartitionId(0);
const PATIENCE: Duration = Duration::from_secs(30);
const RECORD_BYTES: usize = 10_000;

fn limit_files(bytes: Option<u64>) {
    let maximum = getrlimit(Resource::Fsize).maximum;
    setrlimit(Resource::Fsize, Rlimit { current: bytes.or(maximum), maximum }).unwrap();
}

async fn health(appender: &Appender, what: &str, wanted: fn(&Health) -> bool) -> Health {
    let mut watch = appender.health();
    let found =
        tokio::time::timeout(PATIENCE, watch.wait_for(wanted)).await.unwrap_or_else(|_| panic!("{what}"));
    found.unwrap().clone()
}

/// Appends until the disk is full, makes space, and finds everything in order.
async fn fill_and_free(dir: &Path, free: impl FnOnce()) {
    let mut settings = EmbeddedSettings::new(dir);
    settings.retry_max_interval = Duration::from_millis(500);
    let log = Log::open_embedded(settings).unwrap();
    log.ensure_topics(&[TopicSpec::new("t", 1)]).await.unwrap();
    let bounds = AppenderSettings { queue_max_records: 50, ..AppenderSettings::default() };
    let appender = log.appender(&["t"], bounds).await.unwrap();
    let mut sent = 0_u64;
    let watched = appender.clone();
    let stall = health(&watched, "it stalls", |health| matches!(health, Health::Stalled { .. }));
    tokio::pin!(stall);
    let stalled = loop {
        let payload = sent.to_le_bytes().repeat(RECORD_BYTES / 8);
        tokio::select! {
            stalled = &mut stall => break stalled,
            ticket = appender.append("t", P, None, payload.into()) => {
                ticket.unwrap();
                sent += 1;
            }
        }
        assert!(sent < 10_000, "the disk never fills");
    };
    assert!(
        matches!(&stalled, Health::Stalled { reason, .. } if reason.contains("cannot write")),
        "{stalled:?}"
    );
    let mut marks = Marks::default();
    appender.read_marks(&mut marks);
    let durable = marks.count(heat_ledger::durable::StreamId(0));
    assert!(durable < sent, "what cannot be written is not acknowledged");
    let end = log.bounds("t", P).await.unwrap().end;
    assert_eq!(end, NextOffset(durable), "and readers do not see it");
    assert!(
        !appender.flush(Duration::from_millis(700)).await.unwrap(),
        "it is not acknowledged later either"
    );

    free();

    health(&appender, "it recovers by itself", |health| *health == Health::Healthy).await;
    assert!(appender.flush(PATIENCE).await.unwrap());
    let stats = log.stats();
    assert!(stats.write_errors >= 1 && stats.stalls == 1 && stats.stalled_appenders == 0, "{stats:?}");
    assert!(log.close(PATIENCE).await);
    drop(log);
    let log = Log::open_embedded(EmbeddedSettings::new(dir)).unwrap();
    assert_eq!((log.stats().torn_bytes, log.stats().damaged_places), (0, 0), "no partial frame is left");
    let mut scan =
        log.scan("t", P, StartFrom::Beginning, NextOffset(sent), ConsumerSettings::default()).await.unwrap();
    let mut next = 0_u64;
    while let Some(records) = scan.next().await.unwrap() {
        for record in records {
            assert_eq!(record.payload[..8], next.to_le_bytes(), "in order, each once");
            next += 1;
        }
    }
    assert_eq!(next, sent);
}

#[test]
fn a_full_disk_stops_acknowledging_and_recovers_by_itself() {
    let program = std::env::current_exe().unwrap();
    let output = Command::new("bash")
        .args(["-c", "trap '' XFSZ; exec \"$0\" --exact in_a_limited_process --ignored --nocapture"])
        .arg(program)
        .output()
        .unwrap();
    let said =
        String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && said.contains("1 passed"), "{said}");
}

#[test]
#[ignore = "run by the test above, in a process of its own"]
fn in_a_limited_process() {
    let dir = tempfile::tempdir().unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    // Not a multiple of a frame, so that the last write is cut in the middle.
    limit_files(Some(1_234_567));
    runtime.block_on(fill_and_free(dir.path(), || limit_files(None)));
}

/// A small file system; `None` where it may not be mounted.
struct Mount(PathBuf);

impl Mount {
    fn new(at: &Path) -> Option<Self> {
        let mounted =
            Command::new("mount").args(["-t", "tmpfs", "-o", "size=3m", "tmpfs"]).arg(at).output().ok()?;
        mounted.status.success().then(|| Self(at.to_path_buf()))
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        Command::new("umount").arg(&self.0).status().ok();
    }
}

#[test]
fn a_file_system_that_is_really_full_does_the_same() {
    let dir = tempfile::tempdir().unwrap();
    let Some(mount) = Mount::new(dir.path()) else {
        eprintln!("skipped: mounting a small file system needs root");
        return;
    };
    let ballast = dir.path().join("ballast");
    let log_dir = dir.path().join("log");
    fs::write(&ballast, vec![0; 2 << 20]).unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(fill_and_free(&log_dir, || fs::remove_file(&ballast).unwrap()));
    drop(runtime);
    drop(mount);
}
