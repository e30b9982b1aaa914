//! The API over a real socket, on the embedded log.
#![expect(clippy::unwrap_used, reason = "what helps a test fails by panicking, too")]

use std::{
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::{SocketAddr, TcpStream},
    sync::Arc,
    time::Duration,
};

use bytes::Bytes;
use heat_api::{Api, BuildError, Deps, RawApi, Settings, json::HistoryPoint};
use heat_archive::Archive;
use heat_codec::envelope::{Draft, EnvelopeDecoder, encode_set};
use heat_detect::{DetectorState, DetectorStatus, NetworkStatus, Output, Refusal, RefusalReason};
use heat_log::{
    Appender, AppenderSettings, ConsumerSettings, EmbeddedSettings, Log, StartFrom,
    topics::{self, Retention, product_topics},
};
use heat_model::{
    AppendTime, Body, EventTime, GatewayId, IncidentId, Lane, NetworkId, Offset, PartitionId, Quality,
    QualityCode, Reading, SignalDecl,
    incident::{AlarmState, Change, ChangeKind, Class, Incident, IncidentEvent, WorkState},
    plant::{ModelLevel, PlantModel},
    record::{Action, Command, NextOffset, Origin},
};
use heat_runtime::{Clock, Shutdown, admin::Health, metrics::Metrics};
use serde_json::{Value, json};

#[path = "api/console.rs"]
mod console;
#[path = "api/desk.rs"]
mod desk;
#[path = "api/faults.rs"]
mod faults;
#[path = "api/follow_up.rs"]
mod follow_up;
#[path = "api/letters.rs"]
mod letters;
#[path = "api/users.rs"]
mod users;

const PATIENCE: Duration = Duration::from_secs(60);
const PAUSE: Duration = Duration::from_millis(5);
const NETWORK: &str = "town";

/// A running API on a log of its own.
struct Bench {
    runtime: tokio::runtime::Runtime,
    log: Log,
    appender: Appender,
    address: SocketAddr,
    metrics: Metrics,
    shutdown: Shutdown,
    running: tokio::task::JoinHandle<Result<(), heat_api::RunError>>,
    dir: tempfile::TempDir,
}

impl Bench {
    fn new() -> Self {
        Self::with(RawApi::default(), &[])
    }

    /// `before` is in the events' topic when the API starts.
    fn with(raw: RawApi, before: &[Output]) -> Self {
        Self::build(raw, before, false)
    }

    fn build(raw: RawApi, before: &[Output], with_archive: bool) -> Self {
        Self::of_plant(raw, before, with_archive, PlantModel::default())
    }

    fn of_plant(raw: RawApi, before: &[Output], with_archive: bool, plant: PlantModel) -> Self {
        Self::of(settings(raw), before, with_archive, plant)
    }

    /// Nobody plays the processor, and nobody waits for it.
    fn unanswered(before: &[Output]) -> Self {
        let settings = Settings { outcome_max_wait: Duration::ZERO, ..settings(RawApi::default()) };
        Self::of(settings, before, false, PlantModel::default())
    }

    /// Returns once the API has caught up with the log.
    fn of(settings: Settings, before: &[Output], with_archive: bool, plant: PlantModel) -> Self {
        let runtime = tokio::runtime::Runtime::new().unwrap();
        let dir = tempfile::tempdir().unwrap();
        let log = Log::open_embedded(EmbeddedSettings::new(dir.path().join("log"))).unwrap();
        let metrics = Metrics::default();
        let (appender, api, health) = runtime.block_on(async {
            log.ensure_topics(&product_topics(2, Retention::default())).await.unwrap();
            let topics = [topics::INPUT, topics::INCIDENTS, topics::INCIDENT_EVENTS];
            let appender = log.appender(&topics, AppenderSettings::default()).await.unwrap();
            for output in before {
                publish(&appender, output).await;
            }
            let mut deps = deps(&log, &metrics);
            deps.plant = Arc::new(plant);
            if with_archive {
                let folder = dir.path().join("archive");
                deps.archive = Some(Archive::open(folder.to_str().unwrap()).await.unwrap());
            }
            let health = deps.health.clone();
            (appender, Api::build(settings, deps).await.unwrap(), health)
        });
        let address = api.address().unwrap();
        let shutdown = Shutdown::default();
        let stop = shutdown.clone();
        let running = runtime.spawn(async move { api.run(stop).await });
        runtime.block_on(caught_up(&health));
        Self { runtime, log, appender, address, metrics, shutdown, running, dir }
    }

