//! A gateway: its place in the channel's group, and what it knows of a partition that it has acquired.

use std::collections::BTreeSet;
use std::sync::Arc;

use chatbot_message::Trace;
use chatbot_queue::journal::{self, Checkpoint, Delivery, Entry, Fold, Reader, Step};
use chatbot_queue::memory::MemoryLog;
use chatbot_queue::{Commit, Error, Log, Member, Offset, Topic};
use chatbot_queue_contract::model::{Counting, Rule, number};
use uuid::Uuid;

use super::super::attempt::of_term;
use super::super::catch_up::CatchUp;
use super::super::lanes::{Lanes, Waiting};
use super::{Design, PARTITION, Replaced};
use crate::Limits;

const GROUP: &str = "gateway-chat";

pub(super) struct Gateway {
    design: Design,
    log: Arc<MemoryLog>,
    member: Box<dyn Member>,
    id: Uuid,
    /// The group has given it up, and it does not know.
    pub(super) frozen: bool,
    pub(super) acquired: Option<Acquisition>,
}

pub(super) struct Acquisition {
    /// The lease's term when it began.
    term: u64,
    reader: Reader,
    counting: Counting,
    catch_up: Option<CatchUp>,
    lanes: Lanes,
    /// Heads under way.
    pub(super) heads: Vec<(Offset, Waiting)>,
    /// Accepted by the platform, and not marked yet.
    pub(super) sent: Vec<(Offset, Waiting)>,
}

impl Gateway {
    pub(super) async fn start(design: Design, log: &Arc<MemoryLog>) -> Self {
        let member = log.join(GROUP, Topic::Response).await.unwrap();
        let id = *log.members(GROUP, Topic::Response).last().unwrap();
        Self {
            design,
            log: Arc::clone(log),
            member,
            id,
            frozen: false,
            acquired: None,
        }
    }

    pub(super) fn freeze(&mut self) {
        self.frozen = true;
        self.log.freeze(GROUP, Topic::Response, self.id);
    }

    pub(super) fn thaw(&mut self) {
        if std::mem::take(&mut self.frozen) {
            self.log.thaw(GROUP, Topic::Response, self.id);
        }
    }

    /// Follows the group: what is suggested to another is let go in order.
    pub(super) async fn follow(&mut self, store: &mut BTreeSet<Offset>) {
        if self.is_suggested() {
            return;
        }
        if self.design.replaced == Replaced::LeaseRegained {
            self.mark_all(store).await;
        } else {
            self.end(store).await;
        }
        self.member.release(PARTITION);
    }

    fn is_suggested(&self) -> bool {
        let suggested = self.member.suggested();
        let suggested = suggested.borrow();
        suggested
            .as_ref()
            .is_some_and(|all| all.contains(&PARTITION))
    }

    /// S1, up to the reading.
    pub(super) async fn acquire(&mut self) {
        if self.acquired.is_some() || !self.is_suggested() {
            return;
        }
        let term = self.member.lease().term;
        let committed = self.member.committed(PARTITION).await.unwrap();
        let mut from = Checkpoint::decode(&committed.metadata);
        if !self.design.keys && self.put(from).await.is_err() {
            return;
        }
        let (log, rule): (&dyn Log, Rule) = (self.log.as_ref(), self.design.rule);
        let mut counting = Counting::up_to(rule, log, PARTITION, from.position).await;
        if self.design.replaced == Replaced::CheckpointWithoutFold {
            from.fold = Fold::default();
            counting = Counting::new(rule);
        }
        let end = journal::readable_end(log, PARTITION).await.unwrap();
        self.acquired = Some(Acquisition {
            term,
            reader: Reader::new(log, PARTITION, from),
            counting,
            catch_up: Some(CatchUp::new(end)),
            lanes: Lanes::default(),
            heads: Vec::new(),
            sent: Vec::new(),
        });
    }

    /// S1: reads one record; `store` has the marks where they are not in the journal.
    pub(super) async fn read(&mut self, store: &BTreeSet<Offset>) {
        let end = self.log.end(Topic::Response, PARTITION).await.unwrap();
        let Some(acquired) = &mut self.acquired else {
            return;
        };
        if acquired.reader.checkpoint().position < end {
            let mut step = acquired.reader.next().await.unwrap();
            step.counts = acquired.counting.counts(&step);
            acquired.take_in(step);
        }
        acquired.caught_up(store);
    }

