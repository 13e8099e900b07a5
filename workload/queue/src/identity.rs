//! Which accounts are one person: the topic `identity`, the latest record of each account.
//!
//! It is a copy of what follows from replies that count, so that nobody has to read the whole journal. The owner of a
//! partition alone writes the records of its accounts, each after the reply that it follows from has been read back. So
//! every record is true of its version; one that comes late is older, and the newest version is the one that holds.

use std::collections::{BTreeSet, HashMap};

use chatbot_message::Account;
use serde::{Deserialize, Serialize};

use crate::{Error, Log, Offset, Topic};

/// What is known of one account.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Link {
    /// The account.
    pub account: Account,
    /// The offset in `inbound` of the message that it follows from; or the next version, where an earlier link of the account
    /// has that one already.
    pub version: Offset,
    /// Whom the account is one person with, and whose conversation goes on; none when it is a person of its own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub main: Option<Account>,
    /// The channels on which others were answered in this account's conversation.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub channels: BTreeSet<String>,
}

impl Link {
    /// Appends it; the partition is that of its account.
    pub async fn append(&self, log: &dyn Log, partition: u32) -> Result<Option<Offset>, Error> {
        let value = serde_json::to_vec(self).map_err(|error| Error::Refused {
            reason: format!("the link cannot be serialised: {error}"),
        })?;
        let Account { channel, user } = &self.account;
        // A channel's name has no colon, so no two accounts share a key.
        let key = format!("{channel}:{user}");
        log.append_keyed(Topic::Identity, partition, &key, value)
            .await
    }
}

/// The newest link of each account. Pure.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Links(HashMap<Account, Link>);

impl Links {
    /// Takes in a record; false when a newer one is known.
    pub fn take_in(&mut self, link: Link) -> bool {
        let known = self.0.get(&link.account);
        let holds = known.is_none_or(|known| known.version <= link.version);
        if holds {
            self.0.insert(link.account.clone(), link);
        }
        holds
    }

    /// What is known of an account.
    #[must_use]
    pub fn of(&self, account: &Account) -> Option<&Link> {
        self.0.get(account)
    }
}

/// The links of one partition, and those that hold although an older record lies behind them: these have to be appended
/// again before the older one takes their place.
pub async fn read(log: &dyn Log, partition: u32) -> Result<(Links, Vec<Link>), Error> {
    let start = log.start(Topic::Identity, partition).await?;
    let end = log.end(Topic::Identity, partition).await?;
    let mut reader = log.reader(Topic::Identity, partition, start);
    let mut links = Links::default();
    let mut hidden = BTreeSet::new();
    let mut next = start;
    while next < end {
        for record in reader.next(BATCH).await? {
            next = record.offset + 1;
            // What this release does not understand changes nothing.
            let Ok(link) = serde_json::from_slice::<Link>(&record.value) else {
                continue;
            };
            let account = link.account.clone();
            if links.take_in(link) {
                hidden.remove(&account);
            } else {
                hidden.insert(account);
            }
        }
    }
    let hidden = hidden.iter().filter_map(|account| links.of(account));
    let hidden = hidden.cloned().collect();
    Ok((links, hidden))
}

/// Records asked for at once.
const BATCH: usize = 512;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::memory::MemoryLog;

    fn link(user: &str, version: Offset, main: Option<&str>) -> Link {
        let account = |user: &str| Account {
            channel: "web".to_owned(),
            user: user.to_owned(),
        };
        Link {
            account: account(user),
            version,
            main: main.map(account),
            channels: BTreeSet::new(),
        }
    }

    #[tokio::test]
    async fn the_newest_version_holds_and_what_is_unknown_changes_nothing() {
        let log = MemoryLog::new(1);
        let first = link("a", 3, Some("m"));
        let second = link("a", 5, None);
        for record in [&first, &link("b", 1, Some("m")), &second] {
            record.append(&log, 0).await.unwrap();
        }
        let unknown = b"of another release".to_vec();
        let appending = log.append_keyed(Topic::Identity, 0, "web:c", unknown);
        appending.await.unwrap();
        let (mut links, hidden) = read(&log, 0).await.unwrap();
        assert_eq!(links.of(&first.account), Some(&second));
        assert_eq!(hidden, []);
        assert!(!links.take_in(first.clone()));
        assert_eq!(links.of(&first.account), Some(&second));
    }

    #[tokio::test]
    async fn a_topic_without_records_links_nobody() {
        let log = MemoryLog::new(1);
        assert_eq!(read(&log, 0).await.unwrap(), Default::default());
    }
}
