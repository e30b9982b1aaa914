//! Tickets, repairs, maintenance, seasons, and the city's feed.

use heat_detect::SeasonSuggestion;
use heat_model::plant::{Circuit, Network, Pipe, PlantModel, SeasonPlan, SeasonState, Side, Site, SiteKind};

use super::*;

/// A station and a home in it, one pipe, one circuit.
pub(crate) fn plant() -> PlantModel {
    let site = |id: &str, kind, parent: Option<&str>, name: Option<&str>| Site {
        network: Some(NETWORK.parse().unwrap()),
        kind: Some(kind),
        parent: parent.map(|id| id.parse().unwrap()),
        name: name.map(str::to_owned),
        ..Site::new(id.parse().unwrap())
    };
    PlantModel {
        networks: vec![Network {
            id: NETWORK.parse().unwrap(),
            name: Some("Town".to_owned()),
            medium: None,
            time_zone: Some("Asia/Shanghai".to_owned()),
            operator: Some("North Heat".to_owned()),
            district: Some("Daoli".to_owned()),
        }],
        circuits: vec![Circuit::new("primary".parse().unwrap(), NETWORK.parse().unwrap())],
        sites: vec![
            site("st1", SiteKind::Station, None, Some("和平小区")),
            site("flat-12-3", SiteKind::Household, Some("st1"), None),
        ],
        pipes: vec![Pipe {
            length_m: Some(80.0),
            inner_diameter_mm: Some(200.0),
            side: Some(Side::Return),
            ..Pipe::new(
                "P001".parse().unwrap(),
                "primary".parse().unwrap(),
                "n1".parse().unwrap(),
                "n2".parse().unwrap(),
            )
        }],
        ..PlantModel::default()
    }
}

/// It affects `st1` and began a minute ago.
fn a_burst() -> Incident {
    let now = Clock.now().as_micros();
    Incident {
        onset: EventTime::from_micros(now - 60_000_000),
        opened: AppendTime::from_micros(now - 59_000_000),
        updated: AppendTime::from_micros(now - 59_000_000),
        affected: vec!["st1".parse().unwrap()],
        ..incident(1, 1)
    }
}

/// A bench with that burst.
pub(crate) fn bench() -> (Bench, Incident) {
    let burst = a_burst();
    let opened = event(1, burst.clone(), ChangeKind::Opened, "burst");
    let bench = Bench::of_plant(RawApi { ticket_text: true, ..RawApi::default() }, &[opened], false, plant());
    bench.until("/api/v1/incidents", |page| page["items"].as_array().is_some_and(|items| !items.is_empty()));
    (bench, burst)
}

pub(crate) fn rfc3339(micros: i64) -> String {
    heat_api::json::ApiTime::from_micros(micros).to_string()
}

#[test]
fn a_ticket_is_linked_answered_by_the_hotlines_number_and_shown_without_number_home_or_script() {
    let (bench, burst) = bench();
    let ticket = json!({
        "id": "T1", "external_id": "12345-9", "time": rfc3339(Clock.now().as_micros()), "kind": "cold",
        "site": "flat-12-3", "text": "<script>alert(1)</script> call 13800138000",
    });
    let (status, answer) = bench.post("/api/v1/tickets", &ticket.to_string());
    assert_eq!((status, &answer["network"]), (202, &json!(NETWORK)), "{answer}");

    let page = bench.until("/api/v1/tickets?external_id=12345-9", |page| page["items"][0]["id"] == "T1");
    let found = &page["items"][0];
    assert_eq!((&found["status"], &found["site"]), (&json!("known"), &json!("st1")), "{found}");
    assert_eq!(found["incidents"][0]["incident"], json!(burst.id));
    assert_eq!(found["incidents"][0]["by"], "site");
    assert!(found["answer_zh"].as_str().unwrap().contains("抢修"), "{found}");
    let (_, detail) = bench.get(&format!("/api/v1/incidents/{}", burst.id));
    assert_eq!(detail["tickets"], json!(["T1"]));

    let (_, html) = bench.request("GET", "/tickets", &[], "");
    for secret in ["138001", "flat-12-3", "<script>"] {
        assert!(!html.contains(secret), "{html}");
    }
    assert!(html.contains("和平小区"), "{html}");
    bench.stop();
}

