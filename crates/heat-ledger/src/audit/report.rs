//! What an audit says: sums by hour and by gateway, and what does not balance.

use std::collections::BTreeMap;

use heat_model::GatewayId;
use serde::Serialize;

use super::{Difference, Upstream};

/// Law 2 for one ingest hour.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub struct HourBalance {
    /// Start of the hour, microseconds since the epoch.
    pub hour_start_us: i64,
    /// Messages received, without those that a killed gateway never acknowledged.
    pub messages_received: u64,
    /// Messages in the log.
    pub messages_logged: u64,
    /// Messages of which only a dead letter remains.
    pub messages_rejected: u64,
    /// Messages that a running gateway holds.
    pub messages_queued: u64,
    /// Readings received.
    pub readings_received: u64,
    /// Readings in the log.
    pub readings_logged: u64,
    /// Readings in dead letters.
    pub readings_rejected: u64,
    /// Readings that a running gateway holds.
    pub readings_queued: u64,
    /// Readings in the archive's files.
    pub archived: u64,
    /// Readings that repeat an archived one.
    pub duplicates: u64,
    /// Readings in the log, not yet archived.
    pub waiting: u64,
    /// Readings that retention gave up.
    pub expired: u64,
    /// Readings erased on request.
    pub erased: u64,
}

/// The outcome.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct AuditReport {
    /// By hour, in order.
    pub hours: Vec<HourBalance>,
    /// Sums over all hours.
    pub total: HourBalance,
    /// The same apart for each gateway, in order of their names.
    pub gateways: Vec<GatewayBalance>,
    /// What was lost before it reached a gateway, as far as devices number their messages; no difference of ours.
    pub upstream: Upstream,
    /// What does not balance; empty is the proof.
    pub differences: Vec<Difference>,
}

/// Law 2 for one gateway.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct GatewayBalance {
    /// Its name.
    pub gateway: GatewayId,
    /// By hour, in order. What is archived is what its records came to; the files themselves are not kept apart.
    pub hours: Vec<HourBalance>,
    /// Sums over all hours.
    pub total: HourBalance,
}

impl AuditReport {
    /// Keeps these hours only, and sums anew.
    pub fn keep_hours(&mut self, inside: impl Fn(i64) -> bool) {
        self.hours.retain(|hour| inside(hour.hour_start_us));
        self.total = sum(&self.hours);
        for gateway in &mut self.gateways {
            gateway.hours.retain(|hour| inside(hour.hour_start_us));
            gateway.total = sum(&gateway.hours);
        }
        self.gateways.retain(|gateway| !gateway.hours.is_empty());
        self.differences.retain(|difference| difference.hour_start_us.is_none_or(&inside));
        let rejected = self.total.messages_rejected;
        self.upstream.keep_hours(inside, rejected);
    }

    /// Whether nothing was lost, invented or doubled.
    pub fn balances(&self) -> bool {
        self.differences.is_empty()
    }
}

pub(super) fn by_gateway(hours: BTreeMap<(&GatewayId, i64), HourBalance>) -> Vec<GatewayBalance> {
    let mut gateways: Vec<GatewayBalance> = Vec::new();
    for ((gateway, _), hour) in hours {
        if gateways.last().is_none_or(|last| last.gateway != *gateway) {
            let (gateway, total) = (gateway.clone(), HourBalance::default());
            gateways.push(GatewayBalance { gateway, hours: Vec::new(), total });
        }
        let last = gateways.last_mut().expect("pushed above");
        add(&mut last.total, &hour);
        last.hours.push(hour);
    }
    gateways
}

pub(super) fn sum(hours: &[HourBalance]) -> HourBalance {
    let mut total = HourBalance::default();
    hours.iter().for_each(|hour| add(&mut total, hour));
    total
}

fn add(total: &mut HourBalance, hour: &HourBalance) {
    total.messages_received += hour.messages_received;
    total.messages_logged += hour.messages_logged;
    total.messages_rejected += hour.messages_rejected;
    total.messages_queued += hour.messages_queued;
    total.readings_received += hour.readings_received;
    total.readings_logged += hour.readings_logged;
    total.readings_rejected += hour.readings_rejected;
    total.readings_queued += hour.readings_queued;
    total.archived += hour.archived;
    total.duplicates += hour.duplicates;
    total.waiting += hour.waiting;
    total.expired += hour.expired;
    total.erased += hour.erased;
}
