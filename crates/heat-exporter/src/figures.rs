//! Writes heartbeats, incidents, the quality of alarms, and rooms as exposition text.

use std::collections::BTreeMap;

use heat_model::{AppendTime, IngestTime, NetworkId, incident::Priority};
use heat_runtime::metrics::TextFamily;
use heat_view::{
    AlarmQuality, IncidentBoard, RoomTable,
    board::{alarm_word, priority_word},
    quality::WINDOWS,
    rooms::{Place, RoomFigures},
};

use crate::{
    metrics::{
        ALARM_FLOOD, ALARMS_CHATTERING, ALARMS_RAISED, ALARMS_STANDING, HEARTBEAT_AGE, INCIDENT_INFO,
        INCIDENTS_ACTIVE, PAGES_UNCONFIRMED, ROOM_TEMPERATURE, ROOMS, ROOMS_COLD,
    },
    plant::{Shard, label, lock, push_number},
};

/// Open incidents that get a series of their own.
const INFO_MAX: usize = 200;
const PERCENTILES: [&str; 3] = ["10", "50", "90"];

/// Appends a sample; the labels' names are the family's.
fn sample(out: &mut String, family: &TextFamily, labels: &[&str], value: f64) {
    out.push_str(family.name);
    if !family.labels.is_empty() {
        out.push('{');
        for (name, value) in family.labels.iter().zip(labels) {
            label(out, name, value);
        }
        out.pop();
        out.push('}');
    }
    out.push(' ');
    push_number(out, value);
    out.push('\n');
}

#[expect(clippy::cast_precision_loss, reason = "counts of incidents and homes, far below 2^53")]
fn count(out: &mut String, family: &TextFamily, labels: &[&str], count: u64) {
    sample(out, family, labels, count as f64);
}

/// Appends the heartbeats' ages.
pub fn write_heartbeats(shards: &[Shard], now: IngestTime, out: &mut String) {
    out.push_str(&HEARTBEAT_AGE.head());
    for shard in shards {
        let age = now.since(*lock(&shard.last_heartbeat)).as_secs_f64();
        sample(out, &HEARTBEAT_AGE, &[&shard.partition.0.to_string()], age);
    }
}

/// Appends the open incidents, and how good the alarms are.
pub fn write_incidents(board: &IncidentBoard, now: IngestTime, out: &mut String) {
    out.push_str(&INCIDENTS_ACTIVE.head());
    for ((network, class, priority, alarm), open) in board.active() {
        let labels = [network.as_str(), class.as_str(), priority_word(priority), alarm_word(alarm)];
        count(out, &INCIDENTS_ACTIVE, &labels, open);
    }
    out.push_str(&INCIDENT_INFO.head());
    let urgent = board.open().filter(|incident| incident.priority <= Priority::P2);
    for incident in urgent.take(INFO_MAX) {
        let id = incident.id.to_string();
        let labels = [
            incident.network.as_str(),
            &id,
            incident.class.as_str(),
            priority_word(incident.priority),
            alarm_word(incident.alarm),
            incident.place.as_deref().unwrap_or(""),
        ];
        count(out, &INCIDENT_INFO, &labels, 1);
    }
    write_quality(board, now, out);
}

/// Every network that the board knows has a figure, 0 where nothing happened, so that no rule waits for a first series.
fn write_quality(board: &IncidentBoard, now: IngestTime, out: &mut String) {
    let quality = AlarmQuality::of(board, AppendTime::from_micros(now.as_micros()));
    let networks = board.networks();
    out.push_str(&ALARMS_RAISED.head());
    for network in &networks {
        for priority in [Priority::P1, Priority::P2, Priority::P3, Priority::P4] {
            let raised = quality.raised.get(&(network.clone(), priority)).copied().unwrap_or_default();
            for (number, (window, _)) in raised.into_iter().zip(WINDOWS) {
                count(out, &ALARMS_RAISED, &[network.as_str(), priority_word(priority), window], number);
            }
        }
    }
    out.push_str(&ALARM_FLOOD.head());
    count(out, &ALARM_FLOOD, &[], u64::from(quality.is_flood));
    let of =
        |numbers: &BTreeMap<NetworkId, u64>, network: &NetworkId| numbers.get(network).copied().unwrap_or(0);
    for (family, numbers) in [
        (ALARMS_CHATTERING, &quality.chattering),
        (ALARMS_STANDING, &quality.standing),
        (PAGES_UNCONFIRMED, &quality.unconfirmed),
    ] {
        out.push_str(&family.head());
        for network in &networks {
            count(out, &family, &[network.as_str()], of(numbers, network));
        }
    }
}

/// Appends what can be said of rooms; nothing where no place has enough homes.
pub fn write_rooms(rooms: &RoomTable, now: IngestTime, out: &mut String) {
    let figures = rooms.figures(now);
    if figures.is_empty() {
        return;
    }
    let labels =
        |place: &Place| (place.0.to_string(), place.1.as_ref().map(ToString::to_string).unwrap_or_default());
    for family in [ROOMS, ROOMS_COLD] {
        let is_all = family.name == ROOMS.name;
        let homes = |figures: &RoomFigures| if is_all { figures.homes } else { figures.below };
        out.push_str(&family.head());
        for (place, figures) in &figures {
            let (network, station) = labels(place);
            count(out, &family, &[&network, &station], homes(figures) as u64);
        }
    }
    out.push_str(&ROOM_TEMPERATURE.head());
    for (place, figures) in &figures {
        let (network, station) = labels(place);
        for (percentile, celsius) in PERCENTILES.into_iter().zip(figures.celsius) {
            sample(out, &ROOM_TEMPERATURE, &[&network, &station, percentile], celsius);
        }
    }
}

#[cfg(test)]
mod tests;
