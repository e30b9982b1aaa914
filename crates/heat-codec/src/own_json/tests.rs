use proptest::prelude::*;

use super::*;

fn decode(payload: &str) -> Decoder {
    let mut decoder = Decoder::default();
    decoder.decode(payload.as_bytes());
    decoder
}

/// Reason, place and readings of each reject.
fn rejects(payload: &[u8]) -> Vec<(RejectReason, String, u32)> {
    let mut decoder = Decoder::default();
    let decoded = decoder.decode(payload);
    decoded.rejects().iter().map(|reject| (reject.reason, reject.place.clone(), reject.readings)).collect()
}

fn only_reject(payload: &[u8]) -> (RejectReason, String) {
    let found = rejects(payload);
    assert_eq!(found.len(), 1, "{} gave {found:?}", String::from_utf8_lossy(payload));
    (found[0].0, found[0].1.clone())
}

#[test]
fn the_documented_example_is_read() {
    let decoder = decode(
        r#"{"time": "2026-11-24T08:00:00+08:00", "seq": 17, "boot": "a1", "lane": "live",
            "values": {"supply_temperature": 81.2,
                       "make_up_flow": {"value": 0.42, "unit": "m3/h", "quality": "good"},
                       "return_pressure": {"value": null, "quality": "bad"}, "pump_running": true}}"#,
    );
    let decoded = decoder.decoded();

    let [item] = decoded.items() else { panic!("one item") };
    assert_eq!(item.time, Some(EventTime::from_micros(1_795_478_400_000_000)));
    assert_eq!((item.seq, decoded.boot(item), item.lane), (Some(17), Some("a1"), Some(Lane::Live)));
    let values = decoded.values(item);
    let seen: Vec<_> =
        values.iter().map(|v| (decoded.name(v), v.raw, decoded.unit(v), v.quality, v.code)).collect();
    assert_eq!(seen[0], ("supply_temperature", 81.2, None, Quality::Good, QualityCode::None));
    assert_eq!(seen[1], ("make_up_flow", 0.42, Some("m3/h"), Quality::Good, QualityCode::None));
    assert!(seen[2].1.is_nan());
    assert_eq!((seen[2].3, seen[2].4), (Quality::Bad, QualityCode::Null));
    assert_eq!(seen[3].1.to_bits(), 1.0_f64.to_bits());
    assert_eq!(decoded.rejects(), []);
}

