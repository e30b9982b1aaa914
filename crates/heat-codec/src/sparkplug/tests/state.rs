//! Births, deaths, gaps, repeats, rebirths.

use super::*;

const NCMD: [&str; 1] = ["spBv1.0/g/NCMD/n"];

#[test]
fn data_are_read_by_the_aliases_of_the_birth() {
    let mut host = born();
    assert_eq!(host.take("g/NDATA/n", 2, &payload(2, 2, [datum(1, 1.5)])), ["n/node/a=1.5"]);
    assert_eq!(host.take("g/DDATA/n/d", 3, &payload(3, 3, [datum(2, 2.5)])), ["n/d/b=2.5"]);
    assert!(host.asked().is_empty());
    let counts = host.0.counts();
    assert_eq!((counts.node_births, counts.device_births, counts.gaps), (1, 1, 0));
}

#[test]
fn data_without_a_birth_are_rejected_and_ask_for_one() {
    let mut host = Host::new();
    assert_eq!(host.take("g/NDATA/n", 0, &payload(7, 0, [datum(1, 1.0)])), ["not_born"]);
    assert_eq!(host.0.decoded().rejected_readings(), 1);
    assert_eq!(host.asked(), NCMD);
}

#[test]
fn data_of_a_device_without_a_birth_are_rejected_and_ask_for_one() {
    let mut host = born();
    assert_eq!(host.take("g/DDATA/n/e", 2, &payload(2, 2, [datum(2, 1.0)])), ["not_born"]);
    assert_eq!(host.asked(), NCMD);
    assert_eq!(host.take("g/DDATA/n/d", 3, &payload(3, 3, [datum(2, 2.5)])), ["n/d/b=2.5"], "others go on");
}

#[test]
fn an_alias_that_no_birth_announced_rejects_its_value_and_asks_for_a_birth() {
    let mut host = born();
    let data = payload(2, 2, [datum(9, 1.0), datum(1, 1.5), datum(2, 2.0)]);
    assert_eq!(
        host.take("g/NDATA/n", 2, &data),
        ["n/node/a=1.5", "unknown_alias metric alias 9", "unknown_alias metric alias 2"],
        "alias 2 is the device's"
    );
    assert_eq!(host.asked(), NCMD);
}

#[test]
fn a_gap_refuses_data_until_the_next_birth() {
    let mut host = born();
    assert_eq!(host.take("g/NDATA/n", 3, &payload(3, 3, [datum(1, 1.5)])), ["not_born"]);
    assert_eq!(host.take("g/NDATA/n", 4, &payload(4, 4, [datum(1, 1.5)])), ["not_born"]);
    assert_eq!(host.asked(), NCMD);
    assert_eq!(host.0.counts().gaps, 1);
    host.take("g/NBIRTH/n", 5, &birth(0, 5, [metric("c", 1, 3.0)]));
    assert_eq!(host.take("g/NDATA/n", 6, &payload(1, 6, [datum(1, 3.5)])), ["n/node/c=3.5"]);
    assert_eq!(
        host.take("g/DDATA/n/d", 7, &payload(2, 7, [datum(2, 2.5)])),
        ["not_born"],
        "its birth comes yet"
    );
}

#[test]
fn a_message_that_comes_again_gives_its_readings_again_and_is_no_gap() {
    let mut host = born();
    let data = payload(2, 2, [datum(1, 1.5)]);
    host.take("g/NDATA/n", 2, &data);
    host.take("g/NDATA/n", 3, &payload(3, 3, [datum(1, 1.6)]));
    assert_eq!(host.take("g/NDATA/n", 4, &data), ["n/node/a=1.5"]);
    assert_eq!(host.take("g/NDATA/n", 5, &payload(4, 5, [datum(1, 1.7)])), ["n/node/a=1.7"]);
    assert_eq!((host.0.counts().repeats, host.0.counts().gaps), (1, 0));
}

