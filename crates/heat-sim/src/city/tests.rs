use std::collections::BTreeMap;

use super::*;
use crate::{
    event::{Happening, LeakSize, ScriptedEvent},
    plan::{MakeUpControl, NetworkPlan},
    script::RandomScript,
};

const MINUTE: Duration = Duration::from_secs(60);

fn start() -> EventTime {
    EventTime::from_micros(1_767_974_400_000_000)
}

fn small_plan() -> CityPlan {
    let mut plan = CityPlan::demo();
    plan.networks.truncate(1);
    plan.networks[0].stations = 12;
    plan
}

fn city(plan: CityPlan) -> City {
    City::new(plan, 5, start()).expect("the plan is sound")
}

fn pass(_: &DeviceMessage<'_>) {}

fn event(city: &City, after: Duration, lasts: Duration, what: Happening) -> Script {
    let network = city.plan().networks[0].id.clone();
    Script { events: vec![ScriptedEvent { name: None, network, after, lasts, what }] }
}

fn burst_at(city: &City, node: usize, side: heat_model::plant::Side, share: f64) -> Happening {
    let pipe = crate::assembly::pipe_id(&city.plan().networks[0], node, side);
    Happening::Burst { pipe, position: 0.4, size: LeakSize::ShareOfCirculation(share) }
}

/// Make-up less all that left, against the change of what is stored; kg.
fn water_gap(before: &Account, after: &Account) -> f64 {
    let gone = |a: &Account| a.make_up_kg - a.relief_kg - a.leak_kg - a.base_loss_kg - a.to_secondary_kg;
    (gone(after) - gone(before)) - (after.stored_kg - before.stored_kg)
}

fn heat_gap(before: &Account, after: &Account) -> f64 {
    let gone = |a: &Account| a.source_j - a.stations_j - a.ground_j - a.lost_water_j;
    (gone(after) - gone(before)) - (after.stored_j - before.stored_j)
}

proptest::proptest! {
    #![proptest_config(proptest::test_runner::Config { cases: 6, ..Default::default() })]

    #[test]
    fn water_and_heat_accounts_close_through_every_kind_of_event(seed in 0_u64..1_000_000, batch in 0..2) {
        let mut plan = small_plan();
        plan.networks[0].make_up = if batch == 1 { MakeUpControl::Batch } else { MakeUpControl::Continuous };
        let mut city = City::new(plan, seed, start()).expect("the plan is sound");
        let script = RandomScript {
            bursts: 2,
            abrupt_leaks: 1,
            incipient_leaks: 1,
            exchanger_leaks: 1,
            pump_trips: 1,
            power_failures: 1,
            cold_stations: 1,
            drainings: 2,
            ..RandomScript::EVERYDAY
        }
        .script(city.plant(), Duration::from_secs(86_400), seed);
        city.schedule(&script, start()).unwrap();
        let id = city.plan().networks[0].id.clone();
        let before = city.account(&id).unwrap();

        city.advance(start().plus(Duration::from_secs(2 * 86_400)), Scan::HISTORY, &mut pass);

        let after = city.account(&id).unwrap();
        let made_up = after.make_up_kg - before.make_up_kg;
        assert!(after.leak_kg > 1_000.0 && after.to_secondary_kg > before.to_secondary_kg, "{after:?}");
        let gap = water_gap(&before, &after);
        assert!(gap.abs() < 1e-6 * made_up, "{gap} of {made_up} kg");
        let heat = after.source_j - before.source_j;
        let gap = heat_gap(&before, &after);
        assert!(gap.abs() < 1e-3 * heat, "{gap} of {heat} J");
    }
}

#[test]
fn flows_balance_at_every_node_also_in_a_burst() {
    for side in [heat_model::plant::Side::Supply, heat_model::plant::Side::Return] {
        let mut city = city(small_plan());
        let script = event(&city, MINUTE, 10 * MINUTE, burst_at(&city, 6, side, 0.3));
        city.schedule(&script, start()).unwrap();
        for minute in [1, 2, 5, 20] {
            city.advance(start().plus(MINUTE * minute), Scan::Live, &mut pass);
            let network = &city.networks()[0];
            for (index, node) in network.nodes.iter().enumerate() {
                let children = network.nodes.iter().enumerate().filter(|(i, n)| *i > 0 && n.parent == index);
                let (mut supplied, mut returned) = (0.0, 0.0);
                for (_, child) in children {
                    supplied += child.supply.upper_kg_s;
                    returned += child.back.upper_kg_s;
                }
                let station = node.station.map(|station| &network.stations[station]);
                let taken = station.map_or(0.0, |s| s.flow_kg_s);
                let kept = station.map_or(0.0, |s| s.top_up_kg_s + s.exchanger_kg_s);
                let (lost_supply, lost_return) = network.base_loss_kg_s(index);
                assert!(
                    (node.supply.lower_kg_s - supplied - taken - lost_supply).abs() < 1e-9,
                    "node {index}"
                );
                assert!(
                    (node.back.lower_kg_s - returned - taken + kept + lost_return).abs() < 1e-9,
                    "node {index}"
                );
            }
        }
    }
}

#[test]
fn a_burst_lowers_the_pressures_most_behind_it_and_make_up_surges_to_its_capacity() {
    let mut city = city(small_plan());
    let node = 6;
    let script =
        event(&city, 2 * MINUTE, 10 * MINUTE, burst_at(&city, node, heat_model::plant::Side::Supply, 0.2));
    city.schedule(&script, start()).unwrap();
    city.advance(start().plus(2 * MINUTE), Scan::Live, &mut pass);
    let before = city.networks()[0].clone();

    city.advance(start().plus(2 * MINUTE + Duration::from_secs(20)), Scan::Live, &mut pass);

    let after = city.networks()[0].clone();
    let fall = |at: usize| before.nodes[at].supply.node_pa - after.nodes[at].supply.node_pa;
    let is_behind = |mut at: usize| {
        while at != 0 && at != node {
            at = after.nodes[at].parent;
        }
        at == node
    };
    let (behind, beside): (Vec<usize>, Vec<usize>) = (1..after.nodes.len()).partition(|&at| is_behind(at));
    let least_behind = behind.iter().map(|&at| fall(at)).fold(f64::INFINITY, f64::min);
    let median_beside = {
        let mut falls: Vec<f64> = beside.iter().map(|&at| fall(at)).collect();
        falls.sort_by(f64::total_cmp);
        falls[falls.len() / 2]
    };
    assert!(least_behind > 20e3, "{least_behind} Pa");
    assert!(least_behind > median_beside, "{least_behind} Pa behind, {median_beside} Pa beside");
    assert!((after.source.make_up_kg_s - after.source.capacity_kg_s).abs() < 1e-9);
    assert!(after.source.return_pa() < before.source.return_pa() - 20e3);
    assert!(after.supply_kg_s > before.supply_kg_s && after.return_kg_s < before.return_kg_s);

    let label = &city.labels()[0];
    let share = label.size_kg_s.unwrap() / before.supply_kg_s;
    assert!((0.15..0.21).contains(&share), "the label says {share} of the circulation");
}

#[test]
fn a_burst_shows_in_the_source_flow_of_its_own_side_within_seconds() {
    for side in [heat_model::plant::Side::Supply, heat_model::plant::Side::Return] {
        let mut city = city(small_plan());
        let script = event(&city, MINUTE, 5 * MINUTE, burst_at(&city, 2, side, 0.1));
        city.schedule(&script, start()).unwrap();
        city.advance(start().plus(MINUTE), Scan::Live, &mut pass);
        let before = city.networks()[0].clone();
        let balance = |n: &Network| n.supply_kg_s - n.return_kg_s;

        city.advance(start().plus(MINUTE + Duration::from_secs(5)), Scan::Live, &mut pass);

        let after = &city.networks()[0];
        let size = city.labels()[0].size_kg_s.unwrap();
        let supply = after.supply_kg_s - before.supply_kg_s;
        let back = before.return_kg_s - after.return_kg_s;
        let lost = balance(after) - balance(&before);
        // Topping up a secondary may begin or end meanwhile.
        assert!((lost / size - 1.0).abs() < 0.15, "{side:?}: {lost} of {size} kg/s");
        let (own, other) =
            if side == heat_model::plant::Side::Supply { (supply, back) } else { (back, supply) };
        assert!(
            own > 0.6 * size && own > 2.0 * other,
            "{side:?}: own side {own}, other {other} of {size} kg/s"
        );
    }
}

#[test]
fn a_pump_trip_lowers_the_supply_pressure_and_raises_the_return_pressure() {
    let mut city = city(small_plan());
    let script = event(&city, MINUTE, 5 * MINUTE, Happening::PumpTrip);
    city.schedule(&script, start()).unwrap();
    city.advance(start().plus(MINUTE), Scan::Live, &mut pass);
    let before = city.networks()[0].clone();

    city.advance(start().plus(2 * MINUTE), Scan::Live, &mut pass);
    let after = &city.networks()[0];
    assert!(after.nodes[0].supply.node_pa < before.nodes[0].supply.node_pa - 1e5);
    assert!(after.source.return_pa() > before.source.return_pa() + 2e4);
    assert!(after.supply_kg_s < 0.1 * before.supply_kg_s);

    city.advance(start().plus(20 * MINUTE), Scan::Live, &mut pass);
    assert!((city.networks()[0].supply_kg_s / before.supply_kg_s - 1.0).abs() < 0.1);
}

/// All messages as text, since NaN must count as equal.
fn record(city: &mut City, to: EventTime, scan: Scan, into: &mut Vec<String>) {
    city.advance(to, scan, &mut |message| {
        let bits: Vec<u64> = message.raw.iter().map(|value| value.raw.to_bits()).collect();
        into.push(format!(
            "{} {} {} {} {} {bits:x?}",
            message.time.as_micros(),
            message.site,
            message.device,
            message.seq,
            message.boot
        ));
    });
}

#[test]
fn the_same_seed_gives_the_same_bytes_however_the_advance_is_cut() {
    let run = |seed: u64, cuts: &[u64]| {
        let mut city = City::new(small_plan(), seed, start()).unwrap();
        let script = crate::script::demo(city.plant());
        city.schedule(&script, start().plus(2 * 60 * MINUTE)).unwrap();
        let mut lines = Vec::new();
        for &minute in cuts {
            record(&mut city, start().plus(Duration::from_secs(60 * minute + 7)), Scan::HISTORY, &mut lines);
        }
        record(&mut city, start().plus(2 * 60 * MINUTE), Scan::HISTORY, &mut lines);
        record(&mut city, start().plus(2 * 60 * MINUTE + 2 * MINUTE), Scan::Live, &mut lines);
        lines
    };
    let whole = run(5, &[]);
    assert!(whole.len() > 500);
    assert_eq!(whole, run(5, &[1, 13, 14, 59]));
    assert_ne!(whole, run(6, &[]));
}

#[test]
fn messages_come_in_order_of_time_and_seq_is_contiguous_but_for_gaps() {
    let mut city = city(CityPlan { gap_share: 0.01, ..small_plan() });
    let script = crate::script::demo(city.plant());
    city.schedule(&script, start().plus(30 * MINUTE)).unwrap();
    let mut last_time = EventTime::default();
    let mut seqs: BTreeMap<usize, u64> = BTreeMap::new();
    let (mut messages, mut holes) = (0_u64, 0_u64);
    let mut check = |message: &DeviceMessage<'_>| {
        assert!(message.time >= last_time, "{} went back", message.site);
        last_time = message.time;
        let last = seqs.insert(message.index, message.seq);
        holes += message.seq - last.map_or(0, |last| last + 1);
        messages += 1;
    };
    city.advance(start().plus(30 * MINUTE), Scan::HISTORY, &mut check);
    city.advance(start().plus(35 * MINUTE), Scan::Live, &mut check);

    let share = f64::from(u32::try_from(holes).unwrap()) / f64::from(u32::try_from(messages).unwrap());
    assert!((0.005..0.02).contains(&share), "{share} of {messages} are missing");
}

