//! What a metric becomes.

use super::*;
use pb::{PropertySet, PropertyValue, property_value};

fn properties(pairs: &[(&str, property_value::Value)]) -> Option<PropertySet> {
    let values = pairs
        .iter()
        .map(|(_, value)| PropertyValue { value: Some(value.clone()), ..PropertyValue::default() });
    Some(PropertySet {
        keys: pairs.iter().map(|(key, _)| (*key).to_owned()).collect(),
        values: values.collect(),
    })
}

fn unit(text: &str) -> property_value::Value {
    property_value::Value::StringValue(text.to_owned())
}

fn code(code: i32) -> property_value::Value {
    property_value::Value::IntValue(code.cast_unsigned())
}

/// A node with `a` (alias 1) and `b` (alias 2).
fn two() -> Host {
    let mut host = Host::new();
    host.take("g/NBIRTH/n", 0, &birth(0, 0, [metric("a", 1, 1.0), metric("b", 2, 2.0)]));
    host
}

#[test]
fn every_number_type_is_read_and_every_other_rejected_by_the_metrics_name() {
    let of = |name: &str, datatype: u32, value: Value| Metric {
        name: Some(name.to_owned()),
        datatype: Some(datatype),
        value: Some(value),
        ..Metric::default()
    };
    let text = || Value::StringValue("x".to_owned());
    let bytes = || Value::BytesValue(vec![1]);
    let mut host = Host::new();
    let seen = host.take(
        "g/NBIRTH/n",
        0,
        &birth(
            0,
            0,
            [
                of("i8", 1, Value::IntValue(0xFFFF_FFFE)),
                of("u16", 6, Value::IntValue(65_535)),
                of("u64", 8, Value::LongValue(1 << 60)),
                of("u64+1", 8, Value::LongValue((1 << 60) + 1)),
                of("f32", 9, Value::FloatValue(0.25)),
                of("bool", BOOLEAN, Value::BooleanValue(true)),
                of("when", 13, Value::LongValue(1_795_478_400_000)),
                of("nan", DOUBLE, Value::DoubleValue(f64::NAN)),
                of("text", 12, text()),
                of("long text", 14, text()),
                of("id", 15, text()),
                of("set", 16, Value::DatasetValue(vec![])),
                of("bytes", 17, bytes()),
                of("template", 19, Value::TemplateValue(vec![])),
                of("array", 31, bytes()),
                of("none", 0, text()),
                Metric { value: None, ..of("no value", DOUBLE, text()) },
                Metric { datatype: None, ..of("no type", DOUBLE, Value::DoubleValue(1.0)) },
                Metric { name: None, ..of("", DOUBLE, Value::DoubleValue(1.0)) },
            ],
        ),
    );
    assert_eq!(
        seen,
        [
            "n/node/online=1",
            "n/node/i8=-2",
            "n/node/u16=65535",
            "n/node/u64=1152921504606847000",
            "n/node/f32=0.25",
            "n/node/bool=1",
            "n/node/when=1795478400000 ms",
            "number_out_of_range metric u64+1",
            "not_finite metric nan",
            "unsupported_data_type metric text",
            "unsupported_data_type metric long text",
            "unsupported_data_type metric id",
            "unsupported_data_type metric set",
            "unsupported_data_type metric bytes",
            "unsupported_data_type metric template",
            "unsupported_data_type metric array",
            "unsupported_data_type metric none",
            "missing_field metric no value",
            "missing_field metric no type",
            "missing_field metric",
        ]
    );
}

#[test]
fn a_null_is_a_bad_value_and_no_zero() {
    let mut host = two();
    let null = Metric { is_null: Some(true), value: None, ..datum(1, 0.0) };
    assert_eq!(host.take("g/NDATA/n", 1, &payload(1, 1, [null])), ["n/node/a=NaN bad:null"]);
}

