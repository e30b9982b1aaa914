//! The burst rule by itself, in event time: how long from the second device's reading to the finding, with a core that
//! is fed as soon as a device has spoken. What the roles and the log add is measured live.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use heat_codec::envelope::EnvelopeDecoder;
use heat_detect::{DetectSettings, FreshMask, Output, PartitionCore};
use heat_gateway::intake::{Intake, IntakeSettings, Message};
use heat_model::{
    AppendTime, EventTime, GatewayId, IngestTime, NetworkId, Offset, PartitionId, Position,
    incident::{ChangeKind, Class},
};
use heat_sim::{City, Scan, campaign::BurstCampaign};

use crate::{
    fill::{city_plan, payload, topic},
    latency::shows::Twin,
};

const START: EventTime = EventTime::from_micros(1_767_974_400_000_000);
const NETWORKS: u32 = 40;

/// A core that takes what devices say, at once.
struct Fed {
    core: PartitionCore,
    intake: Intake,
    decoder: EnvelopeDecoder,
    gateway: GatewayId,
    records: u64,
    out: Vec<Output>,
}

impl Fed {
    fn take(&mut self, topic: &str, payload: &[u8], at: EventTime) {
        let received = IngestTime::from_micros(at.as_micros());
        let message = Message { topic, payload, retained: false, rights: None, received, again: None };
        for (_, draft) in self.intake.take(&message).drafts {
            let envelope = self.decoder.decode(draft.encode(&self.gateway, 1, self.records)).unwrap();
            let position = Position {
                partition: PartitionId(0),
                offset: Offset(self.records),
                append_time: AppendTime::from_micros(at.as_micros()),
            };
            self.records += 1;
            self.core.observe(&position, &envelope, &FreshMask::all(), &mut self.out);
        }
    }
}

#[test]
fn a_burst_is_found_within_two_seconds_of_the_second_devices_reading_that_shows_it() {
    let mut city = City::new(city_plan(NETWORKS, 5, 0.0), 7, START).unwrap();
    let mut twin = Twin::new(&city);
    let campaign = BurstCampaign {
        bursts: NETWORKS as usize,
        quiet: Duration::from_secs(90),
        every: Duration::from_millis(500),
        lasts: Duration::from_secs(150),
        ..BurstCampaign::default()
    };
    let script = campaign.script(city.plant(), 7);
    city.schedule(&script, city.now()).unwrap();
    let mut fed = Fed {
        core: PartitionCore::new(DetectSettings::default(), Arc::new(city.plant().clone())),
        intake: Intake::new(IntakeSettings::default(), 1),
        decoder: EnvelopeDecoder::default(),
        gateway: GatewayId::new("g").unwrap(),
        records: 0,
        out: Vec::new(),
    };
    let mut second_shown: BTreeMap<NetworkId, i64> = BTreeMap::new();
    let mut found: BTreeMap<NetworkId, i64> = BTreeMap::new();
    for second in 1..230 {
        let to = START.plus(Duration::from_secs(second));
        twin.advance(to);
        let mut said = Vec::new();
        city.advance(to, Scan::Live, &mut |message| {
            twin.compare(message);
            said.push((topic(message), payload(message, message.time), message.network.clone()));
        });
        fed.core.tick(to.as_micros() / 1_000_000, &mut fed.out);
        for (topic, payload, network) in said {
            fed.take(&topic, &payload, to);
            if twin.second_device(&network).is_some() {
                second_shown.entry(network).or_insert(to.as_micros());
            }
        }
        for output in fed.out.drain(..) {
            let Output::Event(event) = output else { continue };
            if event.change.kind == ChangeKind::Opened && event.incident.class == Class::Burst {
                found.entry(event.incident.network.clone()).or_insert(to.as_micros());
            }
        }
    }

    let labels = city.labels();
    assert!(labels.len() as u32 >= NETWORKS - 2, "{}", labels.len());
    let mut took: Vec<i64> = Vec::new();
    for label in &labels {
        let raised = found.remove(&label.network);
        let shown = second_shown.get(&label.network).copied();
        let (Some(raised), Some(shown)) = (raised, shown) else {
            panic!("{}: raised {raised:?}, shown by a second device {shown:?}", label.network)
        };
        assert!(raised >= label.start.as_micros(), "{}: before its onset", label.network);
        took.push((raised - shown) / 1_000_000);
    }
    assert!(found.is_empty(), "nothing burst in {found:?}");
    took.sort_unstable();
    println!("seconds from the second device's reading to the finding: {took:?}");
    assert!(took.iter().all(|seconds| *seconds < 2), "{took:?}");
}
