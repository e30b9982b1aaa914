//! rumqttc's two clients behind one face, made anew for every connection: nothing of an older connection can leak into
//! a newer one (pending requests, buffered events, packet ids, collisions).

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use rumqttc::{TlsConfiguration, Transport, mqttbytes::v4, v5, v5::mqttbytes::v5 as packet5};

use crate::{
    link::{Properties, Qos},
    settings::{ProtocolVersion, SubscribeSettings},
    state::HostState,
    tls::{ClientTls, TlsError, client_config},
};

/// Requests that wait for the connection's task: acknowledgements of a whole group.
const REQUESTS_MAX: usize = 4096;
/// We publish next to nothing; the bound only needs to be above that.
const OUTGOING_IN_FLIGHT: u16 = 64;
/// rumqttc's default of 5 s is short for a broker behind a slow line.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(15);

/// Sends requests to the connection.
#[derive(Debug, Clone)]
pub(crate) enum Client {
    V4(rumqttc::AsyncClient),
    V5(v5::AsyncClient),
}

/// The connection itself. Only its `poll` moves it.
pub(crate) enum Connection {
    V4(Box<rumqttc::EventLoop>),
    V5(Box<v5::EventLoop>),
}

/// What a connection tells us.
#[derive(Debug)]
pub(crate) enum Event {
    Connected {
        session_present: bool,
    },
    Message(Message),
    /// The broker's answer to SUBSCRIBE: how many filters it refused.
    Subscribed {
        refused: usize,
    },
    /// Our DISCONNECT is written.
    Disconnecting,
    Other,
}

/// A PUBLISH from the broker.
#[derive(Debug)]
pub(crate) struct Message {
    pub(crate) topic: Option<Arc<str>>,
    pub(crate) payload: Bytes,
    pub(crate) qos: Qos,
    pub(crate) retain: bool,
    pub(crate) dup: bool,
    pub(crate) packet_id: u16,
    pub(crate) properties: Option<Box<Properties>>,
}

