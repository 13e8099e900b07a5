//! The steps G1 to G3 on the log in memory, as designed and with one thing replaced: variant 1 of the message guarantee's
//! model ([`model`]) acknowledges before it enqueues. Gateways die at random seeded moments; the platform repeats what was
//! not acknowledged, and only that.

use std::collections::BTreeSet;

use chatbot_queue::memory::MemoryLog;
use chatbot_queue_contract::model::{self, Steps, Violation, message};
use chatbot_telemetry::Telemetry;

use super::*;

/// Messages, of two users in turn.
const MESSAGES: usize = 6;
const SEEDS: u64 = 100;
/// Things that happen before the faults stop.
const ACTS: usize = 30;

#[derive(Clone, Copy, PartialEq)]
enum Order {
    EnqueueFirst,
    AcknowledgeFirst,
}

struct World {
    order: Order,
    log: Arc<dyn Log>,
    gateway: Intake,
    /// Deliveries of which the gateway has done the first half.
    begun: BTreeSet<usize>,
    acknowledged: BTreeSet<usize>,
}

fn started(log: &Arc<dyn Log>) -> Intake {
    let metrics = Metrics::new(&Telemetry::new());
    Intake::new(Arc::clone(log), 0, &Limits::default(), metrics)
}

impl World {
    fn new(order: Order) -> Self {
        let log: Arc<dyn Log> = Arc::new(MemoryLog::new(1));
        Self {
            order,
            gateway: started(&log),
            log,
            begun: BTreeSet::new(),
            acknowledged: BTreeSet::new(),
        }
    }

    async fn act(&mut self, rng: &mut fastrand::Rng) {
        let number = rng.usize(0..MESSAGES);
        match rng.usize(0..8) {
            0 => {
                self.gateway = started(&self.log);
                self.begun.clear();
            }
            1..=3 => self.deliver(number).await,
            _ => self.go_on(number).await,
        }
    }

    /// The platform delivers what was not acknowledged, and the gateway does the first half.
    async fn deliver(&mut self, number: usize) {
        if !self.acknowledged.contains(&number) && self.begun.insert(number) {
            self.half(number, self.order == Order::EnqueueFirst).await;
        }
    }

    /// The gateway does the second half.
    async fn go_on(&mut self, number: usize) {
        if self.begun.remove(&number) {
            self.half(number, self.order == Order::AcknowledgeFirst)
                .await;
        }
    }

    async fn half(&mut self, number: usize, enqueue: bool) {
        if enqueue {
            self.gateway.accept(&message(number), None).await.unwrap();
        } else {
            self.acknowledged.insert(number);
        }
    }

    /// What is in the log is answered; a copy changes nothing.
    async fn answered(&self) -> BTreeSet<Uuid> {
        let end = self.log.end(Topic::Inbound, 0).await.unwrap();
        let mut records = self.log.reader(Topic::Inbound, 0, 0);
        let mut answered = BTreeSet::new();
        let mut next = 0;
        while next < end {
            for record in records.next(256).await.unwrap() {
                let message: Message = serde_json::from_slice(&record.value).unwrap();
                answered.insert(message.id);
                next = record.offset + 1;
            }
        }
        answered
    }
}

/// What goes wrong under a seed, if anything does.
async fn run(order: Order, seed: u64) -> Option<Violation> {
    let mut rng = fastrand::Rng::with_seed(seed);
    let mut world = World::new(order);
    for _ in 0..ACTS {
        world.act(&mut rng).await;
    }
    for number in 0..MESSAGES {
        world.deliver(number).await;
        world.go_on(number).await;
    }
    let answered = world.answered().await;
    let unanswered = |number: &usize| !answered.contains(&message(*number).id);
    (0..MESSAGES).find(unanswered).map(Violation::unanswered)
}

#[tokio::test]
async fn as_designed_what_is_acknowledged_is_answered() {
    model::holds("as designed", SEEDS, async |seed| {
        run(Order::EnqueueFirst, seed).await
    })
    .await;
}

#[tokio::test]
async fn acknowledging_before_the_enqueue_is_caught() {
    for (variant, by) in model::variants(Steps::Receiving) {
        assert_eq!(variant.number, "1", "the only one of these steps");
        let run = async |seed| run(Order::AcknowledgeFirst, seed).await;
        model::is_caught(variant, by, SEEDS, run).await;
    }
}
