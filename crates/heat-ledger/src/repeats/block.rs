//! What one block of the window remembers, by signal.
//!
//! Nearly every reading is newer than all others of its signal. Such readings form the signal's run, whose last time
//! alone proves a newer one to be unseen: one line of memory, and no search. A run lies in one store with all others, in
//! chunks of 8 bytes a reading that grow as the run does: time since the chunk's first, and the value's fingerprint. A
//! chunk that begins at a whole millisecond counts in milliseconds and reaches over 49 days. A block that grows no more is
//! packed: a run then lies in one piece, without the room that its chunks had left.
//! What comes out of order, or again with another value, strays from the run into a hash table of exact keys.

use std::ops::Range;

use hashbrown::{HashMap, HashTable};
use xxhash_rust::xxh3::xxh3_64_with_seed;

/// Readings of the first chunk of a run.
const CHUNK_MIN: u32 = 1;
/// Words before a chunk's readings: its first time, then where the chunk before it lies and, once it is closed, how many
/// it holds.
const HEADER: usize = 2;
/// Stands for "no chunk".
const NONE: u32 = u32::MAX;

/// What a block knows of a signal, time and value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Seen {
    /// Nothing of this signal and time.
    Nothing,
    /// The same.
    Same,
    /// The signal and time with other values only.
    Other,
}

/// A reading as far as the window tells it from others.
#[derive(Debug, Clone, Copy)]
pub(super) struct Key {
    /// Hash of the signal's id.
    pub(super) signal: u64,
    /// Event time, microseconds.
    pub(super) time: i64,
    /// Fingerprint of value and quality.
    pub(super) value: u32,
}

/// One signal's part of a block.
#[derive(Debug, Clone)]
struct Track {
    /// No reading of the signal is later.
    last: i64,
    /// First time of the open chunk.
    base: i64,
    /// Where the open chunk begins; [`NONE`] while the signal has no reading.
    open: u32,
    filled: u32,
    capacity: u32,
    /// Readings that strayed from the run.
    strays: u32,
}

impl Track {
    const EMPTY: Self = Self { last: i64::MIN, base: 0, open: NONE, filled: 0, capacity: 0, strays: 0 };

    /// What is `time` in the open chunk, if it can be there.
    fn delta(&self, time: i64) -> Option<u32> {
        delta(self.base, time)
    }
}

/// Hash of signal and time in two words, and value.
type Stray = [u32; 3];

/// The readings of one block.
#[derive(Debug, Default)]
pub(super) struct Block {
    /// Place in `tracks` by the hash of the signal's id.
    places: HashMap<u64, u32, foldhash::fast::FixedState>,
    tracks: Vec<Track>,
    /// The chunks of all runs.
    words: Vec<u64>,
    strays: HashTable<Stray>,
    len: usize,
}

impl Block {
    /// Readings remembered.
    pub(super) fn len(&self) -> usize {
        self.len
    }

    /// Forgets all.
    pub(super) fn clear(&mut self) {
        self.places.clear();
        self.tracks.clear();
        self.words.clear();
        // Rarely as many the next time: the memory goes back.
        self.strays = HashTable::new();
        self.len = 0;
    }

    /// The signal's place, if it has readings here.
    pub(super) fn place(&self, signal: u64) -> Option<u32> {
        self.places.get(&signal).copied()
    }

    /// The signal's place; a new one if it has none. A reading must follow.
    pub(super) fn place_or_new(&mut self, signal: u64) -> u32 {
        let next = u32::try_from(self.tracks.len()).expect("a block is cut far below 2^32 readings");
        let place = *self.places.entry(signal).or_insert(next);
        if place == next {
            self.tracks.push(Track::EMPTY);
        }
        place
    }

    /// The latest time of the signal at `place`, if there is such a place.
    pub(super) fn last(&self, place: u32) -> i64 {
        self.tracks.get(place as usize).map_or(i64::MIN, |track| track.last)
    }

