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
        self.awaited.insert(at.position, (note.message_id, at));
        let from = self.from.entry(to.partition(partitions)).or_insert(after);
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

    /// Reads one partition to its end. Nothing is known of what counts before the first owner that is met: there the marks
    /// tell it. A message that goes on from here leads further.
    async fn look(
        &mut self,
        log: &dyn Log,
        partition: u32,
        from: Offset,
        account: &Account,
    ) -> Result<(), Error> {
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
                Some(Entry::Reply { reply, .. }) if reply.account == *account => {
                    if let Some((to, after)) = reply.effect.as_ref().and_then(|effect| effect.way())
                    {
                        let further = to.partition(log.partitions());
                        if further != partition {
                            self.from.entry(further).or_insert(after);
                        }
                    } else if step.counts {
                        self.answered(step.position, reply);
                    } else {
                        doubtful.insert(step.position, reply);
                    }
                }
                Some(Entry::Delivered { position, .. }) => {
                    if let Some(reply) = doubtful.remove(&position) {
                        self.answered(position, reply);
                    }
                }
                _ => {}
            }
        }
        Ok(())
    }

    fn answered(&mut self, position: Offset, reply: Reply) {
        let before = self.awaited.len();
        self.awaited
            .retain(|_, (message, _)| *message != reply.message_id);
        if self.awaited.len() < before {
            self.found.push_back(Found {
                position,
                reply,
                after: None,
            });
        }
    }
}
