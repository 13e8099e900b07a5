//! Lanes: one per user inside a partition, so that a slow answer delays nobody else. Pure.

use std::collections::{HashMap, VecDeque};
use std::hash::Hash;

/// Items by lane. In a lane one at a time is under way, the rest waits in order; lanes run side by side.
pub(crate) struct Lanes<Key, Item> {
    /// A lane is here while its head is under way; what waits behind the head is in the queue.
    waiting: HashMap<Key, VecDeque<Item>>,
}

impl<Key: Eq + Hash + Clone, Item> Lanes<Key, Item> {
    pub(crate) fn new() -> Self {
        Self {
            waiting: HashMap::new(),
        }
    }

    /// Adds an item to a lane, and gives it back when it is to begin now.
    pub(crate) fn push(&mut self, key: &Key, item: Item) -> Option<Item> {
        if let Some(queue) = self.waiting.get_mut(key) {
            queue.push_back(item);
            return None;
        }
        self.waiting.insert(key.clone(), VecDeque::new());
        Some(item)
    }

    /// The head of a lane is done: gives the next, which is to begin now.
    pub(crate) fn done(&mut self, key: &Key) -> Option<Item> {
        let next = self.waiting.get_mut(key)?.pop_front();
        if next.is_none() {
            self.waiting.remove(key);
        }
        next
    }

    /// Lanes in which something is under way.
    pub(crate) fn count(&self) -> usize {
        self.waiting.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_lane_has_one_item_under_way_and_keeps_the_order() {
        let mut lanes = Lanes::new();
        assert_eq!(lanes.push(&"a", 1), Some(1));
        assert_eq!(lanes.push(&"a", 2), None);
        assert_eq!(lanes.push(&"b", 3), Some(3));
        assert_eq!(lanes.push(&"a", 4), None);
        assert_eq!(lanes.done(&"a"), Some(2));
        assert_eq!(lanes.done(&"b"), None);
        assert_eq!(lanes.done(&"a"), Some(4));
        assert_eq!(lanes.count(), 1);
        assert_eq!(lanes.done(&"a"), None);
        assert_eq!(lanes.count(), 0);
        assert_eq!(lanes.done(&"a"), None);
    }

    proptest! {
        #[test]
        fn every_item_begins_once_and_in_its_lane_s_order(
            acts in prop::collection::vec((0..3_u8, any::<bool>()), 0..60)
        ) {
            let mut lanes = Lanes::new();
            let mut pushed: HashMap<u8, Vec<usize>> = HashMap::new();
            let mut begun: HashMap<u8, Vec<usize>> = HashMap::new();
            let mut under_way: HashMap<u8, bool> = HashMap::new();
            for (item, (lane, push)) in acts.into_iter().enumerate() {
                let next = if push {
                    pushed.entry(lane).or_default().push(item);
                    lanes.push(&lane, item)
                } else if under_way.insert(lane, false) == Some(true) {
                    lanes.done(&lane)
                } else {
                    None
                };
                if let Some(next) = next {
                    prop_assert_ne!(under_way.insert(lane, true), Some(true));
                    begun.entry(lane).or_default().push(next);
                }
            }
            for (lane, mut busy) in under_way {
                while busy {
                    let next = lanes.done(&lane);
                    busy = next.is_some();
                    begun.entry(lane).or_default().extend(next);
                }
            }
            prop_assert_eq!(begun, pushed);
            prop_assert_eq!(lanes.count(), 0);
        }
    }
}
