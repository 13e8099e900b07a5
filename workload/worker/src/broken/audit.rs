//! What must hold at any time: the journal as a reader sees it that is always up to date, and what the users see.

use std::collections::BTreeSet;

use chatbot_message::Reply;
use chatbot_queue::journal::{Checkpoint, Entry, Reader, Step};
use chatbot_queue::{Log, Offset, Topic};
use chatbot_queue_contract::model::{Counting, Kind, Users, Violation, account, number};
use chatbot_store::View;

use super::owner::generation;
use super::{Design, PARTITION};

pub(super) struct Audit {
    reader: Reader,
    counting: Counting,
    users: Users,
    /// Numbers of the messages in `inbound`, copies included.
    pub(super) inbound: Vec<usize>,
    /// Generations of the replies that count, by user.
    conversations: [Vec<String>; 2],
    answered: BTreeSet<usize>,
}

impl Audit {
    pub(super) fn new(design: Design, log: &dyn Log) -> Self {
        Self {
            reader: Reader::new(log, PARTITION, Checkpoint::default()),
            counting: Counting::new(design.rule),
            users: Users::new(design.keys),
            inbound: Vec::new(),
            conversations: Default::default(),
            answered: BTreeSet::new(),
        }
    }

    pub(super) fn accept(&mut self, number: usize) {
        self.inbound.push(number);
        self.users.accept(number);
    }

    /// Position of the latest owner record.
    pub(super) fn owner(&self) -> Option<Offset> {
        self.reader.checkpoint().fold.owner
    }

    pub(super) fn replies(&self) -> usize {
        self.conversations.iter().map(Vec::len).sum()
    }

    /// Reads on to the end. Users see each reply that counts at once.
    pub(super) async fn follow(&mut self, log: &dyn Log) -> Result<(), Violation> {
        let end = log.end(Topic::Response, PARTITION).await.unwrap();
        while self.reader.checkpoint().position < end {
            let step = self.reader.next().await.unwrap();
            if self.counting.counts(&step) {
                self.reply(&step)?;
            }
        }
        Ok(())
    }

    fn reply(&mut self, step: &Step) -> Result<(), Violation> {
        let Some(Entry::Reply { reply, .. }) = &step.entry else {
            return Ok(());
        };
        let number = number(reply);
        if let Some(violation) = self.users.see(number) {
            return Err(violation);
        }
        if !self.answered.insert(number) {
            let what = format!(
                "message {number} has two replies that count, the second at journal {}",
                step.position
            );
            return Err(Violation::new(Kind::CountedTwice, what));
        }
        self.converse(number, reply)
    }

    fn converse(&mut self, number: usize, reply: &Reply) -> Result<(), Violation> {
        let conversation = &mut self.conversations[number % 2];
        let (generation, context) = generation(&reply.answer);
        if context != conversation.join(" ") {
            let what = format!(
                "the reply to message {number} was generated from another conversation ({context}) than the recorded \
                 one ({})",
                conversation.join(" ")
            );
            return Err(Violation::new(Kind::OtherContext, what));
        }
        conversation.push(generation.to_owned());
        Ok(())
    }

    /// An offset is committed.
    pub(super) fn committed(&self, committed: Offset) -> Result<(), Violation> {
        let committed = usize::try_from(committed).unwrap();
        let below = self.inbound.iter().take(committed).enumerate();
        let mut lost = below.filter(|(_, number)| !self.answered.contains(number));
        let Some((offset, _)) = lost.next() else {
            return Ok(());
        };
        let what = format!("inbound offset {offset} is committed and has no reply");
        Err(Violation::new(Kind::Lost, what))
    }

    /// In the end every message is answered, and the sessions are those of the journal.
    pub(super) async fn end(&self, view: &dyn View) -> Result<(), Violation> {
        if let Some(violation) = self.users.unanswered() {
            return Err(violation);
        }
        for (user, recorded) in self.conversations.iter().enumerate() {
            let session = view.session(PARTITION, &account(user)).await.unwrap();
            let turns = session.turns.iter();
            let kept: Vec<_> = turns.map(|turn| generation(&turn.answer).0).collect();
            if kept != *recorded {
                let what = format!("the session {kept:?} differs from the journal's {recorded:?}");
                return Err(Violation::new(Kind::OtherSessions, what));
            }
        }
        Ok(())
    }
}
