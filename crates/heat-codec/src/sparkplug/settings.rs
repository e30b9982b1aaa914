//! The `[gateway.sparkplug]` table, and what it means once checked.

use std::{collections::BTreeMap, time::Duration};

use heat_model::{DeviceId, NetworkId, SignalName, SiteId, time::parse_duration, unit::conversion};
use serde::Deserialize;

use super::{address::is_level, names::ONLINE};
use crate::{reject::RejectReason, topic::DeviceTopic};

/// The table as written.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RawSparkplug {
    /// Network of a group; `{group}`, `{node}` and `{device}` stand for the topic's levels. Default "{group}".
    pub network: Option<String>,
    /// Site of an edge node; default "{node}".
    pub site: Option<String>,
    /// Device; default "{device}".
    pub device: Option<String>,
    /// What `{device}` stands for where a node speaks for itself; default "node".
    pub node_device: Option<String>,
    /// Name of the signal for a metric's name, where the translated one will not do.
    pub names: BTreeMap<String, String>,
    /// Unit of a metric by the metric's name; stands above what the birth says.
    pub units: BTreeMap<String, String>,
    /// Metrics that are no readings: passed over and counted. A `*` at the end stands for any rest.
    pub ignore: Vec<String>,
    /// Shortest time between two rebirth requests to a node; doubles while they do not help. Default "30s".
    pub rebirth_cool_down: Option<String>,
    /// What the time between two rebirth requests grows to; default "10min".
    pub rebirth_cool_down_max: Option<String>,
    /// Id of this host application, for its STATE topic; none: no STATE is published.
    pub host: Option<String>,
}

/// Sparkplug settings, checked.
#[derive(Debug, Clone)]
pub struct SparkplugSettings {
    pub(super) network: Template,
    pub(super) site: Template,
    pub(super) device: Template,
    pub(super) node_device: Box<str>,
    pub(super) names: BTreeMap<String, SignalName>,
    pub(super) units: BTreeMap<String, Box<str>>,
    pub(super) ignore: Vec<Pattern>,
    pub(super) cool_down: Duration,
    pub(super) cool_down_max: Duration,
    host: Option<Box<str>>,
}

impl SparkplugSettings {
    /// Checks the table; all faults at once, each with its key below `gateway.sparkplug` and what is wrong with it.
    pub fn from_raw(raw: RawSparkplug) -> Result<Self, Vec<(String, String)>> {
        let mut faults = Faults(Vec::new());
        let network = faults.template::<NetworkId>("network", raw.network, "{group}");
        let site = faults.template::<SiteId>("site", raw.site, "{node}");
        let device = faults.template::<DeviceId>("device", raw.device, "{device}");
        if ![&network, &site, &device].into_iter().any(Template::tells_devices) && faults.0.is_empty() {
            faults
                .push("device", "without {device} in network, site or device, a node's devices would be one");
        }
        let node_device = raw.node_device.unwrap_or_else(|| "node".to_owned());
        if let Err(problem) = DeviceId::new(&node_device) {
            faults.push("node_device", problem.to_string());
        }
        let names = faults.names(raw.names);
        let units = faults.units(raw.units, &names);
        let ignore = faults.patterns(&raw.ignore);
        let cool_down = faults.duration("rebirth_cool_down", raw.rebirth_cool_down, Duration::from_secs(30));
        let longest = Duration::from_secs(600).max(cool_down);
        let cool_down_max = faults.duration("rebirth_cool_down_max", raw.rebirth_cool_down_max, longest);
        if cool_down_max < cool_down {
            faults.push("rebirth_cool_down_max", "it is shorter than rebirth_cool_down");
        }
        if let Some(host) = raw.host.as_deref().filter(|host| !is_level(host)) {
            faults.push("host", format!("{host:?} is not one level of an MQTT topic"));
        }
        if !faults.0.is_empty() {
            return Err(faults.0);
        }
        Ok(Self {
            network,
            site,
            device,
            node_device: node_device.into(),
            names,
            units,
            ignore,
            cool_down,
            cool_down_max,
            host: raw.host.map(Into::into),
        })
    }

    /// Id of this host application, if it is to publish its STATE.
    pub fn host(&self) -> Option<&str> {
        self.host.as_deref()
    }

