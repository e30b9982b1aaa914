//! Calls back to the callers of closed tickets.

use heat_detect::{TicketCause, TicketLink};

use super::{
    desk::{bench, rfc3339},
    users::{ABC, HELLO, with_users},
    *,
};

const DUE: &str = "/api/v1/tickets?follow_up=due";
/// SHA-256 of "test".
const TEST: &str = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08";
const PATH: &str = "/api/v1/tickets/T1/follow-up";

fn take_ticket(bench: &Bench) {
    let ticket = json!({
        "id": "T1", "external_id": "12345-9", "time": rfc3339(Clock.now().as_micros()), "kind": "cold", "site": "st1",
    });
    assert_eq!(bench.post("/api/v1/tickets", &ticket.to_string()).0, 202);
    bench.until("/api/v1/tickets", |page| page["items"][0]["id"] == "T1");
}

/// The burst is over: what it explains is closed.
fn clear(bench: &Bench, burst: Incident) {
    let at = AppendTime::from_micros(Clock.now().as_micros());
    let over = Incident { version: 2, alarm: AlarmState::Cleared, updated: at, cleared: Some(at), ..burst };
    bench.publish(&event(9, over, ChangeKind::Cleared, "burst"));
}

fn called(bench: &Bench, outcome: &str) -> Value {
    let call = json!({ "outcome": outcome });
    assert_eq!(bench.post(PATH, &call.to_string()), (202, json!({ "network": NETWORK })));
    let page = bench.until("/api/v1/tickets?external_id=12345-9", |page| {
        page["items"][0]["follow_up"]["outcome"] == outcome
    });
    page["items"][0].clone()
}

/// Commands in the log.
fn commands(bench: &Bench) -> usize {
    bench.runtime.block_on(async {
        let end = bench.log.bounds(topics::INPUT, partition()).await.unwrap().end;
        let settings = ConsumerSettings::default();
        let mut scan =
            bench.log.scan(topics::INPUT, partition(), StartFrom::Beginning, end, settings).await.unwrap();
        let mut decoder = EnvelopeDecoder::default();
        let mut found = 0;
        while let Some(records) = scan.next().await.unwrap() {
            for record in records {
                let envelope = decoder.decode(record.payload).unwrap();
                found += usize::from(matches!(envelope.body, Body::Command(_)));
            }
        }
        found
    })
}

#[test]
fn a_ticket_is_due_for_a_call_once_its_incident_is_over_and_open_again_while_the_caller_is_not_content() {
    let (bench, burst) = bench();
    take_ticket(&bench);
    let (status, problem) = bench.post(PATH, "{\"outcome\":\"satisfied\"}");
    assert_eq!((status, &problem["type"]), (409, &json!("urn:heatstream:problem:refused")), "{problem}");
    assert_eq!(bench.get(DUE).1["items"], json!([]));

    clear(&bench, burst);
    let page = bench.until(DUE, |page| page["items"][0]["id"] == "T1");
    assert_eq!(page["items"][0]["follow_up"], json!({ "state": "due" }));

    let ticket = called(&bench, "not_reached");
    assert_eq!((&ticket["follow_up"]["state"], &ticket["status"]), (&json!("due"), &json!("resolved")));

    let ticket = called(&bench, "not_resolved");
    assert_eq!((&ticket["follow_up"]["state"], &ticket["status"]), (&json!("reopened"), &json!("reopened")));
    assert_eq!((ticket.get("closed"), &ticket["updated"]), (None, &ticket["follow_up"]["at"]), "{ticket}");
    assert!(ticket["answer_zh"].as_str().unwrap().contains("重新受理"), "{ticket}");
    assert_eq!(bench.get(DUE).1["items"], json!([]));
    assert_eq!(bench.get("/api/v1/tickets?follow_up=reopened").1["items"][0]["id"], "T1");

    let ticket = called(&bench, "satisfied");
    assert_eq!((&ticket["follow_up"]["state"], &ticket["status"]), (&json!("done"), &json!("resolved")));
    assert_eq!((&ticket["follow_up"]["by"], ticket["closed"].is_string()), (&json!("local"), true));
    bench.stop();
}

#[test]
fn what_a_call_gave_is_written_once_however_often_it_is_sent() {
    let (bench, burst) = bench();
    take_ticket(&bench);
    clear(&bench, burst);
    bench.until(DUE, |page| page["items"][0]["id"] == "T1");

    let first = called(&bench, "satisfied");
    let second = called(&bench, "satisfied");

    assert_eq!((first, commands(&bench)), (second, 1));
    bench.stop();
}

