//! The log's envelope: `heat_model::Envelope` to protobuf and back. The format is `schemas/envelope.proto`.
//!
//! A record names its signals by an encoded set. A decoder keeps sets it has seen, so that a record of a known device
//! costs one hash of the set's bytes and no string. Records of readings in the form in which they are written are read by
//! `wire`, all others by prost.

use std::{ops::Range, sync::Arc};

use bytes::Bytes;
use hashbrown::HashTable;
use heat_model::{
    Body, DeviceId, Envelope, EventTime, GatewayId, IngestTime, InvalidId, Lane, NetworkId, Origin, Quality,
    QualityCode, Reading, SignalDecl, SignalName, SignalSet, SignalSetId, SiteId,
    plant::PlantHash,
    record::{Command, DeviceSeq, Forecast, Heartbeat, HourCounts, Readings},
};
use prost::Message as _;
use xxhash_rust::xxh3::xxh3_64;

mod wire;

/// Generated from `schemas/envelope.proto`.
#[expect(missing_docs, clippy::all, reason = "generated from the schema")]
pub mod pb {
    include!(concat!(env!("OUT_DIR"), "/heatstream.v1.rs"));
}

/// Sets that a decoder keeps before it starts anew; 65,536 devices are more than one partition carries.
pub const SETS_MAX: usize = 65_536;

/// Why bytes are not an envelope.
#[derive(Debug, thiserror::Error)]
pub enum DecodeError {
    /// Not protobuf of the schema.
    #[error("the record is not a protobuf Envelope")]
    Protobuf(#[from] prost::DecodeError),
    /// A field holds no valid id.
    #[error("field {field} is not an id")]
    Id {
        /// Which.
        field: &'static str,
        /// Why.
        source: InvalidId,
    },
    /// A field holds no valid JSON of its kind.
    #[error("field {field} does not hold the JSON that it should")]
    Json {
        /// Which.
        field: &'static str,
        /// Why.
        source: serde_json::Error,
    },
    /// The record has no body that this version knows.
    #[error("the record has no known body; a newer gateway may have written it: update this process first")]
    NoBody,
    /// Columns of a readings record do not fit together.
    #[error("column {column} of a readings record has {found} entries instead of {expected}")]
    Column {
        /// Which.
        column: &'static str,
        /// Its entries.
        found: usize,
        /// Entries of the values' column.
        expected: usize,
    },
    /// A number stands for nothing that this version knows.
    #[error("{number} is not a known {what}")]
    Number {
        /// Of what list.
        what: &'static str,
        /// The number.
        number: u64,
    },
}

/// Decodes records; keeps what repeats. One per reader.
#[derive(Debug, Default)]
pub struct EnvelopeDecoder {
    sets: HashTable<KnownSet>,
    /// Factor and summand of each signal of the sets, side by side: a record needs nothing else of its signals.
    conversions: Vec<Conversion>,
    networks: HashTable<NetworkId>,
    gateways: HashTable<GatewayId>,
    /// Used again for each set's hash.
    hashed: Vec<u8>,
}

/// A set that was seen. It is known again by its bytes and nothing less: two sets of one hash would give a device's readings
/// to another.
#[derive(Debug)]
struct KnownSet {
    bytes: Box<[u8]>,
    set: Arc<SignalSet>,
    /// Its signals' places in [`EnvelopeDecoder::conversions`].
    conversions: Range<usize>,
}

/// From a raw value to SI, as [`SignalDecl::value_of`] does it.
#[derive(Debug, Clone, Copy)]
struct Conversion {
    scale: f64,
    offset: f64,
}

impl Conversion {
    fn value_of(self, raw: f64) -> f64 {
        raw * self.scale + self.offset
    }
}

impl EnvelopeDecoder {
    /// Decodes one record.
    pub fn decode(&mut self, bytes: Bytes) -> Result<Envelope, DecodeError> {
        match self.decode_plain(&bytes) {
            Some(envelope) => Ok(envelope),
            None => self.decode_any(bytes),
        }
    }

