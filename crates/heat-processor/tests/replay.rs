//! Law 3: the same log gives the same outputs, byte for byte, run straight or restarted at any record.
#![expect(clippy::unwrap_used, reason = "what helps a test fails by panicking, too")]

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use bytes::Bytes;
use heat_codec::envelope::{Draft, encode_set};
use heat_detect::{DetectSettings, Output, PartitionCore, Snapshot};
use heat_ledger::{admission::Admission, repeats::RepeatSettings};
use heat_model::{
    AppendTime, Body, EventTime, Lane, NetworkId, Offset, PartitionId, Position, QualityCode, Reading,
    SignalDecl,
    incident::{ChangeKind, Class, Priority},
    plant::{PlantHash, PlantModel},
    record::{Heartbeat, NextOffset},
    time::MICROS_PER_SECOND,
    unit::conversion,
};
use heat_processor::{
    part::{OutputPlace, Part, Taken, place},
    snapshot::{self, Cut},
};
use heat_sim::{
    City, CityPlan, DeviceMessage, Scan, Script,
    event::{Happening, ScriptedEvent},
    script,
};

const START: EventTime = EventTime::from_micros(1_763_942_400 * MICROS_PER_SECOND);
type Models = BTreeMap<PlantHash, Arc<PlantModel>>;

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

/// The same log with another plant model taking effect in the middle of the burst, and the first one again later.
fn log_with_changes() -> (Arc<PlantModel>, Models, Vec<(Position, Bytes)>) {
    let (plant, records) = log();
    let mut other = (*plant).clone();
    let gone = other.sites.pop().unwrap();
    other.pipes.retain(|pipe| gone.node.as_ref() != Some(&pipe.to) && gone.node.as_ref() != Some(&pipe.from));
    for pipe in &mut other.pipes {
        pipe.length_m = pipe.length_m.map(|length| length * 1.5);
    }
    let (first, second) = (PlantHash(1), PlantHash(2));
    let models = Models::from([(first, Arc::clone(&plant)), (second, Arc::new(other))]);
    let (third, half) = (records.len() / 3, records.len() / 2);
    let mut changed = Vec::new();
    for (index, (position, payload)) in records.into_iter().enumerate() {
        let hash = match index {
            5 => Some(first),
            // Again, as a second gateway would.
            6 => Some(first),
            _ if index == half => Some(second),
            _ if index == half + third => Some(first),
            _ => None,
        };
        if let Some(hash) = hash {
            let received = heat_model::IngestTime::from_micros(position.append_time.as_micros());
            let draft = Draft::of(None, received, 0, &Body::ModelActivated(hash));
            // From another gateway, so that the numbers of the first stay without a hole.
            let payload = draft.encode(&"other".parse().unwrap(), 1, changed.len() as u64);
            let offset = Offset(changed.len() as u64);
            changed.push((Position { offset, ..position.clone() }, payload));
        }
        changed.push((Position { offset: Offset(changed.len() as u64), ..position }, payload));
    }
    (plant, models, changed)
}

fn core(plant: &Arc<PlantModel>) -> PartitionCore {
    PartitionCore::new(DetectSettings::default(), Arc::clone(plant))
}

fn run(part: &mut Part, records: &[(Position, Bytes)]) -> Vec<Output> {
    let mut out = Vec::new();
    for (position, payload) in records {
        assert_eq!(part.take(position, payload.clone(), &mut out).unwrap(), Taken::Done);
    }
    out
}

/// As the role does: a model is offered when a record lacks it.
fn run_with(part: &mut Part, models: &Models, records: &[(Position, Bytes)]) -> Vec<Output> {
    let mut out = Vec::new();
    for (position, payload) in records {
        if let Taken::LacksModel(hash) = part.take(position, payload.clone(), &mut out).unwrap() {
            let before = part.next_offset();
            assert!(before.0 <= position.offset.0, "a record that lacks its model is not taken");
            part.offer_model(hash, Arc::clone(&models[&hash]));
            assert_eq!(part.take(position, payload.clone(), &mut out).unwrap(), Taken::Done);
        }
    }
    out
}

fn json(outputs: &[Output]) -> Vec<String> {
    outputs.iter().map(|output| serde_json::to_string(output).unwrap()).collect()
}