    /// What is known of a reading of the signal at `place`.
    pub(super) fn look(&self, place: u32, key: Key) -> Seen {
        let track = &self.tracks[place as usize];
        if key.time > track.last || track.open == NONE {
            return Seen::Nothing;
        }
        let of_run = self.look_in_run(track, key);
        if of_run == Seen::Same || track.strays == 0 {
            return of_run;
        }
        let stray = stray(key);
        let hash = hash_of(&stray);
        if self.strays.find(hash, |other| *other == stray).is_some() {
            Seen::Same
        } else if of_run == Seen::Other || self.strays.find(hash, |other| hash_of(other) == hash).is_some() {
            Seen::Other
        } else {
            Seen::Nothing
        }
    }

    /// Remembers a reading that was not yet seen so.
    pub(super) fn insert(&mut self, place: u32, key: Key) {
        self.len += 1;
        let track = &mut self.tracks[place as usize];
        if track.open != NONE && key.time <= track.last {
            track.strays += 1;
            let stray = stray(key);
            self.strays.insert_unique(hash_of(&stray), stray, hash_of);
            return;
        }
        track.last = key.time;
        let delta = track.delta(key.time).filter(|_| track.filled < track.capacity);
        let delta = delta.unwrap_or_else(|| {
            open_chunk(&mut self.words, track, key.time);
            0
        });
        let at = track.open as usize + HEADER + track.filled as usize;
        self.words[at] = u64::from(key.value) << 32 | u64::from(delta);
        track.filled += 1;
    }

    /// Puts each run in as few chunks as it needs, for a block that takes no more readings.
    pub(super) fn pack(&mut self) {
        let mut packed = Vec::with_capacity(self.len - self.strays.len() + HEADER * self.tracks.len());
        let mut chunks = Vec::new();
        for track in &mut self.tracks {
            chunks_of(&self.words, track, &mut chunks);
            *track = Track { open: NONE, base: 0, filled: 0, capacity: 0, ..*track };
            for chunk in chunks.drain(..).rev() {
                for &word in &self.words[chunk.readings()] {
                    let (value, delta) = halves(word);
                    push_packed(&mut packed, track, time_of(chunk.base, delta), value);
                }
            }
        }
        self.words = packed;
    }

    fn look_in_run(&self, track: &Track, key: Key) -> Seen {
        let (mut chunk, mut filled, mut base) = (track.open as usize, track.filled as usize, track.base);
        while key.time < base {
            let (_, before) = halves(self.words[chunk + 1]);
            if before == NONE {
                return Seen::Nothing;
            }
            chunk = before as usize;
            base = self.words[chunk].cast_signed();
            filled = halves(self.words[chunk + 1]).0 as usize;
        }
        let Some(delta) = delta(base, key.time) else { return Seen::Nothing };
        let readings = &self.words[chunk + HEADER..chunk + HEADER + filled];
        match readings.binary_search_by_key(&delta, |&word| halves(word).1) {
            Ok(at) if halves(readings[at]).0 == key.value => Seen::Same,
            Ok(_) => Seen::Other,
            Err(_) => Seen::Nothing,
        }
    }
}

/// Closes the track's open chunk and opens the next, which begins at `time`.
fn open_chunk(words: &mut Vec<u64>, track: &mut Track, time: i64) {
    let before = track.open;
    if before != NONE {
        let previous = words[before as usize + 1];
        words[before as usize + 1] = u64::from(track.filled) << 32 | u64::from(halves(previous).1);
    }
    // A run whose times lie far apart fills no chunk: the next one is as small as the last was full.
    let full = track.filled == track.capacity;
    track.capacity = match (before, full) {
        (NONE, _) => CHUNK_MIN,
        (_, true) => track.capacity + (track.capacity / 4).max(2),
        (_, false) => track.filled,
    };
    track.open = u32::try_from(words.len()).expect("a block is cut far below 2^32 readings");
    track.base = time;
    track.filled = 0;
    words.push(time.cast_unsigned());
    words.push(u64::from(before));
    words.resize(words.len() + track.capacity as usize, 0);
}

/// Where a chunk lies, and from when its readings count.
struct Chunk {
    at: usize,
    filled: usize,
    base: i64,
}

impl Chunk {
    fn readings(&self) -> Range<usize> {
        let first = self.at + HEADER;
        first..first + self.filled
    }
}

