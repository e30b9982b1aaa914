//! The archive as a log: the records of a partition again, in their order, from Parquet alone.
//!
//! What the archive does not keep does not come back: heartbeats, repeats, a device's own sequence, factor and offset
//! of a unit (`value` and `raw` are those of the rows), the value of a reading whose quality is bad, and how many
//! messages a record accounts for. A signal set has the signals that the commit has rows of.

use std::{collections::BTreeMap, ops::ControlFlow, sync::Arc};

use heat_model::{
    Body, DeviceId, Envelope, NetworkId, Origin, Position, Reading, SignalSet, SignalSetId, SiteId,
    reading::SignalDecl, record::Readings,
};
use xxhash_rust::xxh3::xxh3_64;

use crate::{
    archive::{Archive, ArchiveError},
    layout::Dataset,
    manifest::Manifest,
    read::{ArchivedReading, ArchivedSignal, Scan},
    store::BoxError,
    table::TableRow,
};

impl Archive {
    /// The records of one commit of the input topic, in order of their offsets. Holds the commit's rows in memory.
    ///
    /// To rebuild a partition's state, take its [`Archive::manifests`] one by one.
    pub async fn replay(&self, manifest: &Manifest) -> Result<Vec<(Position, Envelope)>, ArchiveError> {
        let mut rows: Vec<ArchivedReading> = Vec::new();
        let mut records: Vec<(Position, Envelope)> = Vec::new();
        for file in &manifest.files {
            match file.dataset {
                Dataset::Readings => {
                    let mut collect = |row| {
                        rows.push(row);
                        ControlFlow::Continue(())
                    };
                    let end = self.scan_file(&file.path, &Scan::default(), &mut collect).await?;
                    debug_assert!(end.is_continue(), "the visitor never breaks");
                }
                Dataset::Inputs => {
                    for (position, row) in self.table_rows(&file.path).await? {
                        let envelope = input_of(&row)
                            .map_err(|source| ArchiveError::Unreadable { path: file.path.clone(), source })?;
                        records.push((position, envelope));
                    }
                }
                Dataset::Incidents | Dataset::IncidentEvents | Dataset::Rejected => {}
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
