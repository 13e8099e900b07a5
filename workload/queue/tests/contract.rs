//! The logs in memory keep what every log promises.
#![allow(clippy::unwrap_used)] // A step of a test fails as the test does.

use std::collections::BTreeSet;
use std::sync::Arc;

use async_trait::async_trait;
use chatbot_queue::memory::MemoryLog;
use chatbot_queue::{Commit, Error, Log, Member, Offset, Topic};
use chatbot_queue_contract::{Bench, PARTITIONS, Victim, promises, suggested};
use uuid::Uuid;

struct Memory(Arc<MemoryLog>);

#[async_trait]
impl Bench for Memory {
    async fn log(&self) -> Arc<dyn Log> {
        self.0.clone()
    }

    async fn trim(&self, topic: Topic, partition: u32, start: Offset) {
        self.0.trim(topic, partition, start);
    }

    async fn victim(&self, group: &str, topic: Topic) -> Box<dyn Victim> {
        let member = self.0.join(group, topic).await.unwrap();
        Box::new(MemoryVictim {
            log: Arc::clone(&self.0),
            id: *self.0.members(group, topic).last().unwrap(),
            group: group.to_owned(),
            topic,
            member,
        })
    }
}

struct MemoryVictim {
    log: Arc<MemoryLog>,
    group: String,
    topic: Topic,
    id: Uuid,
    member: Box<dyn Member>,
}

#[async_trait]
impl Victim for MemoryVictim {
    async fn suggested(&mut self, count: usize) -> BTreeSet<u32> {
        suggested(&mut self.member.suggested(), count).await
    }

    async fn commit(&mut self, partition: u32, commit: Commit) -> Result<(), Error> {
        self.member.commit(partition, commit).await
    }

    async fn commit_within(
        &mut self,
        term: u64,
        partition: u32,
        commit: Commit,
    ) -> Result<(), Error> {
        self.member.commit_within(term, partition, commit).await
    }

    async fn term(&mut self) -> u64 {
        self.member.lease().term
    }

    async fn freeze(&mut self) {
        self.log.freeze(&self.group, self.topic, self.id);
        let late = self.member.commit(0, Commit::default()).await;
        assert!(matches!(late, Err(Error::Refused { .. })), "{late:?}");
    }

    async fn thaw(&mut self) {
        self.log.thaw(&self.group, self.topic, self.id);
    }
}

#[tokio::test]
async fn the_logs_in_memory_keep_every_promise() {
    for (promise, keeps) in promises() {
        println!("{promise}");
        keeps(&Memory(Arc::new(MemoryLog::new(PARTITIONS)))).await;
    }
}

#[tokio::test]
async fn a_rebalance_moves_every_partition_to_another_member() {
    let log = MemoryLog::new(PARTITIONS);
    let one = log.join("group", Topic::Inbound).await.unwrap();
    let other = log.join("group", Topic::Inbound).await.unwrap();
    let (mut of_one, mut of_other) = (one.suggested(), other.suggested());
    for partition in 0..PARTITIONS {
        one.release(partition);
    }
    let before = suggested(&mut of_one, 2).await;
    suggested(&mut of_other, 2).await;
    log.rebalance("group", Topic::Inbound);
    suggested(&mut of_one, 0).await;
    for partition in 0..PARTITIONS {
        one.release(partition);
        other.release(partition);
    }
    assert_eq!(suggested(&mut of_other, 2).await, before);
}
