//! The decoders: any bytes give values or rejects, bounded, and what was read can be written and read again.

use std::{cell::RefCell, fmt::Debug};

use heat_codec::{
    dead_letter::DeadLetter,
    decoded::{Decoded, Limits},
    envelope::{self, EnvelopeDecoder},
    forecast,
    mapped::{self, JsonMapping},
    mapping::Mapping,
    neuron, own_json, plant,
    recorded::RecordedReader,
    reject::{DETAIL_MAX_CHARS, PLACE_MAX_BYTES, Reject},
    requeue::Requeue,
    sparkplug::{Sparkplug, SparkplugSettings},
    ticket::{self, FreeText},
};
use heat_model::{IngestTime, Quality};

/// What is done with an input.
pub type Target = fn(&[u8]);

/// All targets of this module by name.
pub const TARGETS: [(&str, Target); 12] = [
    ("own_json", own_json),
    ("mapped", mapped),
    ("mapping", mapping),
    ("neuron", neuron),
    ("sparkplug", sparkplug),
    ("envelope", envelope),
    ("dead_letter", dead_letter),
    ("requeue", requeue),
    ("ticket", ticket),
    ("forecast", forecast),
    ("plant", plant),
    ("recorded", recorded),
];

const LIMITS: Limits = Limits { payload_max_bytes: 64 * 1024, values_max: 256 };

fn check_reject(reject: &Reject) {
    assert!(reject.place.len() <= PLACE_MAX_BYTES, "a place of {} bytes", reject.place.len());
    assert!(reject.detail.chars().count() <= DETAIL_MAX_CHARS, "a detail of {} bytes", reject.detail.len());
}

/// Values and rejects are bounded, every value has a name and a place, and what is no number is bad.
fn check(decoded: &Decoded) {
    let seen = decoded.values_len() + decoded.rejects().len();
    assert!(seen <= LIMITS.values_max + 1, "{seen} values and rejects");
    let mut values = 0;
    for item in decoded.items() {
        assert!(!decoded.values(item).is_empty(), "an item without values");
        for value in decoded.values(item) {
            values += 1;
            assert!(value.raw.is_finite() || value.quality == Quality::Bad, "{} is not bad", value.raw);
            decoded.unit(value);
            decoded.place(item, value);
        }
        decoded.boot(item);
    }
    assert_eq!(values, decoded.values_len());
    decoded.rejects().iter().for_each(check_reject);
}

/// As [`check`], and the payload came to something.
fn check_whole(decoded: &Decoded) {
    check(decoded);
    assert!(!decoded.items().is_empty() || !decoded.rejects().is_empty(), "neither values nor rejects");
}

/// The own JSON.
pub fn own_json(data: &[u8]) {
    check_whole(own_json::Decoder::new(LIMITS).decode(data));
}

/// Neuron's JSON without a mapping.
pub fn neuron(data: &[u8]) {
    check_whole(neuron::Decoder::new(LIMITS).decode(data));
}

const NESTED: &str = r#"
format = "json"
topic = "0"
network = "{//net}"
site = "{^/name}-{^key}"
device = "{key}"
each = ["/s", "/m"]
seq = "//n"
boot = "^/b"
lane = { pointer = "//h", live = [0], backfill = [1] }
sentinels = [9999]
missing = ["--"]
nulls = ["null"]
[time]
pointer = "//ts"
format = "%Y-%m-%d %H:%M:%S"
zone = "Asia/Shanghai"
optional = true
[site_ids]
"a/b-0" = "ab"
[[values]]
pointer = "/t"
name = "supply_temperature"
unit = "degC"
quality = { pointer = "/q", good = ["ok", 192], bad = [0], uncertain = ["old"], optional = true }
[[values]]
pointer = "/p~1/0/v"
name = "supply_pressure"
unit = "MPa"
optional = true
number_as_text = true
words = { "on" = 1 }
"#;

const TALL: &str = r#"
format = "json"
topic = "1"
network = "n"
site = "s"
device = "d"
unknown = "refuse"
[time]
pointer = "/ts"
format = "unix_ms"
optional = true
[tall]
each = "/p"
name = "{/id}"
value = "/v"
unit = "/u"
time = "/t"
quality = { pointer = "/q", good = ["G"], bad = ["B"], optional = true }
[names]
T1 = "supply_temperature"
P1 = { name = "supply_pressure", unit = "MPa", sentinels = [-1], number_as_text = true }
[units]
"C" = "degC"
"#;

const BY_KEY: &str = r#"
format = "json"
topic = "2"
network = "n"
[time]
pointer = "//ts"
format = "rfc3339"
optional = true
[[items]]
each = "/d"
optional = true
site = "{key}"
device = "{/id}"
tall = { each = "/v", name = "{key}", value = "" }
[[items]]
site = "s"
device = "d"
values = [{ pointer = "/x", name = "x", optional = true }]
"#;

