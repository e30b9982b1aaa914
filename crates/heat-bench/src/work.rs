//! Processor and archiver over the same log, each beside decoding alone.

use std::path::Path;

use crate::{
    child::{Child, Task},
    days::{Days, DaysRead, DaysTask, LEARNING_DAYS, PartitionsTask},
    engine::Engine,
    error::BenchError,
    figures::{Bench, Figure, Measured},
    fill::{FillTask, Filled},
    ingest::must_be,
    roles::{ArchiverTask, DecodeTask, ProcessorTask, Read},
};

const READINGS: &str = "readings";

/// Measures on the embedded log, and on Kafka where it is given.
pub(crate) fn measure(bench: &mut Bench, process: bool, archive: bool) -> Result<(), BenchError> {
    let embedded = Engine::Embedded(bench.folder("work-log")?);
    on(bench, &embedded, "embedded", process, archive)?;
    bench.remove("work-log")?;
    if process {
        on_days(bench)?;
    }
    if let Some(kafka) = bench.kafka() {
        let outcome = on(bench, &kafka, "kafka", process, archive);
        bench.block_on(kafka.trim())?;
        outcome?;
    }
    Ok(())
}

fn on(
    bench: &mut Bench,
    engine: &Engine,
    name: &str,
    process: bool,
    archive: bool,
) -> Result<(), BenchError> {
    let filled = fill(bench, engine, name)?;
    bench.progress(&format!("decoding alone, {name}"));
    let decode = Task::Decode(DecodeTask { engine: engine.clone(), readings: filled.readings });
    let (_, decoded) = reader(&decode, &filled)?;
    let what = "the same log read and decoded, and nothing else";
    let baseline = Figure::new(format!("decode.{name}"), what, READINGS, decoded);
    if process {
        bench.progress(&format!("processor, {name}"));
        let plant = bench.folder("plant")?;
        let task = ProcessorTask { engine: engine.clone(), plant, readings: filled.readings };
        let (read, measured) = reader(&Task::Processor(task), &filled)?;
        let what = "the processor with its detectors from the log's beginning to its end: decoding, repeats, outputs \
                    published, snapshots stored; wall time to the second. Each signal once a second, for as long as \
                    that takes: bursts are judged, what needs days learns";
        let figure = Figure::new(format!("process.{name}"), what, READINGS, measured)
            .with_detail("messages a second", filled.messages as f64 / measured.seconds)
            .with_detail("outputs", read.outputs as f64)
            .with_detail("snapshots", read.snapshots as f64)
            .with_detail("bytes of the last snapshots", read.snapshot_bytes as f64)
            .with_detail("signals", filled.signals as f64)
            .with_detail("networks", f64::from(bench.options.networks));
        bench.figures.push(figure.against(&baseline));
    }
    if archive {
        bench.progress(&format!("archiver, {name}"));
        let folder = bench.folder("archive")?;
        let task =
            ArchiverTask { engine: engine.clone(), archive: folder.clone(), readings: filled.readings };
        let (read, measured) = reader(&Task::Archiver(task), &filled)?;
        let (files, bytes) = parquet(&folder.join("readings"))?;
        let what = "the archiver from the log's beginning until all is published: decoding, repeats, Parquet, zstd, \
                    manifests, synced";
        let figure = Figure::new(format!("archive.{name}"), what, READINGS, measured)
            .with_detail("bytes a reading", bytes as f64 / filled.readings as f64)
            .with_detail("bytes a reading in the log", filled.bytes as f64 / filled.readings as f64)
            .with_detail("files", files as f64)
            .with_detail("commits", read.commits as f64);
        bench.figures.push(figure.against(&baseline));
        bench.remove("archive")?;
    }
    bench.figures.push(baseline);
    bench.remove("plant")
}

