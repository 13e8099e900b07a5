//! The partitioned logs that a message goes through, behind traits: in memory here, Kafka in a cluster.
//!
//! Two logs with equal partition counts: what is in `inbound[p]` is answered in `response[p]`. A log is append-only;
//! an offset, once given, never changes its meaning. Groups only suggest who should work and remember progress: the
//! truth is in the logs (see the message guarantee in `ARCHITECTURE.md`).

pub mod dead_letter;
pub mod identity;
pub mod journal;
pub mod kafka;
pub mod lease;
pub mod memory;

use std::collections::BTreeSet;

use async_trait::async_trait;
use chatbot_message::{Preview, Trace};
use thiserror::Error;
use tokio::sync::watch;

use lease::Lease;

/// Position of a record in one partition of one log.
pub type Offset = u64;

/// The logs: two that a message goes through, and what came of it otherwise.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Topic {
    /// Messages, as accepted.
    Inbound,
    /// The journal: owners, replies, deliveries.
    Response,
    /// What was given up, for a person to look at.
    DeadLetter,
    /// Where a channel that asks its platform for messages goes on. It has no records: the progress of one group per
    /// channel is what it keeps, so that who holds the channel and how far it has come are one thing.
    Cursor,
    /// Which accounts are one person: of each account the latest record, by its key.
    Identity,
}

impl Topic {
    /// Every one.
    pub const ALL: [Self; 5] = [
        Self::Inbound,
        Self::Response,
        Self::DeadLetter,
        Self::Cursor,
        Self::Identity,
    ];

    /// Whether records have keys, and only the latest of each key is sure to be kept.
    #[must_use]
    pub fn is_compacted(self) -> bool {
        self == Self::Identity
    }
}

/// A record as read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// Its position.
    pub offset: Offset,
    /// Milliseconds since the epoch when the log took it.
    pub appended_at: i64,
    /// Its content, JSON of the types of the room that wrote it.
    pub value: Vec<u8>,
    /// The trace that it belongs to, if it came with one.
    pub trace: Option<Trace>,
}

/// Progress of a group in one partition: the next offset to read, and a checkpoint that rides with it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Commit {
    /// The lowest unsettled offset.
    pub offset: Offset,
    /// At most 4,096 bytes; states a fact about the logs, so it stays true whoever commits it.
    pub metadata: String,
}

/// Why a log refused.
#[derive(Clone, Debug, Error)]
pub enum Error {
    /// It is certain that nothing was written.
    #[error("failed to write to the log: {reason}")]
    Refused {
        /// Why.
        reason: String,
    },
    /// It may have been written, now or later: the writer must drop its epoch.
    #[error("failed to learn whether the record was written: {reason}")]
    OutcomeUnknown {
        /// Why.
        reason: String,
    },
    /// Reading failed, for now.
    #[error("failed to read from the log: {reason}")]
    Unreadable {
        /// Why.
        reason: String,
    },
}

/// Partitioned, append-only logs with groups.
#[async_trait]
pub trait Log: Send + Sync {
    /// Identity of these logs: offsets of another identity mean nothing. A log in memory has a new one every start.
    fn identity(&self) -> &str;
    /// Partitions of each topic, at least 1.
    fn partitions(&self) -> u32;
    /// Appends one record; returns when it is durable (for this log's meaning of durable). Gives its offset if the log
    /// told it: after a retry a broker may not, so a writer that needs it finds its record again by reading.
    async fn append(
        &self,
        topic: Topic,
        partition: u32,
        value: Vec<u8>,
    ) -> Result<Option<Offset>, Error> {
        self.append_traced(topic, partition, value, None).await
    }
    /// As [`Log::append`], with the trace that the record belongs to, in its header.
    async fn append_traced(
        &self,
        topic: Topic,
        partition: u32,
        value: Vec<u8>,
        trace: Option<Trace>,
    ) -> Result<Option<Offset>, Error>;
    /// Appends to a compacted topic. Of several records with one key the last to be appended stays.
    async fn append_keyed(
        &self,
        topic: Topic,
        partition: u32,
        key: &str,
        value: Vec<u8>,
    ) -> Result<Option<Offset>, Error>;
    /// A reader that begins at `from`; where retention has removed that, at [`Log::start`].
    fn reader(&self, topic: Topic, partition: u32, from: Offset) -> Box<dyn Records>;
    /// The offset of the oldest record that retention has left.
    async fn start(&self, topic: Topic, partition: u32) -> Result<Offset, Error>;
    /// The offset that the next record will get.
    async fn end(&self, topic: Topic, partition: u32) -> Result<Offset, Error>;
    /// Joins `group`, whose members share the partitions of `topic`. Returns at once: the suggestion comes when the
    /// group has settled.
    async fn join(&self, group: &str, topic: Topic) -> Result<Box<dyn Member>, Error>;
    /// Committed progress of `group`, for whoever looks; the default when it never committed.
    async fn committed(&self, group: &str, topic: Topic, partition: u32) -> Result<Commit, Error>;
}

/// Reads one partition onwards. Dropping it frees what it holds.
#[async_trait]
pub trait Records: Send {
    /// The next records, in order, at least 1 and at most `limit`; waits for the first. Dropping the future loses
    /// nothing, and after an error it may be called again.
    async fn next(&mut self, limit: usize) -> Result<Vec<Record>, Error>;
}

/// What a group suggests a member to work on; absent as long as the group has not settled for the first time.
pub type Suggested = Option<BTreeSet<u32>>;

/// Membership of a group. It only suggests: who owns a partition is written in its journal.
///
/// A partition leaves the suggestion first, and is given to another member only when this one has called
/// [`Member::release`], or was silent for too long. Dropping a member leaves the group, too, but does not wait for it.
#[async_trait]
pub trait Member: Send + Sync {
    /// The partitions that this member should work on, as they change. One that it was given twice without having
    /// released it in between may be the same suggestion or a new one.
    fn suggested(&self) -> watch::Receiver<Suggested>;
    /// Says that this member has stopped working on a partition that is no longer suggested to it.
    fn release(&self, partition: u32);
    /// Commits progress; returns when the group has it. Refused for a member that the group has given up: what that one
    /// knows may be old, though a [`Commit`] stays true whoever commits it.
    async fn commit(&self, partition: u32, commit: Commit) -> Result<(), Error>;
    /// Commits as long as the group has not given this member up since `term` ([`Lease::term`]); refused afterwards, also
    /// when it is a member again: then another may have gone further, and an older progress must not replace a newer one.
    async fn commit_within(&self, term: u64, partition: u32, commit: Commit) -> Result<(), Error>;
    /// Committed progress of the group; the default when it never committed.
    async fn committed(&self, partition: u32) -> Result<Commit, Error>;
    /// For how long nobody else is given what is suggested to this member.
    fn lease(&self) -> Lease;
    /// Leaves the group, so that it need not notice. Everything suggested is released.
    async fn close(self: Box<Self>);
}

/// Answers under way, beside the journal: lossy, unordered across messages, never the truth.
#[async_trait]
pub trait Previews: Send + Sync {
    /// Offers a preview to whoever watches now.
    async fn publish(&self, preview: Preview);
    /// Previews from now on. A slow reader misses some.
    fn subscribe(&self) -> futures::stream::BoxStream<'static, Preview>;
}
