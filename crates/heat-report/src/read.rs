//! The archive's part: hands the folds what they ask for. Dates that are compacted are read from their hourly roll-ups,
//! the newest and what came late from the readings themselves; homes from their own data set.

use std::{collections::BTreeMap, ops::ControlFlow};

use heat_archive::{Archive, ArchiveError, ArchivedReading, Dataset, FileEntry, Scan, View};
use heat_detect::Output;
use heat_model::{
    DeviceId, EventTime, NetworkId, Quality, SignalId, SiteId,
    time::{MICROS_PER_DAY, MICROS_PER_HOUR},
};

use crate::{
    Settings, Span,
    cases::Cases,
    hours::{Hour, Hours, Quantity},
    report::Facts,
};

/// Incidents that began so long before the span may still have been there.
const LOOK_BACK_US: i64 = 180 * MICROS_PER_DAY;

/// The archive cannot be read, or holds what it should not.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// The archive itself.
    #[error(transparent)]
    Archive(#[from] ArchiveError),
    /// A row that should be a processor's output or an input.
    #[error("a row of {path} is not what this version writes")]
    Row {
        /// The file.
        path: String,
        /// Why.
        source: serde_json::Error,
    },
}

/// Reads everything that a report needs. `progress` is told how many files are done, of how many.
pub async fn read(
    archive: &Archive,
    span: &Span,
    settings: &Settings,
    progress: &mut (dyn FnMut(usize, usize) + Send),
) -> Result<Facts, ReadError> {
    let mut views: Vec<View> = Vec::new();
    for (topic, partition) in archive.partitions().await? {
        views.push(View::clone(archive.view(&topic, partition).await?.as_ref()));
    }
    let tables =
        files(&views, span, |dataset, _| matches!(dataset, Dataset::IncidentEvents | Dataset::Inputs));
    // Compacted readings are in the roll-ups; homes have none.
    let folders = by_folder(files(&views, span, |dataset, is_compacted| match dataset {
        Dataset::Readings => !is_compacted,
        Dataset::Households => true,
        Dataset::Incidents
        | Dataset::IncidentEvents
        | Dataset::Inputs
        | Dataset::Rejected
        | Dataset::Rollups => false,
    }));
    let total = tables.len() + folders.values().map(Vec::len).sum::<usize>();
    let mut done = 0;

    let mut cases = Cases::new(span.clone());
    for file in tables {
        read_table(archive, &file, &mut cases).await?;
        done += 1;
        progress(done, total);
    }
    let mut hours = Hours::new(span.clone(), settings.promised_celsius);
    let mut late = read_rollups(archive, span, &folders, &mut hours).await?;
    for (folder, paths) in folders {
        let mut sums = late.remove(&folder).unwrap_or_default();
        for path in paths {
            read_readings(archive, &path, &mut sums).await?;
            done += 1;
            progress(done, total);
        }
        hand_over(&sums, &mut hours);
    }
    late.values().for_each(|sums| hand_over(sums, &mut hours));
    let refused = cases.refused();
    let (cases, tickets) = cases.finish();
    Ok(Facts { cases, tickets, hours, refused })
}

/// The oldest and the newest event time of the archive's readings; `None` if it has none.
pub async fn held(archive: &Archive) -> Result<Option<(EventTime, EventTime)>, ArchiveError> {
    let mut held: Option<(i64, i64)> = None;
    for (topic, partition) in archive.partitions().await? {
        let view = archive.view(&topic, partition).await?;
        for file in view.live().filter(|file| file.entry.dataset == Dataset::Readings) {
            let (min, max) = (file.entry.min_event_time_us, file.entry.max_event_time_us);
            let (oldest, newest) = held.unwrap_or((min, max));
            held = Some((oldest.min(min), newest.max(max)));
        }
    }
    Ok(held.map(|(oldest, newest)| (EventTime::from_micros(oldest), EventTime::from_micros(newest))))
}

/// A date and network of the readings.
type Folder = (i64, NetworkId);

/// The wanted files that may concern the span, in order of their paths.
fn files(views: &[View], span: &Span, wanted: impl Fn(Dataset, bool) -> bool) -> Vec<FileEntry> {
    let mut found: BTreeMap<String, FileEntry> = BTreeMap::new();
    for view in views {
        for file in view.live().filter(|file| wanted(file.entry.dataset, file.revision.is_some())) {
            let entry = &file.entry;
            let back = if entry.dataset == Dataset::IncidentEvents { LOOK_BACK_US } else { 0 };
            if entry.max_event_time_us >= span.from.as_micros() - back
                && entry.min_event_time_us < span.to.as_micros()
            {
                found.insert(entry.path.clone(), entry.clone());
            }
        }
    }
    found.into_values().collect()
}

/// Paths by date and network.
fn by_folder(files: Vec<FileEntry>) -> BTreeMap<Folder, Vec<String>> {
    let mut folders: BTreeMap<Folder, Vec<String>> = BTreeMap::new();
    for file in files {
        let date = file.path.split('/').find_map(|part| part.strip_prefix("date="));
        let day = date.and_then(heat_archive::layout::day_of_date);
        if let (Some(day), Some(network)) = (day, file.network) {
            folders.entry((day, network)).or_default().push(file.path);
        }
    }
    folders
}

