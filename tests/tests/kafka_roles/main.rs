//! The roles as processes of their own, with the example configurations of `deploy/`, a real mosquitto and a real
//! Kafka: recorded data of five real substations come out as they went in, whatever happens on the way.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

use heat_tests::{
    copy_folder, free_port,
    heatstream::{Running, run},
    kafka::Kafka,
    mosquitto::Mosquitto,
    mqtt, now_us, pace,
    python::Python,
    repository,
    site::{assert_balanced, get, is_ok, sum},
    wait_until,
};
use serde_json::Value;
use tempfile::TempDir;

mod processors;

/// A role on a busy machine, Kafka's group included.
const READY: Duration = Duration::from_secs(120);
/// All that was sent has been archived, the example's rotation of 60 s included.
const ARCHIVED: Duration = Duration::from_secs(600);
const STATIONS: [&str; 5] = ["L4", "L8", "L12", "L17", "L22"];
/// Columns of the files beside the time; each cell is a reading, an empty one a bad one.
const CELLS: u64 = 8;

/// The example configurations with this test's ports and folders in the place of theirs.
struct City {
    folder: TempDir,
    admin: BTreeMap<&'static str, u16>,
}

impl City {
    fn new(mosquitto: &Mosquitto, kafka: &Kafka) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut admin = BTreeMap::new();
        for (role, port) in
            [("gateway", 9464), ("processor", 9465), ("archiver", 9466), ("exporter", 9467), ("api", 9468)]
        {
            let mut text =
                fs::read_to_string(repository().join(format!("deploy/config/{role}.toml"))).unwrap();
            let mut replace = |from: &str, to: &str| {
                assert!(text.contains(from), "deploy/config/{role}.toml has no {from}");
                text = text.replace(from, to);
            };
            let own = free_port();
            replace("\"127.0.0.1:9092\"", &format!("\"{}\"", kafka.brokers()));
            replace(&format!("\"127.0.0.1:{port}\""), &format!("\"127.0.0.1:{own}\""));
            match role {
                "gateway" => {
                    replace("port = 1883", &format!("port = {}", mosquitto.port()));
                    replace(
                        "/var/lib/heatstream/gateway-buffer",
                        &folder.path().join("buffer").display().to_string(),
                    );
                }
                "archiver" | "api" => {
                    replace(
                        "/var/lib/heatstream/archive",
                        &folder.path().join("archive").display().to_string(),
                    );
                }
                _ => {}
            }
            if role == "api" {
                replace("\"127.0.0.1:8080\"", &format!("\"127.0.0.1:{}\"", free_port()));
            }
            fs::write(folder.path().join(format!("{role}.toml")), text).unwrap();
            admin.insert(role, own);
        }
        Self { folder, admin }
    }

    fn config(&self, role: &str) -> PathBuf {
        self.folder.path().join(format!("{role}.toml"))
    }

    fn archive(&self) -> PathBuf {
        self.folder.path().join("archive")
    }

    /// `heatstream topics plan|apply`, with the replication of a single broker.
    fn topics(&self, act: &str) -> String {
        let arguments = ["topics", act, "--replication", "1", "--config"].map(Into::into);
        run(arguments.into_iter().chain([self.config("gateway").into_os_string()])).ended_with(0).stdout
    }

    fn spawn(&self, role: &'static str) -> Running {
        Running::start(role, [role.as_ref(), "--config".as_ref(), self.config(role).as_os_str()])
    }

    fn start(&self, role: &'static str) -> Running {
        let mut running = self.spawn(role);
        let url = format!("http://127.0.0.1:{}/readyz", self.admin[role]);
        running.wait_until("/readyz says ready", READY, |_| is_ok(&url));
        running
    }

    fn metric(&self, role: &str, name: &str, labels: &[(&str, &str)]) -> f64 {
        let text = get(&format!("http://127.0.0.1:{}/metrics", self.admin[role]));
        text.map_or(0.0, |text| sum(&text, name, labels))
    }

    /// Rows of readings that manifests name.
    fn archived(&self) -> u64 {
        let mut rows = 0;
        let folder = self.archive().join("manifests/heat.input.v1");
        for partition in fs::read_dir(folder).into_iter().flatten().flatten() {
            for file in fs::read_dir(partition.path()).into_iter().flatten().flatten() {
                // Listed while it is written under another name: not yet there.
                let Ok(text) = fs::read_to_string(file.path()) else { continue };
                let Ok(manifest) = serde_json::from_str::<Value>(&text) else { continue };
                let files = manifest["files"].as_array().cloned().unwrap_or_default();
                rows += files
                    .iter()
                    .filter(|file| file["dataset"] == "readings")
                    .filter_map(|file| file["rows"].as_u64())
                    .sum::<u64>();
            }
        }
        rows
    }

    fn replay(&self, mosquitto: &Mosquitto, files: &[PathBuf], speed: &str) -> Running {
        let mapping = repository().join("deploy/mappings/xai4heat.toml").into_os_string();
        let url = format!("mqtt://127.0.0.1:{}", mosquitto.port());
        let arguments = ["replay", "--speed", speed, "--mqtt", &url, "--mapping"].map(Into::into);
        let files = files.iter().map(|file| file.clone().into_os_string());
        Running::start("replay", arguments.into_iter().chain([mapping]).chain(files))
    }
}

