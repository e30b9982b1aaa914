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

    /// The shape of an item. `declare` is asked once per signal of a new shape: the unit that the plant model has
    /// for a name that came without one, or the reason to refuse the name.
    pub fn resolve(
        &mut self,
        decoded: &Decoded,
        item: &Item,
        declare: impl FnMut(&SignalName) -> Result<Option<Box<str>>, RejectReason>,
    ) -> Arc<Shape> {
        let (text, values) = (decoded.shape_text(item), decoded.values(item));
        if let Some(at) = self.shapes.iter().position(|shape| shape.fits(text, values)) {
            return Arc::clone(&self.shapes[at]);
        }
        let shape = Arc::new(work_out(&self.topic, decoded, item, declare));
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

fn work_out(
    topic: &DeviceTopic,
    decoded: &Decoded,
    item: &Item,
    mut declare: impl FnMut(&SignalName) -> Result<Option<Box<str>>, RejectReason>,
) -> Shape {
    let values = decoded.values(item);
    let mut signals = Vec::with_capacity(values.len());
    let mut slots = Vec::with_capacity(values.len());
    let mut names = std::collections::HashSet::with_capacity(values.len());
    for value in values {
        let name = decoded.name(value);
        let signal = if names.insert(name) {
            declaration(name, decoded.unit(value), &mut declare)
        } else {
            Err(RejectReason::DuplicateKey)
        };
        slots.push(signal.map(|signal| {
            signals.push(signal);
            u32::try_from(signals.len() - 1).expect("a payload has at most a few thousand values")
        }));
    }
    Shape {
        text: decoded.shape_text(item).into(),
        lens: values.iter().map(lens_of).collect(),
        set: encode_set(&topic.site, &topic.device, &signals),
        signals: signals.into(),
        slots: slots.into(),
    }
}

fn declaration(
    name: &str,
    unit: Option<&str>,
    declare: &mut impl FnMut(&SignalName) -> Result<Option<Box<str>>, RejectReason>,
) -> Result<SignalDecl, RejectReason> {
    let name = SignalName::new(name).map_err(|_| RejectReason::InvalidId)?;
    let declared = declare(&name)?;
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
    use crate::own_json::Decoder;

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
        shapes.resolve(decoded, &decoded.items()[0], |name| match name.as_str() {
            "refused" => Err(RejectReason::UnknownSignal),
            "supply_pressure" => Ok(Some("MPa".into())),
            _ => Ok(None),
        })
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
            "return_temperature":{"value":1,"unit":"furlong"},"refused":1,"supply_pressure":0.8}}"#;
        let shape = shape_of(&mut shapes(), payload);
        assert_eq!(
            *shape.slots,
            [
                Ok(0),
                Err(RejectReason::InvalidId),
                Err(RejectReason::DuplicateKey),
                Err(RejectReason::WrongDimension),
                Err(RejectReason::UnknownUnit),
                Err(RejectReason::UnknownSignal),
                Ok(1),
            ]
        );
        assert!(!shape.is_whole());
        assert_eq!((&*shape.signals[1].raw_unit, &*shape.signals[1].unit), ("MPa", "Pa"));
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
