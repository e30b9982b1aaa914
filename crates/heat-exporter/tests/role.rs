//! The exporter on the embedded log: what is appended is scraped, also after a restart.
#![expect(clippy::unwrap_used, reason = "what helps a test fails by panicking, too")]

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use heat_codec::envelope::{Draft, encode_set};
use heat_exporter::{Deps, Exporter, RawExporter, Settings, pager::RawAlertmanager};
use heat_log::{
    Appender, AppenderSettings, EmbeddedSettings, Log,
    topics::{self, Retention, product_topics},
};
use heat_model::{
    AppendTime, Body, EventTime, GatewayId, IncidentId, Lane, NetworkId, PartitionId, Quality, QualityCode,
    Reading, SignalDecl,
    incident::{AlarmState, Class, Incident},
    plant::PlantModel,
    record::{Heartbeat, Origin},
};
use heat_runtime::{Clock, Shutdown, admin::Health, metrics::Metrics};
use heat_tests::{
    free_port,
    watch::{Delivery, Webhook},
};

const PATIENCE: Duration = Duration::from_secs(60);
const PARTITION: PartitionId = PartitionId(1);

async fn append(appender: &Appender, topic: &str, payload: Bytes) {
    appender.append(topic, PARTITION, Some(Bytes::from_static(b"town")), payload).await.unwrap();
    assert!(appender.flush(PATIENCE).await.unwrap());
}

async fn send_reading(appender: &Appender, value: f64) {
    let now = Clock.now();
    let network: NetworkId = "town".parse().unwrap();
    let signal = SignalDecl {
        name: "primary_supply_temperature".parse().unwrap(),
        unit: "degC".into(),
        raw_unit: "degC".into(),
        scale: 1.0,
        offset: 0.0,
    };
    let set = encode_set(&"st1".parse().unwrap(), &"plc".parse().unwrap(), &[signal]);
    let reading = Reading {
        signal: 0,
        event_time: EventTime::from_micros(now.as_micros()),
        raw: value,
        value,
        quality: Quality::Good,
        code: QualityCode::None,
    };
    let draft = Draft::readings(&network, now, set, Lane::Live, None, &[reading]);
    append(appender, topics::INPUT, draft.encode(&"gw".parse().unwrap(), 1, 0)).await;
}

fn incident() -> Incident {
    let network: NetworkId = "town".parse().unwrap();
    let gateway: GatewayId = "gw".parse().unwrap();
    Incident {
        version: 1,
        ..Incident::new(
            IncidentId::derive(&network, &Origin { gateway, epoch: 1, seq: 0 }, 0),
            network,
            Class::Burst,
            EventTime::from_micros(0),
            AppendTime::from_micros(0),
        )
    }
}

/// One run of the role: scrapes until the text holds all that is wanted, then drains it.
async fn scrape_until(log: &Log, wanted: &[&str]) -> String {
    let has_all = |text: &str| wanted.iter().all(|wanted| text.contains(wanted));
    scrape_with(RawExporter::default(), log, has_all, async {}).await
}

/// The same with these settings, and with something to do meanwhile.
async fn scrape_with(
    raw: RawExporter,
    log: &Log,
    is_wanted: impl Fn(&str) -> bool,
    meanwhile: impl Future<Output = ()>,
) -> String {
    let (metrics, health, shutdown) = (Metrics::default(), Health::default(), Shutdown::default());
    let deps = Deps {
        log: log.clone(),
        metrics: metrics.clone(),
        health: health.clone(),
        clock: Clock,
        plant: Arc::new(PlantModel::default()),
    };
    let settings = Settings::from_raw(&raw).unwrap();
    let exporter = Exporter::build(settings, deps).await.unwrap();
    let scraping = async {
        meanwhile.await;
        loop {
            let text = metrics.render();
            if is_wanted(&text) && health.unready().is_empty() {
                shutdown.begin();
                return text;
            }
            tokio::task::yield_now().await;
        }
    };
    let both = async { tokio::join!(exporter.run(shutdown.clone()), scraping) };
    let (ended, text) = tokio::time::timeout(PATIENCE, both).await.expect("what is wanted appears");
    ended.unwrap();
    text
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_in_the_log_is_scraped_and_is_there_again_after_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    let log = Log::open_embedded(EmbeddedSettings::new(dir.path().join("log"))).unwrap();
    log.ensure_topics(&product_topics(2, Retention::default())).await.unwrap();
    let topics = [topics::INPUT, topics::INCIDENTS, topics::INCIDENT_EVENTS];
    let appender = log.appender(&topics, AppenderSettings::default()).await.unwrap();
    send_reading(&appender, 81.25).await;
    append(&appender, topics::INPUT, Bytes::from_static(b"\xff\xff not an envelope")).await;
    let beat = Draft::of(None, Clock.now(), 0, &Body::Heartbeat(Heartbeat::default()));
    append(&appender, topics::INPUT, beat.encode(&"gw".parse().unwrap(), 1, 1)).await;
    append(&appender, topics::INCIDENTS, serde_json::to_vec(&incident()).unwrap().into()).await;

    // One that is over, and then no longer kept.
    let over = Incident { alarm: AlarmState::Cleared, id: "00000000000000ff".parse().unwrap(), ..incident() };
    for payload in [serde_json::to_vec(&over).unwrap(), Vec::new()] {
        let key = Some(Bytes::from(over.id.to_string()));
        appender.append(topics::INCIDENTS, PARTITION, key, payload.into()).await.unwrap();
    }

    let value = "heat_supply_temperature_celsius{network=\"town\",site=\"st1\",device=\"plc\",circuit=\"primary\"} 81.25\n";
    let wanted = [
        value,
        "heat_incidents_active{network=\"town\",class=\"burst\",priority=\"P1\",state=\"unacknowledged\"} 1\n",
        "heat_exporter_records_total{outcome=\"undecodable\",topic=\"heat.input.v1\"} 1\n",
        "heat_exporter_records_total{outcome=\"applied\",topic=\"heat.incidents.v1\"} 3\n",
        "heat_exporter_incidents 1\n",
        "heat_pipeline_heartbeat_age_seconds{partition=\"1\"}",
    ];
    for _restart in 0..2 {
        let text = scrape_until(&log, &wanted).await;
        assert_eq!(text.matches(value).count(), 1);
    }
    log.close(PATIENCE).await;
}

