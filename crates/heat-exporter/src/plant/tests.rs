use heat_model::{
    AppendTime, Body, Envelope, EventTime, FreshMask, Lane, Offset, Origin, Position, QualityCode, Reading,
    SignalDecl, SignalSet, SignalSetId, record::Readings,
};
use heat_view::Privacy;

use super::*;

const SECOND: i64 = 1_000_000;
const BOUNDS: TextBounds = TextBounds { series_max: 100, freshness_signals_max: 100 };

fn shard(partition: u32) -> Shard {
    Shard {
        partition: PartitionId(partition),
        table: Mutex::new(LiveTable::new(LiveSettings::default(), Privacy::default())),
        last_heartbeat: Mutex::new(IngestTime::from_micros(0)),
    }
}

/// One device's values, sent at `seconds`.
fn send(shard: &Shard, network: &str, site: &str, seconds: i64, values: &[(&str, &str, f64, Quality)]) {
    let mut id = 7_u64;
    for byte in format!("{network}/{site}/{}", values.len()).bytes() {
        id = id.wrapping_mul(31).wrapping_add(byte.into());
    }
    let signals = values.iter().map(|(name, unit, _, _)| SignalDecl {
        name: name.parse().unwrap(),
        unit: (*unit).into(),
        raw_unit: "".into(),
        scale: 1.0,
        offset: 0.0,
    });
    let set = SignalSet {
        id: SignalSetId(id),
        network: network.parse().unwrap(),
        site: site.parse().unwrap(),
        device: "plc".parse().unwrap(),
        signals: signals.collect(),
    };
    let readings = values.iter().enumerate().map(|(signal, &(_, _, value, quality))| Reading {
        signal: u32::try_from(signal).unwrap(),
        event_time: EventTime::from_micros(seconds * SECOND),
        raw: value,
        value,
        quality,
        code: QualityCode::None,
    });
    let envelope = Envelope {
        network: Some(set.network.clone()),
        origin: Origin { gateway: "g".parse().unwrap(), epoch: 1, seq: 0 },
        ingest_time: IngestTime::from_micros(seconds * SECOND),
        messages: 1,
        body: Body::Readings(Readings {
            readings: readings.collect(),
            set: Arc::new(set),
            lane: Lane::Live,
            device_seq: None,
        }),
    };
    let position = Position {
        partition: shard.partition,
        offset: Offset(0),
        append_time: AppendTime::from_micros(seconds * SECOND),
    };
    lock(&shard.table).apply(&position, &envelope, &FreshMask::all());
}

fn now(seconds: i64) -> IngestTime {
    IngestTime::from_micros(seconds * SECOND)
}

#[test]
fn a_familys_series_stand_together_across_networks_and_partitions() {
    let shards = [shard(0), shard(1)];
    for (shard, network) in shards.iter().zip(["east", "west"]) {
        send(
            shard,
            network,
            "st1",
            10,
            &[
                ("primary_supply_temperature", "degC", 81.2, Quality::Good),
                ("primary_supply_pressure", "Pa", 8e5, Quality::Good),
            ],
        );
    }
    let mut text = String::new();

    let written = PlantWriter::new(BOUNDS).write(&shards, now(15), &mut text);

    assert_eq!((written.series, written.dropped, written.signals), (4, 0, 4));
    let expected = "# HELP heat_supply_temperature_celsius Last current value of supply temperature, degC.\n\
        # TYPE heat_supply_temperature_celsius gauge\n\
        heat_supply_temperature_celsius{network=\"east\",site=\"st1\",device=\"plc\",circuit=\"primary\"} 81.2\n\
        heat_supply_temperature_celsius{network=\"west\",site=\"st1\",device=\"plc\",circuit=\"primary\"} 81.2\n";
    assert!(text.contains(expected), "{text}");
    assert_eq!(text.matches("# TYPE heat_supply_pressure_pascals").count(), 1);
    let age = "heat_signal_age_seconds{network=\"east\",site=\"st1\",device=\"plc\",circuit=\"primary\",\
        name=\"primary_supply_pressure\"} 5\n";
    assert!(text.contains(age), "{text}");
}

#[test]
fn an_expired_value_leaves_and_returns_when_it_is_sent_again() {
    let shards = [shard(0)];
    let value = [("supply_temperature", "degC", 81.2, Quality::Good)];
    for step in 0..5 {
        send(&shards[0], "town", "st1", step * 60, &value);
    }
    let mut writer = PlantWriter::new(BOUNDS);
    let mut scrape = |seconds| {
        let mut text = String::new();
        writer.write(&shards, now(seconds), &mut text);
        text.contains("heat_supply_temperature_celsius{")
    };
    assert!(scrape(240 + 180));
    assert!(!scrape(240 + 181));

    send(&shards[0], "town", "st1", 500, &value);
    assert!(scrape(500));
}

#[test]
fn the_cap_on_series_bites_and_says_so() {
    let shards = [shard(0)];
    for site in 0..5 {
        let value = [("supply_temperature", "degC", 81.2, Quality::Good)];
        send(&shards[0], "town", &format!("st{site}"), 0, &value);
    }
    let mut text = String::new();
    let bounds = TextBounds { series_max: 3, freshness_signals_max: 4 };

    let written = PlantWriter::new(bounds).write(&shards, now(1), &mut text);

    assert_eq!((written.series, written.dropped, written.freshness_omitted), (3, 2, true));
    assert_eq!(text.matches("heat_supply_temperature_celsius{").count(), 3);
    assert!(!text.contains("heat_signal_age_seconds"));
}

#[test]
fn a_bad_value_is_not_a_value_but_its_quality_is_told() {
    let shards = [shard(0)];
    send(&shards[0], "town", "st1", 0, &[("supply_temperature", "degC", f64::NAN, Quality::Bad)]);
    let mut text = String::new();

    PlantWriter::new(BOUNDS).write(&shards, now(1), &mut text);

    assert!(!text.contains("heat_supply_temperature_celsius{"), "{text}");
    assert!(text.contains("name=\"supply_temperature\"} 2\n"), "{text}");
}

#[test]
fn label_texts_are_escaped_and_other_names_carry_name_and_unit() {
    let shards = [shard(0)];
    send(&shards[0], "a\"b", "st1", 0, &[("vibration", "m/s2", 1.5e-9, Quality::Good)]);
    let mut text = String::new();

    PlantWriter::new(BOUNDS).write(&shards, now(1), &mut text);

    let expected = "heat_signal_value{network=\"a\\\"b\",site=\"st1\",device=\"plc\",name=\"vibration\",unit=\"m/s2\"} \
        1.5e-9\n";
    assert!(text.contains(expected), "{text}");
}