    fn request(&self, method: &str, path: &str, headers: &[(&str, &str)], body: &str) -> (u16, String) {
        let (status, _, body) = raw_request(self.address, method, path, headers, body);
        (status, body)
    }

    fn get(&self, path: &str) -> (u16, Value) {
        let (status, body) = self.request("GET", path, &[], "");
        (status, serde_json::from_str(&body).unwrap_or(Value::Null))
    }

    fn post(&self, path: &str, body: &str) -> (u16, Value) {
        let (status, body) = self.request("POST", path, &[("content-type", "application/json")], body);
        (status, serde_json::from_str(&body).unwrap())
    }

    /// Asks until the answer is as wanted.
    fn until(&self, path: &str, wanted: impl Fn(&Value) -> bool) -> Value {
        let clock = Clock;
        let begun = clock.instant();
        loop {
            let (_, answer) = self.get(path);
            if wanted(&answer) {
                return answer;
            }
            assert!(clock.instant().duration_since(begun) < PATIENCE, "{path} stays {answer}");
            self.pause();
        }
    }

    /// Between two questions, so that whoever asks again and again stays within the API's own limit.
    fn pause(&self) {
        self.runtime.block_on(async { tokio::time::sleep(PAUSE).await });
    }

    fn counts_an_acknowledgement(&self, outcome: &str) -> bool {
        let line = format!("heat_api_commands_total{{action=\"acknowledge\",outcome=\"{outcome}\"}} 1");
        self.metrics.render().contains(&line)
    }

    fn publish(&self, output: &Output) {
        self.runtime.block_on(publish(&self.appender, output));
    }

    fn send_reading(&self, site: &str, value: f64) {
        let now = Clock.now();
        let name = SignalDecl {
            name: "supply_temperature".parse().unwrap(),
            unit: "degC".into(),
            raw_unit: "degC".into(),
            scale: 1.0,
            offset: 0.0,
        };
        let set = encode_set(&site.parse().unwrap(), &"plc".parse().unwrap(), &[name]);
        let reading = Reading {
            signal: 0,
            event_time: EventTime::from_micros(now.as_micros()),
            raw: value,
            value,
            quality: Quality::Good,
            code: QualityCode::None,
        };
        let gateway: GatewayId = "gw".parse().unwrap();
        let draft = Draft::readings(&NETWORK.parse().unwrap(), now, set, Lane::Live, None, &[reading]);
        let payload = draft.encode(&gateway, 1, 0);
        self.runtime.block_on(append(&self.appender, topics::INPUT, payload));
    }

    /// Plays the processor for one command: waits for it in the input, answers by `answer`.
    fn answer_next_command(&self, answer: impl Fn(&Command, Offset) -> Output + Send + 'static) {
        let (log, appender) = (self.log.clone(), self.appender.clone());
        let _detached = self.runtime.spawn(async move {
            let partition = partition();
            let mut consumer = log
                .consumer(
                    topics::INPUT,
                    heat_log::Membership::Only(vec![partition]),
                    ConsumerSettings::default(),
                )
                .await
                .unwrap();
            let mut decoder = EnvelopeDecoder::default();
            loop {
                match consumer.next().await.unwrap() {
                    heat_log::LogEvent::Assigned(partition) => {
                        consumer.start(partition, StartFrom::Offset(NextOffset(0))).await.unwrap();
                    }
                    heat_log::LogEvent::Revoked(_) => {}
                    heat_log::LogEvent::Records { records, .. } => {
                        for record in records {
                            let envelope = decoder.decode(record.payload).unwrap();
                            if let Body::Command(command) = &envelope.body {
                                publish(&appender, &answer(command, record.offset)).await;
                                return;
                            }
                        }
                    }
                }
            }
        });
    }

    fn stop(self) {
        self.shutdown.begin();
        self.runtime
            .block_on(async { tokio::time::timeout(PATIENCE, self.running).await })
            .unwrap()
            .unwrap()
            .unwrap();
        drop(self.dir);
    }
}

