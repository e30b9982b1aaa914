use heat_model::{NetworkId, plant::PlantModel};

use super::*;

/// source A - B, ring B - C - D - B, E behind C; valves on AB (at B), BC, CE and one, closed, on CD.
fn plant(open_ring: bool) -> PlantModel {
    let pipe = |id: &str, from: &str, to: &str, length: f64| {
        serde_json::json!({"id": id, "circuit": "p", "from": from, "to": to, "side": "supply",
            "length_m": length, "inner_diameter_mm": 100.0})
    };
    let state = if open_ring { "closed" } else { "open" };
    serde_json::from_value(serde_json::json!({
        "circuits": [{"id": "p", "network": "n"}],
        "sites": [
            {"id": "source", "kind": "source", "node": "A"},
            {"id": "chamber", "kind": "chamber", "node": "B"},
            {"id": "c", "kind": "station", "node": "C"},
            {"id": "d", "kind": "station", "node": "D"},
            {"id": "e", "kind": "station", "node": "E"}
        ],
        "pipes": [pipe("AB", "A", "B", 100.0), pipe("BC", "B", "C", 100.0), pipe("BD", "D", "B", 100.0),
            pipe("CD", "C", "D", 100.0), pipe("CE", "C", "E", 100.0)],
        "valves": [
            {"id": "vAB", "pipe": "AB", "chamber": "chamber"},
            {"id": "vBC", "pipe": "BC"},
            {"id": "vCE", "pipe": "CE"},
            {"id": "vCD", "pipe": "CD", "normal_state": state}
        ]
    }))
    .unwrap()
}

fn topology(open_ring: bool) -> Topology {
    Topology::new(&NetworkId::new("n").unwrap(), &plant(open_ring))
}

fn node(topology: &Topology, id: &str) -> u32 {
    topology.node(&id.parse().unwrap()).unwrap()
}

fn trench(topology: &Topology, pipe: &str) -> u32 {
    let of_pipe = |trench: &Trench| trench.supply.as_ref().is_some_and(|id| id.as_str() == pipe);
    u32::try_from(topology.trenches.iter().position(of_pipe).unwrap()).unwrap()
}

fn takes(topology: &Topology) -> [(u32, f64); 3] {
    [("C", 3.0), ("D", 1.0), ("E", 2.0)].map(|(id, flow)| (node(topology, id), flow))
}

#[test]
fn a_ring_that_a_valve_keeps_open_is_a_tree_and_one_without_is_a_mesh_with_both_ways() {
    let (tree, mesh) = (topology(true), topology(false));
    assert!(!tree.is_meshed() && mesh.is_meshed());

    let picture = tree.picture(&takes(&tree), &[]).unwrap();
    assert!((picture.flows[trench(&tree, "BC") as usize] - 5.0).abs() < 1e-9);
    assert!((picture.flows[trench(&tree, "BD") as usize] - 1.0).abs() < 1e-9);

    let picture = mesh.picture(&takes(&mesh), &[]).unwrap();
    let (bc, bd) = (trench(&mesh, "BC") as usize, trench(&mesh, "BD") as usize);
    assert!((picture.flows[bc] + picture.flows[bd] - 6.0).abs() < 1e-6);
    // Of equal pipes the direct way carries less than all of C's and E's five, the round about way the rest.
    assert!(picture.flows[bc] < 4.0 && picture.flows[bd] > 2.0, "{picture:?}");
    let resistance = mesh.trenches[bc].resistance;
    let head = picture.heads[node(&mesh, "C") as usize] - picture.heads[node(&mesh, "B") as usize];
    assert!((head / (resistance * picture.flows[bc].powi(2)) - 1.0).abs() < 1e-6);
}

#[test]
fn a_place_is_shut_off_by_the_nearest_valves_on_every_way_to_it() {
    let mesh = topology(false);
    let isolation = mesh.isolation(trench(&mesh, "BD"));
    let names: Vec<&str> = isolation.valves.iter().map(ValveId::as_str).collect();
    // Out of B: by its own valve to A, and BC's; out of D: CD's. C and E are fed no more, as B is shut.
    assert_eq!(names, ["vAB", "vBC", "vCD"]);
    let cut: Vec<bool> =
        ["A", "B", "C", "D", "E"].map(|id| isolation.cut_off.contains(&node(&mesh, id))).to_vec();
    assert_eq!(cut, [false, true, true, true, true]);
    assert!(!isolation.takes_a_source);

    // A pipe with a valve of unknown place: it is taken to shut the end towards the source.
    let end = mesh.isolation(trench(&mesh, "CE"));
    assert_eq!(end.valves.iter().map(ValveId::as_str).collect::<Vec<_>>(), ["vCE"]);
    assert_eq!(end.cut_off, [node(&mesh, "E")]);
}

#[test]
fn where_no_valve_is_known_only_what_hangs_on_the_pipe_alone_is_cut_off() {
    let mut bare = plant(false);
    bare.valves.clear();
    let mesh = Topology::new(&NetworkId::new("n").unwrap(), &bare);
    assert!(mesh.isolation(trench(&mesh, "BC")).cut_off.is_empty(), "the ring feeds C the other way");
    let root = mesh.isolation(trench(&mesh, "AB"));
    assert!(root.valves.is_empty() && root.cut_off.len() == 4);
}
