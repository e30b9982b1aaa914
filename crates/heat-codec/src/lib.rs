//! Bytes to words and back: the log's envelope, MQTT payloads, plant tables, recorded data.
//!
//! Is: pure functions of bytes. Is not: I/O, clocks, decisions about what a payload means for the city.
//!
//! Invariants: an undecodable value is an explicit reject, never 0; a decoder's memory is bounded by its input and
//! its stated limits; decode(encode(x)) = x.
//!
//! Start reading at [`envelope`] (the log) and [`own_json`] (MQTT).
#![warn(missing_docs)]

pub mod dead_letter;
pub mod decoded;
pub mod envelope;
pub mod forecast;
mod json;
pub mod labels;
pub mod mapped;
pub mod mapping;
pub mod neuron;
pub mod own_json;
pub mod place;
pub mod plant;
pub mod recorded;
pub mod reject;
pub mod requeue;
pub mod shape;
pub mod sparkplug;
pub mod ticket;
pub mod time_text;
pub mod topic;
