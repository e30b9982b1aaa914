//! How good the alarms are, after ISA-18.2 and IEC 62682: rate, floods, chattering, standing, and pages that no repair
//! confirmed, to be held against the budget.
//!
//! Computed from the board alone, so a restart changes no figure as long as the board holds what the window needs; what
//! it forgot is counted by the board.

use std::{collections::BTreeMap, time::Duration};

use heat_model::{
    AppendTime, NetworkId,
    incident::{AlarmState, Class, Incident, Priority, WorkState},
};

use crate::board::IncidentBoard;

/// The windows in which raised incidents are counted, with their words.
pub const WINDOWS: [(&str, Duration); 4] = [
    ("10m", Duration::from_mins(10)),
    ("1h", Duration::from_hours(1)),
    ("24h", Duration::from_hours(24)),
    ("30d", MONTH),
];
/// The alarm budget's month.
pub const MONTH: Duration = Duration::from_hours(24 * 30);
/// More than so many pages within [`WINDOWS`]' first are a flood (ISA-18.2: ten in ten minutes, for one operator).
pub const FLOOD_PAGES: u64 = 10;
/// Raised so often within a day at one place, an alarm chatters.
pub const CHATTER_COUNT: u64 = 3;
/// Active for longer, an alarm stands.
pub const STANDING_AFTER: Duration = Duration::from_hours(24);

/// The figures.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct AlarmQuality {
    /// Incidents raised within each of [`WINDOWS`], by network and priority. Networks without any are absent.
    pub raised: BTreeMap<(NetworkId, Priority), [u64; WINDOWS.len()]>,
    /// Whether more pages than [`FLOOD_PAGES`] were raised in ten minutes over all networks: one desk answers them.
    pub is_flood: bool,
    /// Alarms (network, class, place) that were raised at least [`CHATTER_COUNT`] times within 24 h, by network.
    pub chattering: BTreeMap<NetworkId, u64>,
    /// Incidents that nobody shelved or took out of service and that stay active for longer than [`STANDING_AFTER`].
    pub standing: BTreeMap<NetworkId, u64>,
    /// Incidents that paged and were cleared within [`MONTH`] without a repair: an upper bound of the false pages.
    pub unconfirmed: BTreeMap<NetworkId, u64>,
}

impl AlarmQuality {
    /// The figures of a board at `now`.
    pub fn of(board: &IncidentBoard, now: AppendTime) -> Self {
        let mut quality = Self::default();
        let mut places: BTreeMap<(&NetworkId, Class, Option<&str>), u64> = BTreeMap::new();
        for incident in board.list(None) {
            quality.count_raised(incident, now);
            if now.since(incident.opened) <= WINDOWS[2].1 {
                let place = (&incident.network, incident.class, incident.place.as_deref());
                *places.entry(place).or_insert(0) += 1;
            }
            if stands(incident, now) {
                *quality.standing.entry(incident.network.clone()).or_insert(0) += 1;
            }
            if is_unconfirmed(incident, now) {
                *quality.unconfirmed.entry(incident.network.clone()).or_insert(0) += 1;
            }
        }
        for ((network, _, _), count) in places {
            if count >= CHATTER_COUNT {
                *quality.chattering.entry(network.clone()).or_insert(0) += 1;
            }
        }
        let pages = quality.raised.iter().filter(|((_, priority), _)| *priority <= Priority::P2);
        quality.is_flood = pages.map(|(_, counts)| counts[0]).sum::<u64>() > FLOOD_PAGES;
        quality
    }

    fn count_raised(&mut self, incident: &Incident, now: AppendTime) {
        let age = now.since(incident.opened);
        if age > MONTH {
            return;
        }
        let counts = self.raised.entry((incident.network.clone(), incident.priority)).or_default();
        for (count, (_, window)) in counts.iter_mut().zip(WINDOWS) {
            *count += u64::from(age <= window);
        }
    }
}

fn stands(incident: &Incident, now: AppendTime) -> bool {
    matches!(incident.alarm, AlarmState::Unacknowledged | AlarmState::Acknowledged)
        && now.since(incident.opened) > STANDING_AFTER
}

/// A page that was over without anybody having repaired anything. Draining and other true causes without a repair are
/// among them, so it is never less than the false pages.
fn is_unconfirmed(incident: &Incident, now: AppendTime) -> bool {
    incident.alarm == AlarmState::Cleared
        && incident.priority <= Priority::P2
        && incident.work < WorkState::Repaired
        && incident.cleared.is_some_and(|cleared| now.since(cleared) <= MONTH)
}

#[cfg(test)]
mod tests;
