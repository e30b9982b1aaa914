//! What a device says: neutral, without an encoding.

use heat_model::{DeviceId, EventTime, NetworkId, Quality, SignalName, SiteId};

/// One signal of a device, as it is declared once.
#[derive(Debug, Clone, PartialEq)]
pub struct DeviceSignal {
    /// Name, after the standard names of the interface.
    pub name: SignalName,
    /// Unit of the raw value; empty where the device sends none.
    pub unit: &'static str,
}

/// One measured value as sent.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct RawValue {
    /// In the signal's unit; NaN where the device sends null.
    pub raw: f64,
    /// What the device says about it.
    pub quality: Quality,
}

/// One message of one device; `signals` and `raw` are parallel and never empty.
#[derive(Debug, Clone, Copy)]
pub struct DeviceMessage<'a> {
    /// Index of the device in [`crate::City::devices`], for caches of the publisher.
    pub index: usize,
    /// Network.
    pub network: &'a NetworkId,
    /// Site.
    pub site: &'a SiteId,
    /// Device.
    pub device: &'a DeviceId,
    /// When it was measured, by the device's clock.
    pub time: EventTime,
    /// The device's own number of the message, contiguous from 0 within a boot.
    pub seq: u64,
    /// The device's boot id.
    pub boot: &'a str,
    /// What the values are.
    pub signals: &'a [DeviceSignal],
    /// The values.
    pub raw: &'a [RawValue],
}

impl<'a> DeviceMessage<'a> {
    /// The values with their signals.
    pub fn values(&self) -> impl ExactSizeIterator<Item = (&'a DeviceSignal, RawValue)> + use<'a> {
        self.signals.iter().zip(self.raw.iter().copied())
    }
}
