//! Rows as typed values, each with its place.

use std::collections::{BTreeMap, BTreeSet};

use heat_model::{
    CircuitId, EventTime, NetworkId, SignalId, SignalName,
    plant::{
        Circuit, CircuitKind, Medium, Network, Node, Pipe, PlantModel, SeasonPlan, SeasonState, Side,
        SignalSpec, Site, SiteKind, Valve, ValveState,
    },
    unit::{Dimension, Unit, UnitFault, conversion, standard_dimensions},
};

use super::{
    At, Faults,
    cells::{Bound, Row},
    classes::is_accuracy_class,
    suggest::nearest,
    table::{RawTable, Table},
};
use crate::{ticket::Crs, time_text::parse_rfc3339};

/// A row and where it stands.
#[derive(Debug)]
pub(super) struct Placed<'a, T> {
    pub(super) row: T,
    pub(super) at: At<'a>,
}

/// All rows that could be read.
#[derive(Debug, Default)]
pub(super) struct Rows<'a> {
    pub(super) networks: Vec<Placed<'a, Network>>,
    pub(super) circuits: Vec<Placed<'a, Circuit>>,
    pub(super) nodes: Vec<Placed<'a, Node>>,
    pub(super) sites: Vec<Placed<'a, Site>>,
    pub(super) pipes: Vec<Placed<'a, Pipe>>,
    pub(super) valves: Vec<Placed<'a, Valve>>,
    pub(super) signals: Vec<Placed<'a, SignalSpec>>,
    pub(super) seasons: Vec<Placed<'a, SeasonPlan>>,
    /// Tables that were given, if only with a header.
    pub(super) given: BTreeSet<Table>,
}

impl<'a> Rows<'a> {
    pub(super) fn read(tables: &'a [RawTable], faults: &mut Faults) -> Self {
        let named = named_networks(tables);
        let implied = if named.len() == 1 { named.first().cloned() } else { None };
        let zones = zones(tables, implied.as_ref());
        let mut rows = Self::default();
        for table in tables {
            rows.given.insert(table.table);
            for raw in &table.rows {
                let at = At { file: &table.file, line: raw.line, row: Some(raw) };
                let mut row = Row { at, raw, implied: implied.as_ref(), faults };
                rows.push(&mut row, at, &zones);
            }
        }
        if !rows.given.contains(&Table::Networks) {
            let at = At::line("networks.csv", 0);
            rows.networks = named.into_iter().map(|id| Placed { row: bare_network(id), at }).collect();
        }
        rows
    }

    fn push(&mut self, row: &mut Row<'_, '_>, at: At<'a>, zones: &Zones) {
        match row.raw.table {
            Table::Networks => self.networks.extend(network(row).map(|row| Placed { row, at })),
            Table::Circuits => self.circuits.extend(circuit(row).map(|row| Placed { row, at })),
            Table::Nodes => self.nodes.extend(node(row).map(|row| Placed { row, at })),
            Table::Sites => self.sites.extend(site(row).map(|row| Placed { row, at })),
            Table::Pipes => self.pipes.extend(pipe(row).map(|row| Placed { row, at })),
            Table::Valves => self.valves.extend(valve(row).map(|row| Placed { row, at })),
            Table::Signals => self.signals.extend(signal(row).map(|row| Placed { row, at })),
            Table::Seasons => self.seasons.extend(season(row, zones).map(|row| Placed { row, at })),
        }
    }

    pub(super) fn into_model(self) -> PlantModel {
        fn bare<T>(placed: Vec<Placed<'_, T>>) -> Vec<T> {
            placed.into_iter().map(|placed| placed.row).collect()
        }
        PlantModel {
            networks: bare(self.networks),
            circuits: bare(self.circuits),
            nodes: bare(self.nodes),
            sites: bare(self.sites),
            pipes: bare(self.pipes),
            valves: bare(self.valves),
            signals: bare(self.signals),
            seasons: bare(self.seasons),
        }
    }
}

fn bare_network(id: NetworkId) -> Network {
    Network { id, name: None, medium: None, time_zone: None, operator: None, district: None }
}

/// The networks of the `networks` table, or without one those that the other tables name.
fn named_networks(tables: &[RawTable]) -> BTreeSet<NetworkId> {
    let given = tables.iter().any(|table| table.table == Table::Networks);
    let mut named = BTreeSet::new();
    for table in tables.iter().filter(|table| !given || table.table == Table::Networks) {
        let column = if given { "id" } else { "network" };
        for row in &table.rows {
            let text = if table.table == Table::Signals {
                row.cell("id").and_then(|cell| cell.text.split('/').next())
            } else {
                row.cell(column).map(|cell| cell.text.as_str())
            };
            named.extend(text.and_then(|text| NetworkId::new(text).ok()));
        }
    }
    named
}

