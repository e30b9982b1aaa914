use std::sync::Arc;

use heat_model::{GatewayId, IngestTime, Origin, Quality, QualityCode, SignalSet, SignalSetId};

use super::*;

const NAMES: [&str; 4] = [
    "primary_supply_temperature",
    "primary_return_temperature",
    "secondary_supply_temperature",
    "secondary_return_temperature",
];

/// An hour of a station whose four temperatures move together.
fn record(site: &str, hour: i64, delivers: bool) -> Envelope {
    let signals = NAMES.iter().map(|name| SignalDecl {
        name: SignalName::new(name).unwrap(),
        unit: "degC".into(),
        raw_unit: "degC".into(),
        scale: 1.0,
        offset: 0.0,
    });
    let set = Arc::new(SignalSet {
        id: SignalSetId(1),
        network: "n".parse().unwrap(),
        site: site.parse().unwrap(),
        device: "meter".parse().unwrap(),
        signals: signals.collect(),
    });
    let level = if delivers { [80.0, 45.0, 50.0, 40.0] } else { [20.0; 4] };
    let readings = (0_u32..4).zip(level).map(|(signal, level)| {
        let value = level + f64::from(u32::try_from(hour.rem_euclid(7)).unwrap()) / 10.0;
        Reading {
            signal,
            event_time: EventTime::from_micros(hour * HOUR_US),
            raw: value,
            value,
            quality: Quality::Good,
            code: QualityCode::None,
        }
    });
    Envelope {
        network: Some("n".parse().unwrap()),
        origin: Origin { gateway: GatewayId::new("g").unwrap(), epoch: 1, seq: 0 },
        ingest_time: IngestTime::from_micros(hour * HOUR_US),
        messages: 1,
        body: Body::Readings(Readings {
            lane: Lane::Live,
            device_seq: None,
            readings: readings.collect(),
            set,
        }),
    }
}

/// Runs some stations through a year; gives the faults, and of each hour whether anything was changed.
fn year(seed: u64, delivers: bool) -> (Vec<InjectedFault>, u64, Vec<(i64, String)>) {
    let mut injector = Injector::new(seed);
    let mut changed = Vec::new();
    for hour in 0..365 * 24 {
        for site in ["a", "b", "c"] {
            let clean = record(site, hour, delivers);
            let mut record = clean.clone();
            if !injector.take(&mut record) || record != clean {
                changed.push((hour, site.to_owned()));
            }
        }
    }
    let (faults, empty) = injector.finish();
    (faults, empty, changed)
}

#[test]
fn what_is_changed_lies_inside_what_the_judge_is_told() {
    let (faults, empty, changed) = year(3, true);
    assert!((24..=30).contains(&faults.len()) && empty <= 3, "{} {empty}", faults.len());
    let told = |hour: i64, site: &str| {
        faults.iter().any(|fault| {
            fault.label.place.split('/').nth(1) == Some(site)
                && (fault.label.start.as_micros()..fault.label.end.as_micros()).contains(&(hour * HOUR_US))
        })
    };
    assert!(changed.iter().all(|(hour, site)| told(*hour, site)));
    assert!(changed.iter().all(|(hour, _)| hour * HOUR_US >= LEAD_US));
}

#[test]
fn the_same_seed_gives_the_same_faults_and_another_one_others() {
    assert_eq!(year(3, true), year(3, true));
    assert_ne!(year(3, true).0, year(4, true).0);
}

#[test]
fn a_station_that_delivers_no_heat_gets_no_fault() {
    let (faults, empty, changed) = year(3, false);
    assert!(faults.is_empty() && changed.is_empty());
    assert!(empty > 20);
}

#[test]
fn every_kind_and_size_is_drawn() {
    let key = ("n".parse().unwrap(), "a".parse().unwrap());
    let drawn: BTreeSet<(FaultKind, String)> = (0..1_000)
        .map(|slot| plan(7, &key, slot, 0))
        .map(|plan| (plan.kind, plan.size.to_string()))
        .collect();
    let wanted: usize = SIZES.iter().map(|sizes| sizes.len()).sum();
    assert_eq!(drawn.len(), wanted);
}

#[test]
fn what_reads_as_it_would_have_anyway_is_told_apart() {
    // All values of `record` swing by 0.6 K: a value held is off by 0.5 K at times, a swapped pair always.
    let (faults, _, _) = year(3, true);
    let swapped = || faults.iter().filter(|fault| fault.kind == FaultKind::Swapped);
    assert!(swapped().count() > 0 && swapped().all(|fault| fault.shows));
    let mut active = Active {
        device: "meter".parse().unwrap(),
        name: SignalName::new(NAMES[0]).unwrap(),
        partner: None,
        on_us: 0,
        off_us: DAY_US,
        sign: 1.0,
        held: 80.0,
        last_us: 0,
        touched: 0,
        shown: 0,
    };
    let mut dice = Dice { text: String::new(), drawn: 0 };
    for hour in 0..7 {
        let mut record = record("a", hour, true);
        let Body::Readings(readings) = &mut record.body else { unreachable!() };
        touch(FaultKind::Stuck, 12.0, &mut dice, &mut active, readings, hour * HOUR_US);
    }
    assert_eq!((active.touched, active.shown), (7, 2), "80.5 and 80.6 alone are off by half a degree");
}