#[test]
fn a_ticket_for_a_network_or_site_that_the_plant_does_not_have_is_refused_with_the_place() {
    let (bench, _) = bench();
    let ticket = |network: &str, site: Value| {
        let ticket = json!({ "id": "T1", "time": 1, "kind": "cold", "network": network, "site": site });
        bench.post("/api/v1/tickets", &ticket.to_string())
    };
    for (network, site, place) in
        [("twon", Value::Null, "network: "), ("town", json!("st9"), "site: "), ("village", json!("st1"), "")]
    {
        let (status, problem) = ticket(network, site);
        assert_eq!(status, 422, "{problem}");
        assert!(problem["detail"].as_str().unwrap().starts_with(place), "{problem}");
    }
    let form = "kind=cold&network=town&site=st9&area=&external_id=&text=";
    let (status, _, page) = raw_request(
        bench.address,
        "POST",
        "/tickets",
        &[("content-type", "application/x-www-form-urlencoded")],
        form,
    );
    assert_eq!(status, 422);
    assert!(page.contains("站点编号：该热网中没有这个站点，请核对编号"), "{page}");
    // A home is in the plant model; a new meter sends before anybody has entered it there.
    assert_eq!(ticket("town", json!("flat-12-3")).0, 202);
    bench.send_reading("st9", 80.0);
    bench.until("/api/v1/signals", |page| page["items"].as_array().is_some_and(|items| !items.is_empty()));
    assert_eq!(ticket("town", json!("st9")).0, 202);
    bench.stop();
}

#[test]
fn tickets_page_through_newest_first() {
    let (bench, _) = bench();
    for number in 1..=3 {
        let ticket = json!({ "id": format!("T{number}"), "time": number, "kind": "noise" });
        assert_eq!(bench.post("/api/v1/tickets", &ticket.to_string()).0, 202);
    }
    let page = bench.until("/api/v1/tickets?limit=2", |page| page["next"] == "town/T2");
    assert_eq!(page["items"][0]["id"], "T3");
    let (_, rest) = bench.get("/api/v1/tickets?limit=2&cursor=town%2FT2");
    assert_eq!(rest["items"].as_array().unwrap().len(), 1, "{rest}");
    assert_eq!(bench.get("/api/v1/tickets?cursor=nowhere").0, 400);
    bench.stop();
}

#[test]
fn what_a_crew_found_is_kept_with_the_incident_and_exported_as_a_label() {
    let (bench, burst) = bench();
    let repaired = Incident {
        version: 2,
        work: WorkState::Repaired,
        alarm: AlarmState::AwaitingVerification,
        ..burst.clone()
    };
    bench.answer_next_command(move |_, offset| {
        event(offset.0, repaired.clone(), ChangeKind::Repaired, "local")
    });
    let path = format!("/api/v1/incidents/{}/repaired", burst.id);
    let body = json!({ "pipe": "P001", "location": "by the bridge", "cause": "weld", "size_kg_s": 12.5 });
    let (status, answer) = bench.post(&path, &body.to_string());
    assert_eq!(status, 200, "{answer}");
    let path = format!("/api/v1/incidents/{}", burst.id);
    let detail = bench.until(&path, |detail| detail["repair"]["pipe"] == "P001");
    assert_eq!((&detail["repair"]["cause"], &detail["repair"]["by"]), (&json!("weld"), &json!("local")));
    let steps = detail["work_steps"].as_array().unwrap();
    assert!(steps.iter().any(|step| step["state"] == "on_site" && step["due"].is_string()), "{detail}");

    let (_, csv) = bench.request("GET", "/api/v1/repairs.csv", &[], "");
    let labels = heat_codec::labels::read(&csv).unwrap();
    assert_eq!((labels.len(), labels[0].place.as_str(), labels[0].side.as_str()), (1, "P001", "return"));
    assert_eq!(labels[0].size_kg_s, Some(12.5));
    assert_eq!((labels[0].class.as_str(), labels[0].start), ("burst", burst.onset));

    let (status, problem) =
        bench.post(&format!("/api/v1/incidents/{}/repaired", burst.id), "{\"pipe\":\"P999\"}");
    assert_eq!(status, 422, "ground truth names pipes that exist: {problem}");
    bench.stop();
}

