//! From an archive to the report: readings, homes, incidents, commands and tickets, before and after compaction.
#![expect(clippy::unwrap_used, reason = "what helps a test fails by panicking, too")]

use std::{sync::Arc, time::Duration};

use heat_archive::{
    Archive, CommitWriter, CompactSettings, Dataset, Keep, RotationSettings, TableRow, revise::unobserved,
};
use heat_detect::Output;
use heat_model::{
    AppendTime, Body, Envelope, EventTime, IncidentId, IngestTime, Lane, Offset, Origin, PartitionId,
    Position, Quality, QualityCode, Reading, SignalDecl, SignalSet, SignalSetId,
    incident::{Change, ChangeKind, Class, Incident, IncidentEvent},
    plant::{ModelLevel, PlantModel},
    record::{Action, Command, NextOffset, Readings},
    ticket::{Ticket, TicketKind},
};
use heat_report::{Settings, Span, figure::Id, read, report, tell};
use jiff::{Timestamp, tz::TimeZone};

const HOUR_US: i64 = 3_600_000_000;
const INPUT: &str = "heat.input.v1";
const EVENTS: &str = "heat.incident-events.v1";

fn at(text: &str) -> i64 {
    text.parse::<Timestamp>().unwrap().as_microsecond()
}

fn span() -> Span {
    Span {
        from: EventTime::from_micros(at("2026-11-20T00:00:00+08:00")),
        to: EventTime::from_micros(at("2026-11-22T00:00:00+08:00")),
        zone: TimeZone::get("Asia/Shanghai").unwrap(),
    }
}

fn plant() -> PlantModel {
    serde_json::from_value(serde_json::json!({
        "networks": [{"id": "n"}],
        "circuits": [{"id": "c", "network": "n"}],
        "sites": [
            {"id": "src", "kind": "source"},
            {"id": "a", "kind": "station", "heated_area_m2": 10_000.0, "households": 100},
        ],
        "pipes": [{"id": "p1", "circuit": "c", "from": "1", "to": "2", "length_m": 500.0, "side": "supply"}],
    }))
    .unwrap()
}

fn origin(seq: u64) -> Origin {
    Origin { gateway: "g".parse().unwrap(), epoch: 1, seq }
}

fn envelope(seq: u64, time_us: i64, body: Body) -> Envelope {
    Envelope {
        network: Some("n".parse().unwrap()),
        origin: origin(seq),
        ingest_time: IngestTime::from_micros(time_us),
        messages: 1,
        body,
    }
}

fn position(offset: u64, time_us: i64) -> Position {
    Position {
        partition: PartitionId(0),
        offset: Offset(offset),
        append_time: AppendTime::from_micros(time_us),
    }
}

fn readings(site: &str, device: &str, values: &[(&str, &str, f64)], time_us: i64) -> Body {
    let signals = values
        .iter()
        .map(|(name, unit, _)| SignalDecl {
            name: name.parse().unwrap(),
            unit: (*unit).into(),
            raw_unit: (*unit).into(),
            scale: 1.0,
            offset: 0.0,
        })
        .collect();
    let set = SignalSet {
        id: SignalSetId(site.bytes().fold(0, |id, byte| id * 31 + u64::from(byte))),
        network: "n".parse().unwrap(),
        site: site.parse().unwrap(),
        device: device.parse().unwrap(),
        signals,
    };
    let reading = |(signal, (_, _, value)): (usize, &(&str, &str, f64))| Reading {
        signal: u32::try_from(signal).unwrap(),
        event_time: EventTime::from_micros(time_us),
        raw: *value,
        value: *value,
        quality: Quality::Good,
        code: QualityCode::ALL[0],
    };
    let readings = values.iter().enumerate().map(reading).collect();
    Body::Readings(Readings { set: Arc::new(set), lane: Lane::Live, device_seq: None, readings })
}

fn burst() -> Incident {
    let onset = at("2026-11-20T06:00:00+08:00");
    Incident {
        version: 1,
        place: Some("p1".to_owned()),
        loss_kg_s: Some(1.0),
        loss_m3_h: Some(3.6),
        strength: 5.0,
        level: ModelLevel::L3,
        ..Incident::new(
            IncidentId::derive(&"n".parse().unwrap(), &origin(1), 0),
            "n".parse().unwrap(),
            Class::Burst,
            EventTime::from_micros(onset),
            AppendTime::from_micros(onset),
        )
    }
}

/// Readings every half hour over three days, a day more than the span; a ticket, and a command.
fn input() -> Vec<(i64, Body)> {
    let mut records = Vec::new();
    for half in 0..3 * 48 {
        let time = span().from.as_micros() + half * HOUR_US / 2;
        let source = [
            ("heat_power", "W", 1e6),
            ("outdoor_temperature", "degC", 3.0),
            ("make_up_flow", "m3/s", if half % 2 == 0 { 1.0 / 3_600.0 } else { 3.0 / 3_600.0 }),
            ("vibration", "mm/s", 3.0),
        ];
        records.push((time, readings("src", "meter", &source, time)));
        for home in 0..10 {
            let celsius = if home == 0 { 17.0 } else { 20.0 };
            let (site, room) = (format!("home-{home}"), [("indoor_temperature", "degC", celsius)]);
            records.push((time, readings(&site, "logger", &room, time)));
        }
    }
    let ticket = Ticket {
        id: "t1".to_owned(),
        time: EventTime::from_micros(at("2026-11-20T07:00:00+08:00")),
        kind: TicketKind::Cold,
        site: None,
        area: None,
        external_id: None,
        text: None,
    };
    records.push((at("2026-11-20T07:00:00+08:00"), Body::Ticket(ticket)));
    let action = Action::Repaired {
        incident: burst().id,
        pipe: Some("p1".parse().unwrap()),
        location: None,
        cause: Some("weld".to_owned()),
        size_kg_s: None,
    };
    let command = Command { user: "li".to_owned(), action };
    records.push((at("2026-11-20T16:00:00+08:00"), Body::Command(command)));
    records.sort_by_key(|(time, _)| *time);
    records
}

