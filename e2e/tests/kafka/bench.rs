//! Logs on a broker for the promises that every log keeps.

use std::sync::Arc;

use async_trait::async_trait;
use chatbot_e2e::kafka::Broker;
use chatbot_queue::kafka::{KafkaLog, Options};
use chatbot_queue::{Log, Offset, Topic};
use chatbot_queue_contract::{Bench, PARTITIONS, Victim};
use rdkafka::admin::{AdminClient, AdminOptions};
use rdkafka::client::DefaultClientContext;
use rdkafka::{ClientConfig, TopicPartitionList};

use crate::victim::KafkaVictim;

/// For logs of a test's own.
pub fn options(address: &str, prefix: &str, partitions: u32) -> Options {
    Options {
        bootstrap_servers: vec![address.to_owned()],
        topic_prefix: format!("{prefix}."),
        partitions,
        replication_factor: 1,
        ..Options::default()
    }
}

pub async fn connect(options: Options) -> KafkaLog {
    KafkaLog::connect(options)
        .await
        .unwrap_or_else(|unusable| unreachable!("{unusable}"))
}

/// Logs of their own on a broker that others use, too.
pub struct Shared {
    _broker: Arc<Broker>,
    options: Options,
}

impl Shared {
    pub fn new(broker: &Arc<Broker>, prefix: &str) -> Self {
        Self {
            options: options(&broker.address(), prefix, PARTITIONS),
            _broker: Arc::clone(broker),
        }
    }
}

#[async_trait]
impl Bench for Shared {
    async fn log(&self) -> Arc<dyn Log> {
        Arc::new(connect(self.options.clone()).await)
    }

    async fn trim(&self, topic: Topic, partition: u32, start: Offset) {
        let mut config = ClientConfig::new();
        config.set(
            "bootstrap.servers",
            self.options.bootstrap_servers.join(","),
        );
        let admin: AdminClient<DefaultClientContext> = config.create().unwrap();
        let mut list = TopicPartitionList::new();
        let offset = rdkafka::Offset::Offset(i64::try_from(start).unwrap());
        let partition = i32::try_from(partition).unwrap();
        list.add_partition_offset(&self.options.topic(topic), partition, offset)
            .unwrap();
        let deleted = admin.delete_records(&list, &AdminOptions::new()).await;
        assert_eq!(deleted.unwrap().count(), 1);
    }

    async fn victim(&self, group: &str, topic: Topic) -> Box<dyn Victim> {
        // Made by whoever comes first, and not by one that may be stopped.
        let _made = self.log().await;
        Box::new(KafkaVictim::start(&self.options, group, topic))
    }
}
