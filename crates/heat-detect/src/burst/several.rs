//! Several bursts that are on at once: each has its own place, and they share one balance.
//!
//! What is lost together is known, and what each lost when the next one came. When less is lost than all of them together, those
//! are over without which the sizes of the rest come nearest to it. Where two of about one size are on and one ends, nobody
//! knows which: both stay until less is lost than either of them.

/// By how much of the smallest size a sum may be off beside the best one.
const MARGIN: f64 = 0.3;

/// Which of some bursts of these sizes can be on while `total` is lost, kg/s. One of no size is over.
pub(super) fn may_be_on(sizes: &[f64], total: f64) -> Vec<bool> {
    let sets = 1_u32 << sizes.len();
    let is_in = |set: u32, nth: usize| set >> nth & 1 == 1;
    let off = |set: u32| {
        let sum: f64 = (0..sizes.len()).filter(|nth| is_in(set, *nth)).map(|nth| sizes[nth]).sum();
        (total - sum).abs()
    };
    let smallest = sizes.iter().copied().filter(|size| *size > 0.0).fold(f64::INFINITY, f64::min);
    let best = (0..sets).map(off).fold(f64::INFINITY, f64::min);
    let near: Vec<u32> = (0..sets).filter(|set| off(*set) <= best + MARGIN * smallest).collect();
    (0..sizes.len()).map(|nth| sizes[nth] > 0.0 && near.iter().any(|set| is_in(*set, nth))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_still_lost_says_which_burst_is_over() {
        for (total, on) in
            [(15.2, [true, true]), (5.3, [false, true]), (9.6, [true, false]), (0.4, [false, false])]
        {
            assert_eq!(may_be_on(&[10.0, 5.0], total), on, "{total}");
        }
    }

    #[test]
    fn one_that_had_no_size_left_when_the_next_came_takes_nothing_from_it() {
        assert_eq!(may_be_on(&[0.0, 5.0], 4.8), [false, true]);
        assert_eq!(may_be_on(&[0.0, 5.0], 0.1), [false, false]);
    }

    #[test]
    fn of_two_of_one_size_nobody_knows_which_is_over() {
        assert_eq!(may_be_on(&[10.0, 9.5], 9.8), [true, true]);
        assert_eq!(may_be_on(&[10.0, 9.5], 0.3), [false, false]);
    }
}
