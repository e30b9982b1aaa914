//! The embedded log against a model: random appends, trims and reopenings, torn ends and flipped bytes.
//!
//! A crash is played on the files of a closed log. Cut: the newest segment of a partition is truncated anywhere behind a
//! length that was durable before; what was written since may go, what was durable may not. Flip: a byte anywhere is
//! changed; only records whose frames it hits may go, and it must be counted.
#![expect(
    clippy::unwrap_used,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "what helps a test fails by panicking, too"
)]

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

use bytes::Bytes;
use heat_log::{AppenderSettings, ConsumerSettings, EmbeddedSettings, Log, Record, StartFrom, TopicSpec};
use heat_model::{AppendTime, PartitionId, record::NextOffset};
use proptest::prelude::*;
use tempfile::TempDir;

const TOPIC: &str = "model";
const P: PartitionId = PartitionId(0);
const HEADER_BYTES: u64 = 32;

#[derive(Debug, Clone)]
enum Action {
    Append {
        sizes: Vec<usize>,
    },
    Reopen,
    /// Append, then cut the end off at this share of what these appends wrote.
    Crash {
        sizes: Vec<usize>,
        keep: f64,
    },
    /// Write something that is no frame behind the end, as a torn write does.
    Tear {
        bytes: Vec<u8>,
    },
    /// Change a byte at this share of all segments' bytes.
    Flip {
        place: f64,
        mask: u8,
    },
    Trim {
        place: f64,
    },
}

fn action() -> impl Strategy<Value = Action> {
    let sizes = || proptest::collection::vec(prop_oneof![0..50_usize, 100..400_usize, Just(20_000)], 1..20);
    prop_oneof![
        6 => sizes().prop_map(|sizes| Action::Append { sizes }),
        2 => Just(Action::Reopen),
        3 => (sizes(), 0.0..1.0).prop_map(|(sizes, keep)| Action::Crash { sizes, keep }),
        2 => proptest::collection::vec(any::<u8>(), 1..200).prop_map(|bytes| Action::Tear { bytes }),
        2 => (0.0..1.0, 1..=255_u8).prop_map(|(place, mask)| Action::Flip { place, mask }),
        1 => (0.0..1.0).prop_map(|place| Action::Trim { place }),
    ]
}

/// A record that must be readable, and whether a flip may have taken it.
#[derive(Debug, Clone)]
struct Kept {
    key: Option<Bytes>,
    payload: Bytes,
    append_time: AppendTime,
}

struct Model {
    records: BTreeMap<u64, Kept>,
    /// Every offset that was ever readable; none may come again.
    used: u64,
    written: u64,
    damaged: u64,
    newest: AppendTime,
}

struct Run {
    runtime: tokio::runtime::Runtime,
    dir: TempDir,
    log: Option<Log>,
    model: Model,
    /// Damage counted by logs that are closed.
    counted: u64,
}

fn settings(dir: &Path) -> EmbeddedSettings {
    let mut settings = EmbeddedSettings::new(dir);
    settings.segment_max_bytes = 16 << 10;
    settings.upkeep_interval = Duration::from_secs(3600);
    settings
}

impl Run {
    fn new() -> Self {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let dir = tempfile::tempdir().unwrap();
        let model = Model {
            records: BTreeMap::new(),
            used: 0,
            written: 0,
            damaged: 0,
            newest: AppendTime::from_micros(0),
        };
        let mut run = Self { runtime, dir, log: None, model, counted: 0 };
        run.open();
        run
    }

    fn open(&mut self) {
        let log = Log::open_embedded(settings(self.dir.path())).unwrap();
        self.runtime.block_on(log.ensure_topics(&[TopicSpec::new(TOPIC, 1)])).unwrap();
        self.log = Some(log);
    }

    fn shut(&mut self) {
        let log = self.log.take().unwrap();
        assert!(self.runtime.block_on(log.close(Duration::from_secs(30))));
        let stats = log.stats();
        self.counted += stats.damaged_places + stats.torn_bytes;
    }

