//! MQTT topics of the own formats.

use heat_model::{DeviceId, NetworkId, SiteId};

use crate::reject::RejectReason;

/// First levels of every own topic.
pub const PREFIX: &str = "heat/v1/";
/// Where tickets come in.
pub const TICKETS: &str = "heat/v1/tickets";
/// Where forecasts come in.
pub const FORECAST: &str = "heat/v1/forecast";
/// What a gateway subscribes to, to get all own topics.
pub const FILTERS: [&str; 3] = ["heat/v1/+/+/+", TICKETS, FORECAST];

/// Whether a payload under this topic may be a ticket: a misspelt topic must not cost a person's privacy.
pub fn carries_tickets(topic: &str) -> bool {
    topic.strip_prefix(PREFIX).is_some_and(|rest| rest.starts_with("ticket"))
}

/// What a topic says.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Topic {
    /// Readings of a device: `heat/v1/{network}/{site}/{device}`.
    Device(DeviceTopic),
    /// [`TICKETS`].
    Tickets,
    /// [`FORECAST`].
    Forecast,
}

/// Who speaks.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct DeviceTopic {
    /// The network.
    pub network: NetworkId,
    /// The site.
    pub site: SiteId,
    /// The device.
    pub device: DeviceId,
}

impl Topic {
    /// Reads a topic. Allocates; keep the outcome by topic.
    pub fn parse(topic: &str) -> Result<Self, RejectReason> {
        match topic {
            TICKETS => return Ok(Self::Tickets),
            FORECAST => return Ok(Self::Forecast),
            _ => {}
        }
        let levels = topic.strip_prefix(PREFIX).ok_or(RejectReason::UnknownTopic)?;
        let mut levels = levels.split('/');
        let (Some(network), Some(site), Some(device), None) =
            (levels.next(), levels.next(), levels.next(), levels.next())
        else {
            return Err(RejectReason::UnknownTopic);
        };
        let invalid = |_| RejectReason::InvalidId;
        Ok(Self::Device(DeviceTopic {
            network: NetworkId::new(network).map_err(invalid)?,
            site: SiteId::new(site).map_err(invalid)?,
            device: DeviceId::new(device).map_err(invalid)?,
        }))
    }
}

impl std::fmt::Display for DeviceTopic {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{PREFIX}{}/{}/{}", self.network, self.site, self.device)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_device_topic_has_five_levels_and_comes_back() {
        let text = "heat/v1/north/st01/meter";
        let Ok(Topic::Device(topic)) = Topic::parse(text) else { panic!("a device topic") };
        assert_eq!(topic.to_string(), text);
        assert_eq!(Topic::parse("heat/v1/tickets"), Ok(Topic::Tickets));
        assert_eq!(Topic::parse("heat/v1/forecast"), Ok(Topic::Forecast));
    }

    #[test]
    fn other_topics_are_refused_with_the_reason() {
        for topic in ["", "heat/v1/a/b", "heat/v1/a/b/c/d", "heat/v2/a/b/c", "x", "heat/v1/tickets/x"] {
            assert_eq!(Topic::parse(topic), Err(RejectReason::UnknownTopic), "{topic}");
        }
        assert_eq!(Topic::parse("heat/v1/a//c"), Err(RejectReason::InvalidId));
        assert_eq!(Topic::parse("heat/v1/a/ b/c"), Err(RejectReason::InvalidId));
    }
}
