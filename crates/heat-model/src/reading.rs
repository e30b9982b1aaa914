//! Readings, and the signal sets that name them.
//!
//! A device sends the same signals again and again, so a record names them once ([`SignalSet`]) and readings refer
//! to a signal by its index in the set.

use serde::{Deserialize, Serialize};

use crate::{
    ids::{DeviceId, NetworkId, SignalId, SignalName, SiteId},
    time::EventTime,
};

/// How far a value may be trusted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[repr(u8)]
pub enum Quality {
    /// Fit for use.
    #[default]
    Good = 0,
    /// Usable with care; the code says why.
    Uncertain = 1,
    /// Not to be used as a value; the code says why.
    Bad = 2,
}

impl Quality {
    /// The word used in payloads and in the archive.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Good => "good",
            Self::Uncertain => "uncertain",
            Self::Bad => "bad",
        }
    }

    /// From its number on the wire.
    pub const fn from_number(number: u8) -> Option<Self> {
        match number {
            0 => Some(Self::Good),
            1 => Some(Self::Uncertain),
            2 => Some(Self::Bad),
            _ => None,
        }
    }
}

/// Defines the closed list of codes with their wire numbers and words in one place.
macro_rules! quality_codes {
    ($($(#[$doc:meta])* $name:ident = $number:literal, $word:literal;)*) => {
        /// Why a reading has its quality; a closed list, stable on the wire and in the archive.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
        #[serde(rename_all = "snake_case")]
        #[repr(u8)]
        pub enum QualityCode { $($(#[$doc])* $name = $number,)* }

        impl QualityCode {
            /// All codes, in the order of their numbers.
            pub const ALL: &'static [Self] = &[$(Self::$name,)*];

            /// The word used in the archive.
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$name => $word,)* }
            }

            /// From its number on the wire.
            pub const fn from_number(number: u8) -> Option<Self> {
                match number { $($number => Some(Self::$name),)* _ => None }
            }
        }
    };
}

quality_codes! {
    /// Nothing to say.
    #[default]
    None = 0, "none";
    /// The payload carried no time; event time is the time of arrival.
    Untimed = 1, "untimed";
    /// The device's clock is ahead of the gateway's by more than the bound.
    ClockAhead = 2, "clock_ahead";
    /// The time is in 1970 or 2000: a clock that was reset.
    ClockReset = 3, "clock_reset";
    /// Milliseconds were meant, seconds were sent.
    SecondsAsMilliseconds = 4, "seconds_as_milliseconds";
    /// Local time was stamped as UTC.
    LocalTimeAsUtc = 5, "local_time_as_utc";
    /// The device says bad.
    DeviceBad = 6, "device_bad";
    /// The device says uncertain.
    DeviceUncertain = 7, "device_uncertain";
    /// The value is null.
    Null = 8, "null";
    /// Outside the range of the plant model.
    OutOfRange = 9, "out_of_range";
    /// A value that means "no measurement" for this device.
    Sentinel = 10, "sentinel";
    /// An MQTT retained message: it says nothing about now.
    Retained = 11, "retained";
    /// The device's clock is behind by a steady lead, further than the bound of the live lane.
    ClockBehind = 12, "clock_behind";
}

impl QualityCode {
    /// Whether the reading's time is wrong: it can be put nowhere in time, and advances time for nobody.
    pub const fn is_clock_fault(self) -> bool {
        match self {
            Self::ClockAhead
            | Self::ClockReset
            | Self::SecondsAsMilliseconds
            | Self::LocalTimeAsUtc
            | Self::ClockBehind => true,
            Self::None
            | Self::Untimed
            | Self::DeviceBad
            | Self::DeviceUncertain
            | Self::Null
            | Self::OutOfRange
            | Self::Sentinel
            | Self::Retained => false,
        }
    }
}

/// The lane is fixed at receipt and never rewritten. Back-filled data never page.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[repr(u8)]
pub enum Lane {
    /// Fresh: decides about pages.
    #[default]
    Live = 0,
    /// Declared as history, or older than the bound at receipt.
    Backfill = 1,
}

impl Lane {
    /// The word used in payloads and in the archive.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Live => "live",
            Self::Backfill => "backfill",
        }
    }
}

/// One signal of a set, with the linear conversion from what was received to SI: `value = raw * scale + offset`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SignalDecl {
    /// The name.
    pub name: SignalName,
    /// Unit of `value`: SI without context (a volume flow stays m3/s).
    pub unit: Box<str>,
    /// Unit as received; empty if none came.
    pub raw_unit: Box<str>,
    /// Factor from raw to SI.
    pub scale: f64,
    /// Summand from raw to SI, applied after the factor.
    pub offset: f64,
}

impl SignalDecl {
    /// The SI value of a raw value.
    pub fn value_of(&self, raw: f64) -> f64 {
        raw * self.scale + self.offset
    }
}

/// Hash of a set's network and content: the same set has the same id in every process.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct SignalSetId(pub u64);

/// The signals that one record carries: all of one device.
#[derive(Debug, Clone, PartialEq)]
pub struct SignalSet {
    /// Hash of network and content.
    pub id: SignalSetId,
    /// The network.
    pub network: NetworkId,
    /// The site.
    pub site: SiteId,
    /// The device.
    pub device: DeviceId,
    /// The signals; readings refer to them by index.
    pub signals: Vec<SignalDecl>,
}

impl SignalSet {
    /// The full id of a signal of the set.
    ///
    /// # Panics
    /// If `index` is not below the number of signals.
    pub fn signal_id(&self, index: usize) -> SignalId {
        SignalId {
            network: self.network.clone(),
            site: self.site.clone(),
            device: self.device.clone(),
            name: self.signals[index].name.clone(),
        }
    }
}

/// One value of one signal at one time.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Reading {
    /// Index of the signal in the record's set.
    pub signal: u32,
    /// When it was measured, by the device.
    pub event_time: EventTime,
    /// As received; NaN where the payload carried null.
    pub raw: f64,
    /// In SI; NaN where `raw` is NaN.
    pub value: f64,
    /// Trust.
    pub quality: Quality,
    /// Why.
    pub code: QualityCode,
}

impl Reading {
    /// The SI value where there is one that may be used.
    pub fn usable(&self) -> Option<f64> {
        (self.quality != Quality::Bad && self.value.is_finite()).then_some(self.value)
    }
}