const NEURON: &str = r#"
format = "neuron"
topic = "3"
network = "n"
site = "{node}"
device = "{group}"
sentinels = [9999]
unknown = "ignore"
[names]
a = { name = "supply_temperature", unit = "degC" }
b = "supply_pressure"
"#;

thread_local! {
    /// One for all payloads, as in a gateway: what one leaves behind must not harm the next.
    static MAPPED: RefCell<mapped::Decoder> = RefCell::new(new_mapped());
}

fn new_mapped() -> mapped::Decoder {
    let parse = |text: &str| match JsonMapping::parse(text) {
        Ok(mapping) => mapping,
        Err(faults) => panic!("{text}: {faults:?}"),
    };
    mapped::Decoder::new([NESTED, TALL, BY_KEY, NEURON].map(parse).into(), LIMITS)
}

/// Mapped payloads: the first byte chooses the mapping, the rest is the payload.
pub fn mapped(data: &[u8]) {
    let Some((choice, payload)) = data.split_first() else { return };
    let topic = (choice % 4).to_string();
    MAPPED.with_borrow_mut(|decoder| {
        decoder.decode(&topic, payload);
        let decoded = decoder.decoded();
        check_whole(decoded);
        for item in decoded.items() {
            match item.device {
                Some(device) => assert!(!decoder.device(device).site.as_str().is_empty()),
                None => panic!("an item without a device"),
            }
        }
        if decoder.devices_len() >= mapped::DEVICES_MAX {
            *decoder = new_mapped();
        }
    });
}

/// Mappings as text, of recorded data and of payloads; one that is taken must decode anything.
pub fn mapping(data: &[u8]) {
    let Ok(text) = str::from_utf8(data) else { return };
    let faults = Mapping::parse(text).err().unwrap_or_default();
    assert!(faults.iter().all(|fault| !fault.problem.is_empty()), "a fault without a word");
    match JsonMapping::parse(text) {
        Ok(mapping) => {
            let mut decoder = mapped::Decoder::new(vec![mapping], LIMITS);
            for topic in ["a", "a/b", "a/b/c", "1", ""] {
                for payload in PAYLOADS {
                    check_whole(decoder.decode(topic, payload.as_bytes()));
                }
            }
        }
        Err(faults) => assert!(!faults.is_empty(), "refused without a fault"),
    }
}

const PAYLOADS: [&str; 3] = [
    r#"{"ts":1795478400000,"t":1,"p":[{"id":"T1","v":80},{"v":null}],"s":[{"name":"a","m":{"x":{"t":"1"}}}]}"#,
    r#"{"node":"n","group":"g","timestamp":1,"values":{"a":1},"errors":{"b":2}}"#,
    "81.5",
];

/// Sparkplug B: messages one after another, each a byte that chooses the topic, two with the payload's length, and
/// the payload.
pub fn sparkplug(data: &[u8]) {
    const TOPICS: [&str; 10] = [
        "spBv1.0/g/NBIRTH/n",
        "spBv1.0/g/NDATA/n",
        "spBv1.0/g/NDEATH/n",
        "spBv1.0/g/DBIRTH/n/d",
        "spBv1.0/g/DDATA/n/d",
        "spBv1.0/g/DDEATH/n/d",
        "spBv1.0/g/DDATA/n/e",
        "spBv1.0/STATE/h",
        "spBv1.0/g/NCMD/n",
        "spBv1.0/g/NBIRTH/m",
    ];
    let mut decoder = Sparkplug::new(SparkplugSettings::default(), LIMITS);
    let mut rest = data;
    let mut micros = 1_795_478_400_000_000;
    while let [choice, low, high, behind @ ..] = rest {
        let length = usize::from(u16::from_le_bytes([*low, *high])).min(behind.len());
        let (payload, next) = behind.split_at(length);
        rest = next;
        micros += 1_000_000;
        decoder.take(TOPICS[usize::from(*choice) % TOPICS.len()], payload, IngestTime::from_micros(micros));
        let decoded = decoder.decoded();
        check(decoded);
        for item in decoded.items() {
            if let Some(device) = item.device {
                decoder.device(device);
            }
        }
        decoder.take_rebirths();
    }
    assert!(decoder.nodes_len() <= 2, "{} nodes of two", decoder.nodes_len());
}

/// The log's envelope.
pub fn envelope(data: &[u8]) {
    let mut decoder = EnvelopeDecoder::default();
    let Ok(first) = decoder.decode(data.to_vec().into()) else { return };
    let written = envelope::encode(&first);
    match decoder.decode(written.clone()) {
        // NaN is not equal to itself: the bytes are compared.
        Ok(again) => assert_eq!(envelope::encode(&again), written, "{first:?}"),
        Err(fault) => panic!("what was written cannot be read: {fault:?}, {first:?}"),
    }
}

fn same<T: PartialEq + Debug, E: Debug>(value: T, again: Result<T, E>) {
    match again {
        Ok(again) => assert_eq!(again, value),
        Err(fault) => panic!("what was written cannot be read: {fault:?}, {value:?}"),
    }
}