fn event_row(offset: Offset, time: &str, kind: ChangeKind, version: u32) -> TableRow {
    let event = Output::Event(IncidentEvent {
        input_offset: offset,
        ordinal: 0,
        at: AppendTime::from_micros(at(time)),
        change: Change { kind, by: "x".to_owned(), reason: None },
        incident: Incident { version, ..burst() },
    });
    TableRow {
        network: "n".to_owned(),
        kind: "event".to_owned(),
        id: burst().id.to_string(),
        event_time: EventTime::from_micros(at(time)),
        ingest_time: IngestTime::from_micros(at(time)),
        json: serde_json::to_string(&event).unwrap(),
        gateway: String::new(),
        epoch: 0,
        seq: 0,
    }
}

async fn fill(archive: &Archive) {
    let rotation = RotationSettings { grid: Duration::from_hours(12), ..RotationSettings::default() };
    let homes: heat_archive::Households = Arc::new(|set, _| set.site.as_str().starts_with("home"));
    let resume = archive.resume(INPUT, PartitionId(0)).await.unwrap();
    let mut writer = CommitWriter::new(&resume, NextOffset(0), rotation).with_households(Some(homes));
    let mut command_at = Offset(0);
    for (offset, (time, body)) in (0..).zip(input()) {
        if matches!(body, Body::Command(_)) {
            command_at = Offset(offset);
        }
        if writer.should_close_before(&position(offset, time), 4) {
            let _published = archive.publish(&writer.seal().unwrap().unwrap()).await.unwrap();
        }
        writer.append(&position(offset, time), &envelope(offset, time, body), Keep::All).unwrap();
    }
    let _published = archive.publish(&writer.seal().unwrap().unwrap()).await.unwrap();
    let resume = archive.resume(EVENTS, PartitionId(0)).await.unwrap();
    let mut writer = CommitWriter::new(&resume, NextOffset(0), rotation);
    let rows = [
        event_row(Offset(1), "2026-11-20T06:00:00+08:00", ChangeKind::Opened, 1),
        event_row(command_at, "2026-11-20T16:00:00+08:00", ChangeKind::Repaired, 2),
        event_row(Offset(9), "2026-11-20T18:00:00+08:00", ChangeKind::Verified, 3),
    ];
    for (offset, row) in (0..).zip(rows) {
        let position = position(offset, row.event_time.as_micros());
        writer.append_row(&position, Dataset::IncidentEvents, row).unwrap();
    }
    let _published = archive.publish(&writer.seal().unwrap().unwrap()).await.unwrap();
}

async fn told(archive: &Archive) -> String {
    let settings = Settings::default();
    let facts = read::read(archive, &span(), &settings, &mut |_, _| {}).await.unwrap();
    let report = report::report(&facts, &plant(), &span(), &settings);
    let city = &report.scopes[0];
    let parts = |id: Id| {
        let figure = city.figures.iter().find(|figure| figure.id == id).unwrap();
        (figure.numerator.map(round), figure.denominator.map(round))
    };
    // 1 MW over two days; 10,000 m2 x 15 K x 2 d; 2 m3/h of make-up in the mean.
    assert_eq!(parts(Id::HeatPerDegreeDay), (Some(172.8), Some(300_000.0)));
    assert_eq!(parts(Id::MakeUp), (Some(96.0), Some(20_000.0)));
    assert_eq!(parts(Id::Compliance), (Some(9.0 * 48.0), Some(480.0)));
    assert_eq!(parts(Id::Complaints), (Some(1.0), Some(100.0)));
    assert_eq!(parts(Id::RepairsVerified), (Some(1.0), Some(1.0)));
    // 1 kg/s until the repair, ten hours after the onset.
    assert_eq!(parts(Id::WaterLostShare), (Some(36.0), Some(96.0)));
    assert_eq!(report.repairs.rows[0].cause.as_deref(), Some("weld"));
    tell::json(&report)
}

fn round(value: f64) -> f64 {
    (value * 1e6).round() / 1e6
}

#[tokio::test]
async fn an_archive_gives_the_same_report_before_and_after_its_compaction() {
    let folder = tempfile::tempdir().unwrap();
    let archive = Archive::open(folder.path().display().to_string()).await.unwrap();
    fill(&archive).await;

    let before = told(&archive).await;

    // The first of the three UTC dates that the span touches is closed; then all are.
    for date in ["2026-11-20", "2026-11-30"] {
        let day = heat_archive::layout::day_of_date(date).unwrap();
        let settings = CompactSettings {
            grace: Duration::ZERO,
            ..CompactSettings::new(day, at("2026-12-01T00:00:00Z"))
        };
        let report = archive.compact(&settings, &mut unobserved).await.unwrap();
        assert!(report.rollup_rows > 0);
        assert_eq!(told(&archive).await, before);
    }
    let (oldest, newest) = read::held(&archive).await.unwrap().unwrap();
    assert_eq!((oldest, newest.as_micros()), (span().from, span().to.as_micros() + 47 * HOUR_US / 2));
}
