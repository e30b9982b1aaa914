use std::sync::Arc;

use heat_model::{SignalSet, SignalSetId, record::DeviceSeq};
use proptest::prelude::*;

use super::*;

fn readings(device: &str, boot: &str, seq: u64, lane: Lane) -> Readings {
    let set = SignalSet {
        id: SignalSetId(xxh3_64(device.as_bytes())),
        network: "town".parse().unwrap(),
        site: "st01".parse().unwrap(),
        device: device.parse().unwrap(),
        signals: Vec::new(),
    };
    let device_seq = Some(DeviceSeq { boot: boot.into(), seq });
    Readings { set: Arc::new(set), lane, device_seq, readings: Vec::new() }
}

fn observe(tracker: &mut DeviceTracker, device: &str, boot: &str, seq: u64, lane: Lane) -> Sequence {
    let network = "town".parse().unwrap();
    tracker.observe(&network, &readings(device, boot, seq, lane), 1).unwrap()
}

/// Live messages of one run of one device.
fn play(seqs: impl IntoIterator<Item = u64>) -> (DeviceTracker, Vec<Sequence>) {
    let mut tracker = DeviceTracker::default();
    let said = seqs.into_iter().map(|seq| observe(&mut tracker, "m", "a", seq, Lane::Live)).collect();
    (tracker, said)
}

fn sums(said: &[Sequence]) -> (u64, u64) {
    let mut hour = DeviceHour::default();
    for &sequence in said {
        hour.count(sequence, || "town/st01/m".to_owned());
    }
    (hour.missing, hour.late)
}

#[test]
fn a_number_passed_over_is_missing_and_late_when_it_comes_after_all() {
    let (_, said) = play([10, 11, 15, 13, 16, 13]);
    assert_eq!(
        said,
        [
            Sequence::First,
            Sequence::Due,
            Sequence::Gap { missing: 3 },
            Sequence::Late,
            Sequence::Due,
            Sequence::Repeated
        ]
    );
    assert_eq!(sums(&said), (3, 1), "12 and 14 are lost");
}

#[test]
fn a_device_that_never_counts_by_one_loses_nothing() {
    let (_, said) = play((0..20).map(|step| 1_700_000_000_000 + step * 60_000));
    assert_eq!(sums(&said), (0, 0));
    let (_, said) = play((0..20).map(|step| step * 2));
    assert_eq!(sums(&said), (0, 0));
}

#[test]
fn a_restart_is_no_loss_with_a_new_boot_or_without() {
    let mut tracker = DeviceTracker::default();
    for seq in 500..510 {
        observe(&mut tracker, "m", "a", seq, Lane::Live);
    }
    assert_eq!(observe(&mut tracker, "m", "b", 3, Lane::Live), Sequence::Restarted);
    assert_eq!(observe(&mut tracker, "m", "b", 4, Lane::Live), Sequence::Due);
    assert_eq!(
        observe(&mut tracker, "m", "a", 510, Lane::Live),
        Sequence::Repeated,
        "the old run's stragglers"
    );
    assert_eq!(observe(&mut tracker, "m", "b", 5, Lane::Live), Sequence::Due);

    let (_, said) = play([900, 901, 0, 1, 2]);
    assert_eq!(said[2..], [Sequence::Restarted, Sequence::Due, Sequence::Due]);
    let (_, said) = play([1, 2, 5_000_000, 5_000_001]);
    assert_eq!(said[2..], [Sequence::Restarted, Sequence::Due]);
}

#[test]
fn history_sent_late_is_no_restart() {
    let mut tracker = DeviceTracker::default();
    let seqs = (0..100).chain(300..400);
    let said: Vec<_> = seqs.map(|seq| observe(&mut tracker, "m", "a", seq, Lane::Live)).collect();
    assert_eq!(sums(&said), (200, 0));

    let late: Vec<_> = (100..300).map(|seq| observe(&mut tracker, "m", "a", seq, Lane::Backfill)).collect();
    assert_eq!(sums(&late), (0, 200), "all came after all");
    assert_eq!(observe(&mut tracker, "m", "a", 50, Lane::Backfill), Sequence::Repeated);
    assert_eq!(observe(&mut tracker, "m", "a", 400, Lane::Live), Sequence::Due);
}

