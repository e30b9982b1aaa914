//! Measures a scrape's text of 100,000 plant values, and the table's ingest rate: `cargo run --release -p heat-exporter
//! --example render`.
#![expect(clippy::print_stdout, clippy::cast_precision_loss, reason = "an example prints its figures")]

use std::sync::{Arc, Mutex};

use heat_exporter::plant::{PlantWriter, Shard, TextBounds};
use heat_model::{
    AppendTime, Body, Envelope, EventTime, FreshMask, IngestTime, Lane, Offset, Origin, PartitionId,
    Position, Quality, QualityCode, Reading, SignalDecl, SignalSet, SignalSetId, record::Readings,
};
use heat_runtime::Clock;
use heat_view::{LiveSettings, LiveTable, Privacy};

const STATIONS: u64 = 5_000;
const NAMES: [&str; 10] = [
    "primary_supply_temperature",
    "primary_return_temperature",
    "secondary_supply_temperature",
    "secondary_return_temperature",
    "outdoor_temperature",
    "steam_temperature",
    "condensate_temperature",
    "set_point_temperature",
    "primary_make_up_temperature",
    "secondary_make_up_temperature",
];

fn main() {
    let shards: Vec<Shard> = (0..2)
        .map(|partition| Shard {
            partition: PartitionId(partition),
            table: Mutex::new(LiveTable::new(LiveSettings::default(), Privacy::default())),
            last_heartbeat: Mutex::new(IngestTime::from_micros(0)),
        })
        .collect();
    let mut records: Vec<(usize, Envelope)> =
        (0..2 * STATIONS).map(|number| (usize::from(number >= STATIONS), record(number))).collect();

    let clock = Clock;
    for round in 0..5 {
        for (_, envelope) in &mut records {
            if let Body::Readings(record) = &mut envelope.body {
                record
                    .readings
                    .iter_mut()
                    .for_each(|reading| reading.event_time = EventTime::from_micros(1_000_000 * round));
            }
        }
        let begun = clock.instant();
        let mut readings = 0;
        for (shard, envelope) in &records {
            let position = Position {
                partition: PartitionId(0),
                offset: Offset(0),
                append_time: AppendTime::from_micros(1_000_000 * (round + 1)),
            };
            let mut table = shards[*shard].table.lock().expect("nobody panics here");
            table.apply(&position, envelope, &FreshMask::all());
            readings += NAMES.len();
        }
        let seconds = clock.instant().duration_since(begun).as_secs_f64();
        println!(
            "applied {readings} readings in {:.1} ms: {:.0}/s",
            seconds * 1e3,
            readings as f64 / seconds
        );
    }

    let mut writer = PlantWriter::new(TextBounds { series_max: 200_000, freshness_signals_max: 20_000 });
    for _ in 0..5 {
        let mut text = String::new();
        let begun = clock.instant();
        let written = writer.write(&shards, IngestTime::from_micros(6_000_000), &mut text);
        let seconds = clock.instant().duration_since(begun).as_secs_f64();
        println!("wrote {} series, {} bytes in {:.1} ms", written.series, text.len(), seconds * 1e3);
    }
}

fn record(number: u64) -> Envelope {
    let set = Arc::new(SignalSet {
        id: SignalSetId(number),
        network: if number < STATIONS { "east" } else { "west" }.parse().expect("an id"),
        site: format!("station-{number}").parse().expect("an id"),
        device: "plc".parse().expect("an id"),
        signals: NAMES
            .iter()
            .map(|name| SignalDecl {
                name: name.parse().expect("an id"),
                unit: "degC".into(),
                raw_unit: "".into(),
                scale: 1.0,
                offset: 0.0,
            })
            .collect(),
    });
    let readings = (0_u32..10)
        .map(|signal| {
            let value = 40.0 + f64::from(signal) * 4.3 + (number % 97) as f64 * 0.013;
            Reading {
                signal,
                event_time: EventTime::from_micros(1),
                raw: value,
                value,
                quality: Quality::Good,
                code: QualityCode::None,
            }
        })
        .collect();
    Envelope {
        network: Some(set.network.clone()),
        origin: Origin { gateway: "g".parse().expect("an id"), epoch: 1, seq: number },
        ingest_time: IngestTime::from_micros(1),
        messages: 1,
        body: Body::Readings(Readings { set, lane: Lane::Live, device_seq: None, readings }),
    }
}
