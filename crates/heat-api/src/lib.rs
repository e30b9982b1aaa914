//! The API role: HTTP for people and programs, on axum.
//!
//! Is: reads of what is newest (signals, networks, incidents) and of the archive, server-sent events, and the only
//! writer of commands to the log, stamped with the authenticated user. Is not: a decider (the processor answers every
//! command), a store, or the console.
//!
//! Invariants:
//! - A command is answered only after it is durable in the log; its outcome is the processor's.
//! - Without users only a loopback address is served, and only under a loopback host name.
//! - Every error is an RFC 9457 problem. Unknown query parameters and fields are refused.
//! - Homes never appear; a token or its hash never reaches a log line.
//! - Dead letters hold bytes as they came, so only operators see them; of a ticket nothing is kept that could be shown.
//! - Requests, clients, buffers and history scans are bounded, with a metric beside each.
//!
//! Start reading at [`role::Api`], then `routes`; [`json`] is what clients see.
#![warn(missing_docs)]

mod auth;
pub mod city;
mod commands;
mod console;
mod events;
mod extract;
mod follow;
mod history;
pub mod json;
mod letters;
pub mod metrics;
mod problem;
pub mod role;
mod routes;
mod serve;
pub mod settings;
mod state;
pub mod tickets;
mod tls;
pub mod work;

pub use auth::TokensFault;
pub use role::{Api, AuditFuture, AuditSource, BuildError, Deps, RunError};
pub use settings::{RawApi, RawTls, Settings};
pub use tls::{TlsFault, TlsFiles};

/// The OpenAPI document, as served.
pub const OPENAPI: &str = include_str!("../../../schemas/openapi.json");
