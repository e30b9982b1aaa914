//! What the watch over signals, stations and sources says, and how it becomes a finding.

use heat_model::{
    EventTime, NetworkId, SiteId,
    incident::{Class, Evidence},
};
use serde::{Deserialize, Serialize};

use super::findings::empty;
use crate::{
    Finding,
    layout::{Layout, SignalKey},
};

/// Of what a statement speaks, as indexes of the layout.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(crate) enum Place {
    Network,
    Site(u32),
    Device(u32),
    Signal(u32),
}

/// One measured reason.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Fact {
    /// Signal that shows it; the statement's own place where there is none.
    pub(crate) signal: Option<u32>,
    pub(crate) what: &'static str,
    pub(crate) value: f64,
    pub(crate) unit: &'static str,
}

/// A finding that is still in indexes.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Statement {
    pub(crate) detector: &'static str,
    pub(crate) class: Class,
    pub(crate) kind: Option<&'static str>,
    pub(crate) place: Place,
    pub(crate) onset_us: i64,
    pub(crate) active: bool,
    pub(crate) facts: Vec<Fact>,
    pub(crate) strength: f64,
    /// Sites whose homes it touches.
    pub(crate) affected: Vec<u32>,
    pub(crate) telling: Telling,
}

/// How a statement stands to those before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Telling {
    /// As its place in time says: what was over for hours is new.
    Anew,
    /// The same matter as what was told of its kind and place before, if that was over not long ago.
    Again,
    /// What it has come to, of one that is open.
    Further,
    /// It is over, and this is what it came to.
    Over,
}

/// Puts names to a statement.
pub(crate) fn finding(
    network: &NetworkId,
    layout: &Layout,
    keys: &[SignalKey],
    statement: &Statement,
) -> Finding {
    let onset = EventTime::from_micros(statement.onset_us);
    let mut finding = empty(statement.detector, statement.class, onset, layout.level());
    finding.kind = statement.kind.map(str::to_owned);
    finding.active = statement.active;
    finding.place = name(network, layout, keys, statement.place);
    finding.strength = statement.strength;
    let id = |site: u32| -> SiteId { layout.sites[site as usize].id.clone() };
    finding.affected = statement.affected.iter().map(|site| id(*site)).collect();
    finding.evidence = statement
        .facts
        .iter()
        .map(|fact| {
            let place = fact.signal.map_or(statement.place, Place::Signal);
            Evidence {
                detector: statement.detector.to_owned(),
                place: name(network, layout, keys, place).unwrap_or_else(|| network.as_str().to_owned()),
                what: fact.what.to_owned(),
                value: fact.value,
                unit: fact.unit.to_owned(),
                at: onset,
            }
        })
        .collect();
    finding
}

/// `network/site/device/name` of a signal, `network/site/device` of a device, a site's id.
fn name(network: &NetworkId, layout: &Layout, keys: &[SignalKey], place: Place) -> Option<String> {
    match place {
        Place::Network => None,
        Place::Site(site) => Some(layout.sites[site as usize].id.as_str().to_owned()),
        Place::Device(device) => {
            let signal = layout.placed.iter().position(|placed| placed.device == device)?;
            let key = &keys[signal];
            Some(format!("{network}/{}/{}", key.site, key.device))
        }
        Place::Signal(signal) => {
            let key = &keys[signal as usize];
            Some(format!("{network}/{}/{}/{}", key.site, key.device, key.name))
        }
    }
}