/// What the example of mosquitto's configuration sets beside its address and folder.
fn limits_of_example() -> String {
    let text = fs::read_to_string(repository().join("deploy/mosquitto/mosquitto.conf")).unwrap();
    let own = ["listener ", "allow_anonymous ", "persistence "].map(str::to_owned);
    text.lines()
        .filter(|line| !line.starts_with('#') && !line.starts_with("persistence_location "))
        .filter(|line| !own.iter().any(|key| line.starts_with(key)))
        .collect::<Vec<_>>()
        .join("\n")
}

/// The recorded files; by default a part of each: its newest and oldest rows and a row in twelve between, in order.
/// With `HEATSTREAM_TEST_WHOLE=1` all.
fn recorded(folder: &Path) -> Option<(Vec<PathBuf>, Vec<u64>)> {
    let source = repository().join("../shared/data/xai4heat");
    if !source.is_dir() {
        eprintln!("skipped: {} is missing: recorded data are no part of the repository", source.display());
        return None;
    }
    let whole = std::env::var_os("HEATSTREAM_TEST_WHOLE").is_some_and(|value| value == "1");
    let mut files = Vec::new();
    let mut rows = Vec::new();
    for station in STATIONS {
        let name = format!("xai4heat_scada_{station}.csv");
        let text = fs::read_to_string(source.join(&name)).unwrap();
        let lines: Vec<&str> = text.lines().collect();
        let last = lines.len() - 400;
        let chosen: Vec<&str> = lines
            .iter()
            .enumerate()
            .filter(|(index, _)| whole || *index <= 400 || *index >= last || index % 12 == 0)
            .map(|(_, line)| *line)
            .collect();
        rows.push(chosen.len() as u64 - 1);
        fs::write(folder.join(&name), chosen.join("\n") + "\n").unwrap();
        files.push(folder.join(name));
    }
    Some((files, rows))
}

#[test]
fn a_role_can_start_as_soon_as_topics_apply_returns() {
    let Some(mosquitto) = Mosquitto::start("") else { return };
    let Some(kafka) = Kafka::start() else { return };
    let city = City::new(&mosquitto, &kafka);

    let applied = city.topics("apply");

    assert!(applied.contains("applied"), "{applied}");
    let gateway = city.start("gateway");
    gateway.signal("TERM");
    gateway.ended(READY).ended_with(0);
    assert!(
        city.topics("apply").contains("all topics are as they should be"),
        "applying again changes nothing"
    );
}

