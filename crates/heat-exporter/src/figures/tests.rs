use std::sync::Mutex;

use heat_model::PartitionId;
use heat_view::{BoardSettings, LiveSettings, LiveTable, Privacy};

use super::*;

fn now(seconds: i64) -> IngestTime {
    IngestTime::from_micros(seconds * 1_000_000)
}

#[test]
fn a_heartbeats_age_is_by_wall_time() {
    let shard = Shard {
        partition: PartitionId(3),
        table: Mutex::new(LiveTable::new(LiveSettings::default(), Privacy::default())),
        last_heartbeat: Mutex::new(now(0)),
    };
    let mut text = String::new();

    write_heartbeats(&[shard], now(42), &mut text);

    assert!(text.ends_with("heat_pipeline_heartbeat_age_seconds{partition=\"3\"} 42\n"), "{text}");
}

#[test]
fn a_network_that_detectors_speak_of_has_figures_before_its_first_incident() {
    let mut board = IncidentBoard::new(BoardSettings::default());
    let status = heat_detect::NetworkStatus {
        network: "town".parse().unwrap(),
        at: AppendTime::from_micros(1),
        level: heat_model::plant::ModelLevel::L0,
        detectors: Vec::new(),
        seasons: Vec::new(),
    };
    board.apply(&heat_detect::Output::Status(status));
    let mut text = String::new();

    write_incidents(&board, now(1), &mut text);

    assert!(
        text.contains("heat_alarms_raised{network=\"town\",priority=\"P1\",window=\"10m\"} 0\n"),
        "{text}"
    );
    assert!(text.contains("heat_alarm_flood 0\n"), "{text}");
    assert!(text.contains("heat_pages_unconfirmed{network=\"town\"} 0\n"), "{text}");
}

#[test]
fn no_home_no_figure() {
    let mut text = String::new();
    write_rooms(&RoomTable::default(), now(1), &mut text);
    assert!(text.is_empty());
}
