//! Dead letters over the API: listed, shown, asked for again; from the log and from the archive.

use heat_archive::{CommitWriter, Dataset, RotationSettings, TableRow};
use heat_codec::{
    dead_letter::{DeadLetter, Fault, LetterId},
    requeue::{Done, Request, Requeue},
};
use heat_model::{IngestTime, Position};

use super::*;

const TEXT: &str = r#"{"values": {"supply_temperature": [1], "flow": 2}}"#;

fn letter(topic: &str, payload: &str, reason: &str, place: &str) -> DeadLetter {
    let fault = Fault { reason: reason.to_owned(), place: place.to_owned(), detail: String::new() };
    DeadLetter {
        origin: Origin { gateway: "gw".parse().unwrap(), epoch: 1, seq: 0 },
        ingest_time: Clock.now(),
        topic: topic.to_owned(),
        client: "meter".to_owned(),
        user: "field".to_owned(),
        content_type: String::new(),
        user_properties: Vec::new(),
        payload: payload.to_owned().into(),
        payload_hash: 7,
        faults: vec![fault],
        messages: 1,
        readings: 1,
        requeued_from: None,
        retained: false,
    }
}

impl Bench {
    /// Appends letters to partition 0, in order.
    fn reject(&self, letters: &[DeadLetter]) {
        let records = letters.iter().map(|letter| letter.clone().without_person().encode()).collect();
        self.append_all(topics::REJECTED, records);
    }

    fn append_all(&self, topic: &str, records: Vec<Bytes>) {
        self.runtime.block_on(append_all(&self.log, topic, records));
    }

    fn requests(&self, topic: &str) -> Vec<Request> {
        let partition = heat_log::partition_of(topic.as_bytes(), 2);
        self.runtime.block_on(async {
            let bounds = self.log.bounds(topics::REQUEUE, partition).await.unwrap();
            let from = StartFrom::Offset(bounds.first);
            let settings = ConsumerSettings::default();
            let mut scan =
                self.log.scan(topics::REQUEUE, partition, from, bounds.end, settings).await.unwrap();
            let mut requests = Vec::new();
            while let Some(records) = scan.next().await.unwrap() {
                for record in records {
                    if let Requeue::Request(request) = Requeue::decode(record.payload).unwrap() {
                        requests.push(request);
                    }
                }
            }
            requests
        })
    }
}

async fn append_all(log: &Log, topic: &str, records: Vec<Bytes>) {
    let appender = log.appender(&[topic], AppenderSettings::default()).await.unwrap();
    for payload in records {
        appender.append(topic, PartitionId(0), None, payload).await.unwrap();
    }
    assert!(appender.close(PATIENCE).await.unwrap());
}