#[test]
fn the_hotline_learns_of_repair_closing_and_follow_up_by_asking_what_changed() {
    let (bench, burst) = bench();
    let now = Clock.now().as_micros();
    let ticket = json!({ "id": "T1", "time": rfc3339(now), "kind": "cold", "site": "st1" });
    assert_eq!(bench.post("/api/v1/tickets", &ticket.to_string()).0, 202);
    let received = |page: &Value| page["items"][0]["updated"].as_str().map(str::to_owned);
    let page = bench.until("/api/v1/tickets", |page| received(page).is_some());
    assert_eq!((&page["items"][0]["verified"], &page["items"][0]["closed"]), (&Value::Null, &Value::Null));
    let first = received(&page).unwrap();
    let later = rfc3339(now + 3_600_000_000);
    let nothing = bench.get(&format!("/api/v1/tickets?changed_since={later}")).1;
    assert_eq!(nothing["items"], json!([]));

    let repaired = Incident {
        version: 2,
        work: WorkState::Repaired,
        alarm: AlarmState::AwaitingVerification,
        ..burst.clone()
    };
    let state = repaired.clone();
    bench.answer_next_command(move |_, offset| event(offset.0, state.clone(), ChangeKind::Repaired, "local"));
    assert_eq!(bench.post(&format!("/api/v1/incidents/{}/repaired", burst.id), "{}").0, 200);
    let page = bench.until("/api/v1/tickets", |page| page["items"][0]["status"] == "repaired");
    let item = &page["items"][0];
    assert_eq!((&item["verified"], &item["closed"]), (&json!(false), &Value::Null), "{item}");
    assert!(item["repaired_at"].as_str() >= Some(first.as_str()), "{item}");

    let at = AppendTime::from_micros(now + 7_200_000_000);
    let over =
        Incident { version: 3, alarm: AlarmState::Cleared, updated: at, cleared: Some(at), ..repaired };
    bench.publish(&event(9, over, ChangeKind::Verified, "burst"));
    let page = bench.until(&format!("/api/v1/tickets?changed_since={later}"), |page| {
        page["items"].as_array().is_some_and(|items| !items.is_empty())
    });
    let item = &page["items"][0];
    assert_eq!((&item["status"], &item["verified"]), (&json!("resolved"), &json!(true)), "{item}");
    assert_eq!((&item["closed"], &item["updated"]), (&json!(rfc3339(at.as_micros())), &item["closed"]));
    bench.stop();
}