/// With waits that no loaded machine outlasts.
fn settings(raw: RawApi) -> Settings {
    let raw = RawApi { address: Some("127.0.0.1:0".to_owned()), ..raw };
    let settings = Settings::from_raw(&raw).unwrap();
    Settings { durable_max_wait: PATIENCE, outcome_max_wait: PATIENCE, ..settings }
}

async fn caught_up(health: &Health) {
    let wait = async {
        while !health.unready().is_empty() {
            tokio::time::sleep(PAUSE).await;
        }
    };
    tokio::time::timeout(PATIENCE, wait).await.expect("the API catches up with the log");
}

fn deps(log: &Log, metrics: &Metrics) -> Deps {
    Deps {
        log: log.clone(),
        metrics: metrics.clone(),
        health: Health::default(),
        clock: Clock,
        plant: Arc::new(PlantModel::default()),
        archive: None,
        audit: Some(Arc::new(|| Box::pin(async { Ok(json!({ "balances": true })) }))),
    }
}

fn partition() -> PartitionId {
    heat_log::partition_of(NETWORK.as_bytes(), 2)
}

async fn append(appender: &Appender, topic: &str, payload: Bytes) {
    let key = Some(Bytes::from_static(NETWORK.as_bytes()));
    appender.append(topic, partition(), key, payload).await.unwrap();
    assert!(appender.flush(PATIENCE).await.unwrap());
}

async fn publish(appender: &Appender, output: &Output) {
    append(appender, topics::INCIDENT_EVENTS, serde_json::to_vec(output).unwrap().into()).await;
}

fn incident(number: u64, version: u32) -> Incident {
    let network: NetworkId = NETWORK.parse().unwrap();
    let origin = Origin { gateway: "g".parse().unwrap(), epoch: 1, seq: number };
    let micros = i64::try_from(number).unwrap() * 1_000_000;
    Incident {
        version,
        place: Some("P001".to_owned()),
        loss_kg_s: Some(3.5),
        strength: 9.0,
        level: ModelLevel::L2,
        text_zh: "爆管<script>alert(1)</script>".to_owned(),
        text_en: "burst <script>alert(1)</script>".to_owned(),
        ..Incident::new(
            IncidentId::derive(&network, &origin, 0),
            network,
            Class::Burst,
            EventTime::from_micros(micros),
            AppendTime::from_micros(micros),
        )
    }
}

fn opened(number: u64) -> Output {
    event(number, incident(number, 1), ChangeKind::Opened, "burst")
}

fn event(offset: u64, incident: Incident, kind: ChangeKind, by: &str) -> Output {
    Output::Event(IncidentEvent {
        input_offset: Offset(offset),
        ordinal: 0,
        at: incident.updated,
        change: Change { kind, by: by.to_owned(), reason: None },
        incident,
    })
}

/// One request on one connection: status, head, body.
fn raw_request(
    address: SocketAddr,
    method: &str,
    path: &str,
    headers: &[(&str, &str)],
    body: &str,
) -> (u16, String, String) {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    let mut head =
        format!("{method} {path} HTTP/1.1\r\nconnection: close\r\ncontent-length: {}\r\n", body.len());
    if !headers.iter().any(|(name, _)| *name == "host") {
        head.push_str(&format!("host: {address}\r\n"));
    }
    for (name, value) in headers {
        head.push_str(&format!("{name}: {value}\r\n"));
    }
    stream.write_all(format!("{head}\r\n").as_bytes()).unwrap();
    // A server that refuses early may close before it has read all.
    let _refused_early = stream.write_all(body.as_bytes());
    let mut answer = Vec::new();
    let _closed_hard = stream.read_to_end(&mut answer);
    let answer = String::from_utf8(answer).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").expect("an answer has a head");
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    (status, head.to_ascii_lowercase(), body.to_owned())
}