/// Time zones of the networks that name one.
type Zones = BTreeMap<NetworkId, jiff::tz::TimeZone>;

fn zones(tables: &[RawTable], implied: Option<&NetworkId>) -> Zones {
    let rows = tables.iter().filter(|table| table.table == Table::Networks).flat_map(|table| &table.rows);
    rows.filter_map(|row| {
        let id = row.cell("id").and_then(|cell| NetworkId::new(&cell.text).ok());
        let zone = jiff::tz::TimeZone::get(&row.cell("time_zone")?.text).ok()?;
        Some((id.or_else(|| implied.cloned())?, zone))
    })
    .collect()
}

const STATES: [(&str, SeasonState); 9] = [
    ("off", SeasonState::Off),
    ("wet_layup", SeasonState::WetLayup),
    ("filling", SeasonState::Filling),
    ("pressure_test", SeasonState::PressureTest),
    ("cold_circulation", SeasonState::ColdCirculation),
    ("heating_up", SeasonState::HeatingUp),
    ("heating", SeasonState::Heating),
    ("shutting_down", SeasonState::ShuttingDown),
    ("repair", SeasonState::Repair),
];

const MEDIA: [(&str, Medium); 2] = [("water", Medium::Water), ("steam", Medium::Steam)];
/// Longer than any pipe between two nodes: kilometres or millimetres were meant.
const LENGTH_MAX_M: f64 = 100_000.0;
/// From a house connection's to twice the largest transport pipe's; metres fall below it.
const DIAMETER_MM: Bound = Bound::Within(10.0, 3_000.0);
/// Old and rusty pipes have a few millimetres.
const ROUGHNESS_MM: Bound = Bound::Within(0.0, 20.0);
/// Ten readings a second to one a month.
const INTERVAL_S: Bound = Bound::Within(0.1, 2_678_400.0);
/// What a unit that is not known, of a signal of any name, is taken to have meant.
const COMMON: [Dimension; 7] = [
    Dimension::Temperature,
    Dimension::Pressure,
    Dimension::MassFlow,
    Dimension::VolumeFlow,
    Dimension::Power,
    Dimension::Energy,
    Dimension::Volume,
];
const SIDES: [(&str, Side); 2] = [("supply", Side::Supply), ("return", Side::Return)];

fn network(row: &mut Row<'_, '_>) -> Option<Network> {
    let id = row.required("id");
    if let Some(zone) = row.text("time_zone")
        && jiff::tz::TimeZone::get(zone).is_err()
    {
        row.fault("time_zone", format!("{zone:?} is not a time zone"), "write one such as Asia/Shanghai");
    }
    let medium = row.word("medium", &MEDIA);
    let (name, time_zone) = (row.own("name"), row.own("time_zone"));
    let (operator, district) = (row.own("operator"), row.own("district"));
    Some(Network { id: id?, name, medium, time_zone, operator, district })
}

fn circuit(row: &mut Row<'_, '_>) -> Option<Circuit> {
    let id = row.required("id");
    let network = row.network();
    if network.is_none() && row.text("network").is_none() {
        let remedy = "with several networks each circuit needs it";
        row.fault("network", "it is missing".to_owned(), remedy);
    }
    let kind = row.word("kind", &[("primary", CircuitKind::Primary), ("secondary", CircuitKind::Secondary)]);
    let medium = row.word("medium", &MEDIA);
    if let Some(date) = row.text("converted_on")
        && date.parse::<jiff::civil::Date>().is_err()
    {
        row.fault("converted_on", format!("{date:?} is not a date"), "write it as 2026-11-24");
    }
    let water_volume_m3 = row.number("water_volume_m3", Bound::Positive);
    let design_flow_kg_s = row.number("design_flow_kg_s", Bound::Positive);
    let topped_up_from = row.id::<CircuitId>("topped_up_from");
    let converted_on = row.own("converted_on");
    Some(Circuit {
        id: id?,
        network: network?,
        kind,
        medium,
        converted_on,
        water_volume_m3,
        design_flow_kg_s,
        topped_up_from,
    })
}