#[test]
fn a_maintenance_window_is_begun_listed_ended_and_checked() {
    let (bench, _) = bench();
    let path = "/api/v1/networks/town/maintenance";
    let until = rfc3339(Clock.now().as_micros() + 3_600_000_000);
    let window = json!({ "id": "valve 7", "place": "st1", "until": until, "reason": "new valve" });
    assert_eq!(bench.post(path, &window.to_string()).0, 202);
    let list = bench.until("/api/v1/maintenance", |page| page["items"][0]["id"] == "valve 7");
    assert_eq!((&list["items"][0]["by"], &list["items"][0]["place"]), (&json!("local"), &json!("st1")));
    let (_, html) = bench.request("GET", "/networks/town", &[("accept-language", "en")], "");
    assert!(html.contains("new valve"), "{html}");

    assert_eq!(bench.post(&format!("{path}/valve%207/end"), "{}").0, 202);
    bench.until("/api/v1/maintenance", |page| page["items"].as_array().is_some_and(Vec::is_empty));
    assert_eq!(bench.post(&format!("{path}/valve%207/end"), "{}").0, 404);

    let far = rfc3339(Clock.now().as_micros() + 31 * 24 * 3_600_000_000);
    for (changed, value) in [
        ("until", json!(far)),
        ("until", json!(rfc3339(0))),
        ("place", json!("st9")),
        ("reason", json!(" ")),
        ("id", json!("a/b")),
    ] {
        let mut faulty = window.clone();
        faulty[changed] = value;
        let (status, problem) = bench.post(path, &faulty.to_string());
        assert_eq!(status, 422, "{problem}");
        assert!(problem["detail"].as_str().unwrap().starts_with(changed), "{problem}");
    }
    assert_eq!(bench.post("/api/v1/networks/nowhere/maintenance", &window.to_string()).0, 404);
    bench.stop();
}

#[test]
fn a_circuits_season_is_on_the_log_and_shown_with_its_network() {
    let (bench, _) = bench();
    assert_eq!(bench.post("/api/v1/circuits/primary/season", "{\"state\":\"filling\"}").0, 202);
    let network = bench
        .until("/api/v1/networks/town", |network| network["circuits"][0]["season"]["state"] == "filling");
    assert_eq!(network["circuits"][0]["season"]["by"], "local");
    assert_eq!(bench.post("/api/v1/circuits/primary/season", "{\"state\":\"hot\"}").0, 422);
    assert_eq!(bench.post("/api/v1/circuits/other/season", "{\"state\":\"off\"}").0, 404);
    bench.stop();
}

#[test]
fn the_calendar_gives_a_circuit_its_season_until_somebody_commands_another_and_the_data_suggest_one() {
    let yesterday = EventTime::from_micros(Clock.now().as_micros() - 86_400_000_000);
    let tomorrow = EventTime::from_micros(Clock.now().as_micros() + 86_400_000_000);
    let row = |state, from| SeasonPlan { network: NETWORK.parse().unwrap(), circuit: None, state, from };
    let seasons = vec![row(SeasonState::Heating, yesterday), row(SeasonState::ShuttingDown, tomorrow)];
    let bench = Bench::of_plant(RawApi::default(), &[], false, PlantModel { seasons, ..plant() });
    let (_, network) = bench.get("/api/v1/networks/town");
    let circuit = &network["circuits"][0];
    assert_eq!((&circuit["medium"], &circuit["season"]["state"]), (&json!("water"), &json!("heating")));
    assert_eq!((&circuit["season"]["source"], circuit["season"].get("by")), (&json!("calendar"), None));

    let suggestion = SeasonSuggestion {
        circuit: Some("primary".parse().unwrap()),
        state: SeasonState::Heating,
        suggested: SeasonState::WetLayup,
        since: yesterday,
    };
    bench.publish(&Output::Status(NetworkStatus {
        network: NETWORK.parse().unwrap(),
        at: AppendTime::from_micros(5),
        level: ModelLevel::L1,
        detectors: Vec::new(),
        seasons: vec![suggestion],
    }));
    bench.until("/api/v1/networks/town", |network| {
        network["circuits"][0]["suggested"]["state"] == "wet_layup"
            && network["circuits"][0]["season"]["state"] == "heating"
    });
    let (_, page) = bench.request("GET", "/networks/town", &[("accept-language", "en")], "");
    assert!(page.contains("heatstream season primary wet_layup") && page.contains("calendar"), "{page}");

    assert_eq!(bench.post("/api/v1/circuits/primary/season", "{\"state\":\"wet_layup\"}").0, 202);
    let network = bench
        .until("/api/v1/networks/town", |network| network["circuits"][0]["season"]["source"] == "command");
    assert_eq!(network["circuits"][0].get("suggested"), None, "it is answered");
    bench.stop();
}