/// The state as it comes back from the topic.
fn stored(core: &PartitionCore, cut: usize) -> Snapshot {
    let mut chunks = Vec::new();
    let pointer = Cut::of(core, 1, NextOffset(cut as u64), NextOffset(0)).encode(|chunk| {
        chunks.push(chunk);
        true
    });
    snapshot::decode(&pointer.unwrap(), |number| chunks.get(number as usize).cloned()).unwrap()
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
    let state = stored(before.core(), cut);
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
fn a_restart_at_any_record_of_a_log_with_model_changes_changes_no_byte() {
    let (plant, models, records) = log_with_changes();
    let mut whole = Part::new(core(&plant), REPEATS, NextOffset(0), None);
    let straight = json(&run_with(&mut whole, &models, &records));
    assert_eq!(whole.core().model(), Some(PlantHash(1)));
    let (_, unchanged) = log();
    let without = run(&mut Part::new(core(&plant), REPEATS, NextOffset(0), None), &unchanged);
    assert_ne!(json(&without).len(), 0);
    assert!(straight.iter().any(|output| output.contains("\"kind\":\"opened\"")), "{straight:?}");

    for cut in (0..records.len()).step_by(records.len() / 40) {
        let mut before = Part::new(core(&plant), REPEATS, NextOffset(0), None);
        let mut joined = json(&run_with(&mut before, &models, &records[..cut]));
        let state = stored(before.core(), cut);
        // Whatever the configuration says now: the snapshot names the model that it needs, and the log has it.
        let mut restored = PartitionCore::new(DetectSettings::default(), Arc::clone(&plant));
        if let Some(hash) = state.model() {
            restored.offer_model(hash, Arc::clone(&models[&hash]));
        }
        restored.restore(state).unwrap();
        let mut after = Part::new(restored, REPEATS, NextOffset(cut as u64), None);
        let from = usize::try_from(Admission::read_back(&REPEATS, NextOffset(cut as u64)).0).unwrap();
        joined.extend(json(&run_with(&mut after, &models, &records[from..])));
        assert_eq!(joined, straight, "restarted at record {cut} of {}", records.len());
    }
}

#[test]
fn the_model_on_the_log_decides_alike_whatever_the_configuration_says() {
    let (plant, models, records) = log_with_changes();
    // The first activation is among the first records, before anything can be judged.
    let configured = run_with(&mut Part::new(core(&plant), REPEATS, NextOffset(0), None), &models, &records);
    let nothing = Arc::new(PlantModel::default());
    let bare = run_with(&mut Part::new(core(&nothing), REPEATS, NextOffset(0), None), &models, &records);
    let opened = |outputs: &[Output]| -> Vec<String> {
        let events = outputs.iter().filter(|output| matches!(output, Output::Event(_)));
        events.map(|output| serde_json::to_string(output).unwrap()).collect()
    };
    assert_eq!(opened(&bare), opened(&configured));
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

/// Fifteen days of a network on its way from steam to hot water, by quarter hours: ten on steam, five converted, a hole in
/// the steam main on the last.
fn conversion_log() -> (Arc<PlantModel>, Vec<(Position, Bytes)>) {
    let mut city = City::new(CityPlan::conversion(START), 1, START).unwrap();
    let network = city.plant().networks[0].id.clone();
    let leak = ScriptedEvent {
        name: None,
        network: network.clone(),
        after: Duration::from_hours(14 * 24),
        lasts: Duration::from_hours(24),
        what: Happening::SteamLeak { loss_kg_s: 1.2 },
    };
    city.schedule(&Script { events: vec![leak] }, START).unwrap();
    let plant = Arc::new(city.plant().clone());
    let mut records = Vec::new();
    for quarter in 1..=15 * 96 {
        let now_us = START.as_micros() + quarter * 900 * MICROS_PER_SECOND;
        let now = AppendTime::from_micros(now_us);
        city.advance(EventTime::from_micros(now_us), Scan::HISTORY, &mut |message| {
            push(&mut records, now, readings(&network, message));
        });
    }
    (plant, records)
}

#[test]
fn a_conversion_from_steam_is_no_leak_a_hole_in_the_steam_main_is_and_a_restart_changes_no_byte() {
    let (plant, records) = conversion_log();
    let straight = run(&mut Part::new(core(&plant), REPEATS, NextOffset(0), None), &records);
    let urgent: Vec<_> = straight
        .iter()
        .filter_map(|output| match output {
            Output::Event(event) if event.change.kind == ChangeKind::Opened => Some(&event.incident),
            Output::Event(_)
            | Output::Status(_)
            | Output::Refused(_)
            | Output::Ticket(_)
            | Output::Forgotten(_) => None,
        })
        // What the pipes lose all the time is a share of what circulates, and that is little while so many are on steam.
        .filter(|incident| incident.class.priority() < Priority::P4)
        .collect();
    let [leak] = urgent.as_slice() else {
        panic!("{:#?}", urgent.iter().map(|incident| &incident.text_en).collect::<Vec<_>>())
    };
    assert_eq!((leak.class, leak.kind.as_deref()), (Class::LeakAbrupt, Some("steam")));
    let begun = START.plus(Duration::from_hours(14 * 24)).as_micros();
    let delay_s = (leak.opened.as_micros() - begun) / MICROS_PER_SECOND;
    assert!((0..2 * 3_600).contains(&delay_s), "told {delay_s} s after its onset");
    assert!((leak.loss_kg_s.unwrap() - 1.2).abs() < 0.4, "{:?}", leak.loss_kg_s);

    let straight = json(&straight);
    let per_day = records.len() / 15;
    for cut in [9 * per_day, 10 * per_day + 7, 14 * per_day + per_day / 16] {
        let (first, second) = restarted(&plant, &records, cut, None);
        let mut joined = json(&first);
        joined.extend(json(&second));
        assert_eq!(joined, straight, "restarted at record {cut} of {}", records.len());
    }
}

#[test]
fn the_level_that_check_says_of_a_network_is_the_one_its_detectors_work_with() {
    let (plant, records) = log();
    let network = plant.networks[0].id.clone();
    let without = |strip: fn(&mut PlantModel)| {
        let mut plant = (*plant).clone();
        strip(&mut plant);
        plant
    };
    let mut levels = Vec::new();
    for plant in [
        without(|_| {}),
        without(|plant| plant.valves.clear()),
        without(|plant| plant.nodes.iter_mut().for_each(|node| node.elevation_m = None)),
        without(|plant| plant.sites.iter_mut().for_each(|site| site.node = None)),
        without(|plant| {
            plant.pipes.clear();
            plant.valves.clear();
        }),
    ] {
        let report = heat_codec::plant::report(&heat_codec::plant::write_tables(&plant));
        let said = report.levels.iter().find(|level| level.network == network).unwrap().level;
        let mut part = Part::new(core(&Arc::new(plant)), REPEATS, NextOffset(0), None);
        run(&mut part, &records[..20]);
        let status = part.core().status();
        assert_eq!(said, status[0].level, "{report}");
        levels.push(said);
    }
    levels.dedup();
    assert_eq!(levels.len(), 3, "three levels were compared: {levels:?}");
}
