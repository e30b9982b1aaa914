//! Steady hydraulics of water networks: properties of water, loss of a pipe, tree networks in closed form.
//!
//! Is: pure functions and plain structures over `f64`, with the unit in every name. Is not: a meshed solver (it will
//! stand beside [`tree`] and take the same [`pipe::Resistance`]), pressure waves, heat transport.
//!
//! Invariants:
//! - Flows of a solved tree balance at every node to rounding.
//! - Nothing reads a clock, allocates in an inner loop, or depends on hash-map order.
//!
//! Start reading at [`tree::RootedTree`]; [`plant::NetworkTree`] makes one from the plant tables.
#![warn(missing_docs)]

pub mod pipe;
pub mod plant;
pub mod tree;
pub mod water;
