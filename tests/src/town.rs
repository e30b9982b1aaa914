//! A small recorded town with one obvious burst, as text: CSV readings, mapping, labels and plant tables.
//!
//! One source, four stations in a row, supply and return pipes of 200 m each. Every value is a base value with a daily
//! swing and a fixed pseudo-random noise, so the files are the same on every machine. The burst lies in the second pipe
//! of the supply side.

use std::{fs, io, path::Path};

/// Seconds of a day.
const DAY: i64 = 86_400;
/// 2026-01-01 00:00:00 +08:00.
const START: i64 = 1_767_196_800;
/// Length of the burst, seconds.
const BURST: i64 = 5_400;

/// What is recorded.
#[derive(Debug, Clone, Copy)]
pub struct Town {
    /// Days of data.
    pub days: i64,
    /// Seconds between rows.
    pub step: i64,
    /// Day of the burst, from 0; it begins 10 h after midnight UTC. `None`: nothing happens.
    pub burst_day: Option<i64>,
}

impl Default for Town {
    /// 18 days in steps of 5 min, a burst on the 16th.
    fn default() -> Self {
        Self { days: 18, step: 300, burst_day: Some(16) }
    }
}

const SIGNALS: [(&str, &str, &str); 21] = [
    ("source", "supply_flow", "kg/s"),
    ("source", "return_flow", "kg/s"),
    ("source", "make_up_flow", "kg/s"),
    ("source", "supply_pressure", "bar"),
    ("source", "return_pressure", "bar"),
    ("source", "supply_temperature", "degC"),
    ("source", "return_temperature", "degC"),
    ("source", "ash_level", "m"),
    ("st1", "primary_supply_pressure", "bar"),
    ("st1", "primary_return_pressure", "bar"),
    ("st1", "primary_supply_flow", "kg/s"),
    ("st2", "primary_supply_pressure", "bar"),
    ("st2", "primary_return_pressure", "bar"),
    ("st2", "primary_supply_flow", "kg/s"),
    ("st3", "primary_supply_pressure", "bar"),
    ("st3", "primary_return_pressure", "bar"),
    ("st3", "primary_supply_flow", "kg/s"),
    ("st4", "primary_supply_pressure", "bar"),
    ("st4", "primary_return_pressure", "bar"),
    ("st4", "primary_supply_flow", "kg/s"),
    ("st4", "indoor_temperature", "degC"),
];

/// Quiet value, change in the burst, and noise of each signal, in the order of [`SIGNALS`].
const COURSES: [(f64, f64, f64); 21] = [
    (40.0, 5.0, 0.05),
    (40.0, -3.0, 0.05),
    (0.05, 8.0, 0.01),
    (8.0, -0.6, 0.01),
    (3.0, -0.6, 0.01),
    (90.0, 0.0, 0.1),
    (50.0, 0.0, 0.1),
    (2.0, 0.0, 0.0),
    (7.6, -0.8, 0.01),
    (3.4, -0.5, 0.01),
    (10.0, 0.0, 0.02),
    (7.3, -1.3, 0.01),
    (3.7, -0.4, 0.01),
    (10.0, 0.0, 0.02),
    (7.1, -1.3, 0.01),
    (3.9, -0.4, 0.01),
    (10.0, 0.0, 0.02),
    (7.0, -1.3, 0.01),
    (4.0, -0.4, 0.01),
    (10.0, 0.0, 0.02),
    (20.0, 0.0, 0.1),
];

/// A fixed number between -1 and 1 for a row and a signal.
fn noise(row: i64, signal: usize) -> f64 {
    let mut z = row.cast_unsigned().wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ (signal as u64) << 32;
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    ((z ^ (z >> 31)) >> 11) as f64 / (1_u64 << 52) as f64 - 1.0
}

/// `YYYY-MM-DD HH:MM:SS` in the zone of the mapping (+08:00), January and February of 2026.
fn local(at: i64) -> String {
    let (day, second) = ((at - START).div_euclid(DAY), (at - START).rem_euclid(DAY));
    let (month, day) = if day < 31 { (1, day + 1) } else { (2, day - 30) };
    format!("2026-{month:02}-{day:02} {:02}:{:02}:{:02}", second / 3_600, second / 60 % 60, second % 60)
}

