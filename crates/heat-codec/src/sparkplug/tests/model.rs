//! Random lives of a node, sent over a network that loses, repeats and reorders, against what is true of them.
//!
//! Every value says by its number which metric it is of, and every birth deals the aliases anew; so a value under the
//! wrong name shows by itself. The counts of two births never meet: where as many messages are lost as make them fit,
//! nobody can tell.

use proptest::prelude::*;

use super::*;

const METRICS: u64 = 5;
const DEVICES: usize = 2;
const ACTIONS: usize = 48;
const BIRTHS: u64 = 5;
const STEP_MS: i64 = 100;

#[derive(Debug, Clone, Copy)]
enum Action {
    /// The connection ends; the next action begins another one.
    Disconnect,
    Rebirth(u64),
    DeviceBirth(usize, u64),
    DeviceDeath(usize),
    NodeData(u64),
    DeviceData(usize, u64),
}

fn actions() -> impl Strategy<Value = Vec<Action>> {
    let action = prop_oneof![
        1 => Just(Action::Disconnect),
        1 => (1..METRICS).prop_map(Action::Rebirth),
        3 => (0..DEVICES, 1..METRICS).prop_map(|(device, shift)| Action::DeviceBirth(device, shift)),
        1 => (0..DEVICES).prop_map(Action::DeviceDeath),
        5 => (0..METRICS).prop_map(Action::NodeData),
        5 => (0..DEVICES, 0..METRICS).prop_map(|(device, metric)| Action::DeviceData(device, metric)),
    ];
    proptest::collection::vec(action, 1..ACTIONS)
}

/// What becomes of a message on its way.
#[derive(Debug, Clone, Copy)]
struct Fate {
    copies: usize,
    /// In steps; each copy comes that much later than the one before.
    delay: i64,
}

fn fates(lossless: bool) -> impl Strategy<Value = Vec<Fate>> {
    let copies = if lossless { 1..3_usize } else { 0..3 };
    let delays = if lossless { 0..1_i64 } else { 0..6 };
    let fate = (copies, delays).prop_map(|(copies, delay)| Fate { copies, delay });
    proptest::collection::vec(fate, 2 * ACTIONS)
}

#[derive(Debug)]
struct Sent {
    topic: String,
    payload: Vec<u8>,
    connection: u64,
    at_ms: i64,
    values: usize,
}

/// The node: what it sends, in order.
#[derive(Default)]
struct Node {
    sent: Vec<Sent>,
    connected: bool,
    connection: u64,
    births: u64,
    seq: u64,
    /// How far aliases are shifted: of the node, and of each device that is born.
    shift: u64,
    devices: [Option<u64>; DEVICES],
}

fn name(metric: u64) -> String {
    format!("m{metric}")
}

fn values(speaker: usize, shift: u64) -> impl Iterator<Item = Metric> {
    (0..METRICS).map(move |metric| {
        let value = 100.0 * speaker as f64 + metric as f64;
        super::metric(&name(metric), (metric + shift) % METRICS, value)
    })
}

impl Node {
    fn send(&mut self, kind: &str, device: Option<usize>, metrics: Vec<Metric>) {
        let at_ms = i64::try_from(self.sent.len()).unwrap() * STEP_MS;
        let device = device.map_or(String::new(), |device| format!("/d{device}"));
        self.sent.push(Sent {
            topic: format!("g/{kind}/n{device}"),
            values: metrics.iter().filter(|metric| metric.name.as_deref() != Some("bdSeq")).count(),
            payload: payload(self.seq, at_ms, metrics),
            connection: self.connection,
            at_ms,
        });
        self.seq = (self.seq + 1) % 256;
    }

    fn bd_seq(&self) -> Metric {
        bd_seq((250 + self.connection) % 256)
    }

    fn be_born(&mut self, shift: u64) {
        self.seq = 50 * self.births;
        self.births += 1;
        self.shift = shift;
        self.devices = [None; DEVICES];
        let metrics = std::iter::once(self.bd_seq()).chain(values(9, shift)).collect();
        self.send("NBIRTH", None, metrics);
    }

    fn act(&mut self, action: Action) {
        if !self.connected {
            if self.births == BIRTHS {
                return;
            }
            self.connected = true;
            self.connection += 1;
            self.be_born(self.connection % METRICS);
        }
        let datum = |speaker: usize, metric: u64, shift: u64| {
            vec![datum((metric + shift) % METRICS, 100.0 * speaker as f64 + metric as f64)]
        };
        match action {
            Action::Disconnect => {
                let at_ms = i64::try_from(self.sent.len()).unwrap() * STEP_MS;
                let will = Payload { metrics: vec![self.bd_seq()], ..Payload::default() };
                self.sent.push(Sent {
                    topic: "g/NDEATH/n".to_owned(),
                    payload: will.encode_to_vec(),
                    connection: self.connection,
                    at_ms,
                    values: 0,
                });
                self.connected = false;
            }
            Action::Rebirth(shift) if self.births < BIRTHS => self.be_born((self.shift + shift) % METRICS),
            Action::Rebirth(_) => {}
            Action::DeviceBirth(device, shift) => {
                self.devices[device] = Some(shift);
                self.send("DBIRTH", Some(device), values(device, shift).collect());
            }
            Action::DeviceDeath(device) => {
                if self.devices[device].take().is_some() {
                    self.send("DDEATH", Some(device), Vec::new());
                }
            }
            Action::NodeData(metric) => self.send("NDATA", None, datum(9, metric, self.shift)),
            Action::DeviceData(device, metric) => {
                if let Some(shift) = self.devices[device] {
                    self.send("DDATA", Some(device), datum(device, metric, shift));
                }
            }
        }
    }
}