/// The processor over a log in which days pass; on the embedded log, for the detectors' work is the same on both.
fn on_days(bench: &mut Bench) -> Result<(), BenchError> {
    let engine = Engine::Embedded(bench.folder("days-log")?);
    let options = &bench.options;
    bench.progress(&format!("writing a log of days, about {} readings", options.readings));
    let plant = bench.folder("plant")?;
    let writer = Child::start(&Task::Days(DaysTask {
        engine: engine.clone(),
        plant: plant.clone(),
        networks: options.day_networks,
        stations: options.stations,
        readings: options.readings,
        seed: options.seed,
    }))?;
    let Days { filled, learned, days } = writer.hear()?;
    writer.end()?;
    bench.notes.push(format!(
        "log of days: {} readings in {} messages of {} signals, {days:.1} days by scans of 15 min",
        filled.readings, filled.messages, filled.signals,
    ));
    bench.progress("decoding alone, log of days");
    let decode = Task::Decode(DecodeTask { engine: engine.clone(), readings: filled.readings });
    let (_, decoded) = reader(&decode, &filled)?;
    let what = "the log of days read and decoded, and nothing else";
    let baseline = Figure::new("decode.days".to_owned(), what, READINGS, decoded);
    bench.progress("the processor's partitions, log of days");
    let task = PartitionsTask { engine, plant, readings: filled.readings, learned };
    let mut child = Child::start(&Task::Partitions(task))?;
    child.hear::<()>()?;
    let before = child.usage()?;
    child.tell(&())?;
    let first: DaysRead = child.hear()?;
    let between = child.usage()?;
    child.tell(&())?;
    let all: DaysRead = child.hear()?;
    let after = child.usage()?;
    child.end()?;
    must_be("readings", filled.readings, all.readings)?;
    let what = format!(
        "the processor's partitions over the first {LEARNING_DAYS} days of a log of days, which the detectors need to \
         learn: reading, decoding, repeats, a tick each second of those days, detectors; without publishing and snapshots"
    );
    let learning = Measured { count: first.readings, seconds: first.seconds, before, after: between };
    let figure = Figure::new("process.days.learning".to_owned(), &what, READINGS, learning);
    bench.figures.push(figure.against(&baseline).with_detail("outputs", first.outputs as f64));
    let what = "the same run over the days behind them, with leaks, faults and silences: each reading ends a quarter hour \
                of its signal, and is judged";
    let judged = Measured {
        count: all.readings - first.readings,
        seconds: all.seconds - first.seconds,
        before: between,
        after,
    };
    let figure = Figure::new("process.days.learned".to_owned(), what, READINGS, judged)
        .with_detail("days", days - f64::from(LEARNING_DAYS))
        .with_detail("readings for each tick", filled.signals as f64 / 900.0)
        .with_detail("outputs", (all.outputs - first.outputs) as f64)
        .with_detail("detectors that judge, then", first.ready as f64)
        .with_detail("at the end", all.ready as f64)
        .with_detail("detectors that learn, then", first.learning as f64)
        .with_detail("at the end", all.learning as f64)
        .with_detail("signals", filled.signals as f64);
    bench.figures.push(figure.against(&baseline));
    bench.figures.push(baseline);
    bench.remove("plant")?;
    bench.remove("days-log")
}

fn fill(bench: &mut Bench, engine: &Engine, name: &str) -> Result<Filled, BenchError> {
    let options = &bench.options;
    bench.progress(&format!("writing a log of {} readings, {name}", options.readings));
    let writer = Child::start(&Task::Fill(FillTask {
        engine: engine.clone(),
        plant: bench.folder("plant")?,
        networks: options.networks,
        stations: options.stations,
        readings: options.readings,
        scans_per_message: options.scans_per_message,
        seed: options.seed,
    }))?;
    let filled: Filled = writer.hear()?;
    writer.end()?;
    bench.notes.push(format!(
        "log, {name}: {} readings in {} messages ({:.1} each) of {} signals, {} scans in {:.0} s",
        filled.readings,
        filled.messages,
        filled.readings as f64 / filled.messages as f64,
        filled.signals,
        filled.scans,
        filled.seconds
    ));
    Ok(filled)
}

/// Runs a reader of the log, and proves that it read all of it once.
fn reader(task: &Task, filled: &Filled) -> Result<(Read, Measured), BenchError> {
    let mut child = Child::start(task)?;
    child.hear::<()>()?;
    let before = child.usage()?;
    child.tell(&())?;
    let read: Read = child.hear()?;
    let after = child.usage()?;
    child.end()?;
    must_be("readings", filled.readings, read.readings)?;
    must_be("repeated readings", 0, read.repeats)?;
    Ok((read, Measured { count: read.readings, seconds: read.seconds, before, after }))
}

/// Parquet files below a folder, and their bytes.
fn parquet(folder: &Path) -> Result<(u64, u64), BenchError> {
    let (mut files, mut bytes) = (0, 0);
    let mut folders = vec![folder.to_path_buf()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).map_err(BenchError::file("list", &folder))? {
            let path = entry.map_err(BenchError::file("list", &folder))?.path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "parquet") {
                files += 1;
                bytes += path.metadata().map_err(BenchError::file("look at", &path))?.len();
            }
        }
    }
    Ok((files, bytes))
}
