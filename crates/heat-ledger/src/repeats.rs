//! Repeats and corrections, by what a reading is: (signal, event time, value bits, quality).
//!
//! A broker may deliver a message again through another gateway, so numbers do not tell. The log is cut into blocks of
//! [`RepeatSettings::block_records`] offsets; a reading is a repeat if an equal one stands before it in its own block or
//! the block before. The window is thus one to two blocks, counted in log positions, and a reader that starts at
//! [`RepeatWindow::read_back`] decides exactly as one that read from the beginning. Two whole blocks are cheaper than a
//! sliding window: no ring, and a block is forgotten at once.
//!
//! Equality is judged by a 64-bit hash of the signal's id, the time, and a 32-bit hash of value and quality.

use std::mem;

use hashbrown::HashMap;
use heat_model::{Offset, Reading, SignalSet, SignalSetId, record::NextOffset};
use serde::{Deserialize, Serialize};
use xxhash_rust::xxh3::xxh3_64;

use block::{Block, Key, Seen, mix};

mod block;

/// Signal sets whose hashes are kept; beyond, they are computed anew.
const SETS_MAX: usize = 65_536;

/// The window's size. All readers of a log must use the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct RepeatSettings {
    /// Offsets in a block.
    pub block_records: u64,
    /// Readings after which a block is cut early, to bound memory (10 to 32 bytes each, 90 for a signal's only one; two
    /// blocks, of which the older is packed: 8 to 9 bytes of those in order).
    pub block_readings_max: usize,
}

impl Default for RepeatSettings {
    /// Half a million records: a quarter of an hour at 500 messages a second and partition. And as many readings as take
    /// about 20 MB.
    fn default() -> Self {
        Self { block_records: 1 << 19, block_readings_max: (1 << 21) / 8 * 7 }
    }
}

/// What a reading is among those before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Novelty {
    /// Not seen in the window.
    New,
    /// The same was seen.
    Repeat,
    /// The same signal and time were seen with another value or quality: kept, and counted.
    Correction,
}

/// Where a signal's readings are; found when its first reading in a block comes.
#[derive(Debug, Clone, Copy)]
struct SignalPlace {
    hash: u64,
    current: u32,
    previous: u32,
    /// No reading of the previous block is later; kept here since nearly all are, and it changes no more.
    previous_last: i64,
}

/// Not looked up yet, in the current block; has no readings, in the previous one.
const NOWHERE: u32 = u32::MAX;

/// The signals of a set.
#[derive(Debug)]
struct SetPlaces {
    /// Of the block for which the places hold.
    turn: u64,
    signals: Box<[SignalPlace]>,
}

/// One partition's window.
#[derive(Debug)]
pub struct RepeatWindow {
    settings: RepeatSettings,
    block: u64,
    /// Blocks begun, cut ones included.
    turn: u64,
    current: Block,
    previous: Block,
    sets: HashMap<SignalSetId, SetPlaces, foldhash::fast::FixedState>,
}

impl RepeatWindow {
    /// An empty window.
    pub fn new(settings: RepeatSettings) -> Self {
        Self {
            settings,
            block: 0,
            turn: 0,
            current: Block::default(),
            previous: Block::default(),
            sets: HashMap::with_hasher(foldhash::fast::FixedState::default()),
        }
    }

    /// Where a reader that resumes at `next` must begin to read back, so that it judges as if it had read all.
    pub fn read_back(settings: &RepeatSettings, next: NextOffset) -> NextOffset {
        let block = next.0 / settings.block_records;
        NextOffset(block.saturating_sub(1) * settings.block_records)
    }

    /// Begins a record; call it for every record that the log holds, in order.
    pub fn begin_record(&mut self, offset: Offset) {
        let block = offset.0 / self.settings.block_records;
        if block == self.block {
            if self.current.len() >= self.settings.block_readings_max {
                self.turn_over();
            }
            return;
        }
        self.turn_over();
        if block != self.block + 1 {
            self.previous.clear();
        }
        self.block = block;
    }