#[test]
fn a_birth_that_comes_again_keeps_the_count() {
    let mut host = Host::new();
    let bytes = birth(0, 0, [metric("a", 1, 1.0)]);
    host.take("g/NBIRTH/n", 0, &bytes);
    host.take("g/NDATA/n", 1, &payload(1, 1, [datum(1, 1.5)]));
    assert_eq!(host.take("g/NBIRTH/n", 2, &bytes), ["n/node/online=1", "n/node/a=1"]);
    assert_eq!(host.take("g/NDATA/n", 3, &payload(2, 3, [datum(1, 1.6)])), ["n/node/a=1.6"]);
}

#[test]
fn a_repeat_from_before_its_devices_birth_is_not_read_by_the_new_aliases() {
    let mut host = born();
    let old = payload(2, 2, [datum(2, 2.5)]);
    host.take("g/DDATA/n/d", 2, &old);
    host.take("g/DBIRTH/n/d", 3, &payload(3, 3, [metric("other", 2, 7.0)]));
    assert_eq!(host.take("g/DDATA/n/d", 4, &old), ["not_born"]);
    assert_eq!(host.take("g/DDATA/n/d", 5, &payload(4, 5, [datum(2, 7.5)])), ["n/d/other=7.5"]);
    assert_eq!(host.0.counts().late_data, 1);
}

#[test]
fn data_from_before_the_birth_are_rejected_and_are_no_gap() {
    let mut host = born();
    host.take("g/NBIRTH/n", 10, &birth(0, 10, [metric("other", 1, 7.0)]));
    assert_eq!(host.take("g/NDATA/n", 11, &payload(2, 2, [datum(1, 1.5)])), ["not_born"]);
    assert_eq!(host.take("g/NDATA/n", 12, &payload(1, 12, [datum(1, 7.5)])), ["n/node/other=7.5"]);
    assert_eq!((host.0.counts().late_data, host.0.counts().gaps), (1, 0));
}

#[test]
fn a_node_takes_its_devices_with_it_when_it_dies() {
    let mut host = born();
    assert_eq!(host.take("g/NDEATH/n", 9, &death(0)), ["n/node/online=0", "n/d/online=0"]);
    assert_eq!(host.times(), [None, None], "the will is older than the death");
    assert_eq!(host.take("g/NDATA/n", 10, &payload(2, 10, [datum(1, 1.5)])), ["not_born"]);
    assert_eq!(host.0.metrics_len(), 0);
    let again = host.take("g/NDEATH/n", 11, &death(0));
    assert_eq!(again, ["n/node/online=0", "n/d/online=0"], "the first copy may not be durable");
    assert_eq!((host.0.counts().node_deaths, host.0.counts().repeats), (1, 1));
}

#[test]
fn the_death_of_an_earlier_connection_changes_nothing() {
    let mut host = Host::new();
    host.take("g/NBIRTH/n", 0, &birth(7, 0, [metric("a", 1, 1.0)]));
    assert!(host.take("g/NDEATH/n", 1, &death(6)).is_empty());
    assert_eq!(host.take("g/NDATA/n", 2, &payload(1, 2, [datum(1, 1.5)])), ["n/node/a=1.5"]);
    assert_eq!(host.0.counts().stale_deaths, 1);
}

#[test]
fn a_late_birth_gives_its_readings_but_revives_nobody() {
    let mut host = born();
    host.take("g/NDEATH/n", 5_000, &death(1));
    assert_eq!(host.asked(), NCMD, "a death that no birth matches");
    assert_eq!(host.take("g/NBIRTH/n", 6_000, &birth(1, 4_000, [metric("c", 1, 3.0)])), ["n/node/c=3"]);
    assert_eq!(host.take("g/NDATA/n", 6_001, &payload(1, 4_001, [datum(1, 3.5)])), ["not_born"]);
    assert_eq!(host.0.counts().late_births, 1);
    host.take("g/NBIRTH/n", 7_000, &birth(2, 7_000, [metric("c", 1, 3.0)]));
    assert_eq!(host.take("g/NDATA/n", 7_001, &payload(1, 7_001, [datum(1, 3.5)])), ["n/node/c=3.5"]);
}

