//! The table of devices that payloads name.

use foldhash::fast::FixedState;
use hashbrown::HashMap;
use heat_model::InvalidId;

use super::{DEVICES_MAX, rule::Speaker};
use crate::topic::DeviceTopic;

/// Why a device has no index.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Stranger {
    /// One of network, site and device (by number) is no id.
    Invalid(usize, String),
    TooMany,
}

/// Append-only and bounded.
#[derive(Debug, Default)]
pub(super) struct Devices {
    devices: Vec<DeviceTopic>,
    /// By the texts as received, so that a known device costs one look-up.
    known: HashMap<Box<[u8]>, u32, FixedState>,
    key: Vec<u8>,
}

impl Devices {
    pub(super) fn get(&self, index: u32) -> &DeviceTopic {
        &self.devices[index as usize]
    }

    pub(super) const fn len(&self) -> usize {
        self.devices.len()
    }

    /// Index of a device of a mapping, by network, site and device as received.
    pub(super) fn index(
        &mut self,
        mapping: u32,
        speaker: &Speaker,
        texts: [&str; 3],
    ) -> Result<u32, Stranger> {
        self.key.clear();
        self.key.extend_from_slice(&mapping.to_le_bytes());
        for text in texts {
            self.key.extend_from_slice(&text.len().to_le_bytes());
            self.key.extend_from_slice(text.as_bytes());
        }
        if let Some(&index) = self.known.get(&*self.key) {
            return Ok(index);
        }
        let topic = identify(speaker, texts)?;
        let index = match u32::try_from(self.devices.len()) {
            Ok(index) if self.devices.len() < DEVICES_MAX => index,
            _ => return Err(Stranger::TooMany),
        };
        self.devices.push(topic);
        self.known.insert(self.key.as_slice().into(), index);
        Ok(index)
    }
}

fn identify(speaker: &Speaker, texts: [&str; 3]) -> Result<DeviceTopic, Stranger> {
    let translated = |part: usize| speaker.ids[part].get(texts[part]).map_or(texts[part], String::as_str);
    let invalid =
        |part: usize| move |fault: InvalidId| Stranger::Invalid(part, format!("{:?}: {fault}", texts[part]));
    Ok(DeviceTopic {
        network: translated(0).parse().map_err(invalid(0))?,
        site: translated(1).parse().map_err(invalid(1))?,
        device: translated(2).parse().map_err(invalid(2))?,
    })
}
