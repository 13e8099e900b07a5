//! What every log promises, as tests that each implementation runs: the one in memory, and the one on a real broker. And
//! what the protocol on top of it promises: [`model`].
#![allow(clippy::missing_panics_doc, clippy::unwrap_used)] // Everything here is part of a test.

mod groups;
pub mod model;
mod records;

use std::collections::BTreeSet;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use chatbot_queue::{Commit, Error, Log, Member, Offset, Suggested, Topic};
use futures::future::BoxFuture;
use tokio::sync::watch;

/// Every wait is for a condition, and at most this long.
pub const GENEROUS: Duration = Duration::from_mins(1);
/// Partitions that the logs under test have.
pub const PARTITIONS: u32 = 4;

/// Empty logs, and what can happen to them.
#[async_trait]
pub trait Bench: Send + Sync {
    /// A client of the logs, as another process has it.
    async fn log(&self) -> Arc<dyn Log>;
    /// Removes the records before `start`, as retention does.
    async fn trim(&self, topic: Topic, partition: u32, start: Offset);
    /// A member that can be stopped where it stands.
    async fn victim(&self, group: &str, topic: Topic) -> Box<dyn Victim>;
}

/// A member of a group whose process can be stopped where it stands.
#[async_trait]
pub trait Victim: Send {
    /// Waits until so many partitions are suggested to it, and gives them.
    async fn suggested(&mut self, count: usize) -> BTreeSet<u32>;
    /// Commits as any member does.
    async fn commit(&mut self, partition: u32, commit: Commit) -> Result<(), Error>;
    /// Commits as long as the group has not given it up since `term`.
    async fn commit_within(
        &mut self,
        term: u64,
        partition: u32,
        commit: Commit,
    ) -> Result<(), Error>;
    /// How often the group has given it up, as far as it knows.
    async fn term(&mut self) -> u64;
    /// Stops it. Returns at once.
    async fn freeze(&mut self);
    /// Lets it go on.
    async fn thaw(&mut self);
}

/// A promise, in a sentence, and the test of it on logs of its own.
pub type Promise = (&'static str, for<'a> fn(&'a dyn Bench) -> BoxFuture<'a, ()>);

/// Every promise.
#[must_use]
pub fn promises() -> Vec<Promise> {
    [records::promises(), groups::promises()].concat()
}

/// Waits, and fails with what was waited for.
pub async fn within<T>(what: &str, future: impl Future<Output = T>) -> T {
    let waited = tokio::time::timeout(GENEROUS, future).await;
    waited.unwrap_or_else(|_| unreachable!("never: {what}"))
}

/// Waits until so many partitions are suggested, and gives them.
pub async fn suggested(watched: &mut watch::Receiver<Suggested>, count: usize) -> BTreeSet<u32> {
    let many = |suggested: &Suggested| suggested.as_ref().is_some_and(|all| all.len() == count);
    let waiting = watched.wait_for(many);
    let suggested = within(&format!("{count} partitions suggested"), waiting).await;
    suggested.unwrap().clone().unwrap()
}

/// Agrees to whatever is taken from a member, as one does that works on nothing.
pub async fn release_at_once(member: &dyn Member) {
    let mut watched = member.suggested();
    loop {
        let now = watched.borrow_and_update().clone().unwrap_or_default();
        for partition in (0..PARTITIONS).filter(|partition| !now.contains(partition)) {
            member.release(partition);
        }
        if watched.changed().await.is_err() {
            return;
        }
    }
}