/// A track's chunks, the newest first.
fn chunks_of(words: &[u64], track: &Track, chunks: &mut Vec<Chunk>) {
    let (mut at, mut filled) = (track.open, track.filled);
    while at != NONE {
        let place = at as usize;
        chunks.push(Chunk { at: place, filled: filled as usize, base: words[place].cast_signed() });
        at = halves(words[place + 1]).1;
        if at != NONE {
            filled = halves(words[at as usize + 1]).0;
        }
    }
}

/// Adds a reading to the track's run, whose open chunk ends where `words` do.
fn push_packed(words: &mut Vec<u64>, track: &mut Track, time: i64, value: u32) {
    let delta = track.delta(time).filter(|_| track.open != NONE).unwrap_or_else(|| {
        track.capacity = track.filled;
        open_chunk(words, track, time);
        words.truncate(track.open as usize + HEADER);
        0
    });
    words.push(u64::from(value) << 32 | u64::from(delta));
    track.filled += 1;
    track.capacity = track.filled;
}

/// What a chunk that begins at `base` counts in, microseconds.
const fn unit(base: i64) -> i64 {
    if base % 1_000 == 0 { 1_000 } else { 1 }
}

/// The time that is `delta` in a chunk that begins at `base`.
fn time_of(base: i64, delta: u32) -> i64 {
    base + i64::from(delta) * unit(base)
}

/// What is `time` in a chunk that begins at `base`, if it can be there.
fn delta(base: i64, time: i64) -> Option<u32> {
    let unit = unit(base);
    let micros = time.checked_sub(base)?;
    (micros % unit == 0).then(|| u32::try_from(micros / unit).ok())?
}

/// The upper and the lower half.
fn halves(word: u64) -> (u32, u32) {
    #[expect(clippy::cast_possible_truncation, reason = "splits the word in two")]
    let halves = ((word >> 32) as u32, word as u32);
    halves
}

fn stray(key: Key) -> Stray {
    let (upper, lower) = halves(mix(key.signal, key.time.cast_unsigned()));
    [upper, lower, key.value]
}

fn hash_of(stray: &Stray) -> u64 {
    u64::from(stray[0]) << 32 | u64::from(stray[1])
}

