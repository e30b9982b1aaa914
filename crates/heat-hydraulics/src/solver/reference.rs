//! Example networks of EPANET and pandapipes, solved by them: `fixtures/reference.csv`, made by
//! `tests/python/hydraulic_reference.py`, which names networks, versions and licences and says what each row means.

use super::{Solver, State};
use crate::{
    network::{Element, Network, Pump, Water},
    pipe::{Geometry, Resistance},
    water::GRAVITY_M_S2,
};

const FIXTURE: &str = include_str!("../../fixtures/reference.csv");

/// Metres of head, or a share of the head that the network spans.
const HEAD_M: f64 = 0.01;
const HEAD_SHARE: f64 = 0.001;

struct Case {
    name: String,
    network: Network,
    water: Water,
    pressures_pa: Vec<f64>,
    flows_kg_s: Vec<f64>,
}

fn cases() -> Vec<Case> {
    let mut cases: Vec<Case> = Vec::new();
    for line in FIXTURE.lines().filter(|line| !line.starts_with('#')) {
        let fields: Vec<&str> = line.split(',').collect();
        let number = |at: usize| fields[at].parse::<f64>().unwrap();
        let node = |at: usize| fields[at].parse::<usize>().unwrap();
        if fields[0] == "network" {
            let water = Water { density_kg_m3: number(2), viscosity_pa_s: number(3) };
            let (pressures_pa, flows_kg_s) = (Vec::new(), Vec::new());
            let network = Network::default();
            cases.push(Case { name: fields[1].to_owned(), network, water, pressures_pa, flows_kg_s });
            continue;
        }
        let Case { network, water, pressures_pa, flows_kg_s, .. } = cases.last_mut().unwrap();
        let element = match fields[0] {
            "held" => {
                network.add_held_node(number(1), number(2));
                pressures_pa.push(number(2));
                continue;
            }
            "node" => {
                let added = network.add_node(number(1));
                network.set_demand(added, number(2));
                pressures_pa.push(number(3));
                continue;
            }
            "pipe" => Element::Pipe(Geometry {
                length_m: number(5),
                inner_diameter_m: number(6),
                roughness_m: number(7),
                local_loss: number(8),
            }),
            "resistance" => Element::Resistance(Resistance { pa_s2_kg2: number(5) }),
            "pump" => {
                Element::Pump(Pump { shutoff_pa: number(5), coefficient: number(6), exponent: number(7) })
            }
            other => panic!("the fixture has a row {other:?}"),
        };
        let link = network.add_link(node(1), node(2), element, *water);
        network.set_open(link, fields[3] == "open");
        flows_kg_s.push(number(4));
    }
    cases
}

fn head_m(case: &Case, node: usize, pressure_pa: f64) -> f64 {
    pressure_pa / (case.water.density_kg_m3 * GRAVITY_M_S2) + case.network.nodes[node].elevation_m
}

fn worst_head_m(case: &Case, state: &State) -> f64 {
    let differences = case
        .pressures_pa
        .iter()
        .zip(&state.pressures_pa)
        .enumerate()
        .map(|(node, (theirs, ours))| (head_m(case, node, *theirs) - head_m(case, node, *ours)).abs());
    differences.fold(0.0, f64::max)
}

#[test]
fn heads_agree_with_epanet_and_pandapipes_on_their_own_examples() {
    let cases = cases();
    assert!(cases.len() > 8, "{}", cases.len());
    for case in &cases {
        let mut solver = Solver::new(case.network.clone()).unwrap();
        let state = solver.solve(None).unwrap_or_else(|fault| panic!("{}: {fault}", case.name));
        let heads = case.pressures_pa.iter().enumerate().map(|(node, &pa)| head_m(case, node, pa));
        let (low, high) =
            heads.fold((f64::INFINITY, f64::NEG_INFINITY), |(l, h), head| (l.min(head), h.max(head)));
        let worst = worst_head_m(case, &state);
        println!("{}: worst head {worst:.4} m of a span of {:.1} m", case.name, high - low);
        assert!(worst <= HEAD_M.max(HEAD_SHARE * (high - low)), "{}: {worst} m", case.name);

        let largest = case.flows_kg_s.iter().fold(0.0_f64, |largest, flow| largest.max(flow.abs()));
        for (link, (theirs, ours)) in case.flows_kg_s.iter().zip(&state.flows_kg_s).enumerate() {
            assert!((theirs - ours).abs() < 0.005 * largest, "{} link {link}: {theirs} {ours}", case.name);
        }
    }
}