#[test]
fn historical_values_go_to_the_backfill_and_live_ones_stay() {
    let mut host = two();
    let past = |alias, ms| Metric { is_historical: Some(true), timestamp: stamp(ms), ..datum(alias, 7.0) };
    let transient = Metric { is_transient: Some(true), ..datum(1, 9.0) };
    let seen = host.take(
        "g/NDATA/n",
        10_000,
        &payload(1, 10_000, [past(1, -3), past(2, -3), past(1, -2), past(2, -2), datum(2, 8.0), transient]),
    );
    assert_eq!(
        seen,
        [
            "n/node/a=7 backfill",
            "n/node/b=7 backfill",
            "n/node/a=7 backfill",
            "n/node/b=7 backfill",
            "n/node/b=8",
            "n/node/a=9"
        ]
    );
    assert_eq!(host.times(), [-3, -3, -2, -2, 10_000, 10_000].map(Some));
    assert_eq!(host.0.decoded().items().len(), 3, "an item has each signal once");
}

#[test]
fn a_value_without_any_time_is_untimed_and_an_impossible_time_rejects_it() {
    let mut host = two();
    let own = Metric { timestamp: stamp(5), ..datum(2, 8.0) };
    let none = Payload { metrics: vec![datum(1, 1.5), own], seq: Some(1), ..Payload::default() };
    assert_eq!(host.take("g/NDATA/n", 9, &none.encode_to_vec()), ["n/node/a=1.5", "n/node/b=8"]);
    assert_eq!(host.times(), [None, Some(5)]);
    let microseconds = Metric { timestamp: Some(1_795_478_400_000_000), ..datum(2, 8.0) };
    assert_eq!(
        host.take("g/NDATA/n", 9, &payload(2, 9, [datum(1, 1.5), microseconds])),
        ["n/node/a=1.5", "time_out_of_range metric b"]
    );
    assert_eq!(
        host.take("g/NDATA/n", 9, &payload(3, 1 << 60, [datum(1, 1.5)])),
        ["time_out_of_range metric a"]
    );
    assert_eq!(host.take("g/NDATA/n", 9, &payload(4, 9, [datum(1, 1.5)])), ["n/node/a=1.5"]);
}

#[test]
fn unit_and_quality_hold_until_a_live_metric_states_others() {
    let with = |pairs: &[_]| Metric { properties: properties(pairs), ..metric("a", 1, 1.0) };
    let data = |pairs: &[_]| Metric { properties: properties(pairs), ..datum(1, 2.0) };
    let mut host = Host::new();
    let born = with(&[("low", code(0)), ("engUnit", unit("MPa")), ("Quality", code(0))]);
    let seen = host.take("g/NBIRTH/n", 0, &birth(0, 0, [born]));
    assert_eq!(seen[1], "n/node/a=1 MPa bad:device_bad");
    let mut next = |seq, metric| host.take("g/NDATA/n", 1, &payload(seq, 1, [metric])).remove(0);
    assert_eq!(next(1, datum(1, 2.0)), "n/node/a=2 MPa bad:device_bad");
    assert_eq!(next(2, data(&[("Quality", code(192))])), "n/node/a=2 MPa");
    let past =
        Metric { is_historical: Some(true), ..data(&[("Units", unit("bar")), ("Quality", code(500))]) };
    assert_eq!(next(3, past), "n/node/a=2 bar bad:device_bad backfill");
    assert_eq!(next(4, datum(1, 2.0)), "n/node/a=2 MPa");
    assert_eq!(
        next(5, data(&[("units", unit("kPa")), ("quality", code(0x4000_0100))])),
        "n/node/a=2 kPa uncertain:device_uncertain"
    );
    assert_eq!(next(6, data(&[("Quality", code(192))])), "n/node/a=2 kPa");
    assert_eq!(next(7, data(&[("engUnit", unit(&"m".repeat(65)))])), "unknown_unit metric a");
}

