//! Two processors that share a city, and are replaced one after the other.

use std::{fmt::Write as _, fs, path::Path, time::Duration};

use heat_tests::{
    free_port,
    heatstream::{Running, run},
    kafka::Kafka,
    mosquitto::Mosquitto,
    pace,
    python::Python,
    wait_until,
};
use serde_json::Value;

use super::{City, READY};

const NETWORKS: [&str; 4] = ["alpha", "beta", "gamma", "delta"];
/// The processors are up well before, and have seen quiet data for more than a minute.
const FIRST_BURST: u64 = 120;
const BETWEEN_BURSTS: u64 = 30;
/// From the start of the city to an incident: the last burst, and time for a partition to find another processor.
const FOUND: Duration = Duration::from_secs(FIRST_BURST + 3 * BETWEEN_BURSTS + 120);
/// Longer than Kafka waits for a member that says nothing.
const LOST_TO_THE_GROUP: Duration = Duration::from_secs(15);

/// Plan and script of the city: a burst in each network, one after the other. Gives the script's text.
fn plan(folder: &Path) -> (std::path::PathBuf, std::path::PathBuf) {
    let (plan, script, plant) = (folder.join("city.toml"), folder.join("script.toml"), folder.join("plant"));
    let mut text = String::new();
    for id in NETWORKS {
        writeln!(
            text,
            "[[networks]]\nid = \"{id}\"\nname = \"{id}\"\ndistrict = \"d\"\nstations = 8\nbase_loss_share = 0.003"
        )
        .unwrap();
    }
    fs::write(&plan, text).unwrap();
    let arguments = ["sim", "--seed", "5", "--city"].map(Into::into);
    let rest = [plan.clone().into_os_string(), "--plant".into(), plant.clone().into_os_string()];
    run(arguments.into_iter().chain(rest)).ended_with(0);
    let pipes = fs::read_to_string(plant.join("pipes.csv")).unwrap();
    let mut text = String::new();
    for (number, id) in (0..).zip(NETWORKS) {
        // The first pipe of the supply is the widest one, at the source; the second lies behind it.
        let of_supply = |line: &&str| line.contains(&format!(",{id}-primary,")) && line.contains(",supply,");
        let pipe = pipes.lines().filter(of_supply).nth(1).unwrap().split(',').next().unwrap();
        let after = FIRST_BURST + number * BETWEEN_BURSTS;
        writeln!(
            text,
            "[[events]]\nnetwork = \"{id}\"\nafter = \"{after}s\"\nlasts = \"10m\"\n\
             what = {{ kind = \"burst\", pipe = \"{pipe}\", size = {{ share_of_circulation = 0.2 }} }}"
        )
        .unwrap();
    }
    fs::write(&script, text).unwrap();
    (plan, script)
}

impl City {
    /// Gives a role's file the plant tables.
    fn with_plant(&self, role: &str, plant: &Path) {
        let text = fs::read_to_string(self.config(role)).unwrap();
        let example = "# directory = \"/etc/heatstream/plant\"";
        let own = format!("directory = \"{}\"", plant.display());
        let text = if text.contains(example) {
            text.replace(example, &own)
        } else {
            format!("{text}\n[plant]\n{own}\n")
        };
        fs::write(self.config(role), text).unwrap();
    }

    /// A second processor's file.
    fn second_processor(&mut self) {
        let own = free_port();
        let text = fs::read_to_string(self.config("processor")).unwrap();
        let text = text.replace(&self.admin["processor"].to_string(), &own.to_string());
        fs::write(self.config("processor-2"), text).unwrap();
        self.admin.insert("processor-2", own);
    }

    fn processor(&self, file: &'static str) -> Running {
        let running =
            Running::start(file, ["processor".as_ref(), "--config".as_ref(), self.config(file).as_os_str()]);
        let url = format!("http://127.0.0.1:{}/readyz", self.admin[file]);
        wait_until("the processor is ready", READY, || heat_tests::site::is_ok(&url));
        running
    }
}

fn bursts(outputs: &Value, network: &str) -> Vec<Value> {
    let opened = outputs["opened"][network].as_array().cloned().unwrap_or_default();
    opened.into_iter().filter(|incident| incident[0] == "burst").collect()
}

#[test]
fn a_burst_is_told_once_while_processors_are_replaced_killed_and_frozen() {
    let Some(python) = Python::find() else { return };
    let Some(mosquitto) = Mosquitto::start("") else { return };
    let Some(kafka) = Kafka::start() else { return };
    let mut city = City::new(&mosquitto, &kafka);
    let (plan, script) = plan(city.folder.path());
    let plant = city.folder.path().join("plant");
    for role in ["gateway", "processor"] {
        city.with_plant(role, &plant);
    }
    city.second_processor();
    city.topics("apply");
    let gateway = city.start("gateway");
    let mut first = city.processor("processor");
    let mut second = city.processor("processor-2");
    let url = format!("mqtt://127.0.0.1:{}", mosquitto.port());
    let arguments = ["sim", "--seed", "5", "--mqtt", &url, "--city"].map(Into::into);
    let files = [plan.into_os_string(), "--script".into(), script.into_os_string()];
    let sim = Running::start("sim", arguments.into_iter().chain(files));
    let outputs = || python.run("kafka_outputs.py", [kafka.brokers()]);
    let found = |network: &str| {
        wait_until(&format!("the burst of {network} is told"), FOUND, || {
            !bursts(&outputs(), network).is_empty()
        });
    };
    wait_until("both have work", READY, || {
        ["processor", "processor-2"]
            .iter()
            .all(|file| city.metric(file, "heat_processor_readings_total", &[]) > 0.0)
    });

    // An upgrade: one stops and its successor starts, while the first burst is under way.
    found(NETWORKS[0]);
    first.signal("TERM");
    first.ended(READY).ended_with(0);
    first = city.processor("processor");
    // The other dies as the second burst is told.
    found(NETWORKS[1]);
    second.kill();
    second = city.processor("processor-2");
    // One is frozen until its partitions have gone to the other, and goes on as if nothing had been.
    found(NETWORKS[2]);
    first.signal("STOP");
    pace(LOST_TO_THE_GROUP);
    first.signal("CONT");
    found(NETWORKS[3]);

    sim.signal("TERM");
    sim.ended(READY).ended_with(0);
    for role in [first, second, gateway] {
        role.signal("TERM");
        role.ended(READY).ended_with(0);
    }
    let outputs = outputs();
    assert_eq!(outputs["contradictions"], Value::Array(Vec::new()), "{outputs:#}");
    for network in NETWORKS {
        assert_eq!(bursts(&outputs, network).len(), 1, "one burst is one incident: {network}: {outputs:#}");
    }
}
