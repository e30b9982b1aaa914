//! The tasks that read: the input, the incidents' states and events, dead letters and the requests to take them again.

use std::{collections::BTreeMap, sync::Arc};

use heat_codec::{
    dead_letter::{DeadLetter, LetterId},
    requeue::Requeue,
};
use heat_detect::Output;
use heat_log::{
    ReadError, Record,
    follow::{Follow, FollowEvent},
    topics,
};
use heat_model::{Body, PartitionId, Position, canary};
use heat_runtime::{Shutdown, tasks::Chain};
use heat_view::{
    Applied, Desk, Privacy,
    board::OutputPosition,
    feed::{self, FeedError, InputFeed, PlantFeed},
};

use crate::{
    city::{self, CityEvent},
    commands::CommandId,
    events::About,
    json::IncidentEventView,
    letters::{LetterIndex, LetterKey},
    state::{ApiState, PlantIndex, lock},
};

/// Records applied under one lock of a table.
const CHUNK_RECORDS: usize = 512;

pub(crate) async fn follow(
    mut follow: Follow,
    topic: &'static str,
    state: ApiState,
    shutdown: Shutdown,
) -> Result<(), ReadError> {
    let mut feeds: BTreeMap<PartitionId, InputFeed> = BTreeMap::new();
    let mut plant_feed = PlantFeed::default();
    if topic == topics::INPUT {
        desk_from_archive(&state).await;
    }
    loop {
        let event = tokio::select! {
            () = shutdown.begun() => return Ok(()),
            event = follow.next() => event?,
        };
        match event {
            FollowEvent::Records { partition, records } if topic == topics::INPUT => {
                let feed = feeds.entry(partition).or_insert_with(|| InputFeed::new(partition));
                for chunk in records.chunks(CHUNK_RECORDS) {
                    input(&state, feed, partition, chunk);
                    tokio::task::yield_now().await;
                }
            }
            FollowEvent::Records { partition, records } if topic == topics::REJECTED => {
                letters(&state, partition, records);
            }
            FollowEvent::Records { partition, records } if topic == topics::REQUEUE => {
                requeues(&state, partition, records);
            }
            FollowEvent::Records { records, .. } if topic == topics::PLANT => {
                plant(&state, &mut plant_feed, &records);
            }
            FollowEvent::Records { partition, records } => {
                for record in &records {
                    match incidents(&state, topic, partition, record) {
                        Ok(()) => count(&state, topic, 1, 0),
                        Err(error) => {
                            count(&state, topic, 0, 1);
                            let (partition, offset) = (partition.0, record.offset.0);
                            tracing::warn!(error = %Chain(&error), partition, offset, "an incident cannot be read");
                        }
                    }
                }
            }
            FollowEvent::CaughtUp => state.catch_up.caught_up(topic),
            FollowEvent::Trouble(error) => {
                state.metrics.trouble.with_label_values(&[topic]).inc();
                tracing::warn!(error = %Chain(&error), topic, "reading met an error and goes on");
            }
        }
    }
}

fn input(state: &ApiState, feed: &mut InputFeed, partition: PartitionId, chunk: &[Record]) {
    let Some(table) = state.tables.get(partition.0 as usize) else { return };
    let mut undecodable = 0;
    let mut table = lock(table);
    let before = table.counts();
    let mut said = Vec::new();
    let mut canaries = Vec::new();
    let mut fresh = Vec::new();
    for record in chunk {
        match feed.apply(&mut table, record.offset, record.append_time, record.payload.clone()) {
            Ok(envelope) => match envelope.body {
                Body::Readings(_) => {
                    canaries.extend(canary::sent(&envelope).map(|(gateway, sent)| (gateway.clone(), sent)));
                    if let Body::Readings(readings) = envelope.body {
                        fresh.push(readings);
                    }
                }
                Body::Command(_) | Body::Ticket(_) => {
                    if matches!(envelope.body, Body::Command(_)) && state.commander.is_own(&envelope.origin) {
                        let command = CommandId { partition, seq: envelope.origin.seq };
                        state.outcomes.own_read(command, record.offset);
                    }
                    let append_time = record.append_time;
                    said.push((Position { partition, offset: record.offset, append_time }, envelope));
                }
                Body::Forecast(_) | Body::ModelActivated(_) | Body::Heartbeat(_) => {}
            },
            Err(error) => {
                undecodable += 1;
                let (partition, offset) = (partition.0, record.offset.0);
                tracing::debug!(error = %Chain(&error), partition, offset, "a record cannot be decoded");
            }
        }
    }
    let over = table.counts().over_bound - before.over_bound;
    // Before the table is free, so that a plot holds every reading that the table shows.
    if let Some(recent) = state.recent.get(partition.0 as usize) {
        let mut recent = lock(recent);
        fresh.into_iter().for_each(|readings| recent.push(readings));
    }
    drop(table);
    if !canaries.is_empty() {
        let (now, is_live) = (state.clock.now(), state.catch_up.is_caught_up());
        let mut watch = lock(&state.metrics.canaries);
        canaries.iter().for_each(|(gateway, sent)| watch.seen(gateway, *sent, now, is_live));
    }
    if !said.is_empty() {
        let mut desk = lock(&state.desk);
        said.iter().for_each(|(position, envelope)| desk.apply(position, envelope));
        kept_tickets(state, &desk);
    }
    state.metrics.over_bound.with_label_values(&["signal"]).inc_by(over);
    count(state, topics::INPUT, chunk.len() - undecodable, undecodable);
}