/// The connection ended or could not be made.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Failure {
    #[error("MQTT 3.1.1 connection to the broker")]
    V4(#[from] rumqttc::ConnectionError),
    #[error("MQTT 5 connection to the broker")]
    V5(#[from] v5::ConnectionError),
    #[error("set up TLS for the broker")]
    Tls(#[from] TlsError),
}

/// The connection's task is gone.
#[derive(Debug, thiserror::Error)]
#[error("pass a request to the broker's connection: it has ended")]
pub(crate) struct Gone;

/// What connects, and what it is asked by. Certificates are read for every connection, so that new ones are taken into use
/// at the next.
pub(crate) async fn connect(
    settings: &SubscribeSettings,
    state: Option<&HostState>,
) -> Result<(Client, Connection), Failure> {
    let transport = transport(settings.tls.as_ref()).await?;
    Ok(match settings.version {
        ProtocolVersion::V311 => {
            let mut options = options_v4(settings, state);
            options.set_transport(transport);
            let (client, connection) = rumqttc::AsyncClient::new(options, REQUESTS_MAX);
            let mut connection = Box::new(connection);
            connection.set_network_options(network_options());
            (Client::V4(client), Connection::V4(connection))
        }
        ProtocolVersion::V5 => {
            let mut options = options_v5(settings, state);
            options.set_transport(transport);
            let (client, connection) = v5::AsyncClient::new(options, REQUESTS_MAX);
            (Client::V5(client), Connection::V5(Box::new(connection)))
        }
    })
}

/// A bare connection, or one by TLS with the files as they are. They are read on a thread that may wait for a disk.
pub(crate) async fn transport(tls: Option<&ClientTls>) -> Result<Transport, TlsError> {
    let Some(tls) = tls.cloned() else { return Ok(Transport::Tcp) };
    let read = move || client_config(&tls, &|path| std::fs::read(path));
    match tokio::task::spawn_blocking(read).await {
        Ok(config) => Ok(Transport::tls_with_config(TlsConfiguration::Rustls(config?))),
        Err(died) => std::panic::resume_unwind(died.into_panic()),
    }
}

/// PUBACKs come in groups, and rumqttc writes each by itself: TCP may gather what follows the first (Nagle), which spares
/// both sides most of the segments. Nobody waits for one.
fn network_options() -> rumqttc::NetworkOptions {
    let mut network = rumqttc::NetworkOptions::new();
    network.set_tcp_nodelay(false);
    network.set_connection_timeout(CONNECT_TIMEOUT.as_secs());
    network
}

fn options_v4(settings: &SubscribeSettings, state: Option<&HostState>) -> rumqttc::MqttOptions {
    let mut options = rumqttc::MqttOptions::new(&settings.client_id, &settings.host, settings.port);
    options.set_clean_session(false);
    options.set_manual_acks(true);
    options.set_keep_alive(settings.keep_alive);
    options.set_inflight(OUTGOING_IN_FLIGHT);
    let packet_max_bytes = settings.packet_max_bytes as usize;
    options.set_max_packet_size(packet_max_bytes, packet_max_bytes);
    if let Some((user, password)) = &settings.credentials {
        options.set_credentials(user, password.reveal());
    }
    if let Some((topic, payload)) = last_will(settings, state) {
        options.set_last_will(v4::LastWill::new(topic, payload, rumqttc::QoS::AtLeastOnce, true));
    }
    options
}

fn options_v5(settings: &SubscribeSettings, state: Option<&HostState>) -> v5::MqttOptions {
    let mut options = v5::MqttOptions::new(&settings.client_id, &settings.host, settings.port);
    options.set_clean_start(false);
    options.set_manual_acks(true);
    options.set_keep_alive(settings.keep_alive);
    options.set_outgoing_inflight_upper_limit(OUTGOING_IN_FLIGHT);
    options.set_network_options(network_options());
    options.set_connection_timeout(CONNECT_TIMEOUT.as_secs());
    let expiry = u32::try_from(settings.session_expiry.as_secs()).unwrap_or(u32::MAX);
    options.set_session_expiry_interval(Some(expiry));
    options.set_receive_maximum(Some(settings.in_flight_max));
    options.set_max_packet_size(Some(settings.packet_max_bytes));
    if let Some((user, password)) = &settings.credentials {
        options.set_credentials(user, password.reveal());
    }
    if let Some((topic, payload)) = last_will(settings, state) {
        let will = packet5::LastWill::new(topic, payload, v5::mqttbytes::QoS::AtLeastOnce, true, None);
        options.set_last_will(will);
    }
    options
}

pub(crate) const ONLINE: &str = "online";
pub(crate) const OFFLINE: &str = "offline";

/// What the broker is to say for us when we vanish: the host's STATE, or, without one, our own.
fn last_will(settings: &SubscribeSettings, state: Option<&HostState>) -> Option<(String, Vec<u8>)> {
    match (state, &settings.liveness_topic) {
        (Some(HostState { topic, payloads }), _) => {
            Some((topic.as_ref().to_owned(), payloads.offline.to_vec()))
        }
        (None, Some(topic)) => Some((topic.clone(), OFFLINE.as_bytes().to_vec())),
        (None, None) => None,
    }
}

impl Client {
    /// Passes a PUBACK on, waiting for room among the requests.
    pub(crate) async fn acknowledge(&self, packet_id: u16) -> Result<(), Gone> {
        match self {
            Self::V4(client) => {
                let publish = v4::Publish {
                    dup: false,
                    qos: rumqttc::QoS::AtLeastOnce,
                    retain: false,
                    topic: String::new(),
                    pkid: packet_id,
                    payload: Bytes::new(),
                };
                client.ack(&publish).await.map_err(|_ended| Gone)
            }
            Self::V5(client) => {
                let publish = packet5::Publish {
                    qos: v5::mqttbytes::QoS::AtLeastOnce,
                    pkid: packet_id,
                    ..packet5::Publish::default()
                };
                client.ack(&publish).await.map_err(|_ended| Gone)
            }
        }
    }

    /// Asks for all filters.
    pub(crate) async fn subscribe(&self, settings: &SubscribeSettings) -> Result<(), Gone> {
        let filters = settings.filters.iter();
        match self {
            Self::V4(client) => {
                let qos =
                    if settings.acknowledged { rumqttc::QoS::AtLeastOnce } else { rumqttc::QoS::AtMostOnce };
                let filters = filters.map(|filter| rumqttc::SubscribeFilter::new(filter.clone(), qos));
                client.subscribe_many(filters).await.map_err(|_ended| Gone)
            }
            Self::V5(client) => {
                use v5::mqttbytes::QoS;
                let qos = if settings.acknowledged { QoS::AtLeastOnce } else { QoS::AtMostOnce };
                let filters = filters.map(|filter| packet5::Filter {
                    // Where the session had the filter already, the broker need not send its stored messages again.
                    retain_forward_rule: packet5::RetainForwardRule::OnNewSubscribe,
                    ..packet5::Filter::new(filter.clone(), qos)
                });
                client.subscribe_many(filters).await.map_err(|_ended| Gone)
            }
        }
    }

    /// Publishes what later subscribers are to find, too: retained, QoS 1.
    pub(crate) async fn tell(&self, topic: &str, payload: Bytes) -> Result<(), Gone> {
        match self {
            Self::V4(client) => client
                .publish_bytes(topic, rumqttc::QoS::AtLeastOnce, true, payload)
                .await
                .map_err(|_ended| Gone),
            Self::V5(client) => client
                .publish_bytes(topic, v5::mqttbytes::QoS::AtLeastOnce, true, payload)
                .await
                .map_err(|_ended| Gone),
        }
    }

    /// Publishes with QoS 0, if there is room among the requests.
    pub(crate) fn try_publish(&self, topic: &str, payload: Bytes) -> Result<(), Gone> {
        match self {
            Self::V4(client) => {
                client.try_publish(topic, rumqttc::QoS::AtMostOnce, false, payload).map_err(|_full| Gone)
            }
            Self::V5(client) => client
                .try_publish(topic, v5::mqttbytes::QoS::AtMostOnce, false, payload)
                .map_err(|_full| Gone),
        }
    }

    pub(crate) async fn disconnect(&self) -> Result<(), Gone> {
        match self {
            Self::V4(client) => client.disconnect().await.map_err(|_ended| Gone),
            Self::V5(client) => client.disconnect().await.map_err(|_ended| Gone),
        }
    }
}

impl Connection {
    /// Moves the connection on. Not to be used again after its future was dropped unfinished.
    pub(crate) async fn poll(&mut self) -> Result<Event, Failure> {
        match self {
            Self::V4(connection) => Ok(event_v4(connection.poll().await?)),
            Self::V5(connection) => Ok(event_v5(connection.poll().await?)),
        }
    }
}

fn event_v4(event: rumqttc::Event) -> Event {
    use rumqttc::{Outgoing, Packet};
    match event {
        rumqttc::Event::Incoming(Packet::ConnAck(connack)) => {
            Event::Connected { session_present: connack.session_present }
        }
        rumqttc::Event::Incoming(Packet::Publish(publish)) => Event::Message(Message {
            topic: (!publish.topic.is_empty()).then(|| publish.topic.as_str().into()),
            payload: publish.payload,
            qos: match publish.qos {
                rumqttc::QoS::AtMostOnce => Qos::AtMostOnce,
                rumqttc::QoS::AtLeastOnce => Qos::AtLeastOnce,
                rumqttc::QoS::ExactlyOnce => Qos::ExactlyOnce,
            },
            retain: publish.retain,
            dup: publish.dup,
            packet_id: publish.pkid,
            properties: None,
        }),
        rumqttc::Event::Incoming(Packet::SubAck(suback)) => {
            let is_refused = |code: &&v4::SubscribeReasonCode| **code == v4::SubscribeReasonCode::Failure;
            Event::Subscribed { refused: suback.return_codes.iter().filter(is_refused).count() }
        }
        rumqttc::Event::Outgoing(Outgoing::Disconnect) => Event::Disconnecting,
        rumqttc::Event::Incoming(_) | rumqttc::Event::Outgoing(_) => Event::Other,
    }
}

fn event_v5(event: v5::Event) -> Event {
    use rumqttc::Outgoing;
    use v5::mqttbytes::{QoS, v5::Packet};
    match event {
        v5::Event::Incoming(Packet::ConnAck(connack)) => {
            Event::Connected { session_present: connack.session_present }
        }
        v5::Event::Incoming(Packet::Publish(publish)) => Event::Message(Message {
            topic: match std::str::from_utf8(&publish.topic) {
                Ok(topic) if !topic.is_empty() => Some(topic.into()),
                Ok(_) | Err(_) => None,
            },
            payload: publish.payload,
            qos: match publish.qos {
                QoS::AtMostOnce => Qos::AtMostOnce,
                QoS::AtLeastOnce => Qos::AtLeastOnce,
                QoS::ExactlyOnce => Qos::ExactlyOnce,
            },
            retain: publish.retain,
            dup: publish.dup,
            packet_id: publish.pkid,
            properties: publish.properties.and_then(|properties| {
                let received = Properties {
                    content_type: properties.content_type,
                    user_properties: properties.user_properties,
                };
                (received != Properties::default()).then(|| Box::new(received))
            }),
        }),
        v5::Event::Incoming(Packet::SubAck(suback)) => {
            let is_refused = |code: &&packet5::SubscribeReasonCode| {
                !matches!(code, packet5::SubscribeReasonCode::Success(_))
            };
            Event::Subscribed { refused: suback.return_codes.iter().filter(is_refused).count() }
        }
        v5::Event::Outgoing(Outgoing::Disconnect) => Event::Disconnecting,
        v5::Event::Incoming(_) | v5::Event::Outgoing(_) => Event::Other,
    }
}