#[test]
fn the_citys_feed_is_a_topic_that_two_apis_fill_alike_and_any_kafka_client_reads() {
    let Some(python) = Python::find() else { return };
    let Some(mosquitto) = Mosquitto::start("") else { return };
    let Some(kafka) = Kafka::start() else { return };
    let mut city = City::new(&mosquitto, &kafka);
    let text = fs::read_to_string(city.config("api")).unwrap();
    let text = text.replace("# city_topic = true", "city_topic = true");
    fs::write(city.config("api"), &text).unwrap();
    let (address, admin) = (free_port(), free_port());
    let other = text
        .lines()
        .map(|line| match line.strip_prefix("address = ") {
            Some(own) if own.contains(&city.admin["api"].to_string()) => {
                format!("address = \"127.0.0.1:{admin}\"")
            }
            Some(_) => format!("address = \"127.0.0.1:{address}\"\ninstance = \"2\""),
            None => line.to_owned(),
        })
        .collect::<Vec<_>>()
        .join("\n");
    fs::write(city.config("api-2"), other).unwrap();
    city.admin.insert("api-2", admin);
    city.topics("apply");
    let of_api = ["topics", "apply", "--replication", "1", "--config"].map(Into::into);
    let applied = run(of_api.into_iter().chain([city.config("api").into_os_string()])).ended_with(0);
    assert!(applied.stdout.contains("heat.city.v1"), "only who writes it asks for it: {}", applied.stdout);
    let gateway = city.start("gateway");
    let mut client = mqtt::Client::connect(mosquitto.port(), "meter", true).unwrap();
    let payload = format!("{{\"time\": {}, \"values\": {{\"supply_temperature\": 81.5}}}}", now_us() / 1_000);
    client.publish_acknowledged("heat/v1/north/st01/meter", payload.as_bytes(), READY).unwrap();

    let apis = [city.start("api"), {
        let role =
            Running::start("api", ["api".as_ref(), "--config".as_ref(), city.config("api-2").as_os_str()]);
        wait_until("the other API is ready", READY, || is_ok(&format!("http://127.0.0.1:{admin}/readyz")));
        role
    }];
    for api in ["api", "api-2"] {
        wait_until("both have written the station", READY, || {
            city.metric(api, "heat_api_city_records_total", &[("kind", "site"), ("outcome", "taken")]) > 0.0
        });
    }

    let mut topic = Value::Null;
    wait_until("both have said it in the topic", READY, || {
        topic = python.run("kafka_city.py", [kafka.brokers()]);
        topic["records"].as_u64() >= Some(4)
    });
    let held = topic["held"].as_object().unwrap();
    let keys: Vec<&str> = held.keys().map(String::as_str).collect();
    assert_eq!(
        keys,
        ["network/north", "site/north/st01"],
        "one key for a thing, whoever writes it: {topic:#}"
    );
    let site = &held["site/north/st01"];
    assert_eq!((&site["network"], &site["site"]["state"]), (&"north".into(), &"ok".into()), "{site:#}");
    let value = &site["site"]["values"]["supply_temperature"];
    assert_eq!((&value["value"], &value["current"]), (&81.5.into(), &true.into()), "{site:#}");
    assert!(value["age_seconds"].is_number() && site["at"].is_string(), "{site:#}");
    for role in apis.into_iter().chain([gateway]) {
        role.signal("TERM");
        role.ended(READY).ended_with(0);
    }
}

#[test]
fn an_archiver_whose_offsets_are_lost_and_whose_archive_moved_goes_on_and_every_row_is_there_once() {
    let Some(python) = Python::find() else { return };
    let Some(mosquitto) = Mosquitto::start("") else { return };
    let Some(kafka) = Kafka::start() else { return };
    let city = City::new(&mosquitto, &kafka);
    let text = fs::read_to_string(city.config("archiver")).unwrap();
    let text = text.replace("rotation = \"60s\"", "rotation = \"1s\"");
    fs::write(city.config("archiver"), &text).unwrap();
    city.topics("apply");
    let gateway = city.start("gateway");
    let mut client = mqtt::Client::connect(mosquitto.port(), "meter", true).unwrap();
    let base_ms = now_us() / 1_000;
    let mut sent = 0;
    let mut send = |count: i64| {
        for number in sent..sent + count {
            let time = base_ms + number;
            let payload = format!("{{\"time\": {time}, \"values\": {{\"supply_temperature\": {number}}}}}");
            client.publish_acknowledged("heat/v1/north/st01/meter", payload.as_bytes(), READY).unwrap();
        }
        sent += count;
        sent
    };
    let forget = || {
        let forgotten = python.run("kafka_forget.py", [kafka.brokers(), "heat-archiver.".to_owned()]);
        assert!(
            forgotten
                .as_array()
                .is_some_and(|groups| groups.iter().any(|group| group == "heat-archiver.heat.input.v1")),
            "{forgotten}"
        );
    };
    let mut archiver = city.start("archiver");
    send(100);
    archiver.wait_until("a part is archived", READY, |_| city.archived() > 0);
    archiver.signal("TERM");
    archiver.ended(READY).ended_with(0);

    // The group's offsets are gone, and so is the machine: the archive is a copy elsewhere.
    forget();
    send(100);
    let copy = city.folder.path().join("elsewhere");
    copy_folder(&city.archive(), &copy);
    fs::remove_dir_all(city.archive()).unwrap();
    let text = text.replace(&city.archive().display().to_string(), &copy.display().to_string());
    fs::write(city.config("archiver"), text).unwrap();
    let archiver = city.start("archiver");
    let total = send(100);
    wait_until("all is archived", READY, || {
        let rows = python.query(&copy, "SELECT count(DISTINCT raw_value) AS rows FROM readings");
        rows[0]["rows"].as_i64() == Some(total)
    });
    archiver.kill();
    forget();
    let mut archiver = city.start("archiver");
    let total = send(10);
    archiver.wait_until("it has read them", READY, |_| {
        city.metric("archiver", "heat_archiver_readings_total", &[("outcome", "archived")]) >= 10.0
    });
    for role in [gateway, archiver] {
        role.signal("TERM");
        role.ended(READY).ended_with(0);
    }

    let rows = python.query(&copy, "SELECT raw_value FROM readings ORDER BY kafka_offset");
    let values: Vec<_> = rows.iter().map(|row| row["raw_value"].as_f64().unwrap()).collect();
    assert_eq!(values, (0..total).map(|number| number as f64).collect::<Vec<_>>(), "each once, in order");
    let audit =
        run(["audit".as_ref(), "--config".as_ref(), city.config("archiver").as_os_str()]).ended_with(0);
    assert_balanced(&audit.stdout);
}

