use heat_model::{Lane, Quality, QualityCode};
use proptest::prelude::*;

use super::*;
use crate::reject::PLACE_MAX_BYTES;

/// Device, name, number, unit and quality of a value.
type Seen = (String, String, Option<f64>, Option<String>, QualityCode);
type Refused = (RejectReason, String);

fn decoder(mapping: &str) -> Decoder {
    Decoder::new(vec![mapping_of(mapping)], Limits::default())
}

fn mapping_of(text: &str) -> JsonMapping {
    JsonMapping::parse(text).unwrap_or_else(|faults| panic!("{faults:?}"))
}

fn seen_by(decoder: &mut Decoder, topic: &str, payload: &[u8]) -> (Vec<Seen>, Vec<Refused>) {
    decoder.decode(topic, payload);
    let decoded = decoder.decoded();
    let mut values = Vec::new();
    for item in decoded.items() {
        let device = decoder.device(item.device.unwrap());
        let device = format!("{}/{}/{}", device.network, device.site, device.device);
        for value in decoded.values(item) {
            assert_eq!(value.raw.is_nan(), value.code == QualityCode::Null || value.raw.is_nan());
            values.push((
                device.clone(),
                decoded.name(value).to_owned(),
                Some(value.raw).filter(|raw| raw.is_finite()),
                decoded.unit(value).map(str::to_owned),
                value.code,
            ));
        }
    }
    let rejects = decoded.rejects().iter().map(|reject| (reject.reason, reject.place.clone()));
    (values, rejects.collect())
}

fn seen(mapping: &str, topic: &str, payload: &str) -> (Vec<Seen>, Vec<Refused>) {
    seen_by(&mut decoder(mapping), topic, payload.as_bytes())
}

fn value(device: &str, name: &str, raw: f64, unit: Option<&str>) -> Seen {
    (device.to_owned(), name.to_owned(), Some(raw), unit.map(str::to_owned), QualityCode::None)
}

fn keys(mapping: &str) -> Vec<String> {
    let faults = JsonMapping::parse(mapping).map(drop).unwrap_err();
    faults.into_iter().map(|fault| fault.key).collect()
}

const FLAT: &str = r#"
format = "json"
topic = "plant/{site}/+/{device}/data"
network = "north"
site = "{site}"
device = "{device}-{/meter/id}"
seq = "/n"
boot = "/boot"
lane = { pointer = "/hist", live = [0, false], backfill = [1, true] }
sentinels = [-39.9]
nulls = ["null"]
missing = ["--"]
[time]
pointer = "/ts"
format = "%Y-%m-%d %H:%M:%S"
zone = "Asia/Shanghai"
[site_ids]
"1号站 " = "st-1"
[[values]]
pointer = "/t1"
name = "supply_temperature"
unit = "degC"
quality = { pointer = "/q", good = ["ok", 192], uncertain = ["old"], bad = [0], optional = true }
[[values]]
pointer = "/a~1b/0/p"
name = "supply_pressure"
unit = "MPa"
optional = true
number_as_text = true
[[values]]
pointer = "/run"
name = "pump_running"
optional = true
words = { "开" = 1, "停" = 0 }
"#;

const TOPIC: &str = "plant/st07/x/m/data";

fn flat(payload: &str) -> (Vec<Seen>, Vec<Refused>) {
    seen(FLAT, TOPIC, payload)
}

#[test]
fn ids_time_and_values_come_from_topic_and_payload_in_any_order() {
    let expected = vec![
        value("north/st07/m-17", "supply_temperature", 81.25, Some("degC")),
        value("north/st07/m-17", "supply_pressure", 0.8, Some("MPa")),
        value("north/st07/m-17", "pump_running", 1.0, None),
    ];
    for payload in [
        r#"{"ts":"2026-11-24 08:00:00","meter":{"id":17},"t1":81.25,"a/b":[{"p":"0.8"}],"run":true,"n":3,"hist":0}"#,
        r#"{"run":"开","a/b":[{"x":[1,{}],"p":0.8},5],"hist":0,"n":3,"t1":8125e-2,"meter":{"id":"1\u0037"},
            "ts":"2026-11-24 08:00:00"}"#,
    ] {
        let mut decoder = decoder(FLAT);
        let found = seen_by(&mut decoder, TOPIC, payload.as_bytes());
        assert_eq!(found, (expected.clone(), vec![]), "{payload}");
        let decoded = decoder.decoded();
        let item = &decoded.items()[0];
        assert_eq!(item.time, crate::time_text::parse_rfc3339("2026-11-24T00:00:00Z").ok());
        assert_eq!((item.seq, item.lane, decoded.boot(item)), (Some(3), Some(Lane::Live), None));
    }
}

