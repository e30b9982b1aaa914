//! kill -9 at random moments under load: judged by an outside checker, which is itself put to the test.

use std::{path::Path, time::Duration};

use heat_tests::{
    Random, copy_folder,
    load::{Load, Sent, Trust, write_expected},
    pace,
    python::Python,
    site::{START, Site, assert_balanced},
};
use serde_json::Value;

const KILLS: usize = 20;
const DEVICES: usize = 8;

/// Commits every second, so that kills meet them too.
const SHORT_COMMITS: &str = "[archive]\nrotation = \"1s\"\n[log.embedded]\nsegment_max_bytes = 262144\n";

fn seed() -> u64 {
    std::env::var("HEATSTREAM_TEST_SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or(20_261_124)
}

fn compare(python: &Python, archive: &Path, expected: &Path) -> Value {
    python.run("compare.py", [archive, expected])
}

#[track_caller]
fn assert_exact(report: &Value) {
    for fault in ["lost", "invented", "doubled", "disordered"] {
        assert_eq!(report[fault], 0, "{fault}: {report:#}");
    }
    assert_eq!(report["sent"], report["found"], "{report:#}");
}

/// All devices' messages were acknowledged in the end.
#[track_caller]
fn assert_acknowledged(sent: &[Sent]) {
    let missing: usize = sent.iter().map(|device| device.unacknowledged).sum();
    assert_eq!(missing, 0, "messages were never acknowledged");
}

#[test]
fn after_twenty_kills_under_load_nothing_is_lost_invented_or_doubled() {
    let Some(python) = Python::find() else { return };
    let seed = seed();
    eprintln!("seed {seed} (HEATSTREAM_TEST_SEED)");
    let mut random = Random::new(seed);
    let site = Site::new(SHORT_COMMITS);
    let load = Load::start(site.mqtt, DEVICES, Duration::from_millis(4));
    let mut kills_after_progress = 0;

    for kill in 0..KILLS {
        let before = load.acknowledged();
        let mut up = site.spawn();
        // Most kills meet a process at work, some meet one that is still recovering.
        if kill % 4 != 3 {
            up.wait_until("it acknowledges", START, |_| load.acknowledged() > before);
            kills_after_progress += 1;
            pace(Duration::from_millis(random.between(0, 2_500)));
        } else {
            pace(Duration::from_millis(random.between(0, 700)));
        }
        up.kill();
    }
    let up = site.start();
    let sent = load.finish();
    let ended = up.stop().ended_with(0);

    assert!(kills_after_progress >= KILLS / 2);
    assert_acknowledged(&sent);
    assert_balanced(&ended.stdout);
    let folder = tempfile::tempdir().unwrap();
    let expected = folder.path().join("sent.csv");
    let readings = write_expected(&expected, &sent);
    eprintln!("{readings} readings were sent");
    assert!(readings > 1_000, "too little load for a test: {readings} readings");
    assert_exact(&compare(&python, &site.archive(), &expected));
    site.audit().ended_with(0);
    // Who knows no manifests and reads the whole folder, as the greeting shows, finds the same.
    let archive = site.archive();
    let by_folder =
        python.run("compare.py", [archive.as_os_str(), expected.as_os_str(), "--by-folder".as_ref()]);
    assert_exact(&by_folder);
}

#[test]
fn messages_trusted_before_they_are_durable_are_lost_in_kills_and_the_checker_finds_that() {
    let Some(python) = Python::find() else { return };
    let site = Site::new(SHORT_COMMITS);
    let load = Load::start_with(site.mqtt, DEVICES, Duration::from_millis(1), Trust::Sending);
    for _ in 0..5 {
        let before = load.acknowledged();
        let mut up = site.spawn();
        up.wait_until("it acknowledges", START, |_| load.acknowledged() > before + 200);
        // Stopped before it is killed, it certainly leaves messages that were sent and not taken.
        up.signal("STOP");
        pace(Duration::from_millis(200));
        up.kill();
    }
    let up = site.start();
    let sent = load.finish();
    up.stop().ended_with(0);

    let folder = tempfile::tempdir().unwrap();
    let expected = folder.path().join("sent.csv");
    write_expected(&expected, &sent);
    let report = compare(&python, &site.archive(), &expected);
    assert!(report["lost"].as_u64() > Some(0), "a wrong order of acknowledgements must be found: {report:#}");
    assert_eq!((&report["invented"], &report["doubled"]), (&Value::from(0), &Value::from(0)), "{report:#}");
}

#[test]
fn the_checker_itself_finds_one_lost_one_doubled_and_one_altered_reading() {
    let Some(python) = Python::find() else { return };
    let site = Site::new(SHORT_COMMITS);
    let mut up = site.start();
    let load = Load::start(site.mqtt, 3, Duration::from_millis(5));
    up.wait_until("some messages are acknowledged", START, |_| load.acknowledged() > 200);
    let sent = load.finish();
    up.stop().ended_with(0);
    assert_acknowledged(&sent);
    let folder = tempfile::tempdir().unwrap();
    let expected = folder.path().join("sent.csv");
    write_expected(&expected, &sent);
    assert_exact(&compare(&python, &site.archive(), &expected));

    for (act, lost, invented, doubled) in [("delete", 1, 0, 0), ("add", 0, 0, 1), ("alter", 1, 1, 0)] {
        let copy = folder.path().join(act);
        copy_folder(&site.archive(), &copy);
        python.run("tamper.py", [copy.as_os_str(), act.as_ref()]);

        let report = compare(&python, &copy, &expected);

        let found = ["lost", "invented", "doubled"].map(|fault| report[fault].as_u64().unwrap());
        assert_eq!(found, [lost, invented, doubled], "{act}: {report:#}");
    }
}
