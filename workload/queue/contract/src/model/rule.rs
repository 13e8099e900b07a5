//! Which replies count: as designed, and by the rules that were rejected.

use std::collections::BTreeMap;

use chatbot_message::Account;
use chatbot_queue::journal::{Checkpoint, Entry, Reader, Step};
use chatbot_queue::{Log, Offset};

/// Which replies count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rule {
    /// As designed: [`chatbot_queue::journal::Fold`].
    Fence,
    /// Written under the latest owner record, be it a copy.
    NoSequence,
    /// To a message above the user's latest one that has a reply. There is no fence.
    HighWater,
    /// All, since the broker refuses what somebody writes who is not the latest owner.
    Transactions,
    /// All.
    Everything,
}

impl Rule {
    /// Whether a later owner record ends an epoch.
    #[must_use]
    pub fn fences(self) -> bool {
        !matches!(self, Self::HighWater | Self::Everything)
    }
}

/// What a reader knows besides the journal's own fold.
#[derive(Clone)]
pub struct Counting {
    rule: Rule,
    /// Of each user the next offset that can count.
    marks: BTreeMap<Account, Offset>,
}

impl Counting {
    /// That nothing has counted yet.
    #[must_use]
    pub fn new(rule: Rule) -> Self {
        let marks = BTreeMap::new();
        Self { rule, marks }
    }

    /// All that has counted before `position`.
    pub async fn up_to(rule: Rule, log: &dyn Log, partition: u32, position: Offset) -> Self {
        let mut counting = Self::new(rule);
        let mut reader = Reader::new(log, partition, Checkpoint::default());
        while rule == Rule::HighWater && reader.checkpoint().position < position {
            let step = reader.next().await.unwrap();
            counting.counts(&step);
        }
        counting
    }

    /// Takes in the next record, and says whether it is a reply that counts.
    pub fn counts(&mut self, step: &Step) -> bool {
        let Some(Entry::Reply {
            epoch,
            inbound,
            reply,
            ..
        }) = &step.entry
        else {
            return false;
        };
        match self.rule {
            Rule::Fence => step.counts,
            Rule::NoSequence => step.before.owner == Some(*epoch),
            Rule::Transactions | Rule::Everything => true,
            Rule::HighWater => {
                let mark = self.marks.entry(reply.account.clone()).or_default();
                let counts = *inbound >= *mark;
                *mark = (*mark).max(inbound + 1);
                counts
            }
        }
    }
}