#[test]
fn history_and_live_join_without_a_jump() {
    let mut city = city(small_plan());
    city.advance(start().plus(6 * 60 * MINUTE), Scan::HISTORY, &mut pass);
    let state = |city: &City| {
        let n = &city.networks()[0];
        let mut values = vec![
            n.supply_kg_s,
            n.return_kg_s,
            n.source.supply_celsius,
            n.source.return_celsius,
            n.nodes[0].supply.node_pa / 1e4,
            n.source.return_pa() / 1e4,
        ];
        for station in &n.stations {
            values.extend([
                station.flow_kg_s,
                station.primary_return_celsius,
                station.secondary_supply_celsius,
            ]);
        }
        values
    };
    let mut before = state(&city);
    let deficit = |city: &City| city.networks()[0].supply_kg_s - city.networks()[0].return_kg_s;
    let calm = deficit(&city);
    for second in 1..=120_u64 {
        let to = start().plus(6 * 60 * MINUTE + Duration::from_secs(second));
        city.advance(to, Scan::Live, &mut pass);
        let after = state(&city);
        for (number, (a, b)) in before.iter().zip(&after).enumerate() {
            assert!(
                (a - b).abs() < 0.01 * a.abs().max(5.0),
                "value {number} goes from {a} to {b} at second {second}"
            );
        }
        // Batches of topping up come and go, 0.8 kg/s each.
        assert!((deficit(&city) - calm).abs() < 2.0, "{} after {calm} kg/s", deficit(&city));
        before = after;
    }
}

