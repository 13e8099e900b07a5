//! What this owner answered since it took over, for as long as the view may not have it. Pure.

use std::collections::HashMap;

use chatbot_message::Account;
use chatbot_queue::Offset;
use chatbot_store::Turn;
use uuid::Uuid;

/// A turn whose reply has not been read back yet has no position.
const NOWHERE: Offset = Offset::MAX;
/// Accounts remembered while the view does not move; above it history is lost, never a reply.
const ACCOUNTS: usize = 20_000;

/// Own turns by account, oldest first.
pub(crate) struct Own {
    turns: HashMap<Account, Vec<Turn>>,
    keep: usize,
    /// Turns below have been forgotten here, so whoever reads the view needs it to have come this far.
    need: Offset,
    read_back: Offset,
}

impl Own {
    /// Keeps at most `keep` turns of an account.
    pub(crate) fn new(epoch: Offset, keep: usize) -> Self {
        Self {
            turns: HashMap::new(),
            keep,
            need: epoch + 1,
            read_back: epoch + 1,
        }
    }

    /// Before the reply is written, so that reading it back always finds the turn.
    pub(crate) fn add(&mut self, account: &Account, turn: Turn) {
        if self.turns.len() >= ACCOUNTS {
            self.turns.clear();
            self.need = self.read_back;
        }
        let turns = self.turns.entry(account.clone()).or_default();
        turns.push(Turn {
            position: NOWHERE,
            ..turn
        });
        let excess = turns.len().saturating_sub(self.keep);
        turns.drain(..excess);
    }

    /// The reply that counts stands at `position`.
    pub(crate) fn read_back(&mut self, account: &Account, message_id: Uuid, position: Offset) {
        self.read_back = position + 1;
        let turns = self.turns.get_mut(account).into_iter().flatten();
        for turn in turns.filter(|turn| turn.message_id == message_id) {
            turn.position = position;
        }
    }

    /// The view is at `at`: what it has need not be kept.
    pub(crate) fn view_is_at(&mut self, at: Offset) {
        self.turns.retain(|_, turns| {
            turns.retain(|turn| turn.position >= at);
            !turns.is_empty()
        });
        self.need = self.need.max(at);
    }

    pub(crate) fn of(&self, account: &Account) -> Vec<Turn> {
        self.turns.get(account).cloned().unwrap_or_default()
    }

    /// Where the view must be to know everything that is not here.
    pub(crate) fn need(&self) -> Offset {
        self.need
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn account() -> Account {
        Account {
            channel: "web".to_owned(),
            user: "u".to_owned(),
        }
    }

    fn turn(number: u128) -> Turn {
        Turn {
            position: 0,
            at: 0,
            message_id: Uuid::from_u128(number),
            question: String::new(),
            answer: String::new(),
            fallback: false,
        }
    }

    fn ids(own: &Own) -> Vec<u128> {
        let turns = own.of(&account());
        turns.iter().map(|turn| turn.message_id.as_u128()).collect()
    }

    #[test]
    fn a_turn_is_kept_until_the_view_has_passed_it() {
        let mut own = Own::new(4, 10);
        assert_eq!(own.need(), 5);
        own.add(&account(), turn(1));
        own.add(&account(), turn(2));
        own.view_is_at(7);
        assert_eq!(ids(&own), [1, 2], "not read back yet");
        own.read_back(&account(), Uuid::from_u128(1), 7);
        own.view_is_at(7);
        assert_eq!(ids(&own), [1, 2], "the view has not read position 7");
        own.view_is_at(8);
        assert_eq!(ids(&own), [2]);
        assert_eq!(own.need(), 8, "a flushed view must come this far again");
        own.view_is_at(0);
        assert_eq!(own.need(), 8);
    }

    #[test]
    fn it_stays_small_while_the_view_is_away() {
        let mut own = Own::new(0, 3);
        for number in 0..10 {
            own.add(&account(), turn(number));
        }
        assert_eq!(ids(&own), [7, 8, 9]);
    }
}
