//! The rule that says which replies count, against every interleaving of two owners.

use std::collections::BTreeMap;

use chatbot_message::{Account, Outcome, Reply, message_id};
use chatbot_queue::journal::{self, Checkpoint, Entry, Fold, Reader};
use chatbot_queue::memory::MemoryLog;
use chatbot_queue::{Log, Topic};
use proptest::prelude::*;
use uuid::Uuid;

const FIRST: Uuid = Uuid::from_u128(1);
const SECOND: Uuid = Uuid::from_u128(2);

fn owner(lowest_unsettled: u64, deaths: u32) -> Entry {
    Entry::Owner {
        nonce: Uuid::nil(),
        worker: FIRST,
        lowest_unsettled,
        deaths,
    }
}

fn reply(epoch: u64, seq: u64, inbound: u64) -> Entry {
    let reply = Reply {
        message_id: message_id("web", &inbound.to_string()),
        account: Account {
            channel: "web".to_owned(),
            user: "u".to_owned(),
        },
        origin: String::new(),
        question: "?".to_owned(),
        answer: "!".to_owned(),
        outcome: Outcome::Answered,
        synthetic: false,
        way: Vec::new(),
        kept_by_client: false,
        effect: None,
    };
    Entry::Reply {
        epoch,
        seq,
        inbound,
        reply,
    }
}

fn counted(entries: &[Entry]) -> Vec<bool> {
    let mut fold = Fold::default();
    entries
        .iter()
        .zip(0..)
        .map(|(entry, position)| fold.counts(position, entry))
        .collect()
}

#[test]
fn a_reply_counts_under_the_latest_owner_only() {
    assert_eq!(
        counted(&[
            reply(0, 0, 0),
            owner(0, 0),
            reply(1, 0, 0),
            owner(0, 0),
            reply(1, 1, 1),
            reply(3, 0, 1)
        ]),
        [false, false, true, false, false, true]
    );
}

#[test]
fn a_copy_of_a_record_does_not_count() {
    assert_eq!(
        counted(&[
            owner(0, 0),
            reply(0, 0, 0),
            reply(0, 0, 0),
            reply(0, 2, 2),
            reply(0, 1, 1)
        ]),
        [false, true, false, true, false]
    );
}

#[test]
fn deaths_count_owners_in_a_row_that_got_nowhere() {
    let mut fold = Fold::default();
    assert_eq!(fold.deaths_of_next(0, SECOND), 0);
    fold.counts(0, &owner(5, 1));
    assert_eq!(
        fold.deaths_of_next(5, SECOND),
        2,
        "died at the same message"
    );
    assert_eq!(fold.deaths_of_next(6, SECOND), 0, "got further");
    assert_eq!(fold.deaths_of_next(5, FIRST), 1, "the same process again");
    fold.counts(1, &Entry::Released { epoch: 7 });
    assert_eq!(fold.deaths_of_next(5, SECOND), 2, "somebody else let go");
    fold.counts(2, &Entry::Released { epoch: 0 });
    assert_eq!(fold.deaths_of_next(5, SECOND), 0, "it let go in order");
}

#[test]
fn a_checkpoint_survives_the_commit_and_nonsense_means_the_beginning() {
    let mut fold = Fold::default();
    fold.counts(41, &owner(7, 3));
    let checkpoint = Checkpoint { position: 42, fold };
    assert_eq!(Checkpoint::decode(&checkpoint.encode()), checkpoint);
    assert!(checkpoint.encode().len() < 4_096);
    for metadata in [
        "",
        "{",
        "{\"position\":1}",
        "{\"position\":1,\"fold\":{},\"more\":1}",
    ] {
        assert_eq!(
            Checkpoint::decode(metadata),
            Checkpoint::default(),
            "{metadata}"
        );
    }
}

#[tokio::test]
async fn a_reader_resumed_at_any_checkpoint_comes_to_the_same_result() {
    let log = MemoryLog::new(1);
    let mut entries = vec![
        owner(0, 0),
        reply(0, 0, 0),
        reply(0, 0, 0),
        owner(1, 0),
        reply(0, 1, 1),
        reply(3, 0, 1),
    ];
    entries.push(Entry::Released { epoch: 3 });
    for entry in &entries[..4] {
        journal::append(&log, 0, entry).await.unwrap();
    }
    log.append(Topic::Response, 0, b"of a later release".to_vec())
        .await
        .unwrap();
    for entry in &entries[4..] {
        journal::append(&log, 0, entry).await.unwrap();
    }
    let mut whole = Vec::new();
    let mut reader = Reader::new(&log, 0, Checkpoint::default());
    for _ in 0..=entries.len() {
        whole.push(reader.next().await.unwrap());
    }
    assert_eq!(whole[4].entry, None);
    assert_eq!(whole.iter().filter(|step| step.counts).count(), 2);
    for (index, step) in whole.iter().enumerate() {
        let mut resumed = Reader::new(&log, 0, step.checkpoint());
        for expected in &whole[index..] {
            assert_eq!(resumed.next().await.unwrap(), *expected);
        }
        assert_eq!(resumed.checkpoint(), reader.checkpoint());
    }
}