#[test]
fn a_device_that_dies_says_so_and_its_data_are_refused() {
    let mut host = born();
    assert_eq!(host.take("g/DDEATH/n/d", 3, &payload(2, 2, [])), ["n/d/online=0"]);
    assert_eq!(host.times(), [Some(2)]);
    assert_eq!(host.take("g/DDATA/n/d", 4, &payload(3, 4, [datum(2, 2.5)])), ["not_born"]);
    assert_eq!(host.take("g/NDEATH/n", 9, &death(0)), ["n/node/online=0"], "it is dead already");
}

#[test]
fn births_and_deaths_of_devices_that_overtake_the_nodes_birth_take_their_places_behind_it() {
    let mut host = Host::new();
    let device = |seq, ms, name: &str| payload(seq, ms, [metric(name, 2, 2.0)]);
    assert_eq!(host.take("g/DBIRTH/n/d", 1, &device(1, 1, "b")), ["n/d/b=2"]);
    assert_eq!(host.take("g/DBIRTH/n/e", 1, &device(2, 2, "c")), ["n/e/c=2"]);
    assert_eq!(host.take("g/DDEATH/n/e", 1, &payload(3, 3, [])), ["n/e/online=0"]);
    assert_eq!(host.take("g/DDATA/n/d", 2, &payload(4, 4, [datum(2, 2.5)])), ["not_born"]);
    assert_eq!(
        host.take("g/NBIRTH/n", 5, &birth(0, 0, [metric("a", 1, 1.0)])),
        ["n/node/online=1", "n/node/a=1", "n/d/online=1", "n/e/online=1"]
    );
    assert_eq!(host.times()[2..], [Some(1), Some(2)]);
    assert_eq!(host.take("g/DDATA/n/d", 6, &payload(5, 6, [datum(2, 2.6)])), ["n/d/b=2.6"]);
    assert_eq!(host.take("g/DDATA/n/e", 7, &payload(6, 7, [datum(2, 2.6)])), ["not_born"]);
    assert_eq!(host.0.counts().gaps, 0);
}

#[test]
fn a_waiting_birth_of_an_earlier_life_is_dropped() {
    let mut host = Host::new();
    host.take("g/DBIRTH/n/d", 1, &payload(1, 1, [metric("b", 2, 2.0)]));
    assert_eq!(host.take("g/NBIRTH/n", 5, &birth(0, 5, [])), ["n/node/online=1"]);
    assert_eq!(host.take("g/DDATA/n/d", 6, &payload(1, 6, [datum(2, 2.6)])), ["not_born"]);
    assert_eq!(host.0.metrics_len(), 2, "bdSeq and Node Control/Rebirth");
}

#[test]
fn a_node_is_asked_again_only_after_its_cool_down() {
    let mut host = Host::new();
    let mut asked = Vec::new();
    for second in 0..600_u32 {
        let ms = i64::from(second) * 1_000;
        host.take("g/NDATA/n", ms, &payload(u64::from(second % 256), ms, [datum(1, 1.0)]));
        host.take("g/NDATA/m", ms, &payload(u64::from(second % 256), ms, [datum(1, 1.0)]));
        asked.extend(host.asked().into_iter().map(|topic| (second, topic.ends_with("/n"))));
    }
    let of_n: Vec<_> = asked.iter().filter(|(_, n)| *n).map(|(second, _)| *second).collect();
    assert_eq!(of_n, [0, 30, 90, 210, 450]);
    assert_eq!(asked.len(), 10, "each node has its own");
    let counts = host.0.counts();
    assert_eq!(counts.rebirths_asked + counts.rebirths_held_back, 1_200);
}

