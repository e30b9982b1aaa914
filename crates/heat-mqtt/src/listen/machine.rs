//! What the server answers on an established connection: bytes in, messages and bytes out. No I/O, no clock.

use std::{collections::BTreeSet, sync::Arc};

use bytes::Bytes;
use mqtt_protocol_core::mqtt::{
    packet::{Properties, PropertiesParse, Property, v3_1_1, v5_0},
    result_code::{SubackReasonCode, SubackReturnCode, UnsubackReasonCode},
};

use super::{
    connect::{TOPIC_ALIAS_MAX, received_properties},
    filters::{is_command_filter, matches},
    session::{Arrival, Release, Session},
    wire::{self, Malformed, Version},
};
use crate::{
    link::{AckToken, Delivery, DownReason, LinkId, Properties as Received, Qos, Source, Ticked},
    settings::ListenSettings,
    state::HostState,
    stats::ListenCounters,
};

/// Properties take more memory than bytes on the wire, so they have a bound of their own.
const PROPERTIES_MAX_BYTES: usize = 64 << 10;

/// Why a connection must end, and what to tell a client of version 5.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct End {
    pub(crate) reason: DownReason,
    /// Reason code of our DISCONNECT; none where the client said it, or is gone.
    pub(crate) code: Option<u8>,
    /// Whether the last will is to be delivered.
    pub(crate) will: bool,
}

impl End {
    pub(crate) const fn because(reason: DownReason, code: u8) -> Self {
        Self { reason, code: Some(code), will: true }
    }

    const PROTOCOL: Self = Self::because(DownReason::ProtocolError, 0x82);
    /// An answer could not be built.
    const INTERNAL: Self = Self::because(DownReason::ProtocolError, 0x83);
}

impl From<Malformed> for End {
    fn from(Malformed: Malformed) -> Self {
        Self::because(DownReason::ProtocolError, 0x81)
    }
}

/// The protocol of one established connection.
#[derive(Debug)]
pub(crate) struct Machine {
    version: Version,
    link: LinkId,
    source: Arc<Source>,
    session: Arc<Session>,
    settings: Arc<ListenSettings>,
    counters: Arc<ListenCounters>,
    /// Topics of this connection's aliases (version 5).
    aliases: Vec<Option<Arc<str>>>,
    /// The topic before this one: most devices have only one.
    last_topic: Option<Arc<str>>,
    /// QoS 1 messages without PUBACK.
    at_least_once: usize,
    /// QoS 2 messages without PUBCOMP that were sent on this connection.
    exactly_once: BTreeSet<u16>,
    /// Set by a DISCONNECT that changes how long the session is kept.
    session_expiry_seconds: Option<u32>,
    /// What whoever subscribes to its topic gets at once.
    state: Option<Arc<HostState>>,
}

impl Machine {
    pub(crate) fn new(
        version: Version,
        link: LinkId,
        source: Arc<Source>,
        session: Arc<Session>,
        settings: Arc<ListenSettings>,
        counters: Arc<ListenCounters>,
    ) -> Self {
        Self {
            version,
            link,
            source,
            session,
            settings,
            counters,
            aliases: Vec::new(),
            last_topic: None,
            at_least_once: 0,
            exactly_once: BTreeSet::new(),
            session_expiry_seconds: None,
            state: None,
        }
    }

    /// Sets the STATE that subscribers to its topic get.
    pub(crate) fn announce(&mut self, state: Option<Arc<HostState>>) {
        self.state = state;
    }

    /// Messages the client waits for an acknowledgement of.
    fn in_flight(&self) -> usize {
        self.at_least_once + self.exactly_once.len()
    }

    /// Whether reading must pause until acknowledgements leave. Version 5 clients keep the receive maximum themselves.
    pub(crate) fn is_full(&self) -> bool {
        self.version == Version::V311 && self.in_flight() >= usize::from(self.settings.in_flight_max)
    }

    /// Whether every message handed in by this connection is acknowledged, or on its way to be.
    pub(crate) fn is_settled(&self) -> bool {
        self.at_least_once == 0 && !self.session.awaits(self.link)
    }

