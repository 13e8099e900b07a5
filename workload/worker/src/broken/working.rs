//! The steps of a worker.

use std::collections::BTreeSet;

use chatbot_message::Reply;
use chatbot_queue::journal::{self, Checkpoint, Entry, Reader};
use chatbot_queue::{Offset, Topic};
use chatbot_queue_contract::model::{Counting, Rule, Violation, account, message};
use chatbot_store::{Session, Turn, Update};
use tokio::sync::mpsc;

use super::owner::{Item, Owner, answer};
use super::world::{Keeper, Sent, World};
use super::{MESSAGES, PARTITION, Replaced};
use crate::context;
use crate::intake::{Intake, Kind};
use crate::journal_io;
use crate::lanes::Lanes;
use crate::own::Own;
use crate::settled::Settled;
use crate::takeover::take_over;
use crate::view;

/// Records of `inbound` at once: all there are.
const ALL: usize = 256;

impl World<'_> {
    /// W1 to W4.
    pub(super) async fn take_over(&mut self, worker: usize) {
        let (shared, design) = (self.shared, self.design);
        let log = shared.log.as_ref();
        if design.replaced == Replaced::ReadBeforeAnnouncing && self.early[worker].is_none() {
            let end = log.end(Topic::Response, PARTITION).await.unwrap();
            self.early[worker] = Some(self.restored(end).await);
            return;
        }
        let committed = shared.member.committed(PARTITION).await.unwrap().offset;
        let takeover = take_over(shared, PARTITION).await.unwrap();
        let settled = match (design.replaced, self.early[worker].take()) {
            (Replaced::NothingRestored, _) => Settled::new(committed),
            (_, Some(early)) => early,
            _ if design.rule == Rule::Fence => takeover.settled,
            _ => self.restored(takeover.epoch).await,
        };
        let from = settled.lowest();
        let position = takeover.reader.position;
        self.owners[worker] = Some(Owner {
            design,
            epoch: takeover.epoch,
            seq: 0,
            settled,
            tail: Reader::new(log, PARTITION, takeover.reader),
            counting: Counting::up_to(design.rule, log, PARTITION, position).await,
            intake: Intake::new(log, PARTITION, from),
            next: from,
            lanes: Lanes::new(),
            own: Own::new(takeover.epoch, MESSAGES),
            heads: [None, None],
            acknowledged: BTreeSet::new(),
            to_append: Vec::new(),
        });
        self.keepers[worker] = None;
    }

    /// What is settled by what stands in the journal before `end`, where the rule is another one than designed, or it is
    /// read at another time.
    async fn restored(&self, end: Offset) -> Settled {
        let (log, rule) = (self.shared.log.as_ref(), self.design.rule);
        let committed = self.shared.member.committed(PARTITION).await.unwrap();
        let mut settled = Settled::new(committed.offset);
        let mut reader = Reader::new(log, PARTITION, Checkpoint::default());
        let mut counting = Counting::new(rule);
        while reader.checkpoint().position < end {
            let step = reader.next().await.unwrap();
            if counting.counts(&step)
                && let Some(Entry::Reply { inbound, .. }) = step.entry
            {
                settled.settle_by_reply(inbound, step.checkpoint());
            }
        }
        settled
    }

    /// W5.
    pub(super) async fn take(&mut self, worker: usize) {
        let end = self.audit.inbound.len() as Offset;
        let Some(owner) = &mut self.owners[worker] else {
            return;
        };
        if owner.next >= end {
            return;
        }
        let (to_take, mut taken) = mpsc::channel(ALL);
        owner.intake.batch(&to_take).await.unwrap();
        while let Ok(taken) = taken.try_recv() {
            let (offset, copy) = (taken.offset, matches!(taken.kind, Kind::Duplicate));
            if copy && self.design.replaced != Replaced::Claims {
                owner.next = offset + 1;
                owner.settled.settle(offset);
            } else {
                let number = self.audit.inbound[usize::try_from(offset).unwrap()];
                owner.take(Item { offset, number });
            }
        }
    }

    /// W6, and W7 up to the wire.
    pub(super) async fn answer(&mut self, worker: usize, user: usize) {
        let account = account(user);
        let session = self.shared.view.session(PARTITION, &account).await.unwrap();
        let Some(owner) = &mut self.owners[worker] else {
            return;
        };
        let Some(head) = owner.heads[user].as_mut().filter(|head| !head.sent) else {
            return;
        };
        let (item, replaced) = (head.item, self.design.replaced);
        let id = message(item.number).id;
        if replaced == Replaced::Claims && self.claims.contains(&id) {
            owner.settled.settle(item.offset);
            owner.next_of(user);
            return;
        }
        if owner.settled.contains(item.offset) {
            owner.next_of(user);
            return;
        }
        let Some(turns) = conversation(replaced, session, head.need, &head.own) else {
            return;
        };
        head.sent = true;
        self.claims.insert(id);
        self.generation += 1;
        let entry = owner.reply_to(item, answer(self.generation, &turns));
        self.wire.push(Sent { worker, entry });
    }

    /// W7 from the wire on: a record arrives, the oldest of its epoch, since a producer keeps the order. Gives where it
    /// stands.
    pub(super) async fn land(&mut self, which: usize) -> Option<(Sent, Offset)> {
        let epoch = self.wire.get(which % self.wire.len().max(1))?.epoch();
        let oldest = self.wire.iter().position(|sent| sent.epoch() == epoch)?;
        let sent = self.wire.remove(oldest);
        if self.design.rule == Rule::Transactions && self.audit.owner() != Some(epoch) {
            self.give_up(&sent);
            return None;
        }
        let log = self.shared.log.as_ref();
        let position = journal::append(log, PARTITION, &sent.entry).await.unwrap();
        Some((sent, position.unwrap()))
    }

    /// Its writer hears of it. A transaction commits the offset with it.
    pub(super) async fn acknowledge(
        &mut self,
        sent: &Sent,
        position: Offset,
    ) -> Result<(), Violation> {
        let (offset, reply): (Offset, &Reply) = sent.reply();
        if let Some(owner) = self.writer_of(sent) {
            owner.acknowledged(offset, reply, position);
            if self.design.rule == Rule::Transactions {
                return self.commit(sent.worker).await;
            }
        }
        Ok(())
    }

    /// W8: reads one record.
    pub(super) async fn tail(&mut self, worker: usize) {
        let log = self.shared.log.as_ref();
        let end = log.end(Topic::Response, PARTITION).await.unwrap();
        let Some(owner) = &mut self.owners[worker] else {
            return;
        };
        if owner.tail.checkpoint().position >= end {
            return;
        }
        let step = owner.tail.next().await.unwrap();
        let counts = owner.counting.counts(&step);
        match &step.entry {
            Some(Entry::Owner { .. }) if self.design.rule.fences() => self.owners[worker] = None,
            Some(Entry::Reply { inbound, reply, .. }) if counts => {
                owner.read_back(*inbound, reply, step.checkpoint());
            }
            _ => {}
        }
    }

    /// W9: applies one record, or looks where the view is.
    pub(super) async fn keep(&mut self, worker: usize) {
        let (shared, rule) = (self.shared, self.design.rule);
        let log = shared.log.as_ref();
        let Some(owner) = &mut self.owners[worker] else {
            return;
        };
        if self.design.replaced == Replaced::SessionOnlyInStore {
            let turns = std::mem::take(&mut owner.to_append);
            self.append(turns).await;
            return;
        }
        let found = view::position(shared, PARTITION).await.unwrap();
        let keeper = match self.keepers[worker].take() {
            Some(keeper) if keeper.at() == found.stored => keeper,
            _ => Keeper::begin(rule, log, found.from).await,
        };
        self.keepers[worker] = Some(keeper.step(shared).await);
    }

    /// Appends turns to the store as it is.
    async fn append(&self, turns: Vec<(chatbot_message::Account, Turn)>) {
        let (position, fold) = self.shared.view.position(PARTITION).await.unwrap();
        let update = Update {
            from: position,
            to: position + 1,
            fold,
            turns,
            routes: Vec::new(),
        };
        self.shared.view.apply(PARTITION, update).await.unwrap();
    }

    /// W10.
    pub(super) async fn commit(&mut self, worker: usize) -> Result<(), Violation> {
        self.audit.follow(self.shared.log.as_ref()).await?;
        let at = self.keepers[worker].as_ref().map_or(0, Keeper::at);
        let Some(owner) = &mut self.owners[worker] else {
            return Ok(());
        };
        let progress = owner.progress();
        owner.own.view_is_at(at);
        journal_io::put(self.shared, PARTITION, progress)
            .await
            .unwrap();
        self.audit.committed(progress.lowest)
    }
}

/// The conversation so far; none as long as the view has not come far enough.
fn conversation(
    replaced: Replaced,
    session: Session,
    need: Offset,
    own: &[Turn],
) -> Option<Vec<Turn>> {
    match replaced {
        Replaced::SessionOnlyInStore => Some(session.turns),
        Replaced::ContextAtOnce => Some(context::merge(session.turns, own.to_vec())),
        _ => (session.at >= need).then(|| context::merge(session.turns, own.to_vec())),
    }
}
