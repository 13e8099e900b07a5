//! A member of a group in memory.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use tokio::sync::watch;
use uuid::Uuid;

use super::Inner;
use crate::lease::{Lease, Moment};
use crate::{Commit, Error, Member, Suggested, Topic};

/// How long a member is believed in after its last commit.
const SESSION: Duration = Duration::from_secs(6);

pub(super) struct MemoryMember {
    log: Arc<Inner>,
    group: String,
    topic: Topic,
    id: Uuid,
    suggested: watch::Receiver<Suggested>,
    until: Mutex<Moment>,
}

impl MemoryMember {
    pub(super) fn join(log: &Arc<Inner>, group: &str, topic: Topic) -> Self {
        let id = Uuid::new_v4();
        Self {
            suggested: log.group(group, topic, |group| group.join(id)),
            log: Arc::clone(log),
            group: group.to_owned(),
            topic,
            id,
            until: Mutex::default(),
        }
    }
}

#[async_trait]
impl Member for MemoryMember {
    fn suggested(&self) -> watch::Receiver<Suggested> {
        self.suggested.clone()
    }

    fn release(&self, partition: u32) {
        let (id, group) = (self.id, &self.group);
        self.log
            .group(group, self.topic, |group| group.release(id, partition));
    }

    async fn commit(&self, partition: u32, commit: Commit) -> Result<(), Error> {
        let begun = Moment::now();
        let id = self.id;
        if !self
            .log
            .group(&self.group, self.topic, |group| group.knows(id))
        {
            return Err(Error::Refused {
                reason: format!("the group {} has given this member up", self.group),
            });
        }
        self.log.take(&self.group, self.topic, partition, commit)?;
        *self.until.lock().unwrap_or_else(PoisonError::into_inner) = begun.after(SESSION);
        Ok(())
    }

    async fn commit_within(&self, term: u64, partition: u32, commit: Commit) -> Result<(), Error> {
        let id = self.id;
        let holds = self.log.group(&self.group, self.topic, |group| {
            group.term(id) == term && group.holds(id, partition)
        });
        if !holds {
            return Err(Error::Refused {
                reason: format!(
                    "the group {} has given this member up in between",
                    self.group
                ),
            });
        }
        self.commit(partition, commit).await
    }

    async fn committed(&self, partition: u32) -> Result<Commit, Error> {
        self.log.committed(&self.group, self.topic, partition)
    }

    fn lease(&self) -> Lease {
        let id = self.id;
        Lease {
            until: *self.until.lock().unwrap_or_else(PoisonError::into_inner),
            term: self
                .log
                .group(&self.group, self.topic, |group| group.term(id)),
        }
    }

    async fn close(self: Box<Self>) {}
}

impl Drop for MemoryMember {
    fn drop(&mut self) {
        let id = self.id;
        self.log
            .group(&self.group, self.topic, |group| group.leave(id));
    }
}
