//! Reads both logs to their ends.

use std::collections::{HashMap, HashSet};

use anyhow::{Context, Result, ensure};
use chatbot_message::{Message, Outcome};
use chatbot_queue::journal::{self, Checkpoint, Delivery, Entry, Reader};
use chatbot_queue::kafka::{KafkaLog, Options};
use chatbot_queue::{Log, Topic};

use super::judge::Logs;
use crate::platform::Question;
use crate::service::{PARTITIONS, PREFIX};

/// Records read at once.
const BATCH: usize = 512;

/// The logs of the service, read from outside.
pub struct Outside(KafkaLog);

impl Outside {
    /// Connects to a broker.
    pub async fn connect(broker: &str) -> Result<Self> {
        let options = Options {
            bootstrap_servers: vec![broker.to_owned()],
            topic_prefix: PREFIX.to_owned(),
            partitions: PARTITIONS,
            replication_factor: 1,
            ..Options::default()
        };
        let log = KafkaLog::connect(options).await;
        Ok(Self(log.context("failed to look into the logs")?))
    }

    /// Records of `inbound` that the workers have not settled yet.
    pub async fn unsettled(&self) -> Result<u64> {
        let mut unsettled = 0;
        for partition in 0..PARTITIONS {
            let end = self.0.end(Topic::Inbound, partition).await?;
            let group = self.0.committed("worker", Topic::Inbound, partition);
            unsettled += end.saturating_sub(group.await?.offset);
        }
        Ok(unsettled)
    }

    /// Everything.
    pub async fn read(&self, questions: &[Question]) -> Result<Logs> {
        let users = questions.iter().map(|question| question.user).max();
        let mut logs = Logs {
            order: vec![Vec::new(); users.map_or(0, |most| most as usize + 1)],
            ..Logs::default()
        };
        for partition in 0..PARTITIONS {
            let numbers = self.read_inbound(partition, questions, &mut logs).await?;
            self.read_response(partition, &numbers, &mut logs).await?;
        }
        Ok(logs)
    }

    /// The number of the message at each offset.
    async fn read_inbound(
        &self,
        partition: u32,
        questions: &[Question],
        logs: &mut Logs,
    ) -> Result<HashMap<u64, u32>> {
        let end = self.0.end(Topic::Inbound, partition).await?;
        let mut records = self.0.reader(Topic::Inbound, partition, 0);
        let mut numbers = HashMap::new();
        let mut ids = HashSet::new();
        let mut next = 0;
        while next < end {
            for record in records.next(BATCH).await? {
                next = record.offset + 1;
                let message: Message = serde_json::from_slice(&record.value)
                    .context("inbound holds a record that is no message")?;
                if message.synthetic {
                    continue;
                }
                let number = message.text.rsplit(' ').next();
                let number: u32 = number
                    .and_then(|number| number.parse().ok())
                    .context("inbound holds a message that was never sent")?;
                let question = questions
                    .get(number as usize)
                    .context("inbound holds a message that was never sent")?;
                logs.inbound += 1;
                numbers.insert(record.offset, number);
                if ids.insert(message.id) {
                    logs.order[question.user as usize].push(number);
                }
            }
        }
        ensure!(
            ids.len() == numbers.values().collect::<HashSet<_>>().len(),
            "two messages have one id"
        );
        Ok(numbers)
    }

    async fn read_response(
        &self,
        partition: u32,
        numbers: &HashMap<u64, u32>,
        logs: &mut Logs,
    ) -> Result<()> {
        let log: &dyn Log = &self.0;
        let end = journal::readable_end(log, partition).await?;
        let mut reader = Reader::new(log, partition, Checkpoint::default());
        let mut replies = HashMap::new();
        let mut answered = HashSet::new();
        while reader.checkpoint().position < end {
            let step = reader.next().await?;
            match step.entry {
                Some(Entry::Reply { inbound, reply, .. }) if step.counts && !reply.synthetic => {
                    let number = numbers.get(&inbound);
                    let number = number.context("a reply answers no message that was sent")?;
                    replies.insert(step.position, *number);
                    logs.fallbacks += u64::from(reply.outcome == Outcome::Fallback);
                    logs.answered_twice += u64::from(!answered.insert(*number));
                }
                Some(Entry::Delivered {
                    position, delivery, ..
                }) => {
                    let Some(number) = replies.get(&position) else {
                        continue;
                    };
                    logs.refused += u64::from(matches!(delivery, Delivery::Refused { .. }));
                    logs.marked.entry(*number).or_insert(step.appended_at);
                }
                _ => {}
            }
        }
        Ok(())
    }
}