#[test]
fn one_minute_in_steps_of_a_second_ends_where_one_step_of_a_minute_ends() {
    let mut coarse = city(small_plan());
    let mut fine = coarse.clone();
    for hour in 1..=4 {
        coarse.advance(start().plus(60 * MINUTE * hour), Scan::HISTORY, &mut pass);
        fine.advance(start().plus(60 * MINUTE * hour), Scan::Live, &mut pass);
        let (a, b) = (&coarse.networks()[0], &fine.networks()[0]);
        assert!((a.supply_kg_s / b.supply_kg_s - 1.0).abs() < 0.02, "{} {}", a.supply_kg_s, b.supply_kg_s);
        assert!((a.source.return_celsius - b.source.return_celsius).abs() < 0.3);
        assert!((a.source.supply_celsius - b.source.supply_celsius).abs() < 0.1);
        assert!((a.nodes[0].supply.node_pa - b.nodes[0].supply.node_pa).abs() < 3e3);
    }
    let id = coarse.plan().networks[0].id.clone();
    let (a, b) = (coarse.account(&id).unwrap(), fine.account(&id).unwrap());
    assert!((a.source_j / b.source_j - 1.0).abs() < 0.01);
    assert!((a.stored_kg / b.stored_kg - 1.0).abs() < 1e-3);
}

