use heat_model::{NetworkId, plant::PlantModel};

use super::*;
use crate::topology::flows::Picture;

type Trenches<'a> = &'a [(&'a str, &'a str, f64)];

/// A street from the source A by B to C and D, a branch B - E.
const STREET: Trenches<'static> =
    &[("A", "B", 100.0), ("B", "C", 300.0), ("C", "D", 200.0), ("B", "E", 250.0)];

fn laid(trenches: Trenches<'_>, sources: &[&str]) -> Topology {
    let mut pipes = Vec::new();
    for (from, to, length) in trenches {
        for (suffix, side) in [("s", "supply"), ("r", "return")] {
            pipes.push(
                serde_json::json!({"id": format!("{from}{to}{suffix}"), "circuit": "p", "from": from, "to": to,
                "side": side, "length_m": length, "inner_diameter_mm": 100.0}),
            );
        }
    }
    let sites: Vec<serde_json::Value> = sources
        .iter()
        .map(|node| serde_json::json!({"id": format!("at-{node}"), "kind": "source", "node": node}))
        .collect();
    let plant: PlantModel = serde_json::from_value(serde_json::json!({
        "circuits": [{"id": "p", "network": "n"}], "sites": sites, "pipes": pipes
    }))
    .unwrap();
    Topology::new(&NetworkId::new("n").unwrap(), &plant)
}

/// The street; `chord` closes a ring C - E.
fn topology(chord: bool) -> Topology {
    let ring = [STREET, &[("C", "E", 150.0)]].concat();
    laid(if chord { &ring } else { STREET }, &["A"])
}

fn node(topology: &Topology, id: &str) -> u32 {
    topology.node(&id.parse().unwrap()).unwrap()
}

fn picture(topology: &Topology, more: Option<(&str, f64)>) -> Picture {
    let mut takes: Vec<(u32, f64)> =
        [("C", 2.0), ("D", 3.0), ("E", 4.0)].iter().map(|(id, flow)| (node(topology, id), *flow)).collect();
    takes.extend(more.map(|(id, flow)| (node(topology, id), flow)));
    topology.picture(&takes, &[]).unwrap()
}

/// What gauges at C, D and E would show of a loss at a node of the supply.
fn case(topology: &Topology, at: &str, loss_kg_s: f64) -> Case {
    let (sound, broken) = (picture(topology, None), picture(topology, Some((at, loss_kg_s))));
    let residuals = ["C", "D", "E"]
        .iter()
        .flat_map(|id| {
            let node = node(topology, id);
            let fall = broken.heads[node as usize] - sound.heads[node as usize];
            [(Side::Supply, -fall), (Side::Return, 0.0)].map(|(side, value)| Residual {
                node,
                side,
                value,
                sigma: 300.0,
            })
        })
        .collect();
    Case {
        flows: sound.flows,
        residuals,
        common_sigma: [300.0; 2],
        given: Vec::new(),
        loss_kg_s,
        loss_error: 0.15,
        supply_side: None,
    }
}

fn name(topology: &Topology, ranked: &Ranked) -> String {
    topology.trenches[ranked.trench as usize].pipe(ranked.side).unwrap().as_str().to_owned()
}

#[test]
fn a_loss_at_the_end_of_a_street_is_placed_there_and_on_its_side() {
    let topology = topology(false);
    let ranking = rank(&topology, &case(&topology, "D", 4.0));
    assert_eq!(name(&topology, &ranking.pipes[0]), "CDs", "{ranking:?}");
    assert!(ranking.information > 0.5 && ranking.pipes[0].probability > 0.6, "{ranking:?}");
    let sum: f64 = ranking.pipes.iter().map(|ranked| ranked.probability).sum();
    assert!((sum - 1.0).abs() < 1e-9 && ranking.pipes.len() == 8);
}

#[test]
fn without_evidence_the_ranking_is_that_of_length_and_says_that_nothing_was_learned() {
    let topology = topology(false);
    let silent = Case { residuals: Vec::new(), ..case(&topology, "D", 0.1) };
    let ranking = rank(&topology, &silent);
    let lengths: Vec<f64> =
        ranking.pipes.iter().map(|ranked| topology.trenches[ranked.trench as usize].length_m).collect();
    assert!(lengths.is_sorted_by(|a, b| a >= b), "{lengths:?}");
    assert!(ranking.information < 1e-9, "{}", ranking.information);
}

