//! The tables of signals: which device measures what, in which unit and resolution.

use crate::{
    arithmetic::{mix, smooth_noise, unit},
    device::{Instrument, SignalRow, Tap},
    network::Network,
    plug::{density_kg_m3, volume_m3_kg},
    steam::{CONDENSATE_CELSIUS, STEAM_CELSIUS, SteamSide, SteamUse},
};

const fn row(
    name: &'static str,
    unit: &'static str,
    range: (f64, f64),
    instrument: Instrument,
    steps_per_unit: f64,
    tap: Tap,
) -> SignalRow {
    SignalRow { name, unit, range, instrument, steps_per_unit, tap }
}

fn m3_h(flow_kg_s: f64, celsius: f64) -> f64 {
    flow_kg_s * volume_m3_kg(celsius) * 3_600.0
}

fn flag(is_set: bool) -> f64 {
    if is_set { 1.0 } else { 0.0 }
}

/// Homes of a station are numbered from 32 times its number.
pub(crate) const HOMES_PER_STATION_MAX: usize = 32;

fn home_celsius(network: &Network, place: usize) -> f64 {
    let station = &network.stations[place / HOMES_PER_STATION_MAX];
    let seed = mix(0x686F_6D65 ^ u64::try_from(place).expect("a small number"));
    let own = 2.4 * unit(seed) - 1.2;
    station.indoor_celsius + own + 0.35 * smooth_noise(seed, network.around.second / 10_800.0)
}

use Instrument as I;

pub(crate) const SOURCE_MAIN: &[SignalRow] = &[
    row("supply_temperature", "degC", (0.0, 150.0), I::PairedTemperature, 100.0, |n, _| {
        n.source.supply_celsius
    }),
    row("return_temperature", "degC", (0.0, 150.0), I::PairedTemperature, 100.0, |n, _| {
        n.source.return_celsius
    }),
    row("supply_flow", "m3/h", (0.0, 20_000.0), I::Flow, 10.0, |n, _| {
        m3_h(n.supply_kg_s, n.source.supply_celsius)
    }),
    row("return_flow", "m3/h", (-2_000.0, 20_000.0), I::Flow, 10.0, |n, _| {
        m3_h(n.return_kg_s, n.source.return_celsius)
    }),
    row("heat_power", "MW", (0.0, 1_000.0), I::Heat, 100.0, |n, _| n.source.heat_w / 1e6),
    row("heat_energy", "GJ", (0.0, 1e9), I::Counter, 1.0, |n, _| n.source.heat_j / 1e9),
];

pub(crate) const SOURCE_SUPPLY_PRESSURE: &[SignalRow] =
    &[row("supply_pressure", "MPa", (0.0, 2.5), I::FinePressure, 1_000.0, |n, _| {
        n.nodes[0].supply.node_pa / 1e6
    })];

pub(crate) const SOURCE_RETURN_PRESSURE: &[SignalRow] =
    &[row("return_pressure", "MPa", (0.0, 1.6), I::FinePressure, 1_000.0, |n, _| n.source.return_pa() / 1e6)];

pub(crate) const SOURCE_MAKE_UP: &[SignalRow] = &[
    row("make_up_flow", "m3/h", (0.0, 500.0), I::Flow, 100.0, |n, _| {
        m3_h(n.source.make_up_kg_s, n.source.make_up_celsius)
    }),
    row("make_up_temperature", "degC", (0.0, 60.0), I::Temperature, 10.0, |n, _| n.source.make_up_celsius),
    row("make_up_volume", "m3", (0.0, 1e8), I::Counter, 10.0, |n, _| n.source.make_up_m3),
    row("make_up_pump_running", "1", (0.0, 1.0), I::Status, 1.0, |n, _| flag(n.source.make_up_kg_s > 0.0)),
    row("make_up_tank_level", "m", (0.0, 6.0), I::Level, 100.0, |n, _| n.source.tank_level_m),
    row("relief_flow", "m3/h", (0.0, 500.0), I::Controller, 100.0, |n, _| {
        m3_h(n.source.relief_kg_s, n.source.return_celsius)
    }),
];