    fn turn_over(&mut self) {
        mem::swap(&mut self.previous, &mut self.current);
        self.previous.pack();
        self.current.clear();
        self.turn += 1;
    }

    /// Judges the readings of a record in order, and remembers them. `each` gets the index and the verdict.
    pub fn observe(&mut self, set: &SignalSet, readings: &[Reading], mut each: impl FnMut(usize, Novelty)) {
        let Self { turn, current, previous, sets, .. } = self;
        if sets.len() >= SETS_MAX && !sets.contains_key(&set.id) {
            sets.clear();
        }
        let places = sets.entry(set.id).or_insert_with(|| SetPlaces::of(set, *turn));
        places.move_to(*turn);
        for (index, reading) in readings.iter().enumerate() {
            let place = &mut places.signals[reading.signal as usize];
            if place.current == NOWHERE {
                place.current = current.place_or_new(place.hash);
                place.previous = previous.place(place.hash).unwrap_or(NOWHERE);
                place.previous_last = previous.last(place.previous);
            }
            let key =
                Key { signal: place.hash, time: reading.event_time.as_micros(), value: fingerprint(reading) };
            let now = current.look(place.current, key);
            let novelty = if now == Seen::Same {
                Novelty::Repeat
            } else {
                let before = if key.time > place.previous_last || place.previous == NOWHERE {
                    Seen::Nothing
                } else {
                    previous.look(place.previous, key)
                };
                current.insert(place.current, key);
                match (before, now) {
                    (Seen::Same, _) => Novelty::Repeat,
                    (Seen::Nothing, Seen::Nothing) => Novelty::New,
                    _ => Novelty::Correction,
                }
            };
            each(index, novelty);
        }
    }

    /// Readings remembered.
    pub fn len(&self) -> usize {
        self.current.len() + self.previous.len()
    }

    /// Whether nothing is remembered.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl SetPlaces {
    fn of(set: &SignalSet, turn: u64) -> Self {
        let signals = (0..set.signals.len())
            .map(|index| xxh3_64(set.signal_id(index).to_string().as_bytes()))
            .map(|hash| SignalPlace { hash, current: NOWHERE, previous: NOWHERE, previous_last: i64::MIN })
            .collect();
        Self { turn, signals }
    }

    /// Forgets the places that were found for an earlier block.
    fn move_to(&mut self, turn: u64) {
        if self.turn != turn {
            self.signals.iter_mut().for_each(|place| place.current = NOWHERE);
            self.turn = turn;
        }
    }
}