#[test]
fn the_sums_of_the_flows_tell_the_side_but_never_beyond_fifty_to_one() {
    let topology = topology(false);
    let told = Case { residuals: Vec::new(), supply_side: Some((0.0, 0.01)), ..case(&topology, "D", 0.1) };
    let ranking = rank(&topology, &told);
    let of_return: f64 = ranking
        .pipes
        .iter()
        .filter(|ranked| ranked.side == Side::Return)
        .map(|ranked| ranked.probability)
        .sum();
    assert!(of_return > 0.95 && of_return < 0.985, "{of_return}");
}

#[test]
fn one_wrong_gauge_does_not_decide() {
    let topology = topology(false);
    let mut spoiled = case(&topology, "D", 4.0);
    spoiled.residuals.retain(|residual| residual.side == Side::Supply);
    // A second gauge each at C and E, right; one more at E, which fell by itself.
    let doubles: Vec<Residual> = spoiled.residuals.clone();
    spoiled.residuals.extend(doubles);
    let wrong = Residual { node: node(&topology, "E"), side: Side::Supply, value: -90_000.0, sigma: 300.0 };
    spoiled.residuals.push(wrong);
    assert_eq!(name(&topology, &rank(&topology, &spoiled).pipes[0]), "CDs");
}

#[test]
fn of_a_citys_gauges_those_that_fell_and_a_spread_of_the_others_are_judged() {
    let gauge = |node: u32, value: f64| Residual { node, side: Side::Supply, value, sigma: 300.0 };
    let wobble = |node: u32| f64::from(node.wrapping_mul(2_654_435_761) >> 16) / 65_536.0 - 0.5;
    let mut gauges: Vec<Residual> = (0..5_000).map(|node| gauge(node, 400.0 * wobble(node))).collect();
    for node in 3_000..3_040 {
        gauges[node as usize].value = -20_000.0;
    }

    let kept = most_telling(gauges.clone());

    assert_eq!(kept.len(), GAUGES_MAX);
    assert_eq!(kept.iter().filter(|gauge| gauge.value < -10_000.0).count(), 40, "all that fell");
    let nodes: Vec<u32> = kept.iter().map(|gauge| gauge.node).collect();
    assert!(nodes.is_sorted_by(|a, b| a < b), "each once");
    assert!((0..10).all(|part| nodes.iter().any(|node| node / 500 == part)), "from everywhere: {nodes:?}");
    assert_eq!(most_telling(gauges[..150].to_vec()), gauges[..150], "few are all judged");
}

#[test]
fn a_gauges_fall_in_a_mesh_is_near_what_the_solver_gives_for_the_broken_network() {
    let topology = topology(true);
    for (at, pipe) in [("D", "CD"), ("E", "BE"), ("C", "BC")] {
        for loss_kg_s in [0.2, 2.0] {
            let case = case(&topology, at, loss_kg_s);
            let gauges: Vec<u32> = case.residuals.iter().step_by(2).map(|residual| residual.node).collect();
            let trench = topology.trenches.iter().position(|trench| {
                trench.supply.as_ref().is_some_and(|id| id.as_str() == format!("{pipe}s"))
            });
            let trench = u32::try_from(trench.unwrap()).unwrap();
            let lower = topology.trenches[trench as usize].lower;
            let position = if lower == node(&topology, at) { 1.0 } else { 0.0 };
            let mut falls = vec![0.0; gauges.len()];
            let mut model = Model::new(&topology, &case, Side::Supply, &gauges).unwrap();
            model.falls(response::Place { trench, position, loss_kg_s }, &mut falls);
            for (fall, residual) in falls.iter().zip(case.residuals.iter().step_by(2)) {
                let exact = -residual.value;
                assert!((fall - exact).abs() < 0.12 * exact.abs() + 20.0, "{at} {loss_kg_s}: {fall} {exact}");
            }
        }
    }
}

