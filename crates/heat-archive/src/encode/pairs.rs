//! One dictionary for `value` and `raw_value` together.
//!
//! A meter shows few digits, and `value` follows from `raw_value`, so the pairs are few. Both columns then have the
//! same indices, which are found, encoded and compressed once. Entries stand in order of the numbers, so that one
//! signal's indices lie close together.

use crate::buffer::Row;

/// More pairs than this are not a meter's digits; the columns are then written without a dictionary.
const PAIRS_MAX: usize = 1 << 18;

/// Distinct pairs (raw, value) of some rows, and each row's index among them.
#[derive(Debug)]
pub(super) struct Pairs {
    /// In order of (raw, value); NaN stands for null.
    pub(super) entries: Vec<(f64, f64)>,
    pub(super) indices: Vec<u32>,
}

impl Pairs {
    /// Finds the pairs, unless there are too many for a dictionary to pay: more than one to two rows.
    pub(super) fn of(rows: &[Row]) -> Option<Self> {
        let limit = PAIRS_MAX.min(rows.len() / 2);
        let mut table = Table::new();
        let mut indices = Vec::with_capacity(rows.len());
        let mut last = None;
        for row in rows {
            let pair = (row.raw.to_bits(), row.value.to_bits());
            let index = match last {
                Some((same, index)) if same == pair => index,
                _ => table.index_of(row.raw, row.value),
            };
            last = Some((pair, index));
            indices.push(index);
            if table.entries.len() > limit {
                return None;
            }
        }
        Some(sorted(table.entries, indices))
    }
}

fn sorted(entries: Vec<(f64, f64)>, mut indices: Vec<u32>) -> Pairs {
    let mut order: Vec<u32> = (0..u32::try_from(entries.len()).expect("bounded by PAIRS_MAX")).collect();
    order.sort_unstable_by(|&a, &b| {
        let (a, b) = (entries[a as usize], entries[b as usize]);
        a.0.total_cmp(&b.0).then(a.1.total_cmp(&b.1))
    });
    let mut rank = vec![0_u32; order.len()];
    for (place, &entry) in (0_u32..).zip(&order) {
        rank[entry as usize] = place;
    }
    for index in &mut indices {
        *index = rank[*index as usize];
    }
    Pairs { entries: order.iter().map(|&entry| entries[entry as usize]).collect(), indices }
}

/// Open addressing over the bits of both numbers, at most half full.
struct Table {
    entries: Vec<(f64, f64)>,
    /// Index of an entry plus one; 0 is free.
    slots: Vec<u32>,
    shift: u32,
}

impl Table {
    fn new() -> Self {
        Self { entries: Vec::new(), slots: vec![0; 1024], shift: 64 - 10 }
    }

    fn slot(&self, raw: u64, value: u64) -> usize {
        let mixed = (raw ^ value.rotate_left(32)).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        let top = mixed.rotate_left(29).wrapping_mul(0xbf58_476d_1ce4_e5b9) >> self.shift;
        usize::try_from(top).expect("the shift leaves as many bits as there are slots")
    }

    fn index_of(&mut self, raw: f64, value: f64) -> u32 {
        let bits = (raw.to_bits(), value.to_bits());
        let mask = self.slots.len() - 1;
        let mut slot = self.slot(bits.0, bits.1);
        loop {
            let found = self.slots[slot];
            if found == 0 {
                break;
            }
            let entry = self.entries[found as usize - 1];
            if (entry.0.to_bits(), entry.1.to_bits()) == bits {
                return found - 1;
            }
            slot = (slot + 1) & mask;
        }
        self.entries.push((raw, value));
        let index = u32::try_from(self.entries.len()).expect("bounded by PAIRS_MAX");
        self.slots[slot] = index;
        if self.entries.len() * 2 > self.slots.len() {
            self.grow();
        }
        index - 1
    }

    fn grow(&mut self) {
        self.slots = vec![0; self.slots.len() * 2];
        self.shift -= 1;
        let mask = self.slots.len() - 1;
        for (index, &(raw, value)) in (1_u32..).zip(&self.entries) {
            let mut slot = self.slot(raw.to_bits(), value.to_bits());
            while self.slots[slot] != 0 {
                slot = (slot + 1) & mask;
            }
            self.slots[slot] = index;
        }
    }
}
