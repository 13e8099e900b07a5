//! The steps W1 to W11 on the logs and the view in memory, as designed and with one thing replaced each time: the broken
//! variants of the message guarantee's model ([`model`]). Two workers overlap, die and are cut off at random seeded
//! moments; what they have sent lands late, or twice; messages come twice; the store forgets. As designed nothing goes
//! wrong under any of the seeds, and each variant is caught under some, by what the model says.
//!
//! | number | [`Rule`] | [`Replaced`] |
//! |---|---|---|
//! | 2 | `Everything` | `NothingRestored` |
//! | 3 | `Everything` | – |
//! | 3k | `Everything`, with keys | `NothingRestored` |
//! | 4 to 10 | `Fence` | in this order, from `CommitBeforeReply` to `NothingRestored` |
//! | 11 | `NoSequence` | – |
//! | 12, 13 | `Fence` | `Claims` |
//! | 15, 16 | `Fence` | `SessionOnlyInStore` |
//! | 17 | `Fence` | `ContextAtOnce` |
//! | 18 | `HighWater` | `ContextFromAcknowledgement` |
//! | 20 | `Transactions` | `NothingRestored` |
//! | 25 | `Fence` | `AnnounceAtOnce`, in a world of its own (`duel`) |
//!
//! Real are the logs, the view, the takeover, intake, lanes, what is settled, own turns, and what the view is given; what
//! stands in for a worker's tasks is the order in which they come. The alternatives that 18 and 20 replace something of
//! hold when they are built as the guarantee describes them; that is a test, too.

mod audit;
mod duel;
mod owner;
mod working;
mod world;

use std::sync::Arc;
use std::time::Duration;

use chatbot_queue::memory::{MemoryLog, MemoryPreviews};
use chatbot_queue::{Log, Topic};
use chatbot_queue_contract::model::{self, Rule, Steps, Violation};
use chatbot_store::memory::{Keep, MemoryView};
use chatbot_store::{MemoryCodes, View};
use chatbot_telemetry::Telemetry;
use tokio::sync::{Semaphore, watch};
use uuid::Uuid;

use crate::{GROUP, Limits, Shared, cache, context, inference, metrics};
use world::World;

/// What a variant does otherwise than designed.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Replaced {
    Nothing,
    /// Settled is what is being answered.
    CommitBeforeReply,
    /// What is committed is the highest settled offset, not the lowest unsettled one.
    CommitHighest,
    /// Settled is what was acknowledged, not what was read back.
    CommitOnAcknowledgement,
    /// The next owner begins to read where this one is.
    CheckpointAtEnd,
    /// The checkpoint is a position without the fold there.
    CheckpointWithoutFold,
    /// Whoever takes over reads first and announces itself then.
    ReadBeforeAnnouncing,
    /// Whoever takes over does not read what was answered above the committed offset.
    NothingRestored,
    /// A message is a copy when the store has its claim.
    Claims,
    /// A turn is appended to the store once its reply is acknowledged, and comes from nowhere else.
    SessionOnlyInStore,
    /// The session is taken as it is, however far the view has come.
    ContextAtOnce,
    /// Without a fence: the next message follows the acknowledgement, and its context what was sent.
    ContextFromAcknowledgement,
    /// Whoever is fenced announces itself again at once.
    AnnounceAtOnce,
}

/// What may go wrong around a worker.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Fault {
    /// A message comes once more.
    Repeat,
    /// A worker dies.
    Kill,
    /// A worker goes on although another has taken over.
    Zombie,
    /// What a worker sent lands later, or never, or it does not hear of it; it gives up its epoch.
    Late,
    /// A record is written twice.
    Twice,
    /// The store forgets everything.
    Flush,
}

use Fault::{Flush, Kill, Late, Repeat, Twice, Zombie};

/// A design, and what may happen to it.
#[derive(Clone, Copy, Debug)]
struct Design {
    rule: Rule,
    replaced: Replaced,
    keys: bool,
    faults: &'static [Fault],
}

const fn design(rule: Rule, replaced: Replaced, faults: &'static [Fault]) -> Design {
    Design {
        rule,
        replaced,
        keys: false,
        faults,
    }
}

const ANY: &[Fault] = &[Repeat, Kill, Zombie, Late, Twice, Flush];
const AS_DESIGNED: Design = design(Rule::Fence, Replaced::Nothing, ANY);
/// The broker's transactions neither land late nor twice.
const TRANSACTIONS: Design = design(
    Rule::Transactions,
    Replaced::Nothing,
    &[Repeat, Kill, Zombie, Flush],
);
const HIGH_WATER: Design = design(Rule::HighWater, Replaced::Nothing, ANY);

