//! Two gateways on one real Kafka: dead letters are taken again once, a changed plant model holds for both, and what each
//! sends of its own is measured to the end of the way.

use std::{
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

use heat_tests::{
    free_port,
    heatstream::{Running, run},
    kafka::Kafka,
    mqtt::Client,
    python::Python,
    site::{get, is_ok, series, sum},
    wait_until,
};
use serde_json::{Value, json};
use tempfile::TempDir;

const READY: Duration = Duration::from_secs(120);
/// A killed member's partitions are another's after its session has ended.
const TAKEN: Duration = Duration::from_secs(180);
const LETTERS: usize = 60;
const PARTITIONS: usize = 4;

const MAPPING: &str = r#"
format = "json"
topic = "plc/{site}/{device}/data"
network = "{site}"
site = "{site}"
device = "{device}"

[[values]]
pointer = "/t"
name = "supply_temperature"
unit = "degC"
"#;

/// Roles that share a Kafka, each with a file of its own.
struct Town {
    folder: TempDir,
    brokers: String,
    api: u16,
}

struct Gateway {
    running: Running,
    port: u16,
    admin: u16,
}

fn start(role: &str, name: &str, config: &Path, admin: u16) -> Running {
    let mut running = Running::start(name, [role.as_ref(), "--config".as_ref(), config.as_os_str()]);
    let url = format!("http://127.0.0.1:{admin}/readyz");
    running.wait_until("/readyz says ready", READY, |_| is_ok(&url));
    running
}

impl Town {
    fn write(&self, name: &str, tables: &str) -> (PathBuf, u16) {
        let admin = free_port();
        let path = self.folder.path().join(format!("{name}.toml"));
        let archive = self.folder.path().join("archive");
        let text = format!(
            "[log]\nengine = \"kafka\"\npartitions = {PARTITIONS}\n[log.kafka]\nbrokers = \"{}\"\n[archive]\nlocation = {:?}\n\
             rotation = \"1s\"\n[admin]\naddress = \"127.0.0.1:{admin}\"\n[logging]\nfilter = \"info\"\n{tables}",
            self.brokers,
            archive.display().to_string(),
        );
        fs::write(&path, text).unwrap();
        (path, admin)
    }

    fn start(&self, role: &str, tables: &str) -> Running {
        self.start_seen(role, tables).0
    }

    /// The same, with the port of its metrics.
    fn start_seen(&self, role: &str, tables: &str) -> (Running, u16) {
        let (config, admin) = self.write(role, tables);
        (start(role, role, &config, admin), admin)
    }

    /// An archiver that has taken up all partitions: what its group gave it before it is stopped, it archives.
    fn archiver(&self) -> Running {
        let mut archiver = self.start("archiver", "");
        archiver.wait_until("it archives all partitions", READY, |archiver| {
            let taken = |line: &&str| line.contains("archiving") && line.contains("heat.input.v1");
            archiver.stderr().lines().filter(taken).count() >= PARTITIONS
        });
        archiver
    }

    /// A gateway with its own buffer and listener, and more settings: of its own table, and further tables.
    fn gateway(&self, id: &str, own: &str, tables: &str) -> Gateway {
        let (port, buffer) = (free_port(), self.folder.path().join(format!("buffer-{id}")));
        let tables = format!(
            "[gateway]\nid = \"{id}\"\n{own}[gateway.buffer]\ndirectory = {:?}\n[gateway.listen]\naddress = \
             \"127.0.0.1:{port}\"\n{tables}",
            buffer.display().to_string()
        );
        let name = format!("gateway-{id}");
        let (config, admin) = self.write(&name, &tables);
        Gateway { running: start("gateway", &name, &config, admin), port, admin }
    }

    /// A file of the folder, as TOML wants it quoted.
    fn file(&self, name: &str, text: &str) -> String {
        let path = self.folder.path().join(name);
        let beside = self.folder.path().join(format!("{name}.new"));
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&beside, text).unwrap();
        fs::rename(beside, &path).unwrap();
        format!("{:?}", path.display().to_string())
    }

    fn apply_topics(&self) -> PathBuf {
        let (config, _) = self.write("topics", "");
        let apply = ["topics", "apply", "--replication", "1", "--config"].map(Into::into).into_iter();
        run(apply.chain([config.clone().into_os_string()])).ended_with(0);
        config
    }

    fn letters(&self) -> Vec<Value> {
        let api = format!("http://127.0.0.1:{}", self.api);
        let output = run(["rejected", "list", "--json", "--limit", "500", "--api", &api]);
        let page: Value = serde_json::from_str(&output.stdout).unwrap_or_default();
        page["items"].as_array().cloned().unwrap_or_default()
    }
}