#[test]
fn the_citys_feed_has_freshness_on_every_value_and_tells_of_incidents() {
    let (bench, burst) = bench();
    bench.send_reading("st1", 81.5);
    bench.send_reading("flat-12-3", 19.0);
    let feed = bench.until("/api/v1/feeds/city", |feed| {
        feed["networks"][0]["sites"][0]["values"]["supply_temperature"].is_object()
    });
    let network = &feed["networks"][0];
    assert_eq!(network["sites"][0]["id"], "st1");
    assert_eq!((network["sites"].as_array().unwrap().len(), &network["incidents_open"]), (1, &json!(1)));
    let value = &network["sites"][0]["values"]["supply_temperature"];
    assert_eq!((&value["value"], &value["current"]), (&json!(81.5), &json!(true)), "{value}");
    assert!(value["age_seconds"].as_f64().unwrap() < 60.0 && value["time"].is_string(), "{value}");
    assert_eq!(feed["incidents"][0]["id"], json!(burst.id));
    let (_, none) = bench.get("/api/v1/feeds/city?operator=South%20Heat");
    assert_eq!((&none["networks"], &none["incidents"]), (&json!([]), &json!([])));

    let mut stream = TcpStream::connect(bench.address).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    let head = format!(
        "GET /api/v1/feeds/city HTTP/1.1\r\nhost: {}\r\naccept: text/event-stream\r\n\r\n",
        bench.address
    );
    stream.write_all(head.as_bytes()).unwrap();
    let mut lines = BufReader::new(stream).lines().map(Result::unwrap);
    assert!(lines.any(|line| line == "event: state"));
    let closed = Incident { version: 2, alarm: AlarmState::Acknowledged, ..burst };
    bench.publish(&event(9, closed, ChangeKind::Acknowledged, "wang.duty"));
    assert!(lines.any(|line| line == "event: incident"));
    let data = lines.next().unwrap();
    assert!(data.contains("acknowledged") && !data.contains("wang"), "{data}");
    bench.stop();
}

/// The plant, with a station of another operator, one that never sent anything, and a building.
fn of_two_owners() -> PlantModel {
    let mut plant = plant();
    let like = |id: &str, kind, operator: Option<&str>| Site {
        id: id.parse().unwrap(),
        kind: Some(kind),
        operator: operator.map(str::to_owned),
        name: None,
        ..plant.sites[0].clone()
    };
    let more = [
        like("st2", SiteKind::Station, Some("South Heat")),
        like("st3", SiteKind::Station, None),
        like("block-1", SiteKind::Building, None),
    ];
    plant.sites.extend(more);
    plant
}

#[test]
fn the_citys_feed_lists_every_station_with_its_state_and_a_site_goes_with_its_own_operator() {
    let burst = a_burst();
    let opened = event(1, burst.clone(), ChangeKind::Opened, "burst");
    let bench = Bench::of_plant(RawApi::default(), &[opened], false, of_two_owners());
    bench.send_reading("st2", 70.0);
    let states = |feed: &Value| -> Vec<(String, String)> {
        let sites = feed["networks"][0]["sites"].as_array().cloned().unwrap_or_default();
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        sites.iter().map(|site| (text(&site["id"]), text(&site["state"]))).collect()
    };
    let pair = |id: &str, state: &str| (id.to_owned(), state.to_owned());
    let all = [pair("st1", "affected"), pair("st2", "ok"), pair("st3", "silent")];
    bench.until("/api/v1/feeds/city", |feed| states(feed) == all);
    let (_, south) = bench.get("/api/v1/feeds/city?operator=South%20Heat");
    assert_eq!(states(&south), [pair("st2", "ok")]);
    assert_eq!((&south["networks"][0]["operator"], &south["incidents"]), (&json!("North Heat"), &json!([])));
    assert_eq!(
        south["networks"][0]["sites"][0]["district"], "Daoli",
        "what the row leaves open is the network's"
    );
    let (_, north) = bench.get("/api/v1/feeds/city?operator=North%20Heat");
    assert_eq!(states(&north), [pair("st1", "affected"), pair("st3", "silent")]);
    assert_eq!(north["incidents"][0]["id"], json!(burst.id));

    let until = rfc3339(Clock.now().as_micros() + 3_600_000_000);
    let window = json!({ "id": "valve", "place": "st2", "until": until, "reason": "valve" });
    assert_eq!(bench.post("/api/v1/networks/town/maintenance", &window.to_string()).0, 202);
    bench.until("/api/v1/feeds/city", |feed| states(feed).contains(&pair("st2", "maintenance")));
    bench.stop();
}

