//! What city to build.

use heat_model::{EventTime, NetworkId};
use serde::{Deserialize, Serialize};

/// A city: its networks and its weather.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CityPlan {
    /// City time minus UTC, hours; no daylight saving.
    #[serde(default = "beijing")]
    pub utc_offset_hours: f64,
    /// IANA name of that zone, for the plant tables.
    #[serde(default = "shanghai")]
    pub time_zone: String,
    /// Weather.
    #[serde(default)]
    pub weather: WeatherPlan,
    /// Networks.
    pub networks: Vec<NetworkPlan>,
    /// Share of messages that never arrive, by chance; 0 to 0.5.
    #[serde(default = "gap_share")]
    pub gap_share: f64,
}

fn beijing() -> f64 {
    8.0
}

fn shanghai() -> String {
    "Asia/Shanghai".into()
}

fn gap_share() -> f64 {
    0.0005
}

/// Weather of the city.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WeatherPlan {
    /// Mean outdoor temperature, degC.
    pub mean_celsius: f64,
    /// Half the difference between day and night, K.
    pub diurnal_k: f64,
    /// Standard deviation of the weather of several days, K.
    pub synoptic_k: f64,
    /// How much colder a cold wave is, K; it comes about every 12 days and lasts 3. 0 for none.
    pub cold_wave_k: f64,
}

impl Default for WeatherPlan {
    fn default() -> Self {
        Self { mean_celsius: -5.0, diurnal_k: 4.0, synoptic_k: 3.0, cold_wave_k: 5.0 }
    }
}

/// How a network's make-up is controlled.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MakeUpControl {
    /// The pump follows the return pressure.
    #[default]
    Continuous,
    /// The pump fills at full flow between two pressures.
    Batch,
}

/// One network.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NetworkPlan {
    /// Id.
    pub id: NetworkId,
    /// Name for people.
    pub name: String,
    /// District for people.
    pub district: String,
    /// How many stations, 4 to 200; a larger city has more networks.
    pub stations: usize,
    /// Water lost all the time, as a share of the design circulation; 0 to 0.05.
    pub base_loss_share: f64,
    /// Make-up control.
    #[serde(default)]
    pub make_up: MakeUpControl,
    /// Elevation of the source, m.
    #[serde(default)]
    pub elevation_m: f64,
    /// A steam circuit beside the hot water, half converted.
    #[serde(default)]
    pub steam: Option<SteamPlan>,
}

/// A network on its way from steam to hot water (汽改水). Its branches take turns: one has hot water, the next is converted
/// on the date, the third stays on steam.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SteamPlan {
    /// Date of the conversion, `YYYY-MM-DD`; it happens at its midnight in the city.
    pub converted_on: String,
}

impl SteamPlan {
    /// The date's midnight UTC, seconds since 1970; `None` for what is no date.
    pub(crate) fn midnight_utc_s(&self) -> Option<i64> {
        let mut parts = self.converted_on.splitn(3, '-').map(str::parse::<i64>);
        let (year, month, day) = (parts.next()?.ok()?, parts.next()?.ok()?, parts.next()?.ok()?);
        let date = (1970..2200).contains(&year) && (1..=12).contains(&month) && (1..=31).contains(&day);
        date.then(|| days_from_civil(year, month, day) * 86_400)
    }
}

/// Days since 1970-01-01 of a date (Howard Hinnant's `days_from_civil`).
fn days_from_civil(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let of_era = year.rem_euclid(400);
    let of_year = (153 * (month + if month > 2 { -3 } else { 9 }) + 2) / 5 + day - 1;
    year.div_euclid(400) * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719_468
}

/// The date of a day since 1970, `YYYY-MM-DD` (Howard Hinnant's `civil_from_days`).
fn civil_from_days(days: i64) -> String {
    let days = days + 719_468;
    let of_era = days.rem_euclid(146_097);
    let year_of_era = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted = (5 * of_year + 2) / 153;
    let (day, month) =
        (of_year - (153 * shifted + 2) / 5 + 1, if shifted < 10 { shifted + 3 } else { shifted - 9 });
    let year = days.div_euclid(146_097) * 400 + year_of_era + i64::from(month <= 2);
    format!("{year:04}-{month:02}-{day:02}")
}

