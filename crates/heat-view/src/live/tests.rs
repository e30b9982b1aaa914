#![expect(clippy::float_cmp, reason = "values are carried and never computed with")]

use heat_model::{
    Offset, Origin, PartitionId, SignalDecl,
    plant::{PlantModel, Site, SiteKind},
};

use super::*;

const SECOND: i64 = 1_000_000;

fn set(id: u64, site: &str, names: &[&str]) -> Arc<SignalSet> {
    Arc::new(SignalSet {
        id: SignalSetId(id),
        network: "town".parse().unwrap(),
        site: site.parse().unwrap(),
        device: "d".parse().unwrap(),
        signals: names
            .iter()
            .map(|name| SignalDecl {
                name: name.parse().unwrap(),
                unit: "degC".into(),
                raw_unit: "".into(),
                scale: 1.0,
                offset: 0.0,
            })
            .collect(),
    })
}

fn record(set: &Arc<SignalSet>, lane: Lane, values: &[(i64, f64, QualityCode)]) -> Envelope {
    let readings = values
        .iter()
        .map(|&(micros, value, code)| Reading {
            signal: 0,
            event_time: EventTime::from_micros(micros),
            raw: value,
            value,
            quality: Quality::Good,
            code,
        })
        .collect();
    Envelope {
        network: Some(set.network.clone()),
        origin: Origin { gateway: "g".parse().unwrap(), epoch: 1, seq: 0 },
        ingest_time: IngestTime::from_micros(0),
        messages: 1,
        body: Body::Readings(Readings { set: Arc::clone(set), lane, device_seq: None, readings }),
    }
}

fn send(table: &mut LiveTable, set: &Arc<SignalSet>, append: i64, event: i64, value: f64) {
    send_code(table, set, append, event, value, QualityCode::None);
}

fn send_code(
    table: &mut LiveTable,
    set: &Arc<SignalSet>,
    append: i64,
    event: i64,
    value: f64,
    code: QualityCode,
) {
    table.apply(&at(append), &record(set, Lane::Live, &[(event * SECOND, value, code)]), &FreshMask::all());
}

fn at(append: i64) -> Position {
    Position {
        partition: PartitionId(0),
        offset: Offset(0),
        append_time: AppendTime::from_micros(append * SECOND),
    }
}

fn now(seconds: i64) -> IngestTime {
    IngestTime::from_micros(seconds * SECOND)
}

fn current(table: &LiveTable) -> Current {
    *table.networks().next().unwrap().values()[0].as_ref().unwrap()
}

fn table() -> LiveTable {
    LiveTable::new(LiveSettings::default(), Privacy::default())
}

#[test]
fn a_value_past_three_of_its_own_intervals_is_not_current() {
    let (mut table, set) = (table(), set(1, "s", &["supply_temperature"]));
    for step in 0..6 {
        send(&mut table, &set, step * 60, step * 60, 80.0);
    }

    let held = current(&table);

    assert_eq!(held.deadline(table.settings()), Duration::from_mins(3));
    assert!(!held.is_expired(now(300 + 180), table.settings()));
    assert!(held.is_expired(now(300 + 181), table.settings()));
}

#[test]
fn a_fast_signal_keeps_the_floor_and_an_unlearned_one_its_own_deadline() {
    let (mut table, set) = (table(), set(1, "s", &["supply_temperature"]));
    send(&mut table, &set, 0, 0, 80.0);
    assert_eq!(current(&table).deadline(table.settings()), table.settings().deadline_unlearned);

    for step in 1..6 {
        send(&mut table, &set, step, step, 80.0);
    }
    assert_eq!(current(&table).deadline(table.settings()), table.settings().deadline_min);
}

#[test]
fn an_older_reading_and_a_repeat_change_nothing_but_a_correction_does() {
    let (mut table, set) = (table(), set(1, "s", &["supply_temperature"]));
    send(&mut table, &set, 10, 10, 80.0);
    send(&mut table, &set, 11, 9, 70.0);
    send(&mut table, &set, 12, 10, 80.0);
    assert_eq!((current(&table).value, current(&table).append_time.second()), (80.0, 10));
    assert_eq!((table.counts().applied, table.counts().older), (1, 2));

    send(&mut table, &set, 13, 10, 81.0);
    assert_eq!(current(&table).value, 81.0);
}

#[test]
fn a_device_that_was_a_day_ahead_does_not_block_its_corrected_values() {
    let (mut table, set) = (table(), set(1, "s", &["supply_temperature"]));
    send_code(&mut table, &set, 10, 86_410, 80.0, QualityCode::ClockAhead);
    send(&mut table, &set, 20, 20, 79.0);
    assert_eq!(current(&table).value, 79.0);

    send_code(&mut table, &set, 15, 86_415, 80.0, QualityCode::ClockAhead);
    assert_eq!(current(&table).value, 79.0);
}