    /// Who a device of a node is, or the node itself.
    pub(super) fn identity(
        &self,
        group: &str,
        node: &str,
        device: Option<&str>,
    ) -> Result<DeviceTopic, RejectReason> {
        let device = device.unwrap_or(&self.node_device);
        let fill = |template: &Template| template.fill(group, node, device);
        let invalid = |_| RejectReason::InvalidId;
        Ok(DeviceTopic {
            network: NetworkId::new(&fill(&self.network)).map_err(invalid)?,
            site: SiteId::new(&fill(&self.site)).map_err(invalid)?,
            device: DeviceId::new(&fill(&self.device)).map_err(invalid)?,
        })
    }

    pub(super) fn ignores(&self, metric: &str) -> bool {
        self.ignore.iter().any(|pattern| pattern.fits(metric))
    }
}

impl Default for SparkplugSettings {
    fn default() -> Self {
        Self::from_raw(RawSparkplug::default()).expect("the defaults are valid")
    }
}

/// A metric's name, or the start of one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Pattern {
    Whole(Box<str>),
    Start(Box<str>),
}

impl Pattern {
    fn fits(&self, metric: &str) -> bool {
        match self {
            Self::Whole(name) => **name == *metric,
            Self::Start(start) => metric.starts_with(&**start),
        }
    }
}

/// A text with places for the topic's levels.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Template(Vec<Piece>);

#[derive(Debug, Clone, PartialEq, Eq)]
enum Piece {
    Text(String),
    Group,
    Node,
    Device,
}

impl Template {
    fn parse(text: &str) -> Result<Self, String> {
        let mut pieces = Vec::new();
        let mut rest = text;
        while let Some((before, behind)) = rest.split_once('{') {
            let (name, behind) = behind.split_once('}').ok_or("a { without }")?;
            pieces.push(Piece::Text(before.to_owned()));
            pieces.push(match name {
                "group" => Piece::Group,
                "node" => Piece::Node,
                "device" => Piece::Device,
                other => return Err(format!("{{{other}}} is not one of {{group}}, {{node}}, {{device}}")),
            });
            rest = behind;
        }
        pieces.push(Piece::Text(rest.to_owned()));
        Ok(Self(pieces))
    }

    fn tells_devices(&self) -> bool {
        self.0.contains(&Piece::Device)
    }

    fn fill(&self, group: &str, node: &str, device: &str) -> String {
        let text = |piece: &'_ Piece| match piece {
            Piece::Text(text) => text.clone(),
            Piece::Group => group.to_owned(),
            Piece::Node => node.to_owned(),
            Piece::Device => device.to_owned(),
        };
        self.0.iter().map(text).collect()
    }
}

struct Faults(Vec<(String, String)>);

impl Faults {
    fn push(&mut self, key: impl Into<String>, problem: impl Into<String>) {
        self.0.push((key.into(), problem.into()));
    }

    /// A template that gives an id of its kind when the topic's levels are ids.
    fn template<Id: std::str::FromStr<Err = heat_model::InvalidId>>(
        &mut self,
        key: &str,
        text: Option<String>,
        default: &str,
    ) -> Template {
        let text = text.as_deref().unwrap_or(default);
        let template = Template::parse(text).unwrap_or_else(|problem| {
            self.push(key, problem);
            Template(Vec::new())
        });
        if let Err(problem) = template.fill("g", "n", "d").parse::<Id>()
            && !template.0.is_empty()
        {
            self.push(key, problem.to_string());
        }
        template
    }

    fn names(&mut self, raw: BTreeMap<String, String>) -> BTreeMap<String, SignalName> {
        let mut names = BTreeMap::new();
        for (metric, name) in raw {
            match SignalName::new(&name) {
                Ok(name) if name.as_str() == ONLINE => {
                    self.push(
                        format!("names.{metric:?}"),
                        format!("{ONLINE:?} is the state of the device itself"),
                    );
                }
                Ok(name) => {
                    names.insert(metric, name);
                }
                Err(problem) => self.push(format!("names.{metric:?}"), problem.to_string()),
            }
        }
        names
    }