    pub(crate) fn session_expiry_seconds(&self) -> Option<u32> {
        self.session_expiry_seconds
    }

    /// Takes all complete packets of a chunk; returns how many bytes they took. An end leaves what came before it in
    /// `deliveries` and `output`.
    pub(crate) fn receive(
        &mut self,
        chunk: &Bytes,
        deliveries: &mut Vec<Delivery>,
        output: &mut Vec<u8>,
    ) -> Result<usize, End> {
        let mut at = 0;
        while let Some(frame) = wire::frame(&chunk[at..])? {
            if frame.end > self.settings.packet_max_bytes as usize {
                return Err(End::because(DownReason::Oversized, 0x95));
            }
            if at + frame.end > chunk.len() {
                break;
            }
            let body = at + frame.body_at..at + frame.end;
            if frame.packet_type() == wire::PUBLISH {
                self.publish(frame.first, &chunk.slice(body), deliveries, output)?;
            } else {
                self.control(frame.first, &chunk[body], output)?;
            }
            at += frame.end;
        }
        Ok(at)
    }

    /// Writes the acknowledgements of what is durable.
    pub(crate) fn acknowledge(&mut self, ready: &[Ticked], output: &mut Vec<u8>) {
        self.counters.acknowledged.add(ready.len());
        for receipt in ready {
            if receipt.qos == Qos::ExactlyOnce {
                wire::write_ack(wire::PUBREC, receipt.packet_id, output);
            } else {
                self.at_least_once = self.at_least_once.saturating_sub(1);
                wire::write_ack(wire::PUBACK, receipt.packet_id, output);
            }
        }
    }

    fn publish(
        &mut self,
        first: u8,
        body: &Bytes,
        deliveries: &mut Vec<Delivery>,
        output: &mut Vec<u8>,
    ) -> Result<(), End> {
        let publish = wire::publish(first, body, self.version)?;
        let (alias, properties) = match &publish.properties {
            Some(range) => publish_properties(&body[range.clone()])?,
            None => (None, None),
        };
        let topic = self.topic(&body[publish.topic.clone()], alias)?;
        match publish.qos {
            Qos::AtMostOnce => {}
            Qos::AtLeastOnce => self.at_least_once += 1,
            Qos::ExactlyOnce => {
                self.exactly_once.insert(publish.packet_id);
            }
        }
        if self.version == Version::V5 && self.in_flight() > usize::from(self.settings.in_flight_max) {
            return Err(End::because(DownReason::ReceiveMaximum, 0x93));
        }
        if publish.qos == Qos::ExactlyOnce {
            match self.session.arrive(publish.packet_id, self.link) {
                Arrival::New => {}
                Arrival::Waiting => {
                    self.counters.repeats.increment();
                    return Ok(());
                }
                Arrival::Durable => {
                    self.counters.repeats.increment();
                    wire::write_ack(wire::PUBREC, publish.packet_id, output);
                    return Ok(());
                }
            }
        }
        deliveries.push(Delivery {
            link: self.link,
            source: Arc::clone(&self.source),
            topic,
            payload: body.slice(publish.payload_at..),
            qos: publish.qos,
            retain: false,
            dup: publish.dup,
            will: false,
            token: AckToken { link: self.link, packet_id: publish.packet_id, qos: publish.qos },
            properties,
        });
        Ok(())
    }

    /// The topic that a PUBLISH names or an alias stands for.
    fn topic(&mut self, written: &[u8], alias: Option<u16>) -> Result<Arc<str>, End> {
        let slot = match alias {
            None => None,
            Some(alias) if (1..=TOPIC_ALIAS_MAX).contains(&alias) => Some(usize::from(alias) - 1),
            Some(_) => return Err(End::because(DownReason::ProtocolError, 0x94)),
        };
        if written.is_empty() {
            let known = slot.and_then(|slot| self.aliases.get(slot).cloned().flatten());
            return known.ok_or(End::PROTOCOL);
        }
        let topic = match &self.last_topic {
            Some(last) if last.as_bytes() == written => Arc::clone(last),
            Some(_) | None => {
                let topic: Arc<str> = std::str::from_utf8(written).map_err(|_not_utf8| Malformed)?.into();
                self.last_topic = Some(Arc::clone(&topic));
                topic
            }
        };
        if let Some(slot) = slot {
            if self.aliases.len() <= slot {
                self.aliases.resize(slot + 1, None);
            }
            self.aliases[slot] = Some(Arc::clone(&topic));
        }
        Ok(topic)
    }

