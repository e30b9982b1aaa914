//! The `heatstream` binary.

fn main() {}