    fn units(
        &mut self,
        raw: BTreeMap<String, String>,
        names: &BTreeMap<String, SignalName>,
    ) -> BTreeMap<String, Box<str>> {
        let mut units = BTreeMap::new();
        for (metric, unit) in raw {
            let name = names.get(&metric).map_or(metric.as_str(), SignalName::as_str);
            if let Err(fault) = conversion(name, Some(&unit)) {
                self.push(format!("units.{metric:?}"), fault.explain(name, &unit));
            }
            units.insert(metric, unit.into());
        }
        units
    }

    fn patterns(&mut self, raw: &[String]) -> Vec<Pattern> {
        let mut patterns = Vec::with_capacity(raw.len());
        for (at, text) in raw.iter().enumerate() {
            match text.strip_suffix('*') {
                Some("") => self.push(format!("ignore[{at}]"), "\"*\" would leave no reading"),
                Some(start) => patterns.push(Pattern::Start(start.into())),
                None => patterns.push(Pattern::Whole(text.as_str().into())),
            }
        }
        patterns
    }

    fn duration(&mut self, key: &str, text: Option<String>, default: Duration) -> Duration {
        match text.as_deref().map(parse_duration) {
            None => default,
            Some(Ok(duration)) if duration.is_zero() => {
                self.push(key, "it must be longer than 0s");
                default
            }
            Some(Ok(duration)) => duration,
            Some(Err(problem)) => {
                self.push(key, problem);
                default
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn faults(text: &str) -> Vec<String> {
        let raw: RawSparkplug = toml::from_str(text).unwrap();
        let faults = SparkplugSettings::from_raw(raw).unwrap_err();
        faults.into_iter().map(|(key, problem)| format!("{key}: {problem}")).collect()
    }

    #[test]
    fn every_fault_is_told_at_once_with_its_key() {
        let text = r##"
            network = "{city}"
            site = "a/{node}"
            node_device = ""
            ignore = ["*"]
            rebirth_cool_down = "20min"
            rebirth_cool_down_max = "30"
            host = "a/b"
            [names]
            "T" = "supply_temperature"
            "S" = "online"
            "H" = "#"
            [units]
            "T" = "bar"
            "supply_pressure" = "furlong"
        "##;
        let faults = faults(text);
        let keys: Vec<_> = faults.iter().map(|fault| fault.split(": ").next().unwrap()).collect();
        assert_eq!(
            keys,
            [
                "network",
                "site",
                "node_device",
                "names.\"H\"",
                "names.\"S\"",
                "units.\"T\"",
                "units.\"supply_pressure\"",
                "ignore[0]",
                "rebirth_cool_down_max",
                "host"
            ],
            "{faults:#?}"
        );
        let one = self::faults("device = \"plc\"");
        assert!(one.len() == 1 && one[0].starts_with("device: without {device}"), "{one:?}");
        assert!(toml::from_str::<RawSparkplug>("sites = \"x\"").is_err(), "an unknown key is a fault");
    }

    #[test]
    fn templates_say_who_speaks() {
        let raw = RawSparkplug {
            network: Some("city-{group}".to_owned()),
            site: Some("{device}".to_owned()),
            device: Some("plc".to_owned()),
            ..RawSparkplug::default()
        };
        let settings = SparkplugSettings::from_raw(raw).unwrap();
        let of = |device| settings.identity("north", "scada", device).unwrap().to_string();
        assert_eq!(of(Some("st01")), "heat/v1/city-north/st01/plc");
        assert_eq!(of(None), "heat/v1/city-north/node/plc");
        let refused = SparkplugSettings::default().identity("a\\b", "n", None);
        assert_eq!(refused, Err(RejectReason::InvalidId));
    }

    #[test]
    fn a_pattern_to_ignore_is_a_name_or_the_start_of_names() {
        let raw = RawSparkplug {
            ignore: vec!["Properties/*".to_owned(), "Firmware".to_owned()],
            ..RawSparkplug::default()
        };
        let settings = SparkplugSettings::from_raw(raw).unwrap();
        assert!(settings.ignores("Properties/Make") && settings.ignores("Firmware"));
        assert!(!settings.ignores("Firmware/2") && !settings.ignores("Supply"));
    }
}
