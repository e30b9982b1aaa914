use proptest::prelude::*;

use super::*;
use crate::{
    network::{Element, Pump, Water},
    pipe::{Geometry, Resistance, orifice_kg_s},
    tree::{Leak, Load, RootedTree, TwinTree},
};

fn hot() -> Water {
    Water::at_celsius(80.0)
}

fn pipe(length_m: f64, inner_diameter_m: f64) -> Element {
    Element::Pipe(Geometry { length_m, inner_diameter_m, roughness_m: 1e-4, local_loss: 0.0 })
}

fn solve(network: Network) -> (Solver, State) {
    let mut solver = Solver::new(network).unwrap();
    let state = solver.solve(None).unwrap();
    (solver, state)
}

#[test]
fn two_equal_ways_share_the_flow_and_the_reading_falls_by_one_ways_loss() {
    let mut network = Network::default();
    let source = network.add_held_node(0.0, 8e5);
    let (left, right, end) = (network.add_node(0.0), network.add_node(0.0), network.add_node(10.0));
    for (a, b) in [(source, left), (left, end), (source, right), (right, end)] {
        network.add_link(a, b, pipe(100.0, 0.1), hot());
    }
    network.set_demand(end, 12.0);
    let (_, state) = solve(network);

    let (loss, _) = pipe(100.0, 0.1).loss_and_slope(6.0, hot());
    let weight = hot().density_kg_m3 * crate::water::GRAVITY_M_S2 * 10.0;
    assert!((state.flows_kg_s[0] - 6.0).abs() < 1e-6 && (state.flows_kg_s[3] - 6.0).abs() < 1e-6);
    assert!((state.pressures_pa[end] - (8e5 - 2.0 * loss - weight)).abs() < 0.5, "{state:?}");
}

/// Source, pump, stations as valves, static pressure held at the return.
fn heating(stations_kv: &[f64]) -> Network {
    let mut network = Network::default();
    let back = network.add_held_node(0.0, 3e5);
    let supply = network.add_node(0.0);
    let lift = Pump { shutoff_pa: 4e5, coefficient: 200.0, exponent: 2.0 };
    network.add_link(back, supply, Element::Pump(lift), hot());
    let (mut s, mut r) = (supply, back);
    for kv in stations_kv {
        let (next_s, next_r) = (network.add_node(5.0), network.add_node(5.0));
        network.add_link(s, next_s, pipe(200.0, 0.15), hot());
        network.add_link(next_r, r, pipe(200.0, 0.15), Water::at_celsius(45.0));
        network.add_link(next_s, next_r, Element::Resistance(Resistance::of_kv(*kv, 970.0)), hot());
        (s, r) = (next_s, next_r);
    }
    network
}

#[test]
fn a_closed_station_moves_its_flow_to_the_others_and_a_warm_start_finds_the_same_sooner() {
    let (mut solver, open) = solve(heating(&[20.0, 15.0, 25.0]));
    let station = |state: &State, n: usize| state.flows_kg_s[3 + 3 * n];
    assert!((0..3).all(|n| station(&open, n) > 1.0), "{open:?}");

    solver.network_mut().set_open(3, false);
    let warm = solver.solve(Some(&open)).unwrap();
    let cold = solver.solve(None).unwrap();
    assert!(station(&warm, 0) == 0.0 && station(&warm, 1) > station(&open, 1));
    assert!(warm.steps <= cold.steps, "{} {}", warm.steps, cold.steps);
    for (a, b) in warm.pressures_pa.iter().zip(&cold.pressures_pa) {
        assert!((a - b).abs() < 1.0, "{a} {b}");
    }
}

#[test]
fn a_leak_is_an_orifice_and_what_it_loses_comes_from_where_the_pressure_is_held() {
    let mut network = heating(&[20.0, 15.0]);
    let leak = network.add_leak(3, 2e-4, hot());
    let (_, state) = solve(network);

    let loss = orifice_kg_s(2e-4, hot().density_kg_m3, state.pressures_pa[3]);
    assert!((state.flows_kg_s[leak] / loss - 1.0).abs() < 1e-4, "{} {loss}", state.flows_kg_s[leak]);
    let pump = state.flows_kg_s[0];
    let returned = state.flows_kg_s[2];
    assert!((pump - returned - state.flows_kg_s[leak]).abs() < 1e-6);
}

