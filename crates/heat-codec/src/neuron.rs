//! Neuron JSON: what the EMQX Neuron industrial gateway publishes, one object per group of tags.
//!
//! ```json
//! {"node": "modbus-1", "group": "g1", "timestamp": 1795478400000,
//!  "values": {"supply_temperature": 81.2}, "errors": {"return_pressure": 3002}}
//! ```
//!
//! The "tags" form (`"tags": [{"name": "t", "value": 1}, {"name": "p", "error": 3002}]`) is read, too. `timestamp` is
//! in Unix milliseconds. A tag under `errors` with a code other than 0 is a bad value without a number; with code 0 it
//! is passed over. Text values are rejected. Other fields (`metas`, static tags) are passed over and counted.
//! Tags carry no unit: it comes from the plant model or is the standard one of the name.
//!
//! Which site and device a node and group mean, and which signals the tags, a mapping says: see [`crate::mapped`].

use heat_model::{Quality, QualityCode};

use crate::{
    decoded::{Decoded, DecodedValue, Item, Limits, Span},
    json::{JsonFault, Kind, Number, Reader, text_of},
    own_json::{Fault, Field, scalar, set_raw, short_text, time},
    reject::{Reject, RejectReason, push_number, push_pointer},
};

/// Fields that the decoder knows.
pub const FIELDS: [&str; 6] = ["node", "group", "timestamp", "values", "errors", "tags"];

/// Decodes payloads; keeps its buffers between them.
#[derive(Debug, Default)]
pub struct Decoder {
    limits: Limits,
    decoded: Decoded,
    scratch: String,
    node: String,
    group: String,
}

impl Decoder {
    /// With bounds of your own.
    pub fn new(limits: Limits) -> Self {
        Self { limits, ..Self::default() }
    }

    /// Node of the last payload; empty if it names none.
    pub fn node(&self) -> &str {
        &self.node
    }

    /// Group of the last payload; empty if it names none.
    pub fn group(&self) -> &str {
        &self.group
    }

    /// Decodes one payload into at most one item. What it returns holds until the next call.
    pub fn decode(&mut self, payload: &[u8]) -> &Decoded {
        self.decoded.clear();
        self.node.clear();
        self.group.clear();
        let text = match text_of(payload, self.limits.payload_max_bytes) {
            Ok(text) => text,
            Err(reason) => {
                self.decoded.reject_whole(Reject::whole(reason));
                return &self.decoded;
            }
        };
        let mut reader = Reader::new(text);
        match self.document(&mut reader) {
            Ok(true) => {}
            Ok(false) => self.decoded.reject_whole(Reject::whole(RejectReason::TooManyValues)),
            Err(fault) => {
                let place = format!("byte {}", reader.position());
                self.decoded.reject_whole(Reject::at(fault.reason(), place, 0));
            }
        }
        &self.decoded
    }

    /// False if the bound on values is passed.
    fn document(&mut self, reader: &mut Reader<'_>) -> Result<bool, JsonFault> {
        let mark = self.decoded.mark();
        let kind = reader.kind()?;
        if kind != Kind::Object {
            reader.skip(&mut self.scratch)?;
            reader.end()?;
            self.decoded.reject_whole(Reject::whole(RejectReason::WrongType).found(kind.word()));
            return Ok(true);
        }
        let mut item = Item::default();
        let mut fault: Option<Fault> = None;
        let (mut seen, mut first) = (0_u8, true);
        reader.enter_object()?;
        while let Some(key) = reader.next_key(first, &mut self.scratch)? {
            first = false;
            let Some(field) = FIELDS.iter().position(|known| *known == key) else {
                reader.skip(&mut self.scratch)?;
                self.decoded.unknown_fields += 1;
                continue;
            };
            let found = if seen & 1 << field == 0 {
                match self.field(reader, FIELDS[field], &mut item)? {
                    Some(found) => found,
                    None => return Ok(false),
                }
            } else {
                reader.skip(&mut self.scratch)?;
                Err(Fault::new(RejectReason::DuplicateKey, FIELDS[field], ""))
            };
            seen |= 1 << field;
            fault = fault.or(found.err());
        }
        reader.end()?;
        let end = self.decoded.mark();
        match fault {
            Some(fault) => {
                self.decoded.reject_item(mark, fault.reason, format!("/{}", fault.field), &fault.detail);
            }
            None if self.decoded.values.is_empty() && self.decoded.rejects.is_empty() => {
                self.decoded.reject_item(mark, RejectReason::MissingField, "/values".to_owned(), "");
            }
            None => self.decoded.close_item(mark, item, mark.text()..end.text()),
        }
        Ok(true)
    }

    /// `None` if the bound on values is passed.
    fn field(
        &mut self,
        reader: &mut Reader<'_>,
        field: &'static str,
        item: &mut Item,
    ) -> Result<Option<Result<(), Fault>>, JsonFault> {
        Ok(Some(match field {
            "timestamp" => time(reader, &mut self.scratch)?
                .map(|time| item.time = Some(time))
                .map_err(|fault| Fault { field, ..fault }),
            "node" => short_text(reader, &mut self.scratch, field)?.map(|text| self.node.push_str(text)),
            "group" => short_text(reader, &mut self.scratch, field)?.map(|text| self.group.push_str(text)),
            "tags" => return self.tags(reader),
            _ => return self.named(reader, field),
        }))
    }

