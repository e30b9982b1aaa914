//! From decoded values to the signals of a record.
//!
//! A device sends the same names and units again and again. What follows from them alone (are they ids, which unit
//! becomes which SI unit, is a name there twice) is worked out once per *shape*, the list of an item's names and
//! units, and found again by one comparison of bytes.

use std::sync::Arc;

use bytes::Bytes;
use heat_model::{
    SignalDecl, SignalName,
    unit::{UnitFault, conversion},
};

use crate::{
    decoded::{Decoded, DecodedValue, Item},
    envelope::encode_set,
    plant::{DeviceFacts, SiRange},
    reject::{Reject, RejectReason},
    topic::DeviceTopic,
};

/// Shapes kept per device; a device that reports on change sends a few dozen.
pub const SHAPES_MAX: usize = 64;

/// What the names and units of an item come to.
#[derive(Debug, PartialEq)]
pub struct Shape {
    text: Box<str>,
    lens: Box<[(u32, Option<u32>)]>,
    /// The signals that were taken, in the item's order.
    pub signals: Box<[SignalDecl]>,
    /// What each of `signals` may be, in their order; `None` where nothing is known of any.
    pub ranges: Option<Box<[SiRange]>>,
    /// The same as a record carries them.
    pub set: Bytes,
    /// For each value of the item: its index in `signals`, or why it is rejected.
    pub slots: Box<[Result<u32, RejectReason>]>,
}

impl Shape {
    /// Whether every value has a signal, so that `slots` is 0, 1, 2, ...
    pub fn is_whole(&self) -> bool {
        self.signals.len() == self.slots.len()
    }

    fn fits(&self, text: &str, values: &[DecodedValue]) -> bool {
        self.lens.len() == values.len()
            && *self.text == *text
            && self.lens.iter().zip(values).all(|(lens, value)| *lens == lens_of(value))
    }
}

fn lens_of(value: &DecodedValue) -> (u32, Option<u32>) {
    (value.name.len(), value.unit.map(|unit| unit.len()))
}

/// The shapes of one device, by its topic.
#[derive(Debug)]
pub struct DeviceShapes {
    topic: DeviceTopic,
    shapes: Vec<Arc<Shape>>,
    replace_next: usize,
}

impl DeviceShapes {
    /// None known yet.
    pub const fn new(topic: DeviceTopic) -> Self {
        Self { topic, shapes: Vec::new(), replace_next: 0 }
    }

    /// Who speaks.
    pub const fn topic(&self) -> &DeviceTopic {
        &self.topic
    }

    /// Forgets all, because units or policy changed.
    pub fn clear(&mut self) {
        self.shapes.clear();
        self.replace_next = 0;
    }

    /// The shape of an item. `facts`, what the plant model says of the device, are asked once per new shape; after they
    /// change, [`Self::clear`].
    pub fn resolve(&mut self, decoded: &Decoded, item: &Item, facts: &DeviceFacts) -> Arc<Shape> {
        let (text, values) = (decoded.shape_text(item), decoded.values(item));
        if let Some(at) = self.shapes.iter().position(|shape| shape.fits(text, values)) {
            return Arc::clone(&self.shapes[at]);
        }
        let shape = Arc::new(work_out(&self.topic, decoded, item, facts));
        if self.shapes.len() < SHAPES_MAX {
            self.shapes.push(Arc::clone(&shape));
        } else {
            self.shapes[self.replace_next] = Arc::clone(&shape);
            self.replace_next = (self.replace_next + 1) % SHAPES_MAX;
        }
        shape
    }
}

/// The reject of a value whose slot has a reason.
pub fn reject_of(decoded: &Decoded, item: &Item, value: &DecodedValue, reason: RejectReason) -> Reject {
    let mut place = decoded.place(item, value);
    let of_unit = matches!(reason, RejectReason::UnknownUnit | RejectReason::WrongDimension);
    if of_unit && value.unit.is_some() {
        place.push_str("/unit");
    }
    let found = if of_unit { decoded.unit(value).unwrap_or("") } else { decoded.name(value) };
    Reject::at(reason, place, 1).found(found)
}

fn work_out(topic: &DeviceTopic, decoded: &Decoded, item: &Item, facts: &DeviceFacts) -> Shape {
    let values = decoded.values(item);
    let mut signals = Vec::with_capacity(values.len());
    let mut slots = Vec::with_capacity(values.len());
    let mut names = std::collections::HashSet::with_capacity(values.len());
    for value in values {
        let name = decoded.name(value);
        let signal = if names.insert(name) {
            declaration(name, decoded.unit(value), facts)
        } else {
            Err(RejectReason::DuplicateKey)
        };
        slots.push(signal.map(|signal| {
            signals.push(signal);
            u32::try_from(signals.len() - 1).expect("a payload has at most a few thousand values")
        }));
    }
    let ranges = facts.ranges(&signals);
    Shape {
        text: decoded.shape_text(item).into(),
        lens: values.iter().map(lens_of).collect(),
        set: encode_set(&topic.site, &topic.device, &signals),
        signals: signals.into(),
        ranges: ranges.iter().any(|range| *range != SiRange::ANY).then_some(ranges),
        slots: slots.into(),
    }
}