impl Town {
    fn burst_on(&self) -> Option<i64> {
        self.burst_day.map(|day| START + day * DAY + 10 * 3_600 + 70)
    }

    fn value(&self, at: i64, row: i64, signal: usize) -> f64 {
        let (quiet, change, scale) = COURSES[signal];
        let hour = (at - START).rem_euclid(DAY) as f64 / 3_600.0;
        let swing = match SIGNALS[signal].1 {
            "supply_flow" | "return_flow" => 0.3 * (hour / 24.0 * std::f64::consts::TAU).sin(),
            _ => 0.0,
        };
        let bursts = self.burst_on().is_some_and(|on| (on..on + BURST).contains(&at));
        quiet + swing + scale * noise(row, signal) + if bursts { change } else { 0.0 }
    }

    /// Rows of the readings between two days, with a header.
    pub fn readings(&self, days: std::ops::Range<i64>) -> String {
        let mut text = String::from("time");
        for (site, name, _) in SIGNALS {
            text.push_str(&format!(",{site}.{name}"));
        }
        text.push('\n');
        for row in days.start * DAY / self.step..days.end.min(self.days) * DAY / self.step {
            let at = START + row * self.step;
            text.push_str(&local(at));
            for signal in 0..SIGNALS.len() {
                text.push_str(&format!(",{:.4}", self.value(at, row, signal)));
            }
            text.push('\n');
        }
        text
    }

    /// The mapping of the readings.
    pub fn mapping() -> String {
        let mut text = String::from(
            "format = \"wide\"\nnetwork = \"town\"\nmissing = [\"\"]\n\n[time]\ncolumn = \"time\"\n\
             format = \"%Y-%m-%d %H:%M:%S\"\nzone = \"Asia/Shanghai\"\n",
        );
        for (site, name, unit) in SIGNALS {
            text.push_str(&format!(
                "\n[[columns]]\ncolumn = \"{site}.{name}\"\nsite = \"{site}\"\ndevice = \"main\"\nname = \"{name}\"\n\
                 unit = \"{unit}\"\n"
            ));
        }
        text
    }

    /// What really happened.
    pub fn labels(&self) -> String {
        let mut text = String::from("event,class,network,start,end,place,side,size_kg_s\n");
        if let Some(on) = self.burst_on() {
            let time = |at: i64| format!("{}+08:00", local(at).replace(' ', "T"));
            text.push_str(&format!("e1,burst,town,{},{},P2s,supply,8.0\n", time(on), time(on + BURST)));
        }
        text
    }

    /// The plant tables, by file name.
    pub fn plant() -> Vec<(&'static str, String)> {
        let mut nodes = String::from("id,x_m,y_m,elevation_m\n");
        let mut pipes =
            String::from("id,circuit,from,to,length_m,inner_diameter_mm,roughness_mm,side,laid_year\n");
        let mut sites = String::from("id,kind,node\nsource,source,N0\n");
        for number in 0..5 {
            nodes.push_str(&format!("N{number},{},{},10\n", 180 * number, 60 * (number % 2)));
            if number > 0 {
                sites.push_str(&format!("st{number},station,N{number}\n"));
                for (suffix, side) in [("s", "supply"), ("r", "return")] {
                    pipes.push_str(&format!(
                        "P{number}{suffix},town-primary,N{},N{number},200,200,0.1,{side},{}\n",
                        number - 1,
                        1980 + 10 * number
                    ));
                }
            }
        }
        vec![
            ("networks.csv", "id,name\ntown,town\n".to_owned()),
            ("circuits.csv", "id,network,water_volume_m3\ntown-primary,town,60\n".to_owned()),
            ("nodes.csv", nodes),
            ("pipes.csv", pipes),
            ("sites.csv", sites),
        ]
    }

    /// Writes readings.csv, mapping.toml, labels.csv and plant/ into a folder.
    pub fn write(&self, folder: &Path) -> io::Result<()> {
        fs::write(folder.join("readings.csv"), self.readings(0..self.days))?;
        fs::write(folder.join("mapping.toml"), Self::mapping())?;
        fs::write(folder.join("labels.csv"), self.labels())?;
        fs::create_dir_all(folder.join("plant"))?;
        for (name, text) in Self::plant() {
            fs::write(folder.join("plant").join(name), text)?;
        }
        Ok(())
    }
}