#[test]
fn the_citys_topic_has_the_newest_state_of_every_network_site_and_incident_under_its_key() {
    let burst = a_burst();
    let opened = event(1, burst.clone(), ChangeKind::Opened, "burst");
    let raw = RawApi { city_topic: true, ..RawApi::default() };
    let bench = Bench::of_plant(raw, &[opened], false, of_two_owners());
    let acknowledged = Incident { version: 2, alarm: AlarmState::Acknowledged, ..burst.clone() };
    bench.publish(&event(2, acknowledged, ChangeKind::Acknowledged, "wang.duty"));
    let key = format!("incident/{}", burst.id);
    let held = bench.runtime.block_on(city_topic(&bench.log, |held| {
        held.get(&key).is_some_and(|record| record["incident"]["version"] == 2) && held.len() == 5
    }));
    let keys: Vec<&str> = held.keys().map(String::as_str).collect();
    assert_eq!(keys, [&key, "network/town", "site/town/st1", "site/town/st2", "site/town/st3"]);
    let owner = |of: &Value| (of["operator"].clone(), of["district"].clone());
    assert_eq!(owner(&held["site/town/st2"]["site"]), (json!("South Heat"), json!("Daoli")));
    assert_eq!(owner(&held["network/town"]["network"]), (json!("North Heat"), json!("Daoli")));
    assert_eq!(owner(&held[&key]["incident"]), (json!("North Heat"), json!("Daoli")));
    assert!(held.values().all(|record| record["at"].is_string()), "{held:?}");
    let text = serde_json::to_string(&held).unwrap();
    assert!(["wang", "flat-12-3", "block-1"].iter().all(|secret| !text.contains(secret)), "{text}");

    // What the log no longer keeps is taken away from the city as well.
    bench.runtime.block_on(async {
        let id = Some(Bytes::from(burst.id.to_string()));
        bench.appender.append(topics::INCIDENTS, partition(), id, Bytes::new()).await.unwrap();
        city_topic(&bench.log, |held| held.len() == 4 && !held.contains_key(&key)).await;
    });
    bench.stop();
}

/// The topic's state by key, once it is as wanted.
async fn city_topic(
    log: &Log,
    wanted: impl Fn(&std::collections::BTreeMap<String, Value>) -> bool,
) -> std::collections::BTreeMap<String, Value> {
    let membership = heat_log::Membership::Only(vec![partition()]);
    let mut consumer = log.consumer(topics::CITY, membership, ConsumerSettings::default()).await.unwrap();
    let mut held = std::collections::BTreeMap::new();
    let reading = async {
        while !wanted(&held) {
            match consumer.next().await.unwrap() {
                heat_log::LogEvent::Assigned(partition) => {
                    consumer.start(partition, StartFrom::Offset(NextOffset(0))).await.unwrap();
                }
                heat_log::LogEvent::Revoked(_) => {}
                heat_log::LogEvent::Records { records, .. } => {
                    for record in records {
                        let key = String::from_utf8(record.key.unwrap().to_vec()).unwrap();
                        if record.payload.is_empty() {
                            held.remove(&key);
                        } else {
                            held.insert(key, serde_json::from_slice(&record.payload).unwrap());
                        }
                    }
                }
            }
        }
    };
    tokio::time::timeout(PATIENCE, reading).await.expect("the topic fills");
    held
}