#[test]
fn back_filled_and_retained_readings_and_marked_repeats_say_nothing_about_now() {
    let (mut table, set) = (table(), set(1, "s", &["supply_temperature"]));
    table.apply(
        &at(1),
        &record(&set, Lane::Backfill, &[(SECOND, 1.0, QualityCode::None)]),
        &FreshMask::all(),
    );
    send_code(&mut table, &set, 2, 2, 2.0, QualityCode::Retained);
    let mut repeat = FreshMask::all();
    repeat.mark_repeat(0);
    table.apply(&at(3), &record(&set, Lane::Live, &[(3 * SECOND, 3.0, QualityCode::None)]), &repeat);

    assert_eq!(table.counts().applied, 0);
    assert_eq!(table.networks().next().unwrap().values(), [None]);
}

#[test]
fn signals_beyond_the_bound_are_refused_and_counted_and_get_in_when_silent_ones_are_forgotten() {
    let settings = LiveSettings { signals_max: 2, ..LiveSettings::default() };
    let mut table = LiveTable::new(settings, Privacy::default());
    let sets = [set(1, "a", &["t"]), set(2, "b", &["t"]), set(3, "c", &["t"])];
    for set in &sets {
        send(&mut table, set, 0, 0, 1.0);
    }
    assert_eq!((table.signals(), table.counts().over_bound), (2, 1));

    let later = 86_400 + 1;
    send(&mut table, &sets[0], later, later, 2.0);
    table.forget_silent(now(later));
    assert_eq!((table.signals(), table.counts().forgotten), (1, 1));
    send(&mut table, &sets[2], later, later, 3.0);

    let network = table.networks().next().unwrap();
    let sites: Vec<_> = network.signals(None).map(|(entry, _)| entry.id.site.to_string()).collect();
    assert_eq!(sites, ["a", "c"]);
    assert_eq!(network.get(&sets[2].signal_id(0)).unwrap().1.unwrap().value, 3.0);
}

fn described(id: &str, kind: SiteKind) -> Site {
    Site { kind: Some(kind), ..Site::new(id.parse().unwrap()) }
}

fn privacy(sites: Vec<Site>) -> Privacy {
    Privacy::new(&PlantModel { sites, ..PlantModel::default() })
}

#[test]
fn a_site_that_turns_out_to_be_a_home_is_forgotten_at_once_and_the_others_stay() {
    let mut table = LiveTable::new(LiveSettings::default(), privacy(Vec::new()));
    let sets = [set(1, "flat-301", &["supply_temperature"]), set(2, "st1", &["supply_temperature"])];
    for set in &sets {
        send(&mut table, set, 0, 0, 1.0);
    }
    assert_eq!(table.signals(), 2);

    table.set_privacy(privacy(vec![described("flat-301", SiteKind::Household)]));
    for set in &sets {
        send(&mut table, set, SECOND, SECOND, 2.0);
    }
    let network = table.networks().next().unwrap();
    let sites: Vec<_> = network.signals(None).map(|(entry, _)| entry.id.site.to_string()).collect();
    assert_eq!((sites, table.signals()), (vec!["st1".to_owned()], 1));

    // One that was a home by mistake comes back with its next reading.
    table.set_privacy(privacy(Vec::new()));
    send(&mut table, &sets[0], 2 * SECOND, 2 * SECOND, 3.0);
    assert_eq!(table.signals(), 2);
}

#[test]
fn homes_are_kept_out() {
    let sites = vec![described("flat-301", SiteKind::Household), described("school", SiteKind::Building)];
    let mut table = LiveTable::new(LiveSettings::default(), privacy(sites));

    send(&mut table, &set(1, "flat-301", &["supply_temperature"]), 0, 0, 1.0);
    send(&mut table, &set(2, "nobody-knows", &["indoor_temperature"]), 0, 0, 1.0);
    assert_eq!((table.signals(), table.counts().private), (0, 2));

    send(&mut table, &set(3, "school", &["indoor_temperature"]), 0, 0, 1.0);
    assert_eq!(table.signals(), 1);
}

#[test]
fn paging_goes_on_after_the_last_signal_seen() {
    let mut table = table();
    for (id, site) in ["a", "b", "c"].into_iter().enumerate() {
        send(&mut table, &set(id as u64, site, &["t"]), 0, 0, 1.0);
    }
    let network = table.networks().next().unwrap();
    let after: SignalId = "town/a/d/t".parse().unwrap();
    let sites: Vec<_> = network.signals(Some(&after)).map(|(entry, _)| entry.id.site.to_string()).collect();
    assert_eq!(sites, ["b", "c"]);
}

#[test]
fn another_unit_starts_the_signal_anew() {
    let mut table = table();
    send(&mut table, &set(1, "s", &["flow"]), 0, 10, 1.0);
    let mut other = (*set(2, "s", &["flow"])).clone();
    other.signals[0].unit = "kg/s".into();
    send(&mut table, &Arc::new(other), 1, 5, 2.0);

    let network = table.networks().next().unwrap();
    assert_eq!((&*network.entries()[0].unit, network.values()[0].unwrap().value), ("kg/s", 2.0));
}