    /// An object of values or of errors by name.
    fn named(
        &mut self,
        reader: &mut Reader<'_>,
        field: &'static str,
    ) -> Result<Option<Result<(), Fault>>, JsonFault> {
        if reader.kind()? != Kind::Object {
            reader.skip(&mut self.scratch)?;
            return Ok(Some(Err(Fault::new(RejectReason::WrongType, field, ""))));
        }
        reader.enter_object()?;
        let mut first = true;
        while let Some(key) = reader.next_key(first, &mut self.scratch)? {
            first = false;
            let mark = self.decoded.mark();
            let mut value = empty(self.decoded.push_text(key));
            if self.is_full() {
                return Ok(None);
            }
            let found = if field == "errors" {
                self.error(reader)?.inspect(|&is_error| {
                    if is_error {
                        set_error(&mut value);
                    }
                })
            } else {
                scalar(reader, &mut self.scratch, "")?.map(|raw| {
                    set_raw(&mut value, raw);
                    true
                })
            };
            match found {
                Ok(true) => {
                    let start = self.decoded.place_text.len();
                    self.decoded.place_text.push('/');
                    self.decoded.place_text.push_str(field);
                    push_pointer(&mut self.decoded.place_text, value.name.of(&self.decoded.text));
                    self.take(value, start);
                }
                Ok(false) => self.decoded.forget_text(mark),
                Err(fault) => {
                    let mut place = format!("/{field}");
                    push_pointer(&mut place, self.decoded.name(&value));
                    self.decoded.forget_text(mark);
                    self.decoded.reject(Reject::at(fault.reason, place, 1).found(&fault.detail));
                }
            }
        }
        Ok(Some(Ok(())))
    }

    /// An array of objects with `name` and `value` or `error`.
    fn tags(&mut self, reader: &mut Reader<'_>) -> Result<Option<Result<(), Fault>>, JsonFault> {
        if reader.kind()? != Kind::Array {
            reader.skip(&mut self.scratch)?;
            return Ok(Some(Err(Fault::new(RejectReason::WrongType, "tags", ""))));
        }
        reader.enter_array()?;
        let mut index = 0_u32;
        while reader.next_item(index == 0)? {
            if self.is_full() || index as usize >= self.limits.values_max {
                return Ok(None);
            }
            let mark = self.decoded.mark();
            match self.tag(reader)? {
                Ok(Some(value)) => {
                    let start = self.decoded.place_text.len();
                    self.decoded.place_text.push_str("/tags/");
                    push_number(&mut self.decoded.place_text, index);
                    self.take(value, start);
                }
                Ok(None) => self.decoded.forget_text(mark),
                Err(fault) => {
                    let place = format!("/tags/{index}");
                    self.decoded.forget_text(mark);
                    self.decoded.reject(Reject::at(fault.reason, place, 1).found(&fault.detail));
                }
            }
            index += 1;
        }
        Ok(Some(Ok(())))
    }

    fn tag(&mut self, reader: &mut Reader<'_>) -> Field<Option<DecodedValue>> {
        if reader.kind()? != Kind::Object {
            reader.skip(&mut self.scratch)?;
            return Ok(Err(Fault::new(RejectReason::WrongType, "tags", "")));
        }
        reader.enter_object()?;
        let (mut name, mut raw, mut is_error) = (None, None, false);
        let mut fault: Option<Fault> = None;
        let mut first = true;
        while let Some(key) = reader.next_key(first, &mut self.scratch)? {
            first = false;
            let found = match key {
                "name" => match short_text(reader, &mut self.scratch, "name")? {
                    Ok(text) => {
                        name = Some(self.decoded.push_text(text));
                        Ok(())
                    }
                    Err(fault) => Err(fault),
                },
                "value" => scalar(reader, &mut self.scratch, "value")?.map(|found| raw = Some(found)),
                "error" => self.error(reader)?.map(|found| is_error = found),
                _ => {
                    self.decoded.unknown_fields += 1;
                    reader.skip(&mut self.scratch).map(Ok)?
                }
            };
            fault = fault.or(found.err());
        }
        let missing = |field| Fault::new(RejectReason::MissingField, field, field);
        Ok(match (fault, name, raw) {
            (Some(fault), _, _) => Err(fault),
            (None, None, _) => Err(missing("name")),
            (None, Some(name), raw) => {
                let mut value = empty(name);
                match raw {
                    _ if is_error => set_error(&mut value),
                    Some(raw) => set_raw(&mut value, raw),
                    None => return Ok(Err(missing("value"))),
                }
                Ok(Some(value))
            }
        })
    }

