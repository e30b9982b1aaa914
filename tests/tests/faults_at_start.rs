//! What is wrong at a start is said within seconds, with its remedy, and the exit code tells its kind.

use std::{fs, net::TcpListener, time::Duration};

use heat_tests::{
    free_port,
    heatstream::{Output, Running},
    repository,
    site::Site,
};

/// It must end by itself; the time allows for a busy machine.
const SECONDS: Duration = Duration::from_secs(60);

#[track_caller]
fn assert_says(output: &Output, words: &[&str]) {
    for word in words {
        assert!(output.stderr.contains(word), "{word:?} is missing in: {}", output.stderr);
    }
    let lines: Vec<&str> = output.stderr.lines().filter(|line| line.starts_with("heatstream: ")).collect();
    assert!(!lines.is_empty(), "the message is for people, not a log line: {}", output.stderr);
    assert!(!output.stderr.contains("panicked"), "{}", output.stderr);
}

#[test]
fn each_port_in_use_is_named_with_the_key_that_moves_it() {
    for (port, remedy) in [
        ((|site: &Site| site.mqtt) as fn(&Site) -> u16, "[gateway.listen] address"),
        (|site| site.api, "api.address"),
        (|site| site.admin, "[admin] address"),
    ] {
        let site = Site::new("");
        let port = port(&site);
        let _holder = TcpListener::bind(("127.0.0.1", port)).unwrap();

        let output = site.spawn().ended(SECONDS).ended_with(1);

        assert_says(&output, &[&format!("127.0.0.1:{port}"), remedy]);
    }
}

#[test]
fn a_data_directory_that_cannot_be_written_is_named_with_the_remedy() {
    let site = Site::new("");
    fs::write(site.data_dir(), "a file in its place").unwrap();

    let output = site.spawn().ended(SECONDS).ended_with(1);

    assert_says(&output, &[&site.data_dir().display().to_string(), "--data-dir"]);
}

#[test]
fn a_log_of_another_version_is_refused_and_left_as_it_is() {
    let site = Site::new("");
    site.start().stop().ended_with(0);
    let log = site.data_dir().join("site/log");
    let before = fs::read_to_string(log.join("VERSION")).unwrap();
    fs::write(log.join("VERSION"), "heatstream-log 999\n").unwrap();

    let output = site.spawn().ended(SECONDS).ended_with(1);

    assert_says(&output, &[&log.display().to_string(), "heatstream-log 999", "release"]);
    assert_eq!(fs::read_to_string(log.join("VERSION")).unwrap(), "heatstream-log 999\n");
    fs::write(log.join("VERSION"), before).unwrap();
    site.start().stop().ended_with(0);
}

#[test]
fn a_data_directory_in_use_is_refused_and_the_first_process_goes_on() {
    let site = Site::new("");
    let mut first = site.start();
    let other = Site::new("");
    let arguments = ["up", "--sim", "off", "--config"].map(Into::into).into_iter();
    let second = Running::start(
        "second",
        arguments.chain([
            other.config().into_os_string(),
            "--data-dir".into(),
            site.data_dir().into_os_string(),
        ]),
    );

    let output = second.ended(SECONDS).ended_with(1);

    assert_says(&output, &["in use by another process"]);
    assert!(!first.has_ended());
    first.stop().ended_with(0);
}

#[test]
fn kafka_down_at_start_is_said_with_its_address() {
    let port = free_port();
    let folder = tempfile::tempdir().unwrap();
    for (role, ends) in [("gateway", false), ("archiver", true)] {
        let text = fs::read_to_string(repository().join(format!("deploy/config/{role}.toml"))).unwrap();
        let text = text
            .replace("127.0.0.1:9092", &format!("127.0.0.1:{port}"))
            .replace("127.0.0.1:9464", &format!("127.0.0.1:{}", free_port()))
            .replace("127.0.0.1:9466", &format!("127.0.0.1:{}", free_port()))
            .replace("/var/lib/heatstream", &folder.path().display().to_string());
        let config = folder.path().join(format!("{role}.toml"));
        fs::write(&config, text).unwrap();

        let mut running = Running::start(role, [role.as_ref(), "--config".as_ref(), config.as_os_str()]);
        let output = if ends {
            running.ended(SECONDS).ended_with(1)
        } else {
            // It has a buffer to take messages into.
            running.wait_until("it starts without Kafka", SECONDS, |gateway| {
                gateway.stderr().contains("starting without Kafka")
            });
            running.signal("TERM");
            running.ended(SECONDS).ended_with(0)
        };

        let words = [&format!("127.0.0.1:{port}"), "is it running"];
        if ends {
            assert_says(&output, &words);
        } else {
            // It goes on, so this is for the log.
            assert!(words.iter().all(|word| output.stderr.contains(word)), "{}", output.stderr);
        }
    }
}