#[test]
fn a_leak_below_the_airs_pressure_draws_nothing_in_and_a_pump_passes_nothing_backwards() {
    let mut network = Network::default();
    let low = network.add_held_node(0.0, 1e4);
    let high = network.add_held_node(0.0, 6e5);
    let hill = network.add_node(20.0);
    network.add_link(low, hill, pipe(50.0, 0.1), hot());
    let leak = network.add_leak(hill, 1e-3, hot());
    let lift = Pump { shutoff_pa: 2e5, coefficient: 10.0, exponent: 2.0 };
    let pump = network.add_link(low, high, Element::Pump(lift), hot());
    let (_, state) = solve(network);

    assert!(state.pressures_pa[hill] < 0.0);
    assert!(state.flows_kg_s[leak].abs() < 1e-3 && state.flows_kg_s[pump].abs() < 1e-3, "{state:?}");
}

#[test]
fn what_cannot_be_solved_says_where() {
    let mut network = Network::default();
    let (a, b) = (network.add_node(0.0), network.add_node(0.0));
    network.add_link(a, b, pipe(10.0, 0.1), hot());
    assert_eq!(Solver::new(network.clone()).unwrap_err(), SolveError::NoReference);

    let held = network.add_held_node(0.0, 1e5);
    let valve = network.add_link(held, a, Element::Resistance(Resistance::of_kv(10.0, 970.0)), hot());
    let mut solver = Solver::new(network).unwrap();
    solver.network_mut().set_open(valve, false);
    assert_eq!(solver.solve(None), Err(SolveError::Island { node: a, nodes: 2 }));

    solver.network_mut().set_open(valve, true);
    solver.network_mut().set_demand(b, f64::NAN);
    assert_eq!(solver.solve(None), Err(SolveError::NotUsable { what: "the demand at the node", index: b }));
    solver.network_mut().set_demand(b, 1.0);
    let broken = Geometry { length_m: 1.0, inner_diameter_m: 0.0, roughness_m: 0.0, local_loss: 0.0 };
    solver.network_mut().set_element(0, Element::Pipe(broken));
    assert_eq!(solver.solve(None), Err(SolveError::NotUsable { what: "the loss of the link", index: 0 }));
}

#[derive(Debug, Clone)]
struct Meshed {
    network: Network,
    nodes: usize,
}

/// A random tree with chords: loops of every size; demands and elevations at random.
fn meshes() -> impl Strategy<Value = Meshed> {
    (3_usize..40).prop_flat_map(|nodes| {
        let parents = (1..nodes).map(|node| 0..node).collect::<Vec<_>>();
        let chords = prop::collection::vec((0..nodes, 0..nodes), 0..12);
        let sizes = prop::collection::vec((20.0_f64..400.0, 0.05_f64..0.3), nodes + 12);
        let at_node = prop::collection::vec((-1.0_f64..6.0, 0.0_f64..20.0), nodes);
        (parents, chords, sizes, at_node).prop_map(move |(parents, chords, sizes, at_node)| {
            let mut network = Network::default();
            for (node, (demand, elevation)) in at_node.iter().enumerate() {
                if node == 0 {
                    network.add_held_node(*elevation, 8e5);
                } else {
                    let node = network.add_node(*elevation);
                    network.set_demand(node, *demand);
                }
            }
            let tree = parents.iter().enumerate().map(|(i, &parent)| (parent, i + 1));
            let ends = tree.chain(chords.into_iter().filter(|(a, b)| a != b));
            for ((a, b), (length, diameter)) in ends.zip(sizes) {
                network.add_link(a, b, pipe(length, diameter), hot());
            }
            Meshed { network, nodes }
        })
    })
}

