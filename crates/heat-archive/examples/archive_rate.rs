//! How fast one core archives, how many bytes a reading takes, and how much memory: from decoded records of ten
//! readings each to published files, on noisy data quantised as meters do.
//!
//! `cargo run --release -p heat-archive --example archive_rate -- [readings] [signals] [grid seconds] [networks] [folder]`
//!
//! With a folder the archive is kept there.
#![expect(clippy::print_stdout, reason = "a program that prints its result")]

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use heat_archive::{Archive, CommitWriter, Keep, RotationSettings};
use heat_model::{
    AppendTime, Body, Envelope, EventTime, IngestTime, Lane, NetworkId, Offset, Origin, PartitionId,
    Position, Quality, QualityCode, Reading, SignalSet, SignalSetId,
    reading::SignalDecl,
    record::{NextOffset, Readings},
};
use parquet::file::reader::{FileReader, SerializedFileReader};

const PER_MESSAGE: usize = 10;

/// (name, unit received, unit, factor, offset, level, swing, noise, step) of a station's signals.
type Kind = (&'static str, &'static str, &'static str, f64, f64, f64, f64, f64, f64);
const KINDS: [Kind; PER_MESSAGE] = [
    ("primary_supply_temperature", "degC", "degC", 1.0, 0.0, 92.0, 6.0, 0.3, 0.1),
    ("primary_return_temperature", "degC", "degC", 1.0, 0.0, 46.0, 3.0, 0.3, 0.1),
    ("primary_supply_pressure", "MPa", "Pa", 1e6, 0.0, 0.82, 0.02, 0.004, 0.001),
    ("primary_return_pressure", "MPa", "Pa", 1e6, 0.0, 0.41, 0.02, 0.004, 0.001),
    ("primary_supply_flow", "m3/h", "m3/s", 1.0 / 3600.0, 0.0, 38.0, 4.0, 0.4, 0.01),
    ("secondary_supply_temperature", "degC", "degC", 1.0, 0.0, 47.0, 3.0, 0.2, 0.1),
    ("secondary_return_temperature", "degC", "degC", 1.0, 0.0, 39.0, 2.0, 0.2, 0.1),
    ("secondary_supply_pressure", "MPa", "Pa", 1e6, 0.0, 0.45, 0.01, 0.003, 0.001),
    ("make_up_flow", "m3/h", "m3/s", 1.0 / 3600.0, 0.0, 0.4, 0.1, 0.05, 0.01),
    ("heat_power", "kW", "W", 1e3, 0.0, 1900.0, 200.0, 20.0, 1.0),
];

/// A small generator of reproducible noise (xorshift64*).
struct Noise(u64);

impl Noise {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    fn unit(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1_u64 << 53) as f64
    }

    fn normal(&mut self) -> f64 {
        (0..6).map(|_| self.unit()).sum::<f64>() - 3.0
    }
}

struct Plant {
    sets: Vec<Arc<SignalSet>>,
    bases: Vec<[f64; PER_MESSAGE]>,
    noise: Noise,
    second: i64,
    station: usize,
    offset: u64,
}

const START_SECOND: i64 = 1_795_500_000;

impl Plant {
    fn new(signals: usize, networks: usize) -> Self {
        let mut noise = Noise(0x9e37_79b9_7f4a_7c15);
        let stations = signals / PER_MESSAGE;
        let sets = (0..stations).map(|station| Arc::new(set(station, networks))).collect();
        let bases = (0..stations)
            .map(|_| std::array::from_fn(|kind| KINDS[kind].5 * 0.1f64.mul_add(noise.normal(), 1.0)))
            .collect();
        Self { sets, bases, noise, second: START_SECOND, station: 0, offset: 0 }
    }

    fn next(&mut self) -> (Position, Envelope) {
        if self.station == self.sets.len() {
            self.station = 0;
            self.second += 1;
        }
        let station = self.station;
        self.station += 1;
        let set = Arc::clone(&self.sets[station]);
        let event_time = EventTime::from_micros(self.second * 1_000_000);
        let phase = self.second as f64 / 3600.0 + station as f64;
        let readings = KINDS
            .iter()
            .enumerate()
            .map(|(index, &(_, _, _, _, _, _, swing, noise, step))| {
                let exact =
                    swing.mul_add(phase.sin(), self.bases[station][index]) + noise * self.noise.normal();
                let per_unit = (1.0 / step).round();
                let raw = (exact * per_unit).round() / per_unit;
                let value = set.signals[index].value_of(raw);
                let signal = u32::try_from(index).expect("ten signals");
                Reading { signal, event_time, raw, value, quality: Quality::Good, code: QualityCode::None }
            })
            .collect();
        // Arrival jitters by tens of milliseconds, as it does over a mobile network.
        let ingest =
            self.second * 1_000_000 + 200_000 + i64::try_from(self.noise.next() % 80_000).expect("small");
        let append = self.second * 1_000_000 + 300_000 + i64::try_from(station).expect("few") / 10 * 1000;
        let offset = self.offset;
        self.offset += 1;
        let position = Position {
            partition: PartitionId(0),
            offset: Offset(offset),
            append_time: AppendTime::from_micros(append),
        };
        let envelope = Envelope {
            network: Some(set.network.clone()),
            origin: Origin {
                gateway: "gateway-1".parse().expect("an id"),
                epoch: 1_795_499_999_000_123,
                seq: offset,
            },
            ingest_time: IngestTime::from_micros(ingest),
            messages: 1,
            body: Body::Readings(Readings { set, lane: Lane::Live, device_seq: None, readings }),
        };
        (position, envelope)
    }
}

