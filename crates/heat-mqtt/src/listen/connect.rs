//! CONNECT: read it, judge it, answer it.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use mqtt_protocol_core::mqtt::{
    packet::{
        AssignedClientIdentifier, MaximumPacketSize, Property, ReceiveMaximum, ServerKeepAlive,
        SessionExpiryInterval, SharedSubscriptionAvailable, SubscriptionIdentifierAvailable,
        TopicAliasMaximum, UserProperty, v3_1_1, v5_0,
    },
    result_code::{ConnectReasonCode, ConnectReturnCode, MqttError},
};

use super::wire::Version;
use crate::{
    link::Properties,
    rights::Rights,
    settings::{ClientIdRule, ListenSettings, Secret, User},
};

/// Aliases a client may define; each costs one topic.
pub(crate) const TOPIC_ALIAS_MAX: u16 = 64;

/// A client's last will.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Will {
    pub(crate) topic: Arc<str>,
    pub(crate) payload: Bytes,
    pub(crate) properties: Option<Box<Properties>>,
    /// How long to wait for the client's return (version 5).
    pub(crate) delay: Duration,
}

/// What a client asked for.
#[derive(Debug)]
pub(crate) struct Connect {
    pub(crate) version: Version,
    pub(crate) client_id: String,
    pub(crate) user: Option<String>,
    pub(crate) password: Option<Vec<u8>>,
    pub(crate) clean_start: bool,
    /// Zero: none.
    pub(crate) keep_alive: Duration,
    /// How long the session shall outlive the connection.
    pub(crate) session_expiry: Duration,
    pub(crate) will: Option<Will>,
    /// Largest packet we may send (version 5).
    pub(crate) packet_max_bytes: Option<u32>,
    pub(crate) wants_authentication_method: bool,
}

/// Why a client is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Refusal {
    Malformed,
    Version,
    ClientId,
    Credentials,
    /// A certificate that is valid, and whose name is nobody's.
    NotAuthorized,
    /// A client id that the user may not use.
    ClientIdRule,
    AuthenticationMethod,
    UserFull,
}

impl Refusal {
    /// The CONNACK that says so; none where the protocol wants the connection closed without a word.
    pub(crate) fn connack(self, version: Version) -> Option<Vec<u8>> {
        let (code, return_code) = match self {
            Self::Malformed => (ConnectReasonCode::MalformedPacket, None),
            Self::Version => (
                ConnectReasonCode::UnsupportedProtocolVersion,
                Some(ConnectReturnCode::UnacceptableProtocolVersion),
            ),
            Self::ClientId | Self::ClientIdRule => {
                (ConnectReasonCode::ClientIdentifierNotValid, Some(ConnectReturnCode::IdentifierRejected))
            }
            Self::Credentials => {
                (ConnectReasonCode::BadUserNameOrPassword, Some(ConnectReturnCode::BadUserNameOrPassword))
            }
            Self::NotAuthorized => (ConnectReasonCode::NotAuthorized, Some(ConnectReturnCode::NotAuthorized)),
            Self::AuthenticationMethod => (ConnectReasonCode::BadAuthenticationMethod, None),
            Self::UserFull => (ConnectReasonCode::QuotaExceeded, Some(ConnectReturnCode::ServerUnavailable)),
        };
        match version {
            Version::V5 => Some(
                v5_0::Connack::builder()
                    .session_present(false)
                    .reason_code(code)
                    .build()
                    .expect("a refusal has all that a CONNACK needs")
                    .to_continuous_buffer(),
            ),
            Version::V311 => return_code.map(|code| {
                v3_1_1::Connack::builder()
                    .session_present(false)
                    .return_code(code)
                    .build()
                    .expect("a refusal has all that a CONNACK needs")
                    .to_continuous_buffer()
            }),
        }
    }
}

/// The version a CONNECT body names, as far as it can be told: it decides how to refuse.
pub(crate) fn version(body: &[u8]) -> Result<Version, Refusal> {
    if !body.starts_with(&[0, 4, b'M', b'Q', b'T', b'T']) {
        return Err(Refusal::Malformed);
    }
    match body.get(6) {
        Some(4) => Ok(Version::V311),
        Some(5) => Ok(Version::V5),
        Some(_) => Err(Refusal::Version),
        None => Err(Refusal::Malformed),
    }
}

/// Reads a CONNECT's body.
pub(crate) fn parse(first: u8, body: &[u8], settings: &ListenSettings) -> Result<Connect, Refusal> {
    let version = version(body)?;
    // What the parser of the packet library lets pass: reserved bits, a will's QoS 3, will flags without a will.
    let flags = *body.get(7).ok_or(Refusal::Malformed)?;
    let will_flags = flags & 0b0011_1000;
    let has_will = flags & 4 != 0;
    if first != 0x10
        || flags & 1 != 0
        || will_flags & 0b0001_1000 == 0b0001_1000
        || (!has_will && will_flags != 0)
    {
        return Err(Refusal::Malformed);
    }
    let connect = match version {
        Version::V311 => parse_v311(body, settings)?,
        Version::V5 => parse_v5(body, settings)?,
    };
    if connect.client_id.contains('\0') || connect.user.as_ref().is_some_and(|user| user.contains('\0')) {
        return Err(Refusal::Malformed);
    }
    if let Some(will) = &connect.will
        && (will.topic.is_empty() || will.topic.contains(['+', '#', '\0']))
    {
        return Err(Refusal::Malformed);
    }
    Ok(connect)
}