/// Dead letters.
pub fn dead_letter(data: &[u8]) {
    if let Ok(letter) = DeadLetter::decode(data.to_vec().into()) {
        let again = DeadLetter::decode(letter.encode());
        same(letter, again);
    }
}

/// Requests to send dead letters again.
pub fn requeue(data: &[u8]) {
    if let Ok(requeue) = Requeue::decode(data.to_vec().into()) {
        let again = Requeue::decode(requeue.encode());
        same(requeue, again);
    }
}

/// Tickets: no run of 7 or more digits gets through.
pub fn ticket(data: &[u8]) {
    for free_text in [FreeText::Drop, FreeText::KeepMasked] {
        match ticket::decode(data, free_text) {
            Ok(decoded) => {
                let text = decoded.ticket.text.unwrap_or_default();
                let digits = |run: &str| run.len() >= 7 && run.bytes().all(|byte| byte.is_ascii_digit());
                assert!(!text.split(|c: char| !c.is_ascii_digit()).any(digits), "{text}");
                assert!(free_text == FreeText::KeepMasked || text.is_empty(), "text is off: {text}");
            }
            Err(reject) => check_reject(&reject),
        }
    }
}

/// Forecasts.
pub fn forecast(data: &[u8]) {
    match forecast::decode(data) {
        Ok(decoded) => {
            assert!(decoded.forecast.outdoor_celsius.iter().all(|(_, celsius)| celsius.is_finite()));
        }
        Err(reject) => check_reject(&reject),
    }
}

/// Plant tables: lines `=name` begin a file. A model that is taken is written and read as the same model.
pub fn plant(data: &[u8]) {
    let Ok(text) = str::from_utf8(data) else { return };
    let mut files: Vec<(&str, String)> = Vec::new();
    for line in text.split_inclusive('\n') {
        match (line.strip_prefix('='), files.last_mut()) {
            (Some(name), _) => files.push((name.trim_end(), String::new())),
            (None, Some((_, file))) => file.push_str(line),
            (None, None) => {}
        }
    }
    match plant::read(&files) {
        Ok(model) => {
            let hash = plant::hash(&model);
            let again = plant::read(&plant::write_tables(&model));
            match again {
                Ok(again) => assert_eq!(plant::hash(&again), hash, "{model:?}"),
                Err(faults) => panic!("what was written cannot be read: {faults}"),
            }
            let mappings = match mapped::from_plant(&model) {
                Ok(mappings) => mappings,
                Err(faults) => panic!("a model was taken whose signals cannot be mapped: {faults:?}"),
            };
            let mut decoder = mapped::Decoder::new(mappings, LIMITS);
            for signal in &model.signals {
                decoder.decode(signal.topic.as_deref().unwrap_or(""), PAYLOADS[0].as_bytes());
                check(decoder.decoded());
            }
        }
        Err(faults) => assert!(!faults.faults.is_empty(), "refused without a fault"),
    }
}

const WIDE_CSV: &str = r#"
format = "wide"
network = "n"
separator = ";"
missing = ["", "NaN"]
nulls = ["null"]
sentinels = [-39.9]
[time]
column = "t"
format = "%Y-%m-%d %H:%M:%S"
zone = "Europe/Berlin"
[[dead_rows]]
column = "a"
values = [0.0]
[[columns]]
column = "a"
site = "s"
device = "d"
name = "supply_temperature"
unit = "degC"
"#;

const TALL_CSV: &str = r#"
format = "tall"
network = "n"
decimal = ","
separator = ";"
[time]
column = "t"
format = "unix_s"
[received]
column = "r"
format = "rfc3339"
[columns]
site = "s"
device = "d"
name = "n"
value = "v"
unit = "u"
lane = "l"
quality = "q"
"#;

/// Recorded data: the first byte chooses the mapping (and with bit 1 the order), the rest is the file.
pub fn recorded(data: &[u8]) {
    let Some((choice, file)) = data.split_first() else { return };
    let text = if choice & 1 == 0 { WIDE_CSV } else { TALL_CSV };
    let order = if choice & 2 == 0 { "" } else { "order = \"descending\"" };
    let mapping = match Mapping::parse(&format!("{order}\n{text}")) {
        Ok(mapping) => mapping,
        Err(faults) => panic!("{faults:?}"),
    };
    let Ok(reader) = RecordedReader::new(&mapping, "f.csv", file) else { return };
    let lines = file.iter().filter(|byte| matches!(byte, b'\n' | b'\r')).count() + 1;
    let mut rows = 0;
    for row in reader {
        rows += 1;
        assert!(rows <= lines + 1, "{rows} rows from {lines} lines");
        if let Ok(row) = row {
            let sound = |raw: f64, quality: Quality| raw.is_finite() || quality == Quality::Bad;
            assert!(row.values.iter().all(|value| sound(value.raw, value.quality)), "{row:?}");
        }
    }
}