/// What people said before the part of the log that is read back: from the archive, before the log itself is followed,
/// so that an end never comes before its beginning. Without an archive, or with a damaged file, the desk begins with
/// what the log says.
async fn desk_from_archive(state: &ApiState) {
    let Some(archive) = &state.archive else { return };
    let read = archive
        .inputs(state.settings.desk_files_max, &mut |position, envelope| {
            lock(&state.desk).apply(position, envelope);
        })
        .await;
    kept_tickets(state, &lock(&state.desk));
    if let Err(error) = read {
        state.metrics.trouble.with_label_values(&[topics::INPUT]).inc();
        tracing::warn!(error = %Chain(&error), "earlier tickets and repairs cannot be read from the archive");
    }
}

fn kept_tickets(state: &ApiState, desk: &Desk) {
    state.metrics.tickets.set(i64::try_from(desk.tickets()).unwrap_or(i64::MAX));
}

fn letters(state: &ApiState, partition: PartitionId, records: Vec<Record>) {
    let (total, mut undecodable) = (records.len(), 0);
    let mut index = lock(&state.letters);
    for record in records {
        let id = LetterId { partition, offset: record.offset };
        let letter = DeadLetter::decode(record.payload).ok();
        undecodable += usize::from(letter.is_none());
        index.add(LetterKey { append_time: record.append_time, id }, letter.as_ref());
    }
    kept(state, &index);
    count(state, topics::REJECTED, total - undecodable, undecodable);
}

fn requeues(state: &ApiState, partition: PartitionId, records: Vec<Record>) {
    let (total, mut undecodable) = (records.len(), 0);
    let mut index = lock(&state.letters);
    for record in records {
        match Requeue::decode(record.payload) {
            Ok(requeue) => index.add_requeue(partition, record.offset, &requeue),
            Err(_) => undecodable += 1,
        }
    }
    kept(state, &index);
    count(state, topics::REQUEUE, total - undecodable, undecodable);
}

fn kept(state: &ApiState, index: &LetterIndex) {
    let (letters, requeued) = index.len();
    state.metrics.letters.set(i64::try_from(letters).unwrap_or(i64::MAX));
    state.metrics.requeued.set(i64::try_from(requeued).unwrap_or(i64::MAX));
}

/// Which plant model is in force: names of sites, and which of them are homes.
fn plant(state: &ApiState, feed: &mut PlantFeed, records: &[Record]) {
    for record in records {
        let Some(key) = &record.key else { continue };
        match feed.apply(key, &record.payload) {
            Ok(Some((model, plant))) => {
                tracing::info!(%model, "another plant model is in force");
                let privacy = Privacy::new(&plant);
                for table in &state.tables {
                    lock(table).set_privacy(privacy.clone());
                }
                *lock(&state.plant) = Arc::new(PlantIndex::new(&plant));
                count(state, topics::PLANT, 1, 0);
            }
            Ok(None) => count(state, topics::PLANT, 1, 0),
            Err(error) => {
                count(state, topics::PLANT, 0, 1);
                tracing::warn!(error = %Chain(&error), "a plant model cannot be used; the one before stays");
            }
        }
    }
}

fn incidents(
    state: &ApiState,
    topic: &str,
    partition: PartitionId,
    record: &Record,
) -> Result<(), FeedError> {
    let applied = if topic == topics::INCIDENTS {
        lock(&state.board).apply_record(&feed::state(record.key.as_deref(), &record.payload)?)
    } else {
        let output = feed::output(&record.payload)?;
        let applied = lock(&state.board).apply(&output);
        // After the board, so that whoever was told by an event or an outcome reads no older state.
        state.outcomes.output(partition, &output);
        if let Output::Event(event) = &output {
            let (input_offset, ordinal) = (event.input_offset, event.ordinal);
            let position = OutputPosition { partition, input_offset, ordinal };
            let (plant, network) = (state.plant(), &event.incident.network);
            let view = IncidentEventView::from(event);
            let mut cut =
                lock(&state.hub).publish(position, About::network(network), event.at, &view, &plant);
            let (view, about) = (CityEvent::of(event, &plant), city::about(&event.incident));
            cut += lock(&state.city).publish(position, about, event.at, &view, &plant);
            state.metrics.event_clients_cut.inc_by(cut);
            state.city_changed.notify_one();
        }
        match &output {
            Output::Refused(refusal) => lock(&state.desk).refuse((partition, refusal.input_offset)),
            Output::Ticket(link) => lock(&state.desk).answer(link),
            Output::Event(_) | Output::Status(_) | Output::Forgotten(_) => {}
        }
        applied
    };
    state.metrics.over_bound.with_label_values(&["incident"]).inc_by(u64::from(applied == Applied::Refused));
    Ok(())
}

fn count(state: &ApiState, topic: &str, applied: usize, undecodable: usize) {
    state.metrics.records.with_label_values(&[topic, "applied"]).inc_by(applied as u64);
    state.metrics.records.with_label_values(&[topic, "undecodable"]).inc_by(undecodable as u64);
}
