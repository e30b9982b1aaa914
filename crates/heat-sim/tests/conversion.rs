//! A network half converted from steam to hot water, as others see it: plant tables, meters before and after, masses.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use heat_hydraulics::plant::NetworkTree;
use heat_model::{
    EventTime, NetworkId, SiteId,
    plant::{CircuitKind, Medium, SiteKind},
};
use heat_sim::{
    City, CityPlan, PlanError, Scan, Script,
    event::{Happening, ScriptedEvent},
    script,
};

const DAY: Duration = Duration::from_secs(86_400);
const MINUTE: Duration = Duration::from_secs(60);

/// 2026-01-10, midnight in Beijing.
fn start() -> EventTime {
    EventTime::from_micros(1_767_974_400_000_000)
}

fn city() -> City {
    City::new(CityPlan::conversion(start()), 3, start()).expect("the plan is sound")
}

/// Stations at the nodes of a circuit's pipes.
fn on(city: &City, circuit: &str) -> BTreeSet<SiteId> {
    let plant = city.plant();
    let pipes = plant.pipes.iter().filter(|pipe| pipe.circuit.as_str() == circuit);
    let nodes: BTreeSet<_> = pipes.flat_map(|pipe| [&pipe.from, &pipe.to]).collect();
    let stations = plant.sites.iter().filter(|site| site.kind == Some(SiteKind::Station));
    stations
        .filter(|site| site.node.as_ref().is_some_and(|node| nodes.contains(node)))
        .map(|site| site.id.clone())
        .collect()
}

/// Means by site and name over a span, live or by history.
fn means(city: &mut City, to: EventTime) -> BTreeMap<(SiteId, String), f64> {
    let mut sums: BTreeMap<(SiteId, String), (f64, f64)> = BTreeMap::new();
    city.advance(to, Scan::HISTORY, &mut |message| {
        for (signal, value) in message.values() {
            let key = (message.site.clone(), format!("{}/{}", message.device, signal.name));
            let sum = sums.entry(key).or_default();
            *sum = (sum.0 + value.raw, sum.1 + 1.0);
        }
    });
    sums.into_iter().map(|(key, (sum, count))| (key, sum / count)).collect()
}

#[test]
fn the_tables_have_a_steam_circuit_beside_hot_water_and_one_that_is_converted_on_a_date() {
    let city = city();
    let plant = city.plant();
    let primaries: Vec<_> =
        plant.circuits.iter().filter(|row| row.kind == Some(CircuitKind::Primary)).collect();
    let told: Vec<_> =
        primaries.iter().map(|row| (row.id.as_str(), row.medium, row.converted_on.as_deref())).collect();
    assert_eq!(
        told,
        [
            ("demo-works-primary", Some(Medium::Water), None),
            ("demo-works-converted", Some(Medium::Water), Some("2026-01-20")),
            ("demo-works-steam", Some(Medium::Steam), None),
        ]
    );
    let (water, converted, steam) =
        (on(&city, "demo-works-primary"), on(&city, "demo-works-converted"), on(&city, "demo-works-steam"));
    assert!(
        water.len() >= 4 && converted.len() >= 3 && steam.len() >= 3,
        "{water:?} {converted:?} {steam:?}"
    );
    assert!(water.is_disjoint(&converted) && converted.is_disjoint(&steam) && water.is_disjoint(&steam));
    let tree = NetworkTree::from_plant(plant, &primaries[0].id).expect("the hot water is a tree");
    assert_eq!(tree.stations_behind(tree.tree.root()).count(), water.len());
}

#[test]
fn stations_take_steam_before_their_date_and_hot_water_from_it_on() {
    let mut city = city();
    let (converted, steam) = (on(&city, "demo-works-converted"), on(&city, "demo-works-steam"));
    city.advance(start().plus(8 * DAY), Scan::HISTORY, &mut |_| {});
    let before = means(&mut city, start().plus(9 * DAY));
    city.advance(start().plus(10 * DAY), Scan::HISTORY, &mut |_| {});
    let after = means(&mut city, start().plus(11 * DAY));

    let of = |means: &BTreeMap<_, f64>, site: &SiteId, name: &str| {
        means.get(&(site.clone(), name.to_owned())).copied()
    };
    for station in &converted {
        assert!(of(&before, station, "steam/steam_flow").unwrap() > 1.0);
        assert_eq!(of(&before, station, "meter/primary_supply_flow"), None, "its meter is not there yet");
        assert_eq!(of(&after, station, "steam/steam_flow"), None);
        assert!(of(&after, station, "meter/primary_supply_flow").unwrap() > 10.0);
        let (was, is) = (
            of(&before, station, "steam/heat_power").unwrap(),
            of(&after, station, "meter/heat_power").unwrap(),
        );
        assert!((is / was - 1.0).abs() < 0.35, "{station} took {was} MW and takes {is}");
    }
    for station in &steam {
        for means in [&before, &after] {
            let (taken, back) = (
                of(means, station, "steam/steam_flow").unwrap(),
                of(means, station, "steam/condensate_flow").unwrap(),
            );
            assert!((0.65..0.95).contains(&(back / taken)), "{back} of {taken} t/h come back from {station}");
        }
    }
    let sent = |means: &BTreeMap<(SiteId, String), f64>| {
        means[&("works-boiler".parse().unwrap(), "steam/steam_flow".to_owned())]
    };
    assert!(sent(&after) < 0.75 * sent(&before), "{} and {} t/h", sent(&before), sent(&after));
}

