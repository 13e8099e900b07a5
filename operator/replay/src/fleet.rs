//! Nodes, pods and training, as far as time and capacity go.
//!
//! - A node holds [`SLOTS`] instances: 8 CPU and 32 GB. One that is asked for has the model in memory after the cold
//!   start; an instance on it is ready then, and on one that has it already after the warm start.
//! - Pods go to the fullest node that has room, those that are there before those that start, spot before on-demand,
//!   and wait where there is none. An autoscaler of nodes asks for a node when pods or placeholders wait, and lets an
//!   empty one go after ten minutes, as the cluster autoscaler does (`--scale-down-unneeded-time`, 10 min); Karpenter
//!   does so at once (`consolidateAfter`, 0 s), where that is set.
//! - Pods are taken away waiting ones first, then the youngest, as a ReplicaSet does.
//! - A pod that waits while training has slots gets one after the training's grace, as preemption by priority does.

use std::collections::{BTreeMap, BTreeSet};

/// Instances of a node.
pub const SLOTS: usize = 4;

/// A node.
#[derive(Clone, Debug, PartialEq)]
pub struct Node {
    /// Whether it can be taken back, and its zone in the market.
    pub zone: Option<usize>,
    /// When the model is in its memory.
    pub warm_at: i64,
    /// When it is taken, once that is known.
    pub deadline: Option<i64>,
    /// Whether it takes no more pods.
    pub tainted: bool,
    /// Since when it has no instance.
    pub idle_since: i64,
    /// Slots that training has.
    pub lent: usize,
    /// Slots that training gives back, and when.
    pub returning: Vec<i64>,
}

/// A pod of the inference Deployments.
#[derive(Clone, Debug, PartialEq)]
pub struct Pod {
    /// Its number.
    pub id: u32,
    /// Where it is; nowhere while it waits.
    pub node: Option<u32>,
    /// Whether it belongs to the base on on-demand nodes.
    pub base: bool,
    /// When it was made.
    pub created: i64,
    /// When it is ready, once it has a node.
    pub ready_at: i64,
    /// Whether its Deployment has let go of it.
    pub leaving: bool,
}

/// How long things take.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Times {
    /// From a node asked for to an instance ready on it.
    pub cold: i64,
    /// From a pod made to an instance ready, on a node that has the model in memory.
    pub warm: i64,
    /// The most that training may take to give a slot back.
    pub grace: i64,
    /// How long a node is empty before it is let go.
    pub idle: i64,
}

/// Placeholders that wait for a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Placeholders {
    /// Of any kind.
    pub any: usize,
    /// That only a spot node takes.
    pub spot: usize,
}

impl Default for Times {
    fn default() -> Self {
        Self {
            cold: 180,
            warm: 20,
            grace: 15,
            idle: 600,
        }
    }
}

/// All nodes and pods.
#[derive(Clone, Debug, Default)]
pub struct Fleet {
    /// Nodes by number.
    pub nodes: BTreeMap<u32, Node>,
    /// Pods, oldest first.
    pub pods: Vec<Pod>,
    /// How long things take.
    pub times: Times,
    /// The longest that a pod has waited for a slot while there were nodes enough.
    pub longest_wait: i64,
    /// Slots taken back from training by force.
    pub preempted: u32,
    next: u32,
}

impl Fleet {
    /// Nothing yet.
    #[must_use]
    pub fn new(times: Times) -> Self {
        Self {
            times,
            ..Self::default()
        }
    }

    /// A node that is asked for now.
    pub fn ask(&mut self, now: i64, zone: Option<usize>) -> u32 {
        let node = Node {
            zone,
            warm_at: now + self.times.cold,
            deadline: None,
            tainted: false,
            idle_since: now,
            lent: 0,
            returning: Vec::new(),
        };
        self.next += 1;
        self.nodes.insert(self.next, node);
        self.next
    }

    /// A node that has been there for long.
    pub fn ask_warm(&mut self, now: i64, zone: Option<usize>) -> u32 {
        let id = self.ask(now, zone);
        if let Some(node) = self.nodes.get_mut(&id) {
            node.warm_at = now;
        }
        id
    }

    /// A node is gone, with all that is on it.
    pub fn lose(&mut self, node: u32) {
        self.nodes.remove(&node);
        self.pods.retain(|pod| pod.node != Some(node));
    }

    /// Makes and takes away pods until a Deployment has as many as it wants.
    pub fn scale(&mut self, now: i64, base: bool, replicas: u32) {
        let is_own = |pod: &&Pod| pod.base == base && !pod.leaving;
        if self.pods.iter().filter(is_own).count() == replicas as usize {
            return;
        }
        let mut own: Vec<(bool, i64, u32)> = self
            .pods
            .iter()
            .filter(is_own)
            .map(|pod| (pod.node.is_none(), pod.created, pod.id))
            .collect();
        let wanted = replicas as usize;
        if own.len() > wanted {
            own.sort_unstable();
            let surplus: Vec<u32> = own.drain(wanted..).map(|pod| pod.2).collect();
            // Sorted so that running, old ones come first: what is left over waits, or is young.
            self.pods.retain(|pod| !surplus.contains(&pod.id));
        }
        for _ in own.len()..wanted {
            self.next += 1;
            self.pods.push(Pod {
                id: self.next,
                node: None,
                base,
                created: now,
                ready_at: i64::MAX,
                leaving: false,
            });
        }
    }

    /// Slots of a node that nobody has.
    #[must_use]
    pub fn free(&self, id: u32) -> usize {
        let Some(node) = self.nodes.get(&id) else {
            return 0;
        };
        let pods = self.pods.iter().filter(|pod| pod.node == Some(id)).count();
        SLOTS.saturating_sub(pods + node.lent + node.returning.len())
    }

