use std::sync::Arc;

use heat_archive::{CommitWriter, CompactSettings, Keep, RotationSettings, revise::unobserved};
use heat_model::{
    AppendTime, Body, Envelope, IngestTime, Lane, Offset, Origin, PartitionId, Position, QualityCode,
    Reading, SignalDecl, SignalSet, SignalSetId,
    record::{NextOffset, Readings},
};

use super::*;

const TOPIC: &str = "heat.input.v1";
const SECOND: i64 = 1_000_000;

/// An archive that holds these event times (s), values and qualities of one signal, a record each.
async fn archive(dir: &tempfile::TempDir, rows: &[(i64, f64, Quality)]) -> Archive {
    let archive = Archive::open(dir.path().to_str().unwrap()).await.unwrap();
    let resume = archive.resume(TOPIC, PartitionId(0)).await.unwrap();
    let mut writer = CommitWriter::new(&resume, NextOffset(0), RotationSettings::default());
    let set = Arc::new(SignalSet {
        id: SignalSetId(1),
        network: "town".parse().unwrap(),
        site: "st1".parse().unwrap(),
        device: "plc".parse().unwrap(),
        signals: vec![SignalDecl {
            name: "supply_temperature".parse().unwrap(),
            unit: "degC".into(),
            raw_unit: "degC".into(),
            scale: 1.0,
            offset: 0.0,
        }],
    });
    for (offset, &(seconds, value, quality)) in rows.iter().enumerate() {
        let envelope = Envelope {
            network: Some(set.network.clone()),
            origin: Origin { gateway: "g".parse().unwrap(), epoch: 1, seq: offset as u64 },
            ingest_time: IngestTime::from_micros(100 * SECOND),
            messages: 1,
            body: Body::Readings(Readings {
                set: Arc::clone(&set),
                lane: Lane::Live,
                device_seq: None,
                readings: vec![Reading {
                    signal: 0,
                    event_time: EventTime::from_micros(seconds * SECOND),
                    raw: value,
                    value,
                    quality,
                    code: QualityCode::None,
                }],
            }),
        };
        let position = Position {
            partition: PartitionId(0),
            offset: Offset(offset as u64),
            append_time: AppendTime::from_micros(100 * SECOND),
        };
        writer.append(&position, &envelope, Keep::All).unwrap();
    }
    let sealed = writer.seal().unwrap().unwrap();
    let published = archive.publish(&sealed).await.unwrap();
    assert_eq!(published.next_offset(), NextOffset(rows.len() as u64));
    archive
}

fn question(step: Option<u64>, points_max: usize) -> Question {
    Question {
        signal: "town/st1/plc/supply_temperature".parse().unwrap(),
        from: EventTime::from_micros(0),
        to: EventTime::from_micros(60 * SECOND),
        step: step.map(Duration::from_secs),
        points_max,
    }
}

fn rows() -> Vec<(i64, f64, Quality)> {
    let good = Quality::Good;
    vec![
        (10, 80.0, good),
        (0, 70.0, good),
        (12, f64::NAN, Quality::Bad),
        (19, 90.0, good),
        (10, 82.0, good),
        (60, 99.0, good),
    ]
}

#[tokio::test]
async fn readings_come_in_order_of_time_and_a_correction_replaces_what_it_corrects() {
    let dir = tempfile::tempdir().unwrap();
    let archive = archive(&dir, &rows()).await;

    let history = answer(&archive, &question(None, 100)).await.unwrap();

    let values: Vec<_> = history
        .points
        .iter()
        .map(|point| match *point {
            HistoryPoint::Reading { time, value, .. } => (time.0.second(), value),
            HistoryPoint::Bucket { .. } => panic!("no step was asked"),
        })
        .collect();
    assert_eq!(values, [(0, Some(70.0)), (10, Some(82.0)), (12, None), (19, Some(90.0))]);
    assert_eq!(history.unit.as_deref(), Some("degC"));
}

#[tokio::test]
async fn a_bucket_holds_its_usable_values() {
    let dir = tempfile::tempdir().unwrap();
    let archive = archive(&dir, &rows()).await;

    let history = answer(&archive, &question(Some(10), 100)).await.unwrap();

    let expected = [
        HistoryPoint::Bucket { time: ApiTime::from_micros(0), mean: 70.0, min: 70.0, max: 70.0, count: 1 },
        HistoryPoint::Bucket {
            time: ApiTime::from_micros(10 * SECOND),
            mean: 84.0,
            min: 80.0,
            max: 90.0,
            count: 3,
        },
    ];
    assert_eq!(history.points, expected);
}

#[tokio::test]
async fn more_points_than_the_bound_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    let archive = archive(&dir, &rows()).await;

    let refused = answer(&archive, &question(None, 2)).await;

    assert!(matches!(refused, Err(HistoryError::TooMany(2))), "{refused:?}");
}

#[tokio::test]
async fn a_signal_that_never_was_has_an_empty_history() {
    let dir = tempfile::tempdir().unwrap();
    let archive = archive(&dir, &rows()).await;
    let other = Question { signal: "town/st9/plc/x".parse().unwrap(), ..question(None, 2) };

    let history = answer(&archive, &other).await.unwrap();

    assert_eq!((history.points.len(), history.unit), (0, None));
}

#[tokio::test]
async fn whole_hours_of_compacted_dates_come_from_the_roll_ups_and_say_the_same_as_the_readings() {
    let (dir, day) = (tempfile::tempdir().unwrap(), 86_400);
    let rows: Vec<(i64, f64, Quality)> = (0..3 * 24 * 4)
        .map(|quarter| (quarter * 900 + 7, 60.0 + (quarter % 13) as f64, Quality::Good))
        .collect();
    let archive = archive(&dir, &rows).await;
    let (from, to) =
        (EventTime::from_micros(3_600 * SECOND), EventTime::from_micros((2 * day + 1_800) * SECOND));
    let asked = Question { from, to, ..question(Some(4 * 3_600), 100) };
    let by_readings = answer(&archive, &asked).await.unwrap();
    // The second day is whole in the question and in the roll-ups; the others are cut, or not compacted.
    let settings = CompactSettings { grace: Duration::ZERO, ..CompactSettings::new(2, 400 * day * SECOND) };
    archive.compact(&settings, &mut unobserved).await.unwrap();
    let days = archive.days_summed_up(&asked.signal.network, asked.days_of_hours()).await.unwrap();
    assert_eq!(days, BTreeSet::from([1]));
    let [begins, ends] = [1, 2].map(|days| EventTime::from_micros(days * day * SECOND));
    assert_eq!(asked.without(&days), [(from, begins), (ends, to)]);

    let by_hours = answer(&archive, &asked).await.unwrap();

    assert_eq!(by_hours.points.len(), by_readings.points.len());
    for (hours, readings) in by_hours.points.iter().zip(&by_readings.points) {
        let (
            HistoryPoint::Bucket { time, mean, min, max, count },
            HistoryPoint::Bucket { time: at, mean: expected, min: least, max: most, count: number },
        ) = (hours, readings)
        else {
            panic!("a step was asked")
        };
        assert_eq!(
            (time.0, count, min.to_bits(), max.to_bits()),
            (at.0, number, least.to_bits(), most.to_bits())
        );
        assert!((mean - expected).abs() < 1e-9, "{mean} {expected}");
    }
}