#[test]
fn signals_and_networks_show_what_came_and_page_through_it() {
    let bench = Bench::new();
    for (site, value) in [("st1", 81.5), ("st2", 82.5), ("st3", 83.5)] {
        bench.send_reading(site, value);
    }
    let page =
        bench.until("/api/v1/signals?limit=2", |page| page["next"] == "town/st2/plc/supply_temperature");
    assert_eq!(page["items"][0]["last"]["value"], 81.5);
    assert_eq!(page["items"][0]["last"]["current"], true);
    bench.until("/api/v1/signals?cursor=town%2Fst2%2Fplc%2Fsupply_temperature", |page| {
        page["items"].as_array().is_some_and(|items| items.len() == 1)
    });

    let status = NetworkStatus {
        network: NETWORK.parse().unwrap(),
        at: AppendTime::from_micros(5),
        level: ModelLevel::L1,
        detectors: vec![DetectorStatus {
            detector: "balance".to_owned(),
            state: DetectorState::Learning { seconds_left: 60 },
        }],
        seasons: Vec::new(),
    };
    bench.publish(&Output::Status(status));
    let network = bench.until("/api/v1/networks/town", |network| network["level"] == "L1");
    assert_eq!(network["sites"]["items"].as_array().unwrap().len(), 3);
    assert_eq!(network["detectors"][0]["state"]["learning"]["seconds_left"], 60);

    let (_, site) = bench.get("/api/v1/networks/town?limit=1&cursor=st1");
    assert_eq!((&site["sites"]["items"][0]["id"], &site["sites"]["next"]), (&json!("st2"), &json!("st2")));
    bench.stop();
}

#[test]
fn an_incident_that_the_log_no_longer_keeps_is_gone_from_list_page_and_city_feed() {
    let over = Incident { alarm: AlarmState::Cleared, ..incident(1, 2) };
    let open = opened(2);
    let bench = Bench::with(RawApi::default(), &[event(1, over.clone(), ChangeKind::Cleared, "burst"), open]);
    let ids = |page: &Value, items: &str| -> Vec<String> {
        let items = page[items].as_array().into_iter().flatten();
        items.filter_map(|item| item["id"].as_str().map(str::to_owned)).collect()
    };
    bench.until("/api/v1/incidents", |page| ids(page, "items").len() == 2);
    let key = Some(Bytes::from(over.id.to_string()));
    bench.runtime.block_on(async {
        bench.appender.append(topics::INCIDENTS, partition(), key, Bytes::new()).await.unwrap();
    });
    let kept = [incident(2, 1).id.to_string()];
    bench.until("/api/v1/incidents", |page| ids(page, "items") == kept);
    assert_eq!(bench.get(&format!("/api/v1/incidents/{}", over.id)).0, 404);
    let (status, city) = bench.get("/api/v1/feeds/city");
    assert_eq!((status, ids(&city, "incidents")), (200, kept.to_vec()), "{city}");
    bench.stop();
}

#[test]
fn an_acknowledgement_is_in_the_log_with_its_user_before_it_is_answered() {
    let bench = Bench::with(RawApi::default(), &[opened(1)]);
    let id = incident(1, 1).id;
    bench.until("/api/v1/incidents?state=open", |page| page["items"][0]["id"] == json!(id));
    bench.answer_next_command(move |command, offset| {
        assert_eq!(command.user, "local");
        assert_eq!(command.action, Action::Acknowledge { incident: id, version: Some(1) });
        let acknowledged = Incident { alarm: AlarmState::Acknowledged, ..incident(1, 2) };
        event(offset.0, acknowledged, ChangeKind::Acknowledged, &command.user)
    });

    let (status, answer) = bench.post(&format!("/api/v1/incidents/{id}/acknowledge"), "{\"version\":1}");

    assert_eq!((status, &answer["applied"]), (200, &json!(true)), "{answer}");
    assert_eq!(answer["incident"]["state"], "acknowledged");
    let (_, detail) = bench.get(&format!("/api/v1/incidents/{id}"));
    assert_eq!(detail["changes"][1]["kind"], "acknowledged");
    assert_eq!(detail["changes"][1]["by"], "local");
    bench.stop();
}

#[test]
fn a_stale_version_is_a_conflict() {
    let bench = Bench::with(RawApi::default(), &[opened(1)]);
    let id = incident(1, 1).id;
    bench.until("/api/v1/incidents", |page| page["items"][0]["id"] == json!(id));
    bench.answer_next_command(move |command, offset| {
        Output::Refused(Refusal {
            input_offset: offset,
            ordinal: 0,
            at: AppendTime::from_micros(0),
            network: Some(NETWORK.parse().unwrap()),
            incident: Some(id),
            user: Some(command.user.clone()),
            reason: RefusalReason::StaleVersion { seen: 1, current: 2 },
        })
    });

    let (status, problem) = bench.post(&format!("/api/v1/incidents/{id}/acknowledge"), "{\"version\":1}");

    assert_eq!(
        (status, &problem["type"]),
        (409, &json!("urn:heatstream:problem:stale-version")),
        "{problem}"
    );
    assert!(bench.counts_an_acknowledgement("refused"));
    bench.stop();
}