#[test]
fn steam_that_is_sent_is_taken_or_lost_and_what_does_not_come_back_is_fed() {
    let mut city = city();
    let network: NetworkId = "demo-works".parse().unwrap();
    let leak = |loss_kg_s: f64| Script {
        events: vec![ScriptedEvent {
            name: None,
            network: network.clone(),
            after: 12 * 60 * MINUTE,
            lasts: DAY,
            what: Happening::SteamLeak { loss_kg_s },
        }],
    };
    city.schedule(&leak(1.0), start()).unwrap();
    let calm = means(&mut city, start().plus(12 * 60 * MINUTE));
    let lost = means(&mut city, start().plus(24 * 60 * MINUTE));
    let unaccounted = |means: &BTreeMap<(SiteId, String), f64>| {
        let boiler = |name: &str| means[&("works-boiler".parse::<SiteId>().unwrap(), name.to_owned())];
        let taken: f64 = means
            .iter()
            .filter(|((site, name), _)| name == "steam/steam_flow" && site.as_str() != "works-boiler")
            .map(|(_, mean)| mean)
            .sum();
        let fed_t_h = boiler("feed/make_up_flow") * 0.9982;
        let missing = boiler("steam/steam_flow") - boiler("steam/condensate_flow");
        // Blow-down beside it; meters of class 2.
        assert!((fed_t_h - missing).abs() < 0.1 * boiler("steam/steam_flow"), "{fed_t_h} and {missing} t/h");
        boiler("steam/steam_flow") - taken
    };
    let more = unaccounted(&lost) - unaccounted(&calm);
    assert!((more - 3.6).abs() < 0.5, "{more} t/h more are lost of 3.6");
    let labels = city.labels();
    assert_eq!((labels[0].class.as_str(), labels[0].size_kg_s), ("leak_abrupt(steam)", Some(1.0)));
    assert_eq!(city.mend(&network), 1);
}

#[test]
fn water_and_heat_of_the_hot_water_balance_through_the_conversion() {
    let mut city = city();
    let network: NetworkId = "demo-works".parse().unwrap();
    city.advance(start().plus(9 * DAY), Scan::HISTORY, &mut |_| {});
    let before = city.account(&network).unwrap();
    city.advance(start().plus(11 * DAY), Scan::HISTORY, &mut |_| {});
    let after = city.account(&network).unwrap();
    let water = |a: &heat_sim::Account| {
        a.make_up_kg - a.relief_kg - a.leak_kg - a.base_loss_kg - a.to_secondary_kg - a.stored_kg
    };
    let heat = |a: &heat_sim::Account| a.source_j - a.stations_j - a.ground_j - a.lost_water_j - a.stored_j;
    let made_up = after.make_up_kg - before.make_up_kg;
    assert!((water(&after) - water(&before)).abs() < 1e-6 * made_up, "of {made_up} kg");
    let given = after.source_j - before.source_j;
    assert!((heat(&after) - heat(&before)).abs() < 2e-3 * given, "of {given} J");
}

#[test]
fn a_plan_with_steam_survives_toml_and_a_date_that_is_none_is_refused_with_its_key() {
    let plan = CityPlan::conversion(start());
    assert_eq!(CityPlan::from_toml(&toml::to_string(&plan).unwrap()).unwrap(), plan);
    let mut wrong = plan;
    wrong.networks[0].steam.as_mut().unwrap().converted_on = "soon".to_owned();
    let fault = City::new(wrong, 1, start()).unwrap_err();
    assert!(matches!(&fault, PlanError::Date { .. }), "{fault}");
    assert!(fault.to_string().contains("networks[0].steam.converted_on"), "{fault}");

    let mut demo = City::new(CityPlan::demo(), 1, start()).unwrap();
    let events = script::conversion(demo.plant());
    let fault = demo.schedule(&events, start());
    assert!(fault.is_err(), "a city without steam has no steam main to leak");
}
