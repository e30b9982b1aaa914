//! The archive as a log: the records of a partition again, in their order, from Parquet alone.
//!
//! What the archive does not keep does not come back: heartbeats, repeats, a device's own sequence, factor and offset
//! of a unit (`value` and `raw` are those of the rows), the value of a reading whose quality is bad, and how many
//! messages a record accounts for. A signal set has the signals that the stretch has rows
//! of.

use std::{collections::BTreeMap, ops::ControlFlow, sync::Arc};

use heat_model::{
    Body, DeviceId, Envelope, NetworkId, Offset, Origin, PartitionId, Position, Reading, SignalSet,
    SignalSetId, SiteId, reading::SignalDecl, record::Readings,
};
use xxhash_rust::xxh3::xxh3_64;

use crate::{
    archive::{Archive, ArchiveError},
    layout::Dataset,
    manifest::OffsetSpan,
    read::{ArchivedReading, ArchivedSignal, Scan},
    store::BoxError,
    table::TableRow,
};

/// Rows of readings that a piece of a replay holds, as far as commits tell.
const PIECE_ROWS: u64 = 1_000_000;

/// One piece of a partition's log, as much as may be held in memory at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Piece {
    /// Its offsets.
    pub offsets: OffsetSpan,
    /// Rows of readings in it, roughly.
    pub rows: u64,
    /// The latest event time in the files that hold its rows; absent if none does.
    pub max_event_time_us: Option<i64>,
}

impl Archive {
    /// The pieces in which a partition's log is to be replayed, in order: whole commits, or equal parts of a chapter.
    pub async fn pieces(&self, topic: &str, partition: PartitionId) -> Result<Vec<Piece>, ArchiveError> {
        let view = self.view(topic, partition).await?;
        let mut pieces: Vec<Piece> = Vec::new();
        for manifest in self.manifests(topic, partition).await? {
            let (first, next) = (manifest.first_offset.0, manifest.next_offset.0);
            let readings = manifest.written().filter(|(dataset, _)| dataset.holds_readings());
            let rows: u64 = readings.map(|(_, hour)| hour.rows).sum();
            let parts = rows.div_ceil(PIECE_ROWS).clamp(1, next - first);
            match pieces.last_mut() {
                Some(last) if parts == 1 && last.rows + rows <= PIECE_ROWS => {
                    last.offsets.last = manifest.last_offset;
                    last.rows += rows;
                }
                Some(_) | None => pieces.extend((0..parts).map(|part| {
                    let cut = |part: u64| first + (next - first) * part / parts;
                    let offsets = OffsetSpan { first: Offset(cut(part)), last: Offset(cut(part + 1) - 1) };
                    Piece { offsets, rows: rows / parts, max_event_time_us: None }
                })),
            }
        }
        for piece in &mut pieces {
            let files = view.live().filter(|file| file.offsets.overlaps(piece.offsets));
            piece.max_event_time_us = files.map(|file| file.entry.max_event_time_us).max();
        }
        Ok(pieces)
    }

    /// The records of a stretch of the input topic, in order of their offsets. Holds the stretch's rows in memory.
    pub async fn replay(
        &self,
        topic: &str,
        partition: PartitionId,
        offsets: OffsetSpan,
    ) -> Result<Vec<(Position, Envelope)>, ArchiveError> {
        let view = self.view(topic, partition).await?;
        let scan = Scan { offsets: Some(offsets), ..Scan::default() };
        let mut rows: Vec<ArchivedReading> = Vec::new();
        let mut records: Vec<(Position, Envelope)> = Vec::new();
        for file in view.live().filter(|file| file.offsets.overlaps(offsets)) {
            let path = &file.entry.path;
            match file.entry.dataset {
                Dataset::Readings | Dataset::Households => {
                    let mut collect = |row| {
                        rows.push(row);
                        ControlFlow::Continue(())
                    };
                    let end = self.scan_file(path, &scan, &mut collect).await?;
                    debug_assert!(end.is_continue(), "the visitor never breaks");
                }
                Dataset::Inputs => {
                    for (position, row) in self.table_rows(path).await? {
                        if !offsets.contains(position.offset) {
                            continue;
                        }
                        let envelope = input_of(&row)
                            .map_err(|source| ArchiveError::Unreadable { path: path.clone(), source })?;
                        records.push((position, envelope));
                    }
                }
                Dataset::Incidents | Dataset::IncidentEvents | Dataset::Rejected | Dataset::Rollups => {}
            }
        }
        records.extend(records_of(rows));
        records.sort_by_key(|(position, _)| position.offset);
        Ok(records)
    }
}

type Device = (NetworkId, SiteId, DeviceId);

