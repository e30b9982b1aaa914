//! A full disk: nothing is acknowledged, nothing is lost, and it goes on by itself when there is space.

use std::{fs, time::Duration};

use heat_tests::{
    disk::SmallDisk,
    heatstream::run,
    mqtt::Client,
    now_us,
    python::Python,
    site::{Site, assert_balanced, series, sum},
    wait_until,
};

const SOON: Duration = Duration::from_secs(30);

#[test]
fn a_full_disk_stops_acknowledging_loses_nothing_and_recovers_by_itself() {
    let Some(python) = Python::find() else { return };
    let site = Site::new("[archive]\nrotation = \"1s\"\n[log.embedded]\nsegment_max_bytes = 65536\n");
    let Some(disk) = SmallDisk::mount(&site.data_dir(), 48) else { return };
    let mut up = site.start();
    let mut client = Client::connect(site.mqtt, "meter", true).unwrap();
    let base_ms = now_us() / 1_000;
    let mut sent = 0;
    let mut send = |client: &mut Client| {
        let payload =
            format!(r#"{{"time": {}, "values": {{"supply_temperature": {sent}}}}}"#, base_ms + sent);
        sent += 1;
        client.publish("heat/v1/town/st01/meter", payload.as_bytes(), false).unwrap()
    };
    for _ in 0..200 {
        let id = send(&mut client);
        assert_eq!(client.acknowledgement(SOON).unwrap(), Some(id));
    }

    let ballast = disk.fill("ballast");
    // What the last pages still hold may be acknowledged.
    let unacknowledged = (0..5_000).find_map(|_| {
        let id = send(&mut client);
        client.acknowledgement(SOON).unwrap().is_none().then_some(id)
    });

    let unacknowledged = unacknowledged.expect("a full disk must stop acknowledgements");
    up.wait_until("/metrics says that the log is stalled", SOON, |_| {
        series(&site.metrics(), "heat_gateway_log_stalled", &[]) == Some(1.0)
    });
    assert_eq!(client.acknowledgement(Duration::from_secs(2)).unwrap(), None, "still not durable");
    assert!(!up.has_ended(), "it waits for space, it does not end");

    fs::remove_file(&ballast).unwrap();

    let id = client.acknowledgement(Duration::from_secs(60)).unwrap();
    assert_eq!(id, Some(unacknowledged), "it recovers by itself and acknowledges what waited");
    for _ in 0..50 {
        let id = send(&mut client);
        assert_eq!(client.acknowledgement(SOON).unwrap(), Some(id));
    }
    wait_until("/metrics says that the log is well", SOON, || {
        series(&site.metrics(), "heat_gateway_log_stalled", &[]) == Some(0.0)
    });
    assert_balanced(&up.stop().ended_with(0).stdout);
    site.audit().ended_with(0);
    let rows = python.query(&site.archive(), "SELECT raw_value FROM readings ORDER BY kafka_offset");
    let values: Vec<_> = rows.iter().map(|row| row["raw_value"].as_f64().unwrap()).collect();
    assert_eq!(values, (0..sent).map(|value| value as f64).collect::<Vec<_>>());
}

#[test]
fn a_full_disk_of_the_archive_alone_holds_up_the_archive_and_nothing_else() {
    let Some(python) = Python::find() else { return };
    let folder = tempfile::tempdir().unwrap();
    let archive = folder.path().join("archive");
    let Some(disk) = SmallDisk::mount(&archive, 16) else { return };
    let site = Site::new(&format!("[archive]\nlocation = \"{}\"\nrotation = \"1s\"\n", archive.display()));
    let mut up = site.start();
    let mut client = Client::connect(site.mqtt, "meter", true).unwrap();
    let base_ms = now_us() / 1_000;
    let mut send = |from: i64, to: i64| {
        for number in from..to {
            let time = base_ms + number;
            let payload = format!(r#"{{"time": {time}, "values": {{"supply_temperature": {number}}}}}"#);
            client.publish_acknowledged("heat/v1/town/st01/meter", payload.as_bytes(), SOON).unwrap();
        }
    };
    let commits = || sum(&site.metrics(), "heat_archiver_commits_total", &[("topic", "heat.input.v1")]);
    let stalled = || series(&site.metrics(), "heat_archiver_store_stalled", &[]);
    send(0, 100);
    up.wait_until("a commit is in the archive", SOON, |_| commits() > 0.0);

    let ballast = disk.fill("ballast");
    send(100, 200);
    up.wait_until("/metrics says that the store is stalled", SOON, |_| stalled() == Some(1.0));
    // What was published as the disk filled up has been counted by now.
    let before = commits();
    send(200, 300);
    up.wait_until("the log names the remedy", SOON, |up| {
        up.stderr().contains("free space on the archive's disk")
    });
    assert!(!up.has_ended(), "it waits for space, it does not end");
    assert!((commits() - before).abs() < 0.5, "nothing counts as archived meanwhile");

    // A kill in the middle of it changes nothing.
    up.kill();
    fs::remove_file(&ballast).unwrap();
    let mut up = site.start();
    up.wait_until("commits go on by themselves", SOON, |_| commits() > 0.0 && stalled() == Some(0.0));

    assert_balanced(&up.stop().ended_with(0).stdout);
    let verify = ["archive".as_ref(), "verify".as_ref(), "--archive".as_ref(), archive.as_os_str()];
    run(verify).ended_with(0);
    let rows = python.query(&archive, "SELECT raw_value FROM readings ORDER BY kafka_offset");
    let values: Vec<_> = rows.iter().map(|row| row["raw_value"].as_f64().unwrap()).collect();
    assert_eq!(values, (0..300).map(f64::from).collect::<Vec<_>>(), "each once, in order");
}