fn parse_v311(body: &[u8], settings: &ListenSettings) -> Result<Connect, Refusal> {
    let (packet, taken) = v3_1_1::Connect::parse(body).map_err(refusal)?;
    if taken != body.len() {
        return Err(Refusal::Malformed);
    }
    if packet.client_id().is_empty() && !packet.clean_session() {
        return Err(Refusal::ClientId);
    }
    let will = will(packet.will_flag(), packet.will_topic(), packet.will_payload());
    Ok(Connect {
        version: Version::V311,
        client_id: packet.client_id().to_owned(),
        user: packet.user_name().map(str::to_owned),
        password: packet.password().map(<[u8]>::to_vec),
        clean_start: packet.clean_session(),
        keep_alive: Duration::from_secs(u64::from(packet.keep_alive())),
        session_expiry: if packet.clean_session() { Duration::ZERO } else { settings.session_expiry_max },
        will,
        packet_max_bytes: None,
        wants_authentication_method: false,
    })
}

fn parse_v5(body: &[u8], settings: &ListenSettings) -> Result<Connect, Refusal> {
    let (packet, taken) = v5_0::Connect::parse(body).map_err(refusal)?;
    if taken != body.len() {
        return Err(Refusal::Malformed);
    }
    let mut session_expiry = Duration::ZERO;
    let mut packet_max_bytes = None;
    let mut wants_authentication_method = false;
    for property in packet.props() {
        if let Property::SessionExpiryInterval(seconds) = property {
            session_expiry = Duration::from_secs(u64::from(seconds.val())).min(settings.session_expiry_max);
        } else if let Property::MaximumPacketSize(bytes) = property {
            packet_max_bytes = Some(bytes.val());
        } else if let Property::AuthenticationMethod(_) = property {
            wants_authentication_method = true;
        }
    }
    let mut will = will(packet.will_flag(), packet.will_topic(), packet.will_payload());
    if let Some(will) = &mut will {
        will.properties = received_properties(packet.will_props());
        for property in packet.will_props() {
            if let Property::WillDelayInterval(seconds) = property {
                will.delay = Duration::from_secs(u64::from(seconds.val()));
            }
        }
    }
    Ok(Connect {
        version: Version::V5,
        client_id: packet.client_id().to_owned(),
        user: packet.user_name().map(str::to_owned),
        password: packet.password().map(<[u8]>::to_vec),
        clean_start: packet.clean_start(),
        keep_alive: Duration::from_secs(u64::from(packet.keep_alive())),
        session_expiry,
        will,
        packet_max_bytes,
        wants_authentication_method,
    })
}

fn will(has_will: bool, topic: Option<&str>, payload: Option<&[u8]>) -> Option<Will> {
    has_will.then(|| Will {
        topic: topic.unwrap_or_default().into(),
        payload: Bytes::copy_from_slice(payload.unwrap_or_default()),
        properties: None,
        delay: Duration::ZERO,
    })
}

fn refusal(error: MqttError) -> Refusal {
    if error == MqttError::ClientIdentifierNotValid { Refusal::ClientId } else { Refusal::Malformed }
}

/// The properties that a receiver gets to see.
pub(crate) fn received_properties(properties: &[Property]) -> Option<Box<Properties>> {
    let mut received = Properties::default();
    for property in properties {
        if let Property::ContentType(content_type) = property {
            received.content_type = Some(content_type.val().to_owned());
        } else if let Property::UserProperty(pair) = property {
            received.user_properties.push((pair.key().to_owned(), UserProperty::val(pair).to_owned()));
        }
    }
    (received != Properties::default()).then(|| Box::new(received))
}

/// Who a client has proved to be.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Proven {
    /// User name, or the name in the certificate; none for anybody.
    pub(crate) user: Option<String>,
    pub(crate) rights: Option<Arc<Rights>>,
    pub(crate) client_id: ClientIdRule,
}

impl Proven {
    fn listed(user: &User) -> Self {
        Self { user: Some(user.name.clone()), rights: user.rights.clone(), client_id: user.client_id }
    }

    /// The client id to use, by the user's rule; one that was left to us fits every rule.
    pub(crate) fn client_id(&self, asked: &str, number: u64) -> Result<String, Refusal> {
        match (&self.user, asked.is_empty()) {
            (None, false) => Ok(asked.to_owned()),
            (Some(user), false) if self.client_id.allows(user, asked) => Ok(asked.to_owned()),
            (Some(_), false) => Err(Refusal::ClientIdRule),
            (Some(user), true) if self.client_id == ClientIdRule::User => Ok(user.clone()),
            (Some(user), true) if self.client_id == ClientIdRule::Prefix => {
                Ok(format!("{user}-auto-{number}"))
            }
            (_, true) => Ok(format!("auto-{number}")),
        }
    }
}