async fn read_table(archive: &Archive, file: &FileEntry, cases: &mut Cases) -> Result<(), ReadError> {
    let of_row = |source| ReadError::Row { path: file.path.clone(), source };
    for (position, row) in archive.table_rows(&file.path).await? {
        let network = NetworkId::new(&row.network).ok();
        match (file.dataset, row.kind.as_str(), network) {
            (Dataset::IncidentEvents, "event" | "ticket", _) => {
                cases.output(serde_json::from_str::<Output>(&row.json).map_err(of_row)?);
            }
            (Dataset::Inputs, "command", Some(network)) => {
                let command = serde_json::from_str(&row.json).map_err(of_row)?;
                cases.command(&network, position.offset, position.append_time, command);
            }
            (Dataset::Inputs, "ticket", Some(network)) => {
                cases.ticket(&network, &serde_json::from_str(&row.json).map_err(of_row)?);
            }
            _ => {}
        }
    }
    Ok(())
}

/// One signal's hour, summed up.
#[derive(Debug, Clone)]
struct Sum {
    unit: String,
    min: f64,
    sum: f64,
    max: f64,
    count: f64,
}

type Key = (NetworkId, SiteId, DeviceId, Quantity, i64);
type Sums = BTreeMap<Key, Sum>;

fn add(sums: &mut Sums, key: Key, unit: &str, [min, mean, max]: [f64; 3], count: f64) {
    let sum = sums.entry(key).or_insert_with(|| Sum {
        unit: unit.to_owned(),
        min: f64::INFINITY,
        sum: 0.0,
        max: f64::NEG_INFINITY,
        count: 0.0,
    });
    if sum.unit == unit {
        (sum.min, sum.max) = (sum.min.min(min), sum.max.max(max));
        sum.sum += mean * count;
        sum.count += count;
    }
}

fn hand_over(sums: &Sums, hours: &mut Hours) {
    for ((network, site, device, quantity, hour_us), sum) in sums.iter().filter(|(_, sum)| sum.count > 0.0) {
        let (quantity, hour_us) = (*quantity, *hour_us);
        let (min, mean, max) = (sum.min, sum.sum / sum.count, sum.max);
        hours.add(&Hour { network, site, device, quantity, unit: &sum.unit, hour_us, min, mean, max });
    }
}

/// Hands the roll-ups over; those of folders that have further readings are kept apart and returned.
async fn read_rollups(
    archive: &Archive,
    span: &Span,
    raw: &BTreeMap<Folder, Vec<String>>,
    hours: &mut Hours,
) -> Result<BTreeMap<Folder, Sums>, ReadError> {
    let mut late: BTreeMap<Folder, Sums> = BTreeMap::new();
    let scan = Scan { from: Some(span.from), to: Some(span.to), ..Scan::default() };
    let mut visit = |row: heat_archive::read::HourRow| {
        let Some(values) = row.values else { return ControlFlow::Continue(()) };
        let Some((id, quantity)) = wanted(&row.signal) else { return ControlFlow::Continue(()) };
        let folder = (row.hour_us.div_euclid(MICROS_PER_DAY), id.network.clone());
        if raw.contains_key(&folder) {
            let sums = late.entry(folder).or_default();
            let key = (id.network, id.site, id.device, quantity, row.hour_us);
            add(sums, key, &row.unit, values, crate::figure::count(row.count));
        } else {
            let [min, mean, max] = values;
            let (network, site, device) = (&id.network, &id.site, &id.device);
            let (unit, hour_us) = (row.unit.as_str(), row.hour_us);
            hours.add(&Hour { network, site, device, quantity, unit, hour_us, min, mean, max });
        }
        ControlFlow::Continue(())
    };
    archive.scan_hours(&scan, &mut visit).await?;
    Ok(late)
}

fn wanted(signal: &str) -> Option<(SignalId, Quantity)> {
    let quantity = Quantity::of_name(signal.rsplit('/').next()?)?;
    Some((signal.parse().ok()?, quantity))
}

async fn read_readings(archive: &Archive, path: &str, sums: &mut Sums) -> Result<(), ReadError> {
    let mut visit = |row: ArchivedReading| {
        let id = &row.signal.id;
        let usable = row.value.filter(|value| row.quality != Quality::Bad && value.is_finite());
        if let (Some(quantity), Some(value), false) =
            (Quantity::of_name(id.name.as_str()), usable, row.code.is_clock_fault())
        {
            let hour_us = row.event_time.as_micros().div_euclid(MICROS_PER_HOUR) * MICROS_PER_HOUR;
            let key = (id.network.clone(), id.site.clone(), id.device.clone(), quantity, hour_us);
            add(sums, key, &row.signal.unit, [value; 3], 1.0);
        }
        ControlFlow::Continue(())
    };
    let end = archive.scan_file(path, &Scan::default(), &mut visit).await?;
    debug_assert!(end.is_continue(), "the visitor never breaks");
    Ok(())
}