pub(crate) const SOURCE_PUMPS: &[SignalRow] = &[
    row("pump_running", "1", (0.0, 1.0), I::Status, 1.0, |n, _| flag(n.source.is_pumping())),
    row("pump_speed", "%", (0.0, 110.0), I::Controller, 10.0, |n, _| n.source.speed * 100.0),
    row("power_supply", "1", (0.0, 1.0), I::Status, 1.0, |n, _| flag(n.source.has_power)),
];

pub(crate) const SOURCE_CONTROL: &[SignalRow] =
    &[row("set_point_temperature", "degC", (0.0, 150.0), I::Controller, 10.0, |n, _| {
        n.source.set_point_celsius
    })];

pub(crate) const SOURCE_WEATHER: &[SignalRow] =
    &[row("outdoor_temperature", "degC", (-50.0, 50.0), I::Temperature, 10.0, |n, _| {
        n.around.outdoor_celsius
    })];

fn of_steam(network: &Network, value: impl Fn(&SteamSide) -> f64) -> f64 {
    network.steam.as_ref().map_or(0.0, value)
}

fn used(network: &Network, station: usize, value: impl Fn(&SteamUse) -> f64) -> f64 {
    network.stations[station].steam.as_ref().map_or(0.0, value)
}

pub(crate) const BOILER: &[SignalRow] = &[
    row("steam_flow", "t/h", (0.0, 500.0), I::Flow, 100.0, |n, _| of_steam(n, |s| s.sent_kg_s * 3.6)),
    row("steam_pressure", "MPa", (0.0, 1.6), I::Pressure, 1_000.0, |_, _| SteamSide::source_pa() / 1e6),
    row("steam_temperature", "degC", (0.0, 350.0), I::Temperature, 10.0, |_, _| STEAM_CELSIUS),
    row("condensate_flow", "t/h", (0.0, 500.0), I::Flow, 100.0, |n, _| {
        of_steam(n, |s| s.returned_kg_s * 3.6)
    }),
    row("condensate_temperature", "degC", (0.0, 120.0), I::Temperature, 10.0, |_, _| CONDENSATE_CELSIUS),
];

pub(crate) const BOILER_FEED: &[SignalRow] = &[
    row("make_up_flow", "m3/h", (0.0, 200.0), I::Flow, 100.0, |n, _| m3_h(of_steam(n, |s| s.fed_kg_s), 20.0)),
    row("make_up_temperature", "degC", (0.0, 60.0), I::Temperature, 10.0, |_, _| 20.0),
];

pub(crate) const STATION_STEAM: &[SignalRow] = &[
    row("steam_flow", "t/h", (0.0, 100.0), I::Flow, 1_000.0, |n, at| used(n, at, |s| s.taken_kg_s * 3.6)),
    row("steam_pressure", "MPa", (0.0, 1.6), I::Pressure, 1_000.0, |n, _| {
        of_steam(n, |s| s.station_pa() / 1e6)
    }),
    row("condensate_flow", "t/h", (0.0, 100.0), I::Flow, 1_000.0, |n, at| {
        used(n, at, |s| s.returned_kg_s * 3.6)
    }),
    row("heat_power", "MW", (0.0, 50.0), I::Heat, 1_000.0, |n, at| n.stations[at].heat_w / 1e6),
];

pub(crate) const CHAMBER: &[SignalRow] = &[
    row("supply_pressure", "MPa", (0.0, 2.5), I::Pressure, 1_000.0, |n, at| n.nodes[at].supply.node_pa / 1e6),
    row("return_pressure", "MPa", (0.0, 1.6), I::Pressure, 1_000.0, |n, at| n.nodes[at].back.node_pa / 1e6),
];

