//! Replies to a linked account: its own partition says in which other one each stands, and from where on.

use std::collections::{BTreeMap, VecDeque};

use chatbot_message::{Account, Reply};
use chatbot_queue::journal::{self, Checkpoint, Entry, Reader};
use chatbot_queue::{Error, Log, Offset};
use uuid::Uuid;

use crate::resume::Found;

/// What is awaited from other partitions, and what was found there.
#[derive(Default)]
pub(crate) struct Elsewhere {
    /// By position of the note in the account's own partition.
    awaited: BTreeMap<Offset, (Uuid, Checkpoint)>,
    /// Where to read, and from where on.
    from: BTreeMap<u32, Offset>,
    found: VecDeque<Found>,
}

impl Elsewhere {
    /// The account's own partition says that a message is answered elsewhere.
    pub(crate) fn await_reply(&mut self, at: Checkpoint, note: &Reply, partitions: u32) {
        let Some((to, after)) = note.effect.as_ref().and_then(|effect| effect.way()) else {
            return;
        };
        let partition = to.partition(partitions);
        // What is in the account's own partition is found without this.
        if partition != note.account.partition(partitions) {
            self.awaited.insert(at.position, (note.message_id, at));
            self.look_in(partition, after);
        }
    }

    /// The reply to a message has been found.
    pub(crate) fn no_longer_await(&mut self, message: Uuid) {
        self.awaited.retain(|_, (awaited, _)| *awaited != message);
    }

    fn look_in(&mut self, partition: u32, after: Offset) {
        let from = self.from.entry(partition).or_insert(after);
        *from = after.min(*from);
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.awaited.is_empty()
    }

    /// The checkpoint of the first note whose reply was not found.
    pub(crate) fn first_awaited(&self) -> Option<Checkpoint> {
        let first = self.awaited.first_key_value();
        first.map(|(_, (_, checkpoint))| *checkpoint)
    }

    /// The next reply that was found.
    pub(crate) async fn next(
        &mut self,
        log: &dyn Log,
        account: &Account,
    ) -> Result<Option<Found>, Error> {
        while self.found.is_empty() {
            let Some((partition, from)) = self.from.pop_first() else {
                return Ok(None);
            };
            self.look(log, partition, from, account).await?;
        }
        Ok(self.found.pop_front())
    }

    /// Looks in one partition. Where neither an owner's record nor a mark tells whether a reply counts, it is read again from
    /// the record of the reply's owner on.
    async fn look(
        &mut self,
        log: &dyn Log,
        partition: u32,
        from: Offset,
        account: &Account,
    ) -> Result<(), Error> {
        if let Some(epoch) = self.pass(log, partition, from, account).await? {
            self.pass(log, partition, epoch, account).await?;
        }
        Ok(())
    }

    /// Reads one partition to its end. Nothing is known of what counts before the first owner that is met: there the marks
    /// tell it. Gives the first owner of a reply of which nothing told it. A message that goes on from here leads further.
    async fn pass(
        &mut self,
        log: &dyn Log,
        partition: u32,
        from: Offset,
        account: &Account,
    ) -> Result<Option<Offset>, Error> {
        let end = journal::readable_end(log, partition).await?;
        let from = Checkpoint {
            position: from,
            ..Checkpoint::default()
        };
        let mut reader = Reader::new(log, partition, from);
        let mut doubtful = BTreeMap::new();
        while reader.checkpoint().position < end {
            let step = reader.next().await?;
            match step.entry {
                Some(Entry::Reply { epoch, reply, .. }) if self.awaits(&reply, account) => {
                    if let Some((to, after)) = reply.effect.as_ref().and_then(|effect| effect.way())
                    {
                        let further = to.partition(log.partitions());
                        if further != partition && further != account.partition(log.partitions()) {
                            self.look_in(further, after);
                        }
                    } else if step.counts {
                        self.answered(step.position, reply);
                    } else {
                        doubtful.insert(step.position, (epoch, reply));
                    }
                }
                Some(Entry::Delivered { position, .. }) => {
                    if let Some((_, reply)) = doubtful.remove(&position) {
                        self.answered(position, reply);
                    }
                }
                _ => {}
            }
        }
        Ok(doubtful.values().map(|(epoch, _)| *epoch).min())
    }

    fn awaits(&self, reply: &Reply, account: &Account) -> bool {
        let mut awaited = self.awaited.values();
        reply.account == *account && awaited.any(|(message, _)| *message == reply.message_id)
    }

    fn answered(&mut self, position: Offset, reply: Reply) {
        self.no_longer_await(reply.message_id);
        self.found.push_back(Found {
            position,
            reply,
            after: None,
        });
    }
}

#[cfg(test)]
mod tests {
    use chatbot_message::{Effect, Outcome};
    use chatbot_queue::memory::MemoryLog;

    use super::*;

    fn account(channel: &str) -> Account {
        let accounts = (0..).map(|number| Account {
            channel: channel.to_owned(),
            user: number.to_string(),
        });
        let partition = u32::from(channel == "main");
        let mut there = accounts.filter(|account| account.partition(2) == partition);
        there.next().unwrap()
    }

    fn reply(outcome: Outcome, effect: Option<Effect>) -> Reply {
        Reply {
            message_id: Uuid::nil(),
            account: account("page"),
            origin: String::new(),
            question: String::new(),
            answer: "elsewhere".to_owned(),
            outcome,
            synthetic: false,
            way: Vec::new(),
            kept_by_client: false,
            effect: effect.map(Box::new),
        }
    }

    async fn append(log: &MemoryLog, entry: Entry) -> Offset {
        journal::append(log, 1, &entry).await.unwrap().unwrap()
    }

    async fn own(log: &MemoryLog) -> Offset {
        let owner = Entry::Owner {
            nonce: Uuid::nil(),
            worker: Uuid::nil(),
            lowest_unsettled: 0,
            deaths: 0,
        };
        append(log, owner).await
    }

    /// What is found of a reply that no gateway has marked, looked for from the position before it.
    async fn found(log: &MemoryLog, epoch: Offset) -> Option<String> {
        let note = Effect::Forward {
            to: account("main"),
            after: log.end(chatbot_queue::Topic::Response, 1).await.unwrap(),
        };
        let answer = Entry::Reply {
            epoch,
            seq: 0,
            inbound: 0,
            reply: reply(Outcome::Answered, None),
        };
        append(log, answer).await;
        let mut elsewhere = Elsewhere::default();
        let note = reply(Outcome::Forwarded, Some(note));
        elsewhere.await_reply(Checkpoint::default(), &note, 2);
        let found = elsewhere.next(log, &account("page")).await.unwrap();
        assert_eq!(found.is_some(), elsewhere.is_empty());
        found.map(|found| found.reply.answer)
    }

    #[tokio::test]
    async fn a_reply_that_nobody_has_marked_counts_by_its_owner_s_record() {
        let log = MemoryLog::new(2);
        let epoch = own(&log).await;
        assert_eq!(found(&log, epoch).await.as_deref(), Some("elsewhere"));
    }

    #[tokio::test]
    async fn a_reply_of_an_owner_before_the_last_is_none() {
        let log = MemoryLog::new(2);
        let epoch = own(&log).await;
        own(&log).await;
        assert_eq!(found(&log, epoch).await, None);
    }
}