fn node(row: &mut Row<'_, '_>) -> Option<Node> {
    let (id, network) = (row.required("id"), row.network());
    let (x_m, y_m) = (row.number("x_m", Bound::Any), row.number("y_m", Bound::Any));
    let elevation_m = row.number("elevation_m", Bound::Within(-500.0, 9_000.0));
    Some(Node { id: id?, network, x_m, y_m, elevation_m })
}

fn site(row: &mut Row<'_, '_>) -> Option<Site> {
    let (id, network) = (row.required("id"), row.network());
    let kinds = [
        ("source", SiteKind::Source),
        ("station", SiteKind::Station),
        ("chamber", SiteKind::Chamber),
        ("building", SiteKind::Building),
        ("household", SiteKind::Household),
    ];
    let kind = row.word("kind", &kinds);
    let (node, parent) = (row.id("node"), row.id("parent"));
    let heated_area_m2 = row.number("heated_area_m2", Bound::NotNegative);
    let households = row.count("households", 0, u32::MAX);
    let (lon, lat) =
        (row.number("lon", Bound::Within(-180.0, 180.0)), row.number("lat", Bound::Within(-90.0, 90.0)));
    for (column, other) in [("lon", "lat"), ("lat", "lon")] {
        if row.text(column).is_none() && row.text(other).is_some() {
            row.fault(column, format!("it is missing, while there is a {other}"), "give both or none");
        }
    }
    let crs = row.word("crs", &Crs::ALL.map(|crs| (crs.as_str(), crs)));
    let (name, operator, district) = (row.own("name"), row.own("operator"), row.own("district"));
    Some(Site {
        id: id?,
        network,
        kind,
        node,
        parent,
        name,
        operator,
        district,
        heated_area_m2,
        households,
        lon,
        lat,
        crs: crs.map(|crs| crs.as_str().to_owned()),
    })
}

fn pipe(row: &mut Row<'_, '_>) -> Option<Pipe> {
    let id = row.required("id");
    let circuit = row.required("circuit");
    let (from, to) = (row.required("from"), row.required("to"));
    if from.is_some() && from == to {
        row.fault("to", "the pipe ends where it begins".to_owned(), "correct one of its nodes");
    }
    let length_m = row.number("length_m", Bound::PositiveUpTo(LENGTH_MAX_M));
    let inner_diameter_mm = row.number("inner_diameter_mm", DIAMETER_MM);
    let roughness_mm = row.number("roughness_mm", ROUGHNESS_MM);
    let side = row.word("side", &SIDES);
    let laid_year = row.count("laid_year", 1850, 2200);
    let depth_m = row.number("depth_m", Bound::Within(0.0, 100.0));
    let material = row.own("material");
    Some(Pipe {
        id: id?,
        circuit: circuit?,
        from: from?,
        to: to?,
        length_m,
        inner_diameter_mm,
        roughness_mm,
        side,
        material,
        laid_year,
        depth_m,
    })
}

fn valve(row: &mut Row<'_, '_>) -> Option<Valve> {
    let (id, pipe) = (row.required("id"), row.required("pipe"));
    let chamber = row.id("chamber");
    let normal_state =
        row.word("normal_state", &[("open", ValveState::Open), ("closed", ValveState::Closed)]);
    let truths = [("true", true), ("false", false), ("1", true), ("0", false), ("yes", true), ("no", false)];
    let operable = row.word("operable", &truths);
    Some(Valve { id: id?, pipe: pipe?, chamber, normal_state, operable })
}

fn signal(row: &mut Row<'_, '_>) -> Option<SignalSpec> {
    let id = signal_id(row);
    let interval_s = row.number("interval_s", INTERVAL_S);
    let (range_min, range_max) = (row.number("range_min", Bound::Any), row.number("range_max", Bound::Any));
    if range_min.zip(range_max).is_some_and(|(min, max)| min >= max) {
        row.fault("range_max", "it is not above range_min".to_owned(), "exchange or correct them");
    }
    if row.text("pointer").is_some_and(|pointer| !pointer.starts_with('/')) {
        row.fault("pointer", "a JSON pointer begins with /".to_owned(), "write it as /values/t1");
    }
    let sensor_side = row.word("sensor_side", &SIDES);
    let (unit, topic, pointer) = (row.own("unit"), row.own("topic"), row.own("pointer"));
    let accuracy_class = row.own("accuracy_class");
    if let Some(class) = accuracy_class.as_deref().filter(|class| !is_accuracy_class(class)) {
        let remedy = "write one such as EN 1434 class 2, Pt100 B, 0.5 % or 0.3 K";
        row.warn(
            "accuracy_class",
            format!("{class:?} is not understood: it is kept and decides nothing"),
            remedy,
        );
    }
    // Also of a row without an id, so that one look tells all that is wrong with it.
    let last = |id: &'_ str| id.rsplit('/').next().and_then(|name| SignalName::new(name).ok());
    let name = id.as_ref().map(|id| id.name.clone());
    if let Some(name) = name.or_else(|| row.text("name").or(row.text("id")).and_then(last)) {
        check_unit(row, &name);
    }
    let id = id?;
    Some(SignalSpec {
        site: id.site.clone(),
        device: id.device.clone(),
        name: id.name.clone(),
        id,
        unit,
        topic,
        pointer,
        interval_s,
        range_min,
        range_max,
        accuracy_class,
        sensor_side,
    })
}

