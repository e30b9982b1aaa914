//! Chores of the developers.

fn main() {}