#[test]
fn one_bad_value_does_not_cost_its_neighbours() {
    let decoder =
        decode(r#"{"time":1,"values":{"a":1,"b":NaN,"c":-Infinity,"d":1e999,"e":"3.5","f":[1],"g":2}}"#);
    let decoded = decoder.decoded();

    let names: Vec<_> = decoded.values(&decoded.items()[0]).iter().map(|value| decoded.name(value)).collect();
    assert_eq!(names, ["a", "g"]);
    let found: Vec<_> =
        decoded.rejects().iter().map(|r| (r.reason, r.place.as_str(), r.detail.as_str())).collect();
    assert_eq!(
        found,
        [
            (RejectReason::NotFinite, "/values/b", "NaN"),
            (RejectReason::NotFinite, "/values/c", "-Infinity"),
            (RejectReason::NumberOutOfRange, "/values/d", "1e999"),
            (RejectReason::NumberAsText, "/values/e", "\"3.5\""),
            (RejectReason::WrongType, "/values/f", "[1]"),
        ]
    );
    assert_eq!(decoded.rejected_readings(), 5);
}

#[test]
fn a_fault_of_the_text_takes_the_whole_payload() {
    let too_many: String = (0..5_000).map(|n| format!("\"s{n}\":1,")).collect();
    let too_many = format!("{{\"values\":{{{}}}}}", too_many.trim_end_matches(','));
    let many_items = format!("[{}]", ["1"; 5_000].join(","));
    let deep = format!("{{\"values\":{{\"a\":1}},\"x\":{}1{}}}", "[".repeat(40), "]".repeat(40));
    let large = format!("{{\"values\":{{\"a\":1}},\"x\":\"{}\"}}", "x".repeat(300 * 1024));
    for (payload, reason) in [
        (&b""[..], RejectReason::Empty),
        (b"  \n", RejectReason::Empty),
        (b"\x1f\x8b\x08\x00\x00", RejectReason::Binary),
        (b"\x00\x01\x02", RejectReason::Binary),
        (b"{\"values\":{\"\xff\":1}}", RejectReason::BadUtf8),
        (b"{\"values\":{\"a\":1}", RejectReason::BadJson),
        (b"{\"values\":{\"a\":1}}}", RejectReason::BadJson),
        (b"temperature=3", RejectReason::BadJson),
        (b"[]", RejectReason::MissingField),
        (deep.as_bytes(), RejectReason::TooDeep),
        (too_many.as_bytes(), RejectReason::TooManyValues),
        (many_items.as_bytes(), RejectReason::TooManyValues),
        (large.as_bytes(), RejectReason::TooLarge),
    ] {
        assert_eq!(
            only_reject(payload).0,
            reason,
            "{}",
            String::from_utf8_lossy(&payload[..payload.len().min(40)])
        );
    }
    assert_eq!(only_reject(b"{\"values\":{\"a\":1,}}").1, "byte 17");
}

#[test]
fn a_fault_of_what_holds_for_all_values_takes_the_item_and_counts_its_readings() {
    for (field, reason) in [
        (r#""time":"2026-11-24T08:00:00""#, RejectReason::TimeWithoutOffset),
        (r#""time":"yesterday""#, RejectReason::BadTime),
        (r#""time":1e300"#, RejectReason::WrongType),
        (r#""time":9223372036854775807"#, RejectReason::TimeOutOfRange),
        (r#""time":true"#, RejectReason::WrongType),
        (r#""time":1,"time":2"#, RejectReason::DuplicateKey),
        (r#""seq":-1"#, RejectReason::NumberOutOfRange),
        (r#""seq":1.5"#, RejectReason::WrongType),
        (r#""seq":"1""#, RejectReason::WrongType),
        (r#""boot":{}"#, RejectReason::WrongType),
        (r#""lane":"fast""#, RejectReason::UnknownWord),
    ] {
        let payload = format!(r#"[{{"values":{{"a":1,"b":NaN}},{field}}},{{"values":{{"c":3}}}}]"#);
        let decoder = decode(&payload);
        let decoded = decoder.decoded();
        assert_eq!(decoded.items().len(), 1, "{field}");
        assert_eq!(decoded.name(&decoded.values(&decoded.items()[0])[0]), "c");
        let [reject] = decoded.rejects() else { panic!("{field}: {:?}", decoded.rejects()) };
        let name = field.split('"').nth(1).unwrap();
        assert_eq!(
            (reject.reason, reject.place.as_str(), reject.readings),
            (reason, &*format!("/0/{name}"), 2)
        );
    }
    assert_eq!(only_reject(br#"{"time":1}"#), (RejectReason::MissingField, "/values".to_owned()));
    assert_eq!(only_reject(br#"{"values":{}}"#), (RejectReason::MissingField, "/values".to_owned()));
    assert_eq!(only_reject(br#"{"values":[1]}"#), (RejectReason::WrongType, "/values".to_owned()));
    assert_eq!(only_reject(br#"[3]"#), (RejectReason::WrongType, "/0".to_owned()));
}

#[test]
fn a_fault_of_one_value_object_is_named() {
    for (object, reason, place) in [
        (r#"{"value":1,"qualty":"bad"}"#, RejectReason::UnknownField, "/values/a~1b"),
        (r#"{"value":1,"quality":"BAD"}"#, RejectReason::UnknownWord, "/values/a~1b/quality"),
        (r#"{"value":1,"code":"untimed"}"#, RejectReason::UnknownWord, "/values/a~1b/code"),
        (r#"{"value":1,"quality":"good","code":"sentinel"}"#, RejectReason::UnknownWord, "/values/a~1b/code"),
        (r#"{"unit":"m"}"#, RejectReason::MissingField, "/values/a~1b/value"),
        (r#"{"value":1,"value":2}"#, RejectReason::DuplicateKey, "/values/a~1b/value"),
        (r#"{"value":1,"time":"12:00"}"#, RejectReason::BadTime, "/values/a~1b/time"),
        (r#"{"value":1,"unit":3}"#, RejectReason::WrongType, "/values/a~1b/unit"),
        (r#"{"value":{}}"#, RejectReason::WrongType, "/values/a~1b/value"),
    ] {
        let payload = format!(r#"{{"values":{{"a/b":{object},"good":1}}}}"#);
        assert_eq!(rejects(payload.as_bytes()), [(reason, place.to_owned(), 1)], "{object}");
    }
}

#[test]
fn a_device_may_say_why_a_value_is_bad() {
    let decoder =
        decode(r#"{"values":{"a":{"value":-39.9,"code":"sentinel"},"b":{"value":1,"quality":"uncertain"}}}"#);
    let decoded = decoder.decoded();
    let values = decoded.values(&decoded.items()[0]);
    assert_eq!(
        (values[0].raw, values[0].quality, values[0].code),
        (-39.9, Quality::Bad, QualityCode::Sentinel)
    );
    assert_eq!((values[1].quality, values[1].code), (Quality::Uncertain, QualityCode::DeviceUncertain));
}

#[test]
fn null_in_an_optional_field_is_its_absence_and_unknown_fields_are_counted() {
    let decoder = decode(
        r#"{"time":null,"seq":null,"firmware":[{"x":1}],"values":{"a":{"value":1,"unit":null,"time":null}}}"#,
    );
    let decoded = decoder.decoded();
    assert_eq!((decoded.items().len(), decoded.items()[0].time, decoded.unknown_fields()), (1, None, 1));
    assert_eq!(decoded.rejects(), []);
}

#[test]
fn a_decoder_forgets_the_payload_before() {
    let mut decoder = Decoder::default();
    decoder.decode(br#"{"seq":1,"values":{"a":1,"b":NaN}}"#);
    let decoded = decoder.decode(br#"{"values":{"c":3}}"#);
    assert_eq!((decoded.items().len(), decoded.values_len(), decoded.rejects().len()), (1, 1, 0));
    assert_eq!(decoded.items()[0].seq, None);
}

#[derive(Debug, Clone)]
struct Value {
    name: String,
    raw: Option<f64>,
    unit: Option<String>,
    quality: Quality,
    code: QualityCode,
    time: Option<i64>,
}

fn value() -> impl Strategy<Value = Value> {
    let trust = prop_oneof![
        Just((Quality::Good, QualityCode::None)),
        Just((Quality::Uncertain, QualityCode::DeviceUncertain)),
        Just((Quality::Bad, QualityCode::DeviceBad)),
        Just((Quality::Bad, QualityCode::Sentinel)),
        Just((Quality::Uncertain, QualityCode::OutOfRange)),
    ];
    let raw = any::<f64>().prop_filter("finite", |raw| raw.is_finite());
    let time = -62_135_596_800_000_000_i64..253_370_764_799_999_999;
    (
        ".{1,12}",
        prop::option::weighted(0.9, raw),
        prop::option::of("[^\\p{Cc}]{0,8}"),
        trust,
        prop::option::of(time),
    )
        .prop_map(|(name, raw, unit, (quality, code), time)| {
            let (quality, code) =
                if raw.is_some() { (quality, code) } else { (Quality::Bad, QualityCode::Null) };
            Value { name, raw, unit, quality, code, time }
        })
}

proptest! {
    #[test]
    fn what_is_written_is_read(
        values in prop::collection::vec(value(), 1..12), seq in prop::option::of(any::<u64>()),
        boot in prop::option::of("[^\\p{Cc}]{0,8}"), time in prop::option::of(0_i64..2_000_000_000_000_000),
        backfill in prop::option::of(any::<bool>()),
    ) {
        let out: Vec<_> = values
            .iter()
            .map(|v| OutValue {
                name: &v.name, raw: v.raw, unit: v.unit.as_deref(), quality: v.quality, code: v.code,
                time: v.time.map(EventTime::from_micros),
            })
            .collect();
        let lane = backfill.map(|backfill| if backfill { Lane::Backfill } else { Lane::Live });
        let time = time.map(EventTime::from_micros);
        let item = OutItem { time, seq, boot: boot.as_deref(), lane, values: &out };
        let mut payload = Vec::new();
        encode_array(&mut payload, &[item, item]);

        let mut decoder = Decoder::default();
        let decoded = decoder.decode(&payload);

        prop_assert_eq!(decoded.rejects(), &[]);
        prop_assert_eq!(decoded.items().len(), 2);
        for item in decoded.items() {
            prop_assert_eq!((item.time, item.seq, decoded.boot(item), item.lane), (time, seq, boot.as_deref(), lane));
            let read = decoded.values(item);
            prop_assert_eq!(read.len(), values.len());
            for (got, sent) in read.iter().zip(&values) {
                prop_assert_eq!(decoded.name(got), &sent.name);
                prop_assert_eq!(decoded.unit(got), sent.unit.as_deref());
                prop_assert_eq!((got.quality, got.code), (sent.quality, sent.code));
                prop_assert_eq!(got.time.map(EventTime::as_micros), sent.time);
                match sent.raw {
                    Some(raw) => prop_assert_eq!(got.raw.to_bits(), raw.to_bits()),
                    None => prop_assert!(got.raw.is_nan()),
                }
            }
        }
    }

    #[test]
    fn any_bytes_give_items_or_rejects_within_the_bounds(payload in prop::collection::vec(any::<u8>(), 0..400)) {
        let limits = Limits { payload_max_bytes: 300, values_max: 20 };
        let mut decoder = Decoder::new(limits);
        let decoded = decoder.decode(&payload);
        prop_assert!(!decoded.items().is_empty() || !decoded.rejects().is_empty());
    }

    #[test]
    fn a_damaged_payload_gives_items_or_rejects_within_the_bounds(
        at in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6)
    ) {
        let mut payload = br#"[{"time":"2026-11-24T08:00:00+08:00","seq":17,"values":{"a":1.5,"b":{"value":null,
            "unit":"m3/h","quality":"bad","time":17}}},{"values":{"c":true},"x":[{"y":"\u0041"}]}]"#.to_vec();
        for (index, byte) in at {
            let index = index.index(payload.len());
            payload[index] = byte;
        }
        let limits = Limits { values_max: 8, ..Limits::default() };
        let mut decoder = Decoder::new(limits);
        let decoded = decoder.decode(&payload);
        prop_assert!(!decoded.items().is_empty() || !decoded.rejects().is_empty());
        prop_assert!(decoded.values_len() + decoded.rejects().len() <= 2 * limits.values_max);
        let taken: usize = decoded.items().iter().map(|item| decoded.values(item).len()).sum();
        prop_assert_eq!(taken, decoded.values_len());
    }
}
