//! `up` with its archive in a bucket: refused credentials stop what counts as archived, and nothing is lost.

use std::{fs, time::Duration};

use heat_tests::{
    heatstream::run,
    http_faults::{Fault, HttpFaults},
    mqtt::Client,
    now_us,
    s3::S3,
    site::{Site, assert_balanced, series, sum},
    wait_until,
};
use serde_json::Value;

const SOON: Duration = Duration::from_secs(60);

#[test]
fn a_bucket_that_refuses_holds_up_the_archive_and_afterwards_everything_is_there_once() {
    let Some(server) = S3::start("heat") else { return };
    let faults = HttpFaults::start(server.port());
    let folder = tempfile::tempdir().unwrap();
    let credentials = folder.path().join("credentials");
    fs::write(&credentials, "AWS_ACCESS_KEY_ID=key\nAWS_SECRET_ACCESS_KEY=secret\n").unwrap();
    let (endpoint, file) = (format!("http://127.0.0.1:{}", faults.port()), credentials.display().to_string());
    let site = Site::new(&format!(
        "[archive]\nlocation = \"s3://heat/town\"\nrotation = \"1s\"\n[archive.store]\nendpoint = \"{endpoint}\"\n\
         region = \"us-east-1\"\ncredentials_file = \"{file}\"\n"
    ));
    let mut up = site.start();
    let mut client = Client::connect(site.mqtt, "meter", true).unwrap();
    let base_ms = now_us() / 1_000;
    let mut send = |from: i64, to: i64| {
        for number in from..to {
            let time = base_ms + number;
            let payload = format!(r#"{{"time": {time}, "values": {{"supply_temperature": {number}}}}}"#);
            let id = client.publish("heat/v1/town/st01/meter", payload.as_bytes(), false).unwrap();
            assert_eq!(
                client.acknowledgement(SOON).unwrap(),
                Some(id),
                "the log is durable without the archive"
            );
        }
    };
    let commits = || sum(&site.metrics(), "heat_archiver_commits_total", &[("topic", "heat.input.v1")]);
    send(0, 50);
    up.wait_until("a commit is in the bucket", SOON, |_| commits() > 0.0);

    faults.plan(|seen| if seen.method == "PUT" { Fault::Answer(403) } else { Fault::None });
    send(50, 100);
    up.wait_until("/metrics says that the store is stalled", SOON, |_| {
        series(&site.metrics(), "heat_archiver_store_stalled", &[]) == Some(1.0)
    });
    let manifests = || server.keys().into_iter().filter(|key| key.contains("manifests/")).collect::<Vec<_>>();
    let before = manifests();
    assert!(up.stderr().contains("refuses the credentials"), "the log names the remedy");
    assert!(!up.has_ended(), "it waits for the store, it does not end");
    assert_eq!(manifests(), before, "nothing counts meanwhile");

    faults.plan(|_| Fault::None);
    wait_until("/metrics says that the store is well", SOON, || {
        series(&site.metrics(), "heat_archiver_store_stalled", &[]) == Some(0.0)
    });
    assert_balanced(&up.stop().ended_with(0).stdout);
    let arguments = ["archive", "verify", "--json", "--archive", "s3://heat/town", "--region", "us-east-1"];
    let more = ["--endpoint", &endpoint, "--credentials-file", &file];
    let report: Value =
        serde_json::from_str(&run(arguments.into_iter().chain(more)).ended_with(0).stdout).unwrap();
    assert_eq!(report["rows"], 100, "{report:#}");
}