#[test]
fn the_request_is_a_command_that_the_schema_reads() {
    let mut host = Host::new();
    host.take("g/NDATA/n", 5, &payload(7, 0, [datum(1, 1.0)]));
    let [Rebirth { topic, payload }] = &host.0.take_rebirths()[..] else { panic!("one request") };
    let command = Payload::decode(&payload[..]).unwrap();
    let wanted = Metric { timestamp: stamp(5), value: Some(Value::BooleanValue(true)), ..rebirth_control() };
    assert_eq!(topic, "spBv1.0/g/NCMD/n");
    assert_eq!(command, Payload { timestamp: stamp(5), metrics: vec![wanted], ..Payload::default() });
}

#[test]
fn requests_that_nobody_takes_and_nodes_beyond_the_bound_cost_bounded_memory() {
    let mut host = Host::new();
    for node in 0..NODES_MAX {
        host.take(&format!("g/NDATA/n{node}"), 0, &payload(0, 0, [datum(1, 1.0)]));
    }
    let seen = host.take("g/NBIRTH/one-more", 0, &birth(0, 0, [metric("a", 1, 1.0)]));
    assert_eq!((seen, host.0.nodes_len()), (vec!["too_many_devices".to_owned()], NODES_MAX));
    host.take("g/NDATA/n0", 3_600_000, &payload(0, 0, [datum(1, 1.0)]));
    assert_eq!(host.asked().len(), NODES_MAX);
}

#[test]
fn what_hosts_say_is_passed_over_and_counted() {
    let mut host = Host::new();
    for topic in ["g/NCMD/n", "g/DCMD/n/d", "STATE/scada"] {
        assert!(host.take(topic, 0, b"{}").is_empty(), "{topic}");
    }
    assert_eq!((host.0.counts().messages_ignored, host.0.nodes_len()), (3, 0));
}

#[test]
fn a_payload_that_is_none_is_rejected_whole_and_changes_nothing() {
    let mut host = born();
    assert_eq!(host.take("g/NDATA/n", 2, b"{\"values\":1}"), ["bad_sparkplug byte 1"]);
    assert_eq!(host.take("g/NDATA/n", 2, b""), ["empty"]);
    assert_eq!(host.take("g/NDATA/n", 2, &vec![0; 300_000]), ["too_large"]);
    assert_eq!(host.take("g/NFOO/n", 2, &death(0)), ["unknown_topic"]);
    let many = payload(2, 2, (0..5_000).map(|_| datum(1, 0.0)));
    assert_eq!(host.take("g/NDATA/n", 2, &many), ["too_many_values"]);
    let no_seq = Payload { timestamp: stamp(2), metrics: vec![datum(1, 0.0)], ..Payload::default() };
    assert_eq!(host.take("g/NDATA/n", 2, &no_seq.encode_to_vec()), ["missing_field seq"]);
    assert_eq!(host.take("g/NDATA/n", 2, &payload(256, 2, [datum(1, 0.0)])), ["number_out_of_range seq"]);
    assert_eq!(host.take("g/NDATA/n", 2, &payload(2, 2, [datum(1, 1.5)])), ["n/node/a=1.5"]);
}

#[test]
fn a_device_may_not_speak_in_its_nodes_name() {
    let mut host = born();
    let seen = host.take("g/DBIRTH/n/node", 2, &payload(2, 2, [metric("a", 5, 1.0)]));
    assert_eq!(seen, ["duplicate_key topic"]);
    assert_eq!(host.take("g/NDATA/n", 3, &payload(3, 3, [datum(1, 1.5)])), ["n/node/a=1.5"], "others go on");
}

#[test]
fn every_count_has_a_word_of_its_own() {
    let mut host = born();
    host.take("g/NDATA/n", 3, &payload(9, 3, [datum(1, 1.5)]));
    let words = host.0.counts().by_word();
    let distinct: std::collections::BTreeSet<_> = words.iter().map(|(word, _)| word).collect();
    assert_eq!(distinct.len(), words.len());
    let of = |wanted: &str| words.iter().find(|(word, _)| *word == wanted).map(|(_, count)| *count);
    assert_eq!((of("gap"), of("node_birth"), of("rebirth_asked")), (Some(1), Some(1), Some(1)));
}
