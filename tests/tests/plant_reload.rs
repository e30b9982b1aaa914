//! The plant model of a running system: changed, refused, asked for by SIGHUP, and there again after a restart.

use std::{fs, path::PathBuf, time::Duration};

use heat_tests::{
    heatstream::Running,
    mqtt,
    python::Python,
    site::{Site, assert_balanced, series, sum},
};
use serde_json::Value;

/// Seconds in an idle house; more on a busy machine.
const SOON: Duration = Duration::from_secs(60);
const SITES: &str = "id,network,kind\nst1,town,station\n";
const IN_MPA: &str = "id,unit,range_min,range_max\ntown/st1/meter/supply_pressure,MPa,0,1.6\n";
const IN_BAR: &str = "id,unit,range_min,range_max\ntown/st1/meter/supply_pressure,bar,0,10\n";
const FAULTY: &str = "id,unit,range_min,range_max\ntown/st1/meter/supply_pressure,bar,0,10\n\
    town/st1/meter/supply_temperature,Pa,,\ntown/st9/meter/volume,m3,,\n";

/// A deployment with plant tables in the place where `up` looks for them.
struct Town {
    site: Site,
    plant: PathBuf,
}

impl Town {
    fn new(signals: &str) -> Self {
        let site = Site::new("");
        let plant = site.data_dir().join("site/plant");
        fs::create_dir_all(&plant).unwrap();
        let town = Self { site, plant };
        town.write("sites.csv", SITES);
        town.write("signals.csv", signals);
        town
    }

    /// Written beside and renamed, as a careful export does it.
    fn write(&self, name: &str, text: &str) {
        let beside = self.plant.join(format!(".{name}.new"));
        fs::write(&beside, text).unwrap();
        fs::rename(beside, self.plant.join(name)).unwrap();
    }

    fn start(&self) -> Running {
        let mut up = self.site.start();
        self.wait_for(&mut up, "heat_gateway_plant_reloads_total", 1.0);
        up
    }

    fn wait_for(&self, up: &mut Running, metric: &str, value: f64) {
        up.wait_until(&format!("{metric} is {value}"), SOON, |_| {
            sum(&self.site.metrics(), metric, &[]) >= value
        });
        assert_eq!(sum(&self.site.metrics(), metric, &[]), value, "{metric}");
    }

    /// A value without a unit, as a meter sends it that leaves the unit to the plant model.
    fn send(&self, client: &mut mqtt::Client, value: f64) {
        let payload = format!(r#"{{"values": {{"supply_pressure": {value}}}}}"#);
        client.publish_acknowledged("heat/v1/town/st1/meter", payload.as_bytes(), SOON).unwrap();
    }

    fn wait_for_pascals(&self, up: &mut Running, expected: f64) {
        let labels = [("network", "town"), ("site", "st1")];
        up.wait_until(&format!("{expected} Pa is in /metrics"), SOON, |_| {
            series(&self.site.metrics(), "heat_supply_pressure_pascals", &labels)
                .is_some_and(|found| (found - expected).abs() < 1e-6)
        });
    }
}

#[test]
fn a_changed_unit_and_range_hold_for_new_readings_and_old_ones_keep_theirs() {
    let Some(python) = Python::find() else { return };
    let town = Town::new(IN_MPA);
    let mut up = town.start();
    let mut client = mqtt::Client::connect(town.site.mqtt, "meter-1", true).unwrap();
    town.send(&mut client, 0.8);
    town.wait_for_pascals(&mut up, 8e5);

    town.write("signals.csv", IN_BAR);
    town.wait_for(&mut up, "heat_gateway_plant_reloads_total", 2.0);
    town.send(&mut client, 5.0);
    town.wait_for_pascals(&mut up, 5e5);
    town.send(&mut client, 20.0);
    client.disconnect();

    let ended = up.stop().ended_with(0);
    assert_balanced(&ended.stdout);
    let rows = python.query(&town.site.archive(), "SELECT * FROM readings ORDER BY kafka_offset");
    let found: Vec<_> = rows
        .iter()
        .map(|row| {
            let [unit, quality, code] =
                ["raw_unit", "quality", "quality_code"].map(|key| row[key].as_str().unwrap().to_owned());
            (row["raw_value"].as_f64().unwrap(), row["value"].as_f64().unwrap().round(), unit, quality, code)
        })
        .collect();
    let row = |raw: f64, value: f64, unit: &str, quality: &str, code: &str| {
        (raw, value, unit.to_owned(), quality.to_owned(), code.to_owned())
    };
    assert_eq!(
        found,
        [
            row(0.8, 8e5, "MPa", "good", "untimed"),
            row(5.0, 5e5, "bar", "good", "untimed"),
            row(20.0, 2e6, "bar", "uncertain", "out_of_range"),
        ]
    );
}

#[test]
fn faulty_tables_are_refused_whole_and_told_again_when_asked_by_sighup() {
    let town = Town::new(IN_MPA);
    let mut up = town.start().expecting_error("the plant tables are refused whole");
    let mut client = mqtt::Client::connect(town.site.mqtt, "meter-1", true).unwrap();

    town.write("signals.csv", FAULTY);
    town.wait_for(&mut up, "heat_gateway_plant_reload_failures_total", 1.0);
    let log = up.stderr();
    for told in ["signals.csv:3: unit", "signals.csv:4: site", "add its row"] {
        assert!(log.contains(told), "{told} is missing: {log}");
    }
    town.send(&mut client, 0.8);
    town.wait_for_pascals(&mut up, 8e5);

    // The files are as they were: only the signal can have them read.
    up.signal("HUP");
    town.wait_for(&mut up, "heat_gateway_plant_reload_failures_total", 2.0);
    assert_eq!(sum(&town.site.metrics(), "heat_gateway_plant_reloads_total", &[]), 1.0);

    town.write("signals.csv", IN_BAR);
    up.signal("HUP");
    town.wait_for(&mut up, "heat_gateway_plant_reloads_total", 2.0);
    town.send(&mut client, 0.8);
    town.wait_for_pascals(&mut up, 8e4);
    client.disconnect();
    let ended = up.stop().ended_with(0);
    assert_balanced(&ended.stdout);
}

#[test]
fn after_a_restart_the_model_is_read_from_the_log_and_names_follow_a_later_change() {
    let town = Town::new(IN_MPA);
    let mut up = town.start();
    let mut client = mqtt::Client::connect(town.site.mqtt, "meter-1", true).unwrap();
    town.send(&mut client, 0.8);
    town.wait_for_pascals(&mut up, 8e5);
    client.disconnect();
    up.stop().ended_with(0);

    let mut up = town.start();
    let name = |answer: &Value| answer["sites"]["items"][0]["name"].as_str().map(str::to_owned);
    assert_eq!(name(&town.site.ask("networks/town")), None);
    town.write("sites.csv", "id,network,kind,name\nst1,town,station,红旗站\n");
    up.wait_until("the API shows the station's new name", SOON, |_| {
        name(&town.site.ask("networks/town")).as_deref() == Some("红旗站")
    });
    let ended = up.stop().ended_with(0);
    assert_balanced(&ended.stdout);
}
