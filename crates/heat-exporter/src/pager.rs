//! Pages: incidents as alerts of Alertmanager's API v2, and its silences for what somebody takes care of.
//!
//! Is: a copy of the incidents' state over there, kept true. Routing, on-call and telephones stay Alertmanager's. Is not:
//! a judge of incidents, or a queue of messages: what is told is the state as it is, so an outage of Alertmanager piles
//! up nothing but the incidents themselves.
//!
//! Rules:
//! - An alert's identity is (incident, class, priority); everything that may change while it lasts is annotation. Where
//!   class or priority change, the old alert ends and a new one begins in the same message.
//! - An active alert is told again every `resend`, each time with an end `hold` ahead: an exporter that dies ends no
//!   alert before that, and an Alertmanager that lost its memory has it again within `resend`.
//! - An incident that is over is told as ended until each Alertmanager took it, and for a quarter of an hour more. It
//!   stays active for two minutes at least, so that one which came and went within an outage or a `group_wait` pages.
//! - Acknowledged, shelved, in a maintenance window, repaired but not verified: a silence for the incident, which is
//!   taken back as soon as the state is left, and lapses by itself if nobody is there to do so.
//! - What is known from the log at a start and over is not told as new.
//!
//! Start reading at [`book::Book`], which decides; `silences` decides about silences; `client` speaks.

pub mod alert;
pub mod book;
mod client;
mod metrics;
pub mod settings;
pub mod silences;
mod task;

pub use client::FileError;
pub use settings::{AlertmanagerSettings, RawAlertmanager};

pub(crate) use metrics::PagerMetrics;
pub(crate) use task::Pager;