#[test]
fn an_unanswered_command_is_accepted() {
    let bench = Bench::unanswered(&[opened(1)]);
    let id = incident(1, 1).id;
    bench.until("/api/v1/incidents", |page| page["items"][0]["id"] == json!(id));

    let (status, answer) = bench.post(&format!("/api/v1/incidents/{id}/acknowledge"), "{}");

    assert_eq!((status, &answer["applied"]), (202, &json!(false)), "{answer}");
    assert!(bench.counts_an_acknowledgement("unanswered"));
    bench.stop();
}

#[test]
fn commands_are_numbered_without_holes() {
    let bench = Bench::unanswered(&[opened(1)]);
    let id = incident(1, 1).id;
    bench.until("/api/v1/incidents", |page| page["items"][0]["id"] == json!(id));
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| bench.post(&format!("/api/v1/incidents/{id}/work"), "{\"state\":\"dispatched\"}"));
        }
    });

    let seqs: Vec<u64> = bench.runtime.block_on(async {
        let end = bench.log.bounds(topics::INPUT, partition()).await.unwrap().end;
        let settings = ConsumerSettings::default();
        let mut scan =
            bench.log.scan(topics::INPUT, partition(), StartFrom::Beginning, end, settings).await.unwrap();
        let mut decoder = EnvelopeDecoder::default();
        let mut seqs = Vec::new();
        while let Some(records) = scan.next().await.unwrap() {
            for record in records {
                let envelope = decoder.decode(record.payload).unwrap();
                assert_eq!(envelope.origin.gateway.as_str(), "api-1");
                assert_eq!(envelope.messages, 0);
                seqs.push(envelope.origin.seq);
            }
        }
        seqs
    });
    assert_eq!(seqs, (0..8).collect::<Vec<_>>());
    bench.stop();
}

/// Method, path, headers, body, expected status.
type Case<'a> = (&'a str, String, &'a [(&'a str, &'a str)], &'a str, u16);

#[test]
fn every_error_is_a_problem() {
    let bench = Bench::with(RawApi::default(), &[opened(1)]);
    let id = incident(1, 1).id;
    bench.until("/api/v1/incidents", |page| page["items"][0]["id"] == json!(id));
    let acknowledge = format!("/api/v1/incidents/{id}/acknowledge");
    let big = format!("{{\"version\":{}}}", " ".repeat(70_000));
    let json_type = [("content-type", "application/json")];
    let cases: Vec<Case<'_>> = vec![
        ("GET", "/nowhere".to_owned(), &[], "", 404),
        ("GET", "/api/v1/../../etc/passwd".to_owned(), &[], "", 404),
        ("GET", "/api/v1/incidents/0000000000000000".to_owned(), &[], "", 404),
        ("GET", "/api/v1/incidents/xyz".to_owned(), &[], "", 400),
        ("GET", "/api/v1/networks/nobody".to_owned(), &[], "", 404),
        ("GET", "/api/v1/networks/a%2Fb".to_owned(), &[], "", 400),
        ("GET", "/api/v1/incidents?colour=red".to_owned(), &[], "", 400),
        ("GET", "/api/v1/incidents?state=angry".to_owned(), &[], "", 400),
        ("GET", "/api/v1/incidents?limit=0".to_owned(), &[], "", 400),
        ("GET", "/api/v1/incidents?since=2026-11-24T08:00:00".to_owned(), &[], "", 400),
        ("GET", "/api/v1/incidents?cursor=0000000000000000".to_owned(), &[], "", 404),
        ("GET", "/api/v1/incidents?cursor=first".to_owned(), &[], "", 400),
        ("GET", "/api/v1/signals/town%2Fst1/history".to_owned(), &[], "", 400),
        ("GET", "/api/v1/signals/town%2Fs%2Fd%2Fn/history".to_owned(), &[], "", 503),
        (
            "GET",
            "/api/v1/signals/town%2Fs%2Fd%2Fn/history?step=1ms&from=2020-01-01T00:00:00Z".to_owned(),
            &[],
            "",
            422,
        ),
        ("GET", "/api/v1/events".to_owned(), &[("last-event-id", "yesterday")], "", 400),
        ("DELETE", "/api/v1/incidents".to_owned(), &[], "", 405),
        ("POST", acknowledge.clone(), &[], "{}", 415),
        ("POST", acknowledge.clone(), &json_type, "{", 400),
        ("POST", acknowledge.clone(), &json_type, "{\"colour\":1}", 422),
        ("POST", acknowledge.clone(), &json_type, " [1]", 422),
        ("POST", acknowledge, &json_type, &big, 413),
        ("POST", "/api/v1/incidents/0000000000000000/unshelve".to_owned(), &json_type, "{}", 404),
        (
            "POST",
            "/api/v1/tickets".to_owned(),
            &json_type,
            "{\"id\":\"t\",\"telephone\":\"13800000000\"}",
            422,
        ),
        ("GET", "/api/v1/incidents".to_owned(), &[("host", "evil.example")], "", 403),
    ];
    for (method, path, headers, body, expected) in cases {
        let (status, head, answer) = raw_request(bench.address, method, &path, headers, body);
        assert_eq!(status, expected, "{method} {path}: {answer}");
        assert!(head.contains("content-type: application/problem+json"), "{method} {path}: {head}");
        let problem: Value = serde_json::from_str(&answer).unwrap();
        assert_eq!(problem["status"], expected, "{method} {path}");
        assert!(!answer.contains("13800000000"), "{answer}");
    }
    bench.stop();
}

