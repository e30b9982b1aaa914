//! `heatstream backtest --inject`: the same data with faults put in, once for each seed.

use std::{path::Path, sync::Arc};

use heat_backtest::{
    Span,
    inject::Injector,
    judge::{Case, Injection, judge},
    run::{Record, Run, place_in},
};
use heat_detect::DetectSettings;
use heat_model::{NetworkId, label::Label, plant::PlantModel};
use heat_runtime::ExitStatus;

use super::{BacktestArguments, replay_files, tell};
use crate::Failure;

/// Seeds of one command: each is a run over all data.
const SEEDS_MAX: usize = 100;

pub(super) fn run(
    arguments: &BacktestArguments,
    span: Span,
    plant: &Arc<PlantModel>,
    known: Vec<Label>,
    settings: &DetectSettings,
) -> Result<ExitStatus, Failure> {
    check(arguments)?;
    let mut injection = Injection { seeds: arguments.inject.clone(), ..Injection::default() };
    let (mut pooled, mut labels, mut oddities) = (Record::default(), Vec::new(), None);
    for seed in &arguments.inject {
        let mut injector = Injector::new(*seed);
        let mut run = Run::new(settings.clone(), Arc::clone(plant), None);
        let odd = replay_files(arguments, span, &mut |position, mut envelope| {
            if injector.take(&mut envelope) {
                run.take(position, &envelope)?;
            }
            Ok(())
        })?;
        oddities = Some(odd);
        let name = |network: &NetworkId| named(network, *seed);
        pooled.absorb(run.finish()?, name);
        let renamed = |mut label: Label| {
            let network = name(&label.network);
            label.place = place_in(&label.place, &label.network, &network);
            label.network = network;
            label
        };
        labels.extend(known.iter().cloned().map(renamed));
        let (faults, empty_slots) = injector.finish();
        injection.empty_slots += empty_slots;
        injection.faults.extend(faults.into_iter().map(|mut fault| {
            fault.label = renamed(fault.label);
            fault
        }));
    }
    if pooled.networks.is_empty() {
        return Err(Failure::new(ExitStatus::Data, "there is no reading between --from and --to"));
    }
    labels.extend(injection.faults.iter().map(|fault| fault.label.clone()));
    let report = judge(Case {
        record: &pooled,
        labels: Some(&labels),
        plant,
        settings,
        oddities: oddities.as_ref(),
        injection: Some(&injection),
    });
    tell(arguments, &report, &pooled, plant)
}

fn check(arguments: &BacktestArguments) -> Result<(), Failure> {
    let usage = |text: &str| Err(Failure::new(ExitStatus::Usage, text));
    let mut seeds = arguments.inject.clone();
    seeds.sort_unstable();
    seeds.dedup();
    if seeds.len() < arguments.inject.len() {
        return usage("--inject names a seed twice: its faults would count twice");
    }
    if seeds.len() > SEEDS_MAX {
        return usage("--inject takes 100 seeds at most");
    }
    let is_stream = arguments.recorded.sets.iter().flatten().any(|file| file == Path::new("-"));
    if is_stream && seeds.len() > 1 {
        return usage("standard input can be read once only: name files, or one seed");
    }
    Ok(())
}

/// Name of a network in the run of a seed.
fn named(network: &NetworkId, seed: u64) -> NetworkId {
    NetworkId::new(&format!("{network}~{seed}")).unwrap_or_else(|_| network.clone())
}