fn declaration(name: &str, unit: Option<&str>, facts: &DeviceFacts) -> Result<SignalDecl, RejectReason> {
    let name = SignalName::new(name).map_err(|_| RejectReason::InvalidId)?;
    let declared = facts.declare(&name)?;
    let unit = unit.or(declared.as_deref());
    let (si, scale, offset) = conversion(name.as_str(), unit).map_err(|fault| match fault {
        UnitFault::Unknown => RejectReason::UnknownUnit,
        UnitFault::WrongDimension => RejectReason::WrongDimension,
    })?;
    Ok(SignalDecl { name, unit: si, raw_unit: unit.unwrap_or("").into(), scale, offset })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        own_json::Decoder,
        plant::{SignalIndex, UnknownPolicy, UnknownSignals},
    };

    fn shapes() -> DeviceShapes {
        DeviceShapes::new(DeviceTopic {
            network: "n".parse().unwrap(),
            site: "s".parse().unwrap(),
            device: "d".parse().unwrap(),
        })
    }

    fn shape_of(shapes: &mut DeviceShapes, payload: &str) -> Arc<Shape> {
        let mut decoder = Decoder::default();
        let decoded = decoder.decode(payload.as_bytes());
        assert_eq!(decoded.rejects(), []);
        shapes.resolve(decoded, &decoded.items()[0], &DeviceFacts::default())
    }

    #[test]
    fn the_same_names_and_units_are_worked_out_once() {
        let mut shapes = shapes();
        let first =
            shape_of(&mut shapes, r#"{"values":{"a":1,"supply_temperature":{"value":2,"unit":"K"}}}"#);
        let again =
            shape_of(&mut shapes, r#"{"values":{"a":7,"supply_temperature":{"unit":"K","value":9}}}"#);
        assert!(Arc::ptr_eq(&first, &again));
        assert_eq!((&*first.signals[1].unit, first.signals[1].offset), ("degC", -273.15));
    }

    #[test]
    fn a_name_and_a_unit_are_never_taken_for_one_longer_name() {
        let mut shapes = shapes();
        let split = shape_of(&mut shapes, r#"{"values":{"a":{"value":1,"unit":"b"}}}"#);
        let joined = shape_of(&mut shapes, r#"{"values":{"ab":1}}"#);
        assert_ne!(split.signals, joined.signals);
    }

    #[test]
    fn each_fault_of_a_name_or_unit_takes_one_value() {
        let payload = r#"{"values":{"a":1,"b/c":2,"a":3,"supply_temperature":{"value":1,"unit":"bar"},
            "return_temperature":{"value":1,"unit":"furlong"},"supply_pressure":0.8}}"#;
        let shape = shape_of(&mut shapes(), payload);
        assert_eq!(
            *shape.slots,
            [
                Ok(0),
                Err(RejectReason::InvalidId),
                Err(RejectReason::DuplicateKey),
                Err(RejectReason::WrongDimension),
                Err(RejectReason::UnknownUnit),
                Ok(1),
            ]
        );
        assert!(!shape.is_whole());
        assert_eq!((&*shape.signals[1].unit, shape.ranges.as_deref()), ("Pa", None));
    }

    #[test]
    fn the_plant_model_gives_units_and_ranges_and_may_refuse_what_it_does_not_know() {
        let table = "id,unit,range_min,range_max\nn/s/d/supply_pressure,MPa,0,1.6\n";
        let model = crate::plant::read(&[("signals.csv", table)]).unwrap();
        let policy = UnknownPolicy { default: UnknownSignals::Refuse, ..UnknownPolicy::default() };
        let index = SignalIndex::new(&model, policy);
        let mut shapes = shapes();
        let facts = {
            let topic = shapes.topic();
            index.device(&topic.network, &topic.site, &topic.device)
        };
        let mut decoder = Decoder::default();
        let decoded = decoder.decode(br#"{"values":{"supply_pressure":0.8,"other":1}}"#);
        let shape = shapes.resolve(decoded, &decoded.items()[0], &facts);
        assert_eq!(*shape.slots, [Ok(0), Err(RejectReason::UnknownSignal)]);
        assert_eq!((&*shape.signals[0].raw_unit, &*shape.signals[0].unit), ("MPa", "Pa"));
        let range = shape.ranges.as_ref().unwrap()[0];
        assert!(range.holds(0.8e6) && !range.holds(1.7e6));
    }

    #[test]
    fn a_device_that_never_repeats_itself_costs_bounded_memory() {
        let mut shapes = shapes();
        for n in 0..3 * SHAPES_MAX {
            let shape = shape_of(&mut shapes, &format!(r#"{{"values":{{"signal{n}":1}}}}"#));
            assert_eq!(shape.signals[0].name.as_str(), format!("signal{n}"));
        }
        assert_eq!(shapes.shapes.len(), SHAPES_MAX);
    }
}
