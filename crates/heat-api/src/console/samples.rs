//! What tests of the console show: a small town and a burst in it.

use heat_model::{
    AppendTime, EventTime, IncidentId, Origin,
    incident::{Class, Incident},
    plant::{Circuit, ModelLevel, Network, Node, Pipe, PlantModel, Side, Site, SiteKind},
};

pub(crate) fn incident_id(seq: u64) -> IncidentId {
    let origin = Origin { gateway: "g".parse().unwrap(), epoch: 1, seq };
    IncidentId::derive(&"town".parse().unwrap(), &origin, 0)
}

pub(crate) fn burst() -> Incident {
    Incident {
        version: 1,
        level: ModelLevel::L3,
        ..Incident::new(
            incident_id(1),
            "town".parse().unwrap(),
            Class::Burst,
            EventTime::from_micros(0),
            AppendTime::from_micros(0),
        )
    }
}

pub(crate) fn pipe(id: &str, from: &str, to: &str, side: Side) -> Pipe {
    Pipe {
        length_m: Some(100.0),
        inner_diameter_mm: Some(200.0),
        side: Some(side),
        ..Pipe::new(
            id.parse().unwrap(),
            "primary".parse().unwrap(),
            from.parse().unwrap(),
            to.parse().unwrap(),
        )
    }
}

pub(crate) fn station(id: &str, node: &str) -> Site {
    Site {
        network: Some("town".parse().unwrap()),
        kind: Some(SiteKind::Station),
        node: Some(node.parse().unwrap()),
        ..Site::new(id.parse().unwrap())
    }
}

/// A source, a fork and two stations, supply and return.
pub(crate) fn town() -> PlantModel {
    let node = |id: &str, x_m: f64, y_m: f64| Node {
        id: id.parse().unwrap(),
        network: Some("town".parse().unwrap()),
        x_m: Some(x_m),
        y_m: Some(y_m),
        elevation_m: None,
    };
    PlantModel {
        networks: vec![Network {
            id: "town".parse().unwrap(),
            name: Some("Town".to_owned()),
            medium: None,
            time_zone: Some("Asia/Shanghai".to_owned()),
            operator: None,
            district: None,
        }],
        circuits: vec![Circuit::new("primary".parse().unwrap(), "town".parse().unwrap())],
        nodes: vec![
            node("n0", 0.0, 0.0),
            node("n1", 300.0, 20.0),
            node("n2", 500.0, 200.0),
            node("n3", 600.0, -150.0),
        ],
        sites: vec![
            Site { kind: Some(SiteKind::Source), ..station("source", "n0") },
            station("st1", "n2"),
            station("st2", "n3"),
        ],
        pipes: vec![
            pipe("P1s", "n0", "n1", Side::Supply),
            pipe("P1r", "n1", "n0", Side::Return),
            pipe("P2s", "n1", "n2", Side::Supply),
            pipe("P2r", "n2", "n1", Side::Return),
            pipe("P3s", "n1", "n3", Side::Supply),
            pipe("P3r", "n3", "n1", Side::Return),
        ],
        valves: Vec::new(),
        seasons: Vec::new(),
        signals: Vec::new(),
    }
}
