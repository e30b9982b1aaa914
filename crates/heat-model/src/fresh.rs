//! Which readings of a record are fresh: not repeats of what the partition already holds.

/// One bit a reading. Readings beyond the mask's length count as fresh, so an empty mask means: all are.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct FreshMask {
    repeats: Vec<u64>,
}

impl FreshMask {
    /// Every reading is fresh.
    pub const fn all() -> Self {
        Self { repeats: Vec::new() }
    }

    /// Forgets all repeats and keeps the allocation, so that one mask serves record after record.
    pub fn reset(&mut self) {
        self.repeats.clear();
    }

    /// Marks the reading at `index` as a repeat.
    pub fn mark_repeat(&mut self, index: usize) {
        let word = index / 64;
        if word >= self.repeats.len() {
            self.repeats.resize(word + 1, 0);
        }
        self.repeats[word] |= 1 << (index % 64);
    }

    /// Whether the reading at `index` is fresh.
    pub fn is_fresh(&self, index: usize) -> bool {
        self.repeats.get(index / 64).is_none_or(|word| word >> (index % 64) & 1 == 0)
    }

    /// Number of readings marked as repeats.
    pub fn repeats(&self) -> u32 {
        self.repeats.iter().map(|word| word.count_ones()).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_empty_mask_says_that_all_are_fresh_and_marks_stay_where_they_were_set() {
        let mut mask = FreshMask::all();
        assert!(mask.is_fresh(0) && mask.is_fresh(1_000));

        mask.mark_repeat(3);
        mask.mark_repeat(64);
        assert!(!mask.is_fresh(3) && !mask.is_fresh(64));
        assert!(mask.is_fresh(2) && mask.is_fresh(65) && mask.is_fresh(128));
        assert_eq!(mask.repeats(), 2);

        mask.reset();
        assert_eq!(mask, FreshMask::all());
    }
}
