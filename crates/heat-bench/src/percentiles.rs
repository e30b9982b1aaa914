//! Exact percentiles of all values measured.

use serde::{Deserialize, Serialize};

/// Percentiles of durations.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub(crate) struct Percentiles {
    /// How many values.
    pub(crate) count: u64,
    pub(crate) p50_ms: f64,
    pub(crate) p90_ms: f64,
    pub(crate) p99_ms: f64,
    pub(crate) max_ms: f64,
}

/// Of durations in microseconds; `None` without any.
pub(crate) fn of_micros(mut micros: Vec<u64>) -> Option<Percentiles> {
    micros.sort_unstable();
    let last = micros.len().checked_sub(1)?;
    // Nearest rank: the smallest value that so many hundredths of all do not exceed.
    let rank = |hundredths: usize| (micros.len() * hundredths).div_ceil(100).saturating_sub(1).min(last);
    let ms = |index: usize| micros[index] as f64 / 1e3;
    Some(Percentiles {
        count: micros.len() as u64,
        p50_ms: ms(rank(50)),
        p90_ms: ms(rank(90)),
        p99_ms: ms(rank(99)),
        max_ms: ms(last),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_values_that_were_measured() {
        let of = of_micros((1..=200).rev().map(|value| value * 1_000).collect()).unwrap();
        assert_eq!((of.count, of.p50_ms, of.p90_ms), (200, 100.0, 180.0));
        assert_eq!((of.p99_ms, of.max_ms), (198.0, 200.0));
    }

    #[test]
    fn one_value_is_all_percentiles_and_none_has_none() {
        let of = of_micros(vec![1_500]).unwrap();
        assert_eq!((of.p50_ms, of.p99_ms, of.max_ms), (1.5, 1.5, 1.5));
        assert_eq!(of_micros(Vec::new()), None);
    }
}
