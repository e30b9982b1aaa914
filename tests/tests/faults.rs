//! Faults between devices and Kafka at 2,000 messages a second: nothing is lost, invented or doubled for readers, and
//! each device's order holds in each lane. Short forms; the program `faults` has the long ones and the peers.

use std::{
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use heat_tests::{
    bridge::Product,
    faults::{Act, Road, RoadSettings, Scene},
    wait_until,
};

/// Each test is a load for the whole machine.
static MACHINE: Mutex<()> = Mutex::new(());

/// A frame of the buffer holds what devices sent within one sync: far less than this.
const DAMAGED_MAX_MESSAGES: u64 = 500;

fn machine() -> MutexGuard<'static, ()> {
    MACHINE.lock().unwrap_or_else(PoisonError::into_inner)
}

fn play(settings: RoadSettings, scenes: &[(Act, u64)]) -> Option<Road> {
    let mut road = Road::start(settings)?;
    for (act, seconds) in scenes {
        road.play(Scene::new(*act, *seconds));
    }
    Some(road)
}

#[test]
fn behind_a_broker_nothing_is_lost_invented_doubled_or_reordered_whatever_fails() {
    let _machine = machine();
    let settings = RoadSettings::new("heatstream, mosquitto", Product::Heatstream, false);
    let scenes = [
        (Act::BridgeKilled, 1),
        (Act::BridgeKilledInHang, 8),
        (Act::BrokerRestarted, 1),
        (Act::KafkaKilled, 4),
        (Act::KafkaStopped, 8),
        (Act::KafkaSlow, 5),
        (Act::KafkaAnswersHeld, 6),
        (Act::KafkaHalfOpen, 1),
        (Act::MqttHeld, 8),
        (Act::MqttHalfOpen, 1),
    ];
    let Some(road) = play(settings, &scenes) else { return };

    let report = road.finish();

    eprintln!("{}", report.markdown());
    report.assert_exact();
}

#[test]
fn on_the_own_listener_a_thousand_devices_lose_nothing_whatever_fails() {
    let _machine = machine();
    let mut settings = RoadSettings::new("heatstream, own listener", Product::Heatstream, true);
    settings.devices = 1_000;
    settings.device_patience = Duration::from_secs(5);
    let scenes = [
        (Act::BridgeKilledThrice, 1),
        (Act::KafkaHeld, 6),
        (Act::KafkaReset, 3),
        (Act::MqttAnswersHeld, 8),
        (Act::MqttSlow, 5),
        (Act::MqttHalfOpen, 1),
        (Act::MqttServerGone, 1),
        (Act::Malformed, 5),
    ];
    let Some(mut road) = play(settings, &scenes) else { return };
    let before = road.fleet().connections();
    road.play(Scene::new(Act::MqttReset, 1));
    wait_until("all devices have connected again", Duration::from_secs(60), || {
        road.fleet().connections() - before >= 1_000
    });

    let report = road.finish();

    eprintln!("{}", report.markdown());
    assert!(report.malformed > 20, "{} malformed messages are too few for a test", report.malformed);
    report.assert_exact();
}

#[test]
fn what_one_gateway_took_and_another_gets_again_is_there_once() {
    let _machine = machine();
    let mut settings = RoadSettings::new("two heatstreams, own listeners", Product::Heatstream, true);
    settings.bridges = 2;
    let Some(road) = play(settings, &[(Act::OneOfTwoKilled, 3)]) else { return };

    road.finish().assert_exact();
}

#[test]
fn what_a_broker_sends_again_to_another_gateway_is_there_once() {
    let _machine = machine();
    let mut settings = RoadSettings::new("two heatstreams, shared subscription", Product::Heatstream, false);
    settings.bridges = 2;
    let Some(road) = play(settings, &[(Act::OneOfTwoKilled, 3)]) else { return };

    // mosquitto gives the messages of one device to both by turns, so no order can be asked for.
    road.finish().assert_complete();
}

#[test]
fn the_buffer_survives_a_full_disk_and_a_torn_end_and_damage_costs_only_what_lay_there() {
    let _machine = machine();
    let mut settings = RoadSettings::new("heatstream, buffer on a small disk", Product::Heatstream, true);
    settings.buffer_mebibytes = Some(64);
    let scenes = [
        (Act::KafkaStopped, 6),
        (Act::BridgeKilledInHang, 8),
        (Act::BufferDiskFull, 1),
        (Act::BufferTorn, 1),
        (Act::BufferDamaged, 1),
    ];
    let Some(road) = play(settings, &scenes) else { return };

    let mut report = road.finish();

    eprintln!("{}", report.markdown());
    let damaged = report.spans.last_mut().expect("the last act has a span");
    let lost = std::mem::take(&mut damaged.lost);
    assert!((1..=DAMAGED_MAX_MESSAGES).contains(&lost), "{lost} messages are lost: {report:#?}");
    // What is lost is a hole in the numbering, unless it was the last of its partition.
    report.spans.iter_mut().for_each(|span| span.holes = 0);
    let all = report.errors.len();
    report.errors.retain(|line| !line.contains("damaged"));
    assert!(all > report.errors.len(), "an ERROR line must tell of the damage: {report:#?}");
    report.assert_exact();
}

#[test]
fn what_is_old_when_kafka_is_back_follows_in_its_own_order_though_the_gateway_is_killed_meanwhile() {
    let _machine = machine();
    let mut settings = RoadSettings::new("heatstream, old backlog", Product::Heatstream, true);
    settings.buffer_mebibytes = Some(64);
    settings.live_max_age = Some(Duration::from_secs(5));
    let Some(road) = play(settings, &[(Act::BridgeKilledInDrain, 22)]) else { return };

    let report = road.finish();

    eprintln!("{}", report.markdown());
    assert!(report.total(|span| span.old) > 1_000, "the backlog was not old: {report:#?}");
    report.assert_exact();
}

#[test]
fn the_checker_finds_a_planted_loss_invention_double_and_swap_and_nothing_else() {
    let _machine = machine();
    let settings = RoadSettings::new("controls", Product::Heatstream, true);
    let Some(road) = play(settings, &[(Act::Calm, 2)]) else { return };
    let ended = road.end();
    ended.report.assert_exact();

    let copy = ended.tamper("delete,alter,add,add_far,swap");

    // Readers drop the two readings of a message that they know, as long as they remember them. An altered reading is
    // one lost and one invented.
    for (window_records, doubled, known) in [(1 << 20, 0, 4), (200, 1, 2)] {
        let report = ended.check_copy(copy, window_records);
        assert_eq!(report.total(|span| span.lost), 2, "{report:#?}");
        assert_eq!(report.total(|span| span.invented), 1, "{report:#?}");
        assert_eq!(report.total(|span| span.reordered), 1, "{report:#?}");
        assert_eq!(report.total(|span| span.doubled), doubled, "{report:#?}");
        assert_eq!(report.total(|span| span.repeats_by_content), known, "{report:#?}");
        assert_eq!(report.total(|span| span.holes), 0, "{report:#?}");
    }
}
