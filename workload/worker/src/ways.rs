//! Which way a message goes: answered here, or sent on to whom its account is linked to. Pure.

use std::collections::{BTreeSet, HashMap, HashSet};

use chatbot_message::{Account, Effect, Message};
use chatbot_queue::Offset;
use chatbot_queue::identity::{Link, Links};
use uuid::Uuid;

use crate::command::{Command, command};

/// Steps after which a user who goes on writing while asking to be apart is asked to stop for a moment.
pub(crate) const STEPS: usize = 16;

/// Where a message goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Next {
    /// It is answered here.
    Here,
    /// It is sent on to this account's partition.
    On(Account),
    /// It has come back, nothing of its account's is under way elsewhere, and its account is a person of its own again.
    Apart,
}

/// The links of a partition's accounts, and who is about to be apart.
pub(crate) struct Ways {
    links: Links,
    /// Messages that ask for it and were sent on, by whom they were sent on for, as long as nothing was sent on after
    /// them.
    leaving: HashMap<Account, HashSet<Uuid>>,
}

impl Ways {
    pub(crate) fn new(links: Links) -> Self {
        Self {
            links,
            leaving: HashMap::new(),
        }
    }

    /// Where the head of a lane goes. A message that asks to be apart is sent on like any other, so that what its
    /// account was sent before is answered first; it comes back, and goes round again if something followed it.
    pub(crate) fn next(&mut self, message: &Message) -> Next {
        let person = message.person();
        let main = self.links.of(person).and_then(|link| link.main.clone());
        let Some(main) = main.filter(|_| !message.synthetic) else {
            return Next::Here;
        };
        let leaves = *person == message.account
            && message.way.to.len() <= STEPS
            && command(message) == Some(Command::Unlink);
        if leaves && !message.way.is_empty() {
            if self.is_leaving(message) {
                self.leaving.remove(person);
                return Next::Apart;
            }
        } else if closes_circle(message, &main) {
            return Next::Here;
        }
        if leaves {
            let messages = self.leaving.entry(person.clone()).or_default();
            messages.insert(message.id);
        } else {
            self.leaving.remove(person);
        }
        Next::On(main)
    }

    /// Whether a message asks to be apart, and nothing was sent on after it.
    pub(crate) fn is_leaving(&self, message: &Message) -> bool {
        let of_person = self.leaving.get(message.person());
        of_person.is_some_and(|messages| messages.contains(&message.id))
    }

    /// The channels on which replies to an account's person may be under way.
    pub(crate) fn channels(&self, message: &Message) -> BTreeSet<String> {
        let link = self.links.of(message.person());
        let others = link.into_iter().flat_map(|link| &link.channels);
        let own = [&message.account.channel];
        others.chain(own).cloned().collect()
    }

    /// Whether somebody else is answered in a person's conversation for the first time on a channel.
    pub(crate) fn joins(&self, person: &Account, account: &Account) -> bool {
        let known = self.links.of(person);
        let known = known.is_some_and(|link| link.channels.contains(&account.channel));
        person != account && !known
    }

    /// The link that follows from an effect, if one does.
    pub(crate) fn link(&self, message: &Message, offset: Offset, effect: &Effect) -> Option<Link> {
        let of = match effect {
            Effect::Forward { .. } => return None,
            Effect::Link { .. } | Effect::Unlink => &message.account,
            Effect::Join => message.person(),
        };
        let known = self.links.of(of).cloned();
        let mut link = known.unwrap_or_else(|| Link {
            account: of.clone(),
            version: 0,
            main: None,
            channels: BTreeSet::new(),
        });
        // A message that has come back stands behind those that waited for it.
        link.version = offset.max(link.version + 1);
        match effect {
            Effect::Link { to, .. } => link.main = Some(to.clone()),
            Effect::Unlink => link.main = None,
            _ => {
                link.channels.insert(message.account.channel.clone());
            }
        }
        Some(link)
    }

    pub(crate) fn take_in(&mut self, link: Link) {
        self.links.take_in(link);
    }
}

/// Two who link to each other at the same time make a circle. A message that has gone round it is answered by the least
/// of those in it, so that they have one conversation all the same.
fn closes_circle(message: &Message, main: &Account) -> bool {
    let way: Vec<&Account> = [&message.account]
        .into_iter()
        .chain(&message.way.to)
        .collect();
    let Some(from) = way.iter().rposition(|step| *step == main) else {
        return false;
    };
    way[from..].iter().min() == way.last()
}

#[cfg(test)]
mod tests {
    use super::*;
    use chatbot_message::{Details, Way, message_id};

    fn account(user: &str) -> Account {
        Account {
            channel: "web".to_owned(),
            user: user.to_owned(),
        }
    }

    fn message(user: &str, text: &str) -> Message {
        Message {
            id: message_id("web", text),
            account: account(user),
            origin: String::new(),
            text: text.to_owned(),
            sent_at: None,
            synthetic: false,
            details: Details::default(),
            way: Way::default(),
        }
    }

    fn ways(links: &[(&str, &str)]) -> Ways {
        let mut ways = Ways::new(Links::default());
        for (user, main) in links {
            ways.take_in(Link {
                account: account(user),
                version: 1,
                main: Some(account(main)),
                channels: BTreeSet::new(),
            });
        }
        ways
    }

    /// Sends a message on until it is answered, and says by whom, after how many steps.
    fn answered(ways: &mut Ways, mut message: Message) -> (String, usize) {
        while let Next::On(to) = ways.next(&message) {
            message = message.sent_on(&to, false);
            assert!(message.way.to.len() < 10, "{message:?} goes on for ever");
        }
        (message.person().user.clone(), message.way.to.len())
    }

    #[test]
    fn a_message_goes_on_to_the_end_of_a_chain() {
        let mut ways = ways(&[("a", "b"), ("b", "c")]);
        assert_eq!(answered(&mut ways, message("a", "1")), ("c".to_owned(), 2));
        assert_eq!(answered(&mut ways, message("c", "1")), ("c".to_owned(), 0));
    }

    #[test]
    fn whoever_is_in_a_circle_or_before_it_is_answered_by_the_same() {
        let mut ways = ways(&[("x", "b"), ("b", "c"), ("c", "a"), ("a", "b")]);
        for user in ["x", "a", "b", "c"] {
            assert_eq!(answered(&mut ways, message(user, "1")).0, "a", "{user}");
        }
    }

    #[test]
    fn whoever_wants_to_be_apart_waits_until_nothing_of_theirs_is_elsewhere() {
        let mut ways = ways(&[("a", "m")]);
        let leave = message("a", "/unlink");
        let on = Next::On(account("m"));
        assert_eq!(ways.next(&leave), on);
        assert_eq!(ways.next(&message("a", "one more")), on);
        let back = leave
            .sent_on(&account("m"), false)
            .sent_on(&account("a"), false);
        assert_eq!(ways.next(&back), on, "something was sent on behind it");
        assert_eq!(ways.next(&back), Next::Apart);
    }

    #[test]
    fn an_owner_that_does_not_know_what_was_sent_on_sends_it_round_again() {
        let leave = message("a", "/unlink");
        let back = leave
            .sent_on(&account("m"), false)
            .sent_on(&account("a"), false);
        let mut ways = ways(&[("a", "m")]);
        assert_eq!(ways.next(&back), Next::On(account("m")));
    }
}
