//! CPU milliseconds per solution of a square mesh of 529 nodes and 1,012 pipes: from nothing, from the last solution, and of
//! the sensitivities to one node. `tests/python/hydraulic_reference.py --speed` gives the same mesh to EPANET and pandapipes.
//!
//! `cargo run --release -p heat-hydraulics --example mesh_speed`
#![expect(clippy::print_stdout, reason = "a program that prints its result")]

use heat_hydraulics::{
    network::{Element, Network, Water},
    pipe::Geometry,
    solver::Solver,
};

/// Nodes along a side.
const SIDE: usize = 23;
const ROUNDS: usize = 500;

fn mesh() -> Network {
    let water = Water::at_celsius(80.0);
    let mut network = Network::default();
    network.add_held_node(0.0, 8e5);
    for number in 1..SIDE * SIDE {
        let node = network.add_node(0.0);
        network.set_demand(node, demand(number, 0));
    }
    let mut add = |from: usize, to: usize| {
        let number = network.links();
        let pipe = Geometry {
            length_m: 80.0 + (number % 5) as f64 * 20.0,
            inner_diameter_m: 0.1 + (number % 3) as f64 * 0.05,
            roughness_m: 1e-4,
            local_loss: 0.0,
        };
        network.add_link(from, to, Element::Pipe(pipe), water);
    };
    for row in 0..SIDE {
        for column in 0..SIDE {
            let node = row * SIDE + column;
            if row + 1 < SIDE {
                add(node, node + SIDE);
            }
            if column + 1 < SIDE {
                add(node, node + 1);
            }
        }
    }
    network
}

/// kg/s; changes by some percent from round to round.
fn demand(node: usize, round: usize) -> f64 {
    (0.2 + (node % 7) as f64 * 0.1) * (1.0 + 0.1 * ((node + round) % 3) as f64)
}

/// User and system time of this process, seconds: other work on the machine does not count.
fn cpu_seconds() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").expect("Linux");
    let fields: Vec<&str> = stat.rsplit(") ").next().expect("a name in brackets").split(' ').collect();
    let ticks = |at: usize| fields[at].parse::<f64>().expect("a count of ticks");
    (ticks(11) + ticks(12)) / 100.0
}

fn measured(what: &str, work: impl FnMut(usize) -> usize) {
    let begun = cpu_seconds();
    let steps: usize = (0..ROUNDS).map(work).sum();
    let each = (cpu_seconds() - begun) * 1e3 / ROUNDS as f64;
    println!("{what}: {each:.2} ms CPU, {:.1} steps", steps as f64 / ROUNDS as f64);
}

fn main() {
    let mut solver = Solver::new(mesh()).expect("a mesh with a held node");
    let set = |solver: &mut Solver, round: usize| {
        for node in 1..SIDE * SIDE {
            solver.network_mut().set_demand(node, demand(node, round));
        }
    };
    measured("from nothing", |round| {
        set(&mut solver, round);
        solver.solve(None).expect("a solution").steps
    });
    let mut last = solver.solve(None).expect("a solution");
    measured("from the last", |round| {
        set(&mut solver, round);
        last = solver.solve(Some(&last)).expect("a solution");
        last.steps
    });
    measured("sensitivities to one node, with the factorisation", |round| {
        let node = 1 + round % (SIDE * SIDE - 1);
        let falls = solver.linear(&last).expect("a factorisation").falls_pa_s_kg(node);
        usize::from(falls[node] > 0.0)
    });
}
