//! The core's laws, as sentences, on a small tree in closed form.

mod burst;
mod laws;
mod leak;
mod life;
mod world;