/// The plan makes no city.
#[derive(Debug, thiserror::Error)]
pub enum PlanError {
    /// Not TOML, or not of this form.
    #[error("read the plan of the city: {0}")]
    Read(#[from] toml::de::Error),
    /// No network.
    #[error("the plan has no network")]
    Empty,
    /// Two networks of one id.
    #[error("the plan has network {0} twice")]
    Twice(NetworkId),
    /// Not a date.
    #[error("{key} is {text:?}: write it as 2026-11-15")]
    Date {
        /// Key path.
        key: String,
        /// What it is.
        text: String,
    },
    /// A number makes no sense.
    #[error("{key} is {value}, it must lie in {range}")]
    OutOfRange {
        /// Key path.
        key: String,
        /// What it is.
        value: f64,
        /// What it may be.
        range: &'static str,
    },
}

impl CityPlan {
    /// Reads a plan from TOML.
    pub fn from_toml(text: &str) -> Result<Self, PlanError> {
        Ok(toml::from_str(text)?)
    }

    /// The demo city: three networks, 114 stations.
    pub fn demo() -> Self {
        let network =
            |id: &str, name: &str, district: &str, stations, base_loss_share, elevation_m| NetworkPlan {
                id: NetworkId::new(id).expect("a literal id"),
                name: name.into(),
                district: district.into(),
                stations,
                base_loss_share,
                make_up: MakeUpControl::Continuous,
                elevation_m,
                steam: None,
            };
        Self {
            utc_offset_hours: beijing(),
            time_zone: shanghai(),
            weather: WeatherPlan::default(),
            networks: vec![
                network("demo-north", "城北热网", "城北区", 44, 0.003, 42.0),
                network("demo-east", "东区热网", "东城区", 38, 0.002, 36.0),
                network("demo-harbour", "港区热网", "港口区", 32, 0.006, 8.0),
            ],
            gap_share: gap_share(),
        }
    }

    /// A city with one network that is half converted from steam; the conversion comes on the tenth day after `start`.
    pub fn conversion(start: EventTime) -> Self {
        const AFTER_DAYS: i64 = 10;
        const BEIJING_S: i64 = 8 * 3_600;
        let on = (start.second() + BEIJING_S).div_euclid(86_400) + AFTER_DAYS;
        Self {
            networks: vec![NetworkPlan {
                id: NetworkId::new("demo-works").expect("a literal id"),
                name: "汽改水热网".into(),
                district: "老工业区".into(),
                stations: 15,
                // Of the design circulation: half of that flows while so many are on steam.
                base_loss_share: 0.001_5,
                make_up: MakeUpControl::Continuous,
                elevation_m: 24.0,
                steam: Some(SteamPlan { converted_on: civil_from_days(on) }),
            }],
            ..Self::demo()
        }
    }

    /// Checks every number.
    pub fn check(&self) -> Result<(), PlanError> {
        if self.networks.is_empty() {
            return Err(PlanError::Empty);
        }
        let within = |key: String, value: f64, low: f64, high: f64, range| {
            if (low..=high).contains(&value) {
                Ok(())
            } else {
                Err(PlanError::OutOfRange { key, value, range })
            }
        };
        within("utc_offset_hours".into(), self.utc_offset_hours, -14.0, 14.0, "-14 to 14")?;
        within("gap_share".into(), self.gap_share, 0.0, 0.5, "0 to 0.5")?;
        within("weather.mean_celsius".into(), self.weather.mean_celsius, -30.0, 12.0, "-30 to 12")?;
        within("weather.diurnal_k".into(), self.weather.diurnal_k, 0.0, 15.0, "0 to 15")?;
        within("weather.synoptic_k".into(), self.weather.synoptic_k, 0.0, 10.0, "0 to 10")?;
        within("weather.cold_wave_k".into(), self.weather.cold_wave_k, 0.0, 20.0, "0 to 20")?;
        for (index, network) in self.networks.iter().enumerate() {
            let stations = u32::try_from(network.stations).map_or(f64::INFINITY, f64::from);
            within(format!("networks[{index}].stations"), stations, 4.0, 200.0, "4 to 200")?;
            let loss = network.base_loss_share;
            within(format!("networks[{index}].base_loss_share"), loss, 0.0, 0.05, "0 to 0.05")?;
            if let Some(steam) = network.steam.as_ref().filter(|steam| steam.midnight_utc_s().is_none()) {
                let key = format!("networks[{index}].steam.converted_on");
                return Err(PlanError::Date { key, text: steam.converted_on.clone() });
            }
            if self.networks.iter().take(index).any(|other| other.id == network.id) {
                return Err(PlanError::Twice(network.id.clone()));
            }
        }
        Ok(())
    }
}
