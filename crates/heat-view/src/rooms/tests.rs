#![expect(clippy::float_cmp, reason = "values are carried and never computed with")]

use std::sync::Arc;

use heat_model::{
    EventTime, Origin, QualityCode, Reading, SignalDecl, SignalSet, SignalSetId,
    plant::{Site, SiteKind},
    record::Readings,
};

use super::*;

const SECOND: i64 = 1_000_000;

fn home(number: usize) -> SiteId {
    format!("home-{number}").parse().unwrap()
}

fn record(site: SiteId, lane: Lane, celsius: f64) -> Envelope {
    let signal = SignalDecl {
        name: NAME.parse().unwrap(),
        unit: "degC".into(),
        raw_unit: "".into(),
        scale: 1.0,
        offset: 0.0,
    };
    let network: NetworkId = "town".parse().unwrap();
    let set = SignalSet {
        id: SignalSetId(1),
        network: network.clone(),
        site,
        device: "room".parse().unwrap(),
        signals: vec![signal],
    };
    let reading = Reading {
        signal: 0,
        event_time: EventTime::from_micros(0),
        raw: celsius,
        value: celsius,
        quality: Quality::Good,
        code: QualityCode::None,
    };
    Envelope {
        network: Some(network),
        origin: Origin { gateway: "g".parse().unwrap(), epoch: 1, seq: 0 },
        ingest_time: IngestTime::from_micros(0),
        messages: 1,
        body: Body::Readings(Readings {
            set: Arc::new(set),
            lane,
            device_seq: None,
            readings: vec![reading],
        }),
    }
}

fn site(id: SiteId, parent: Option<&str>) -> Site {
    Site {
        kind: Some(SiteKind::Household),
        parent: parent.map(|parent| parent.parse().unwrap()),
        ..Site::new(id)
    }
}

/// Homes 0, 1, 2, ... at 14, 15, 16, ... degC.
fn town(homes: usize) -> RoomTable {
    let mut table = RoomTable::default();
    for (number, celsius) in (0..homes).zip(14_u32..) {
        table.apply(AppendTime::from_micros(SECOND), &record(home(number), Lane::Live, f64::from(celsius)));
    }
    table
}

fn at(seconds: i64) -> IngestTime {
    IngestTime::from_micros(seconds * SECOND)
}

#[test]
fn homes_are_counted_below_the_promise_and_ranked() {
    let figures = town(11).figures(at(2));

    let figures = figures.values().next().unwrap();
    assert_eq!((figures.homes, figures.below, figures.celsius), (11, 4, [15.0, 19.0, 23.0]));
}

#[test]
fn fewer_than_ten_homes_are_never_spoken_of() {
    assert!(town(9).figures(at(2)).is_empty());
    let mut table = town(12);
    let sites = (0..12).map(|number| site(home(number), Some(if number < 9 { "st1" } else { "st2" })));
    let stations =
        ["st1", "st2"].map(|id| Site { kind: Some(SiteKind::Station), ..site(id.parse().unwrap(), None) });
    table.set_plant(&PlantModel { sites: sites.chain(stations).collect(), ..PlantModel::default() });

    let places: Vec<_> = table.figures(at(2)).into_keys().map(|(_, station)| station).collect();

    assert_eq!(places, [None], "the network may be spoken of, its stations with 9 and 3 homes not");
}

#[test]
fn homes_behind_buildings_count_for_their_station() {
    let mut table = town(12);
    let home = |number| site(home(number), Some(if number < 6 { "b1" } else { "b2" }));
    let building =
        |id: &str| Site { kind: Some(SiteKind::Building), ..site(id.parse().unwrap(), Some("st1")) };
    let station = Site { kind: Some(SiteKind::Station), ..site("st1".parse().unwrap(), None) };
    let sites = (0..12).map(home).chain([building("b1"), building("b2"), station]);
    table.set_plant(&PlantModel { sites: sites.collect(), ..PlantModel::default() });

    let figures = table.figures(at(2));

    let counted: Vec<_> = figures
        .iter()
        .map(|((_, place), figures)| (place.as_ref().map(SiteId::as_str), figures.homes))
        .collect();
    assert_eq!(counted, [(None, 12), (Some("st1"), 12)], "six homes of a building are never spoken of");
}

#[test]
fn history_silence_and_nonsense_do_not_count() {
    let mut table = town(10);
    table.apply(AppendTime::from_micros(SECOND), &record(home(0), Lane::Backfill, 30.0));
    table.apply(AppendTime::from_micros(SECOND), &record(home(1), Lane::Live, f64::NAN));
    assert_eq!(table.figures(at(2)).values().next().unwrap().celsius[0], 14.0);

    assert!(table.figures(at(3 * 3600)).is_empty(), "two hours later they are not current");
    table.forget(at(3 * 3600));
    assert!(table.rooms.is_empty());
}
