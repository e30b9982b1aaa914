//! What each act does to the road.

use std::{fs, path::Path, time::Duration};

use super::Road;
use crate::{
    disk,
    faults::{Act, Scene},
    pace,
    proxy::{Flow, Proxy, Side, Way},
    site::sum,
    wait_until,
};

const FORWARDED: &str = "heat_gateway_buffer_forwarded_records_total";
const SLOW: Flow = Flow::Slow { latency: Duration::from_millis(100), loss_per_thousand: 10 };
/// How soon a bridge must notice that Kafka hangs, and acknowledge from its buffer, on a busy machine.
const BUFFERED: Duration = Duration::from_secs(90);

impl Road {
    pub(super) fn perform(&mut self, Scene { act, lasts }: Scene) {
        match act {
            Act::Calm => self.cost = self.cost_of(|road| road.pass(lasts)),
            Act::Malformed => {
                self.fleet.set_malformed_per_thousand(10);
                self.pass(lasts);
                self.fleet.set_malformed_per_thousand(0);
            }
            Act::BridgeKilled => {
                self.bridges[0].kill();
                self.bridges[0].spawn();
                self.pass(lasts);
            }
            Act::BridgeKilledThrice => {
                for _ in 0..3 {
                    self.bridges[0].kill();
                    self.bridges[0].spawn();
                    self.pass(Duration::from_secs(1));
                }
                self.pass(lasts);
            }
            Act::BridgeKilledInHang => {
                self.kafka.freeze();
                self.pass(lasts / 2);
                self.bridges[0].kill();
                self.bridges[0].spawn();
                self.pass(lasts / 2);
                self.kafka.thaw();
            }
            Act::BridgeKilledInDrain => {
                self.kafka.freeze();
                self.wait_until_buffered();
                self.pass(lasts);
                self.kafka.thaw();
                let forwarded = || sum(&self.bridges[0].metrics(), FORWARDED, &[]);
                wait_until("the bridge forwards what waited", BUFFERED, || forwarded() > 0.0);
                self.bridges[0].kill();
                self.bridges[0].spawn();
            }
            Act::OneOfTwoKilled => {
                self.fleet.prefer(1);
                self.bridges[0].kill();
                self.pass(lasts);
                self.bridges[0].spawn();
            }
            Act::BrokerRestarted => {
                self.mosquitto.as_mut().expect("this road has a broker").stop();
                self.pass(lasts);
                self.mosquitto.as_mut().expect("this road has a broker").start_again();
            }
            Act::KafkaKilled => {
                self.kafka.kill();
                self.pass(lasts);
                self.kafka.launch();
            }
            Act::KafkaStopped => {
                self.kafka.freeze();
                self.pass(lasts);
                self.kafka.thaw();
            }
            Act::KafkaHeld => self.with_kafka_link(&[Way::ToServer, Way::ToClient], Flow::Held, lasts),
            Act::KafkaAnswersHeld => self.with_kafka_link(&[Way::ToClient], Flow::Held, lasts),
            Act::KafkaSlow => self.with_kafka_link(&[Way::ToServer, Way::ToClient], SLOW, lasts),
            Act::KafkaReset => {
                for _ in 0..lasts.as_secs() {
                    self.kafka_link.reset_all();
                    self.pass(Duration::from_secs(1));
                }
            }
            Act::KafkaHalfOpen => {
                self.kafka_link.half_open(Side::Server);
                self.pass(lasts);
            }
            Act::MqttHeld => self.with_mqtt_links(&[Way::ToServer, Way::ToClient], Flow::Held, lasts),
            Act::MqttAnswersHeld => self.with_mqtt_links(&[Way::ToClient], Flow::Held, lasts),
            Act::MqttSlow => self.with_mqtt_links(&[Way::ToServer, Way::ToClient], SLOW, lasts),
            Act::MqttHalfOpen => {
                self.mqtt_links.iter().for_each(|link| link.half_open(Side::Client));
                self.pass(lasts);
            }
            Act::MqttServerGone => {
                self.mqtt_links.iter().for_each(|link| link.half_open(Side::Server));
                self.pass(lasts);
            }
            Act::MqttReset => {
                self.mqtt_links.iter().for_each(Proxy::reset_all);
                self.pass(lasts);
            }
            Act::BufferDiskFull => self.fill_buffer_disk(lasts),
            Act::BufferTorn => self.spoil_buffer(lasts, |file| disk::tear(file, 100)),
            // A heartbeat carries no message; a record with a network's name does.
            Act::BufferDamaged => self.spoil_buffer(lasts, |file| disk::damage(file, "town-")),
        }
    }

    /// Waits until so many more messages are acknowledged than could be in Kafka: they are on disk.
    fn wait_until_buffered(&self) {
        self.wait_until_acknowledged(2_000 + (self.settings.devices * self.settings.window) as u64);
    }

    fn wait_until_acknowledged(&self, messages: u64) {
        let before = self.fleet.acknowledged();
        wait_until("the bridge acknowledges from its buffer while Kafka hangs", BUFFERED, || {
            self.fleet.acknowledged() >= before + messages
        });
    }

    fn fill_buffer_disk(&mut self, lasts: Duration) {
        self.kafka.freeze();
        self.wait_until_buffered();
        let ballast = self.disks[0].fill("ballast");
        let (mut last, mut quiet) = (self.fleet.acknowledged(), 0);
        wait_until("a full disk stops acknowledgements", BUFFERED, || {
            pace(Duration::from_millis(500));
            let acknowledged = self.fleet.acknowledged();
            quiet = if acknowledged == last { quiet + 1 } else { 0 };
            last = acknowledged;
            quiet >= 4
        });
        self.pass(lasts);
        fs::remove_file(&ballast).expect("the ballast can be removed");
        self.wait_until_acknowledged(1);
        self.kafka.thaw();
    }

    fn spoil_buffer(&mut self, lasts: Duration, spoil: impl FnOnce(&Path)) {
        self.kafka.freeze();
        self.wait_until_buffered();
        self.pass(lasts);
        self.bridges[0].kill();
        let segments = disk::files_ending(&self.bridges[0].buffer(), ".segment");
        spoil(segments.last().expect("the buffer has a segment"));
        self.bridges[0].spawn();
        self.pass(Duration::from_secs(1));
        self.kafka.thaw();
    }

    fn with_kafka_link(&mut self, ways: &[Way], flow: Flow, lasts: Duration) {
        ways.iter().for_each(|way| self.kafka_link.set(*way, flow));
        self.pass(lasts);
        self.kafka_link.set_both(Flow::Open);
    }

    fn with_mqtt_links(&mut self, ways: &[Way], flow: Flow, lasts: Duration) {
        for link in &self.mqtt_links {
            ways.iter().for_each(|way| link.set(*way, flow));
        }
        self.pass(lasts);
        self.mqtt_links.iter().for_each(|link| link.set_both(Flow::Open));
    }
}
