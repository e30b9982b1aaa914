//! Where the records come from does not matter: one file, several, packed ones, or the archive give the same report.

use std::{fs, io::Write as _, path::PathBuf, sync::Arc};

use flate2::{Compression, write::GzEncoder};
use heat_archive::{Archive, CommitWriter, Keep, RotationSettings};
use heat_backtest::{
    Span, archived,
    judge::{Case, judge},
    recorded::{FileSet, Oddities, Recorded, RecordedError},
    report::{html::html, json::json},
    run::{Record, Run},
};
use heat_codec::{labels, mapping::Mapping};
use heat_detect::DetectSettings;
use heat_model::{PartitionId, plant::PlantModel, record::NextOffset};
use heat_tests::town::Town;

const TOWN: Town = Town { days: 18, step: 300, burst_day: Some(16) };

fn plant() -> Arc<PlantModel> {
    Arc::new(heat_codec::plant::read(&Town::plant()).expect("the tables are sound"))
}

fn set(files: Vec<PathBuf>) -> FileSet {
    let mapping = Mapping::parse(&Town::mapping()).expect("the mapping is sound");
    FileSet { mapping_name: "mapping.toml".to_owned(), mapping, files }
}

fn run_of(files: Vec<PathBuf>) -> Record {
    let mut recorded = Recorded::open(&[set(files)], Span::default()).expect("the files open");
    let mut run = Run::new(DetectSettings::default(), plant(), None);
    while let Some((position, envelope)) = recorded.next_record().expect("the files are read") {
        run.take(&position, &envelope).expect("nothing is written");
    }
    run.finish().expect("nothing is written")
}

fn report_of(record: &Record) -> (String, String) {
    let labels = labels::read(&TOWN.labels()).expect("the labels are sound");
    let (plant, settings) = (plant(), DetectSettings::default());
    let oddities = Oddities::default();
    let report = judge(Case {
        record,
        labels: Some(&labels),
        plant: &plant,
        settings: &settings,
        oddities: Some(&oddities),
        injection: None,
    });
    (json(&report), html(&report, record, &plant))
}

#[test]
fn files_split_packed_and_named_in_any_order_give_the_report_of_one_file() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    fs::write(at("whole.csv"), TOWN.readings(0..18)).unwrap();
    fs::write(at("a.csv"), TOWN.readings(0..7)).unwrap();
    let mut packed = GzEncoder::new(fs::File::create(at("b.csv.gz")).unwrap(), Compression::fast());
    packed.write_all(TOWN.readings(7..18).as_bytes()).unwrap();
    packed.finish().unwrap();

    let whole = report_of(&run_of(vec![at("whole.csv")]));

    assert!(whole.0.contains("\"verdict\": \"found\""), "{}", whole.0);
    assert_eq!(whole, report_of(&run_of(vec![at("b.csv.gz"), at("a.csv")])));
}

#[test]
fn the_order_of_columns_does_not_matter() {
    let folder = tempfile::tempdir().unwrap();
    let (straight, turned) = (folder.path().join("straight.csv"), folder.path().join("turned.csv"));
    let text = TOWN.readings(0..18);
    fs::write(&straight, &text).unwrap();
    let turn = |line: &str| line.split(',').rev().collect::<Vec<_>>().join(",") + "\n";
    fs::write(&turned, text.lines().map(turn).collect::<String>()).unwrap();
    let mut backwards = set(vec![turned]);
    if let heat_codec::mapping::Layout::Wide(columns) = &mut backwards.mapping.layout {
        columns.reverse();
    }
    let mut recorded = Recorded::open(&[backwards], Span::default()).unwrap();
    let mut run = Run::new(DetectSettings::default(), plant(), None);
    while let Some((position, envelope)) = recorded.next_record().unwrap() {
        run.take(&position, &envelope).unwrap();
    }

    assert_eq!(report_of(&run_of(vec![straight])), report_of(&run.finish().unwrap()));
}

#[tokio::test]
async fn an_archive_of_the_same_records_gives_the_same_report() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("whole.csv");
    fs::write(&file, TOWN.readings(0..18)).unwrap();
    let location = folder.path().join("archive").display().to_string();
    let archive = Archive::open(&location).await.unwrap();
    let mut recorded = Recorded::open(&[set(vec![file.clone()])], Span::default()).unwrap();
    let rotation =
        RotationSettings { grid: std::time::Duration::from_secs(86_400), ..RotationSettings::default() };
    let resume = archive.resume("heat.input.v1", PartitionId(0)).await.unwrap();
    let mut writer = CommitWriter::new(&resume, NextOffset(0), rotation);
    while let Some((position, envelope)) = recorded.next_record().unwrap() {
        if writer.should_close_before(&position, 21) {
            let sealed = writer.seal().unwrap().expect("it holds what was appended");
            let _published = archive.publish(&sealed).await.unwrap();
        }
        writer.append(&position, &envelope, Keep::All).unwrap();
    }
    let _published = archive.publish(&writer.seal().unwrap().unwrap()).await.unwrap();

    let mut run = Run::new(DetectSettings::default(), plant(), None);
    let stretches = archived::stretches(&archive).await.unwrap();
    assert_eq!(stretches.len(), 1);
    let mut take = |position: &_, envelope: &_, _| -> Result<(), Box<dyn std::error::Error>> {
        run.take(position, envelope)?;
        Ok(())
    };
    archived::replay(&archive, &stretches[0], Span::default(), &mut take).await.unwrap();
    let from_archive = run.finish().unwrap();

    assert_eq!(report_of(&run_of(vec![file])), report_of(&from_archive));
}