/// What an owner does next in a run: whichever does it, its records land when they land.
#[derive(Clone, Debug)]
enum Act {
    Announce(usize),
    Write(usize),
    /// A record written earlier lands once more.
    Copy(usize),
}

fn acts() -> impl Strategy<Value = Vec<Act>> {
    let act = prop_oneof![
        1 => (0..2_usize).prop_map(Act::Announce),
        4 => (0..2_usize).prop_map(Act::Write),
        1 => (0..20_usize).prop_map(Act::Copy),
    ];
    prop::collection::vec(act, 0..60)
}

/// How an owner decides what is settled already.
#[derive(Clone, Copy)]
enum Settled {
    /// What it has read in the log.
    ReadBack,
    /// Broken: what it had acknowledged under an earlier epoch.
    Acknowledged,
}

/// Two owners answer messages 0, 1, 2, … in order. An owner reads up to its own owner record, then writes without
/// looking, as a zombie would.
fn run(acts: &[Act], settled: Settled) -> BTreeMap<u64, usize> {
    let mut log: Vec<Entry> = Vec::new();
    let mut owners: [Option<(u64, u64, u64)>; 2] = [None, None];
    let mut acknowledged = [0_u64; 2];
    for act in acts {
        match *act {
            Act::Announce(who) => {
                let epoch = log.len() as u64;
                log.push(owner(0, 0));
                let next = match settled {
                    Settled::ReadBack => {
                        counting(&log).keys().next_back().map_or(0, |last| last + 1)
                    }
                    Settled::Acknowledged => acknowledged[who],
                };
                owners[who] = Some((epoch, 0, next));
            }
            Act::Write(who) => {
                if let Some((epoch, seq, next)) = &mut owners[who] {
                    log.push(reply(*epoch, *seq, *next));
                    *seq += 1;
                    *next += 1;
                    acknowledged[who] = *next;
                }
            }
            Act::Copy(which) => {
                if let Some(Entry::Reply { .. }) = log.get(which) {
                    log.push(log[which].clone());
                }
            }
        }
    }
    counting(&log)
}

fn counting(log: &[Entry]) -> BTreeMap<u64, usize> {
    let mut fold = Fold::default();
    let mut counts = BTreeMap::new();
    for (position, entry) in log.iter().enumerate() {
        if fold.counts(position as u64, entry)
            && let Entry::Reply { inbound, .. } = entry
        {
            *counts.entry(*inbound).or_default() += 1;
        }
    }
    counts
}

fn exactly_one_each(counts: &BTreeMap<u64, usize>) -> bool {
    counts.values().all(|count| *count == 1) && counts.keys().copied().eq(0..counts.len() as u64)
}

proptest! {
    #[test]
    fn any_interleaving_of_two_owners_gives_one_counting_reply_each_in_order(acts in acts()) {
        let counts = run(&acts, Settled::ReadBack);
        prop_assert!(exactly_one_each(&counts), "{counts:?}");
    }
}

#[test]
fn acknowledged_counted_as_settled_loses_a_message() {
    use Act::{Announce, Write};
    // Owner 0 is fenced, has its void reply acknowledged, and takes over again believing it.
    let acts = [Announce(0), Announce(1), Write(0), Announce(0), Write(0)];
    assert!(!exactly_one_each(&run(&acts, Settled::Acknowledged)));
    assert!(exactly_one_each(&run(&acts, Settled::ReadBack)));
}

#[test]
fn owners_that_share_an_epoch_answer_a_message_twice() {
    // Without a record of its own the second owner writes under the first one's, and `seq` cannot tell a copy from
    // another answer.
    let log = [owner(0, 0), reply(0, 0, 0), reply(0, 1, 0)];
    assert!(!exactly_one_each(&counting(&log)));
    let log = [owner(0, 0), owner(0, 0), reply(0, 0, 0), reply(1, 0, 0)];
    assert!(exactly_one_each(&counting(&log)));
}