    fn control(&mut self, first: u8, body: &[u8], output: &mut Vec<u8>) -> Result<(), End> {
        let flags = first & 0x0f;
        match (first >> 4, flags) {
            (wire::PUBREL, 2) => self.release(body, output),
            (wire::PINGREQ, 0) if body.is_empty() => {
                wire::write_pingresp(output);
                Ok(())
            }
            (wire::SUBSCRIBE, 2) => self.subscribe(body, output),
            (wire::UNSUBSCRIBE, 2) => self.unsubscribe(body, output),
            (wire::DISCONNECT, 0) => Err(self.disconnect(body)),
            (wire::PUBREL | wire::PINGREQ | wire::SUBSCRIBE | wire::UNSUBSCRIBE | wire::DISCONNECT, _) => {
                Err(Malformed.into())
            }
            // A second CONNECT, AUTH without a method, acknowledgements of what we never send, server's packets.
            _ => Err(End::PROTOCOL),
        }
    }

    fn release(&mut self, body: &[u8], output: &mut Vec<u8>) -> Result<(), End> {
        let packet_id = match self.version {
            Version::V311 if body.len() == 2 => wire::number(body, 0)?,
            Version::V311 => return Err(Malformed.into()),
            Version::V5 => {
                let (pubrel, taken) = v5_0::Pubrel::parse(body).map_err(|_error| Malformed)?;
                if taken != body.len() {
                    return Err(Malformed.into());
                }
                pubrel.packet_id()
            }
        };
        match self.session.release(packet_id) {
            Release::Unknown if self.version == Version::V5 => wire::write_unknown_pubcomp(packet_id, output),
            Release::Released | Release::Unknown => wire::write_ack(wire::PUBCOMP, packet_id, output),
            Release::NotReceived => return Err(End::PROTOCOL),
        }
        self.exactly_once.remove(&packet_id);
        Ok(())
    }

    fn subscribe(&self, body: &[u8], output: &mut Vec<u8>) -> Result<(), End> {
        match self.version {
            Version::V311 => {
                let (packet, taken) = v3_1_1::Subscribe::parse(body).map_err(|_error| Malformed)?;
                if taken != body.len() || packet.packet_id() == 0 || packet.entries().is_empty() {
                    return Err(Malformed.into());
                }
                let codes = packet.entries().iter().map(|entry| match self.grant(entry.topic_filter()) {
                    true => SubackReturnCode::SuccessMaximumQos0,
                    false => SubackReturnCode::Failure,
                });
                let suback = v3_1_1::Suback::builder()
                    .packet_id(packet.packet_id())
                    .return_codes(codes.collect())
                    .build();
                output.extend(suback.map_err(|_error| End::INTERNAL)?.to_continuous_buffer());
                self.write_state(packet.entries().iter().map(|entry| entry.topic_filter()), output);
            }
            Version::V5 => {
                let (packet, taken) = v5_0::Subscribe::parse(body).map_err(|_error| Malformed)?;
                if taken != body.len() || packet.packet_id() == 0 || packet.entries().is_empty() {
                    return Err(Malformed.into());
                }
                let codes = packet.entries().iter().map(|entry| match self.grant(entry.topic_filter()) {
                    true => SubackReasonCode::GrantedQos0,
                    false => SubackReasonCode::NotAuthorized,
                });
                let suback = v5_0::Suback::builder()
                    .packet_id(packet.packet_id())
                    .reason_codes(codes.collect())
                    .build();
                output.extend(suback.map_err(|_error| End::INTERNAL)?.to_continuous_buffer());
                self.write_state(packet.entries().iter().map(|entry| entry.topic_filter()), output);
            }
        }
        Ok(())
    }