    /// Decodes a record of readings in the plain form; `None` if it has another or a fault, which [`Self::decode_any`] names.
    fn decode_plain(&mut self, bytes: &[u8]) -> Option<Envelope> {
        let record = wire::read(bytes)?;
        let columns = &record.readings;
        let lane = match columns.lane {
            0 => Lane::Live,
            1 => Lane::Backfill,
            _ => return None,
        };
        let network = self.network(record.network).ok()?;
        let (set, conversions) = self.set(&network, columns.signal_set).ok()?;
        let readings = wire::rows(&self.conversions[conversions], columns)?;
        let device_seq = columns.device_seq.map(|seq| DeviceSeq { boot: columns.boot.into(), seq });
        let gateway = self.gateway(record.gateway).ok()?;
        Some(Envelope {
            network: Some(network),
            origin: Origin { gateway, epoch: record.epoch, seq: record.seq },
            ingest_time: IngestTime::from_micros(record.ingest_time_us),
            messages: record.messages,
            body: Body::Readings(Readings { set, lane, device_seq, readings }),
        })
    }

    fn decode_any(&mut self, bytes: Bytes) -> Result<Envelope, DecodeError> {
        let record = pb::Envelope::decode(bytes)?;
        let network = if record.network.is_empty() { None } else { Some(self.network(&record.network)?) };
        let body = record.body.ok_or(DecodeError::NoBody)?;
        let body = if let pb::envelope::Body::Readings(readings) = body {
            let network =
                network.clone().ok_or(DecodeError::Id { field: "network", source: InvalidId::Empty })?;
            Body::Readings(self.readings(network, readings)?)
        } else {
            small_body(body)?
        };
        Ok(Envelope {
            network,
            origin: Origin { gateway: self.gateway(&record.gateway)?, epoch: record.epoch, seq: record.seq },
            ingest_time: IngestTime::from_micros(record.ingest_time_us),
            messages: record.messages,
            body,
        })
    }

    /// Signal sets that the decoder holds.
    pub fn sets(&self) -> usize {
        self.sets.len()
    }

    fn readings(&mut self, network: NetworkId, readings: pb::Readings) -> Result<Readings, DecodeError> {
        let lane = match pb::Lane::try_from(readings.lane) {
            Ok(pb::Lane::Live) => Lane::Live,
            Ok(pb::Lane::Backfill) => Lane::Backfill,
            Err(_) => return Err(number("lane", readings.lane)),
        };
        let device_seq =
            readings.device_seq.map(|seq| DeviceSeq { boot: readings.boot.as_str().into(), seq });
        let (set, _) = self.set(&network, &readings.signal_set)?;
        let rows = rows(&set, &readings)?;
        Ok(Readings { set, lane, device_seq, readings: rows })
    }

    fn set(
        &mut self,
        network: &NetworkId,
        bytes: &[u8],
    ) -> Result<(Arc<SignalSet>, Range<usize>), DecodeError> {
        let id = set_id(network, bytes, &mut self.hashed);
        let is_it =
            |known: &KnownSet| known.set.id == id && *known.bytes == *bytes && known.set.network == *network;
        if let Some(known) = self.sets.find(id.0, is_it) {
            return Ok((Arc::clone(&known.set), known.conversions.clone()));
        }
        if self.sets.len() >= SETS_MAX {
            self.sets.clear();
            self.conversions.clear();
        }
        let set = Arc::new(decode_set(network.clone(), id, bytes)?);
        let first = self.conversions.len();
        let conversion = |signal: &SignalDecl| Conversion { scale: signal.scale, offset: signal.offset };
        self.conversions.extend(set.signals.iter().map(conversion));
        let conversions = first..self.conversions.len();
        let known = KnownSet { bytes: bytes.into(), set: Arc::clone(&set), conversions: conversions.clone() };
        self.sets.insert_unique(id.0, known, |known| known.set.id.0);
        Ok((set, conversions))
    }

    fn network(&mut self, text: &str) -> Result<NetworkId, DecodeError> {
        intern(&mut self.networks, text, NetworkId::as_str, NetworkId::new, "network")
    }