fn set(station: usize, networks: usize) -> SignalSet {
    let signals = KINDS
        .iter()
        .map(|&(name, raw_unit, unit, scale, offset, ..)| SignalDecl {
            name: name.parse().expect("an id"),
            unit: unit.into(),
            raw_unit: raw_unit.into(),
            scale,
            offset,
        })
        .collect();
    SignalSet {
        id: SignalSetId(station as u64 + 1),
        network: NetworkId::new(&format!("demo-{}", station % networks)).expect("an id"),
        site: format!("station-{station:04}").parse().expect("an id"),
        device: "plc".parse().expect("an id"),
        signals,
    }
}

/// CPU time of all threads so far, from the kernel (ticks of 10 ms).
fn cpu_seconds() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").expect("Linux");
    let after_name = stat.rsplit_once(')').expect("the format of proc(5)").1;
    let fields: Vec<&str> = after_name.split_whitespace().collect();
    let ticks = |index: usize| fields[index].parse::<f64>().expect("a number");
    (ticks(11) + ticks(12)) / 100.0
}

fn status_mb(key: &str) -> f64 {
    let status = std::fs::read_to_string("/proc/self/status").expect("Linux");
    let line = status.lines().find(|line| line.starts_with(key)).expect("the key is there");
    line.split_whitespace().nth(1).and_then(|kb| kb.parse::<f64>().ok()).expect("a number") / 1024.0
}

fn argument(index: usize, default: usize) -> usize {
    std::env::args().nth(index).map_or(default, |text| text.parse().expect("a whole number"))
}

fn main() {
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
    runtime.block_on(run(argument(1, 5_000_000), argument(2, 2000), argument(3, 3600), argument(4, 1)));
}

async fn run(readings: usize, signals: usize, grid_seconds: usize, networks: usize) {
    let scratch = tempfile::tempdir().expect("a folder");
    let folder = std::env::args().nth(5).map_or_else(|| scratch.path().to_owned(), Into::into);
    let archive = Archive::open(folder.to_str().expect("UTF-8")).await.expect("opens");
    let resume = archive.resume("heat.input.v1", PartitionId(0)).await.expect("resumes");
    let rotation =
        RotationSettings { grid: Duration::from_secs(grid_seconds as u64), ..RotationSettings::default() };
    let mut writer = CommitWriter::new(&resume, NextOffset(0), rotation);
    let mut plant = Plant::new(signals, networks);
    let base_mb = status_mb("VmRSS");
    let (mut append, mut seal, mut publish) = (0.0, 0.0, 0.0);
    let (mut commits, mut files, mut bytes) = (0_u64, 0_usize, 0_u64);
    let mut done = 0;
    while done < readings {
        let batch: Vec<_> = (0..10_000).map(|_| plant.next()).collect();
        let mut from = cpu_seconds();
        for (position, envelope) in &batch {
            if writer.should_close_before(position, PER_MESSAGE) {
                append += cpu_seconds() - from;
                from = cpu_seconds();
                let sealed = writer.seal().expect("encodes").expect("not empty");
                seal += cpu_seconds() - from;
                from = cpu_seconds();
                let published = archive.publish(&sealed).await.expect("publishes");
                assert_eq!(published.next_offset(), writer.next_offset());
                publish += cpu_seconds() - from;
                from = cpu_seconds();
                commits += 1;
                files += sealed.manifest().files.len();
                bytes += sealed.bytes();
            }
            writer.append(position, envelope, Keep::All).expect("in order");
        }
        append += cpu_seconds() - from;
        done += batch.len() * PER_MESSAGE;
    }
    let in_files = count(&folder, bytes);
    let per_reading = |seconds: f64| seconds / in_files as f64 * 1e9;
    let total = append * in_files as f64 / done as f64 + seal + publish;
    println!("{in_files} readings in {commits} commits, {files} files, {bytes} bytes");
    println!(
        "CPU ns a reading: append {:.0}, seal {:.0}, publish {:.0}",
        append / done as f64 * 1e9,
        per_reading(seal),
        per_reading(publish)
    );
    println!("{:.2} million readings/s a core", in_files as f64 / total / 1e6);
    println!("memory: peak {:.0} MB, of which {base_mb:.0} MB before the first record", status_mb("VmHWM"));
}

/// Prints bytes per reading by column and returns the rows of all files.
fn count(folder: &std::path::Path, total_bytes: u64) -> u64 {
    let mut columns: BTreeMap<(usize, String), i64> = BTreeMap::new();
    let mut rows = 0;
    let mut folders = vec![folder.join("readings")];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).expect("a folder") {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                folders.push(path);
                continue;
            }
            let file = SerializedFileReader::new(std::fs::File::open(path).expect("opens")).expect("Parquet");
            for group in file.metadata().row_groups() {
                rows += group.num_rows().unsigned_abs();
                for (index, column) in group.columns().iter().enumerate() {
                    *columns.entry((index, column.column_path().string())).or_default() +=
                        column.compressed_size();
                }
            }
        }
    }
    for ((_, name), bytes) in columns {
        println!("{name:<16} {:6.3} bytes a reading", bytes as f64 / rows as f64);
    }
    println!("{:<16} {:6.3} bytes a reading", "all", total_bytes as f64 / rows as f64);
    rows
}
