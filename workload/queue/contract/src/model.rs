//! The broken variants of the message guarantee's model, and what each is caught by. The rooms port them, each with one
//! thing replaced among its real pieces on the logs in memory: `intake::broken` and `delivery::broken` of the gateway,
//! `broken` of the worker.
//!
//! What a variant must be caught by is what the model found: in the shortest run, or where every fault may happen. In the
//! worker's worlds users see a reply as soon as it counts, so without keys the second one to count is one seen twice.

mod rule;
mod users;

use std::fmt;

pub use rule::{Counting, Rule};
pub use users::{Users, account, message, number, reply};

/// Who ports a variant: the steps of the guarantee that it replaces one of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Steps {
    /// G1 to G3.
    Receiving,
    /// W1 to W11.
    Answering,
    /// S1 to S5.
    Sending,
}

/// What can go wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// An acknowledged message never gets a reply.
    Unanswered,
    /// A committed offset has no reply.
    Lost,
    /// Two replies to a message count.
    CountedTwice,
    /// More replies to a message are visible than one and those in doubt.
    SeenTwice,
    /// The visible reply is not the one that counts.
    NotRecorded,
    /// A reply is visible before one to an earlier message of its user.
    Overtakes,
    /// A reply was made from another conversation than the recorded one.
    OtherContext,
    /// In the end the sessions are not those of the journal.
    OtherSessions,
    /// Two owners take the partition from each other and do nothing else.
    Duel,
}

/// What went wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// What it is.
    pub kind: Kind,
    /// In a sentence.
    pub what: String,
}

impl Violation {
    /// Something went wrong.
    #[must_use]
    pub fn new(kind: Kind, what: impl Into<String>) -> Self {
        let what = what.into();
        Self { kind, what }
    }

    /// An acknowledged message never gets a reply.
    #[must_use]
    pub fn unanswered(number: usize) -> Self {
        let what = format!("acknowledged message {number} never gets a reply");
        Self::new(Kind::Unanswered, what)
    }
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.what)
    }
}

/// A broken variant.
pub struct Variant {
    /// Its number in the model.
    pub number: &'static str,
    /// What it does.
    pub name: &'static str,
    /// Who ports it, and what it is caught by there.
    pub caught: &'static [(Steps, Kind)],
}

const fn variant(
    number: &'static str,
    name: &'static str,
    caught: &'static [(Steps, Kind)],
) -> Variant {
    Variant {
        number,
        name,
        caught,
    }
}

use Kind::{CountedTwice, Duel, Lost, OtherContext, Overtakes, SeenTwice, Unanswered};
use Steps::{Answering, Receiving, Sending};

/// Every one, in the model's order.
#[rustfmt::skip]
pub const VARIANTS: [Variant; 26] = [
    variant("1", "acknowledge before enqueue", &[(Receiving, Unanswered)]),
    variant("2", "no fence, offsets only: worker dies after the reply, before the commit", &[(Answering, SeenTwice)]),
    variant("3", "no fence, answered set restored: zombie", &[(Answering, SeenTwice)]),
    variant("3k", "no fence, left to the platform's keys", &[(Answering, CountedTwice)]),
    variant("4", "commit the offset before the reply is in the journal", &[(Answering, Lost)]),
    variant("5", "commit the highest finished offset", &[(Answering, Lost)]),
    variant("6", "commit on acknowledgement, without reading back", &[(Answering, Lost)]),
    variant("7", "checkpoint points at the journal's end", &[(Answering, SeenTwice)]),
    variant("8", "checkpoint without the fold", &[(Answering, SeenTwice), (Sending, Unanswered)]),
    variant("9", "read the journal before announcing", &[(Answering, SeenTwice)]),
    variant("10", "offsets only, answered set not restored", &[(Answering, SeenTwice)]),
    variant("11", "no sequence in the epoch", &[(Answering, SeenTwice)]),
    variant("12", "duplicates recognised by a Redis claim: worker dies", &[(Answering, Overtakes)]),
    variant("13", "duplicates recognised by a Redis claim: flush, webhook again", &[(Answering, SeenTwice)]),
    variant("14", "delivered marks in Redis: flush, gateway dies", &[(Sending, SeenTwice)]),
    variant("15", "session turn appended to Redis after the reply: worker dies", &[(Answering, OtherContext)]),
    variant("16", "session only in Redis: flush", &[(Answering, OtherContext)]),
    variant("17", "context read from Redis without waiting for it", &[(Answering, OtherContext)]),
    variant("18", "high-water marks, next message after the acknowledgement", &[(Answering, OtherContext)]),
    variant("19", "high-water marks not kept with the offset", &[(Sending, SeenTwice)]),
    variant("20", "transactions, offsets only, users answered out of order", &[(Answering, SeenTwice)]),
    variant("21", "gateway commits before it delivers", &[(Sending, Overtakes)]),
    variant("22", "a refused reply goes to the end of its lane", &[(Sending, Overtakes)]),
    variant("23", "gateway sends without a lease, no keys", &[(Sending, SeenTwice)]),
    variant("24", "lease lost and regained, journal not read again, no keys", &[(Sending, SeenTwice)]),
    variant("25", "a fenced worker announces again at once", &[(Answering, Duel)]),
];

/// The variants of some steps, with what each is caught by.
pub fn variants(of: Steps) -> impl Iterator<Item = (&'static Variant, Kind)> {
    VARIANTS.iter().flat_map(move |variant| {
        let caught = variant.caught.iter().filter(move |(steps, _)| *steps == of);
        caught.map(move |(_, kind)| (variant, *kind))
    })
}

/// Nothing goes wrong under any of the seeds.
pub async fn holds(name: &str, seeds: u64, run: impl AsyncFn(u64) -> Option<Violation>) {
    for seed in 0..seeds {
        let violation = run(seed).await;
        assert!(
            violation.is_none(),
            "{name}, seed {seed}: {}",
            violation.unwrap()
        );
    }
}

/// Under one of the seeds that goes wrong which must.
pub async fn is_caught(
    variant: &Variant,
    by: Kind,
    seeds: u64,
    run: impl AsyncFn(u64) -> Option<Violation>,
) {
    let Variant { number, name, .. } = variant;
    let mut others = Vec::new();
    for seed in 0..seeds {
        match run(seed).await {
            Some(violation) if violation.kind == by => {
                println!("{number} {name}: {violation} [seed {seed}]");
                return;
            }
            Some(violation) => others.push(violation.what),
            None => {}
        }
    }
    others.truncate(3);
    unreachable!("{number} {name}: {by:?} is never found, but {others:?}");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn none_of_the_models_variants_is_forgotten() {
        let mut numbers: Vec<_> = (1..=25).map(|number| number.to_string()).collect();
        numbers.insert(3, "3k".to_owned());
        assert_eq!(
            VARIANTS.each_ref().map(|variant| variant.number),
            numbers[..]
        );
        assert!(VARIANTS.iter().all(|variant| !variant.caught.is_empty()));
    }
}