    /// Whether a tag's error code says that there is one.
    fn error(&mut self, reader: &mut Reader<'_>) -> Field<bool> {
        if reader.kind()? != Kind::Number {
            reader.skip(&mut self.scratch)?;
            return Ok(Err(Fault::new(RejectReason::WrongType, "error", "")));
        }
        Ok(Ok(reader.number()? != Number::Integer(0)))
    }

    /// Keeps a value, whose place begins at `start` of the places' text.
    fn take(&mut self, value: DecodedValue, start: usize) {
        self.decoded.places.push(Span::since(&self.decoded.place_text, start));
        self.decoded.values.push(value);
    }

    /// What the last call found, to be taken over.
    pub(crate) const fn found(&mut self) -> &mut Decoded {
        &mut self.decoded
    }

    fn is_full(&self) -> bool {
        self.decoded.values.len() + self.decoded.rejects.len() >= self.limits.values_max
    }
}

const fn empty(name: Span) -> DecodedValue {
    DecodedValue {
        name,
        unit: None,
        raw: f64::NAN,
        quality: Quality::Good,
        code: QualityCode::None,
        time: None,
    }
}

const fn set_error(value: &mut DecodedValue) {
    value.quality = Quality::Bad;
    value.code = QualityCode::DeviceBad;
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    type Seen = (String, Option<f64>, Quality);

    fn seen(payload: &str) -> (Vec<Seen>, Vec<(RejectReason, String)>) {
        let mut decoder = Decoder::default();
        let decoded = decoder.decode(payload.as_bytes());
        let values = decoded.items().iter().flat_map(|item| decoded.values(item));
        let values = values
            .map(|v| (decoded.name(v).to_owned(), Some(v.raw).filter(|raw| raw.is_finite()), v.quality));
        let rejects = decoded.rejects().iter().map(|reject| (reject.reason, reject.place.clone()));
        (values.collect(), rejects.collect())
    }

    #[test]
    fn values_and_errors_become_good_and_bad_values() {
        let payload = r#"{"node":"modbus-1","group":"g1","timestamp":1795478400000,
            "values":{"t":81.2,"on":true},"errors":{"p":3002,"q":0},"metas":{}}"#;
        let (values, rejects) = seen(payload);
        assert_eq!(
            values,
            [
                ("t".to_owned(), Some(81.2), Quality::Good),
                ("on".to_owned(), Some(1.0), Quality::Good),
                ("p".to_owned(), None, Quality::Bad),
            ]
        );
        assert_eq!(rejects, []);

        let mut decoder = Decoder::default();
        let decoded = decoder.decode(payload.as_bytes());
        assert_eq!(
            (decoded.items()[0].time.map(|time| time.second()), decoded.unknown_fields()),
            (Some(1_795_478_400), 1)
        );
        assert_eq!((decoder.node(), decoder.group()), ("modbus-1", "g1"));
    }

    #[test]
    fn the_tags_form_says_the_same() {
        let (values, rejects) = seen(
            r#"{"timestamp":1,"tags":[{"name":"t","value":81.2},{"name":"p","error":3002},{"name":"x","value":"on"},{"value":1}]}"#,
        );
        assert_eq!(
            values,
            [("t".to_owned(), Some(81.2), Quality::Good), ("p".to_owned(), None, Quality::Bad)]
        );
        assert_eq!(
            rejects,
            [
                (RejectReason::WrongType, "/tags/2".to_owned()),
                (RejectReason::MissingField, "/tags/3".to_owned())
            ]
        );
    }

    #[test]
    fn each_fault_has_its_place() {
        for (payload, reason, place) in [
            (r#"{"timestamp":1,"values":{"t":"81.2"}}"#, RejectReason::NumberAsText, "/values/t"),
            (r#"{"timestamp":"now","values":{"t":1}}"#, RejectReason::BadTime, "/timestamp"),
            (r#"{"timestamp":1}"#, RejectReason::MissingField, "/values"),
            (r#"{"timestamp":1,"values":[]}"#, RejectReason::WrongType, "/values"),
            (r#"{"values":{"t":1},"values":{"t":1}}"#, RejectReason::DuplicateKey, "/values"),
            (r#"[]"#, RejectReason::WrongType, ""),
            (r#"{"values":{"t":1}"#, RejectReason::BadJson, "byte 17"),
        ] {
            let (values, rejects) = seen(payload);
            assert_eq!((values.len(), rejects), (0, vec![(reason, place.to_owned())]), "{payload}");
        }
    }

    proptest! {
        #[test]
        fn a_damaged_payload_gives_values_or_rejects(
            at in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..6)
        ) {
            let mut payload = br#"{"node":"n","timestamp":1,"values":{"a":1,"b":null},"errors":{"c":3},
                "tags":[{"name":"d","value":2},{"name":"e","error":1}]}"#.to_vec();
            for (index, byte) in at {
                let index = index.index(payload.len());
                payload[index] = byte;
            }
            let mut decoder = Decoder::default();
            let decoded = decoder.decode(&payload);
            prop_assert!(!decoded.items().is_empty() || !decoded.rejects().is_empty());
        }
    }
}
