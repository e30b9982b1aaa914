//! The proof when the log is gone or out of reach, each gateway's share of it, and what was lost before the gateway.

use std::{fs, time::Duration};

use heat_tests::{
    heatstream::{self, Output},
    mqtt::Client,
    site::{Site, assert_balanced, audit_total},
};
use serde_json::{Value, json};

const SOON: Duration = Duration::from_secs(60);
const TOPIC: &str = "heat/v1/town/st01/meter";

fn audit(site: &Site, more: &[&str]) -> Output {
    let data = site.data_dir();
    heatstream::run(["audit", "--data-dir", data.to_str().unwrap()].iter().chain(more))
}

fn report(site: &Site, more: &[&str]) -> Value {
    let output = audit(site, &[&["--json"], more].concat()).ended_with(0);
    serde_json::from_str(&output.stdout).unwrap()
}

#[test]
fn archive_and_ledger_prove_it_when_the_log_is_gone_and_while_it_is_in_use() {
    let site = Site::new("[archive]\nrotation = \"1s\"\n");
    let mut up = site.start();
    let mut client = Client::connect(site.mqtt, "meter", true).unwrap();
    for seq in 0..100 {
        // Three numbers are passed over; a message that is rejected is one of ours.
        if (50..53).contains(&seq) {
            continue;
        }
        let payload = format!(r#"{{"seq": {seq}, "boot": "a", "values": {{"supply_temperature": {seq}}}}}"#);
        client.publish_acknowledged(TOPIC, payload.as_bytes(), SOON).unwrap();
    }
    client.publish_acknowledged(TOPIC, b"{", SOON).unwrap();
    up.wait_until("all is archived", SOON, |_| {
        let report = audit(&site, &["--without-log", "--json"]);
        let report: Value = serde_json::from_str(&report.stdout).unwrap_or_default();
        report["total"]["archived"] == 97
    });
    // While `up` runs, its log is in use: what is archived balances all the same.
    audit(&site, &["--without-log"]).ended_with(0);
    let in_use = audit(&site, &[]).ended_with(1);
    assert!(in_use.stderr.contains("--without-log"), "{}", in_use.stderr);
    assert_balanced(&up.stop().ended_with(0).stdout);

    let with_log = audit(&site, &[]).ended_with(0);
    let log = site.data_dir().join("site/log");
    fs::rename(&log, site.data_dir().join("site/log-of-old")).unwrap();
    let gone = audit(&site, &[]).ended_with(1);
    assert!(gone.stderr.contains("--without-log"), "{}", gone.stderr);
    assert!(!log.is_dir(), "looking makes no empty log");
    let without = audit(&site, &["--without-log", "--by", "gateway"]).ended_with(0);
    assert_balanced(&without.stdout);
    assert_eq!(audit_total(&without.stdout), audit_total(&with_log.stdout));
    assert!(without.stdout.contains("gateway gateway"), "{}", without.stdout);
    assert!(
        without.stdout.contains(&format!(
            "lost before the gateway: 3 messages of 1 devices (worst: {} 3)",
            "town/st01/meter"
        )),
        "{}",
        without.stdout
    );

    let report = report(&site, &["--without-log"]);
    let gateway = &report["gateways"][0];
    assert_eq!(gateway["gateway"], "gateway");
    let hours = gateway["hours"].as_array().unwrap();
    let sum = |key: &str| hours.iter().map(|hour| hour[key].as_u64().unwrap()).sum::<u64>();
    assert_eq!((sum("messages_received"), sum("messages_logged"), sum("messages_rejected")), (98, 97, 1));
    assert_eq!((sum("readings_logged"), sum("archived")), (97, 97));
    assert_eq!(
        (&report["upstream"]["lost"], &report["upstream"]["rejected_messages"]),
        (&json!(3), &json!(1))
    );

    let letters = site.archive().join("rejected");
    fs::remove_dir_all(&letters).unwrap();
    let found = audit(&site, &["--without-log"]);
    assert_ne!(found.code, 0, "a lost file is found without the log too: {}", found.stdout);
}