/// Who a client is, by what it has proved: a user's name with the password, else the name in its certificate, else, where
/// nobody is listed, anybody. A name that nobody checked proves nothing, so it is forgotten.
pub(crate) fn authenticate(
    connect: &mut Connect,
    certificate: Option<&str>,
    settings: &ListenSettings,
) -> Result<Proven, Refusal> {
    if connect.wants_authentication_method {
        return Err(Refusal::AuthenticationMethod);
    }
    let users = &settings.users;
    let (named, password) = (connect.user.take(), connect.password.take().unwrap_or_default());
    if users.is_empty() && settings.any_certificate.is_none() {
        return Ok(Proven { user: certificate.map(str::to_owned), ..Proven::default() });
    }
    if let Some(certificate) = certificate
        && password.is_empty()
        && named.as_ref().is_none_or(|name| name == certificate)
    {
        return by_certificate(certificate, settings);
    }
    let user = named.and_then(|name| users.iter().find(|user| user.name == name));
    // An unknown user costs the same comparison as a known one.
    let nobody = Secret::new("");
    let known = user.and_then(|user| user.password.as_ref());
    let matches = known.unwrap_or(&nobody).matches(&password);
    match user {
        Some(user) if matches && known.is_some() => Ok(Proven::listed(user)),
        Some(_) | None => Err(Refusal::Credentials),
    }
}

fn by_certificate(name: &str, settings: &ListenSettings) -> Result<Proven, Refusal> {
    if let Some(user) = settings.users.iter().find(|user| user.name == name) {
        return Ok(Proven::listed(user));
    }
    let any = settings.any_certificate.as_ref().ok_or(Refusal::NotAuthorized)?;
    let rights = any.rights(name).map_err(|_no_site| Refusal::NotAuthorized)?;
    Ok(Proven { user: Some(name.to_owned()), rights, client_id: any.client_id })
}

/// What the accepting CONNACK tells.
#[derive(Debug)]
pub(crate) struct Accepted<'a> {
    pub(crate) session_present: bool,
    /// Set where the client asked for another one.
    pub(crate) session_expiry: Duration,
    /// Set where the client must keep another keep-alive than it asked for.
    pub(crate) keep_alive: Option<Duration>,
    /// Set where the client left its id to us.
    pub(crate) assigned_client_id: Option<&'a str>,
}

/// The accepting CONNACK.
pub(crate) fn connack(version: Version, accepted: &Accepted<'_>, settings: &ListenSettings) -> Vec<u8> {
    match version {
        Version::V311 => v3_1_1::Connack::builder()
            .session_present(accepted.session_present)
            .return_code(ConnectReturnCode::Accepted)
            .build()
            .expect("a CONNACK has a flag and a code")
            .to_continuous_buffer(),
        Version::V5 => v5_0::Connack::builder()
            .session_present(accepted.session_present)
            .reason_code(ConnectReasonCode::Success)
            .props(connack_properties(accepted, settings))
            .build()
            .expect("the properties are those of a CONNACK")
            .to_continuous_buffer(),
    }
}

fn connack_properties(accepted: &Accepted<'_>, settings: &ListenSettings) -> Vec<Property> {
    const VALID: &str = "the value lies in the property's range";
    let seconds = |duration: Duration| duration.as_secs();
    let expiry = u32::try_from(seconds(accepted.session_expiry)).unwrap_or(u32::MAX);
    let mut properties = vec![
        Property::SessionExpiryInterval(SessionExpiryInterval::new(expiry).expect(VALID)),
        Property::ReceiveMaximum(ReceiveMaximum::new(settings.in_flight_max).expect(VALID)),
        Property::MaximumPacketSize(MaximumPacketSize::new(settings.packet_max_bytes).expect(VALID)),
        Property::TopicAliasMaximum(TopicAliasMaximum::new(TOPIC_ALIAS_MAX).expect(VALID)),
        Property::SharedSubscriptionAvailable(SharedSubscriptionAvailable::new(0).expect(VALID)),
        Property::SubscriptionIdentifierAvailable(SubscriptionIdentifierAvailable::new(0).expect(VALID)),
    ];
    if let Some(keep_alive) = accepted.keep_alive {
        let keep_alive = u16::try_from(seconds(keep_alive)).unwrap_or(u16::MAX);
        properties.push(Property::ServerKeepAlive(ServerKeepAlive::new(keep_alive).expect(VALID)));
    }
    if let Some(id) = accepted.assigned_client_id {
        properties.push(Property::AssignedClientIdentifier(AssignedClientIdentifier::new(id).expect(VALID)));
    }
    properties
}

#[cfg(test)]
mod tests;
