//! Negative controls of the proof: what was deleted, altered or added afterwards is found, and named by hour and stage.

use std::{fs, path::Path, time::Duration};

use heat_tests::{
    copy_folder, heatstream,
    mqtt::Client,
    now_us,
    python::Python,
    site::{Site, assert_balanced, series},
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

#[test]
fn a_file_that_compaction_set_aside_is_named_until_it_is_put_back_and_the_archiver_takes_it() {
    const COMPACTING: &str = "[archive.compaction]\nevery = \"1s\"\ncloses_after = \"0s\"\ngrace = \"0s\"\n";
    let site = Site::new("[archive.compaction]\nenabled = false\n");
    let up = site.start();
    let mut client = Client::connect(site.mqtt, "meter", true).unwrap();
    // Of two days ago: the date is closed.
    let base_ms = now_us() / 1_000 - 2 * 86_400_000;
    for seq in 0..20 {
        let payload = format!(r#"{{"time": {}, "values": {{"supply_temperature": {seq}}}}}"#, base_ms + seq);
        client.publish_acknowledged("heat/v1/town/st01/meter", payload.as_bytes(), SOON).unwrap();
    }
    up.stop().ended_with(0);
    let file = files_below(&site.archive().join("readings"), "parquet").remove(0);
    let whole = fs::read(&file).unwrap();
    fs::write(&file, &whole[..whole.len() / 2]).unwrap();

    let settings = fs::read_to_string(site.config()).unwrap();
    fs::write(site.config(), settings.replace("[archive.compaction]\nenabled = false\n", COMPACTING))
        .unwrap();
    let mut up = site.start().expecting_error("is damaged or gone");
    let missing = || series(&site.metrics(), "heat_archiver_compaction_unreadable_files", &[]);
    let [compacted, runs] =
        ["heat_archiver_compacted_rows_total", "heat_archiver_last_compaction_timestamp_seconds"]
            .map(|name| move |site: &Site| series(&site.metrics(), name, &[]).unwrap_or(0.0));
    up.wait_until("/metrics says that a file is missing", SOON, |_| missing() == Some(1.0));

    assert!(!file.is_file(), "nobody stumbles over it");
    let aside = site.archive().join("set_aside").join(file.strip_prefix(site.archive()).unwrap());
    assert_eq!(fs::read(aside).unwrap().len(), whole.len() / 2, "it is not deleted");
    let words = "20 rows of readings/";
    assert!(verify(&site.archive()).ended_with(65).stdout.contains(words));
    let said = runs(&site);
    up.wait_until("another run has ended", SOON, |_| runs(&site) > said);
    assert_eq!(missing(), Some(1.0), "it stays said");

    fs::write(&file, &whole).unwrap();
    up.wait_until("the rows count again", SOON, |_| missing() == Some(0.0) && compacted(&site) >= 20.0);
    up.stop().ended_with(0);
    verify(&site.archive()).ended_with(0);
    audit(&site.data_dir()).ended_with(0);

    // By hand the same, and the audit names hour and stage.
    let merged = files_below(&site.archive().join("readings"), "parquet").remove(0);
    fs::write(&merged, b"not a table").unwrap();
    let archive = site.archive();
    let compact = ["archive".as_ref(), "compact".as_ref(), "--archive".as_ref(), archive.as_os_str()];
    let told = heatstream::run(compact).ended_with(65).stdout;
    assert!(told.contains("is set aside, moved to set_aside/") && told.contains("20 rows of 1"), "{told}");
    let found = audit(&site.data_dir()).ended_with(65).stdout;
    assert!(found.lines().any(|line| line.contains("Archive") && line.contains(words)), "{found}");
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
