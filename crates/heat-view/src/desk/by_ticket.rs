//! One thing of each ticket, bounded: the one that was said first goes.

use std::collections::{BTreeMap, BTreeSet};

use heat_model::{AppendTime, NetworkId};

/// When it was said, network, and the ticket's id.
type Place = (AppendTime, NetworkId, String);

#[derive(Debug)]
pub(super) struct ByTicket<T> {
    max: usize,
    held: BTreeMap<(NetworkId, String), (AppendTime, T)>,
    order: BTreeSet<Place>,
}

impl<T> ByTicket<T> {
    pub(super) fn new(max: usize) -> Self {
        Self { max, held: BTreeMap::new(), order: BTreeSet::new() }
    }

    pub(super) fn get(&self, network: &NetworkId, id: &str) -> Option<&T> {
        self.held.get(&(network.clone(), id.to_owned())).map(|(_, value)| value)
    }

    /// Takes the place of what is held of this ticket.
    pub(super) fn put(&mut self, network: &NetworkId, id: &str, at: AppendTime, value: T) {
        let replaced = self.held.insert((network.clone(), id.to_owned()), (at, value));
        if let Some((before, _)) = replaced {
            self.order.remove(&(before, network.clone(), id.to_owned()));
        }
        self.order.insert((at, network.clone(), id.to_owned()));
        while self.held.len() > self.max {
            let Some((_, network, id)) = self.order.pop_first() else { return };
            self.held.remove(&(network, id));
        }
    }

    pub(super) fn newest_first(&self) -> impl Iterator<Item = (&Place, &T)> {
        self.order.iter().rev().filter_map(|place| {
            let (_, value) = self.held.get(&(place.1.clone(), place.2.clone()))?;
            Some((place, value))
        })
    }

    pub(super) fn len(&self) -> usize {
        self.held.len()
    }
}
