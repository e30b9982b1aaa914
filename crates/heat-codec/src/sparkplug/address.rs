//! Topics of the namespace `spBv1.0`, and what a host application publishes.

use heat_model::IngestTime;

use crate::reject::RejectReason;

/// First level of every Sparkplug B topic, with its slash.
pub const PREFIX: &str = "spBv1.0/";
/// What a gateway subscribes to, to get all of Sparkplug B.
pub const FILTER: &str = "spBv1.0/#";

/// What a message says, by its topic's third level.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Birth,
    Data,
    Death,
}

/// Who speaks, and what kind of message it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Address<'a> {
    pub(super) group: &'a str,
    pub(super) node: &'a str,
    /// `None`: the node itself.
    pub(super) device: Option<&'a str>,
    pub(super) kind: Kind,
}

impl<'a> Address<'a> {
    /// `None` for what is not said by a node: commands, and the state of hosts.
    pub(super) fn parse(topic: &'a str) -> Result<Option<Self>, RejectReason> {
        let levels = topic.strip_prefix(PREFIX).ok_or(RejectReason::UnknownTopic)?;
        let mut levels = levels.split('/');
        let (Some(group), Some(second)) = (levels.next(), levels.next()) else {
            return Err(RejectReason::UnknownTopic);
        };
        let (node, device, rest) = (levels.next(), levels.next(), levels.next());
        if rest.is_some() {
            return Err(RejectReason::UnknownTopic);
        }
        let kind = match (second, node, device) {
            (_, None, None) if group == "STATE" => return Ok(None),
            ("NCMD", Some(_), None) | ("DCMD", Some(_), Some(_)) => return Ok(None),
            ("NBIRTH", Some(_), None) | ("DBIRTH", Some(_), Some(_)) => Kind::Birth,
            ("NDATA", Some(_), None) | ("DDATA", Some(_), Some(_)) => Kind::Data,
            ("NDEATH", Some(_), None) | ("DDEATH", Some(_), Some(_)) => Kind::Death,
            _ => return Err(RejectReason::UnknownTopic),
        };
        let node = node.ok_or(RejectReason::UnknownTopic)?;
        if [Some(group), Some(node), device].into_iter().flatten().all(is_level) {
            Ok(Some(Self { group, node, device, kind }))
        } else {
            Err(RejectReason::InvalidId)
        }
    }
}

/// Whether a text can be one level of a topic that somebody publishes to.
pub(super) fn is_level(text: &str) -> bool {
    !text.is_empty() && !text.contains(['/', '#', '+', '\0'])
}

/// Where a host application says whether it is online; published retained, at QoS 1.
pub fn state_topic(host: &str) -> String {
    format!("{PREFIX}STATE/{host}")
}

/// What a host application publishes there: `online` after it connected, and the same with `online` false as its will
/// and before it leaves. A will must carry the time that the birth of the same connection carries.
pub fn state_payload(online: bool, time: IngestTime) -> Vec<u8> {
    format!("{{\"online\":{online},\"timestamp\":{}}}", time.as_micros().div_euclid(1_000)).into_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_topic_says_who_speaks() {
        let of = |topic| Address::parse(topic);
        let node = Address { group: "g", node: "n", device: None, kind: Kind::Birth };
        assert_eq!(of("spBv1.0/g/NBIRTH/n"), Ok(Some(node)));
        assert_eq!(of("spBv1.0/g/NDATA/n"), Ok(Some(Address { kind: Kind::Data, ..node })));
        let device = Address { device: Some("d"), kind: Kind::Death, ..node };
        assert_eq!(of("spBv1.0/g/DDEATH/n/d"), Ok(Some(device)));
    }

    #[test]
    fn commands_and_states_of_hosts_are_not_said_by_a_node() {
        for topic in ["spBv1.0/g/NCMD/n", "spBv1.0/g/DCMD/n/d", "spBv1.0/STATE/scada"] {
            assert_eq!(Address::parse(topic), Ok(None), "{topic}");
        }
    }

    #[test]
    fn other_topics_are_refused_with_the_reason() {
        for topic in [
            "spBv1.0/g",
            "spBv1.0/g/NBIRTH/n/d",
            "spBv1.0/g/DDATA/n",
            "spBv1.0/g/NFOO/n",
            "spAv1.0/g/NBIRTH/n",
        ] {
            assert_eq!(Address::parse(topic), Err(RejectReason::UnknownTopic), "{topic}");
        }
        assert_eq!(Address::parse("spBv1.0/g/DDATA/n/"), Err(RejectReason::InvalidId));
    }

    #[test]
    fn a_host_states_its_time_in_milliseconds() {
        assert_eq!(state_topic("heat"), "spBv1.0/STATE/heat");
        let payload = state_payload(true, IngestTime::from_micros(1_795_478_400_123_456));
        assert_eq!(payload, br#"{"online":true,"timestamp":1795478400123}"#);
    }
}