    /// Gives waiting pods their places. Returns how many wait on.
    pub fn schedule(&mut self, now: i64) -> usize {
        for node in self.nodes.values_mut() {
            node.returning.retain(|at| *at > now);
        }
        if self.pods.iter().all(|pod| pod.node.is_some()) {
            return 0;
        }
        let mut free: BTreeMap<u32, usize> =
            self.nodes.keys().map(|id| (*id, self.free(*id))).collect();
        let mut waiting = 0;
        for index in 0..self.pods.len() {
            if self.pods[index].node.is_some() {
                continue;
            }
            let base = self.pods[index].base;
            let place = free
                .iter()
                .filter(|(id, free)| {
                    **free > 0
                        && self
                            .nodes
                            .get(id)
                            .is_some_and(|node| !node.tainted && (!base || node.zone.is_none()))
                })
                .min_by_key(|(id, free)| {
                    let node = self.nodes.get(id);
                    (
                        node.is_none_or(|node| node.warm_at > now),
                        node.is_none_or(|node| node.zone.is_none() && !base),
                        **free,
                        **id,
                    )
                })
                .map(|(id, _)| *id);
            let Some(id) = place else {
                waiting += 1;
                continue;
            };
            *free.entry(id).or_default() -= 1;
            let warm_at = self.nodes.get(&id).map_or(now, |node| node.warm_at);
            let pod = &mut self.pods[index];
            self.longest_wait = self.longest_wait.max(now - pod.created);
            pod.node = Some(id);
            pod.ready_at = warm_at.max(now + self.times.warm);
        }
        waiting
    }

    /// Takes slots back from training for pods that wait: those that are not on their way back already.
    pub fn preempt(&mut self, now: i64, waiting: usize) {
        let coming: usize = self.nodes.values().map(|node| node.returning.len()).sum();
        let at = now + self.times.grace;
        for _ in coming..waiting {
            let Some(node) = self
                .nodes
                .values_mut()
                .find(|node| node.lent > 0 && !node.tainted)
            else {
                return;
            };
            node.lent -= 1;
            node.returning.push(at);
            self.preempted += 1;
        }
    }

    /// Training may have so many slots: it takes free ones, and gives back what is too much within `grace` seconds.
    pub fn lend(&mut self, now: i64, slots: usize, grace: i64) {
        let mut lent: usize = self.lent();
        let ids: Vec<u32> = self.nodes.keys().copied().collect();
        for id in &ids {
            let free = self.free(*id);
            let Some(node) = self.nodes.get_mut(id) else {
                continue;
            };
            if lent > slots {
                let back = (lent - slots).min(node.lent);
                node.lent -= back;
                node.returning
                    .extend(std::iter::repeat_n(now + grace, back));
                lent -= back;
            }
            if lent < slots && !node.tainted && node.deadline.is_none() && node.warm_at <= now {
                let more = (slots - lent).min(free);
                node.lent += more;
                lent += more;
            }
        }
    }

    /// Slots that training has.
    #[must_use]
    pub fn lent(&self) -> usize {
        self.nodes.values().map(|node| node.lent).sum()
    }

    /// Lets empty nodes go but for those that placeholders hold: so many spot nodes, and of the rest so many of any
    /// kind. Returns which placeholders wait.
    pub fn tidy(&mut self, now: i64, any: usize, spot: usize) -> Placeholders {
        let busy: BTreeSet<u32> = self.pods.iter().filter_map(|pod| pod.node).collect();
        for (id, node) in &mut self.nodes {
            if busy.contains(id) || node.lent > 0 {
                node.idle_since = now;
            }
        }
        let (idle_spot, idle_on_demand): (Vec<u32>, Vec<u32>) = self
            .nodes
            .iter()
            .filter(|(id, node)| !busy.contains(id) && node.lent == 0 && node.deadline.is_none())
            .map(|(id, _)| *id)
            .partition(|id| self.nodes.get(id).is_some_and(|node| node.zone.is_some()));
        let spare = idle_spot.len().saturating_sub(spot);
        let needed = any.saturating_sub(spare);
        let on_demand = self.let_go(now, &idle_on_demand, needed);
        let kept = self.let_go(now, &idle_spot, spot + any.saturating_sub(on_demand));
        Placeholders {
            any: needed.saturating_sub(on_demand),
            spot: spot.saturating_sub(kept),
        }
    }

    /// Lets those go that have been empty for long enough, down to so many. Returns how many are left.
    fn let_go(&mut self, now: i64, idle: &[u32], keep: usize) -> usize {
        let mut left = idle.len();
        for id in idle {
            let node = self.nodes.get(id);
            let old = node.is_some_and(|node| node.idle_since <= now - self.times.idle);
            if left > keep && old {
                self.nodes.remove(id);
                left -= 1;
            }
        }
        left
    }

    /// Instances that are ready.
    #[must_use]
    pub fn ready(&self, now: i64) -> u32 {
        count(self.pods.iter().filter(|pod| pod.ready_at <= now).count())
    }

    /// Nodes that can be taken back, and others.
    #[must_use]
    pub fn held(&self) -> (u32, u32) {
        let spot = self
            .nodes
            .values()
            .filter(|node| node.zone.is_some())
            .count();
        (count(spot), count(self.nodes.len() - spot))
    }
}

/// A number of things that are in memory.
#[must_use]
pub fn count(things: usize) -> u32 {
    u32::try_from(things).unwrap_or(u32::MAX)
}
