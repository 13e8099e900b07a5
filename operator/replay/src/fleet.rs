//! Nodes and pods, as far as time and capacity go.
//!
//! - A node holds [`SLOTS`] instances: 8 CPU and 32 GB. One that is asked for has the model in memory after the cold
//!   start; an instance on it is ready then, and on one that has it already after the warm start.
//! - Pods go to the fullest node that has room, those that are there before those that start, spot before on-demand,
//!   and wait where there is none. An autoscaler of nodes asks for a node when pods or placeholders wait, and lets an
//!   empty one go after ten minutes, as the cluster autoscaler does (`--scale-down-unneeded-time`, 10 min); Karpenter
//!   does so at once (`consolidateAfter`, 0 s), where that is set.
//! - Pods are taken away waiting ones first, then the youngest, as a ReplicaSet does.
//! - A pod that waits while training has slots gets one after the training's grace, as preemption by priority does.
//!
//! Left out: nodes of several sizes, pods that crash or fail to start, images that are pulled, a network that slows a
//! download for all, volumes, topology rules, and an API server that takes its time. A warm node stays warm.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

use crate::jobs::Job;

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
    /// Whether the planner has it wait: a placeholder is on it as soon as training is not, and keeps training off it.
    pub waits: bool,
    /// Since when it has no instance.
    pub idle_since: i64,
    /// What training runs on it, a slot each.
    pub jobs: Vec<Job>,
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

/// Nodes by what they are for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Uses {
    /// With instances; they stay.
    pub on_demand: u32,
    /// With instances; they can be taken back.
    pub spot: u32,
    /// With training alone.
    pub training: u32,
    /// With nothing: they wait, or start.
    pub waiting: u32,
    /// About to be taken.
    pub leaving: u32,
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
    /// Jobs that the planner has stopped.
    pub stopped: u32,
    /// Seconds of training's work that were lost: done since the last checkpoint, on each slot.
    pub wasted: i64,
    pub(crate) next: u32,
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
            waits: false,
            idle_since: now,
            jobs: Vec::new(),
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
    pub fn lose(&mut self, now: i64, node: u32) {
        let jobs = self.nodes.remove(&node).map(|node| node.jobs);
        let jobs = jobs.into_iter().flatten();
        self.wasted += jobs.map(|job| now - job.checkpoint).sum::<i64>();
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
        SLOTS.saturating_sub(pods + node.jobs.len() + node.returning.len())
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
            // What waits counts while it does, also when it is withdrawn before it has a place.
            self.longest_wait = self.longest_wait.max(now - self.pods[index].created);
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
            pod.node = Some(id);
            pod.ready_at = warm_at.max(now + self.times.warm);
        }
        waiting
    }

    /// Lets empty nodes go but for those that placeholders hold: so many spot nodes, and of the rest so many of any
    /// kind. Returns which placeholders wait.
    pub fn tidy(&mut self, now: i64, any: usize, spot: usize) -> Placeholders {
        let busy: BTreeSet<u32> = self.pods.iter().filter_map(|pod| pod.node).collect();
        for (id, node) in &mut self.nodes {
            if busy.contains(id) || !node.jobs.is_empty() {
                node.idle_since = now;
            }
        }
        let (idle_spot, idle_on_demand): (Vec<u32>, Vec<u32>) = self
            .nodes
            .iter()
            .filter(|(id, node)| {
                !busy.contains(id) && node.jobs.is_empty() && node.deadline.is_none()
            })
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

    /// What the nodes are for.
    #[must_use]
    pub fn uses(&self) -> Uses {
        let busy: BTreeSet<u32> = self.pods.iter().filter_map(|pod| pod.node).collect();
        let mut uses = Uses::default();
        for (id, node) in &self.nodes {
            let of = match node {
                Node {
                    deadline: Some(_), ..
                } => &mut uses.leaving,
                Node { zone: None, .. } if busy.contains(id) => &mut uses.on_demand,
                _ if busy.contains(id) => &mut uses.spot,
                Node { jobs, .. } if !jobs.is_empty() => &mut uses.training,
                _ => &mut uses.waiting,
            };
            *of += 1;
        }
        uses
    }

    /// The planner has these nodes wait, and no others.
    pub fn wait(&mut self, nodes: &BTreeSet<u32>) {
        for (id, node) in &mut self.nodes {
            node.waits = nodes.contains(id);
        }
    }

    /// Nodes that stay and have nothing on them, those that are still to come as well.
    #[must_use]
    pub fn empty(&self) -> u32 {
        let empty = self.nodes.iter().filter(|(id, node)| {
            node.deadline.is_none() && !node.tainted && self.free(**id) == SLOTS
        });
        count(empty.count())
    }

    /// Nodes that wait with the model in memory and with nothing else on them.
    #[must_use]
    pub fn standby(&self, now: i64) -> u32 {
        let ready = self.nodes.iter().filter(|(id, node)| {
            let stays = node.deadline.is_none() && !node.tainted;
            node.waits && stays && node.warm_at <= now && self.free(**id) == SLOTS
        });
        count(ready.count())
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
