//! The outbox against a model of the world: a Kafka that freezes, a disk that syncs when it likes, senders with one
//! message under way each, and processes that are killed. Whatever happens, what was acknowledged arrives, once by
//! number, in order, and the audit balances, at the end and at every moment before.

use std::collections::BTreeSet;

use proptest::prelude::*;

use super::*;
use world::{Act, DEVICES, PER_DEVICE, World, acts};

mod world;

fn run(acts: &[Act], queue_max: usize, live_max_age: Duration) {
    let mut world = World::new(queue_max, live_max_age);
    world.advance();
    for act in acts {
        world.act(act);
    }
    world.settle();
    world.audit();
    world.end();
    world.audit();

    world.assert_numbers_are_unique();
    let (orders, counts) = world.messages();
    for message in &world.acknowledged {
        assert!(counts.contains_key(message), "{message} was acknowledged and is lost");
    }
    for (message, count) in &counts {
        assert!(
            count <= &world.taken[message],
            "{message} was taken {} times, arrived {count}",
            world.taken[message]
        );
    }
    let is_cut = live_max_age < Duration::from_hours(1_000);
    for order in orders.iter().filter(|_| !is_cut) {
        for device in 0..DEVICES {
            let own: Vec<_> = order.iter().filter(|message| *message / PER_DEVICE == device).collect();
            assert!(own.is_sorted(), "device {device} is out of order: {own:?}");
        }
    }
}

/// At least 400; `PROPTEST_CASES` may ask for more.
fn more_cases() -> ProptestConfig {
    let default = ProptestConfig::default();
    ProptestConfig { cases: default.cases.max(400), ..default }
}

const FOREVER: Duration = Duration::from_hours(100_000);

proptest! {
    #![proptest_config(more_cases())]

    #[test]
    fn whatever_happens_nothing_acknowledged_is_lost_and_order_holds(acts in acts(), queue_max in 8usize..60) {
        run(&acts, queue_max, FOREVER);
    }

    #[test]
    fn with_old_parts_nothing_acknowledged_is_lost_and_the_audit_balances(
        acts in acts(),
        queue_max in 8usize..60
    ) {
        run(&acts, queue_max, Duration::from_mins(15));
    }
}

/// A world whose Kafka froze long enough for buffering.
fn outage() -> World {
    let mut world = World::new(60, Duration::from_mins(15));
    for act in [Act::Beat, Act::Send(0), Act::Deliver(9), Act::Freeze, Act::Send(1), Act::Beat] {
        world.act(&act);
    }
    for _ in 0..8 {
        world.act(&Act::Seconds(1));
    }
    world.act(&Act::Sync);
    world
}

/// Live messages go on while Kafka takes what is buffered; how many records were left when the direct mode came back.
fn back_to_direct(world: &mut World, rounds: usize) -> Option<u64> {
    let mut left = None;
    for _ in 0..rounds {
        for act in [Act::Deliver(60), Act::Read(5), Act::Sync, Act::Send(1), Act::Seconds(1)] {
            world.act(&act);
        }
        if left.is_none() && !world.core.is_buffering() {
            left = Some(world.core.backlog().records(world.state().end));
        }
    }
    left
}

#[test]
fn senders_are_acknowledged_from_the_disk_when_kafka_hangs() {
    let mut world = outage();
    assert!(world.core.is_buffering());
    assert_eq!(world.core.waiting(), 0, "what Kafka held is durable in the buffer");

    for device in 0..DEVICES {
        world.act(&Act::Send(device));
        world.act(&Act::Sync);
        assert!(world.under_way.is_empty(), "each is acknowledged at once");
    }
    assert_eq!(world.acknowledged.len(), 2 + 6);
}

#[test]
fn while_kafka_takes_records_the_disk_is_not_touched() {
    let mut world = World::new(60, Duration::from_mins(15));
    for round in 0..200 {
        for act in [Act::Send(round % DEVICES), Act::Beat, Act::Deliver(9), Act::Seconds(1), Act::Read(9)] {
            world.act(&act);
        }
    }
    assert!(world.disk.borrow().records.is_empty());
    assert_eq!(world.core.moved(), Moved::default());
}

#[test]
fn a_full_buffer_takes_no_messages_and_goes_on_when_it_has_room() {
    let mut world = outage();
    world.act(&Act::Fill(true));
    assert!(!world.core.accepts());
    world.act(&Act::Fill(false));
    assert!(world.core.accepts());
}

#[test]
fn chunks_last_longer_in_a_long_outage() {
    let mut world = outage();
    let mut epochs = BTreeSet::new();
    for _ in 0..(7 * 24 * 60) {
        world.act(&Act::Send(0));
        world.act(&Act::Sync);
        world.act(&Act::Seconds(60));
        epochs.insert(world.core.last_epoch());
    }
    assert!((600..900).contains(&epochs.len()), "{} chunks in a week", epochs.len());
}

#[test]
fn old_records_wait_for_the_fresh_ones_and_for_a_short_queue() {
    let mut world = outage();
    for _ in 0..40 {
        for act in [Act::Send(0), Act::Sync, Act::Seconds(60)] {
            world.act(&act);
        }
    }
    world.act(&Act::Thaw);
    let left = back_to_direct(&mut world, 400).expect("it goes back to direct mode");
    assert!(left > 20, "when the fresh records are through, the old ones wait: {left}");
    assert_eq!(world.core.backlog().records(world.state().end), 0, "and come in the end");
}

#[test]
fn what_was_buffered_before_a_long_silence_is_old() {
    let mut world = outage();
    for _ in 0..30 {
        for act in [Act::Send(0), Act::Sync] {
            world.act(&act);
        }
    }
    for _ in 0..40 {
        world.act(&Act::Seconds(60));
        world.act(&Act::Sync);
    }
    world.act(&Act::Thaw);
    let left = back_to_direct(&mut world, 100);
    assert!(left.is_some_and(|left| left >= 25), "they wait behind what came since: {left:?}");
}

#[test]
fn a_rate_bounds_old_records() {
    let mut world = outage();
    world.rules.drain_records_per_second_max = Some(10);
    world.core.rules = world.rules.clone();
    for _ in 0..40 {
        for act in [Act::Send(0), Act::Sync, Act::Seconds(60)] {
            world.act(&act);
        }
    }
    world.act(&Act::Thaw);
    while world.core.is_buffering() {
        for act in [Act::Deliver(60), Act::Read(5), Act::Sync] {
            world.act(&act);
        }
    }
    let before = world.core.moved().forwarded;
    for _ in 0..30 {
        for act in [Act::Deliver(60), Act::Read(5)] {
            world.act(&act);
        }
    }
    assert!(world.core.moved().forwarded <= before + 1, "a tenth of a second has not passed");
}
