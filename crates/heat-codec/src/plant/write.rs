//! A plant model back to CSV tables. Reading them gives the same model.

use heat_model::plant::{
    Circuit, CircuitKind, Medium, Network, Node, Pipe, PlantModel, SeasonPlan, Side, SignalSpec, Site,
    SiteKind, Valve, ValveState,
};

use super::table::Table;
use crate::time_text::rfc3339;

/// The tables that have rows, as file name and text, with all columns.
pub fn write_tables(model: &PlantModel) -> Vec<(String, String)> {
    let mut files = Vec::new();
    push(&mut files, Table::Networks, &model.networks, network);
    push(&mut files, Table::Circuits, &model.circuits, circuit);
    push(&mut files, Table::Nodes, &model.nodes, node);
    push(&mut files, Table::Sites, &model.sites, site);
    push(&mut files, Table::Pipes, &model.pipes, pipe);
    push(&mut files, Table::Valves, &model.valves, valve);
    push(&mut files, Table::Signals, &model.signals, signal);
    push(&mut files, Table::Seasons, &model.seasons, season);
    files
}

fn push<T>(files: &mut Vec<(String, String)>, table: Table, rows: &[T], cells: fn(&T) -> Vec<String>) {
    if rows.is_empty() {
        return;
    }
    let in_memory = "writing to memory does not fail";
    let mut writer = csv::Writer::from_writer(Vec::new());
    writer.write_record(table.columns()).expect(in_memory);
    for row in rows {
        let cells = cells(row);
        debug_assert_eq!(cells.len(), table.columns().len(), "one cell a column of {}", table.name());
        writer.write_record(cells).expect(in_memory);
    }
    let text = String::from_utf8(writer.into_inner().expect(in_memory)).expect("all cells are UTF-8");
    files.push((format!("{}.csv", table.name()), text));
}

fn cell<T: ToString>(value: &Option<T>) -> String {
    value.as_ref().map(ToString::to_string).unwrap_or_default()
}

fn medium(value: Option<Medium>) -> String {
    match value {
        None => "",
        Some(Medium::Water) => "water",
        Some(Medium::Steam) => "steam",
    }
    .to_owned()
}

fn side(value: Option<Side>) -> String {
    value.map_or("", Side::as_str).to_owned()
}

fn network(row: &Network) -> Vec<String> {
    vec![
        row.id.to_string(),
        cell(&row.name),
        medium(row.medium),
        cell(&row.time_zone),
        cell(&row.operator),
        cell(&row.district),
    ]
}

fn circuit(row: &Circuit) -> Vec<String> {
    let kind = match row.kind {
        None => "",
        Some(CircuitKind::Primary) => "primary",
        Some(CircuitKind::Secondary) => "secondary",
    };
    vec![
        row.id.to_string(),
        row.network.to_string(),
        kind.to_owned(),
        medium(row.medium),
        cell(&row.converted_on),
        cell(&row.water_volume_m3),
        cell(&row.design_flow_kg_s),
        cell(&row.topped_up_from),
    ]
}

fn node(row: &Node) -> Vec<String> {
    vec![row.id.to_string(), cell(&row.network), cell(&row.x_m), cell(&row.y_m), cell(&row.elevation_m)]
}

fn site(row: &Site) -> Vec<String> {
    let kind = match row.kind {
        None => "",
        Some(SiteKind::Source) => "source",
        Some(SiteKind::Station) => "station",
        Some(SiteKind::Chamber) => "chamber",
        Some(SiteKind::Building) => "building",
        Some(SiteKind::Household) => "household",
    };
    vec![
        row.id.to_string(),
        cell(&row.network),
        kind.to_owned(),
        cell(&row.node),
        cell(&row.parent),
        cell(&row.name),
        cell(&row.operator),
        cell(&row.district),
        cell(&row.heated_area_m2),
        cell(&row.households),
        cell(&row.lon),
        cell(&row.lat),
        cell(&row.crs),
    ]
}

fn pipe(row: &Pipe) -> Vec<String> {
    vec![
        row.id.to_string(),
        row.circuit.to_string(),
        row.from.to_string(),
        row.to.to_string(),
        cell(&row.length_m),
        cell(&row.inner_diameter_mm),
        cell(&row.roughness_mm),
        side(row.side),
        cell(&row.material),
        cell(&row.laid_year),
        cell(&row.depth_m),
    ]
}

fn valve(row: &Valve) -> Vec<String> {
    let state = match row.normal_state {
        None => "",
        Some(ValveState::Open) => "open",
        Some(ValveState::Closed) => "closed",
    };
    vec![row.id.to_string(), row.pipe.to_string(), cell(&row.chamber), state.to_owned(), cell(&row.operable)]
}

fn signal(row: &SignalSpec) -> Vec<String> {
    vec![
        row.id.to_string(),
        row.site.to_string(),
        row.device.to_string(),
        row.name.to_string(),
        cell(&row.unit),
        cell(&row.topic),
        cell(&row.pointer),
        cell(&row.interval_s),
        cell(&row.range_min),
        cell(&row.range_max),
        cell(&row.accuracy_class),
        side(row.sensor_side),
    ]
}

fn season(row: &SeasonPlan) -> Vec<String> {
    vec![row.network.to_string(), cell(&row.circuit), row.state.as_str().to_owned(), rfc3339(row.from)]
}
