//! Identifiers. One rule for all of them, so that an id fits an MQTT topic level, a metric label and a path.

use std::{borrow::Borrow, fmt, sync::Arc};

use serde::{Deserialize, Serialize};

/// Longest id in bytes; an MQTT topic of four levels then stays under 600 bytes.
pub const ID_MAX_BYTES: usize = 128;

/// Why a text is not an id.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum InvalidId {
    /// The text is empty.
    #[error("an id must not be empty")]
    Empty,
    /// The text is longer than [`ID_MAX_BYTES`].
    #[error("an id has at most {ID_MAX_BYTES} bytes")]
    TooLong,
    /// The text has a character that no id may have.
    #[error("an id must not contain {0:?} (no control characters, '/', '#', '+', '\\' or outer spaces)")]
    Character(char),
    /// The text is a path's `.` or `..`.
    #[error("an id must not be '.' or '..'")]
    Dots,
}

fn validate(text: &str) -> Result<(), InvalidId> {
    if text.is_empty() {
        return Err(InvalidId::Empty);
    }
    if text.len() > ID_MAX_BYTES {
        return Err(InvalidId::TooLong);
    }
    if text == "." || text == ".." {
        return Err(InvalidId::Dots);
    }
    if let Some(c) = text.chars().find(|c| c.is_control() || matches!(c, '/' | '#' | '+' | '\\')) {
        return Err(InvalidId::Character(c));
    }
    match (text.chars().next(), text.chars().next_back()) {
        (Some(first), Some(last)) if first.is_whitespace() || last.is_whitespace() => {
            Err(InvalidId::Character(' '))
        }
        _ => Ok(()),
    }
}

/// Defines one id type; a macro, because the types differ in nothing but their name.
macro_rules! id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(Arc<str>);

        impl $name {
            /// Checks the text and takes it as an id.
            pub fn new(text: &str) -> Result<Self, InvalidId> {
                validate(text)?;
                Ok(Self(text.into()))
            }

            /// The id's text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl TryFrom<String> for $name {
            type Error = InvalidId;
            fn try_from(text: String) -> Result<Self, InvalidId> {
                Self::new(&text)
            }
        }

        impl From<$name> for String {
            fn from(id: $name) -> Self {
                id.0.as_ref().to_owned()
            }
        }

        impl std::str::FromStr for $name {
            type Err = InvalidId;
            fn from_str(text: &str) -> Result<Self, InvalidId> {
                Self::new(text)
            }
        }

        impl Borrow<str> for $name {
            fn borrow(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Debug::fmt(&*self.0, f)
            }
        }
    };
}

id!(
    /// The largest set of pipes that can ever be hydraulically joined, with its stations and secondaries.
    NetworkId
);
id!(
    /// One hydraulic loop with its own make-up: a primary, or one secondary.
    CircuitId
);
id!(
    /// A point of the pipe graph.
    NodeId
);
id!(
    /// A source, station, chamber, building or household.
    SiteId
);
id!(
    /// A meter or controller at a site.
    DeviceId
);
id!(
    /// What a signal measures: a standard name such as `supply_temperature`, or the device's own.
    SignalName
);
id!(
    /// A section of pipe.
    PipeId
);
id!(
    /// A valve.
    ValveId
);
id!(
    /// A process that appends to the log: a gateway, or the API.
    GatewayId
);

/// One quantity measured at one place: `network/site/device/name`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct SignalId {
    /// The network.
    pub network: NetworkId,
    /// The site.
    pub site: SiteId,
    /// The device.
    pub device: DeviceId,
    /// The name.
    pub name: SignalName,
}

impl fmt::Display for SignalId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}/{}/{}", self.network, self.site, self.device, self.name)
    }
}

impl From<SignalId> for String {
    fn from(id: SignalId) -> Self {
        id.to_string()
    }
}

/// Why a text is not a signal id.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum InvalidSignalId {
    /// It does not have four parts.
    #[error("a signal id is network/site/device/name")]
    Parts,
    /// One of its parts is not an id.
    #[error(transparent)]
    Part(#[from] InvalidId),
}

impl std::str::FromStr for SignalId {
    type Err = InvalidSignalId;
    fn from_str(text: &str) -> Result<Self, InvalidSignalId> {
        let mut parts = text.split('/');
        let mut next = || parts.next().ok_or(InvalidSignalId::Parts);
        let (network, site, device, name) = (next()?, next()?, next()?, next()?);
        if parts.next().is_some() {
            return Err(InvalidSignalId::Parts);
        }
        Ok(Self {
            network: network.parse()?,
            site: site.parse()?,
            device: device.parse()?,
            name: name.parse()?,
        })
    }
}

impl TryFrom<String> for SignalId {
    type Error = InvalidSignalId;
    fn try_from(text: String) -> Result<Self, InvalidSignalId> {
        text.parse()
    }
}

/// An incident's id: 16 lower-case hexadecimal digits, equal on every engine and in every replay.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct IncidentId(u64);

impl IncidentId {
    /// Derives the id from the record that opened the incident and the opening's place among its outputs.
    pub fn derive(network: &NetworkId, origin: &crate::record::Origin, ordinal: u32) -> Self {
        let mut bytes = Vec::with_capacity(64);
        bytes.extend_from_slice(network.as_str().as_bytes());
        bytes.push(0);
        bytes.extend_from_slice(origin.gateway.as_str().as_bytes());
        bytes.push(0);
        bytes.extend_from_slice(&origin.epoch.to_le_bytes());
        bytes.extend_from_slice(&origin.seq.to_le_bytes());
        bytes.extend_from_slice(&ordinal.to_le_bytes());
        Self(xxhash_rust::xxh3::xxh3_64(&bytes))
    }
}

impl fmt::Display for IncidentId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

/// The text is not an incident's id.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("an incident's id is 16 hexadecimal digits")]
pub struct InvalidIncidentId;

impl std::str::FromStr for IncidentId {
    type Err = InvalidIncidentId;
    fn from_str(text: &str) -> Result<Self, InvalidIncidentId> {
        if text.len() != 16 {
            return Err(InvalidIncidentId);
        }
        u64::from_str_radix(text, 16).map(Self).map_err(|_| InvalidIncidentId)
    }
}

impl Serialize for IncidentId {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for IncidentId {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_fits_a_topic_level_and_a_path() {
        for good in ["demo-north", "一网", "T 101", "a.b_c:d"] {
            assert!(SiteId::new(good).is_ok(), "{good}");
        }
        for bad in ["", "a/b", "#", "+", "..", " a", "a ", "a\n", "a\\b", &"x".repeat(129)] {
            assert!(SiteId::new(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn a_signal_id_round_trips_and_has_exactly_four_parts() {
        let id: SignalId = "n/s/d/supply_temperature".parse().unwrap();
        assert_eq!(id.to_string(), "n/s/d/supply_temperature");
        assert!("n/s/d".parse::<SignalId>().is_err());
        assert!("n/s/d/x/y".parse::<SignalId>().is_err());
    }
}