pub(crate) const STATION_METER: &[SignalRow] = &[
    // The meter sits in the supply, and counts volume at its temperature.
    row("primary_supply_flow", "m3/h", (0.0, 1_000.0), I::Flow, 100.0, |n, at| {
        m3_h(n.stations[at].flow_kg_s, n.stations[at].primary_supply_celsius)
    }),
    row("primary_supply_temperature", "degC", (0.0, 150.0), I::PairedTemperature, 10.0, |n, at| {
        n.stations[at].primary_supply_celsius
    }),
    row("primary_return_temperature", "degC", (0.0, 150.0), I::PairedTemperature, 10.0, |n, at| {
        n.stations[at].primary_return_celsius
    }),
    row("heat_power", "MW", (0.0, 50.0), I::Heat, 1_000.0, |n, at| n.stations[at].heat_w / 1e6),
    row("heat_energy", "GJ", (0.0, 1e8), I::Counter, 10.0, |n, at| n.stations[at].heat_j / 1e9),
    row("primary_volume", "m3", (0.0, 1e9), I::Counter, 1.0, |n, at| n.stations[at].volume_m3),
];

pub(crate) const STATION_PRESSURE: &[SignalRow] = &[
    row("primary_supply_pressure", "MPa", (0.0, 2.5), I::Pressure, 1_000.0, |n, at| {
        n.nodes[n.station_nodes[at]].supply.node_pa / 1e6
    }),
    row("primary_return_pressure", "MPa", (0.0, 1.6), I::Pressure, 1_000.0, |n, at| {
        n.nodes[n.station_nodes[at]].back.node_pa / 1e6
    }),
];

/// Head of the secondary's pump, MPa.
const SECONDARY_HEAD_MPA: f64 = 0.12;

/// Its first row is the valve of the hot water.
pub(crate) const STATION_CONTROLLER: &[SignalRow] = &[
    row("valve_opening", "%", (0.0, 100.0), I::Controller, 10.0, |n, at| n.stations[at].opening * 100.0),
    row("set_point_temperature", "degC", (0.0, 100.0), I::Controller, 10.0, |n, at| {
        n.stations[at].set_point_celsius
    }),
    row("secondary_supply_temperature", "degC", (0.0, 110.0), I::Temperature, 10.0, |n, at| {
        n.stations[at].secondary_supply_celsius
    }),
    row("secondary_return_temperature", "degC", (0.0, 110.0), I::Temperature, 10.0, |n, at| {
        n.stations[at].secondary_return_celsius
    }),
    row("secondary_supply_pressure", "MPa", (0.0, 1.6), I::Pressure, 1_000.0, |n, at| {
        n.stations[at].secondary_pa() / 1e6 + SECONDARY_HEAD_MPA
    }),
    row("secondary_return_pressure", "MPa", (0.0, 1.6), I::Pressure, 1_000.0, |n, at| {
        n.stations[at].secondary_pa() / 1e6
    }),
    row("pump_running", "1", (0.0, 1.0), I::Status, 1.0, |_, _| 1.0),
    row("make_up_pump_running", "1", (0.0, 1.0), I::Status, 1.0, |n, at| flag(n.stations[at].is_filling)),
    row("power_supply", "1", (0.0, 1.0), I::Status, 1.0, |_, _| 1.0),
];

pub(crate) const STATION_SECONDARY: &[SignalRow] = &[
    row("secondary_supply_flow", "m3/h", (0.0, 2_000.0), I::Flow, 10.0, |n, at| {
        m3_h(n.stations[at].secondary_flow_kg_s(), n.stations[at].secondary_supply_celsius)
    }),
    row("secondary_make_up_flow", "m3/h", (0.0, 50.0), I::Flow, 100.0, |n, at| {
        m3_h(n.stations[at].make_up_kg_s, 40.0)
    }),
    row("secondary_make_up_volume", "m3", (0.0, 1e7), I::Counter, 100.0, |n, at| {
        n.stations[at].secondary_make_up_kg / density_kg_m3(40.0)
    }),
];

pub(crate) const HOME: &[SignalRow] =
    &[row("indoor_temperature", "degC", (-10.0, 50.0), I::RoomTemperature, 10.0, home_celsius)];