#[test]
fn five_real_substations_are_archived_exactly_through_kills_and_a_hanging_kafka() {
    let data = tempfile::tempdir().unwrap();
    let Some((files, rows)) = recorded(data.path()) else { return };
    let Some(python) = Python::find() else { return };
    let Some(mosquitto) = Mosquitto::start(&limits_of_example()) else { return };
    let Some(kafka) = Kafka::start() else { return };
    let city = City::new(&mosquitto, &kafka);
    city.topics("apply");
    wait_until("all topics are there", READY, || {
        city.topics("plan").contains("all topics are as they should be")
    });
    let mut gateway = city.start("gateway");
    let mut archiver = city.start("archiver");
    let others = ["processor", "exporter", "api"].map(|role| city.start(role));
    let readings: Vec<u64> = rows.iter().map(|rows| rows * CELLS).collect();

    // Both are killed while the first two files are on their way; the first one alone takes a quarter of a minute.
    let replay = city.replay(&mosquitto, &files[..2], "10000000x");
    let some = readings[0] as f64 / 4.0;
    gateway.wait_until("a part has arrived", READY, |_| {
        city.metric("gateway", "heat_gateway_readings_total", &[("outcome", "received")]) >= some
    });
    let arrived = city.metric("gateway", "heat_gateway_readings_total", &[("outcome", "received")]);
    gateway.kill();
    archiver.kill();
    assert!(arrived < readings[..2].iter().sum::<u64>() as f64, "killed in the middle");
    gateway = city.start("gateway");
    archiver = city.start("archiver");
    replay.ended(ARCHIVED).ended_with(0);

    // Kafka hangs while the next two are on their way.
    kafka.freeze();
    let replay = city.replay(&mosquitto, &files[2..4], "max");
    pace(Duration::from_secs(8));
    kafka.thaw();
    replay.ended(ARCHIVED).ended_with(0);
    let before_last: u64 = readings[..4].iter().sum();
    wait_until("the first four files are archived", ARCHIVED, || city.archived() >= before_last);

    // The last one is not yet published when the archiver is told to stop.
    let read = || city.metric("archiver", "heat_archiver_readings_total", &[("outcome", "archived")]);
    let before = read();
    city.replay(&mosquitto, &files[4..], "max").ended(ARCHIVED).ended_with(0);
    archiver.wait_until("it has read the last file", ARCHIVED, |_| read() - before >= readings[4] as f64);
    gateway.signal("TERM");
    gateway.ended(READY).ended_with(0);
    archiver.signal("TERM");
    archiver.ended(READY).ended_with(0);
    for role in others {
        role.signal("TERM");
        role.ended(READY).ended_with(0);
    }

    let mut arguments = vec![city.archive().into_os_string()];
    arguments.extend(files.iter().map(|file| file.clone().into_os_string()));
    let report = python.run("xai4heat.py", arguments);
    let total: u64 = readings.iter().sum();
    assert_eq!(report["expected"], total, "{report:#}");
    assert_eq!(report["faults"], Value::Object(serde_json::Map::new()), "{report:#}");
    assert_eq!(report["found"], total, "{report:#}");
    for code in ["none", "null", "sentinel"] {
        assert!(report["codes"][code].as_u64() > Some(0), "the files hold {code}: {report:#}");
    }
    let audit =
        run(["audit".as_ref(), "--config".as_ref(), city.config("archiver").as_os_str()]).ended_with(0);
    assert_balanced(&audit.stdout);
}