#[test]
fn two_gateways_take_letters_again_once_though_one_is_killed() {
    let Some(python) = Python::find() else { return };
    let Some(kafka) = Kafka::start() else { return };
    let town = Town { folder: tempfile::tempdir().unwrap(), brokers: kafka.brokers(), api: free_port() };
    let config = town.apply_topics();
    let archiver = town.archiver();
    let api = town.start("api", &format!("[api]\naddress = \"127.0.0.1:{}\"\n", town.api));
    let first = town.gateway("a", "", "");
    let mut client = Client::connect(first.port, "field", true).unwrap();
    for number in 0..LETTERS {
        let topic = format!("plc/st{:02}/m{number}/data", number % 7);
        client.publish_acknowledged(&topic, format!("{{\"t\": {number}}}").as_bytes(), READY).unwrap();
    }
    wait_until("all letters are listed", READY, || town.letters().len() == LETTERS);
    let ids: Vec<String> =
        town.letters().iter().map(|letter| letter["id"].as_str().unwrap().to_owned()).collect();
    first.running.stop().ended_with(0);

    let mapped = format!("mappings = [{}]\n", town.file("plc.toml", MAPPING));
    let killed = town.gateway("a", &mapped, "");
    let other = town.gateway("b", &mapped, "");
    let url = format!("http://127.0.0.1:{}", town.api);
    let arguments = ["rejected", "requeue", "--api", &url].map(str::to_owned);
    run(arguments.into_iter().chain(ids)).ended_with(0);
    killed.running.kill();
    wait_until("all letters are taken", TAKEN, || {
        let letters = town.letters();
        letters.len() == LETTERS
            && letters.iter().all(|letter| letter["requeued"]["taken"]["readings_logged"] == 1)
    });
    other.running.stop().ended_with(0);
    api.stop().ended_with(0);
    archiver.stop().ended_with(0);

    let archive = town.folder.path().join("archive");
    let rows = python.query(
        &archive,
        "SELECT raw_value, count(DISTINCT event_time) AS times, count(*) AS rows FROM readings GROUP BY raw_value \
         ORDER BY raw_value",
    );
    let values: Vec<f64> = rows.iter().map(|row| row["raw_value"].as_f64().unwrap()).collect();
    assert_eq!(
        values,
        (0..LETTERS).map(|number| number as f64).collect::<Vec<_>>(),
        "none is lost or invented"
    );
    assert!(
        rows.iter().all(|row| row["times"] == json!(1)),
        "the time is that of the first receipt: {rows:#?}"
    );
    let doubled: Vec<&Value> = rows.iter().filter(|row| row["rows"] != json!(1)).collect();
    assert!(doubled.is_empty(), "{doubled:#?}");
    run(["audit".into(), "--config".into(), config.into_os_string()]).ended_with(0);
}