fn fingerprint(reading: &Reading) -> u32 {
    #[expect(clippy::cast_possible_truncation, reason = "a 32-bit hash is the low half of a 64-bit one")]
    let value = mix(reading.raw.to_bits(), u64::from(reading.quality as u8)) as u32;
    value
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    use heat_model::{EventTime, Quality, QualityCode, SignalDecl};
    use proptest::prelude::*;

    use super::*;

    const SETTINGS: RepeatSettings = RepeatSettings { block_records: 8, block_readings_max: 1_000 };

    fn set(id: u64, names: &[&str]) -> SignalSet {
        SignalSet {
            id: SignalSetId(id),
            network: "n".parse().unwrap(),
            site: "s".parse().unwrap(),
            device: "d".parse().unwrap(),
            signals: names
                .iter()
                .map(|name| SignalDecl {
                    name: name.parse().unwrap(),
                    unit: "".into(),
                    raw_unit: "".into(),
                    scale: 1.0,
                    offset: 0.0,
                })
                .collect(),
        }
    }

    fn reading(signal: u32, micros: i64, value: f64) -> Reading {
        Reading {
            signal,
            event_time: EventTime::from_micros(micros),
            raw: value,
            value,
            quality: Quality::Good,
            code: QualityCode::None,
        }
    }

    fn judge(window: &mut RepeatWindow, offset: u64, set: &SignalSet, readings: &[Reading]) -> Vec<Novelty> {
        let mut verdicts = Vec::new();
        window.begin_record(Offset(offset));
        window.observe(set, readings, |_, novelty| verdicts.push(novelty));
        verdicts
    }

    #[test]
    fn a_repeat_is_known_in_another_message_with_other_neighbours() {
        let mut window = RepeatWindow::new(SETTINGS);
        judge(&mut window, 0, &set(1, &["a", "b"]), &[reading(0, 5, 1.0), reading(1, 5, 2.0)]);
        let verdicts = judge(&mut window, 1, &set(2, &["b", "c"]), &[reading(0, 5, 2.0), reading(1, 5, 2.0)]);
        assert_eq!(verdicts, [Novelty::Repeat, Novelty::New]);
    }

    #[test]
    fn another_value_at_the_same_time_is_a_correction_and_its_own_repeat_is_known() {
        let mut window = RepeatWindow::new(SETTINGS);
        let set = set(1, &["a"]);
        assert_eq!(judge(&mut window, 0, &set, &[reading(0, 5, 1.0)]), [Novelty::New]);
        assert_eq!(judge(&mut window, 1, &set, &[reading(0, 5, 1.5)]), [Novelty::Correction]);
        assert_eq!(judge(&mut window, 9, &set, &[reading(0, 5, 1.5)]), [Novelty::Repeat]);
        assert_eq!(judge(&mut window, 10, &set, &[reading(0, 5, 1.0)]), [Novelty::Repeat]);
    }

    #[test]
    fn a_full_block_is_cut_early_so_that_memory_is_bounded() {
        let mut window = RepeatWindow::new(RepeatSettings { block_records: 1 << 20, block_readings_max: 10 });
        let set = set(1, &["a"]);
        for offset in 0..1_000u64 {
            judge(&mut window, offset, &set, &[reading(0, i64::try_from(offset).unwrap(), 1.0)]);
            assert!(window.len() <= 20);
        }
    }

    /// Two plain sets of (signal, time, value), and the rules of blocks in so many words.
    #[derive(Default)]
    struct Naive {
        block: u64,
        current: BTreeSet<(&'static str, i64, u8)>,
        previous: BTreeSet<(&'static str, i64, u8)>,
    }

    impl Naive {
        fn begin(&mut self, offset: u64, settings: &RepeatSettings) {
            let block = offset / settings.block_records;
            if block != self.block || self.current.len() >= settings.block_readings_max {
                self.previous = mem::take(&mut self.current);
            }
            if block > self.block + 1 {
                self.previous.clear();
            }
            self.block = block;
        }

        fn judge(&mut self, signal: &'static str, time: i64, value: u8) -> Novelty {
            let blocks = [&self.current, &self.previous];
            let knows = |value: u8| blocks.iter().any(|block| block.contains(&(signal, time, value)));
            let novelty = if knows(value) {
                Novelty::Repeat
            } else if (0..=u8::MAX).any(knows) {
                Novelty::Correction
            } else {
                Novelty::New
            };
            self.current.insert((signal, time, value));
            novelty
        }
    }

    type Rows = Vec<(usize, i64, u8)>;

    /// Records as (offset, set, rows): mostly in the order of time, in blocks of 8 records with some left out.
    fn a_log() -> impl Strategy<Value = Vec<(u64, usize, Rows)>> {
        let step = prop_oneof![9 => Just(1_u64), 1 => 2..20_u64];
        let lag = prop_oneof![6 => Just(0_i64), 2 => 0..4_i64, 1 => 0..40_i64];
        let rows = prop::collection::vec((0..2_usize, lag, 0..3_u8), 0..5);
        prop::collection::vec((step, 0..2_usize, rows), 1..80).prop_map(|records| {
            let (mut offset, mut now) = (0, 0);
            let place = |(step, set, rows): (u64, usize, Rows)| {
                offset += step;
                now += 1;
                (
                    offset,
                    set,
                    rows.into_iter().map(|(signal, lag, value)| (signal, now - lag, value)).collect(),
                )
            };
            records.into_iter().map(place).collect()
        })
    }

    proptest! {
        #[test]
        fn a_reader_that_reads_back_judges_like_one_that_read_all(
            records in prop::collection::vec((0i64..6, 0u8..3), 1..60), resume in 0usize..60)
        {
            let set = set(1, &["a"]);
            let mut all = RepeatWindow::new(SETTINGS);
            let verdicts: Vec<_> = records.iter().enumerate().map(|(offset, (micros, value))| {
                judge(&mut all, offset as u64, &set, &[reading(0, *micros, f64::from(*value))])
            }).collect();

            let resume = resume.min(records.len());
            let from = RepeatWindow::read_back(&SETTINGS, NextOffset(resume as u64));
            let mut resumed = RepeatWindow::new(SETTINGS);
            for offset in usize::try_from(from.0).unwrap()..records.len() {
                let (micros, value) = records[offset];
                let verdict = judge(&mut resumed, offset as u64, &set, &[reading(0, micros, f64::from(value))]);
                if offset >= resume {
                    prop_assert_eq!(&verdict, &verdicts[offset]);
                }
            }
        }

        #[test]
        fn it_agrees_with_a_map_of_the_two_blocks(records in prop::collection::vec((0i64..6, 0u8..3), 1..60)) {
            let set = set(1, &["a"]);
            let mut window = RepeatWindow::new(SETTINGS);
            let mut seen: BTreeMap<(i64, u8), u64> = BTreeMap::new();
            for (offset, (micros, value)) in records.iter().enumerate() {
                let block = offset as u64 / SETTINGS.block_records;
                let verdict = judge(&mut window, offset as u64, &set, &[reading(0, *micros, f64::from(*value))]);
                let in_window = |seen_in: &u64| seen_in + 1 >= block;
                let repeat = seen.get(&(*micros, *value)).is_some_and(in_window);
                let other = (0u8..3).any(|v| v != *value && seen.get(&(*micros, v)).is_some_and(in_window));
                let expected = if repeat { Novelty::Repeat } else if other { Novelty::Correction } else { Novelty::New };
                prop_assert_eq!(verdict, vec![expected]);
                seen.insert((*micros, *value), block);
            }
        }

        #[test]
        fn it_agrees_with_plain_sets_over_signals_of_several_sets_and_blocks_cut_early(
            log in a_log(), block_readings_max in 1..40_usize, resume in any::<prop::sample::Index>())
        {
            const NAMES: [[&str; 2]; 2] = [["a", "b"], ["b", "c"]];
            let settings = RepeatSettings { block_records: 8, block_readings_max };
            let sets = [set(1, &NAMES[0]), set(2, &NAMES[1])];
            let resume = log[resume.index(log.len())].0;
            let from = RepeatWindow::read_back(&settings, NextOffset(resume));
            let (mut naive, mut all, mut resumed) =
                (Naive::default(), RepeatWindow::new(settings), RepeatWindow::new(settings));
            for (offset, of, rows) in &log {
                naive.begin(*offset, &settings);
                let expected: Vec<_> = rows
                    .iter()
                    .map(|&(signal, time, value)| naive.judge(NAMES[*of][signal], time, value))
                    .collect();
                let readings: Vec<_> = rows
                    .iter()
                    .map(|&(signal, time, value)| {
                        reading(u32::try_from(signal).unwrap(), time, f64::from(value))
                    })
                    .collect();
                prop_assert_eq!(&judge(&mut all, *offset, &sets[*of], &readings), &expected);
                prop_assert_eq!(all.len(), naive.current.len() + naive.previous.len());
                if *offset >= from.0 {
                    let verdict = judge(&mut resumed, *offset, &sets[*of], &readings);
                    prop_assert!(*offset < resume || verdict == expected, "after a restart at {}", resume);
                }
            }
        }
    }
}