    fn gateway(&mut self, text: &str) -> Result<GatewayId, DecodeError> {
        intern(&mut self.gateways, text, GatewayId::as_str, GatewayId::new, "gateway")
    }
}

fn intern<T: Clone>(
    table: &mut HashTable<T>,
    text: &str,
    as_str: fn(&T) -> &str,
    new: fn(&str) -> Result<T, InvalidId>,
    field: &'static str,
) -> Result<T, DecodeError> {
    let hash = xxh3_64(text.as_bytes());
    if let Some(id) = table.find(hash, |id| as_str(id) == text) {
        return Ok(id.clone());
    }
    if table.len() >= SETS_MAX {
        table.clear();
    }
    let id = new(text).map_err(|source| DecodeError::Id { field, source })?;
    table.insert_unique(hash, id.clone(), |id| xxh3_64(as_str(id).as_bytes()));
    Ok(id)
}

fn number(what: &'static str, number: impl TryInto<u64>) -> DecodeError {
    DecodeError::Number { what, number: number.try_into().unwrap_or(u64::MAX) }
}

/// The id of a set: xxh3-64 over the network's text, a zero byte and the set's encoding.
fn set_id(network: &NetworkId, set: &[u8], hashed: &mut Vec<u8>) -> SignalSetId {
    // In one piece: to set up a hash in pieces costs more than the copy.
    hashed.clear();
    hashed.extend_from_slice(network.as_str().as_bytes());
    hashed.push(0);
    hashed.extend_from_slice(set);
    SignalSetId(xxh3_64(hashed))
}

fn decode_set(network: NetworkId, id: SignalSetId, bytes: &[u8]) -> Result<SignalSet, DecodeError> {
    let set = pb::SignalSet::decode(bytes)?;
    let site = SiteId::new(&set.site).map_err(|source| DecodeError::Id { field: "site", source })?;
    let device = DeviceId::new(&set.device).map_err(|source| DecodeError::Id { field: "device", source })?;
    let mut signals = set
        .signals
        .into_iter()
        .map(|signal| {
            Ok(SignalDecl {
                name: SignalName::new(&signal.name)
                    .map_err(|source| DecodeError::Id { field: "name", source })?,
                unit: signal.unit.into(),
                raw_unit: signal.raw_unit.into(),
                scale: signal.scale.unwrap_or(1.0),
                offset: signal.offset,
            })
        })
        .collect::<Result<Vec<_>, DecodeError>>()?;
    // They were collected in place of prost's, which take more; a set stays for long.
    signals.shrink_to_fit();
    Ok(SignalSet { id, network, site, device, signals })
}

fn rows(set: &SignalSet, readings: &pb::Readings) -> Result<Vec<Reading>, DecodeError> {
    let expected = readings.raw.len();
    let column = |column: &'static str, found: usize| {
        if found == 0 || found == expected {
            Ok(())
        } else {
            Err(DecodeError::Column { column, found, expected })
        }
    };
    column("time_delta_us", readings.time_delta_us.len())?;
    column("signal", readings.signal.len())?;
    column("quality", readings.quality.len())?;
    column("code", readings.code.len())?;
    if readings.signal.is_empty() && expected > set.signals.len() {
        return Err(DecodeError::Column { column: "signal", found: set.signals.len(), expected });
    }
    let mut rows = Vec::with_capacity(expected);
    for (index, &raw) in readings.raw.iter().enumerate() {
        let signal = match readings.signal.get(index) {
            Some(&signal) => signal,
            None => u32::try_from(index).map_err(|_| number("signal", index))?,
        };
        let decl = set.signals.get(signal as usize).ok_or_else(|| number("signal", signal))?;
        let quality = readings.quality.get(index).copied().unwrap_or(0);
        let code = readings.code.get(index).copied().unwrap_or(0);
        let delta = readings.time_delta_us.get(index).copied().unwrap_or(0);
        rows.push(Reading {
            signal,
            event_time: EventTime::from_micros(readings.base_time_us.saturating_add(delta)),
            raw,
            value: decl.value_of(raw),
            quality: Quality::from_number(quality).ok_or_else(|| number("quality", quality))?,
            code: QualityCode::from_number(code).ok_or_else(|| number("quality code", code))?,
        });
    }
    Ok(rows)
}