#[test]
fn a_changed_plant_model_holds_for_both_gateways_and_for_no_reading_before_it() {
    let Some(python) = Python::find() else { return };
    let Some(kafka) = Kafka::start() else { return };
    let town = Town { folder: tempfile::tempdir().unwrap(), brokers: kafka.brokers(), api: free_port() };
    let config = town.apply_topics();
    town.file("plant/sites.csv", "id,network,kind\nst1,town,station\nst2,town,station\n");
    let write_unit = |unit: &str| {
        let row = |site: u8| format!("town/st{site}/meter/supply_pressure,{unit}\n");
        town.file("plant/signals.csv", &format!("id,unit\n{}{}", row(1), row(2)))
    };
    write_unit("MPa");
    let plant =
        format!("[plant]\ndirectory = {:?}\n", town.folder.path().join("plant").display().to_string());
    let archiver = town.archiver();
    let gateways = ["a", "b"].map(|id| town.gateway(id, "", &plant));
    let wait_for_reloads = |count: f64| {
        for gateway in &gateways {
            wait_until("the gateway has the plant model", READY, || {
                let metrics = get(&format!("http://127.0.0.1:{}/metrics", gateway.admin)).unwrap_or_default();
                sum(&metrics, "heat_gateway_plant_reloads_total", &[]) >= count
            });
        }
    };
    let mut clients =
        [0, 1].map(|at| Client::connect(gateways[at].port, &format!("meter-{at}"), true).unwrap());
    let mut send = |value: f64| {
        for (client, site) in clients.iter_mut().zip(1..) {
            let payload = format!(r#"{{"values": {{"supply_pressure": {value}}}}}"#);
            let topic = format!("heat/v1/town/st{site}/meter");
            client.publish_acknowledged(&topic, payload.as_bytes(), READY).unwrap();
        }
    };
    wait_for_reloads(1.0);
    send(0.8);
    write_unit("bar");
    wait_for_reloads(2.0);
    send(5.0);
    for gateway in gateways {
        gateway.running.stop().ended_with(0);
    }
    archiver.stop().ended_with(0);

    let rows = python.query(
        &town.folder.path().join("archive"),
        "SELECT site, raw_value, raw_unit, round(value) AS pascals FROM readings ORDER BY site, raw_value",
    );
    let found: Vec<_> = rows
        .iter()
        .map(|row| json!([row["site"], row["raw_value"], row["raw_unit"], row["pascals"]]))
        .collect();
    assert_eq!(
        found,
        [
            json!(["st1", 0.8, "MPa", 8e5]),
            json!(["st1", 5.0, "bar", 5e5]),
            json!(["st2", 0.8, "MPa", 8e5]),
            json!(["st2", 5.0, "bar", 5e5]),
        ]
    );
    run(["audit".into(), "--config".into(), config.into_os_string()]).ended_with(0);
}

#[test]
fn each_gateways_canary_is_measured_through_to_the_api_the_archive_and_metrics() {
    let Some(python) = Python::find() else { return };
    let Some(kafka) = Kafka::start() else { return };
    let town = Town { folder: tempfile::tempdir().unwrap(), brokers: kafka.brokers(), api: free_port() };
    town.apply_topics();
    let (archiver, archiver_admin) = town.start_seen("archiver", "");
    let (api, api_admin) = town.start_seen("api", &format!("[api]\naddress = \"127.0.0.1:{}\"\n", town.api));
    let (exporter, exporter_admin) = town.start_seen("exporter", "");
    // No plant model has it, and yet it is taken.
    let own = "canary_interval = \"1s\"\nunknown_signals = \"refuse\"\n";
    let gateways = ["a", "b"].map(|id| town.gateway(id, own, ""));

    let seen = |gateway: &str| {
        let at = |admin: u16, name: &str, labels: &[(&str, &str)]| {
            series(&get(&format!("http://127.0.0.1:{admin}/metrics")).unwrap_or_default(), name, labels)
        };
        let metrics = [("network", "canary"), ("site", gateway)];
        Some([
            at(api_admin, "heat_api_canary_sent_timestamp_seconds", &[("gateway", gateway)])?,
            at(archiver_admin, "heat_archiver_canary_sent_timestamp_seconds", &[("gateway", gateway)])?,
            at(exporter_admin, "heat_signal_value", &metrics)?,
        ])
    };
    let mut archived = 0.0_f64;
    for gateway in ["a", "b"] {
        wait_until("its canary is seen everywhere", READY, || seen(gateway).is_some());
        let first = seen(gateway).unwrap();
        wait_until("later ones follow everywhere", READY, || {
            seen(gateway).is_some_and(|now| now.iter().zip(first).all(|(now, first)| *now > first))
        });
        archived = archived.max(seen(gateway).unwrap()[1]);
    }
    for (admin, delays) in
        [(api_admin, "heat_api_canary_delay_seconds"), (archiver_admin, "heat_archiver_canary_delay_seconds")]
    {
        let metrics = get(&format!("http://127.0.0.1:{admin}/metrics")).unwrap();
        let of = |part: &str| series(&metrics, &format!("{delays}_{part}"), &[]).unwrap();
        assert!(of("count") >= 2.0 && of("sum") > 0.0, "{metrics}");
    }
    let networks = get(&format!("http://127.0.0.1:{}/api/v1/networks", town.api)).unwrap();
    assert!(!networks.contains("canary"), "no pipe belongs to it: {networks}");
    for gateway in gateways {
        gateway.running.stop().ended_with(0);
    }
    for role in [exporter, api, archiver] {
        role.stop().ended_with(0);
    }

    let rows = python.query(
        &town.folder.path().join("archive"),
        "SELECT site, count(*) AS rows, max(value) AS newest FROM readings WHERE network = 'canary' GROUP BY site ORDER BY site",
    );
    let newest = rows.iter().map(|row| row["newest"].as_f64().unwrap()).fold(0.0_f64, f64::max);
    assert!(
        rows.len() == 2 && newest >= archived,
        "the archive has what the metric says: {rows:#?} {archived}"
    );
}
