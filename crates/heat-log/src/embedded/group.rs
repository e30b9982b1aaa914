//! Consumer groups within one process: who reads which partition, handed over without overlap.
//!
//! A partition has an owner and a wanted owner. An owner that is not wanted is told so and gives the partition up when
//! it next asks for an event; only then is it assigned to the other.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use heat_model::PartitionId;
use tokio::sync::Notify;

#[derive(Debug, Default)]
struct State {
    next_member: u64,
    members: Vec<u64>,
    owners: BTreeMap<PartitionId, u64>,
}

/// One group on one topic.
#[derive(Debug)]
pub(super) struct Group {
    partitions: u32,
    state: Mutex<State>,
    /// The topic's: members wait for records and for the group at once.
    changed: Arc<Notify>,
}

/// What a member is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Change {
    Assigned(PartitionId),
    Revoked(PartitionId),
}

impl Group {
    pub(super) fn new(partitions: u32, changed: Arc<Notify>) -> Self {
        Self { partitions, state: Mutex::default(), changed }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A place in a group; leaving it gives everything up.
#[derive(Debug)]
pub(super) struct Member {
    group: Arc<Group>,
    id: u64,
    /// Told to be revoked, given up at the next call.
    leaving: Option<PartitionId>,
}

impl Member {
    pub(super) fn join(group: Arc<Group>) -> Self {
        let id = {
            let mut state = group.lock();
            state.next_member += 1;
            let id = state.next_member;
            state.members.push(id);
            id
        };
        group.changed.notify_waiters();
        Self { group, id, leaving: None }
    }

    /// The next change for this member, if any.
    pub(super) fn poll(&mut self) -> Option<Change> {
        let mut state = self.group.lock();
        if let Some(partition) = self.leaving.take() {
            state.owners.remove(&partition);
            self.group.changed.notify_waiters();
        }
        for partition in (0..self.group.partitions).map(PartitionId) {
            let wanted = state.members[partition.0 as usize % state.members.len()];
            match (state.owners.get(&partition), wanted == self.id) {
                (Some(&owner), false) if owner == self.id => {
                    self.leaving = Some(partition);
                    return Some(Change::Revoked(partition));
                }
                (None, true) => {
                    state.owners.insert(partition, self.id);
                    return Some(Change::Assigned(partition));
                }
                (Some(_) | None, _) => {}
            }
        }
        None
    }
}

impl Drop for Member {
    fn drop(&mut self) {
        let mut state = self.group.lock();
        state.members.retain(|&member| member != self.id);
        state.owners.retain(|_, owner| *owner != self.id);
        drop(state);
        self.group.changed.notify_waiters();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn changes(member: &mut Member) -> Vec<Change> {
        std::iter::from_fn(|| member.poll()).collect()
    }

    #[test]
    fn a_partition_is_never_owned_twice_while_it_is_handed_over() {
        let group = Arc::new(Group::new(3, Arc::default()));
        let mut first = Member::join(Arc::clone(&group));
        assert_eq!(changes(&mut first), [0, 1, 2].map(|p| Change::Assigned(PartitionId(p))));

        let mut second = Member::join(group);
        assert_eq!(second.poll(), None, "still owned by the first");
        assert_eq!(first.poll(), Some(Change::Revoked(PartitionId(1))));
        assert_eq!(second.poll(), None, "the first may still be finishing");
        assert_eq!(first.poll(), None);
        assert_eq!(changes(&mut second), [Change::Assigned(PartitionId(1))]);

        drop(first);
        assert_eq!(changes(&mut second), [0, 2].map(|p| Change::Assigned(PartitionId(p))));
    }
}