fn small_body(body: pb::envelope::Body) -> Result<Body, DecodeError> {
    Ok(match body {
        pb::envelope::Body::Readings(_) => return Err(DecodeError::NoBody),
        pb::envelope::Body::Command(command) => Body::Command(Command {
            user: command.user,
            action: serde_json::from_str(&command.action_json)
                .map_err(|source| DecodeError::Json { field: "action_json", source })?,
        }),
        pb::envelope::Body::Ticket(ticket) => Body::Ticket(
            serde_json::from_str(&ticket.ticket_json)
                .map_err(|source| DecodeError::Json { field: "ticket_json", source })?,
        ),
        pb::envelope::Body::Forecast(forecast) => {
            let (found, expected) = (forecast.outdoor_celsius.len(), forecast.time_us.len());
            if found != expected {
                return Err(DecodeError::Column { column: "outdoor_celsius", found, expected });
            }
            Body::Forecast(Forecast {
                issued: EventTime::from_micros(forecast.issued_us),
                outdoor_celsius: forecast
                    .time_us
                    .into_iter()
                    .map(EventTime::from_micros)
                    .zip(forecast.outdoor_celsius)
                    .collect(),
            })
        }
        pb::envelope::Body::ModelActivated(model) => Body::ModelActivated(PlantHash(model.plant_hash)),
        pb::envelope::Body::Heartbeat(beat) => Body::Heartbeat(Heartbeat {
            hours: beat.hours.iter().map(hour_from_wire).collect(),
            records_in_partition: beat.records_in_partition,
            readings_in_partition: beat.readings_in_partition,
            last: beat.last,
        }),
    })
}

fn hour_from_wire(hour: &pb::HourCounts) -> HourCounts {
    HourCounts {
        hour_start_us: hour.hour_start_us,
        messages_received: hour.messages_received,
        messages_logged: hour.messages_logged,
        messages_rejected: hour.messages_rejected,
        readings_received: hour.readings_received,
        readings_logged: hour.readings_logged,
        readings_rejected: hour.readings_rejected,
        dead_letters: hour.dead_letters,
        messages_queued: hour.messages_queued,
        readings_queued: hour.readings_queued,
    }
}

fn hour_to_wire(hour: &HourCounts) -> pb::HourCounts {
    pb::HourCounts {
        hour_start_us: hour.hour_start_us,
        messages_received: hour.messages_received,
        messages_logged: hour.messages_logged,
        messages_rejected: hour.messages_rejected,
        readings_received: hour.readings_received,
        readings_logged: hour.readings_logged,
        readings_rejected: hour.readings_rejected,
        dead_letters: hour.dead_letters,
        messages_queued: hour.messages_queued,
        readings_queued: hour.readings_queued,
    }
}

/// Encodes the signals of a device for [`Draft::readings`]; worth keeping per device.
pub fn encode_set(site: &SiteId, device: &DeviceId, signals: &[SignalDecl]) -> Bytes {
    let set = pb::SignalSet {
        site: site.as_str().to_owned(),
        device: device.as_str().to_owned(),
        signals: signals
            .iter()
            .map(|signal| pb::Signal {
                name: signal.name.as_str().to_owned(),
                unit: signal.unit.as_ref().to_owned(),
                raw_unit: signal.raw_unit.as_ref().to_owned(),
                scale: Some(signal.scale),
                offset: signal.offset,
            })
            .collect(),
    };
    set.encode_to_vec().into()
}

/// A body that is encoded but for its number: the seq is known only when the record's turn in its partition comes.
#[derive(Debug, Clone)]
pub struct Draft {
    network: String,
    ingest_time: IngestTime,
    messages: u32,
    body: pb::envelope::Body,
}

impl Draft {
    /// A record of readings. `set` is from [`encode_set`]; readings refer to it.
    pub fn readings(
        network: &NetworkId,
        ingest_time: IngestTime,
        set: Bytes,
        lane: Lane,
        device_seq: Option<DeviceSeq>,
        readings: &[Reading],
    ) -> Self {
        let body = pb::envelope::Body::Readings(columns(set, lane, device_seq, readings));
        Self { network: network.as_str().to_owned(), ingest_time, messages: 1, body }
    }

    /// Any record.
    pub fn of(network: Option<&NetworkId>, ingest_time: IngestTime, messages: u32, body: &Body) -> Self {
        let network = network.map(|network| network.as_str().to_owned()).unwrap_or_default();
        Self { network, ingest_time, messages, body: body_to_wire(body) }
    }

    /// Sets how many messages it accounts for.
    #[must_use]
    pub fn with_messages(mut self, messages: u32) -> Self {
        self.messages = messages;
        self
    }

    /// Readings that it holds.
    pub fn readings_len(&self) -> usize {
        match &self.body {
            pb::envelope::Body::Readings(readings) => readings.raw.len(),
            pb::envelope::Body::Command(_)
            | pb::envelope::Body::Ticket(_)
            | pb::envelope::Body::Forecast(_)
            | pb::envelope::Body::ModelActivated(_)
            | pb::envelope::Body::Heartbeat(_) => 0,
        }
    }