fn season(row: &mut Row<'_, '_>, zones: &Zones) -> Option<SeasonPlan> {
    let circuit = row.id("circuit");
    let network = row.network();
    if network.is_none() && row.text("network").is_none() {
        row.fault("network", "it is missing".to_owned(), "with several networks each row needs it");
    }
    for column in ["state", "from"] {
        if row.text(column).is_none() {
            row.fault(column, "it is missing".to_owned(), "every row needs it");
        }
    }
    let state = row.word("state", &STATES);
    let from =
        row.text("from").and_then(|text| begin(row, text, network.as_ref().and_then(|id| zones.get(id))));
    Some(SeasonPlan { network: network?, circuit, state: state?, from: from? })
}

/// A time with its offset, or a date: the beginning of that day where the network is.
fn begin(row: &mut Row<'_, '_>, text: &str, zone: Option<&jiff::tz::TimeZone>) -> Option<EventTime> {
    let time = parse_rfc3339(text).ok();
    // Longer, it would be a time of day without an offset, which jiff takes for a date.
    let date = text.parse::<jiff::civil::Date>().ok().filter(|_| text.len() <= "2026-11-15".len());
    match (time, date, zone) {
        (Some(time), _, _) => Some(time),
        (None, Some(date), Some(zone)) => {
            let midnight = date.to_zoned_datetime(zone.clone()).ok()?;
            Some(EventTime::from_micros(midnight.timestamp().as_microsecond()))
        }
        (None, Some(_), None) => {
            let remedy = "give the network a time_zone, or write a time with its offset";
            row.fault("from", format!("{text:?} is a date, and the network has no time zone"), remedy);
            None
        }
        (None, None, _) => {
            let remedy = "write it as 2026-11-15, or as 2026-11-15T06:00:00+08:00";
            row.fault("from", format!("{text:?} is neither a date nor a time with its offset"), remedy);
            None
        }
    }
}

fn check_unit(row: &mut Row<'_, '_>, name: &SignalName) {
    let Some(unit) = row.text("unit") else { return };
    let dimensions = standard_dimensions(name.as_str()).unwrap_or(&COMMON);
    let meant = || nearest(unit, Unit::spellings(dimensions)).map(|meant| format!("did you mean {meant}?"));
    let other = "correct the unit, or give the signal another name";
    match conversion(name.as_str(), Some(unit)) {
        Ok(_) if Unit::parse(unit).is_none() => {
            let problem = format!("the unit {unit:?} is not known: values are kept as they come");
            row.warn("unit", problem, meant().as_deref().unwrap_or("write one such as degC, MPa, m3/h, kW"));
        }
        Ok(_) => {}
        Err(fault @ UnitFault::Unknown) => {
            row.fault("unit", fault.explain(name.as_str(), unit), meant().as_deref().unwrap_or(other));
        }
        Err(fault @ UnitFault::WrongDimension) => {
            row.fault("unit", fault.explain(name.as_str(), unit), other)
        }
    }
}

/// The id must agree with the columns site, device and name where these are given.
fn signal_id(row: &mut Row<'_, '_>) -> Option<SignalId> {
    let Some(text) = row.text("id") else {
        row.fault("id", "it is missing".to_owned(), "write it as network/site/device/name");
        return None;
    };
    let id: SignalId = match text.parse() {
        Ok(id) => id,
        Err(fault) => {
            row.fault("id", format!("{text:?}: {fault}"), "write it as network/site/device/name");
            return None;
        }
    };
    for (column, part) in
        [("site", id.site.as_str()), ("device", id.device.as_str()), ("name", id.name.as_str())]
    {
        if let Some(text) = row.text(column)
            && text != part
        {
            let problem = format!("{text:?}, but the id says {part:?}");
            row.fault(column, problem, "correct one of them");
        }
    }
    Some(id)
}