/// Signal sets as rows show them.
#[derive(Default)]
struct Sets {
    sets: BTreeMap<Device, Vec<Arc<ArchivedSignal>>>,
}

impl Sets {
    fn add(&mut self, signal: &Arc<ArchivedSignal>) {
        let signals = self.sets.entry(device_of(signal)).or_default();
        if !signals.iter().any(|known| known == signal) {
            signals.push(Arc::clone(signal));
        }
    }

    fn finish(self) -> BTreeMap<Device, (Arc<SignalSet>, Vec<Arc<ArchivedSignal>>)> {
        let finish = |(device, signals): (Device, Vec<Arc<ArchivedSignal>>)| {
            let set = Arc::new(set_of(&device, &signals));
            (device, (set, signals))
        };
        self.sets.into_iter().map(finish).collect()
    }
}

fn device_of(signal: &ArchivedSignal) -> Device {
    (signal.id.network.clone(), signal.id.site.clone(), signal.id.device.clone())
}

fn set_of((network, site, device): &Device, signals: &[Arc<ArchivedSignal>]) -> SignalSet {
    let mut content = Vec::new();
    let signals = signals
        .iter()
        .map(|signal| {
            for text in [&signal.id.to_string(), &signal.unit, &signal.raw_unit] {
                content.extend_from_slice(text.as_bytes());
                content.push(0);
            }
            SignalDecl {
                name: signal.id.name.clone(),
                unit: signal.unit.as_str().into(),
                raw_unit: signal.raw_unit.as_str().into(),
                scale: 1.0,
                offset: 0.0,
            }
        })
        .collect();
    SignalSet {
        id: SignalSetId(xxh3_64(&content)),
        network: network.clone(),
        site: site.clone(),
        device: device.clone(),
        signals,
    }
}

fn records_of(mut rows: Vec<ArchivedReading>) -> Vec<(Position, Envelope)> {
    let mut sets = Sets::default();
    let mut last: Option<Arc<ArchivedSignal>> = None;
    for row in &rows {
        if last.as_ref().is_none_or(|last| !Arc::ptr_eq(last, &row.signal)) {
            sets.add(&row.signal);
            last = Some(Arc::clone(&row.signal));
        }
    }
    let sets = sets.finish();
    // Stable: a record's rows keep the order of signal and event time.
    rows.sort_by_key(|row| row.offset);
    rows.chunk_by(|a, b| a.offset == b.offset).map(|rows| record_of(rows, &sets)).collect()
}

fn record_of(
    rows: &[ArchivedReading],
    sets: &BTreeMap<Device, (Arc<SignalSet>, Vec<Arc<ArchivedSignal>>)>,
) -> (Position, Envelope) {
    let first = &rows[0];
    let (set, signals) = &sets[&device_of(&first.signal)];
    let readings = rows
        .iter()
        .map(|row| {
            let signal = signals.iter().position(|signal| *signal == row.signal);
            Reading {
                signal: u32::try_from(signal.expect("every row's signal is in its set"))
                    .expect("sets are small"),
                event_time: row.event_time,
                raw: row.raw_value.unwrap_or(f64::NAN),
                value: row.value.unwrap_or(f64::NAN),
                quality: row.quality,
                code: row.code,
            }
        })
        .collect();
    let position =
        Position { partition: first.partition, offset: first.offset, append_time: first.append_time };
    let envelope = Envelope {
        network: Some(first.signal.id.network.clone()),
        origin: Origin { gateway: first.gateway.clone(), epoch: first.epoch, seq: first.seq },
        ingest_time: first.ingest_time,
        messages: 0,
        body: Body::Readings(Readings { set: Arc::clone(set), lane: first.lane, device_seq: None, readings }),
    };
    (position, envelope)
}

/// The kind of an input is not one that this code knows.
#[derive(Debug, thiserror::Error)]
#[error("{0:?} is not a kind of input")]
struct UnknownKind(String);

/// The record that a row of the inputs was made from.
pub(crate) fn input_of(row: &TableRow) -> Result<Envelope, BoxError> {
    let body = match row.kind.as_str() {
        "command" => Body::Command(serde_json::from_str(&row.json)?),
        "ticket" => Body::Ticket(serde_json::from_str(&row.json)?),
        "forecast" => Body::Forecast(serde_json::from_str(&row.json)?),
        "model_activated" => Body::ModelActivated(serde_json::from_str(&row.json)?),
        _ => return Err(UnknownKind(row.kind.clone()).into()),
    };
    let network = if row.network.is_empty() { None } else { Some(row.network.parse()?) };
    Ok(Envelope {
        network,
        origin: Origin { gateway: row.gateway.parse()?, epoch: row.epoch, seq: row.seq },
        ingest_time: row.ingest_time,
        messages: 0,
        body,
    })
}