/// Mixes two words; xxh3 of the one seeded with the other.
pub(super) fn mix(a: u64, b: u64) -> u64 {
    xxh3_64_with_seed(&a.to_le_bytes(), b)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    /// Times that lie close, minutes apart, or further than a chunk reaches; and their ends.
    fn times() -> impl Strategy<Value = i64> {
        prop_oneof![
            4 => 0..40_i64,
            2 => (0..40_i64).prop_map(|step| step * 900_000_000),
            2 => (0..40_i64).prop_map(|step| step * 86_400_000_000),
            2 => (0..40_i64).prop_map(|step| step * 20 * 86_400_000_000 + step % 3),
            1 => prop_oneof![Just(i64::MIN), Just(i64::MIN + 1), Just(i64::MAX), Just(-1)],
        ]
    }

    fn naive(seen: &BTreeMap<(u64, i64), Vec<u32>>, key: Key) -> Seen {
        match seen.get(&(key.signal, key.time)) {
            None => Seen::Nothing,
            Some(values) if values.contains(&key.value) => Seen::Same,
            Some(_) => Seen::Other,
        }
    }

    fn agree(keys: &[(u64, i64, u32)]) -> Block {
        let (mut block, mut seen) = (Block::default(), BTreeMap::<_, Vec<u32>>::new());
        for &(signal, time, value) in keys {
            let key = Key { signal, time, value };
            let place = block.place_or_new(signal);
            let found = block.look(place, key);
            assert_eq!(found, naive(&seen, key), "{key:?}");
            if found != Seen::Same {
                block.insert(place, key);
                seen.entry((signal, time)).or_default().push(value);
            }
        }
        assert_eq!(block.len(), seen.values().map(Vec::len).sum::<usize>());
        holds_all(&block, &seen);
        block
    }

    fn holds_all(block: &Block, seen: &BTreeMap<(u64, i64), Vec<u32>>) {
        for (&(signal, time), values) in seen {
            let place = block.place(signal).expect("it has readings");
            for &value in values {
                assert_eq!(block.look(place, Key { signal, time, value }), Seen::Same);
            }
            assert_eq!(block.look(place, Key { signal, time, value: 9 }), Seen::Other);
            let before = seen.range((signal, i64::MIN)..(signal, time)).next_back().map(|(key, _)| key.1);
            if let Some(between) = time.checked_sub(1).filter(|&between| before < Some(between)) {
                assert_eq!(block.look(place, Key { signal, time: between, value: 3 }), Seen::Nothing);
            }
        }
    }

    fn map_of(keys: &[(u64, i64, u32)]) -> BTreeMap<(u64, i64), Vec<u32>> {
        let mut seen = BTreeMap::<_, Vec<u32>>::new();
        for &(signal, time, value) in keys {
            seen.entry((signal, time)).or_default().push(value);
        }
        seen
    }

    #[test]
    fn a_packed_block_has_no_room_left_and_knows_what_it_knew() {
        let keys: Vec<_> = (0..10_u64)
            .flat_map(|signal| (0..84_i64).map(move |step| (signal, step * 1_000_000, 3)))
            .collect();
        let mut block = agree(&keys);
        assert!(block.words.len() > 1_000, "{} words", block.words.len());

        block.pack();

        assert_eq!(block.words.len(), 10 * (84 + HEADER));
        assert_eq!(block.len(), 840);
        holds_all(&block, &map_of(&keys));
    }

    #[test]
    fn a_long_run_in_order_strays_nowhere_and_is_found_again() {
        let keys: Vec<_> = (0..5_000_i64).map(|step| (1, step * 1_000_000, 3)).collect();
        let block = agree(&keys);
        assert!(block.strays.is_empty());
        assert!(block.words.len() < 5_000 * 5 / 4 + 100, "{} words", block.words.len());
    }

    #[test]
    fn readings_too_far_apart_for_a_chunk_take_four_words_each_and_a_day_apart_less_than_two() {
        let days =
            |days: i64| (0..1_000_i64).map(|step| (1, step * days * 86_400_000_000, 3)).collect::<Vec<_>>();
        assert!(agree(&days(1)).words.len() < 2_000);
        let block = agree(&days(60));
        assert!(block.words.len() < 4_100, "{} words", block.words.len());
    }

    #[test]
    fn a_clock_that_runs_backwards_is_judged_like_any_other() {
        let keys: Vec<_> = (0..1_000_i64).map(|step| (1, -step, 3)).collect();
        assert_eq!(agree(&keys).strays.len(), 999);
    }

    proptest! {
        #[test]
        fn it_agrees_with_a_map_of_everything_inserted(
            keys in prop::collection::vec((0..3_u64, times(), 0..3_u32), 1..300))
        {
            agree(&keys);
        }

        #[test]
        fn it_agrees_on_runs_with_few_strays(
            runs in prop::collection::vec((0..3_u64, times(), 1..40_i64, prop::bool::ANY), 1..20))
        {
            let keys: Vec<_> = runs
                .iter()
                .flat_map(|&(signal, from, count, slow)| {
                    let step = if slow { 3_600_000_000 } else { 1_000_000 };
                    (0..count).map(move |at| (signal, from.saturating_add(at * step), 0))
                })
                .collect();
            agree(&keys);
        }

        #[test]
        fn packing_changes_no_answer(
            keys in prop::collection::vec((0..3_u64, times(), 0..3_u32), 1..300))
        {
            let mut block = agree(&keys);
            let words = block.words.len();
            block.pack();
            prop_assert!(block.words.len() <= words);
            holds_all(&block, &map_of(&keys));
        }

        #[test]
        fn a_cleared_block_knows_nothing(keys in prop::collection::vec((0..3_u64, times(), 0..3_u32), 1..50)) {
            let mut block = agree(&keys);
            block.clear();
            prop_assert_eq!(block.len(), 0);
            prop_assert!(keys.iter().all(|(signal, _, _)| block.place(*signal).is_none()));
        }
    }
}