/// What a variant of the model is here, with the faults that it meets there.
#[rustfmt::skip]
fn broken(number: &str) -> Design {
    use Replaced::{
        AnnounceAtOnce, CheckpointAtEnd, CheckpointWithoutFold, Claims, CommitBeforeReply, CommitHighest,
        CommitOnAcknowledgement, ContextAtOnce, ContextFromAcknowledgement, Nothing, NothingRestored,
        ReadBeforeAnnouncing, SessionOnlyInStore,
    };
    match number {
        "2" => design(Rule::Everything, NothingRestored, &[Kill]),
        "3" => design(Rule::Everything, Nothing, &[Zombie]),
        "3k" => Design { keys: true, ..design(Rule::Everything, NothingRestored, &[Kill]) },
        "4" => design(Rule::Fence, CommitBeforeReply, &[Kill]),
        "5" => design(Rule::Fence, CommitHighest, &[Kill]),
        "6" => design(Rule::Fence, CommitOnAcknowledgement, &[Kill, Zombie]),
        "7" => design(Rule::Fence, CheckpointAtEnd, &[Kill]),
        "8" => design(Rule::Fence, CheckpointWithoutFold, &[Kill, Late]),
        "9" => design(Rule::Fence, ReadBeforeAnnouncing, &[Zombie]),
        "10" => design(Rule::Fence, NothingRestored, &[Kill]),
        "11" => design(Rule::NoSequence, Nothing, &[Twice]),
        "12" => design(Rule::Fence, Claims, &[Kill]),
        "13" => design(Rule::Fence, Claims, &[Flush, Repeat]),
        "15" => design(Rule::Fence, SessionOnlyInStore, &[Kill]),
        "16" => design(Rule::Fence, SessionOnlyInStore, &[Flush]),
        "17" => design(Rule::Fence, ContextAtOnce, &[Kill]),
        "18" => design(Rule::HighWater, ContextFromAcknowledgement, &[Zombie]),
        "20" => design(Rule::Transactions, NothingRestored, &[Kill]),
        "25" => design(Rule::Fence, AnnounceAtOnce, &[Zombie]),
        _ => panic!("variant {number} is not ported"),
    }
}

/// Messages, of two users in turn.
const MESSAGES: usize = 6;
const SEEDS: u64 = 500;
const PARTITION: u32 = 0;

/// A worker's surroundings, with a view of its own.
async fn shared() -> (Shared, Arc<MemoryView>) {
    let keep = Keep {
        timeout: Duration::from_hours(1),
        turns: MESSAGES,
    };
    let memory = Arc::new(MemoryView::new(keep));
    let view: Arc<dyn View> = memory.clone();
    let log = Arc::new(MemoryLog::new(1));
    let (config, limits) = (context::tests::config(4_096), Limits::default());
    let shared = Shared {
        worker: Uuid::new_v4(),
        inference: Arc::new(inference::Inference::new(&config, &limits).unwrap()),
        prompt: watch::Sender::new("".into()),
        places: Semaphore::new(1),
        metrics: metrics::Metrics::register(&Telemetry::new(), &view),
        known: cache::Known::new(&config, None),
        config,
        limits,
        member: log.join(GROUP, Topic::Inbound).await.unwrap(),
        log,
        view,
        codes: Arc::<MemoryCodes>::default(),
        previews: Arc::<MemoryPreviews>::default(),
        handle: crate::Handle::default(),
    };
    (shared, memory)
}

/// What goes wrong under a seed, if anything does.
async fn run(design: Design, seed: u64) -> Option<Violation> {
    let (shared, store) = shared().await;
    let mut rng = fastrand::Rng::with_seed(seed);
    let mut world = World::new(design, &shared, &store);
    match world.live(&mut rng).await {
        Err(violation) => Some(violation),
        Ok(()) => world.finish().await.err(),
    }
}

#[tokio::test]
async fn as_designed_every_message_is_answered_once_in_order_from_its_conversation() {
    model::holds("as designed", SEEDS, async |seed| {
        run(AS_DESIGNED, seed).await
    })
    .await;
}

#[tokio::test]
async fn the_alternatives_hold_when_built_as_described() {
    model::holds("transactions", SEEDS, async |seed| {
        run(TRANSACTIONS, seed).await
    })
    .await;
    model::holds("high-water marks", SEEDS, async |seed| {
        run(HIGH_WATER, seed).await
    })
    .await;
}

#[tokio::test]
async fn two_owners_do_not_duel() {
    model::holds("as designed", SEEDS, async |seed| {
        duel::run(AS_DESIGNED, seed).await
    })
    .await;
}

#[tokio::test]
async fn every_broken_variant_is_caught() {
    for (variant, by) in model::variants(Steps::Answering) {
        let design = broken(variant.number);
        let run = async |seed| match design.replaced {
            Replaced::AnnounceAtOnce => duel::run(design, seed).await,
            _ => run(design, seed).await,
        };
        model::is_caught(variant, by, SEEDS, run).await;
    }
}