    /// STATE is a stored message: it follows every subscription to its topic.
    fn write_state<'a>(&self, mut filters: impl Iterator<Item = &'a str>, output: &mut Vec<u8>) {
        let Some(state) = &self.state else { return };
        if filters.any(|filter| matches(filter, &state.topic)) {
            self.session.write_stored(&state.topic, &state.payloads.online, output);
        }
    }

    fn grant(&self, filter: &str) -> bool {
        let granted =
            is_command_filter(filter) && self.session.subscribe(filter, self.settings.subscriptions_max);
        let counter = if granted { &self.counters.filters_granted } else { &self.counters.filters_refused };
        counter.increment();
        granted
    }

    fn unsubscribe(&self, body: &[u8], output: &mut Vec<u8>) -> Result<(), End> {
        match self.version {
            Version::V311 => {
                let (packet, taken) = v3_1_1::Unsubscribe::parse(body).map_err(|_error| Malformed)?;
                if taken != body.len() || packet.packet_id() == 0 || packet.entries().is_empty() {
                    return Err(Malformed.into());
                }
                for filter in packet.entries() {
                    self.session.unsubscribe(filter.as_str());
                }
                let [high, low] = packet.packet_id().to_be_bytes();
                output.extend_from_slice(&[0xb0, 2, high, low]);
            }
            Version::V5 => {
                let (packet, taken) = v5_0::Unsubscribe::parse(body).map_err(|_error| Malformed)?;
                if taken != body.len() || packet.packet_id() == 0 || packet.entries().is_empty() {
                    return Err(Malformed.into());
                }
                let codes =
                    packet.entries().iter().map(|filter| match self.session.unsubscribe(filter.as_str()) {
                        true => UnsubackReasonCode::Success,
                        false => UnsubackReasonCode::NoSubscriptionExisted,
                    });
                let unsuback = v5_0::Unsuback::builder()
                    .packet_id(packet.packet_id())
                    .reason_codes(codes.collect())
                    .build();
                output.extend(unsuback.map_err(|_error| End::INTERNAL)?.to_continuous_buffer());
            }
        }
        Ok(())
    }

    fn disconnect(&mut self, body: &[u8]) -> End {
        let said = End { reason: DownReason::Disconnected, code: None, will: false };
        if self.version == Version::V311 {
            return if body.is_empty() { said } else { Malformed.into() };
        }
        if body.is_empty() {
            return said;
        }
        let Ok((packet, taken)) = v5_0::Disconnect::parse(body) else { return Malformed.into() };
        if taken != body.len() {
            return Malformed.into();
        }
        for property in packet.props().iter().flatten() {
            if let Property::SessionExpiryInterval(seconds) = property {
                self.session_expiry_seconds = Some(seconds.val());
            }
        }
        // 0x04 is DISCONNECT with will message; any other code above it tells of an error at the client's side.
        End { will: body[0] != 0, ..said }
    }
}

/// A PUBLISH's topic alias, and what of its properties the receiver gets to see.
fn publish_properties(bytes: &[u8]) -> Result<(Option<u16>, Option<Box<Received>>), End> {
    if bytes.len() > PROPERTIES_MAX_BYTES {
        return Err(End::because(DownReason::Oversized, 0x95));
    }
    let (properties, taken) = Properties::parse(bytes).map_err(|_error| Malformed)?;
    if taken != bytes.len() {
        return Err(Malformed.into());
    }
    let mut alias = None;
    for property in &properties {
        if let Property::TopicAlias(value) = property {
            if alias.replace(value.val()).is_some() {
                return Err(End::PROTOCOL);
            }
        } else if !is_publish_property(property) {
            return Err(End::PROTOCOL);
        }
    }
    Ok((alias, received_properties(&properties)))
}

fn is_publish_property(property: &Property) -> bool {
    matches!(
        property,
        Property::PayloadFormatIndicator(_)
            | Property::MessageExpiryInterval(_)
            | Property::ContentType(_)
            | Property::ResponseTopic(_)
            | Property::CorrelationData(_)
            | Property::UserProperty(_)
    )
}

#[cfg(test)]
mod tests;
