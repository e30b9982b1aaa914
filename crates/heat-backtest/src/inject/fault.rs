//! Kinds and sizes of faults.

/// What is put in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[repr(usize)]
pub enum FaultKind {
    /// The value stands still; size in hours.
    Stuck,
    /// It is off by so much, K, for a week.
    Bias,
    /// It goes off by so much a day, K/d, for two weeks.
    Drift,
    /// Single values are off by 10 to 30 K; size is how many a day, for two days.
    Spikes,
    /// Supply and return are exchanged; size in hours.
    Swapped,
    /// Seven of ten values are this word for "no value" (or one that nobody knows), for a day.
    Sentinel,
    /// The device sends nothing; size in hours.
    Gap,
}

impl FaultKind {
    /// All kinds.
    pub const ALL: [Self; 7] =
        [Self::Stuck, Self::Bias, Self::Drift, Self::Spikes, Self::Swapped, Self::Sentinel, Self::Gap];

    /// Its word, that of the incident's kind.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Stuck => "stuck",
            Self::Bias => "bias",
            Self::Drift => "drift",
            Self::Spikes => "spikes",
            Self::Swapped => "swapped",
            Self::Sentinel => "sentinel",
            Self::Gap => "gap",
        }
    }

    /// Unit of its size.
    pub const fn unit(self) -> &'static str {
        match self {
            Self::Stuck | Self::Swapped | Self::Gap => "h",
            Self::Bias => "K",
            Self::Drift => "K/d",
            Self::Spikes => "1/d",
            Self::Sentinel => "degC",
        }
    }

    /// Whether it puts another value in the place of the true one, which may happen to be the same.
    pub(super) const fn replaces(self) -> bool {
        matches!(self, Self::Stuck | Self::Swapped | Self::Sentinel)
    }

    /// How long it lasts, microseconds.
    pub(super) fn lasts_us(self, size: f64) -> i64 {
        let hours = match self {
            Self::Stuck | Self::Swapped | Self::Gap => size,
            Self::Bias => 7.0 * 24.0,
            Self::Drift => 14.0 * 24.0,
            Self::Spikes => 48.0,
            Self::Sentinel => 24.0,
        };
        #[expect(clippy::cast_possible_truncation, reason = "at most two weeks")]
        let us = (hours * 3_600e6) as i64;
        us
    }

    /// Readings that it must have touched to be one.
    pub(super) const fn touches_min(self) -> u32 {
        match self {
            Self::Spikes => 2,
            Self::Stuck | Self::Bias | Self::Drift | Self::Swapped | Self::Sentinel | Self::Gap => 3,
        }
    }
}

/// Sizes that are drawn from, by kind in the order of [`FaultKind::ALL`].
pub const SIZES: [&[f64]; 7] = [
    &[6.0, 12.0, 24.0, 48.0, 72.0],
    &[0.5, 1.0, 2.0, 3.0, 5.0],
    &[0.05, 0.1, 0.2, 0.5],
    &[2.0, 4.0, 8.0],
    &[24.0, 48.0, 72.0],
    &[-39.9, 0.0, 9_999.0, -1.0],
    &[6.0, 12.0, 24.0, 48.0],
];