#[test]
fn rows_in_no_order_of_time_are_refused_with_a_remedy() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("mixed.csv");
    let text = TOWN.readings(0..18);
    let mut rows: Vec<&str> = text.lines().collect();
    rows[1..].sort_by_key(|row| row.get(11..).map(str::to_owned));
    fs::write(&file, rows.join("\n")).unwrap();
    let mut recorded = Recorded::open(&[set(vec![file])], Span::default()).unwrap();

    let fault = loop {
        match recorded.next_record() {
            Ok(Some(_)) => {}
            Ok(None) => panic!("it was read as if nothing were wrong"),
            Err(fault) => break fault,
        }
    };

    assert!(matches!(fault, RecordedError::Unordered { .. }), "{fault}");
    assert!(fault.to_string().contains("sort the file"), "{fault}");
}

#[test]
fn a_row_far_ahead_of_its_followers_is_a_wrong_clock_and_moves_no_time() {
    let folder = tempfile::tempdir().unwrap();
    let (good, odd) = (folder.path().join("good.csv"), folder.path().join("odd.csv"));
    let text = TOWN.readings(0..18);
    fs::write(&good, &text).unwrap();
    // One row says February where its followers say January.
    fs::write(&odd, text.replace("2026-01-12 08:00:00", "2026-02-12 08:00:00")).unwrap();

    let record = run_of(vec![odd]);

    assert_eq!(record.counters.clock, 21, "all signals of one row");
    assert_eq!(record.alarms.len(), run_of(vec![good]).alarms.len());
}

#[test]
fn a_leap_of_years_is_refused_and_nothing_at_all_is_said() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("leap.csv");
    let mut text = TOWN.readings(0..1);
    text.push_str(&text.lines().last().unwrap().replace("2026-01-01", "2036-01-01"));
    fs::write(&file, &text).unwrap();
    let mut recorded = Recorded::open(&[set(vec![file.clone()])], Span::default()).unwrap();
    let fault = std::iter::from_fn(|| recorded.next_record().transpose()).find_map(Result::err).unwrap();
    assert!(matches!(fault, RecordedError::Jump { days: 3_651.., .. }), "{fault}");

    fs::write(&file, text.lines().next().unwrap()).unwrap();
    let mut empty = Recorded::open(&[set(vec![file])], Span::default()).unwrap();
    assert!(matches!(empty.next_record(), Err(RecordedError::Nothing { .. })));
}

#[test]
fn late_rows_are_history_and_never_judged() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("late.csv");
    // All of the burst's day arrives three days later.
    let text = TOWN.readings(0..18);
    let mut lines = text.lines();
    let mut received = format!("{},received\n", lines.next().unwrap());
    let mut late = Vec::new();
    for line in lines {
        let time = &line[..19];
        if time.starts_with("2026-01-17") {
            late.push(format!("{line},2026-01-18 23:55:00"));
        } else {
            received.push_str(&format!("{line},{time}\n"));
        }
    }
    received.push_str(&late.join("\n"));
    fs::write(&file, received).unwrap();
    let mapping = format!(
        "{}\n[received]\ncolumn = \"received\"\nformat = \"%Y-%m-%d %H:%M:%S\"\nzone = \"Asia/Shanghai\"\n",
        Town::mapping()
    );
    let set = FileSet {
        mapping_name: "late.toml".to_owned(),
        mapping: Mapping::parse(&mapping).unwrap(),
        files: vec![file],
    };
    let mut recorded = Recorded::open(&[set], Span::default()).unwrap();
    let mut run = Run::new(DetectSettings::default(), plant(), None);
    while let Some((position, envelope)) = recorded.next_record().unwrap() {
        run.take(&position, &envelope).unwrap();
    }
    let record = run.finish().unwrap();

    let town = &record.networks["town"];
    assert_eq!(town.backfill, 288 * 21, "the whole late day");
    assert!(!record.alarms.iter().any(|alarm| alarm.class.as_str() == "burst"), "{:?}", record.alarms);
}