#[test]
fn a_week_keeps_the_ranges_of_a_real_network() {
    let mut city = city(CityPlan::demo());
    for hour in 1..=24 * 7 {
        city.advance(start().plus(60 * MINUTE * hour), Scan::HISTORY, &mut pass);
        for network in city.networks() {
            let source = &network.source;
            assert!((75.0..113.0).contains(&source.supply_celsius), "supply {}", source.supply_celsius);
            assert!((35.0..57.0).contains(&source.return_celsius), "return {}", source.return_celsius);
            assert!((2.4e5..6.5e5).contains(&source.head_pa), "head {}", source.head_pa);
            assert!((2.5e5..3.3e5).contains(&source.return_pa()), "return {}", source.return_pa());
            let ratio = source.make_up_kg_s / network.supply_kg_s;
            assert!(ratio < 0.02, "make-up {ratio}");
            assert!(network.stations.iter().all(|station| (16.0..25.0).contains(&station.indoor_celsius)));
            let across =
                |&node: &usize| network.nodes[node].supply.node_pa - network.nodes[node].back.node_pa;
            assert!(network.station_nodes.iter().all(|node| across(node) > 2e4));
            assert!(network.parcels_max() < 200, "{} parcels", network.parcels_max());
        }
    }
    for plan in city.plan().networks.clone() {
        let account = city.account(&plan.id).unwrap();
        let network = &city.networks()[city.plan().networks.iter().position(|n| n.id == plan.id).unwrap()];
        let mean_loss = account.base_loss_kg / (7.0 * 86_400.0 + 36.0 * 3_600.0);
        let share = mean_loss / network.design_kg_s;
        assert!((share / plan.base_loss_share - 1.0).abs() < 0.15, "base loss {share}");
    }
}

#[test]
fn a_batch_fed_network_fills_at_full_flow_or_not_at_all() {
    let plan = small_plan();
    let network = NetworkPlan { make_up: MakeUpControl::Batch, ..plan.networks[0].clone() };
    let mut city = city(CityPlan { networks: vec![network], ..plan });
    let (mut full, mut none) = (0, 0);
    for minute in 1..=240 {
        city.advance(start().plus(MINUTE * minute), Scan::Live, &mut pass);
        let source = &city.networks()[0].source;
        if source.make_up_kg_s > 0.0 {
            assert!((source.make_up_kg_s - source.capacity_kg_s).abs() < 1e-12);
            full += 1;
        } else {
            none += 1;
        }
    }
    assert!(full > 2 && none > 100, "{full} {none}");
}

#[test]
fn the_largest_network_needs_no_more_head_than_a_real_one_has() {
    let mut plan = small_plan();
    plan.networks[0].stations = 200;
    let mut city = city(plan);
    city.advance(start().plus(60 * MINUTE), Scan::HISTORY, &mut pass);
    let network = &city.networks()[0];
    assert!(network.source.head_set_pa < 9e5, "{} Pa", network.source.head_set_pa);
    let across = |&node: &usize| network.nodes[node].supply.node_pa - network.nodes[node].back.node_pa;
    assert!(network.station_nodes.iter().all(|node| across(node) > 2e4));
}