#[test]
fn a_ticket_becomes_durable_without_its_number() {
    let bench = Bench::with(RawApi { ticket_text: true, ..RawApi::default() }, &[]);
    let ticket = json!({
        "id": "t-1", "time": "2026-11-24T08:00:00+08:00", "kind": "cold", "network": NETWORK,
        "text": "家里不热 13812345678"
    });

    let (status, answer) = bench.post("/api/v1/tickets", &ticket.to_string());

    assert_eq!((status, &answer["network"]), (202, &json!(NETWORK)), "{answer}");
    let text = bench.runtime.block_on(async {
        let bounds = bench.log.bounds(topics::INPUT, partition()).await.unwrap();
        let settings = ConsumerSettings::default();
        let mut scan = bench
            .log
            .scan(topics::INPUT, partition(), StartFrom::Beginning, bounds.end, settings)
            .await
            .unwrap();
        let record = scan.next().await.unwrap().unwrap().remove(0);
        let Body::Ticket(ticket) = EnvelopeDecoder::default().decode(record.payload).unwrap().body else {
            panic!("the record is not a ticket")
        };
        ticket.text.unwrap()
    });
    assert!(text.starts_with("家里不热") && !text.contains("13812345678"), "{text}");
    bench.stop();
}

#[test]
fn events_arrive_and_a_client_resumes_behind_its_last() {
    let bench = Bench::with(RawApi::default(), &[opened(1), opened(2), opened(3)]);
    bench.until("/api/v1/incidents", |page| page["items"].as_array().is_some_and(|items| items.len() == 3));
    let partition = partition().0;
    let last = format!("{partition}:1:0");

    let mut lines = open_events(&bench, &[("last-event-id", &last)]);
    assert_eq!(next_id(&mut lines), format!("{partition}:2:0"));
    assert_eq!(next_id(&mut lines), format!("{partition}:3:0"));
    bench.publish(&opened(4));
    assert_eq!(next_id(&mut lines), format!("{partition}:4:0"));

    bench.stop();
    assert!(lines.all(|line| line.is_ok()), "the stream ends in order");
}

type Lines = std::io::Lines<BufReader<TcpStream>>;

/// Opens the stream and reads the first line of its head.
fn open_events(bench: &Bench, headers: &[(&str, &str)]) -> Lines {
    let mut stream = TcpStream::connect(bench.address).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    let mut head = format!("GET /api/v1/events HTTP/1.1\r\nhost: {}\r\n", bench.address);
    for (name, value) in headers {
        head.push_str(&format!("{name}: {value}\r\n"));
    }
    stream.write_all(format!("{head}\r\n").as_bytes()).unwrap();
    let mut lines = BufReader::new(stream).lines();
    let status = lines.next().unwrap().unwrap();
    assert!(status.contains("200"), "{status}");
    lines
}

