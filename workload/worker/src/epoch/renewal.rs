//! Announcing again (W2), so that retention never takes the last owner record: without one no reply counts for whoever reads
//! the journal from its beginning.

use chatbot_message::{Reply, Trace};
use chatbot_queue::Offset;
use chatbot_queue::journal::Entry;
use uuid::Uuid;

use super::Epoch;
use super::heads::Head;

/// An owner record under way. Replies wait behind it, since its position is the epoch that they are written under.
pub(super) struct Renewal {
    nonce: Uuid,
    behind: Vec<(Head, Reply)>,
}

impl Epoch {
    /// Writes another owner record behind the replies that are on their way.
    pub(super) fn announce(&mut self) {
        if self.renewal.is_some() {
            return;
        }
        let nonce = Uuid::new_v4();
        let lowest_unsettled = self.settled.lowest();
        let worker = self.shared.worker;
        let owner = Entry::Owner {
            nonce,
            worker,
            lowest_unsettled,
            deaths: self.reader.fold.deaths_of_next(lowest_unsettled, worker),
        };
        self.renewal = Some(Renewal {
            nonce,
            behind: Vec::new(),
        });
        // As in `write`.
        let _ended = self.writes.send((None, owner, Trace::of(nonce)));
    }

    /// An owner record was read: whether it is the one that is under way, which begins a new epoch of the same owner.
    pub(super) fn renewed(&mut self, nonce: Uuid, position: Offset) -> bool {
        let Some(renewal) = self.renewal.take_if(|renewal| renewal.nonce == nonce) else {
            return false;
        };
        (self.began, self.seq) = (position, 0);
        for (head, reply) in renewal.behind {
            self.write(head, reply);
        }
        true
    }

    /// Keeps a reply until the owner record under way is read; gives it back when there is none.
    pub(super) fn wait(&mut self, head: Head, reply: Reply) -> Option<(Head, Reply)> {
        match &mut self.renewal {
            Some(renewal) => {
                renewal.behind.push((head, reply));
                None
            }
            None => Some((head, reply)),
        }
    }
}