#[test]
fn the_tables_of_the_settings_name_metrics_and_their_units() {
    let raw: RawSparkplug = toml::from_str(
        r#"
        network = "city"
        ignore = ["Properties/*"]
        [names]
        "Supply Temp" = "supply_temperature"
        [units]
        "Supply Temp" = "K"
        "#,
    )
    .unwrap();
    let mut host = Host::with(&raw);
    let named =
        Metric { properties: properties(&[("engUnit", unit("degC"))]), ..metric("Supply Temp", 1, 350.0) };
    let seen = host.take(
        "g/NBIRTH/n",
        0,
        &birth(0, 0, [named.clone(), metric("Supply/Pressure", 2, 0.8), metric("Properties/Make", 3, 1.0)]),
    );
    assert_eq!(seen, ["n/node/online=1", "n/node/supply_temperature=350 K", "n/node/Supply.Pressure=0.8"]);
    assert_eq!(host.0.device(0).network.as_str(), "city");
    let data = payload(1, 1, [Metric { name: None, ..named }, datum(3, 1.0)]);
    assert_eq!(host.take("g/NDATA/n", 1, &data), ["n/node/supply_temperature=350 K"]);
    assert_eq!(host.0.counts().metrics_ignored, 2);
}

#[test]
fn two_metrics_never_share_a_signal() {
    let mut raw = RawSparkplug::default();
    raw.names.insert("T1".to_owned(), "t".to_owned());
    let mut host = Host::with(&raw);
    let seen = host.take(
        "g/NBIRTH/n",
        0,
        &birth(
            0,
            0,
            [metric("t", 1, 1.0), metric("T1", 2, 2.0), metric("online", 3, 3.0), metric("t", 4, 4.0)],
        ),
    );
    assert_eq!(
        seen,
        [
            "n/node/online=1",
            "n/node/t=1",
            "duplicate_key metric T1",
            "duplicate_key metric online",
            "duplicate_key metric t"
        ]
    );
    let data = payload(1, 1, [datum(1, 1.5), datum(2, 2.5), datum(3, 3.5), datum(4, 4.5)]);
    assert_eq!(
        host.take("g/NDATA/n", 1, &data),
        [
            "n/node/t=1.5",
            "duplicate_key metric T1",
            "duplicate_key metric online",
            "unknown_alias metric alias 4"
        ]
    );
}

#[test]
fn an_alias_of_two_metrics_means_neither() {
    let mut host = Host::new();
    let seen = host.take("g/NBIRTH/n", 0, &birth(0, 0, [metric("a", 1, 1.0), metric("b", 1, 2.0)]));
    assert_eq!(seen, ["n/node/online=1", "n/node/a=1", "n/node/b=2"], "a birth has the names");
    assert_eq!(host.take("g/NDATA/n", 1, &payload(1, 1, [datum(1, 1.5)])), ["unknown_alias metric alias 1"]);
}

#[test]
fn data_may_name_metrics_and_repeat_their_type() {
    let mut host = Host::new();
    let no_alias = Metric { alias: None, ..metric("c", 0, 3.0) };
    host.take("g/NBIRTH/n", 0, &birth(0, 0, [metric("a", 1, 1.0), no_alias.clone()]));
    let seen = host.take(
        "g/NDATA/n",
        1,
        &payload(
            1,
            1,
            [
                no_alias,
                metric("a", 1, 1.5),
                Metric { name: Some("c".to_owned()), ..datum(1, 2.0) },
                Metric { datatype: Some(BOOLEAN), ..datum(1, 2.0) },
                Metric { alias: None, ..metric("new", 0, 5.0) },
                Metric { alias: None, ..datum(0, 6.0) },
                Metric { value: Some(Value::BooleanValue(true)), ..datum(1, 0.0) },
            ],
        ),
    );
    assert_eq!(
        seen,
        [
            "n/node/c=3",
            "n/node/a=1.5",
            "unknown_alias metric c",
            "wrong_type metric alias 1",
            "unknown_alias metric new",
            "missing_field metric",
            "wrong_type metric a"
        ]
    );
}

#[test]
fn what_the_protocol_carries_is_no_reading() {
    let mut host = two();
    let control = Metric { alias: None, ..rebirth_control() };
    assert!(host.take("g/NDATA/n", 1, &payload(1, 1, [control, bd_seq(0)])).is_empty());
    assert!(host.0.decoded().rejects().is_empty());
}
