use heat_model::{
    AppendTime, EventTime, NetworkId,
    incident::{Candidate, Class, Evidence, Incident, Priority},
    plant::{ModelLevel, Side},
};

use super::{deviations, fill};

/// All that detectors write as evidence.
const SEEN: [(&str, &str); 70] = [
    ("pressure_drop", "Pa"),
    ("make_up_surge", "kg/s"),
    ("flow_step", "kg/s"),
    ("make_up_excess", "kg/s"),
    ("share_of_circulation", "1"),
    ("make_up_meter_at_fault", "1"),
    ("further_loss", "kg/s"),
    ("grown_from", "kg/s"),
    ("make_up_at_its_limit", "kg/s"),
    ("unmetered_filling", "kg/s"),
    ("night_flow_excess", "kg/s"),
    ("share_of_inflow", "1"),
    ("tank_uptake", "kg/s"),
    ("tank_area", "m2"),
    ("secondary_make_up_excess", "kg/s"),
    ("loss_found", "kg/s"),
    ("head_lost", "Pa"),
    ("flow_lost", "kg/s"),
    ("pump_stands", "1"),
    ("power_lost", "1"),
    ("above_saturation", "Pa"),
    ("gauge_at_top", "Pa"),
    ("gauge_at_bottom", "Pa"),
    ("outdoor", "degC"),
    ("circulation_stands", "degC"),
    ("return_cold", "degC"),
    ("hours_to_5_celsius", "h"),
    ("tickets", "1"),
    ("tickets_usual", "1"),
    ("off_its_usual", "K"),
    ("found_late", "s"),
    ("supply_temperature_off", "K"),
    ("return_temperature_off", "K"),
    ("heat_off", "1"),
    ("flow_against_valve_off", "1"),
    ("secondary_supply_off", "K"),
    ("secondary_spread_off", "K"),
    ("supply_pressure_off", "Pa"),
    ("return_pressure_off", "Pa"),
    ("arrived_temperature_off", "K"),
    ("heat_meter_off", "1"),
    ("supply_flow_against_stations_off", "1"),
    ("supply_less_return_off", "1"),
    ("supply_off_target", "K"),
    ("supply_reads", "degC"),
    ("return_reads", "degC"),
    ("excess_flow", "kg/s"),
    ("outdoor_temperature_off", "K"),
    ("excess_heat", "W"),
    ("excess_flow_total", "kg"),
    ("excess_heat_total", "J"),
    ("heating_ended", "d"),
    ("not_judged", "d"),
    ("quantisation", "K"),
    ("turns_by_hour", "1"),
    ("setback_usual", "K"),
    ("setback_left", "K"),
    ("heat_delivered", "W"),
    ("heat_planned", "W"),
    ("heat_needed", "W"),
    ("heat_available", "W"),
    ("coldest_day", "degC"),
    ("homes_below_promise", "%"),
    ("near_less_far", "K"),
    ("unit_slip", "K"),
    ("counter_reset", "m3"),
    ("rate", "m3"),
    ("sensor_at_fault", "1"),
    ("plant_at_fault", "1"),
    ("spikes", "K"),
];
const LACKED: [&str; 12] = [
    "pipes",
    "elevations",
    "pressure_evidence",
    "hydraulic_solution",
    "witness_flows",
    "load_range",
    "water_balance (30 % of its quarter hours)",
    "primary_supply_pressure",
    "return_flow",
    "make_up_flow",
    "s1 supply_pressure (silent)",
    "5 of 40 stations (silent)",
];

fn incident(class: Class) -> Incident {
    Incident {
        version: 1,
        priority: Priority::P3,
        level: ModelLevel::L2,
        ..Incident::new(
            "0000000000000007".parse().unwrap(),
            NetworkId::new("town").unwrap(),
            class,
            EventTime::from_micros(0),
            AppendTime::from_micros(0),
        )
    }
}

fn evidence(what: &str, value: f64, unit: &str) -> Evidence {
    Evidence {
        detector: "d".to_owned(),
        place: "source".to_owned(),
        what: what.to_owned(),
        value,
        unit: unit.to_owned(),
        at: EventTime::from_micros(0),
    }
}

fn candidates() -> Vec<Candidate> {
    let pipe = |id: &str, probability: f64| Candidate { pipe: id.parse().expect("a pipe's id"), probability };
    vec![pipe("P030r", 0.06), pipe("P031r", 0.05)]
}

fn told(mut incident: Incident) -> [String; 2] {
    fill(&mut incident);
    [incident.text_zh, incident.text_en]
}

#[test]
fn no_text_of_any_class_shows_a_word_of_the_program() {
    for &class in Class::ALL {
        for seen in SEEN.chunks(4) {
            let mut incident = incident(class);
            incident.evidence = seen.iter().map(|(what, unit)| evidence(what, 0.399, unit)).collect();
            incident.lacked = LACKED.map(str::to_owned).to_vec();
            for text in told(incident) {
                assert!(!text.contains('_'), "{text}");
            }
        }
    }
}

#[test]
fn all_that_is_seen_has_chinese_words() {
    for (what, unit) in SEEN {
        let mut incident = incident(Class::LeakAbrupt);
        incident.evidence = vec![evidence(what, 0.399, unit)];
        let [chinese, _] = told(incident);
        assert!(!chinese.contains(&what.replace('_', " ")), "{chinese}");
    }
}

#[test]
fn kinds_and_classes_need_no_underscore_either() {
    for kind in ["unit_slip", "capacity_reserve", "local_time_as_utc", "below_set_point"] {
        assert!(deviations::kind(kind).is_some_and(|(_, english)| !english.contains('_')), "{kind}");
    }
}

#[test]
fn the_competing_cause_is_a_sentence_and_shares_are_percent() {
    let mut leak = incident(Class::LeakIncipient);
    leak.evidence =
        vec![evidence("share_of_circulation", 0.006, "1"), evidence("make_up_meter_at_fault", 0.399, "1")];
    let [chinese, english] = told(leak);
    assert!(english.contains("share of circulation 0.60 %"), "{english}");
    assert!(english.contains("or the make-up meter is wrong: 40 %"), "{english}");
    assert!(chinese.contains("占循环量 0.60 %") && chinese.contains("也可能是补水表不准：40 %"), "{chinese}");
}

#[test]
fn a_leak_without_evidence_of_its_place_names_no_pipe_to_inspect_first() {
    for class in [Class::LeakIncipient, Class::LeakAbrupt, Class::Burst] {
        let mut leak = incident(class);
        leak.candidates = candidates();
        leak.side = Some(Side::Return);
        leak.lacked = vec!["pressure_evidence".to_owned()];
        let [chinese, english] = told(leak.clone());
        assert!(
            english.contains("place not yet known (return); by length and age alone first P030r, 6 %"),
            "{english}"
        );
        assert!(!english.contains("that pipe") && !english.contains("probably"), "{english}");
        assert!(english.contains("have the stations' pressures read"), "{english}");
        assert!(
            chinese.contains("位置暂不能确定") && chinese.contains("仅按管长和管龄排序：先 P030r"),
            "{chinese}"
        );
        assert!(!chinese.contains("疑似管段"), "{chinese}");

        leak.place = Some("P030r".to_owned());
        leak.lacked.clear();
        let [chinese, english] = told(leak);
        assert!(
            english.contains("probably pipe P030r (return), 6 %") && english.contains("that pipe"),
            "{english}"
        );
        assert!(chinese.contains("疑似管段 P030r（回水侧）"), "{chinese}");
    }
}
