//! Neuron's payloads: whose they are, and what their tags stand for.

use heat_model::{Quality, QualityCode};

use super::{
    devices::{Devices, Stranger},
    document::shortened,
    reading::{Meant, is_sentinel, meant_by},
    rule::{NeuronRule, Piece},
};
use crate::{
    decoded::{Decoded, DecodedValue, Item},
    neuron::Decoder,
    reject::{Reject, RejectReason},
};

/// One payload's way from tags to signals.
pub(super) struct Tags<'a> {
    pub(super) rule: &'a NeuronRule,
    /// Number of the mapping.
    pub(super) mapping: u32,
    pub(super) captures: &'a [Box<str>],
    pub(super) devices: &'a mut Devices,
    /// The device, once it is known, where the topic decides it.
    pub(super) of_topic: &'a mut Option<u32>,
    pub(super) word: &'a mut String,
}

impl Tags<'_> {
    /// Takes over what Neuron's decoder found last.
    pub(super) fn take(mut self, neuron: &mut Decoder, into: &mut Decoded) {
        let device = self.device(neuron);
        let found = neuron.found();
        std::mem::swap(&mut into.rejects, &mut found.rejects);
        std::mem::swap(&mut into.place_text, &mut found.place_text);
        into.unknown_fields = found.unknown_fields;
        let Some(item) = found.items.pop() else { return };
        // What the decoder refused belongs to the item, too.
        let mark = into.mark_of_all();
        for (value, place) in found.values(&item).iter().zip(&found.places) {
            let tag = found.name(value);
            match meant_by(&self.rule.names, tag) {
                Ok(Some(Meant { name, unit, how })) => {
                    let name = into.push_text(name);
                    let unit = unit.map(|unit| into.push_text(unit));
                    let is_sentinel = value.quality == Quality::Good && is_sentinel(value.raw, how);
                    let (quality, code) = if is_sentinel {
                        (Quality::Bad, QualityCode::Sentinel)
                    } else {
                        (value.quality, value.code)
                    };
                    into.values.push(DecodedValue { name, unit, quality, code, ..*value });
                    into.places.push(*place);
                }
                Ok(None) => into.unknown_fields += 1,
                Err(reason) => {
                    let place = place.of(&into.place_text).to_owned();
                    into.reject(Reject::at(reason, place, 1).found(tag));
                }
            }
        }
        let text = mark.text()..into.text.len();
        match device {
            Ok(device) => {
                let item = Item { device: Some(device), lane: self.rule.lane, ..item };
                into.close_item(mark, item, text);
            }
            Err((reason, place, detail)) => {
                into.reject_item(mark, reason, place.to_owned(), &detail);
            }
        }
    }

    fn device(&mut self, neuron: &Decoder) -> Result<u32, (RejectReason, &'static str, String)> {
        if let Some(device) = *self.of_topic {
            return Ok(device);
        }
        self.word.clear();
        let mut ends = [0; 3];
        for (template, end) in self.rule.speaker.templates.iter().zip(&mut ends) {
            for piece in &template.0 {
                let (text, place) = match piece {
                    Piece::Text(text) => (&**text, None),
                    Piece::Topic(capture) => (self.captures.get(*capture).map_or("", |text| &**text), None),
                    Piece::Node => (neuron.node(), Some("/node")),
                    Piece::Group => (neuron.group(), Some("/group")),
                    Piece::Payload(_) => ("", None),
                };
                if let Some(place) = place.filter(|_| text.is_empty()) {
                    return Err((RejectReason::PointerMissing, place, String::new()));
                }
                self.word.push_str(text);
            }
            *end = self.word.len();
        }
        let (network, rest) = self.word.split_at(ends[0]);
        let (site, device) = rest.split_at(ends[1] - ends[0]);
        match self.devices.index(self.mapping, &self.rule.speaker, [network, site, device]) {
            Ok(index) => {
                if self.rule.speaker.is_of_topic {
                    *self.of_topic = Some(index);
                }
                Ok(index)
            }
            Err(Stranger::Invalid(part, detail)) => {
                let of_payload = self.rule.speaker.templates[part].0.iter().find_map(|piece| match piece {
                    Piece::Node => Some("/node"),
                    Piece::Group => Some("/group"),
                    Piece::Text(_) | Piece::Topic(_) | Piece::Payload(_) => None,
                });
                Err((RejectReason::InvalidId, of_payload.unwrap_or(""), shortened(&detail)))
            }
            Err(Stranger::TooMany) => Err((RejectReason::TooManyDevices, "", shortened(self.word))),
        }
    }
}
