//! The steps S1 to S5 on the log in memory, as designed and with one thing replaced each time: the broken variants of the
//! message guarantee's model ([`model`]). Gateways die, are given up by their group without noticing and come back at
//! random seeded moments; requests to the platform are refused for now, lost, or take effect late. As designed nothing goes
//! wrong under any of the seeds, and each variant is caught under some, by what the model says.
//!
//! | number | [`Rule`] | [`Replaced`] |
//! |---|---|---|
//! | 8 | `Fence` | `CheckpointWithoutFold` |
//! | 14 | `Fence` | `MarksInStore` |
//! | 19 | `HighWater` | `CheckpointWithoutFold` |
//! | 21 | `Fence` | `CommitBeforeDelivery` |
//! | 22 | `Fence` | `RefusedToTheEnd` |
//! | 23 | `Fence` | `NoLease` |
//! | 24 | `Fence` | `LeaseRegained` |
//!
//! Real are the log and its groups, catching up, lanes, and what a lease is worth; what stands in for the tasks of an
//! acquisition is the order in which their steps come. High-water marks that are kept with the offset hold; that is a
//! test, too.

mod gateway;
mod world;
mod writer;

use chatbot_queue_contract::model::{self, Rule, Steps, Violation};

use world::World;

/// What a variant does otherwise than designed.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Replaced {
    Nothing,
    /// The committed offset comes without what is known there.
    CheckpointWithoutFold,
    /// What was delivered is noted in the store.
    MarksInStore,
    /// What is committed is what was read.
    CommitBeforeDelivery,
    /// A reply that is refused for now goes to the end of its lane.
    RefusedToTheEnd,
    /// Who has begun goes on.
    NoLease,
    /// Who has lost the lease waits, and goes on where it was when it has it again.
    LeaseRegained,
}

/// What may go wrong around a gateway.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Fault {
    /// A gateway dies.
    Kill,
    /// The group gives a gateway up, which does not notice.
    Zombie,
    /// A request has no answer, and takes effect now, later or never.
    TimeOut,
    /// The store forgets everything.
    Flush,
}

use Fault::{Flush, Kill, TimeOut, Zombie};

/// A design, and what may happen to it.
#[derive(Clone, Copy, Debug)]
struct Design {
    rule: Rule,
    replaced: Replaced,
    /// The platform takes idempotency keys.
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

const ANY: &[Fault] = &[Kill, Zombie, TimeOut, Flush];
const WITHOUT_KEYS: Design = design(Rule::Fence, Replaced::Nothing, ANY);
const WITH_KEYS: Design = Design {
    keys: true,
    ..WITHOUT_KEYS
};
const HIGH_WATER: Design = design(Rule::HighWater, Replaced::Nothing, ANY);

/// What a variant of the model is here, with the faults that it meets there.
fn broken(number: &str) -> Design {
    let (rule, replaced, faults): (_, _, &[_]) = match number {
        "8" => (Rule::Fence, Replaced::CheckpointWithoutFold, &[Kill]),
        "14" => (Rule::Fence, Replaced::MarksInStore, &[Kill, Flush]),
        "19" => (Rule::HighWater, Replaced::CheckpointWithoutFold, &[Kill]),
        "21" => (Rule::Fence, Replaced::CommitBeforeDelivery, &[Kill]),
        "22" => (Rule::Fence, Replaced::RefusedToTheEnd, &[]),
        "23" => (Rule::Fence, Replaced::NoLease, &[Zombie]),
        "24" => (Rule::Fence, Replaced::LeaseRegained, &[Zombie]),
        _ => panic!("variant {number} is not ported"),
    };
    design(rule, replaced, faults)
}

/// Messages, of two users in turn.
const MESSAGES: usize = 6;
const SEEDS: u64 = 600;
const PARTITION: u32 = 0;

/// What goes wrong under a seed, if anything does.
async fn run(design: Design, seed: u64) -> Option<Violation> {
    let mut rng = fastrand::Rng::with_seed(seed);
    let mut world = World::new(design).await;
    match world.live(&mut rng).await {
        Err(violation) => Some(violation),
        Ok(()) => world.finish(&mut rng).await.err(),
    }
}

#[tokio::test]
async fn as_designed_every_reply_is_seen_in_order_and_twice_only_if_in_doubt() {
    model::holds("without keys", SEEDS, async |seed| {
        run(WITHOUT_KEYS, seed).await
    })
    .await;
}

#[tokio::test]
async fn with_keys_every_reply_is_seen_once_in_order() {
    model::holds("with keys", SEEDS, async |seed| run(WITH_KEYS, seed).await).await;
}

#[tokio::test]
async fn high_water_marks_hold_when_kept_with_the_offset() {
    model::holds("high-water marks", SEEDS, async |seed| {
        run(HIGH_WATER, seed).await
    })
    .await;
}

#[tokio::test]
async fn every_broken_variant_is_caught() {
    for (variant, by) in model::variants(Steps::Sending) {
        let design = broken(variant.number);
        let run = async |seed| run(design, seed).await;
        model::is_caught(variant, by, SEEDS, run).await;
    }
}