fn ids(page: &Value) -> Vec<String> {
    let items = page["items"].as_array().unwrap_or(const { &Vec::new() });
    items.iter().map(|item| item["id"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn letters_are_listed_filtered_paged_and_shown_with_the_fault_marked() {
    let bench = Bench::new();
    bench.reject(&[
        letter("heat/v1/town/st1/plc", TEXT, "wrong_type", "/values/supply_temperature"),
        letter("zigbee2mqtt/kitchen", "{}", "unknown_topic", ""),
        letter("heat/v1/other/st1/plc", "{\"a\"", "bad_json", "byte 4"),
    ]);

    let page = bench.until("/api/v1/rejected", |page| ids(page).len() == 3);
    assert_eq!(ids(&page), ["0-2", "0-1", "0-0"], "newest first");
    let of = |query: &str| ids(&bench.get(&format!("/api/v1/rejected?{query}")).1);
    assert_eq!(of("reason=bad_json"), ["0-2"]);
    assert_eq!(of("network=town"), ["0-0"]);
    assert_eq!(of("topic=heat/v1/%2B/st1/%23"), ["0-2", "0-0"]);
    assert_eq!(of("from=2100-01-01T00:00:00Z"), Vec::<String>::new());
    assert_eq!(of("to=2100-01-01T00:00:00Z").len(), 3);
    let first = bench.get("/api/v1/rejected?limit=2").1;
    let next = first["next"].as_str().unwrap();
    let second = bench.get(&format!("/api/v1/rejected?limit=2&cursor={next}")).1;
    assert_eq!((ids(&first), ids(&second)), (vec!["0-2".into(), "0-1".into()], vec!["0-0".to_owned()]));
    assert!(second.get("next").is_none(), "{second}");

    let (status, shown) = bench.get("/api/v1/rejected/0-0");
    assert_eq!((status, &shown["payload"], &shown["source"]), (200, &json!(TEXT), &json!("log")));
    let (start, end) =
        (shown["marks"][0]["start"].as_u64().unwrap(), shown["marks"][0]["end"].as_u64().unwrap());
    assert_eq!(&TEXT[usize::try_from(start).unwrap()..usize::try_from(end).unwrap()], "[1]");
    for (path, status) in [
        ("/api/v1/rejected/0-99", 404),
        ("/api/v1/rejected/9-0", 404),
        ("/api/v1/rejected/x", 400),
        ("/api/v1/rejected?reason=because", 400),
        ("/api/v1/rejected?cursor=x", 400),
    ] {
        assert_eq!(bench.get(path).0, status, "{path}");
    }
    assert!(bench.metrics.render().contains("heat_api_letters_kept{what=\"letter\"} 3"));
    bench.stop();
}

#[test]
fn a_requeued_letter_is_in_the_log_with_all_a_gateway_needs_and_its_outcome_is_shown() {
    let bench = Bench::new();
    let topic = "heat/v1/town/st1/plc";
    let mut partly = letter(topic, TEXT, "wrong_type", "/values/supply_temperature");
    partly.messages = 0;
    bench.reject(&[
        partly.clone(),
        letter("heat/v1/tickets", "{\"phone\": \"13812345678\"}", "personal_data", "/phone"),
        letter("spBv1.0/town/NDATA/node", "x", "not_born", ""),
    ]);
    bench.until("/api/v1/rejected", |page| ids(page).len() == 3);

    let body = json!({ "ids": ["0-0", "0-1", "0-2", "0-9", "0-0"] }).to_string();
    let (status, answer) = bench.post("/api/v1/rejected/requeue", &body);
    assert_eq!((status, &answer["requeued"]), (200, &json!(["0-0"])), "{answer}");
    let refused: Vec<(&str, &str)> = answer["refused"]
        .as_array()
        .unwrap()
        .iter()
        .map(|refused| (refused["id"].as_str().unwrap(), refused["reason"].as_str().unwrap()))
        .collect();
    assert_eq!(refused, [("0-1", "ticket"), ("0-2", "sparkplug"), ("0-9", "not_found")]);
    let requests = bench.requests(topic);
    let [request] = requests.as_slice() else { panic!("{requests:?}") };
    assert_eq!(
        (&request.topic, &request.payload, &request.asked_by, request.first_received),
        (&partly.topic, &partly.payload, &"local".to_owned(), partly.ingest_time)
    );
    assert_eq!(request.untaken, ["/values/supply_temperature"], "the rest of it was taken before");

    let asked = bench.until("/api/v1/rejected/0-0", |letter| !letter["requeued"].is_null());
    assert_eq!(
        (&asked["requeued"]["asked_by"], &asked["requeued"]["taken"]),
        (&json!("local"), &Value::Null)
    );
    let (_, again) = bench.post("/api/v1/rejected/requeue", &json!({ "ids": ["0-0"] }).to_string());
    assert_eq!(again["refused"][0]["reason"], "asked_before");
    let body = json!({ "ids": ["0-0"], "again": true }).to_string();
    assert_eq!(bench.post("/api/v1/rejected/requeue", &body).1["requeued"], json!(["0-0"]));
    bench.until("/api/v1/rejected/0-0", |letter| letter["requeued"]["times"] == 2);
    bench.stop();
}

#[test]
fn what_a_gateway_made_of_it_is_shown() {
    let bench = Bench::new();
    bench.reject(&[letter("t", TEXT, "unknown_topic", "")]);
    bench.until("/api/v1/rejected", |page| ids(page).len() == 1);
    let id: LetterId = "0-0".parse().unwrap();
    let request = Request {
        letter: id,
        first_received: IngestTime::from_micros(1),
        topic: "t".to_owned(),
        payload: Bytes::new(),
        client: String::new(),
        user: String::new(),
        content_type: String::new(),
        user_properties: Vec::new(),
        retained: false,
        untaken: Vec::new(),
        asked_by: "duty".to_owned(),
        asked: IngestTime::from_micros(2),
    };
    let done = Done {
        request: Offset(0),
        letter: id,
        readings_logged: 3,
        readings_rejected: 1,
        faults: 1,
        gateway: "gw".parse().unwrap(),
        done: IngestTime::from_micros(3),
    };
    bench.append_all(topics::REQUEUE, vec![Requeue::Request(request).encode(), Requeue::Done(done).encode()]);

    let shown = bench.until("/api/v1/rejected", |page| !page["items"][0]["requeued"]["taken"].is_null());
    let taken = &shown["items"][0]["requeued"]["taken"];
    assert_eq!((&taken["readings_logged"], &taken["faults"]), (&json!(3), &json!(1)));
    bench.stop();
}

#[test]
fn a_ticket_shows_its_reason_and_hash_and_never_a_digit_of_its_telephone_number() {
    let bench = Bench::new();
    bench.reject(&[letter("heat/v1/tickets", "{\"13812345678\": 1}", "unknown_field", "/13812345678")]);
    let page = bench.until("/api/v1/rejected", |page| ids(page).len() == 1);
    let (_, shown) = bench.get("/api/v1/rejected/0-0");
    for answer in [&page["items"][0], &shown] {
        assert!(!answer.to_string().contains("12345"), "{answer}");
        assert_eq!(answer["faults"][0]["reason"], "unknown_field");
        assert_eq!(answer["payload_hash"], "0000000000000007");
    }
    assert_eq!((&shown["payload"], &shown["payload_hex"]), (&Value::Null, &Value::Null));
    bench.stop();
}

#[test]
fn dead_letters_are_for_operators() {
    let dir = tempfile::tempdir().unwrap();
    let tokens = dir.path().join("tokens");
    // SHA-256 of "abc" (FIPS 180-4).
    std::fs::write(&tokens, "duty viewer ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad\n")
        .unwrap();
    let bench = Bench::with(RawApi { tokens_file: Some(tokens), ..RawApi::default() }, &[]);
    let viewer = ("authorization", "Bearer abc");
    assert_eq!(bench.request("GET", "/api/v1/incidents", &[viewer], "").0, 200);
    assert_eq!(bench.request("GET", "/api/v1/rejected", &[viewer], "").0, 403);
    assert_eq!(bench.request("GET", "/api/v1/rejected/0-0", &[viewer], "").0, 403);
    bench.stop();
}

/// A log whose oldest letters are gone by retention, and an archive that has them, three to a commit.
async fn with_old_letters(dir: &std::path::Path, log: &Log, letters: &[DeadLetter]) -> (Archive, u64) {
    for letter in letters {
        append_all(log, topics::REJECTED, vec![letter.encode()]).await;
    }
    let archive = Archive::open(dir.to_str().unwrap()).await.unwrap();
    let partition = PartitionId(0);
    let resume = archive.resume(topics::REJECTED, partition).await.unwrap();
    let mut writer = CommitWriter::new(&resume, NextOffset(0), RotationSettings::default());
    let bounds = log.bounds(topics::REJECTED, partition).await.unwrap();
    let settings = ConsumerSettings::default();
    let from = StartFrom::Offset(bounds.first);
    let mut scan = log.scan(topics::REJECTED, partition, from, bounds.end, settings).await.unwrap();
    while let Some(records) = scan.next().await.unwrap() {
        for record in records {
            let position = Position { partition, offset: record.offset, append_time: record.append_time };
            let letter = DeadLetter::decode(record.payload).unwrap();
            let id = LetterId { partition, offset: record.offset };
            let row = TableRow {
                network: String::new(),
                kind: "bad_json".to_owned(),
                id: id.to_string(),
                event_time: EventTime::from_micros(letter.ingest_time.as_micros()),
                ingest_time: letter.ingest_time,
                json: letter.to_archived(id),
                gateway: "gw".to_owned(),
                epoch: 1,
                seq: record.offset.0,
            };
            writer.append_row(&position, Dataset::Rejected, row).unwrap();
            if record.offset.0 % 3 == 2 {
                let commit = writer.seal().unwrap().unwrap();
                let _published = archive.publish(&commit).await.unwrap();
            }
        }
    }
    if let Some(commit) = writer.seal().unwrap() {
        let _published = archive.publish(&commit).await.unwrap();
    }
    log.trim(topics::REJECTED, partition, bounds.end).await.unwrap();
    let first = log.bounds(topics::REJECTED, partition).await.unwrap().first;
    (archive, first.0)
}

#[test]
fn behind_the_logs_retention_letters_are_listed_shown_and_requeued_from_the_archive() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let dir = tempfile::tempdir().unwrap();
    let mut settings = EmbeddedSettings::new(dir.path().join("log"));
    settings.segment_max_bytes = 2_048;
    let log = Log::open_embedded(settings).unwrap();
    let payload = format!("{{\"a\": {}", "1".repeat(400));
    let letters: Vec<DeadLetter> = (0..20)
        .map(|n| letter(&format!("heat/v1/town/st1/plc{n}"), &payload, "bad_json", "byte 1"))
        .collect();
    let metrics = Metrics::default();
    let (api, first) = runtime.block_on(async {
        log.ensure_topics(&product_topics(2, Retention::default())).await.unwrap();
        let (archive, first) = with_old_letters(&dir.path().join("archive"), &log, &letters).await;
        let raw = RawApi { letters_kept: Some(3), ..RawApi::default() };
        let deps = Deps { archive: Some(archive), ..deps(&log, &metrics) };
        (Api::build(super::settings(raw), deps).await.unwrap(), first)
    });
    assert!(first > 5, "some letters are gone from the log: it begins at {first}");
    let appender = runtime.block_on(log.appender(&[topics::INPUT], AppenderSettings::default())).unwrap();
    let address = api.address().unwrap();
    let shutdown = Shutdown::default();
    let stop = shutdown.clone();
    let running = runtime.spawn(async move { api.run(stop).await });
    let bench = Bench { runtime, log, appender, address, metrics, shutdown, running, dir };

    let page = bench.until("/api/v1/rejected", |page| page["items"].is_array());
    let all: Vec<String> = (0..20).rev().map(|offset| format!("0-{offset}")).collect();
    assert_eq!(ids(&page), all, "log and archive together, each letter once");
    let (mut found, mut cursor) = (Vec::new(), String::new());
    loop {
        let (_, page) = bench.get(&format!("/api/v1/rejected?limit=4{cursor}"));
        found.extend(ids(&page));
        let Some(next) = page["next"].as_str() else { break };
        cursor = format!("&cursor={next}");
    }
    assert_eq!(found, all, "page by page too");
    assert_eq!(ids(&bench.get("/api/v1/rejected?topic=heat/v1/town/st1/plc2").1), ["0-2"]);
    let (status, shown) = bench.get("/api/v1/rejected/0-2");
    assert_eq!((status, &shown["source"], &shown["payload"]), (200, &json!("archive"), &json!(payload)));
    let (_, answer) = bench.post("/api/v1/rejected/requeue", &json!({ "ids": ["0-2"] }).to_string());
    assert_eq!(answer["requeued"], json!(["0-2"]), "{answer}");
    assert_eq!(bench.requests("heat/v1/town/st1/plc2")[0].payload, payload);
    bench.stop();
}
