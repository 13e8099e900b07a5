//! Nodes that come and go, and pods that find their places.

use crate::fleet::{SLOTS, count};
use crate::scenario::{Installed, Policy};

use super::{Game, TICK};

impl Game<'_> {
    pub(super) fn markets(&mut self, now: i64) -> bool {
        let (Some(market), Some(spots)) = (&mut self.market, &self.scenario.spot) else {
            return false;
        };
        market.pass(&spots.trace, now - TICK, now, &mut self.fleet)
    }

    /// Nodes whose time is over are gone. A floor that is broken by it counts as a breach when there was room to hold it
    /// in time: as many slots as are missing and waited for, free at the end, on nodes that stay and have had the model
    /// in memory since the notice, and a notice that a warm start fits into. Slots that training has are no such room.
    pub(super) fn lose(&mut self, now: i64) {
        let over: Vec<u32> = self
            .fleet
            .nodes
            .iter()
            .filter(|(_, node)| node.deadline.is_some_and(|deadline| deadline <= now))
            .map(|(id, _)| *id)
            .collect();
        if over.is_empty() {
            return;
        }
        let before = self.fleet.ready(now);
        for id in over {
            self.fleet.lose(now, id);
        }
        let after = self.fleet.ready(now);
        if after < self.floor && before >= self.floor {
            let notice = self.market.as_ref().map_or(0, |market| market.notice);
            let warm: usize = self
                .fleet
                .nodes
                .iter()
                .filter(|(_, node)| {
                    !node.tainted && node.deadline.is_none() && node.warm_at <= now - notice
                })
                .map(|(id, _)| self.fleet.free(*id))
                .sum();
            let waiting = self
                .fleet
                .pods
                .iter()
                .filter(|pod| pod.ready_at > now)
                .count();
            let missing = (self.floor - after) as usize;
            if super::is_in_time(notice, self.fleet.times.warm) && warm >= missing + waiting {
                self.outcome.floor_breaches += 1;
            }
        }
    }

    /// Pods are made and placed, and nodes are asked for where there is no room.
    pub(super) fn place(&mut self, now: i64) {
        self.fleet.scale(now, true, self.base);
        self.fleet.scale(now, false, self.desired);
        let waiting = self.fleet.schedule(now);
        if waiting == 0 {
            return;
        }
        if self.fleet.lent() > 0 {
            self.fleet.preempt(now, waiting);
        }
        if self.is_complete() {
            return;
        }
        for _ in 0..waiting.saturating_sub(self.fleet.coming()).div_ceil(SLOTS) {
            self.ask(now);
        }
        self.fleet.schedule(now);
    }

    pub(super) fn ask(&mut self, now: i64) {
        let (spot, on_demand) = self.fleet.held();
        let allowed = match self.scenario.policy {
            Policy::Planner => self.scenario.foresight.spot.is_some(),
            Policy::Foreseeing { .. } => false,
            Policy::Plain { spot_percent, .. } => {
                (spot + 1) * 100 <= (spot + on_demand + 1) * spot_percent
                    || (spot == 0 && spot_percent == 100)
            }
        };
        // Pods of the base go to on-demand nodes only.
        let base_waits = self
            .fleet
            .pods
            .iter()
            .any(|pod| pod.base && pod.node.is_none());
        let zone = self
            .market
            .as_ref()
            .filter(|_| allowed && !base_waits)
            .and_then(|market| market.obtain(&self.fleet));
        self.fleet.ask(now, zone);
    }

    /// Whether there are as many nodes as there ever are.
    pub(super) fn is_complete(&self) -> bool {
        let staying = self
            .fleet
            .nodes
            .values()
            .filter(|node| node.deadline.is_none())
            .count();
        self.scenario
            .nodes
            .is_some_and(|installed| count(staying) >= installed.on_demand + installed.spot)
    }

    /// Lets nodes go that nobody needs, and asks for those that there should be.
    pub(super) fn tidy(&mut self, now: i64) {
        if let Some(installed) = self.scenario.nodes {
            self.stand_in_no_more(now, installed);
            while !self.is_complete() {
                let Some(zone) = self.obtain() else { break };
                self.fleet.ask(now, Some(zone));
            }
            // Placeholders that wait are met as pods are.
            for _ in self.fleet.empty()..self.placeholders {
                if !self.is_complete() {
                    self.fleet.ask(now, None);
                }
            }
            return;
        }
        let missing = self.fleet.tidy(
            now,
            self.placeholders as usize,
            self.spot_placeholders as usize,
        );
        for _ in 0..missing.spot {
            let Some(zone) = self.obtain() else { break };
            self.fleet.ask(now, Some(zone));
        }
        for _ in 0..missing.any {
            self.ask(now);
        }
    }

    fn obtain(&self) -> Option<usize> {
        let market = self.market.as_ref()?;
        market.obtain(&self.fleet)
    }

    /// On-demand nodes beyond the installed ones go as soon as they are empty and the market has others.
    pub(super) fn stand_in_no_more(&mut self, now: i64, installed: Installed) {
        let (_, on_demand) = self.fleet.held();
        let more = self
            .market
            .as_ref()
            .map_or(0, |market| market.more(&self.fleet));
        for _ in 0..on_demand.saturating_sub(installed.on_demand).min(more) {
            let busy: Vec<Option<u32>> = self.fleet.pods.iter().map(|pod| pod.node).collect();
            let empty = self
                .fleet
                .nodes
                .iter()
                .find(|(id, node)| {
                    node.zone.is_none() && node.warm_at <= now && !busy.contains(&Some(**id))
                })
                .map(|(id, _)| *id);
            let Some(id) = empty else { return };
            self.fleet.lose(now, id);
        }
    }
}