    /// S3: whether nobody else sends the same.
    pub(super) async fn may_send(&self) -> bool {
        let Some(acquired) = &self.acquired else {
            return false;
        };
        match self.design.replaced {
            replaced if self.design.keys || replaced == Replaced::NoLease => true,
            Replaced::LeaseRegained => {
                self.is_suggested() && self.put(acquired.lowest()).await.is_ok()
            }
            _ => of_term(self.member.lease(), acquired.term).lasts(Limits::default().send),
        }
    }

    /// S4: marks what was accepted, in the journal or in `store`.
    pub(super) async fn mark(&mut self, store: &mut BTreeSet<Offset>) {
        let Some(acquired) = &mut self.acquired else {
            return;
        };
        let Some((position, _)) = acquired.sent.pop() else {
            return;
        };
        if self.design.replaced == Replaced::MarksInStore {
            store.insert(position);
        } else {
            let mark = Entry::Delivered {
                position,
                part: 0,
                delivery: Delivery::Accepted { platform_id: None },
                last: true,
            };
            let marked = journal::append(self.log.as_ref(), PARTITION, &mark).await;
            marked.unwrap();
        }
        acquired.lanes.done(position);
    }

    /// S5. One that is refused ends the acquisition.
    pub(super) async fn commit(&mut self, store: &mut BTreeSet<Offset>) {
        let Some(acquired) = &self.acquired else {
            return;
        };
        let lowest = if self.design.replaced == Replaced::CommitBeforeDelivery {
            acquired.reader.checkpoint()
        } else {
            acquired.lowest()
        };
        let goes_on = matches!(
            self.design.replaced,
            Replaced::NoLease | Replaced::LeaseRegained
        );
        if self.put(lowest).await.is_err() && !goes_on {
            self.end(store).await;
        }
    }

    async fn put(&self, lowest: Checkpoint) -> Result<(), Error> {
        let commit = Commit {
            offset: lowest.position,
            metadata: lowest.encode(),
        };
        self.member.commit(PARTITION, commit).await
    }

    async fn mark_all(&mut self, store: &mut BTreeSet<Offset>) {
        let unmarked = |acquired: &Acquisition| !acquired.sent.is_empty();
        while self.acquired.as_ref().is_some_and(unmarked) {
            self.mark(store).await;
        }
    }

    /// What is under way ends: whoever is next must find its mark.
    pub(super) async fn end(&mut self, store: &mut BTreeSet<Offset>) {
        self.mark_all(store).await;
        if let Some(acquired) = self.acquired.take() {
            let _refused = self.put(acquired.lowest()).await;
        }
    }
}

impl Acquisition {
    fn take_in(&mut self, step: Step) {
        let at = step.checkpoint();
        match step.entry {
            Some(Entry::Reply { reply, .. }) if step.counts => {
                let waiting = Waiting {
                    at,
                    appended_at: step.appended_at,
                    chat: reply.origin.clone(),
                    trace: Trace::of(reply.message_id),
                    reply: Arc::new(reply),
                    sent: 0,
                };
                match &mut self.catch_up {
                    Some(catch_up) => catch_up.reply(step.position, waiting, true),
                    None => self.lanes.add(step.position, waiting),
                }
            }
            Some(Entry::Delivered {
                position,
                part,
                delivery,
                ..
            }) => {
                if let Some(catch_up) = &mut self.catch_up {
                    catch_up.mark(position, part, &delivery, |_| 1);
                }
            }
            _ => {}
        }
    }

    fn caught_up(&mut self, store: &BTreeSet<Offset>) {
        let position = self.reader.checkpoint().position;
        let over = self.catch_up.take_if(|catch_up| catch_up.is_over(position));
        let Some(mut catch_up) = over else { return };
        for position in store {
            let accepted = Delivery::Accepted { platform_id: None };
            catch_up.mark(*position, 0, &accepted, |_| 1);
        }
        for (position, waiting) in catch_up.finish().0 {
            self.lanes.add(position, waiting);
        }
    }

    /// S2: what may be sent now.
    pub(super) fn start(&mut self) {
        while let Some(head) = self.lanes.start() {
            self.heads.push(head);
        }
    }

    /// A head is refused for now, and goes to the end of its lane.
    pub(super) fn put_last(&mut self, (position, waiting): (Offset, Waiting)) {
        self.lanes.done(position);
        self.lanes.add(position, waiting);
    }

    fn lowest(&self) -> Checkpoint {
        let staged = self.catch_up.as_ref().and_then(CatchUp::lowest);
        self.lanes
            .lowest()
            .or(staged)
            .unwrap_or_else(|| self.reader.checkpoint())
    }

    /// Messages whose replies were accepted and are not marked.
    pub(super) fn unmarked(&self) -> impl Iterator<Item = usize> {
        self.sent.iter().map(|(_, waiting)| number(&waiting.reply))
    }
}
