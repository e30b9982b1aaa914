//! Law 3: the same log gives the same outputs, byte for byte, run straight or restarted at any record.
#![expect(clippy::unwrap_used, reason = "what helps a test fails by panicking, too")]

use std::sync::Arc;

use bytes::Bytes;
use heat_codec::envelope::{Draft, encode_set};
use heat_detect::{DetectSettings, Output, PartitionCore};
use heat_ledger::{admission::Admission, repeats::RepeatSettings};
use heat_model::{
    AppendTime, Body, EventTime, Lane, NetworkId, Offset, PartitionId, Position, QualityCode, Reading,
    SignalDecl,
    incident::{ChangeKind, Class},
    plant::PlantModel,
    record::{Heartbeat, NextOffset},
    time::MICROS_PER_SECOND,
    unit::conversion,
};
use heat_processor::{
    part::{OutputPlace, Part, place},
    snapshot,
};
use heat_sim::{City, CityPlan, DeviceMessage, Scan, script};

const START: EventTime = EventTime::from_micros(1_763_942_400 * MICROS_PER_SECOND);
const REPEATS: RepeatSettings = RepeatSettings { block_records: 256, block_readings_max: 100_000 };

/// A partition with a minute and a half of the demo city's first network, its burst included.
fn log() -> (Arc<PlantModel>, Vec<(Position, Bytes)>) {
    let mut city = City::new(CityPlan::demo(), 1, START).unwrap();
    let script = script::demo(city.plant());
    city.schedule(&script, START).unwrap();
    let network = city.plant().networks[0].id.clone();
    let plant = Arc::new(city.plant().clone());
    let mut records = Vec::new();
    for second in 1..=90 {
        let now_us = START.as_micros() + second * MICROS_PER_SECOND;
        let now = AppendTime::from_micros(now_us);
        city.advance(EventTime::from_micros(now_us), Scan::Live, &mut |message| {
            if *message.network == network {
                push(&mut records, now, readings(&network, message));
            }
        });
        let received = heat_model::IngestTime::from_micros(now_us);
        push(&mut records, now, Draft::of(None, received, 0, &Body::Heartbeat(Heartbeat::default())));
    }
    (plant, records)
}

fn push(records: &mut Vec<(Position, Bytes)>, append_time: AppendTime, draft: Draft) {
    let offset = Offset(records.len() as u64);
    let gateway = "gw".parse().unwrap();
    let position = Position { partition: PartitionId(0), offset, append_time };
    records.push((position, draft.encode(&gateway, 1, offset.0)));
}

fn readings(network: &NetworkId, message: &DeviceMessage<'_>) -> Draft {
    let mut signals = Vec::new();
    let mut readings = Vec::new();
    for (index, (signal, value)) in (0u32..).zip(message.values()) {
        let unit = (!signal.unit.is_empty()).then_some(signal.unit);
        let (si, scale, offset) = conversion(signal.name.as_str(), unit).unwrap();
        let decl =
            SignalDecl { name: signal.name.clone(), unit: si, raw_unit: signal.unit.into(), scale, offset };
        readings.push(Reading {
            signal: index,
            event_time: message.time,
            raw: value.raw,
            value: decl.value_of(value.raw),
            quality: value.quality,
            code: QualityCode::None,
        });
        signals.push(decl);
    }
    let set = encode_set(message.site, message.device, &signals);
    let received = heat_model::IngestTime::from_micros(message.time.as_micros());
    Draft::readings(network, received, set, Lane::Live, None, &readings)
}

fn core(plant: &Arc<PlantModel>) -> PartitionCore {
    PartitionCore::new(DetectSettings::default(), Arc::clone(plant))
}

fn run(part: &mut Part, records: &[(Position, Bytes)]) -> Vec<Output> {
    let mut out = Vec::new();
    for (position, payload) in records {
        part.take(position, payload.clone(), &mut out).unwrap();
    }
    out
}

fn json(outputs: &[Output]) -> Vec<String> {
    outputs.iter().map(|output| serde_json::to_string(output).unwrap()).collect()
}

/// Runs up to `cut`, stores the state, and goes on in a new part as after a restart; `said` is what was published.
fn restarted(
    plant: &Arc<PlantModel>,
    records: &[(Position, Bytes)],
    cut: usize,
    said: Option<OutputPlace>,
) -> (Vec<Output>, Vec<Output>) {
    let mut before = Part::new(core(plant), REPEATS, NextOffset(0), None);
    let first = run(&mut before, &records[..cut]);
    let encoded = snapshot::encode(before.core(), 1, NextOffset(cut as u64), NextOffset(0)).unwrap();
    let chunks = encoded.chunks;
    let state = snapshot::decode(&encoded.pointer, |number| chunks.get(number as usize).cloned()).unwrap();
    let mut core = core(plant);
    core.restore(state).unwrap();
    let mut after = Part::new(core, REPEATS, NextOffset(cut as u64), said);
    let from = usize::try_from(Admission::read_back(&REPEATS, NextOffset(cut as u64)).0).unwrap();
    let second = run(&mut after, &records[from..]);
    (first, second)
}

#[test]
fn a_restart_at_any_record_changes_no_byte_of_what_is_said() {
    let (plant, records) = log();
    let straight = run(&mut Part::new(core(&plant), REPEATS, NextOffset(0), None), &records);
    let bursts = straight.iter().filter(|output| {
        matches!(output, Output::Event(event)
            if event.change.kind == ChangeKind::Opened && event.incident.class == Class::Burst)
    });
    assert_eq!(bursts.count(), 1, "the log holds one burst, or this test proves nothing");
    let straight = json(&straight);

    for cut in (0..records.len()).step_by(records.len() / 60) {
        let (first, second) = restarted(&plant, &records, cut, None);
        let mut joined = json(&first);
        joined.extend(json(&second));
        assert_eq!(joined, straight, "restarted at record {cut} of {}", records.len());
    }
}

#[test]
fn what_was_published_before_a_crash_is_not_published_again() {
    let (plant, records) = log();
    let straight = run(&mut Part::new(core(&plant), REPEATS, NextOffset(0), None), &records);
    let said: Vec<OutputPlace> = straight.iter().filter_map(place).collect();

    // The snapshot is old, everything was published since: nothing that has a place may come again.
    let (_, second) = restarted(&plant, &records, records.len() / 10, said.last().copied());

    assert!(second.iter().filter_map(place).next().is_none());
    assert!(!said.is_empty());
}
