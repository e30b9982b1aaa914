//! The core's laws, as sentences, on a small tree in closed form.
#![expect(clippy::unwrap_used, reason = "a test's fixture fails the test")]

mod account;
mod behaviour;
mod beside;
mod burst;
mod calm;
mod case;
mod course;
mod homes;
mod late;
mod laws;
mod leak;
mod life;
mod load;
mod model;
mod moment;
mod patchy;
mod plants;
mod pressure;
mod quality;
mod replay;
mod season;
mod stations;
mod steam;
mod temps;
mod world;
