//! What is kept of each device between its messages.

use std::sync::Arc;

use heat_codec::{
    plant::{DeviceFacts, SignalIndex},
    shape::DeviceShapes,
    topic::DeviceTopic,
};
use heat_model::PartitionId;

use super::Context;
use crate::clock_guard::{ClockState, DeviceClock};

/// One device.
#[derive(Debug)]
pub(super) struct Device {
    pub(super) partition: PartitionId,
    pub(super) shapes: DeviceShapes,
    pub(super) facts: Arc<DeviceFacts>,
    pub(super) clock: DeviceClock,
    /// Whether its site is noted as one that sends readings.
    pub(super) is_heard: bool,
}

/// The devices of one format, by the index that its decoder gives them.
#[derive(Debug, Default)]
pub(super) struct Devices {
    devices: Vec<Option<Device>>,
}

impl Devices {
    /// The device of this index; `topic` names it the first time.
    pub(super) fn get<'a>(
        &mut self,
        index: usize,
        topic: impl FnOnce(usize) -> &'a DeviceTopic,
        context: &Context,
    ) -> &mut Device {
        if self.devices.len() <= index {
            self.devices.resize_with(index + 1, || None);
        }
        self.devices[index].get_or_insert_with(|| {
            let topic = topic(index).clone();
            Device {
                partition: context.partition_of(&topic.network),
                facts: facts(&topic, &context.signals),
                shapes: DeviceShapes::new(topic),
                clock: DeviceClock::default(),
                is_heard: false,
            }
        })
    }

    /// Another plant model: what is known of clocks stays.
    pub(super) fn adopt(&mut self, signals: &SignalIndex) {
        for device in self.devices.iter_mut().flatten() {
            device.facts = facts(device.shapes.topic(), signals);
            device.shapes.clear();
        }
    }

    pub(super) fn clear(&mut self) {
        self.devices.clear();
    }

    /// State of each device's clock.
    pub(super) fn clocks(&self) -> impl Iterator<Item = ClockState> {
        self.devices.iter().flatten().map(|device| device.clock.state())
    }
}

fn facts(topic: &DeviceTopic, signals: &SignalIndex) -> Arc<DeviceFacts> {
    signals.device(&topic.network, &topic.site, &topic.device)
}
