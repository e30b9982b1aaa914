//! A mapping as it is written, and its checks.

use heat_model::{Lane, unit::conversion};
use serde::{Deserialize, de::DeserializeOwned};

use super::{
    Absent, Capture, DeadRows, FileName, Layout, Mapping, MappingFault, Order, TallColumns, TimeColumn,
    WideColumn,
};

#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Format {
    Wide,
    Tall,
}

/// The one key that decides how the others are read.
#[derive(Debug, Deserialize)]
struct Head {
    format: Format,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Raw<C> {
    #[serde(rename = "format")]
    _format: Format,
    separator: Option<String>,
    header: Option<bool>,
    decimal: Option<String>,
    network: Option<String>,
    file_name: Option<String>,
    missing: Option<Vec<String>>,
    nulls: Option<Vec<String>>,
    sentinels: Option<Vec<f64>>,
    #[serde(default)]
    order: Order,
    lane: Option<Lane>,
    time: RawTime,
    received: Option<RawTime>,
    #[serde(default)]
    dead_rows: Vec<RawDeadRows>,
    columns: C,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct RawTime {
    column: String,
    format: String,
    zone: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct RawDeadRows {
    column: String,
    values: Vec<f64>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct RawColumn {
    column: String,
    site: Option<String>,
    device: Option<String>,
    name: String,
    unit: Option<String>,
    missing: Option<Vec<String>>,
    nulls: Option<Vec<String>>,
    sentinels: Option<Vec<f64>>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct RawTall {
    site: Option<String>,
    device: Option<String>,
    name: String,
    unit: Option<String>,
    value: String,
    lane: Option<String>,
    quality: Option<String>,
}

pub(super) fn parse(text: &str) -> Result<Mapping, Vec<MappingFault>> {
    match toml_of::<Head>(text)?.format {
        Format::Wide => finish(toml_of::<Raw<Vec<RawColumn>>>(text)?, wide),
        Format::Tall => finish(toml_of::<Raw<RawTall>>(text)?, tall),
    }
}

/// Reads TOML; the fault names the line.
pub(crate) fn toml_of<T: DeserializeOwned>(text: &str) -> Result<T, Vec<MappingFault>> {
    toml::from_str(text).map_err(|fault| {
        let start = fault.span().map_or(0, |span| span.start);
        let line = text.as_bytes().iter().take(start).filter(|&&byte| byte == b'\n').count() + 1;
        vec![MappingFault { key: format!("line {line}"), problem: fault.message().to_owned() }]
    })
}

/// The faults of a mapping, in the order of their finding.
#[derive(Debug, Default)]
pub(crate) struct Faults(pub(crate) Vec<MappingFault>);

impl Faults {
    pub(crate) fn push(&mut self, key: impl Into<String>, problem: impl Into<String>) {
        self.0.push(MappingFault { key: key.into(), problem: problem.into() });
    }

    pub(crate) fn id<T: std::str::FromStr<Err = heat_model::InvalidId>>(
        &mut self,
        key: &str,
        text: Option<&str>,
    ) -> Option<T> {
        match text?.parse() {
            Ok(id) => Some(id),
            Err(fault) => {
                self.push(key, fault.to_string());
                None
            }
        }
    }
}

fn finish<C>(
    raw: Raw<C>,
    layout: fn(C, &Absent, Option<&FileName>, &mut Faults) -> Layout,
) -> Result<Mapping, Vec<MappingFault>> {
    let mut faults = Faults(Vec::new());
    let separator = match raw.separator.as_deref().unwrap_or(",").as_bytes() {
        [byte] if byte.is_ascii() && !matches!(byte, b'"' | b'\n' | b'\r') => *byte,
        _ => {
            faults.push("separator", "it must be one ASCII character, such as \",\", \";\" or \"\\t\"");
            b','
        }
    };
    let decimal = match raw.decimal.as_deref().unwrap_or(".") {
        "." => '.',
        "," => ',',
        _ => {
            faults.push("decimal", "it must be \".\" or \",\"");
            '.'
        }
    };
    let file_name = raw.file_name.as_deref().and_then(|pattern| {
        FileName::parse(pattern).map_err(|problem| faults.push("file_name", problem)).ok()
    });
    let network = faults.id("network", raw.network.as_deref());
    let from_name = |capture| file_name.as_ref().is_some_and(|pattern| pattern.has(capture));
    if raw.network.is_none() && !from_name(Capture::Network) {
        faults.push("network", "it is missing: name the network, or let file_name tell {network}");
    }
    let absent = absent("", raw.missing, raw.nulls, raw.sentinels, &Absent::default(), &mut faults);
    let time = time_column("time", &raw.time, &mut faults);
    let received = raw.received.as_ref().and_then(|raw| time_column("received", raw, &mut faults));
    for (at, rows) in raw.dead_rows.iter().enumerate() {
        if rows.values.is_empty() {
            faults.push(format!("dead_rows[{at}].values"), "it is empty: no row would ever be dead");
        }
    }
    let layout = layout(raw.columns, &absent, file_name.as_ref(), &mut faults);
    match time {
        Some(time) if faults.0.is_empty() => Ok(Mapping {
            layout,
            separator,
            header: raw.header.unwrap_or(true),
            decimal,
            network,
            file_name,
            absent,
            order: raw.order,
            lane: raw.lane,
            time,
            received,
            dead_rows: raw
                .dead_rows
                .into_iter()
                .map(|rows| DeadRows { column: rows.column, values: rows.values })
                .collect(),
        }),
        _ => Err(faults.0),
    }
}

fn time_column(key: &str, raw: &RawTime, faults: &mut Faults) -> Option<TimeColumn> {
    TimeColumn::new(&raw.column, &raw.format, raw.zone.as_deref())
        .map_err(|(part, problem)| faults.push(format!("{key}.{part}"), problem))
        .ok()
}

fn absent(
    key: &str,
    missing: Option<Vec<String>>,
    nulls: Option<Vec<String>>,
    sentinels: Option<Vec<f64>>,
    default: &Absent,
    faults: &mut Faults,
) -> Absent {
    let says_itself = missing.is_some() || nulls.is_some();
    let absent = Absent {
        missing: missing.unwrap_or_else(|| default.missing.clone()),
        nulls: nulls.unwrap_or_else(|| default.nulls.clone()),
        sentinels: sentinels.unwrap_or_else(|| default.sentinels.clone()),
    };
    let both = absent.missing.iter().find(|text| absent.nulls.contains(text));
    if let Some(both) = both.filter(|_| says_itself) {
        faults.push(format!("{key}nulls"), format!("{both:?} is in missing too: it can mean one thing only"));
    }
    absent
}

fn wide(raw: Vec<RawColumn>, default: &Absent, file_name: Option<&FileName>, faults: &mut Faults) -> Layout {
    if raw.is_empty() {
        faults.push("columns", "it is empty: list the columns to read");
    }
    let mut columns = Vec::with_capacity(raw.len());
    let mut signals = std::collections::HashSet::new();
    for (at, raw) in raw.into_iter().enumerate() {
        let key = format!("columns[{at}]");
        for (part, given, capture) in
            [("site", raw.site.is_some(), Capture::Site), ("device", raw.device.is_some(), Capture::Device)]
        {
            if !given && !file_name.is_some_and(|pattern| pattern.has(capture)) {
                faults.push(
                    format!("{key}.{part}"),
                    format!("it is missing: name it, or let file_name tell {{{part}}}"),
                );
            }
        }
        if !signals.insert((raw.site.clone(), raw.device.clone(), raw.name.clone())) {
            faults.push(format!("{key}.name"), "another column is the same signal");
        }
        if let Err(fault) = conversion(&raw.name, raw.unit.as_deref()) {
            faults.push(format!("{key}.unit"), fault.explain(&raw.name, raw.unit.as_deref().unwrap_or("")));
        }
        let site = faults.id(&format!("{key}.site"), raw.site.as_deref());
        let device = faults.id(&format!("{key}.device"), raw.device.as_deref());
        let name = faults.id(&format!("{key}.name"), Some(&raw.name));
        let absent = absent(&format!("{key}."), raw.missing, raw.nulls, raw.sentinels, default, faults);
        if let Some(name) = name {
            let unit = raw.unit.map(Into::into);
            columns.push(WideColumn { column: raw.column, site, device, name, unit, absent });
        }
    }
    Layout::Wide(columns)
}

fn tall(raw: RawTall, _: &Absent, file_name: Option<&FileName>, faults: &mut Faults) -> Layout {
    for (part, given, capture) in
        [("site", raw.site.is_some(), Capture::Site), ("device", raw.device.is_some(), Capture::Device)]
    {
        if !given && !file_name.is_some_and(|pattern| pattern.has(capture)) {
            faults.push(
                format!("columns.{part}"),
                format!("it is missing: name a column, or let file_name tell {{{part}}}"),
            );
        }
    }
    Layout::Tall(TallColumns {
        site: raw.site,
        device: raw.device,
        name: raw.name,
        unit: raw.unit,
        value: raw.value,
        lane: raw.lane,
        quality: raw.quality,
    })
}