    fn log(&self) -> &Log {
        self.log.as_ref().unwrap()
    }

    fn segments(&self) -> Vec<(PathBuf, u64)> {
        let dir = self.dir.path().join(TOPIC).join("0");
        let mut files: Vec<_> = fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path()).collect();
        files.sort();
        files.into_iter().map(|file| (file.clone(), fs::metadata(file).unwrap().len())).collect()
    }

    fn append(&mut self, sizes: &[usize]) {
        let log = self.log().clone();
        let model = &mut self.model;
        let before = self.runtime.block_on(log.bounds(TOPIC, P)).unwrap().end;
        let mut expected = Vec::new();
        self.runtime.block_on(async {
            let appender = log.appender(&[TOPIC], AppenderSettings::default()).await.unwrap();
            for &size in sizes {
                model.written += 1;
                let number = model.written;
                let key = (!number.is_multiple_of(3)).then(|| Bytes::from(number.to_string()));
                let payload: Bytes = (0..size).map(|at| (at as u64 * 31 + number).to_le_bytes()[0]).collect();
                appender.append(TOPIC, P, key.clone(), payload.clone()).await.unwrap();
                expected.push((key, payload));
            }
            assert!(appender.flush(Duration::from_secs(30)).await.unwrap());
        });
        assert!(before.0 >= model.used, "offset {before:?} is given again, {} were used", model.used);
        let fresh = self.read(before);
        assert_eq!(fresh.len(), expected.len());
        for (record, (key, payload)) in fresh.into_iter().zip(expected) {
            assert_eq!((&record.key, &record.payload), (&key, &payload));
            assert!(record.append_time >= self.model.newest, "append time fell");
            self.model.newest = record.append_time;
            self.model.used = record.offset.0 + 1;
            let kept = Kept { key, payload, append_time: record.append_time };
            self.model.records.insert(record.offset.0, kept);
        }
    }

    fn read(&self, from: NextOffset) -> Vec<Record> {
        let log = self.log().clone();
        self.runtime.block_on(async {
            let end = log.bounds(TOPIC, P).await.unwrap().end;
            let settings =
                ConsumerSettings { batch_max_bytes: 3000, batch_max_records: 7, read_ahead_batches: 1 };
            let mut scan = log.scan(TOPIC, P, StartFrom::Offset(from), end, settings).await.unwrap();
            let mut all = Vec::new();
            while let Some(records) = scan.next().await.unwrap() {
                all.extend(records);
            }
            all
        })
    }

    fn crash(&mut self, sizes: &[usize], keep: f64) {
        let before = self.segments();
        let durable = self.model.used;
        self.append(sizes);
        self.shut();
        let after = self.segments();
        let Some((path, length)) = after.last().cloned() else { return };
        let floor = before.iter().find(|(known, _)| *known == path).map_or(0, |&(_, length)| length);
        let cut = floor + ((length - floor) as f64 * keep) as u64;
        fs::File::options().write(true).open(&path).unwrap().set_len(cut).unwrap();
        self.open();
        // Whole frames before the cut stay, in order; the model forgets the others, but not that they were seen.
        let survivors = self.read(self.bounds().0);
        let last = survivors.last().map_or(0, |record| record.offset.0 + 1);
        assert!(
            self.model.records.range(last..).all(|(&offset, _)| offset >= durable),
            "a durable record is gone"
        );
        let gone_bytes: u64 = self.model.records.range(last..).map(|(_, kept)| frame_bytes(kept)).sum();
        assert!(gone_bytes <= length - cut + max_frame(&self.model, last), "more is gone than was cut");
        self.model.records.split_off(&last);
        // They had been acknowledged in this play; a real crash cuts only what never was, so their offsets may return.
        self.model.used = self.model.used.min(last.max(durable));
    }

    fn bounds(&self) -> (NextOffset, NextOffset) {
        let bounds = self.runtime.block_on(self.log().bounds(TOPIC, P)).unwrap();
        (bounds.first, bounds.end)
    }

    fn tear(&mut self, bytes: &[u8]) {
        self.shut();
        let (path, length) = self.segments().pop().unwrap();
        let mut content = fs::read(&path).unwrap();
        content.extend_from_slice(bytes);
        fs::write(&path, content).unwrap();
        let counted = self.counted;
        self.open();
        assert_eq!(self.log().stats().torn_bytes, bytes.len() as u64, "the torn end is cut at {length}");
        assert_eq!(self.counted, counted);
        assert!(
            self.bounds().1.0 > self.model.used,
            "a gap is left where torn bytes could have been records"
        );
    }

    fn flip(&mut self, place: f64, mask: u8) {
        self.shut();
        let segments = self.segments();
        let total: u64 = segments.iter().map(|(_, length)| length).sum();
        let mut at = (total as f64 * place) as u64;
        for (path, length) in segments {
            if at < length {
                let mut content = fs::read(&path).unwrap();
                content[usize::try_from(at).unwrap()] ^= mask;
                fs::write(&path, content).unwrap();
                self.model.damaged += 1;
                break;
            }
            at -= length;
        }
        self.open();
        self.forget_damaged();
    }

    /// After a flip: exactly the records of one frame may be gone, and the place is counted.
    fn forget_damaged(&mut self) {
        let read: BTreeMap<_, _> = self.read(self.bounds().0).into_iter().map(|r| (r.offset.0, r)).collect();
        let gone: Vec<_> =
            self.model.records.keys().copied().filter(|offset| !read.contains_key(offset)).collect();
        assert!(gone.len() <= 1, "one flipped byte took {gone:?}");
        let stats = self.log().stats();
        if !gone.is_empty() {
            assert!(stats.damaged_places + stats.torn_bytes > 0, "the loss of {gone:?} is not counted");
        }
        for offset in gone {
            self.model.records.remove(&offset);
        }
    }

    fn trim(&mut self, place: f64) {
        let (first, end) = self.bounds();
        let before = NextOffset(first.0 + ((end.0 - first.0) as f64 * place) as u64);
        self.runtime.block_on(self.log().trim(TOPIC, P, before)).unwrap();
        let (now, same_end) = self.bounds();
        assert!(now >= first && now <= before.max(first) && same_end == end, "{first:?} {before:?} {now:?}");
        self.model.records = self.model.records.split_off(&now.0);
    }

    fn check(&self) {
        let read = self.read(self.bounds().0);
        assert_eq!(
            read.iter().map(|record| record.offset.0).collect::<Vec<_>>(),
            self.model.records.keys().copied().collect::<Vec<_>>()
        );
        for record in read {
            let kept = &self.model.records[&record.offset.0];
            assert_eq!(
                (&record.key, &record.payload, record.append_time),
                (&kept.key, &kept.payload, kept.append_time)
            );
        }
    }
}

fn frame_bytes(kept: &Kept) -> u64 {
    HEADER_BYTES + (kept.payload.len() + kept.key.as_ref().map_or(0, Bytes::len)) as u64
}

fn max_frame(model: &Model, from: u64) -> u64 {
    model.records.range(from..).map(|(_, kept)| frame_bytes(kept)).max().unwrap_or(0)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 60, max_shrink_iters: 200, ..ProptestConfig::default() })]

    #[test]
    fn the_log_is_what_the_model_says(actions in proptest::collection::vec(action(), 1..25)) {
        let mut run = Run::new();
        for action in actions {
            match action {
                Action::Append { sizes } => run.append(&sizes),
                Action::Reopen => {
                    run.shut();
                    run.open();
                }
                Action::Crash { sizes, keep } => run.crash(&sizes, keep),
                Action::Tear { bytes } => run.tear(&bytes),
                Action::Flip { place, mask } => run.flip(place, mask),
                Action::Trim { place } => run.trim(place),
            }
            run.check();
        }
    }
}