fn next_id(lines: &mut Lines) -> String {
    let line = lines.map(Result::unwrap).find(|line| line.starts_with("id: ")).unwrap();
    line.trim_start_matches("id: ").to_owned()
}

#[test]
fn with_users_a_token_is_needed_and_its_role_holds() {
    let dir = tempfile::tempdir().unwrap();
    let tokens = dir.path().join("tokens");
    // SHA-256 of "abc" (FIPS 180-4) and of "hello".
    std::fs::write(
        &tokens,
        "duty viewer ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad\n\
         city city-centre 2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824\n",
    )
    .unwrap();
    let bench = Bench::with(RawApi { tokens_file: Some(tokens), ..RawApi::default() }, &[opened(1)]);
    let id = incident(1, 1).id;
    let (list, acknowledge) = ("/api/v1/incidents", format!("/api/v1/incidents/{id}/acknowledge"));
    let viewer = ("authorization", "Bearer abc");
    let json_type = ("content-type", "application/json");

    assert_eq!(bench.request("GET", list, &[], "").0, 401);
    assert_eq!(bench.request("GET", list, &[("authorization", "Bearer abd")], "").0, 401);
    assert_eq!(bench.request("GET", list, &[viewer], "").0, 200);
    assert_eq!(bench.request("POST", &acknowledge, &[viewer, json_type], "{}").0, 403);
    assert_eq!(bench.request("GET", list, &[("authorization", "Bearer hello")], "").0, 403);
    assert_eq!(bench.request("GET", "/api/v1/openapi.json", &[("authorization", "Bearer hello")], "").0, 200);
    bench.stop();
}

#[test]
fn a_tokens_file_without_users_is_refused() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let dir = tempfile::tempdir().unwrap();
    let tokens = dir.path().join("tokens");
    std::fs::write(&tokens, "# nobody\n").unwrap();
    let log = Log::open_embedded(EmbeddedSettings::new(dir.path().join("log"))).unwrap();
    let raw =
        RawApi { address: Some("0.0.0.0:0".to_owned()), tokens_file: Some(tokens), ..RawApi::default() };

    let settings = Settings::from_raw(&raw).unwrap();
    let built = runtime.block_on(Api::build(settings, deps(&log, &Metrics::default())));

    assert!(matches!(built, Err(BuildError::NoUsers { .. })), "{built:?}");
}

#[test]
fn the_audit_and_the_document_are_served() {
    let bench = Bench::new();
    assert_eq!(bench.get("/api/v1/audit"), (200, json!({ "balances": true })));
    let (status, document) = bench.get("/api/v1/openapi.json");
    assert_eq!((status, &document["openapi"]), (200, &json!("3.1.0")));
    bench.stop();
}

#[test]
fn history_is_read_from_the_archive_and_its_bounds_are_said() {
    let bench = Bench::build(RawApi::default(), &[], true);
    let path = "/api/v1/signals/town%2Fst1%2Fplc%2Fsupply_temperature/history";

    let query = "?from=2026-11-24T08:00:00%2B08:00&to=2026-11-24T01:00:00Z&step=5min";
    let (status, history) = bench.get(&format!("{path}{query}"));
    assert_eq!((status, &history["points"]), (200, &json!([])), "{history}");
    assert_eq!((&history["from"], &history["step_seconds"]), (&json!("2026-11-24T00:00:00Z"), &json!(300.0)));

    let (status, problem) = bench.get(&format!("{path}?from=2026-11-24T00:00:00Z&to=2026-11-23T00:00:00Z"));
    assert_eq!((status, &problem["status"]), (422, &json!(422)));
    bench.stop();
}

#[test]
fn a_point_of_history_is_read_as_it_is_written() {
    let text = "{\"time\":\"2026-11-24T00:00:00Z\",\"mean\":1.0,\"min\":0.5,\"max\":1.5,\"count\":2}";
    let point: HistoryPoint = serde_json::from_str(text).unwrap();
    assert!(matches!(point, HistoryPoint::Bucket { count: 2, .. }));
    assert_eq!(serde_json::to_string(&point).unwrap(), text);
}
