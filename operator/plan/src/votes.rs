//! How many replicas: every capability votes, nobody decides alone.

use std::collections::BTreeMap;

use crate::proposal::{Component, Vote};

/// What the votes on one component come to. The votes are kept whole: they are the answer to "why this number?".
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settled {
    /// The highest floor, cut to the ceiling.
    pub floor: u32,
    /// The lowest ceiling.
    pub ceiling: u32,
    /// Every vote, in the order of who voted.
    pub votes: Vec<Vote>,
}

impl Settled {
    /// The vote that decided the floor: of those at the floor, the first.
    #[must_use]
    pub fn floor_vote(&self) -> Option<&Vote> {
        self.votes
            .iter()
            .find(|vote| vote.floor == Some(self.floor))
            .or_else(|| {
                self.votes
                    .iter()
                    .find(|vote| vote.ceiling == Some(self.floor))
            })
    }
}

/// What an autoscaler is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bounds {
    /// `minReplicas`.
    pub min: u32,
    /// `maxReplicas`.
    pub max: u32,
}

/// Settles the votes: the highest floor, the lowest ceiling, and where they cross the ceiling wins. A component that
/// got no ceiling is not scaled at all and gets no entry.
#[must_use]
pub fn settle(votes: Vec<Vote>) -> BTreeMap<Component, Settled> {
    let mut by_component: BTreeMap<Component, Vec<Vote>> = BTreeMap::new();
    for vote in votes {
        by_component.entry(vote.component).or_default().push(vote);
    }
    by_component
        .into_iter()
        .filter_map(|(component, mut votes)| {
            votes.sort_by(|one, other| one.by.cmp(other.by).then(one.floor.cmp(&other.floor)));
            let ceiling = votes.iter().filter_map(|vote| vote.ceiling).min()?;
            let floor = votes
                .iter()
                .filter_map(|vote| vote.floor)
                .max()
                .unwrap_or(0);
            let settled = Settled {
                floor: floor.min(ceiling),
                ceiling,
                votes,
            };
            Some((component, settled))
        })
        .collect()
}

/// The bounds of the one autoscaled Deployment, when `base` replicas stand beside it in a Deployment of their own.
/// An autoscaler needs at least one replica to scale from.
#[must_use]
pub fn split(settled: &Settled, base: u32) -> Bounds {
    let min = settled.floor.saturating_sub(base).max(1);
    Bounds {
        min,
        max: settled.ceiling.saturating_sub(base).max(min),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn vote(by: &'static str, floor: Option<u32>, ceiling: Option<u32>) -> Vote {
        Vote {
            component: Component::Inference,
            floor,
            ceiling,
            by,
            because: String::new(),
        }
    }

    fn settled(votes: Vec<Vote>) -> Settled {
        settle(votes).remove(&Component::Inference).unwrap()
    }

    #[test]
    fn the_highest_floor_and_the_lowest_ceiling_win() {
        let settled = settled(vec![
            vote("Spec", Some(5), Some(40)),
            vote("Forecast", Some(12), None),
            vote("Budget", None, Some(30)),
        ]);
        assert_eq!((settled.floor, settled.ceiling), (12, 30));
        assert_eq!(settled.floor_vote().unwrap().by, "Forecast");
        assert_eq!(settled.votes.len(), 3);
    }

    #[test]
    fn where_they_cross_the_ceiling_wins() {
        let settled = settled(vec![
            vote("Spec", Some(5), Some(8)),
            vote("Event", Some(20), None),
        ]);
        assert_eq!((settled.floor, settled.ceiling), (8, 8));
        assert_eq!(settled.floor_vote().unwrap().by, "Spec");
    }

    #[test]
    fn a_component_without_a_ceiling_is_not_scaled() {
        assert!(settle(vec![vote("Forecast", Some(3), None)]).is_empty());
    }

    #[test]
    fn the_base_is_taken_off_the_bounds() {
        let settled = settled(vec![vote("Spec", Some(5), Some(40))]);
        assert_eq!(split(&settled, 0), Bounds { min: 5, max: 40 });
        assert_eq!(split(&settled, 2), Bounds { min: 3, max: 38 });
        assert_eq!(split(&settled, 50), Bounds { min: 1, max: 1 });
    }

    proptest! {
        #[test]
        fn a_ceiling_is_never_exceeded(
            floors in proptest::collection::vec(proptest::option::of(0u32..100), 1..8),
            ceilings in proptest::collection::vec(1u32..100, 1..8),
        ) {
            let lowest = *ceilings.iter().min().unwrap();
            let votes = floors.into_iter().map(|floor| vote("a", floor, None))
                .chain(ceilings.into_iter().map(|ceiling| vote("b", None, Some(ceiling))))
                .collect();
            let settled = settled(votes);
            prop_assert!(settled.floor <= settled.ceiling);
            prop_assert_eq!(settled.ceiling, lowest);
            let bounds = split(&settled, 0);
            prop_assert!(bounds.min <= bounds.max && bounds.max <= lowest.max(1));
        }
    }
}
