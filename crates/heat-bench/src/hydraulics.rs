//! The hydraulic solver alone: a square mesh of 1,012 pipes, the one that `tests/python/hydraulic_reference.py --speed` gives to
//! EPANET and pandapipes.

use heat_hydraulics::{
    network::{Element, Network, Water},
    pipe::Geometry,
    solver::{Solver, State},
};
use heat_runtime::Clock;

use crate::{
    error::BenchError,
    figures::{Bench, Delays},
    percentiles::of_micros,
};

/// Nodes along a side.
const SIDE: usize = 23;
const ROUNDS: usize = 200;

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

/// kg/s; changes by a tenth from round to round.
fn demand(node: usize, round: usize) -> f64 {
    (0.2 + (node % 7) as f64 * 0.1) * (1.0 + 0.1 * ((node + round) % 3) as f64)
}

pub(crate) fn measure(bench: &mut Bench) -> Result<(), BenchError> {
    bench.progress("hydraulics: a mesh of 1,012 pipes");
    let mut solver = Solver::new(mesh()).map_err(BenchError::act("prepare the mesh"))?;
    let (mut cold, mut warm, mut linear) = (Vec::new(), Vec::new(), Vec::new());
    let mut last: Option<State> = None;
    let mut steps = 0;
    for round in 0..ROUNDS {
        for node in 1..SIDE * SIDE {
            solver.network_mut().set_demand(node, demand(node, round));
        }
        let state = timed(&mut cold, || solver.solve(None)).map_err(BenchError::act("solve the mesh"))?;
        steps = steps.max(state.steps);
        if let Some(last) = &last {
            timed(&mut warm, || solver.solve(Some(last))).map_err(BenchError::act("solve the mesh"))?;
        }
        let falls = timed(&mut linear, || {
            solver.linear(&state).map(|mut linear| linear.falls_pa_s_kg(1 + round % (SIDE * SIDE - 1)))
        });
        falls.map_err(BenchError::act("make the mesh linear"))?;
        last = Some(state);
    }
    let latencies = [("from nothing", cold), ("from the last", warm), ("sensitivities to a node", linear)];
    bench.delays.push(Delays {
        name: "hydraulics".to_owned(),
        what: "one solution of a square mesh of 529 nodes and 1,012 pipes, order of elimination known"
            .to_owned(),
        latencies: latencies.into_iter().filter_map(|(name, all)| Some((name, of_micros(all)?))).collect(),
        details: vec![("steps at most", steps as f64)],
    });
    Ok(())
}

fn timed<T>(all: &mut Vec<u64>, work: impl FnOnce() -> T) -> T {
    let begun = Clock.instant();
    let done = work();
    all.push(u64::try_from((Clock.instant() - begun).as_micros()).unwrap_or(u64::MAX));
    done
}