    /// The network's text; empty for heartbeats.
    pub fn network(&self) -> &str {
        &self.network
    }

    /// Numbers and encodes it.
    pub fn encode(self, gateway: &GatewayId, epoch: u64, seq: u64) -> Bytes {
        let record = pb::Envelope {
            network: self.network,
            gateway: gateway.as_str().to_owned(),
            epoch,
            seq,
            ingest_time_us: self.ingest_time.as_micros(),
            messages: self.messages,
            body: Some(self.body),
        };
        record.encode_to_vec().into()
    }
}

/// Encodes a whole envelope.
pub fn encode(envelope: &Envelope) -> Bytes {
    let Origin { gateway, epoch, seq } = &envelope.origin;
    Draft::of(envelope.network.as_ref(), envelope.ingest_time, envelope.messages, &envelope.body)
        .encode(gateway, *epoch, *seq)
}

fn columns(set: Bytes, lane: Lane, device_seq: Option<DeviceSeq>, readings: &[Reading]) -> pb::Readings {
    let base = readings.first().map_or(0, |reading| reading.event_time.as_micros());
    let one_time = readings.iter().all(|reading| reading.event_time.as_micros() == base);
    let in_order = readings.iter().enumerate().all(|(index, reading)| reading.signal as usize == index);
    let good = readings.iter().all(|reading| reading.quality == Quality::Good);
    let plain = readings.iter().all(|reading| reading.code == QualityCode::None);
    let (boot, device_seq) = match device_seq {
        Some(DeviceSeq { boot, seq }) => (boot.into(), Some(seq)),
        None => (String::new(), None),
    };
    pb::Readings {
        signal_set: set,
        lane: match lane {
            Lane::Live => pb::Lane::Live,
            Lane::Backfill => pb::Lane::Backfill,
        }
        .into(),
        base_time_us: base,
        time_delta_us: if one_time {
            Vec::new()
        } else {
            readings.iter().map(|reading| reading.event_time.as_micros() - base).collect()
        },
        signal: if in_order { Vec::new() } else { readings.iter().map(|reading| reading.signal).collect() },
        raw: readings.iter().map(|reading| reading.raw).collect(),
        quality: if good {
            Bytes::new()
        } else {
            readings.iter().map(|reading| reading.quality as u8).collect::<Vec<u8>>().into()
        },
        code: if plain {
            Bytes::new()
        } else {
            readings.iter().map(|reading| reading.code as u8).collect::<Vec<u8>>().into()
        },
        device_seq,
        boot,
    }
}

fn body_to_wire(body: &Body) -> pb::envelope::Body {
    match body {
        Body::Readings(readings) => {
            let set = encode_set(&readings.set.site, &readings.set.device, &readings.set.signals);
            let columns = columns(set, readings.lane, readings.device_seq.clone(), &readings.readings);
            pb::envelope::Body::Readings(columns)
        }
        Body::Command(command) => pb::envelope::Body::Command(pb::Command {
            user: command.user.clone(),
            action_json: serde_json::to_string(&command.action).expect("an action has string keys only"),
        }),
        Body::Ticket(ticket) => pb::envelope::Body::Ticket(pb::Ticket {
            ticket_json: serde_json::to_string(ticket).expect("a ticket has string keys only"),
        }),
        Body::Forecast(forecast) => pb::envelope::Body::Forecast(pb::Forecast {
            issued_us: forecast.issued.as_micros(),
            time_us: forecast.outdoor_celsius.iter().map(|(time, _)| time.as_micros()).collect(),
            outdoor_celsius: forecast.outdoor_celsius.iter().map(|(_, celsius)| *celsius).collect(),
        }),
        Body::ModelActivated(hash) => {
            pb::envelope::Body::ModelActivated(pb::ModelActivated { plant_hash: hash.0 })
        }
        Body::Heartbeat(beat) => pb::envelope::Body::Heartbeat(pb::Heartbeat {
            hours: beat.hours.iter().map(hour_to_wire).collect(),
            records_in_partition: beat.records_in_partition,
            readings_in_partition: beat.readings_in_partition,
            last: beat.last,
        }),
    }
}

#[cfg(test)]
mod tests;