/// Waits, without holding up the role, until the server received what is looked for.
async fn received(server: &Webhook, what: &str, is_it: impl Fn(&Delivery) -> bool) -> Delivery {
    let looking = async {
        loop {
            if let Some(delivery) = server.deliveries().into_iter().find(|delivery| is_it(delivery)) {
                return delivery;
            }
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(PATIENCE, looking).await.unwrap_or_else(|_| panic!("never received: {what}"))
}

#[tokio::test(flavor = "multi_thread")]
async fn an_incident_waits_for_an_alertmanager_that_is_away_and_an_acknowledged_one_is_silenced() {
    let dir = tempfile::tempdir().unwrap();
    let log = Log::open_embedded(EmbeddedSettings::new(dir.path().join("log"))).unwrap();
    log.ensure_topics(&product_topics(2, Retention::default())).await.unwrap();
    let topics = [topics::INPUT, topics::INCIDENTS, topics::INCIDENT_EVENTS];
    let appender = log.appender(&topics, AppenderSettings::default()).await.unwrap();
    let port = free_port();
    let url = format!("http://127.0.0.1:{port}");
    let alertmanager = RawAlertmanager { urls: vec![url.clone()], ..RawAlertmanager::default() };
    let raw = RawExporter { alertmanager: Some(alertmanager), ..RawExporter::default() };
    append(&appender, topics::INCIDENTS, serde_json::to_vec(&incident()).unwrap().into()).await;
    let failed =
        format!("heat_exporter_alertmanager_posts_total{{alertmanager=\"{url}\",outcome=\"failed\"}} ");
    let waiting = format!("heat_exporter_alertmanager_waiting_alerts{{alertmanager=\"{url}\"}} 1\n");
    let is_waiting = |text: &str| {
        let count = text.lines().find_map(|line| line.strip_prefix(failed.as_str()));
        text.contains(&waiting) && count.is_some_and(|count| count.parse::<u64>().unwrap() >= 2)
    };
    scrape_with(raw.clone(), &log, is_waiting, async {}).await;

    let server = Webhook::at(port);
    let id = incident().id.to_string();
    let told = async {
        let alert = received(&server, "the alert", |delivery| delivery.path == "/api/v2/alerts").await;
        assert_eq!(alert.body[0]["labels"]["incident"], id.as_str(), "{alert:?}");
        let mut seen = incident();
        seen.version = 2;
        seen.alarm = AlarmState::Acknowledged;
        append(&appender, topics::INCIDENTS, serde_json::to_vec(&seen).unwrap().into()).await;
        let is_set = |delivery: &Delivery| delivery.path == "/api/v2/silences" && delivery.method == "POST";
        let silence = received(&server, "the silence", is_set).await;
        assert_eq!(silence.body["matchers"][1]["value"], id.as_str(), "{silence:?}");
        assert_eq!(silence.body["comment"], "acknowledged in heatstream");

        // This one forgets its silences, as an Alertmanager does that comes back without its data.
        seen.version = 3;
        seen.text_en = "larger than at first".to_owned();
        append(&appender, topics::INCIDENTS, serde_json::to_vec(&seen).unwrap().into()).await;
        let is_update =
            |delivery: &Delivery| delivery.body[0]["annotations"]["description"] == seen.text_en.as_str();
        received(&server, "what has changed", is_update).await;
        let before: Vec<Delivery> =
            server.deliveries().into_iter().take_while(|delivery| !is_update(delivery)).collect();
        assert_eq!(
            before.iter().filter(|delivery| is_set(delivery)).count(),
            2,
            "silenced first: {before:?}"
        );
    };
    let none_waits = format!("heat_exporter_alertmanager_waiting_alerts{{alertmanager=\"{url}\"}} 0\n");
    let created = format!("act=\"created\",alertmanager=\"{url}\"}} 2\n");
    scrape_with(raw, &log, |text| text.contains(&none_waits) && text.contains(&created), told).await;
    log.close(PATIENCE).await;
}
