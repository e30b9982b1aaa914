//! What tests of the console show: a small town and a burst in it.

use heat_model::{
    AppendTime, EventTime, IncidentId, Origin,
    incident::{AlarmState, Class, Incident, Priority, WorkState},
    plant::{Circuit, ModelLevel, Network, Node, Pipe, PlantModel, Side, Site, SiteKind},
};

pub(crate) fn incident_id(seq: u64) -> IncidentId {
    let origin = Origin { gateway: "g".parse().unwrap(), epoch: 1, seq };
    IncidentId::derive(&"town".parse().unwrap(), &origin, 0)
}

pub(crate) fn burst() -> Incident {
    Incident {
        id: incident_id(1),
        version: 1,
        network: "town".parse().unwrap(),
        class: Class::Burst,
        kind: None,
        priority: Priority::P1,
        alarm: AlarmState::Unacknowledged,
        work: WorkState::default(),
        onset: EventTime::from_micros(0),
        opened: AppendTime::from_micros(0),
        updated: AppendTime::from_micros(0),
        cleared: None,
        shelved_until: None,
        place: None,
        side: None,
        candidates: Vec::new(),
        branch: Vec::new(),
        loss_kg_s: None,
        loss_m3_h: None,
        affected_households: None,
        search_length_m: None,
        affected: Vec::new(),
        valves: Vec::new(),
        effects: Vec::new(),
        evidence: Vec::new(),
        strength: 0.0,
        level: ModelLevel::L3,
        lacked: Vec::new(),
        text_zh: String::new(),
        text_en: String::new(),
    }
}

pub(crate) fn pipe(id: &str, from: &str, to: &str, side: Side) -> Pipe {
    Pipe {
        id: id.parse().unwrap(),
        circuit: "primary".parse().unwrap(),
        from: from.parse().unwrap(),
        to: to.parse().unwrap(),
        length_m: Some(100.0),
        inner_diameter_mm: Some(200.0),
        roughness_mm: None,
        side: Some(side),
        material: None,
        laid_year: None,
        depth_m: None,
    }
}

pub(crate) fn station(id: &str, node: &str) -> Site {
    Site {
        id: id.parse().unwrap(),
        network: Some("town".parse().unwrap()),
        kind: Some(SiteKind::Station),
        node: Some(node.parse().unwrap()),
        parent: None,
        name: None,
        operator: None,
        district: None,
        heated_area_m2: None,
        households: None,
        lon: None,
        lat: None,
        crs: None,
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
        circuits: vec![Circuit {
            id: "primary".parse().unwrap(),
            network: "town".parse().unwrap(),
            kind: None,
            medium: None,
            converted_on: None,
            water_volume_m3: None,
            design_flow_kg_s: None,
            topped_up_from: None,
        }],
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