#[test]
fn a_loss_behind_a_ring_is_placed_there() {
    let topology = topology(true);
    let ranking = rank(&topology, &case(&topology, "D", 3.0));
    assert_eq!(name(&topology, &ranking.pipes[0]), "CDs", "{ranking:?}");
    assert!(!ranking.unsolved);
}

/// A street from the source A by B and C to a second source at D; E hangs on B, F on C.
fn two_sources() -> Topology {
    laid(
        &[("A", "B", 400.0), ("B", "C", 300.0), ("C", "D", 300.0), ("B", "E", 200.0), ("C", "F", 200.0)],
        &["A", "D"],
    )
}

/// What D gives of the eight that E and F take, kg/s.
const GIVEN: f64 = 4.5;

/// What gauges of the supply show, among them that of the source at D, where this is taken beside and D gives so much
/// more than its meter says.
fn case_of_two(topology: &Topology, more: (&str, f64), beyond_meter: f64) -> Case {
    let at = |id: &str, flow: f64| (node(topology, id), flow);
    let takes = [at("E", 4.0), at("F", 4.0)];
    let sound = topology.picture(&takes, &[at("D", GIVEN)]).unwrap();
    let broken = topology
        .picture(&[takes[0], takes[1], at(more.0, more.1)], &[at("D", GIVEN + beyond_meter)])
        .unwrap();
    let gauges = ["B", "C", "D", "E", "F"].map(|id| node(topology, id));
    let residual = |node: u32| Residual {
        node,
        side: Side::Supply,
        value: sound.heads[node as usize] - broken.heads[node as usize],
        sigma: 150.0,
    };
    Case {
        flows: sound.flows,
        residuals: gauges.map(residual).to_vec(),
        common_sigma: [150.0; 2],
        given: vec![(node(topology, "D"), 0.1)],
        loss_kg_s: 0.5,
        loss_error: 0.15,
        supply_side: None,
    }
}

#[test]
fn a_loss_between_two_sources_is_placed_whichever_is_nearer() {
    let topology = two_sources();
    for (at, pipe) in [("E", "BEs"), ("F", "CFs")] {
        let ranking = rank(&topology, &case_of_two(&topology, (at, 0.5), 0.0));
        assert_eq!(name(&topology, &ranking.pipes[0]), pipe, "{ranking:?}");
        assert!(ranking.pipes[0].probability > 0.5, "{ranking:?}");
    }
}

#[test]
fn an_error_of_a_further_sources_meter_names_no_place() {
    let topology = two_sources();
    let astray = case_of_two(&topology, ("E", 0.0), -0.15);
    let blind = Case { given: Vec::new(), ..astray.clone() };

    let (told, misled) = (rank(&topology, &astray), rank(&topology, &blind));

    assert!(misled.information > 0.4, "its zone fell as if water were lost there: {misled:?}");
    assert!(told.information < 0.4 * misled.information, "{told:?} {misled:?}");
}

#[test]
fn a_loss_that_turns_the_flow_between_two_sources_round_is_felt_as_the_solver_says() {
    let topology = two_sources();
    let at_c = node(&topology, "C");
    // D's water no longer gets past C.
    let case = Case { loss_kg_s: 4.0, ..case_of_two(&topology, ("C", 4.0), 0.0) };
    let gauges: Vec<u32> = case.residuals.iter().map(|residual| residual.node).collect();
    let mut model = Model::new(&topology, &case, Side::Supply, &gauges).unwrap();
    let trench =
        topology.trenches.iter().position(|trench| [trench.upper, trench.lower].contains(&at_c)).unwrap();
    let position = if topology.trenches[trench].lower == at_c { 1.0 } else { 0.0 };
    let place = response::Place { trench: u32::try_from(trench).unwrap(), position, loss_kg_s: 4.0 };

    let mut falls = vec![0.0; gauges.len()];
    model.falls(place, &mut falls);

    for (fall, residual) in falls.iter().zip(&case.residuals) {
        assert!((fall + residual.value).abs() < 1.0 + 0.001 * residual.value.abs(), "{fall} {residual:?}");
    }
    assert!(falls.iter().all(|fall| *fall > 1_000.0), "{falls:?}");
}