proptest! {
    #![proptest_config(ProptestConfig { max_global_rejects: 16_384, ..ProptestConfig::with_cases(64) })]

    #[test]
    fn flows_balance_at_every_node_and_losses_around_every_loop(meshed in meshes()) {
        let (solver, state) = solve(meshed.network);
        let network = solver.network();
        for node in 1..meshed.nodes {
            let balance: f64 = network.links.iter().zip(&state.flows_kg_s).map(|(link, flow)| {
                f64::from(u8::from(link.to == node)) * flow - f64::from(u8::from(link.from == node)) * flow
            }).sum();
            prop_assert!((balance - network.nodes[node].demand_kg_s).abs() < 1e-6, "node {node}: {balance}");
        }
        // One pressure per node and each link's own loss between its ends: every loop closes.
        for (link, flow) in network.links.iter().zip(&state.flows_kg_s) {
            let (loss, _) = link.element.loss_and_slope(*flow, link.water);
            let drop = state.pressures_pa[link.from] - state.pressures_pa[link.to];
            prop_assert!((drop - loss - link.lift_pa(&network.nodes)).abs() < 0.2);
        }
    }

    #[test]
    fn sensitivities_are_reciprocal_and_foretell_a_small_leak(
        meshed in meshes(), a in any::<prop::sample::Index>(), b in any::<prop::sample::Index>()
    ) {
        let (a, b) = (1 + a.index(meshed.nodes - 1), 1 + b.index(meshed.nodes - 1));
        let (mut solver, state) = solve(meshed.network);
        let mut linear = solver.linear(&state).unwrap();
        let (of_a, of_b) = (linear.falls_pa_s_kg(a), linear.falls_pa_s_kg(b));
        prop_assert!((of_a[b] - of_b[a]).abs() <= 1e-6 * of_a[b].abs().max(1.0), "{} {}", of_a[b], of_b[a]);

        let leak = 0.01;
        // In a pipe at rest even so little turns the flow, and the slope with it: there a leak is not small.
        prop_assume!(state.flows_kg_s.iter().all(|flow| flow.abs() > 30.0 * leak));
        let demand = solver.network().nodes[a].demand_kg_s;
        solver.network_mut().set_demand(a, demand + leak);
        let after = solver.solve(Some(&state)).unwrap();
        let pressures = state.pressures_pa.iter().zip(&after.pressures_pa).zip(&of_a);
        for ((before, after), per_kg_s) in pressures.take(meshed.nodes) {
            let (fall, foretold) = (before - after, leak * per_kg_s);
            prop_assert!((fall - foretold).abs() < 1.0 + 0.05 * fall.abs(), "{fall} {foretold}");
        }
    }

    #[test]
    fn a_tree_is_solved_as_the_tree_solver_solves_it(
        parents in (2_usize..40).prop_flat_map(|n| (1..n).map(|node| 0..node).collect::<Vec<_>>()),
        at in any::<prop::sample::Index>(), loss in 0.0_f64..10.0
    ) {
        let nodes = parents.len() + 1;
        let demand: Vec<f64> = (0..nodes).map(|n| 0.5 + (n % 7) as f64).collect();
        let resistance: Vec<Resistance> =
            (0..nodes).map(|n| Resistance { pa_s2_kg2: 5.0 + (n % 11) as f64 * 20.0 }).collect();
        let edges: Vec<_> = parents.iter().enumerate().map(|(i, &parent)| (parent, i + 1)).collect();
        let twin = TwinTree {
            tree: RootedTree::new(nodes, 0, &edges).unwrap(),
            supply: resistance.clone(),
            back: resistance.clone(),
            lift_pa: vec![0.0; nodes],
        };
        let edge = 1 + at.index(nodes - 1);
        let leaks = [Leak { edge, position: 1.0, loss_kg_s: loss }];
        let by_tree = twin.solve(&Load {
            supply_pa: 8e5, return_pa: 3e5, demand_kg_s: &demand, supply_leaks: &leaks, return_leaks: &[],
        });

        let mut network = Network::default();
        network.add_held_node(0.0, 8e5);
        for (node, demand) in demand.iter().enumerate().skip(1) {
            let added = network.add_node(0.0);
            network.set_demand(added, demand + if node == edge { loss } else { 0.0 });
        }
        for &(a, b) in &edges {
            network.add_link(a, b, Element::Resistance(resistance[b]), hot());
        }
        let (_, state) = solve(network);
        for node in 1..nodes {
            prop_assert!((state.pressures_pa[node] - by_tree.supply_pa[node]).abs() < 1.0);
        }
    }
}