#[test]
fn each_fault_has_its_reason_and_place() {
    let good = r#""ts":"2026-11-24 08:00:00","meter":{"id":1}"#;
    for (rest, reason, place) in [
        (r#""t1":"81.2""#, RejectReason::NumberAsText, "/t1"),
        (r#""t1":"hot""#, RejectReason::WrongType, "/t1"),
        (r#""t1":NaN"#, RejectReason::NotFinite, "/t1"),
        (r#""t1":1e999"#, RejectReason::NumberOutOfRange, "/t1"),
        (r#""t1":[1]"#, RejectReason::WrongType, "/t1"),
        (r#""t1":1,"t1":1"#, RejectReason::DuplicateKey, "/t1"),
        (r#""x":1"#, RejectReason::PointerMissing, "/t1"),
        (r#""t1":1,"q":"good""#, RejectReason::UnknownWord, "/q"),
        (r#""t1":1,"n":-1"#, RejectReason::NumberOutOfRange, "/n"),
        (r#""t1":1,"n":1.5"#, RejectReason::WrongType, "/n"),
        (r#""t1":1,"hist":2"#, RejectReason::UnknownWord, "/hist"),
        (r#""t1":1,"boot":true"#, RejectReason::WrongType, "/boot"),
        (r#""t1":1,"boot":"a\n""#, RejectReason::InvalidId, "/boot"),
        (r#""t1":1,"#, RejectReason::BadJson, "byte 52"),
    ] {
        let (values, rejects) = flat(&format!("{{{good},{rest}}}"));
        assert_eq!((values, rejects), (vec![], vec![(reason, place.to_owned())]), "{rest}");
    }
    for (payload, reason, place) in [
        (r#"{"ts":"2026-11-24 08:00:00","t1":1}"#, RejectReason::PointerMissing, "/meter/id"),
        (r#"{"ts":"2026-11-24 08:00:00","t1":1,"meter":{"id":"a/b"}}"#, RejectReason::InvalidId, "/meter/id"),
        (r#"{"ts":"2026-11-24 08:00:00","t1":1,"meter":{"id":null}}"#, RejectReason::WrongType, "/meter/id"),
        (r#"{"t1":1,"meter":{"id":1}}"#, RejectReason::PointerMissing, "/ts"),
        (r#"{"ts":"2026-11-24T08:00:00Z","t1":1,"meter":{"id":1}}"#, RejectReason::BadTime, "/ts"),
        ("17", RejectReason::WrongType, ""),
        ("", RejectReason::Empty, ""),
    ] {
        assert_eq!(flat(payload), (vec![], vec![(reason, place.to_owned())]), "{payload}");
    }
}

#[test]
fn a_rejected_item_takes_its_values_along_in_the_count() {
    let mut decoder = decoder(FLAT);
    let decoded = decoder.decode(TOPIC, br#"{"t1":1,"a/b":[{"p":"x"}],"meter":{"id":1}}"#);
    assert_eq!((decoded.values_len(), decoded.rejected_readings(), decoded.rejects().len()), (0, 2, 1));
}

#[test]
fn sentinels_nulls_and_words_of_quality_make_a_value_bad_and_keep_its_number() {
    for (rest, raw, code) in [
        (r#""t1":-39.9"#, Some(-39.9), QualityCode::Sentinel),
        (r#""t1":null"#, None, QualityCode::Null),
        (r#""t1":"null""#, None, QualityCode::Null),
        (r#""t1":5,"q":0"#, Some(5.0), QualityCode::DeviceBad),
        (r#""t1":5,"q":"old""#, Some(5.0), QualityCode::DeviceUncertain),
        (r#""t1":5,"q":192"#, Some(5.0), QualityCode::None),
        (r#""t1":null,"q":"ok""#, None, QualityCode::Null),
    ] {
        let (values, rejects) = flat(&format!(r#"{{"ts":"2026-11-24 08:00:00","meter":{{"id":1}},{rest}}}"#));
        assert_eq!(rejects, [], "{rest}");
        assert_eq!((values[0].2, values[0].4), (raw, code), "{rest}");
    }
    let missing = flat(r#"{"ts":"2026-11-24 08:00:00","meter":{"id":1},"t1":"--","run":0}"#);
    assert_eq!(missing, (vec![value("north/st07/m-1", "pump_running", 0.0, None)], vec![]));
}

#[test]
fn texts_that_are_no_ids_are_translated() {
    let payload = r#"{"ts":"2026-11-24 08:00:00","meter":{"id":1},"t1":1}"#;
    let (values, rejects) = seen(FLAT, "plant/1号站 /x/m/data", payload);
    assert_eq!((values[0].0.as_str(), rejects), ("north/st-1/m-1", vec![]));
    let (values, rejects) = seen(FLAT, "plant/2号站 /x/m/data", payload);
    assert_eq!((values, rejects), (vec![], vec![(RejectReason::InvalidId, String::new())]));
}

const NESTED: &str = r#"
format = "json"
topic = "city"
network = "{//net}"
site = "{^/name}"
device = "{key}"
each = ["/stations", "/meters"]
[time]
pointer = "//ts"
format = "unix_ms"
[[values]]
pointer = "/t"
name = "supply_temperature"
[[values]]
pointer = "/p"
name = "supply_pressure"
unit = "bar"
optional = true
quality = { pointer = "^/q", good = [1], bad = [0] }
"#;

#[test]
fn nested_arrays_and_objects_give_one_item_an_element() {
    let payload = r#"{"stations":[
        {"meters":{"m1":{"t":80,"p":5},"m2":{"t":81}},"name":"a","q":1},
        {"name":"b","meters":[{"t":70},{"t":"x"},3],"q":0},
        {"name":"c/d","meters":{"m1":{"t":1,"p":2}}, "q":1},
        {"name":"e"}], "ts":1795478400000,"net":"n"}"#;
    let (values, rejects) = seen(NESTED, "city", payload);
    assert_eq!(
        values,
        [
            value("n/a/m1", "supply_temperature", 80.0, None),
            value("n/a/m1", "supply_pressure", 5.0, Some("bar")),
            value("n/a/m2", "supply_temperature", 81.0, None),
            value("n/b/0", "supply_temperature", 70.0, None),
        ]
    );
    assert_eq!(
        rejects,
        [
            (RejectReason::WrongType, "/stations/1/meters/1/t".to_owned()),
            (RejectReason::WrongType, "/stations/1/meters/2".to_owned()),
            (RejectReason::InvalidId, "/stations/2/name".to_owned()),
            (RejectReason::PointerMissing, "/stations/3/meters".to_owned()),
        ]
    );
}

#[test]
fn a_value_knows_its_place_for_faults_found_later() {
    let mut decoder = decoder(NESTED);
    let payload = br#"{"net":"n","ts":1,"stations":[{"name":"a","q":1,"meters":{"x~":{"t":1,"p":2}}}]}"#;
    let decoded = decoder.decode("city", payload);
    let item = &decoded.items()[0];
    let places: Vec<_> = decoded.values(item).iter().map(|value| decoded.place(item, value)).collect();
    assert_eq!(places, ["/stations/0/meters/x~0/t", "/stations/0/meters/x~0/p"]);
}

const TALL: &str = r#"
format = "json"
topic = "hub/{device}"
network = "n"
site = "s"
device = "{device}"
[time]
pointer = "/ts"
format = "unix_s"
optional = true
[tall]
each = "/points"
name = "{/id}"
value = "/v"
unit = "/u"
time = "/t"
quality = { pointer = "/q", good = ["G"], bad = ["B"], optional = true }
[names]
T1 = "supply_temperature"
P1 = { name = "supply_pressure", unit = "MPa", sentinels = [-1] }
[units]
"度" = "degC"
"#;

#[test]
fn entries_name_their_values_themselves() {
    let payload = r#"{"ts":1795478400.25,"points":[{"id":"T1","v":80,"u":"度"},{"v":-1,"id":"P1"},
        {"id":"X","v":2,"t":1795478401,"q":"B"},{"id":"Y"},{"v":1},{"id":"","v":1},{"id":"Z","v":"x"}]}"#;
    let mut decoder = decoder(TALL);
    let (values, rejects) = seen_by(&mut decoder, "hub/d", payload.as_bytes());
    let bad = |name: &str, raw, unit: Option<&str>, code| {
        ("n/s/d".to_owned(), name.to_owned(), Some(raw), unit.map(str::to_owned), code)
    };
    assert_eq!(
        values,
        [
            value("n/s/d", "supply_temperature", 80.0, Some("degC")),
            bad("supply_pressure", -1.0, Some("MPa"), QualityCode::Sentinel),
            bad("X", 2.0, None, QualityCode::DeviceBad),
        ]
    );
    assert_eq!(
        rejects,
        [
            (RejectReason::PointerMissing, "/points/3/v".to_owned()),
            (RejectReason::PointerMissing, "/points/4/id".to_owned()),
            (RejectReason::InvalidId, "/points/5/id".to_owned()),
            (RejectReason::WrongType, "/points/6/v".to_owned()),
        ]
    );
    let decoded = decoder.decoded();
    let item = &decoded.items()[0];
    let last = &decoded.values(item)[2];
    assert_eq!(item.time.map(heat_model::EventTime::as_micros), Some(1_795_478_400_250_000));
    assert_eq!(last.time.map(heat_model::EventTime::as_micros), Some(1_795_478_401_000_000));
    assert_eq!((last.quality, decoded.place(item, last).as_str()), (Quality::Bad, "/points/2/v"));
}

#[test]
fn unknown_names_are_taken_refused_or_ignored_as_the_mapping_says() {
    let payload = r#"{"points":[{"id":"T1","v":80},{"id":"X","v":2}]}"#;
    let policy = |word: &str| TALL.replace("[tall]", &format!("[tall]\n#{word}"));
    let with = |word: &str| {
        let text = format!("unknown = {word:?}\n{}", policy(word));
        let mut decoder = decoder(&text);
        let (values, rejects) = seen_by(&mut decoder, "hub/d", payload.as_bytes());
        (values.len(), rejects, decoder.decoded().unknown_fields())
    };
    assert_eq!(with("take"), (2, vec![], 0));
    assert_eq!(with("refuse"), (1, vec![(RejectReason::UnknownSignal, "/points/1/id".to_owned())], 0));
    assert_eq!(with("ignore"), (1, vec![], 1));
    let only_unknown =
        seen(&format!("unknown = \"ignore\"\n{TALL}"), "hub/d", r#"{"points":[{"id":"X","v":2}]}"#);
    assert_eq!(only_unknown, (vec![], vec![(RejectReason::UnknownSignal, String::new())]));
}

#[test]
fn an_object_by_name_and_a_bare_number_are_entries_too() {
    let by_key = r#"
        format = "json"
        topic = "k"
        network = "n"
        site = "s"
        device = "d"
        tall = { each = "", name = "{key}", value = "" }
    "#;
    let (values, rejects) = seen(by_key, "k", r#"{"a":1,"b":{},"c":3}"#);
    assert_eq!(values, [value("n/s/d", "a", 1.0, None), value("n/s/d", "c", 3.0, None)]);
    assert_eq!(rejects, [(RejectReason::WrongType, "/b".to_owned())]);

    let bare = r#"
        format = "json"
        topic = "{site}/{name}"
        network = "n"
        site = "{site}"
        device = "d"
        tall = { name = "{name}", value = "" }
    "#;
    assert_eq!(seen(bare, "s1/t", " 81.5 "), (vec![value("n/s1/d", "t", 81.5, None)], vec![]));
    assert_eq!(seen(bare, "s1/t", "\"x\""), (vec![], vec![(RejectReason::WrongType, String::new())]));
}

#[test]
fn one_entry_an_item_may_name_its_device() {
    let mapping = r#"
        format = "json"
        topic = "flat"
        network = "n"
        site = "{/station}"
        device = "d"
        each = ""
        tall = { name = "{/point}", value = "/value" }
    "#;
    let payload = r#"[{"station":"a","point":"t","value":1},{"point":"p","value":2,"station":"b"}]"#;
    assert_eq!(
        seen(mapping, "flat", payload),
        (vec![value("n/a/d", "t", 1.0, None), value("n/b/d", "p", 2.0, None)], vec![])
    );
}

#[test]
fn several_kinds_of_items_share_what_the_mapping_says_once() {
    let mapping = r#"
        format = "json"
        topic = "station/{site}"
        network = "n"
        site = "{site}"
        [time]
        pointer = "//ts"
        format = "unix_s"
        [[items]]
        device = "station"
        values = [{ pointer = "/outdoor", name = "outdoor_temperature" }]
        [[items]]
        each = "/pumps"
        optional = true
        device = "pump-{/no}"
        values = [{ pointer = "/hz", name = "pump_frequency", unit = "Hz" }]
    "#;
    let payload = r#"{"pumps":[{"no":1,"hz":48.5},{"no":2,"hz":0}],"outdoor":-12.5,"ts":1795478400}"#;
    assert_eq!(
        seen(mapping, "station/s1", payload),
        (
            vec![
                value("n/s1/station", "outdoor_temperature", -12.5, None),
                value("n/s1/pump-1", "pump_frequency", 48.5, Some("Hz")),
                value("n/s1/pump-2", "pump_frequency", 0.0, Some("Hz")),
            ],
            vec![]
        )
    );
    let (values, rejects) = seen(mapping, "station/s1", r#"{"outdoor":1,"ts":1}"#);
    assert_eq!((values.len(), rejects), (1, vec![]));
}

const NEURON: &str = r#"
format = "neuron"
topic = "neuron/{network}/#"
network = "{network}"
site = "{node}"
device = "{group}"
lane = "backfill"
sentinels = [9999]
[site_ids]
"modbus-1" = "st01"
[names]
T1 = { name = "supply_temperature", unit = "degC" }
"#;

#[test]
fn neurons_node_and_group_are_site_and_device() {
    for payload in [
        r#"{"node":"modbus-1","group":"g1","timestamp":1,"values":{"T1":81.2,"X":9999},"errors":{"p":3002}}"#,
        r#"{"node":"modbus-1","group":"g1","timestamp":1,
            "tags":[{"name":"T1","value":81.2},{"name":"X","value":9999},{"name":"p","error":3002}]}"#,
    ] {
        let mut decoder = decoder(NEURON);
        let (values, rejects) = seen_by(&mut decoder, "neuron/n/x/y", payload.as_bytes());
        assert_eq!(rejects, []);
        let codes: Vec<_> = values.iter().map(|value| (value.1.as_str(), value.4)).collect();
        assert_eq!(values[0], value("n/st01/g1", "supply_temperature", 81.2, Some("degC")));
        assert_eq!(codes[1..], [("X", QualityCode::Sentinel), ("p", QualityCode::DeviceBad)]);
        assert_eq!(decoder.decoded().items()[0].lane, Some(Lane::Backfill));
    }
    let mut decoder = decoder(NEURON);
    let payload = br#"{"node":"m","group":"g","timestamp":1,"tags":[{"name":"T1","value":1}]}"#;
    let decoded = decoder.decode("neuron/n", payload);
    let item = &decoded.items()[0];
    assert_eq!(decoded.place(item, &decoded.values(item)[0]), "/tags/0");
}

#[test]
fn neurons_payload_without_the_ids_that_the_mapping_needs_is_refused_whole() {
    let (values, rejects) = seen(NEURON, "neuron/n", r#"{"node":"m","values":{"a":1,"b":"x"}}"#);
    assert_eq!((values, rejects), (vec![], vec![(RejectReason::PointerMissing, "/group".to_owned())]));
    let (values, rejects) = seen(NEURON, "neuron/n", r#"{"node":"m/1","group":"g","values":{"a":1}}"#);
    assert_eq!((values, rejects), (vec![], vec![(RejectReason::InvalidId, "/node".to_owned())]));
    let refuse = format!("unknown = \"refuse\"\n{NEURON}");
    let (values, rejects) = seen(&refuse, "neuron/n", r#"{"node":"m","group":"g","values":{"a":1,"T1":2}}"#);
    assert_eq!((values.len(), rejects), (1, vec![(RejectReason::UnknownSignal, "/values/a".to_owned())]));
}

#[test]
fn the_first_mapping_that_fits_counts() {
    let device = |device: &str, topic: &str| {
        let text = format!(
            "format='json'\ntopic={topic:?}\nnetwork='n'\nsite='s'\ndevice={device:?}\n\
             values=[{{pointer='/v',name='v'}}]"
        );
        mapping_of(&text)
    };
    let mappings = vec![device("a", "x/y"), device("b", "x/+"), device("c", "x/z"), device("d", "x/y")];
    assert_eq!(mappings[1].filter(), "x/+");
    let mut decoder = Decoder::new(mappings, Limits::default());
    for (topic, device) in [("x/y", "a"), ("x/z", "b"), ("x/y", "a")] {
        let (values, _) = seen_by(&mut decoder, topic, br#"{"v":1}"#);
        assert_eq!(values[0].0, format!("n/s/{device}"));
    }
    assert_eq!((decoder.devices_len(), decoder.matches("x/q"), decoder.matches("y")), (2, true, false));
    let (_, rejects) = seen_by(&mut decoder, "y", b"{}");
    assert_eq!(rejects, [(RejectReason::UnknownTopic, String::new())]);
}

#[test]
fn faults_of_a_mapping_are_reported_at_once_by_key() {
    let faulty = FLAT
        .replace("plant/{site}/+", "plant/{site}/#")
        .replace("\"north\"", "\"no/rth\"")
        .replace("Asia/Shanghai", "Shanghai")
        .replace("\"degC\"", "\"bar\"")
        .replace("st-1", "st#1")
        .replace("\"/run\"", "\"run\"");
    assert_eq!(
        keys(&faulty),
        ["topic", "site_ids.\"1号站 \"", "network", "time.zone", "values[0].unit", "values[2].pointer"]
    );
    assert_eq!(keys(&FLAT.replace("optional", "optionnal")), ["line 23"]);
    assert_eq!(keys(&NESTED.replace("^/name", "^^^/name")), ["site"]);
    assert_eq!(keys(&NESTED.replace("{//net}", "{//stations/0/x}")), ["network"]);
    assert_eq!(keys(&TALL.replace("[tall]", "[talls]")).len(), 1);
    assert_eq!(keys(&format!("each = \"/x\"\n{NEURON}")), ["each"]);
    assert_eq!(keys(&NEURON.replace("{group}", "{device}")), ["device"]);
    let empty = "format='json'\ntopic='a'\n";
    assert_eq!(keys(empty), ["network", "site", "device", "values"]);
    let twice = format!("{NESTED}[[values]]\npointer='/q'\nname='supply_pressure'\n");
    assert_eq!(keys(&twice), ["values[2].name"]);
    let outward = format!("{NESTED}[[values]]\npointer='^/q'\nname='q'\n");
    assert_eq!(keys(&outward), ["values[2].pointer"]);
    assert_eq!(keys(&FLAT.replace("[0, false]", "[1]")), ["lane.backfill"]);
    assert_eq!(keys(&FLAT.replace("nulls = [\"null\"]", "nulls = [\"--\"]"))[0], "nulls");
}

#[test]
fn the_plants_signals_describe_payloads_too() {
    let csv = "id,unit,topic,pointer\n\
        n/s1/m/supply_temperature,K,plc/1,/a/t\n\
        n/s2/m/supply_pressure,MPa,plc/1,/a/p\n\
        n/s1/m/return_temperature,,plc/1,/b\n\
        n/s1/m/quiet,,,\n\
        n/s3/m/x,,plc/2,/x\n";
    let sites = "id,network\ns1,n\ns2,n\ns3,n\n";
    let plant = crate::plant::read(&[("signals.csv", csv), ("sites.csv", sites)]).unwrap();
    let mappings = from_plant(&plant).unwrap();
    assert_eq!(mappings.iter().map(JsonMapping::filter).collect::<Vec<_>>(), ["plc/1", "plc/2"]);
    let mut decoder = Decoder::new(mappings, Limits::default());
    let (values, rejects) = seen_by(&mut decoder, "plc/1", br#"{"a":{"p":0.8,"t":350},"c":1}"#);
    assert_eq!(
        (values, rejects),
        (
            vec![
                value("n/s1/m", "supply_temperature", 350.0, Some("K")),
                value("n/s2/m", "supply_pressure", 0.8, Some("MPa")),
            ],
            vec![]
        )
    );
    let (_, rejects) = seen_by(&mut decoder, "plc/1", br#"{"c":1}"#);
    assert_eq!(rejects, [(RejectReason::MissingField, String::new())]);

    let mut faulty = plant;
    faulty.signals[2].pointer = Some("a/t".to_owned());
    faulty.signals[4].topic = Some("plc/#/x".to_owned());
    let faults = from_plant(&faulty).unwrap_err();
    let keys: Vec<_> = faults.into_iter().map(|fault| fault.key).collect();
    assert_eq!(keys, ["signals n/s3/m/x: topic", "signals n/s1/m/supply_temperature: pointer"]);
}

#[test]
fn more_devices_than_the_table_holds_are_refused_and_the_known_ones_go_on() {
    let mapping = "format='json'\ntopic='t'\nnetwork='n'\nsite='s'\ndevice='{/d}'\n\
        values=[{pointer='/v',name='v'}]";
    let mut decoder = decoder(mapping);
    for device in 0..DEVICES_MAX {
        let payload = format!(r#"{{"d":{device},"v":1}}"#);
        assert_eq!(decoder.decode("t", payload.as_bytes()).rejects(), []);
    }
    let (_, rejects) = seen_by(&mut decoder, "t", br#"{"d":"one more","v":1}"#);
    assert_eq!(rejects, [(RejectReason::TooManyDevices, String::new())]);
    let (values, _) = seen_by(&mut decoder, "t", br#"{"d":65535,"v":1}"#);
    assert_eq!((values[0].0.as_str(), decoder.devices_len()), ("n/s/65535", DEVICES_MAX));
}

#[test]
fn more_topics_than_are_remembered_still_decode() {
    let mapping = "format='json'\ntopic='{d}'\nnetwork='n'\nsite='s'\ndevice='{d}'\n\
        values=[{pointer='/v',name='v'}]";
    let mut decoder = decoder(mapping);
    for device in 0..TOPICS_MAX + 10 {
        decoder.decode(&format!("d{device}"), br#"{"v":1}"#);
    }
    let (values, _) = seen_by(&mut decoder, "d5", br#"{"v":1}"#);
    assert_eq!((values[0].0.as_str(), decoder.topics.len()), ("n/s/d5", 11));
}

#[test]
fn a_payload_of_more_values_than_the_bound_is_refused_whole() {
    let limits = Limits { values_max: 10, ..Limits::default() };
    for (mapping, topic, entry, frame) in [
        (TALL, "hub/d", r#"{"id":"a","v":1}"#, r#"{"points":["#),
        (NESTED, "city", r#"{"t":1,"p":2}"#, r#"{"net":"n","ts":1,"stations":[{"name":"a","q":1,"meters":["#),
    ] {
        let close = if topic == "city" { "]}]}" } else { "]}" };
        let mut decoder = Decoder::new(vec![mapping_of(mapping)], limits);
        for (count, fits) in [(3, true), (500, false)] {
            let payload = format!("{frame}{}{close}", vec![entry; count].join(","));
            let (values, rejects) = seen_by(&mut decoder, topic, payload.as_bytes());
            let refused = vec![(RejectReason::TooManyValues, String::new())];
            assert_eq!((!values.is_empty(), rejects), (fits, if fits { vec![] } else { refused }), "{count}");
        }
    }
}

fn all() -> Decoder {
    let mut flat =
        FLAT.replace("topic = \"plant/{site}/+/{device}/data\"", "topic = \"flat/{site}/{device}\"");
    flat.push_str("[[values]]\npointer=''\nname='whole'\noptional=true\n");
    Decoder::new([&flat, NESTED, TALL, NEURON].map(mapping_of).into(), Limits::default())
}

const TOPICS: [(&str, &str); 4] = [
    (
        "flat/s/d",
        r#"{"ts":"2026-11-24 08:00:00","meter":{"id":17},"t1":81.25,"a/b":[{"p":"0.8"}],"run":"开","n":3,"hist":0}"#,
    ),
    (
        "city",
        r#"{"net":"n","ts":1,"stations":[{"name":"a","q":1,"meters":{"x":{"t":1,"p":2},"y":{"t":null}}}]}"#,
    ),
    (
        "hub/d",
        r#"{"ts":1,"points":[{"id":"T1","v":80,"u":"度"},{"id":"P1","v":-1,"q":"B"},{"id":"X","v":2,"t":3}]}"#,
    ),
    ("neuron/n", r#"{"node":"n","group":"g","timestamp":1,"values":{"a":1,"T1":null},"errors":{"c":3}}"#),
];

fn assert_sound(decoder: &mut Decoder, topic: &str, payload: &[u8]) {
    decoder.decode(topic, payload);
    let decoded = decoder.decoded();
    assert!(!decoded.items().is_empty() || !decoded.rejects().is_empty());
    assert!(decoded.values_len() + decoded.rejects().len() <= Limits::default().values_max + 1);
    for item in decoded.items() {
        assert!(!decoder.device(item.device.unwrap()).site.as_str().is_empty());
        for value in decoded.values(item) {
            assert!(value.raw.is_finite() || value.quality == Quality::Bad);
            assert!(!decoded.name(value).is_empty());
            let place = decoded.place(item, value);
            assert!(place.starts_with('/') || place.is_empty(), "{place}");
        }
    }
    assert!(decoded.rejects().iter().all(|reject| reject.place.len() <= PLACE_MAX_BYTES));
}

proptest! {
    #[test]
    fn any_bytes_give_values_or_rejects(payload in prop::collection::vec(any::<u8>(), 0..200)) {
        let mut decoder = all();
        for (topic, _) in TOPICS {
            assert_sound(&mut decoder, topic, &payload);
        }
    }

    #[test]
    fn a_damaged_payload_gives_values_or_rejects(
        which in 0..TOPICS.len(),
        at in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..6),
        cut in any::<prop::sample::Index>(),
    ) {
        let (topic, payload) = TOPICS[which];
        let mut payload = payload.as_bytes().to_vec();
        for (index, byte) in at {
            let index = index.index(payload.len());
            payload[index] = byte;
        }
        let mut decoder = all();
        assert_sound(&mut decoder, topic, &payload);
        payload.truncate(cut.index(payload.len()));
        assert_sound(&mut decoder, topic, &payload);
    }

    #[test]
    fn every_number_is_exact(raw in any::<f64>().prop_filter("finite", |raw| raw.is_finite()), text in any::<bool>()) {
        let mapping = "format='json'\ntopic='t'\nnetwork='n'\nsite='s'\ndevice='d'\nnumber_as_text=true\n\
            values=[{pointer='/v',name='v'}]";
        let payload = if text { format!(r#"{{"v":"{raw:e}"}}"#) } else { format!(r#"{{"v":{raw:e}}}"#) };
        let mut decoder = decoder(mapping);
        let decoded = decoder.decode("t", payload.as_bytes());
        prop_assert_eq!(decoded.rejects(), &[][..], "{}", payload);
        prop_assert_eq!(decoded.values(&decoded.items()[0])[0].raw.to_bits(), raw.to_bits(), "{}", payload);
    }

    #[test]
    fn any_mapping_text_is_read_or_refused(
        at in prop::collection::vec((any::<prop::sample::Index>(), "[{}/^~a-z0-9\"=\\[\\]\n#+]"), 1..5)
    ) {
        for mapping in [FLAT, NESTED, TALL, NEURON] {
            let mut text: Vec<char> = mapping.chars().collect();
            for (index, by) in &at {
                let index = index.index(text.len());
                text[index] = by.chars().next().unwrap_or('x');
            }
            let text: String = text.into_iter().collect();
            if let Ok(mapping) = JsonMapping::parse(&text) {
                let mut decoder = Decoder::new(vec![mapping], Limits::default());
                for (topic, payload) in TOPICS {
                    decoder.decode(topic, payload.as_bytes());
                }
            }
        }
    }
}
