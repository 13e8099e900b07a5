//! Training jobs: what they take, and what is lost when they are stopped.
//!
//! A job has one slot. It writes a checkpoint every half hour, and one more when it is asked, which takes two minutes;
//! what it did since the last one is lost when it is stopped. There is always another job. Left out: jobs over several
//! slots or nodes, the time to read a checkpoint, jobs that end, and the queue's own order.

use crate::fleet::{Fleet, Node};

/// Seconds between two checkpoints.
const EVERY: i64 = 1800;
/// Seconds that one takes to be written.
pub const WRITES: i64 = 120;

/// A running job.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Job {
    /// Its number.
    pub id: u32,
    /// When it last wrote a checkpoint, or began.
    pub checkpoint: i64,
    /// When it was asked for one.
    pub asked: Option<i64>,
}

impl Job {
    /// Writes what is due.
    fn pass(&mut self, now: i64) {
        if let Some(asked) = self.asked
            && self.checkpoint <= asked
            && now >= asked + WRITES
        {
            self.checkpoint = asked + WRITES;
        }
        if now - self.checkpoint >= EVERY {
            self.checkpoint = now;
            // Asked long ago and not stopped: it was not needed.
            self.asked = None;
        }
    }
}

impl Node {
    fn stop(&mut self, index: usize, now: i64, grace: i64) -> i64 {
        let job = self.jobs.remove(index);
        self.returning.push(now + grace);
        now - job.checkpoint
    }
}

impl Fleet {
    /// Slots that training has.
    #[must_use]
    pub fn lent(&self) -> usize {
        self.nodes.values().map(|node| node.jobs.len()).sum()
    }

    /// Slots that training is about to give back, where a pod may go.
    #[must_use]
    pub fn coming(&self) -> usize {
        let takes = self.nodes.values().filter(|node| !node.tainted);
        takes.map(|node| node.returning.len()).sum()
    }

    /// Takes slots back from training for pods that wait: those that are not on their way back already. The youngest job
    /// goes first, as the scheduler pre-empts (`pickOneNodeForPreemption`: the latest start).
    pub fn preempt(&mut self, now: i64, waiting: usize) {
        for _ in self.coming()..waiting {
            let takes = self.nodes.values_mut().filter(|node| !node.tainted);
            let youngest = |node: &&mut Node| node.jobs.iter().map(|job| job.id).max();
            let Some(node) = takes.max_by_key(youngest).filter(|it| !it.jobs.is_empty()) else {
                return;
            };
            let last = node.jobs.len() - 1;
            self.wasted += node.stop(last, now, self.times.grace);
            self.preempted += 1;
        }
    }

    /// Time goes on for jobs.
    pub fn train(&mut self, now: i64) {
        let jobs = self.nodes.values_mut().flat_map(|node| &mut node.jobs);
        jobs.for_each(|job| job.pass(now));
    }

    /// As many jobs run as the quota allows and find room: on nodes that stay, are up and are not to wait. A quota stops
    /// nobody.
    pub fn start_jobs(&mut self, now: i64, quota: usize) {
        let mut lent = self.lent();
        let ids: Vec<u32> = self.nodes.keys().copied().collect();
        for id in ids {
            let free = self.free(id);
            let Some(node) = self.nodes.get_mut(&id) else {
                continue;
            };
            let stays = !node.tainted && node.deadline.is_none();
            if !stays || node.waits || node.warm_at > now {
                continue;
            }
            for _ in 0..quota.saturating_sub(lent).min(free) {
                self.next += 1;
                node.jobs.push(Job {
                    id: self.next,
                    checkpoint: now,
                    asked: None,
                });
                lent += 1;
            }
        }
    }

    /// Stops what is above so many slots at once, wherever it is, without asking for checkpoints: what those do who have
    /// no planner.
    pub fn cut_jobs(&mut self, now: i64, slots: usize) {
        let mut surplus = self.lent().saturating_sub(slots);
        for node in self.nodes.values_mut() {
            while surplus > 0 && !node.jobs.is_empty() {
                self.wasted += node.stop(0, now, self.times.grace);
                surplus -= 1;
            }
        }
    }

    /// A job is asked for a checkpoint.
    pub fn ask_job(&mut self, now: i64, job: u32) {
        let mut jobs = self.nodes.values_mut().flat_map(|node| &mut node.jobs);
        if let Some(job) = jobs.find(|it| it.id == job) {
            job.asked = Some(now);
        }
    }

    /// A job is stopped.
    pub fn stop_job(&mut self, now: i64, job: u32) {
        for node in self.nodes.values_mut() {
            if let Some(index) = node.jobs.iter().position(|it| it.id == job) {
                self.wasted += node.stop(index, now, self.times.grace);
                self.stopped += 1;
                return;
            }
        }
    }

    /// Whether a job writes a checkpoint that it was asked for.
    #[must_use]
    pub fn is_writing(&self) -> bool {
        let mut jobs = self.nodes.values().flat_map(|node| &node.jobs);
        jobs.any(|job| job.asked.is_some_and(|asked| job.checkpoint <= asked))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fleet::Times;

    /// One warm node on which training has everything since 0.
    fn lent() -> Fleet {
        let mut fleet = Fleet::new(Times::default());
        fleet.ask_warm(0, None);
        fleet.start_jobs(0, 9);
        fleet
    }

    #[test]
    fn training_gets_what_is_free_and_no_more() {
        let mut fleet = lent();
        assert_eq!(fleet.lent(), 4);
        fleet.ask(0, None);
        fleet.start_jobs(60, 9);
        assert_eq!(fleet.lent(), 4, "the new node is not up yet");
        fleet.start_jobs(60, 0);
        assert_eq!(fleet.lent(), 4, "a quota stops nobody");
    }

    #[test]
    fn what_was_done_since_the_last_checkpoint_is_lost() {
        let mut fleet = lent();
        fleet.train(1800);
        fleet.preempt(1900, 1);
        assert_eq!((fleet.wasted, fleet.preempted, fleet.coming()), (100, 1, 1));
        fleet.preempt(1900, 1);
        assert_eq!(fleet.preempted, 1, "one is on its way");
    }

    #[test]
    fn a_job_that_was_asked_writes_for_two_minutes_and_then_loses_little() {
        let mut fleet = lent();
        let job = fleet.nodes.values().next().unwrap().jobs[0].id;
        fleet.ask_job(600, job);
        fleet.train(715);
        assert!(fleet.is_writing());
        fleet.train(720);
        assert!(!fleet.is_writing());
        fleet.stop_job(725, job);
        assert_eq!((fleet.wasted, fleet.stopped, fleet.lent()), (5, 1, 3));
    }

    #[test]
    fn slots_that_come_back_on_a_node_that_is_leaving_are_no_room() {
        let mut fleet = lent();
        fleet
            .nodes
            .values_mut()
            .for_each(|node| node.tainted = true);
        fleet.cut_jobs(60, 0);
        assert_eq!(fleet.coming(), 0);
    }
}
