//! Dead letters taken again on a real Kafka by two gateways, one of which is killed meanwhile.

use std::{fs, path::PathBuf, time::Duration};

use heat_tests::{
    free_port,
    heatstream::{Running, run},
    kafka::Kafka,
    mqtt::Client,
    python::Python,
    site::is_ok,
    wait_until,
};
use serde_json::{Value, json};
use tempfile::TempDir;

const READY: Duration = Duration::from_secs(120);
/// A killed member's partitions are another's after its session has ended.
const TAKEN: Duration = Duration::from_secs(180);
const LETTERS: usize = 60;

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

impl Town {
    fn write(&self, name: &str, tables: &str) -> (PathBuf, u16) {
        let admin = free_port();
        let path = self.folder.path().join(format!("{name}.toml"));
        let archive = self.folder.path().join("archive");
        let text = format!(
            "[log]\nengine = \"kafka\"\npartitions = 4\n[log.kafka]\nbrokers = \"{}\"\n[archive]\nlocation = {:?}\n\
             rotation = \"1s\"\n[admin]\naddress = \"127.0.0.1:{admin}\"\n[logging]\nfilter = \"info\"\n{tables}",
            self.brokers,
            archive.display().to_string(),
        );
        fs::write(&path, text).unwrap();
        (path, admin)
    }

    fn start(&self, role: &str, name: &str, tables: &str) -> Running {
        let (config, admin) = self.write(name, tables);
        let mut running = Running::start(name, [role.as_ref(), "--config".as_ref(), config.as_os_str()]);
        let url = format!("http://127.0.0.1:{admin}/readyz");
        running.wait_until("/readyz says ready", READY, |_| is_ok(&url));
        running
    }

    fn gateway(&self, id: &str, mapped: bool) -> (Running, u16) {
        let (port, buffer) = (free_port(), self.folder.path().join(format!("buffer-{id}")));
        let mapping = self.folder.path().join("plc.toml");
        fs::write(&mapping, MAPPING).unwrap();
        let mappings = if mapped {
            format!("mappings = [{:?}]\n", mapping.display().to_string())
        } else {
            String::new()
        };
        let tables = format!(
            "[gateway]\nid = \"{id}\"\n{mappings}[gateway.buffer]\ndirectory = {:?}\n[gateway.listen]\naddress = \
             \"127.0.0.1:{port}\"\n",
            buffer.display().to_string()
        );
        (self.start("gateway", &format!("gateway-{id}"), &tables), port)
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
    let (config, _) = town.write("topics", "");
    let apply = ["topics", "apply", "--replication", "1", "--config"].map(Into::into).into_iter();
    run(apply.chain([config.clone().into_os_string()])).ended_with(0);
    let archiver = town.start("archiver", "archiver", "");
    let api = town.start("api", "api", &format!("[api]\naddress = \"127.0.0.1:{}\"\n", town.api));
    let (first, port) = town.gateway("a", false);
    let mut client = Client::connect(port, "field", true).unwrap();
    for number in 0..LETTERS {
        let topic = format!("plc/st{:02}/m{number}/data", number % 7);
        client.publish_acknowledged(&topic, format!("{{\"t\": {number}}}").as_bytes(), READY).unwrap();
    }
    wait_until("all letters are listed", READY, || town.letters().len() == LETTERS);
    let ids: Vec<String> =
        town.letters().iter().map(|letter| letter["id"].as_str().unwrap().to_owned()).collect();
    first.stop().ended_with(0);

    let (killed, _) = town.gateway("a", true);
    let (other, _) = town.gateway("b", true);
    let url = format!("http://127.0.0.1:{}", town.api);
    let arguments = ["rejected", "requeue", "--api", &url].map(str::to_owned);
    run(arguments.into_iter().chain(ids)).ended_with(0);
    killed.kill();
    wait_until("all letters are taken", TAKEN, || {
        let letters = town.letters();
        letters.len() == LETTERS
            && letters.iter().all(|letter| letter["requeued"]["taken"]["readings_logged"] == 1)
    });
    other.stop().ended_with(0);
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
