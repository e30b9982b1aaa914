//! What a finding about the network's water had to do without: meters that were there and said nothing.

use heat_model::plant::SiteKind;

use crate::{
    layout::{Layout, Role, Site},
    tracker::Tracker,
};

/// A source's meters that tell a loss.
const OF_SOURCE: [Role; 5] =
    [Role::SupplyFlow, Role::ReturnFlow, Role::MakeUpFlow, Role::SupplyPressure, Role::ReturnPressure];
/// A station's meters that confirm and place one.
const OF_STATION: [Role; 4] =
    [Role::SupplyFlow, Role::ReturnFlow, Role::SupplyPressure, Role::ReturnPressure];
/// Silent stations named one by one; of more the number is told.
const NAMED_MAX: usize = 3;

/// Meters that have spoken before and are silent at `at_us`, for people to read.
pub(super) fn silent(layout: &Layout, trackers: &[Tracker], at_us: i64) -> Vec<String> {
    let is_silent = |signal: u32| {
        let tracker = &trackers[signal as usize];
        tracker.seen && !tracker.is_current(at_us)
    };
    let of_source = |source: &Site| -> Vec<String> {
        OF_SOURCE
            .into_iter()
            .filter(|role| source.signal(*role).is_some_and(is_silent))
            .map(|role| format!("{} {} (silent)", source.id, role.word()))
            .collect()
    };
    let mut all: Vec<String> =
        layout.of_kind(SiteKind::Source).flat_map(|(_, source)| of_source(source)).collect();
    let (mut silent, mut count) = (Vec::new(), 0_usize);
    for (_, station) in layout.of_kind(SiteKind::Station) {
        let mut signals = OF_STATION.into_iter().filter_map(|role| station.signal(role)).peekable();
        if signals.peek().is_none() {
            continue;
        }
        count += 1;
        if signals.any(is_silent) {
            silent.push(station.id.as_str());
        }
    }
    silent.sort_unstable();
    if silent.len() > NAMED_MAX {
        all.push(format!("{} of {count} stations (silent)", silent.len()));
    } else {
        all.extend(silent.iter().map(|station| format!("{station} (silent)")));
    }
    all
}