#[test]
fn a_counter_of_one_byte_turns_over() {
    let (_, said) = play((0..600_u64).map(|seq| seq % 256));
    assert!(said[1..].iter().all(|said| *said == Sequence::Due), "{said:?}");
}

#[test]
fn the_further_records_of_a_message_say_nothing_new() {
    let mut tracker = DeviceTracker::default();
    let network = "town".parse().unwrap();
    observe(&mut tracker, "m", "a", 1, Lane::Live);
    assert_eq!(tracker.observe(&network, &readings("m", "a", 1, Lane::Live), 0), None);
    assert_eq!(tracker.observe(&network, &readings("m", "a", 1, Lane::Live), 1), Some(Sequence::Repeated));
    let unnumbered = Readings { device_seq: None, ..readings("m", "a", 1, Lane::Live) };
    assert_eq!(tracker.observe(&network, &unnumbered, 1), None);
}

#[test]
fn memory_is_bounded_and_what_is_forgotten_is_counted_and_claims_nothing() {
    let mut tracker = DeviceTracker::new(100);
    for round in 0..3 {
        for device in 0..1_000 {
            let seq = 10 * round;
            observe(&mut tracker, &format!("m{device}"), "a", seq, Lane::Live);
        }
    }
    assert!(tracker.len() <= 100, "{}", tracker.len());
    assert!(tracker.forgotten() >= 2_900, "{}", tracker.forgotten());
    for round in 0..3 {
        // Those that speak often stay.
        assert_ne!(observe(&mut tracker, "m999", "a", 30 + round, Lane::Live), Sequence::First);
    }
}

#[test]
fn at_most_so_many_devices_are_named_and_no_number_is_lost_in_the_sums() {
    let mut hour = DeviceHour::default();
    for device in 0..200 {
        hour.count(Sequence::Gap { missing: 2 }, || format!("town/st01/m{device:03}"));
    }
    assert_eq!((hour.devices.len(), hour.missing), (NAMED_MAX, 400));
    assert_eq!(hour.missing_of_others, 2 * (200 - NAMED_MAX as u64));

    let mut sum = DeviceHour::default();
    sum.add(&hour);
    sum.add(&hour);
    assert_eq!((sum.missing, sum.messages, sum.devices.len()), (800, 400, NAMED_MAX));
}

proptest! {
    #[test]
    fn what_is_missing_in_the_end_is_what_never_came(
        lost in proptest::collection::btree_set(2_u64..200, 0..40),
        swaps in proptest::collection::vec(2_usize..190, 0..4),
    ) {
        // Neighbours may change places; runs of loss stay few enough to be remembered.
        let lost: std::collections::BTreeSet<u64> = lost.into_iter().take(RANGES_MAX - 4).collect();
        let mut seqs: Vec<u64> = (0..200).filter(|seq| !lost.contains(seq)).collect();
        for at in swaps {
            if at + 1 < seqs.len() - 1 {
                seqs.swap(at, at + 1);
            }
        }
        let end = seqs.last().copied().unwrap_or(0);
        let (_, said) = play(seqs);
        let (missing, late) = sums(&said);
        prop_assert_eq!(missing - late, lost.iter().filter(|seq| **seq < end).count() as u64);
    }

    #[test]
    fn a_snapshot_goes_on_as_if_nothing_had_happened(
        seqs in proptest::collection::vec((0_u8..6, 0_u64..40), 1..200),
        cut in 0_usize..200,
    ) {
        let play = |tracker: &mut DeviceTracker, part: &[(u8, u64)]| -> Vec<Sequence> {
            let one = |&(device, seq): &(u8, u64)| {
                observe(tracker, &format!("m{device}"), "a", seq, Lane::Live)
            };
            part.iter().map(one).collect()
        };
        let cut = cut.min(seqs.len());
        let mut straight = DeviceTracker::new(4);
        let expected = play(&mut straight, &seqs);

        let mut before = DeviceTracker::new(4);
        let mut said = play(&mut before, &seqs[..cut]);
        let mut after = DeviceTracker::restore(before.snapshot());
        said.extend(play(&mut after, &seqs[cut..]));
        prop_assert_eq!(said, expected);
        prop_assert_eq!(after.snapshot(), straight.snapshot());
    }
}
