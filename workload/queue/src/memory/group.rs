//! How the members of a group share the partitions of a topic. Pure but for the channels on which members learn of it.

use std::collections::{BTreeMap, BTreeSet};

use tokio::sync::watch;
use uuid::Uuid;

use crate::Suggested;

/// Who has what, and who is to get it.
pub(super) struct Group {
    /// In the order in which they joined.
    members: Vec<Seat>,
    /// Who has a partition: suggested to them, or not released by them yet.
    holders: BTreeMap<u32, Uuid>,
    partitions: u32,
    /// Moves every partition on by so many members.
    turn: usize,
}

struct Seat {
    id: Uuid,
    suggested: watch::Sender<Suggested>,
    frozen: bool,
    /// How often it was given up.
    term: u64,
}

impl Group {
    pub(super) fn new(partitions: u32) -> Self {
        Self {
            members: Vec::new(),
            holders: BTreeMap::new(),
            partitions,
            turn: 0,
        }
    }

    pub(super) fn members(&self) -> Vec<Uuid> {
        self.members.iter().map(|seat| seat.id).collect()
    }

    pub(super) fn join(&mut self, id: Uuid) -> watch::Receiver<Suggested> {
        let suggested = watch::Sender::new(None);
        let receiver = suggested.subscribe();
        self.members.push(Seat {
            id,
            suggested,
            frozen: false,
            term: 0,
        });
        self.share();
        receiver
    }

    pub(super) fn leave(&mut self, id: Uuid) {
        self.members.retain(|seat| seat.id != id);
        self.holders.retain(|_, holder| *holder != id);
        self.share();
    }

    /// Whether a member may commit.
    pub(super) fn knows(&self, id: Uuid) -> bool {
        self.members
            .iter()
            .any(|seat| seat.id == id && !seat.frozen)
    }

    pub(super) fn term(&self, id: Uuid) -> u64 {
        let seat = self.members.iter().find(|seat| seat.id == id);
        seat.map_or(0, |seat| seat.term)
    }

    /// Whether nobody else has been given a partition since it was suggested to a member.
    pub(super) fn holds(&self, id: Uuid, partition: u32) -> bool {
        self.holders.get(&partition) == Some(&id)
    }

    pub(super) fn release(&mut self, id: Uuid, partition: u32) {
        let wanted = self.members.iter().any(|seat| {
            seat.id == id
                && seat
                    .suggested
                    .borrow()
                    .as_ref()
                    .is_some_and(|suggested| suggested.contains(&partition))
        });
        if !wanted && self.holders.get(&partition) == Some(&id) {
            self.holders.remove(&partition);
            self.share();
        }
    }

    pub(super) fn rotate(&mut self) {
        self.turn += 1;
        self.share();
    }

    pub(super) fn freeze(&mut self, id: Uuid) {
        self.holders.retain(|_, holder| *holder != id);
        for seat in self.members.iter_mut().filter(|seat| seat.id == id) {
            seat.frozen = true;
            seat.term += 1;
        }
        self.share();
    }

    pub(super) fn thaw(&mut self, id: Uuid) {
        for seat in self.members.iter_mut().filter(|seat| seat.id == id) {
            seat.frozen = false;
            seat.suggested.send_replace(Some(BTreeSet::new()));
        }
        self.share();
    }

    /// Shares the partitions evenly. Whoever has one that another is to get is no longer suggested it, and the other gets
    /// it when it has been released.
    fn share(&mut self) {
        let live: Vec<Uuid> = self
            .members
            .iter()
            .filter(|seat| !seat.frozen)
            .map(|seat| seat.id)
            .collect();
        let mut suggestions: BTreeMap<Uuid, BTreeSet<u32>> =
            live.iter().map(|id| (*id, BTreeSet::new())).collect();
        if !live.is_empty() {
            for partition in 0..self.partitions {
                let place = (usize::try_from(partition).unwrap_or(0) + self.turn) % live.len();
                let next = live[place];
                let holder = *self.holders.entry(partition).or_insert(next);
                if holder == next
                    && let Some(suggested) = suggestions.get_mut(&next)
                {
                    suggested.insert(partition);
                }
            }
        }
        for seat in &self.members {
            if let Some(suggested) = suggestions.remove(&seat.id) {
                seat.suggested.send_if_modified(|current| {
                    let suggested = Some(suggested);
                    let changed = *current != suggested;
                    *current = suggested;
                    changed
                });
            }
        }
    }
}