/// What arrives, with its times of arrival, in order.
fn arrivals<'a>(sent: &'a [Sent], fates: &[Fate]) -> Vec<(i64, &'a Sent)> {
    let mut arrivals = Vec::new();
    for (at, (sent, fate)) in sent.iter().zip(fates).enumerate() {
        for copy in 0..fate.copies {
            let steps = fate.delay + (fate.delay + 1) * i64::try_from(copy).unwrap();
            arrivals.push((sent.at_ms + steps * STEP_MS + 1, at, sent));
        }
    }
    arrivals.sort_by_key(|(ms, at, _)| (*ms, *at));
    arrivals.into_iter().map(|(ms, _, sent)| (ms, sent)).collect()
}

fn life(actions: Vec<Action>) -> Vec<Sent> {
    let mut node = Node::default();
    for action in actions {
        node.act(action);
    }
    node.sent
}

/// Whether a reading `n/{device}/m{metric}={value}` is under its own name.
fn is_true(reading: &str) -> bool {
    let (id, value) = reading.split_once('=').unwrap();
    let parts: Vec<_> = id.split('/').collect();
    let speaker = match parts[1] {
        "node" => 900.0,
        "d0" => 0.0,
        _ => 100.0,
    };
    let metric: f64 = parts[2].strip_prefix('m').unwrap().parse().unwrap();
    value.parse() == Ok(speaker + metric)
}

proptest! {
    #[test]
    fn no_value_goes_under_another_name_and_no_old_birth_revives(
        actions in actions(),
        fates in fates(false),
    ) {
        let sent = life(actions);
        let mut host = Host::new();
        let mut last_death = 0;
        for (ms, message) in arrivals(&sent, &fates) {
            let seen = host.take(&message.topic, ms, &message.payload);
            let rejected = usize::try_from(host.0.decoded().rejected_readings()).unwrap();
            let readings: Vec<_> = seen.iter().filter(|line| line.contains("/m")).collect();
            prop_assert!(readings.iter().all(|reading| is_true(reading)), "{} {seen:?}", message.topic);
            prop_assert_eq!(readings.len() + rejected, message.values, "every value is a reading or rejected");
            let dead = message.connection <= last_death;
            if message.topic.contains("NBIRTH") {
                let revived = seen.contains(&"n/node/online=1".to_owned());
                prop_assert!(!(revived && dead), "a birth of connection {}", message.connection);
            } else if message.topic.contains("DATA") {
                prop_assert!(!dead || readings.is_empty(), "data of connection {}", message.connection);
            } else if message.topic.contains("NDEATH") {
                last_death = last_death.max(message.connection);
            }
        }
    }

    #[test]
    fn without_losses_and_out_of_order_messages_everything_is_taken(
        actions in actions(),
        fates in fates(true),
    ) {
        let sent = life(actions);
        let mut host = Host::new();
        // A copy comes right behind its original.
        for (message, fate) in sent.iter().zip(&fates) {
            for _ in 0..fate.copies {
                let seen = host.take(&message.topic, message.at_ms + 1, &message.payload);
                prop_assert!(host.0.decoded().rejects().is_empty(), "{} {seen:?}", message.topic);
                prop_assert_eq!(seen.iter().filter(|line| line.contains("/m")).count(), message.values);
            }
        }
        prop_assert_eq!((host.0.counts().gaps, host.asked().len()), (0, 0));
    }

    #[test]
    fn any_bytes_under_any_topic_give_readings_rejects_or_nothing(
        messages in proptest::collection::vec(
            (
                "(g|STATE)/(NBIRTH|NDEATH|NDATA|DBIRTH|DDEATH|DDATA|NCMD|X)/n(/d)?",
                proptest::collection::vec(any::<u8>(), 0..40),
                any::<i64>(),
            ),
            1..8,
        ),
        damage in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..4),
    ) {
        let mut host = Host::new();
        let mut bytes = birth(0, 0, [metric("a", 1, 1.0)]);
        for (at, byte) in damage {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        host.take("g/NBIRTH/n", 0, &bytes);
        for (topic, payload, micros) in &messages {
            let decoded = host.0.take(&format!("spBv1.0/{topic}"), payload, IngestTime::from_micros(*micros));
            prop_assert!(decoded.values_len() + decoded.rejects().len() <= 64);
        }
    }
}
