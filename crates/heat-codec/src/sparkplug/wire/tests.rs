use proptest::prelude::*;
use prost::Message as _;

use super::*;
use crate::sparkplug::pb::{self, metric::Value, property_value};

/// What the generated code reads of a metric, as ours says it.
fn expected(metric: &pb::Metric) -> (Option<String>, Metric, Option<String>) {
    let raw = match &metric.value {
        None => Raw::Absent,
        Some(Value::IntValue(value)) => Raw::Int(*value),
        Some(Value::LongValue(value)) => Raw::Long(*value),
        Some(Value::FloatValue(value)) => Raw::Float(*value),
        Some(Value::DoubleValue(value)) => Raw::Double(*value),
        Some(Value::BooleanValue(value)) => Raw::Bool(*value),
        Some(
            Value::StringValue(_)
            | Value::BytesValue(_)
            | Value::DatasetValue(_)
            | Value::TemplateValue(_)
            | Value::ExtensionValue(_),
        ) => Raw::NoNumber,
    };
    let property = |key: &str| {
        let set = metric.properties.as_ref()?;
        set.values.get(set.keys.iter().position(|known| known == key)?)
    };
    let unit = property("engUnit").and_then(|value| match &value.value {
        Some(property_value::Value::StringValue(text)) => Some(text.clone()),
        _ => None,
    });
    let quality = property("Quality").map_or(Stated::Nothing, |value| match &value.value {
        _ if value.is_null() => Stated::Null,
        Some(property_value::Value::IntValue(code)) => Stated::Code(i64::from(code.cast_signed())),
        Some(property_value::Value::LongValue(code)) => Stated::Code(code.cast_signed()),
        _ => Stated::Unreadable,
    });
    let metric_without_spans = Metric {
        name: None,
        alias: metric.alias,
        time: metric.timestamp,
        datatype: metric.datatype,
        historical: metric.is_historical(),
        null: metric.is_null(),
        raw,
        unit: None,
        quality,
    };
    (metric.name.clone(), metric_without_spans, unit)
}

fn property_values() -> impl Strategy<Value = pb::PropertyValue> {
    let value = prop_oneof![
        any::<u32>().prop_map(property_value::Value::IntValue),
        any::<u64>().prop_map(property_value::Value::LongValue),
        Just(property_value::Value::DoubleValue(0.5)),
        "[a-z/³]{0,5}".prop_map(property_value::Value::StringValue),
    ];
    (proptest::option::of(value), proptest::option::of(any::<bool>()))
        .prop_map(|(value, is_null)| pb::PropertyValue { r#type: Some(3), is_null, value })
}

fn metrics() -> impl Strategy<Value = pb::Metric> {
    let value = prop_oneof![
        any::<u32>().prop_map(Value::IntValue),
        any::<u64>().prop_map(Value::LongValue),
        (-1e9_f32..1e9).prop_map(Value::FloatValue),
        (-1e9_f64..1e9).prop_map(Value::DoubleValue),
        any::<bool>().prop_map(Value::BooleanValue),
        "[a-z]{0,5}".prop_map(Value::StringValue),
        Just(Value::BytesValue(vec![1, 2, 3])),
        Just(Value::DatasetValue(vec![8, 1])),
    ];
    let keys =
        proptest::collection::vec(proptest::sample::select(vec!["engUnit", "Quality", "low", "high"]), 0..4);
    let properties = keys.prop_flat_map(|mut keys| {
        keys.sort_unstable();
        keys.dedup();
        let values = proptest::collection::vec(property_values(), keys.len());
        values.prop_map(move |values| pb::PropertySet {
            keys: keys.iter().map(|&key| key.to_owned()).collect(),
            values,
        })
    });
    (
        proptest::option::of("[A-Za-z/度 ]{0,12}"),
        proptest::option::of(any::<u64>()),
        proptest::option::of(any::<u64>()),
        proptest::option::of(any::<u32>()),
        proptest::option::of(any::<bool>()),
        proptest::option::of(any::<bool>()),
        proptest::option::of(properties),
        proptest::option::of(value),
    )
        .prop_map(|(name, alias, timestamp, datatype, is_historical, is_null, properties, value)| {
            let metadata = alias.map(|_| vec![0x12, 1, b'x']);
            let is_transient = is_null;
            pb::Metric {
                name,
                alias,
                timestamp,
                datatype,
                is_historical,
                is_transient,
                is_null,
                metadata,
                properties,
                value,
            }
        })
}

proptest! {
    #[test]
    fn what_the_schema_writes_is_read_as_the_schema_reads_it(
        timestamp in proptest::option::of(any::<u64>()),
        seq in proptest::option::of(any::<u64>()),
        metrics in proptest::collection::vec(metrics(), 0..5),
    ) {
        let payload = pb::Payload { timestamp, metrics, seq, uuid: Some("u".to_owned()), body: Some(vec![0xFF]) };
        let bytes = payload.encode_to_vec();
        let mut wire = Wire::default();
        prop_assert_eq!(wire.read(&bytes, 16), Ok(()));
        prop_assert_eq!((wire.time, wire.seq), (timestamp, seq));
        prop_assert_eq!(wire.metrics.len(), payload.metrics.len());
        for (found, wanted) in wire.metrics.iter().zip(&payload.metrics) {
            let (name, metric, unit) = expected(wanted);
            prop_assert_eq!(found.name.map(|span| span.text(&bytes)), name.as_deref());
            prop_assert_eq!(found.unit.map(|span| span.text(&bytes)), unit.as_deref());
            prop_assert_eq!(Metric { name: None, unit: None, ..*found }, metric);
        }
    }

    #[test]
    fn any_bytes_are_read_or_refused_and_never_more_than_the_generated_code_takes(
        bytes in proptest::collection::vec(any::<u8>(), 0..80),
    ) {
        let mut wire = Wire::default();
        match wire.read(&bytes, 4) {
            Ok(()) => prop_assert!(wire.metrics.len() <= 4),
            Err(WireFault::Broken(at)) => prop_assert!(at <= bytes.len()),
            Err(WireFault::TooMany) => prop_assert!(wire.metrics.len() == 4),
        }
    }

    #[test]
    fn a_payload_cut_anywhere_gives_no_metric_that_was_not_there(
        metrics in proptest::collection::vec(metrics(), 1..4),
        cut in any::<prop::sample::Index>(),
    ) {
        let bytes = pb::Payload { metrics, ..pb::Payload::default() }.encode_to_vec();
        let cut = &bytes[..cut.index(bytes.len())];
        let mut wire = Wire::default();
        let whole = wire.read(cut, 16).is_ok();
        prop_assert_eq!(whole, pb::Payload::decode(cut).is_ok());
    }
}

#[test]
fn faults_name_the_byte() {
    let mut wire = Wire::default();
    for (bytes, at) in [
        (&[0x08][..], 1),               // a varint that is missing
        (&[0x08, 0x80], 2),             // one that breaks off
        (&[0x12, 5, 0x08], 2),          // a metric longer than the payload
        (&[0x12, 3, 0x0A, 1, 0xFF], 4), // a name that is no UTF-8
        (&[0x0B], 1),                   // a group
        (&[0x00], 1),                   // field 0
        (&[0x18, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 2], 10), // more than 64 bits
    ] {
        assert_eq!(wire.read(bytes, 9), Err(WireFault::Broken(at)), "{bytes:?}");
    }
    assert_eq!(wire.read(&[0x12, 0, 0x12, 0], 1), Err(WireFault::TooMany));
}
