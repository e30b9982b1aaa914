//! Steady hydraulics of water networks: properties of water, loss of a pipe, meshed networks, and trees in closed form.
//!
//! Is: pure functions and plain structures over `f64`, with the unit in every name. Is not: pressure waves, heat
//! transport.
//!
//! Invariants:
//! - Flows of a solution balance at every node to rounding; a solution that has not converged is an error.
//! - Nothing reads a clock, or depends on hash-map order or on the machine's vector instructions.
//!
//! Start reading at [`network::Network`] and [`solver::Solver`] for meshes, at [`tree::RootedTree`] for trees;
//! [`plant::NetworkTree`] makes one from the plant tables.
#![warn(missing_docs)]

pub mod network;
pub mod pipe;
pub mod plant;
pub mod solver;
pub mod tree;
pub mod water;
