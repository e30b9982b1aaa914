//! The embedded log's recovery: damaged segment files are opened, and what is read is what was written.

use std::{
    fs,
    path::{Path, PathBuf},
    sync::OnceLock,
    time::Duration,
};

use bytes::Bytes;
use heat_log::{AppenderSettings, ConsumerSettings, EmbeddedSettings, Log, Record, StartFrom, TopicSpec};
use heat_model::{PartitionId, record::NextOffset};

const TOPIC: &str = "fuzz";
const P: PartitionId = PartitionId(0);
/// Records of the undamaged log; they fill three segments.
const RECORDS: usize = 60;
const SEGMENT_BYTES: u64 = 4 << 10;
const DEADLINE: Duration = Duration::from_secs(20);

/// A log that was closed properly.
struct Template {
    files: Vec<(PathBuf, Vec<u8>)>,
    records: Vec<(Option<Bytes>, Bytes)>,
}

/// Changes the files of a valid log, opens it and reads all that is left.
///
/// The input is a row of changes of 6 bytes each: what to do, the file, three bytes for the place, a byte to use.
/// A change that inserts takes its bytes from the rest of the input.
pub fn log(data: &[u8]) {
    static TEMPLATE: OnceLock<Template> = OnceLock::new();
    let template = TEMPLATE.get_or_init(|| block_on(write_template()));
    let mut files = template.files.clone();
    let mut rest = data;
    while let [what, file, a, b, c, byte, behind @ ..] = rest {
        rest = behind;
        let at = files.len();
        let (path, content) = &mut files[usize::from(*file) % at];
        if path.extension().is_none_or(|extension| extension != "segment") {
            continue;
        }
        let place = (usize::from(*a) | usize::from(*b) << 8 | usize::from(*c) << 16) % (content.len() + 1);
        match what % 5 {
            0 => content.get_mut(place).into_iter().for_each(|at| *at = *byte),
            1 => content.get_mut(place).into_iter().for_each(|at| *at ^= byte),
            2 => content.truncate(place),
            3 => {
                let (taken, behind) = behind.split_at(usize::from(*byte).min(behind.len()));
                content.splice(place..place, taken.iter().copied());
                rest = behind;
            }
            _ => {
                let copied = content[place..].iter().copied().take(usize::from(*byte)).collect::<Vec<_>>();
                content.extend(copied);
            }
        }
    }
    let dir = temporary();
    for (path, content) in &files {
        let path = dir.path().join(path);
        fs::create_dir_all(path.parent().expect("a file has a folder")).expect("make the copy's folders");
        fs::write(path, content).expect("write the copy");
    }
    block_on(check(dir.path(), &template.records));
}

/// In memory where there is such a place: the disk is not what is tested.
fn temporary() -> tempfile::TempDir {
    tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).expect("make a folder")
}

fn block_on<T>(work: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.expect("build a runtime").block_on(work)
}

async fn open(dir: &Path) -> Log {
    let mut settings = EmbeddedSettings::new(dir);
    settings.segment_max_bytes = SEGMENT_BYTES;
    settings.upkeep_interval = Duration::from_secs(3_600);
    let log = Log::open_embedded(settings).expect("damage within segments keeps no log from opening");
    log.ensure_topics(&[TopicSpec::new(TOPIC, 1)]).await.expect("the topic is there or made");
    log
}

fn record(number: usize) -> (Option<Bytes>, Bytes) {
    let key = (!number.is_multiple_of(3)).then(|| Bytes::from(number.to_string()));
    (key, Bytes::from(vec![u8::try_from(number % 251).unwrap_or(0); number * 37 % 400]))
}

async fn write_template() -> Template {
    let dir = temporary();
    let log = open(dir.path()).await;
    let records: Vec<_> = (0..RECORDS).map(record).collect();
    append(&log, &records).await;
    assert!(log.close(DEADLINE).await, "the log closes");
    let mut files = Vec::new();
    collect(dir.path(), dir.path(), &mut files);
    files.sort();
    assert!(files.len() >= 4, "version and segments: {}", files.len());
    Template { files, records }
}

fn collect(root: &Path, dir: &Path, files: &mut Vec<(PathBuf, Vec<u8>)>) {
    for entry in fs::read_dir(dir).expect("list the log") {
        let path = entry.expect("list the log").path();
        if path.is_dir() {
            collect(root, &path, files);
        } else {
            let content = fs::read(&path).expect("read the log's file");
            files.push((path.strip_prefix(root).expect("below the root").to_owned(), content));
        }
    }
}

async fn append(log: &Log, records: &[(Option<Bytes>, Bytes)]) {
    let appender = log.appender(&[TOPIC], AppenderSettings::default()).await.expect("append to the topic");
    for (key, payload) in records {
        appender.append(TOPIC, P, key.clone(), payload.clone()).await.expect("append");
        // One by one, so that the records do not all fall into one group and one segment.
        assert!(appender.flush(DEADLINE).await.expect("flush"), "it becomes durable");
    }
}

async fn read(log: &Log) -> Vec<Record> {
    let bounds = log.bounds(TOPIC, P).await.expect("the partition has bounds");
    let settings = ConsumerSettings { batch_max_bytes: 3_000, batch_max_records: 7, read_ahead_batches: 1 };
    let mut scan = log
        .scan(TOPIC, P, StartFrom::Offset(bounds.first), bounds.end, settings)
        .await
        .expect("read from the start");
    let mut all = Vec::new();
    while let Some(records) = scan.next().await.expect("what is damaged is passed over") {
        all.extend(records);
    }
    all
}

/// What is readable was written, in its order and at its offset; and the log goes on behind it.
async fn check(dir: &Path, written: &[(Option<Bytes>, Bytes)]) {
    let log = open(dir).await;
    let found = read(&log).await;
    let mut next = NextOffset(0);
    for record in &found {
        assert!(record.offset.next() > next, "offset {:?} after {next:?}", record.offset);
        next = record.offset.next();
        let original = usize::try_from(record.offset.0).ok().and_then(|at| written.get(at));
        let (key, payload) = original.unwrap_or_else(|| panic!("{:?} was never written", record.offset));
        assert!((&record.key, &record.payload) == (key, payload), "{:?} holds something else", record.offset);
    }
    let fresh = record(RECORDS);
    append(&log, std::slice::from_ref(&fresh)).await;
    let all = read(&log).await;
    let (last, before) = all.split_last().expect("a record was appended");
    assert!((&last.key, &last.payload) == (&fresh.0, &fresh.1), "the new record is not the last one");
    assert_eq!(before, found, "the new record changed the others");
    assert!(log.close(DEADLINE).await, "the log closes");
    // Its folder is free once the last handle is gone.
    drop(log);
    let log = open(dir).await;
    assert_eq!(read(&log).await, all, "another start reads something else");
    assert!(log.close(DEADLINE).await, "the log closes");
}
