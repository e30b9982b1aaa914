//! Mappings from the plant model's table of signals.

use std::collections::BTreeMap;

use heat_model::plant::{PlantModel, SignalSpec};

use super::{
    Form, JsonMapping,
    build::{check_signal, column, own_slot},
    pattern::Pattern,
    plan::{DOCUMENT, Plan},
    rule::{Column, LaneRule, Piece, Rule, Speaker, Template},
};
use crate::mapping::{Faults, MappingFault};

pub(super) fn from_plant(plant: &PlantModel) -> Result<Vec<JsonMapping>, Vec<MappingFault>> {
    let mut topics: BTreeMap<&str, Vec<(&SignalSpec, &str)>> = BTreeMap::new();
    for signal in &plant.signals {
        if let (Some(topic), Some(pointer)) = (&signal.topic, &signal.pointer) {
            topics.entry(topic).or_default().push((signal, pointer));
        }
    }
    let mut faults = Faults::default();
    let mut mappings = Vec::with_capacity(topics.len());
    for (topic, signals) in topics {
        let key = |signal: &SignalSpec, column: &str| format!("signals {}: {column}", signal.id);
        let pattern = match Pattern::parse(topic) {
            Ok(pattern) => pattern,
            Err(problem) => {
                faults.push(key(signals[0].0, "topic"), problem);
                continue;
            }
        };
        let mut plan = Plan::new();
        let mut rules: BTreeMap<[&str; 3], Rule> = BTreeMap::new();
        for (signal, pointer) in signals {
            let ids = [signal.id.network.as_str(), signal.site.as_str(), signal.device.as_str()];
            let unit = signal.unit.as_deref();
            if let Err((part, problem)) = check_signal(signal.name.as_str(), unit) {
                faults.push(key(signal, part), problem);
            }
            match plan.source(DOCUMENT, pointer).and_then(own_slot) {
                Ok((slot, pointer)) => {
                    let column = column(slot, pointer, signal.name.as_str(), unit);
                    let rule = rules.entry(ids).or_insert_with(|| constant(ids));
                    rule.columns.push(Column { optional: true, ..column });
                }
                Err(problem) => faults.push(key(signal, "pointer"), problem),
            }
        }
        let rules = rules.into_values().collect();
        mappings.push(JsonMapping { pattern, form: Form::Json { plan, rules } });
    }
    if faults.0.is_empty() { Ok(mappings) } else { Err(faults.0) }
}

fn constant(ids: [&str; 3]) -> Rule {
    let templates = ids.map(|id| Template(vec![Piece::Text(id.into())]));
    Rule {
        level: DOCUMENT,
        speaker: Speaker { templates, ids: Default::default(), is_of_topic: true },
        time: None,
        seq: None,
        boot: None,
        lane: LaneRule::Undeclared,
        columns: Vec::new(),
        tall: None,
        units: BTreeMap::new(),
    }
}
