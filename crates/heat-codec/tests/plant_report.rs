//! What `heatstream check` says of plant tables: the whole report, word for word.
//!
//! Where a change of words is wanted, copy the found report from the failure into `report.txt` after reading it.
#![expect(clippy::unwrap_used, reason = "what helps a test fails by panicking, too")]

use std::{fs, path::Path};

use heat_codec::plant::{PlantReport, report};

fn tables(folder: &str) -> (PlantReport, String) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/plant").join(folder);
    let mut files = Vec::new();
    for entry in fs::read_dir(&folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap().to_owned();
        if name != "report.txt" {
            files.push((name, fs::read_to_string(&path).unwrap()));
        }
    }
    (report(&files), fs::read_to_string(folder.join("report.txt")).unwrap())
}

#[track_caller]
fn assert_same(found: &PlantReport, expected: &str) {
    let found = found.to_string();
    for (index, (found, expected)) in found.lines().zip(expected.lines()).enumerate() {
        assert_eq!(found, expected, "line {} of the report", index + 1);
    }
    assert!(found == expected, "the whole report:\n{found}");
}

#[test]
fn every_fault_of_bad_tables_is_reported_at_once_with_file_line_column_and_remedy() {
    let (found, expected) = tables("bad");
    assert!(found.outcome.is_err() && found.levels.is_empty());
    assert_same(&found, &expected);
}

#[test]
fn sound_tables_with_gaps_are_taken_with_warnings_and_the_level_of_each_network() {
    let (found, expected) = tables("sparse");
    assert!(found.outcome.is_ok(), "{found}");
    assert_same(&found, &expected);
}
