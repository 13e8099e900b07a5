//! Names of keys.

use chatbot_message::Account;

/// Keys with a prefix; all of a partition in one slot of a Cluster.
#[derive(Clone, Debug)]
pub(crate) struct Keys(String);

impl Keys {
    pub(crate) fn new(prefix: &str) -> Self {
        Self(prefix.to_owned())
    }

    fn of(&self, partition: u32, rest: &str) -> String {
        format!("{{{}{partition}}}:{rest}", self.0)
    }

    /// Position and fold of a partition's view.
    pub(crate) fn at(&self, partition: u32) -> String {
        self.of(partition, "at")
    }

    /// A session. A channel's name has no colon, so no two accounts share a key.
    pub(crate) fn session(&self, partition: u32, account: &Account) -> String {
        let Account { channel, user } = account;
        self.of(partition, &format!("s:{channel}:{user}"))
    }

    /// The routes of a user.
    pub(crate) fn routes(&self, partition: u32, account: &Account) -> String {
        let Account { channel, user } = account;
        self.of(partition, &format!("r:{channel}:{user}"))
    }

    /// What an account has tried.
    pub(crate) fn attempts(&self, partition: u32, account: &Account) -> String {
        let Account { channel, user } = account;
        self.of(partition, &format!("t:{channel}:{user}"))
    }

    /// A code.
    pub(crate) fn code(&self, code: &str) -> String {
        format!("{}c:{code}", self.0)
    }

    /// An answer that is kept.
    pub(crate) fn answer(&self, key: &str) -> String {
        format!("{}a:{key}", self.0)
    }

    /// What a look writes and reads by itself.
    pub(crate) fn look(&self, whose: &str) -> String {
        format!("{}look:{whose}", self.0)
    }

    /// What a look's script writes and reads, in one slot, which is no partition's.
    pub(crate) fn look_in_script(&self, kind: &str, whose: &str) -> String {
        format!("{{{}look}}:{kind}:{whose}", self.0)
    }

    /// What a user with an ACL must be allowed to touch, as an ACL rule.
    pub(crate) fn rights(prefix: &str) -> String {
        format!("~{prefix}* ~{{{prefix}* &{prefix}previews")
    }

    /// The channel of previews.
    pub(crate) fn previews(&self) -> String {
        format!("{}previews", self.0)
    }
}
