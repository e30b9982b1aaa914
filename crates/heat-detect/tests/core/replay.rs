//! A core that is stopped and restored in the midst of what it follows says the same, byte for byte.

use std::sync::Arc;

use heat_detect::{DetectSettings, PartitionCore, Snapshot};
use heat_model::{incident::Class, plant::PlantModel};

use crate::{
    beside::nights,
    homes::{inhabited, rooms},
    quality::value,
    stations::{Trouble, WELL, metered},
    temps::{FINE, Meter, controlled, controlled_station, metered_station, swap},
    world::{CALM, Device, Feed, plant},
};

const HOUR: i64 = 3_600;
const DAY: i64 = 24 * HOUR;
const SCAN: i64 = 900;

/// Something that is told, with the time from which on the core is cut.
struct Episode {
    kind: &'static str,
    plant: PlantModel,
    cut_from: i64,
    until: i64,
    every: i64,
    spoil: fn(i64, &mut Vec<Device>),
}

impl Episode {
    fn new(kind: &'static str, from: i64, until: i64, spoil: fn(i64, &mut Vec<Device>)) -> Self {
        Self { kind, plant: plant(), cut_from: from - 12 * HOUR, until, every: SCAN, spoil }
    }

    fn run(&self, feed: &mut Feed, from: i64, to: i64) {
        feed.run_with(from, to, self.every, |_| CALM, self.spoil);
    }

    fn feed(&self) -> Feed {
        Feed::new(DetectSettings::default(), self.plant.clone())
    }

    fn is_open(&self, feed: &Feed) -> bool {
        let is_it = |kind: &str, class: Class| kind == self.kind || class.as_str() == self.kind;
        feed.incidents().iter().any(|incident| {
            is_it(incident.kind.as_deref().unwrap_or_default(), incident.class) && incident.cleared.is_none()
        })
    }
}

const SIX: i64 = 6 * DAY;

fn is_on(at: i64) -> bool {
    (SIX..SIX + DAY).contains(&at)
}

fn episodes() -> Vec<Episode> {
    let until = SIX + 2 * DAY;
    vec![
        Episode::new("swapped", SIX, until, |at, list| {
            controlled(at, list);
            if is_on(at) {
                swap(list, "source", "supply_temperature", "return_temperature");
            }
        }),
        Episode::new("impossible", SIX, until + DAY, |at, list| {
            controlled(at, list);
            controlled_station(at, list, 1.0);
            if is_on(at) {
                *value(list, "b1", "secondary_supply_temperature") += 66.0;
                *value(list, "b1", "secondary_return_temperature") += 70.0;
            }
        }),
        Episode::new("bias", SIX, until, |at, list| {
            controlled(at, list);
            metered_station(at, list, Meter { off: if is_on(at) { 0.06 } else { 0.0 }, ..FINE });
        }),
        // It comes back within the two weeks.
        Episode::new("high_return", SIX, until + 2 * DAY, |at, list| {
            let back = if is_on(at) || at >= SIX + 3 * DAY { 5.0 } else { 0.0 };
            metered(at, list, Trouble { back, ..WELL });
        }),
        Episode::new("setback_lost", 26 * DAY, 33 * DAY, |at, list| {
            controlled(at, list);
            nights(at, list, 26 * DAY + 12 * HOUR, 31 * DAY + 12 * HOUR);
        }),
        Episode {
            every: 150,
            ..Episode::new("hunting", DAY, DAY + 12 * HOUR, |at, list| {
                controlled(at, list);
                let size = if (DAY..DAY + 6 * HOUR).contains(&at) { 0.15 } else { 0.0 };
                let angle = at as f64 / 900.0 * std::f64::consts::TAU;
                list.push(("b1", "valve", vec![("valve_opening", "1", 0.5 + size * angle.sin())]));
            })
        },
        Episode {
            plant: inhabited(12, |_| "b1"),
            ..Episode::new("underheating", DAY, 3 * DAY, |at, list| {
                controlled(at, list);
                let is_cold = (DAY..2 * DAY).contains(&at);
                rooms(at, list, 12, |home| if is_cold && home < 6 { 16.0 } else { 20.5 });
            })
        },
    ]
}

#[test]
fn no_cut_in_the_midst_of_what_is_followed_changes_a_byte() {
    for episode in episodes() {
        let mut straight = episode.feed();
        episode.run(&mut straight, 0, episode.until);

        let mut cut = episode.feed();
        episode.run(&mut cut, 0, episode.cut_from);
        let (mut from, mut cuts_while_open) = (episode.cut_from, 0);
        while from < episode.until {
            let to = episode.until.min(from + 2 * HOUR + episode.every);
            episode.run(&mut cut, from, to);
            from = to;
            cuts_while_open += u32::from(episode.is_open(&cut));
            let stored = postcard::to_stdvec(&cut.core.snapshot()).unwrap();
            let snapshot: Snapshot = postcard::from_bytes(&stored).unwrap();
            cut.core = PartitionCore::new(DetectSettings::default(), Arc::new(episode.plant.clone()));
            cut.core.restore(snapshot).unwrap();
            assert!(postcard::to_stdvec(&cut.core.snapshot()).unwrap() == stored, "{}", episode.kind);
        }

        assert!(cuts_while_open > 0, "{}: {:?}", episode.kind, straight.incidents());
        let same = postcard::to_stdvec(&cut.out).unwrap() == postcard::to_stdvec(&straight.out).unwrap();
        assert!(same, "{}", episode.kind);
    }
}