#[test]
fn a_ticket_that_nothing_in_the_plant_explains_is_due_as_well() {
    let bench = Bench::of_plant(RawApi::default(), &[], false, desk::plant());
    take_ticket(&bench);
    bench.publish(&Output::Ticket(TicketLink {
        input_offset: Offset(3),
        ordinal: 0,
        at: AppendTime::from_micros(Clock.now().as_micros()),
        network: NETWORK.parse().unwrap(),
        ticket: "T1".to_owned(),
        external_id: None,
        incident: None,
        cause: TicketCause::NoneFound,
    }));
    bench.until(DUE, |page| page["items"][0]["status"] == "not_the_plant");
    let ticket = called(&bench, "not_resolved");
    assert_eq!((&ticket["status"], ticket.get("closed")), (&json!("reopened"), None));
    bench.stop();
}

#[test]
fn a_note_is_masked_and_neither_it_nor_the_ticket_is_told_to_the_city() {
    let (bench, burst) = bench();
    take_ticket(&bench);
    clear(&bench, burst);
    bench.until(DUE, |page| page["items"][0]["id"] == "T1");
    let body = "network=town&ticket=T1&outcome=not_resolved&note=%E5%A7%93%E5%90%8D%EF%BC%9A%E6%AC%A7%E9%98%B3%E5%A8%9C%E5%A8%9C+still+cold+13800138000";
    let form = [("content-type", "application/x-www-form-urlencoded")];
    let (status, head, _) = raw_request(bench.address, "POST", "/tickets/follow-up", &form, body);
    assert!(status == 303 && head.contains("location: /tickets?done=follow-up"), "{head}");

    let page = bench.until("/api/v1/tickets", |page| page["items"][0]["follow_up"]["note"].is_string());
    assert_eq!(page["items"][0]["follow_up"]["note"], "姓名：**** still cold ***********");
    let (_, city) = bench.request("GET", "/api/v1/feeds/city", &[], "");
    assert!(!city.contains("still cold") && !city.contains("\"T1\""), "{city}");
    for (language, words) in [
        ("zh", ["回访未解决", "重新受理", "登记回访", "回访已登记。"]),
        (
            "en",
            [
                "Called back: not resolved",
                "Open again",
                "Take down a call back",
                "The call back is taken down.",
            ],
        ),
    ] {
        let path = "/tickets?follow_up=reopened&done=follow-up";
        let (_, html) = bench.request("GET", path, &[("accept-language", language)], "");
        assert!(words.iter().all(|word| html.contains(word)) && !html.contains("138001"), "{html}");
    }
    let (_, html) = bench.request("GET", "/tickets?follow_up=due", &[("accept-language", "en")], "");
    assert!(html.contains("There is no ticket."), "{html}");
    assert_eq!(bench.request("GET", "/tickets?follow_up=soon", &[], "").0, 400);
    bench.stop();
}

#[test]
fn a_call_names_a_ticket_that_is_there_an_outcome_of_the_list_and_a_short_note() {
    let (bench, burst) = bench();
    take_ticket(&bench);
    clear(&bench, burst);
    bench.until(DUE, |page| page["items"][0]["id"] == "T1");
    let long = json!({ "outcome": "satisfied", "note": "x".repeat(501) }).to_string();
    for (path, body, expected) in [
        ("/api/v1/tickets/T9/follow-up", "{\"outcome\":\"satisfied\"}", 404),
        (PATH, "{\"outcome\":\"satisfied\",\"network\":\"village\"}", 404),
        (PATH, "{\"outcome\":\"happy\"}", 422),
        (PATH, "{}", 422),
        (PATH, &long, 422),
    ] {
        assert_eq!(bench.post(path, body).0, expected, "{body}");
    }
    assert_eq!(commands(&bench), 0);
    bench.stop();
}

#[test]
fn an_id_of_two_networks_is_told_apart_by_the_networks_that_a_user_sees_and_a_viewer_calls_nobody() {
    let lines =
        format!("all operator {HELLO}\nnorth operator {ABC} operator=North_Heat\nlook viewer {TEST}\n");
    let (bench, _dir) = with_users(&lines, &[], RawApi::default());
    let ask = |token: &str, path: &str, body: &str| {
        let authorization = format!("Bearer {token}");
        let headers = [("authorization", authorization.as_str()), ("content-type", "application/json")];
        bench.request("POST", path, &headers, body)
    };
    for network in ["town", "village"] {
        let ticket = json!({ "id": "T1", "time": 1, "kind": "cold", "network": network });
        assert_eq!(ask("hello", "/api/v1/tickets", &ticket.to_string()).0, 202);
    }
    let authorization = [("authorization", "Bearer hello")];
    let both = |bench: &Bench| {
        let (_, text) = bench.request("GET", "/api/v1/tickets", &authorization, "");
        serde_json::from_str::<Value>(&text).unwrap()["items"].as_array().map(Vec::len) == Some(2)
    };
    while !both(&bench) {
        bench.pause();
    }
    let call = "{\"outcome\":\"satisfied\"}";
    let (status, problem) = ask("hello", PATH, call);
    assert!(status == 422 && problem.contains("network: "), "{problem}");
    assert_eq!(ask("abc", PATH, call).0, 409, "the other one is not seen");
    assert_eq!(ask("test", PATH, call).0, 403);
    bench.stop();
}
