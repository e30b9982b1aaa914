//! Prints how fast the embedded engine appends and reads on this machine. Run it with `--release`; an argument names the
//! directory (default: a temporary one, which should lie on the disk that matters).

use std::{collections::VecDeque, io::Write, time::Instant};

use heat_log::{
    AppendRecord, AppenderSettings, ConsumerSettings, EmbeddedSettings, Log, LogEvent, Membership, StartFrom,
    TopicSpec,
};
use heat_model::PartitionId;

const TOPIC: &str = "throughput";
const RECORD_BYTES: usize = 300;

#[expect(clippy::disallowed_methods, reason = "a measuring program")]
fn main() {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .expect("a runtime");
    let temporary = tempfile::tempdir().expect("a directory");
    let dir = std::env::args().nth(1).map_or_else(|| temporary.path().to_path_buf(), Into::into);
    let mut out = std::io::stdout();
    runtime.block_on(async {
        for partitions in [1, 12] {
            for batch in [1, 64, 1024] {
                let log = Log::open_embedded(EmbeddedSettings::new(dir.join(format!("{partitions}-{batch}"))))
                    .expect("the log opens");
                log.ensure_topics(&[TopicSpec::new(TOPIC, partitions)]).await.expect("the topic is made");
                let count = if batch == 1 { 200_000 } else { 3_000_000 };
                let (start, before) = (Instant::now(), cpu_seconds());
                append(&log, partitions, batch, count).await;
                let (took, cpu) = (start.elapsed().as_secs_f64(), cpu_seconds() - before);
                let stats = log.stats();
                writeln!(
                    out,
                    "append {RECORD_BYTES} B, {partitions:2} partitions, {batch:4} a call: {:9.0} records/s, \
                     {:5.2} CPU-s per million, {} syncs, {:.0} records a group",
                    f64::from(count) / took,
                    cpu / f64::from(count) * 1e6,
                    stats.syncs,
                    f64::from(count) / stats.groups as f64
                )
                .expect("standard output is there");
                if batch == 1024 {
                    let (start, before) = (Instant::now(), cpu_seconds());
                    read(&log, u64::from(count)).await;
                    let (took, cpu) = (start.elapsed().as_secs_f64(), cpu_seconds() - before);
                    writeln!(
                        out,
                        "read   {RECORD_BYTES} B, {partitions:2} partitions: {:9.0} records/s, {:5.3} CPU-s per million",
                        f64::from(count) / took,
                        cpu / f64::from(count) * 1e6
                    )
                    .expect("standard output is there");
                    let start = Instant::now();
                    drop(log);
                    let log = Log::open_embedded(EmbeddedSettings::new(dir.join(format!("{partitions}-{batch}"))));
                    writeln!(out, "reopen {} MB: {:.0} ms", stats.segment_bytes >> 20, start.elapsed().as_secs_f64() * 1e3)
                        .expect("standard output is there");
                    drop(log);
                }
            }
        }
    });
}

async fn append(log: &Log, partitions: u32, batch: usize, count: u32) {
    let appender = log.appender(&[TOPIC], AppenderSettings::default()).await.expect("an appender");
    let (mut waiting, mut tickets) = (VecDeque::new(), Vec::new());
    let payload = bytes::Bytes::from(vec![7; RECORD_BYTES - 10]);
    for number in 0..count {
        waiting.push_back(AppendRecord {
            partition: PartitionId(number % partitions),
            key: Some(bytes::Bytes::from_static(b"demo-north")),
            payload: payload.clone(),
        });
        if waiting.len() < batch {
            continue;
        }
        appender.try_append_batch(TOPIC, &mut waiting, &mut tickets).expect("it is open");
        while let Some(front) = waiting.front() {
            appender.ready(front.size_bytes()).await.expect("it is open");
            appender.try_append_batch(TOPIC, &mut waiting, &mut tickets).expect("it is open");
        }
        tickets.clear();
    }
    appender.try_append_batch(TOPIC, &mut waiting, &mut tickets).expect("it is open");
    appender.flush(std::time::Duration::from_secs(600)).await.expect("it is open");
}

async fn read(log: &Log, count: u64) {
    let mut consumer =
        log.consumer(TOPIC, Membership::All, ConsumerSettings::default()).await.expect("a consumer");
    let (mut read, mut bytes) = (0, 0);
    while read < count {
        match consumer.next().await.expect("it can be read") {
            LogEvent::Assigned(partition) => {
                consumer.start(partition, StartFrom::Beginning).await.expect("it starts");
            }
            LogEvent::Records { records, .. } => {
                read += records.len() as u64;
                bytes += records.iter().map(|record| record.payload.len()).sum::<usize>();
            }
            LogEvent::Revoked(_) => {}
        }
    }
    assert!(bytes > 0);
}

/// User and system time of this process.
fn cpu_seconds() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let fields: Vec<_> = stat.rsplit(") ").next().unwrap_or_default().split(' ').collect();
    let ticks = |index: usize| fields.get(index).and_then(|field| field.parse::<f64>().ok()).unwrap_or(0.0);
    (ticks(11) + ticks(12)) / 100.0
}
