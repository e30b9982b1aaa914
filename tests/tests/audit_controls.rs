//! Negative controls of the proof: what was deleted, altered or added afterwards is found, and named by hour and stage.

use std::{fs, path::Path, time::Duration};

use heat_tests::{
    copy_folder, heatstream,
    mqtt::Client,
    now_us,
    python::Python,
    site::{Site, assert_balanced},
};
use serde_json::Value;

const SOON: Duration = Duration::from_secs(30);

fn verify(archive: &Path) -> heatstream::Output {
    heatstream::run(["archive".as_ref(), "verify".as_ref(), "--archive".as_ref(), archive.as_os_str()])
}

fn audit(data_dir: &Path) -> heatstream::Output {
    heatstream::run(["audit".as_ref(), "--data-dir".as_ref(), data_dir.as_os_str()])
}

#[test]
fn a_row_deleted_altered_or_added_is_found_and_its_hour_and_stage_are_named() {
    let Some(python) = Python::find() else { return };
    let site = Site::new("");
    let up = site.start();
    let mut client = Client::connect(site.mqtt, "meter", true).unwrap();
    let base_ms = now_us() / 1_000;
    for seq in 0..50 {
        let payload = format!(
            r#"{{"time": {}, "values": {{"supply_temperature": {seq}, "vibration": {seq}}}}}"#,
            base_ms + seq
        );
        client.publish_acknowledged("heat/v1/town/st01/meter", payload.as_bytes(), SOON).unwrap();
    }
    assert_balanced(&up.stop().ended_with(0).stdout);
    audit(&site.data_dir()).ended_with(0);
    verify(&site.archive()).ended_with(0);

    for (act, words) in
        [("delete", "1 rows were deleted"), ("alter", "a row was altered"), ("add", "1 rows were added")]
    {
        let copy = tempfile::tempdir().unwrap();
        copy_folder(&site.data_dir(), copy.path());
        let archive = copy.path().join("site/archive");
        let changed = python.run("tamper.py", [archive.as_os_str(), act.as_ref()]);
        let hour = changed["hour"].as_str().unwrap();

        let found = audit(copy.path()).ended_with(65).stdout;
        let named = |line: &&str| line.contains(hour) && line.contains("Archive") && line.contains(words);
        assert!(
            found.lines().any(|line| named(&line)),
            "{act}: {words}, {hour} and the stage are to be named: {found}"
        );
        assert!(found.contains("DOES NOT BALANCE"), "{found}");
        let found = verify(&archive).ended_with(65).stdout;
        assert!(found.contains(words), "{act}: {found}");
    }

    // The original was never touched.
    audit(&site.data_dir()).ended_with(0);
    verify(&site.archive()).ended_with(0);
}

#[test]
fn a_file_of_rows_or_of_the_ledger_that_is_gone_is_found() {
    let Some(python) = Python::find() else { return };
    let site = Site::new("");
    let up = site.start();
    let mut client = Client::connect(site.mqtt, "meter", true).unwrap();
    client
        .publish_acknowledged("heat/v1/town/st01/meter", br#"{"values": {"supply_temperature": 1}}"#, SOON)
        .unwrap();
    up.stop().ended_with(0);
    let count = python.query(&site.archive(), "SELECT count(*) AS rows FROM readings");
    assert_eq!(count, [Value::from_iter([("rows", 1)])]);

    for (folder, ending) in [("readings", "parquet"), ("ledger/heat.input.v1", "json")] {
        let copy = tempfile::tempdir().unwrap();
        copy_folder(&site.data_dir(), copy.path());
        let files = files_below(&copy.path().join("site/archive").join(folder), ending);
        fs::remove_file(files.first().unwrap_or_else(|| panic!("{folder} has files"))).unwrap();

        let found = audit(copy.path()).ended_with(65);
        assert!(found.stdout.contains("DOES NOT BALANCE"), "{folder}: {}", found.stdout);
    }
}

fn files_below(folder: &Path, ending: &str) -> Vec<std::path::PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(files_below(&path, ending));
        } else if path.extension().is_some_and(|extension| extension == ending) {
            found.push(path);
        }
    }
    found.sort();
    found
}
