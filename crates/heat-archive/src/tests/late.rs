//! Late readings: how many files they make, and what becomes of their roll-ups.

use std::{collections::BTreeSet, ops::ControlFlow, time::Duration};

use heat_model::EventTime;

use super::{
    City, archive_all, block_on, canonical,
    compact::{LATER_US, at_once, compact, files_by_folder, without_repeats},
    open, read_all, rotation,
};
use crate::{CompactSettings, Dataset, Scan, layout, read::HourRow};

#[test]
fn late_readings_of_seven_days_add_no_file() {
    let sent = City::new(8).with_faults().spread_over_days(7).records(900);
    block_on(async {
        let folder = tempfile::tempdir().unwrap();
        let archive = open(&folder).await;
        for part in [300, 600, 900] {
            archive_all(&archive, &sent[..part], rotation(50)).await;
            compact(&archive, &CompactSettings { file_rows: 1 << 20, ..at_once() }).await;

            let folders = files_by_folder(&archive, Dataset::Readings).await;
            assert!(folders.len() >= 14 && folders.values().all(|files| *files == 1), "{folders:?}");
        }
        assert_eq!(
            canonical(&read_all(&archive, &Scan::default()).await),
            canonical(&without_repeats(&sent))
        );
        assert!(archive.verify().await.unwrap().is_sound());
    });
}

#[test]
fn a_trickle_of_late_readings_gathers_in_one_file_more_until_its_date_is_renewed() {
    // A week in full, then a day of which every twentieth record is up to seven days late.
    let mut sent = City::new(9).spread_over_days(8).records(400);
    let week = sent.len();
    sent.extend(City::new(10).starting_at(week).with_late_part(20, 8).records(400));
    let today = sent[0].envelope.ingest_time.day();
    let hour = Duration::from_secs(3_600);
    block_on(async {
        let folder = tempfile::tempdir().unwrap();
        let archive = open(&folder).await;
        archive_all(&archive, &sent[..week], rotation(100)).await;
        let closed =
            CompactSettings { file_rows: 1 << 20, renew_after: 24 * hour, before_day: today, ..at_once() };
        compact(&archive, &closed).await;
        let (mut now_us, mut gathered, mut rewritten) = (LATER_US, 0, 0);
        for until in (week..=sent.len()).step_by(20).skip(1) {
            archive_all(&archive, &sent[..until], rotation(25)).await;
            now_us += 3_600_000_000;
            let report = compact(&archive, &CompactSettings { now_us, ..closed.clone() }).await;

            let mut folders = files_by_folder(&archive, Dataset::Readings).await;
            folders.retain(|folder, _| layout::day_of(folder) < Some(today));
            assert!(folders.values().all(|files| *files <= 2), "{folders:?}");
            gathered += folders.values().filter(|files| **files == 2).count();
            rewritten += report.rows;
        }
        assert!(gathered > 0, "late readings gather");
        let rows = read_all(&archive, &Scan::default()).await.len() as u64;
        assert!(rewritten < rows / 2, "{rewritten} rows were written anew for a twentieth of {rows}");
        assert!(archive.verify().await.unwrap().is_sound());

        now_us += 24 * 3_600_000_000;
        let all = CompactSettings { now_us, before_day: i64::MAX, ..closed };
        compact(&archive, &all).await;

        let folders = files_by_folder(&archive, Dataset::Readings).await;
        assert!(folders.values().all(|files| *files == 1), "{folders:?}");
        let expected = without_repeats(&sent);
        assert_eq!(canonical(&read_all(&archive, &Scan::default()).await), canonical(&expected));
        let report = archive.verify().await.unwrap();
        assert!(report.is_sound() && report.orphans.is_empty(), "{report:?}");
        let mut summed_up = 0;
        let mut count = |row: HourRow| {
            summed_up += row.readings;
            ControlFlow::Continue(())
        };
        archive.scan_hours(&Scan::default(), &mut count).await.unwrap();
        let times: BTreeSet<(String, EventTime)> =
            expected.into_iter().map(|row| (row.signal.id.to_string(), row.event_time)).collect();
        assert_eq!(summed_up, times.len() as u64, "the hours know the late readings");
        assert_eq!(compact(&archive, &all).await.folders, 0, "nothing is left to do");
    });
}
