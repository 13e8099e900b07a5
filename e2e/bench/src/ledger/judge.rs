//! What was lost, doubled or reordered, and for which doubles there is a reason. Pure.
//!
//! On a platform without idempotency keys a send is *in doubt* when its gateway cannot know, or died before it could write
//! down, whether the platform shows it:
//!
//! - its outcome was unknown: the platform fell silent or broke. Or it was known too late: its gateway had stood still, and
//!   another may have sent the same. Gateways count these themselves, so their own counts are taken; of a gateway that is
//!   gone, the platform's book tells what the last look at its count had missed.
//! - it was not marked in the journal when its gateway was killed. Nobody counts these, so they are taken from the
//!   platform's book and the journal's times.
//!
//! With keys nothing of this is in doubt: the same key is sent again.

use std::collections::{HashMap, HashSet};

use crate::stand_in::{Attempt, Said};

/// What the logs tell.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Logs {
    /// The messages of each user in the order in which the broker took them first.
    pub order: Vec<Vec<u32>>,
    /// Records of messages, copies included.
    pub inbound: u64,
    /// When the first mark of each message's reply was written, milliseconds since 1970.
    pub marked: HashMap<u32, i64>,
    /// Replies that the platform is said to have refused for good.
    pub refused: u64,
    /// Replies with the fallback text.
    pub fallbacks: u64,
    /// Messages with more than one reply that counts.
    pub answered_twice: u64,
}

/// A gateway that was killed, or frozen for too long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Death {
    /// The number of its process.
    pub process: u32,
    /// When, milliseconds since 1970.
    pub at: i64,
    /// When it went on; absent when it was killed.
    pub until: Option<i64>,
}

/// What gateways have said of themselves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Count {
    /// The number of the process.
    pub process: u32,
    /// Sends in doubt that it has counted, at the last look.
    pub in_doubt: u64,
    /// Whether it had something under way after that look, and is gone: it may have counted more.
    pub gone: bool,
}

/// The verdict on one run.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Judgement {
    /// Messages that a gateway has acknowledged.
    pub sent: u64,
    /// Of these, without an effect that is seen.
    pub lost: u64,
    /// Effects beyond the first of each message.
    pub duplicates: u64,
    /// Sends that nobody can know the effect of.
    pub in_doubt: u64,
    /// Effects seen after that of a message which the broker took later, of the same user.
    pub reordered: u64,
    /// Of `in_doubt`: counted by the gateways.
    pub counted: u64,
    /// Of `in_doubt`: not marked when their gateway was killed.
    pub unmarked: u64,
    /// Outcomes that the platform left unknown.
    pub unknown: u64,
    /// Unknown outcomes that a gateway had time to count, and has not.
    pub uncounted: u64,
    /// Duplicates before which no send of the same message was in doubt for a reason that is known here.
    pub unexplained: u64,
}

/// Judges a run in which all these messages were acknowledged, on a platform that takes keys or does not.
#[must_use]
pub fn judge(
    sent: u32,
    has_keys: bool,
    logs: &Logs,
    attempts: &[Attempt],
    deaths: &[Death],
    counts: &[Count],
) -> Judgement {
    let seen: HashSet<u32> = visible(attempts).map(|attempt| attempt.message).collect();
    let unmarked = |death: &&Death| !has_keys && death.until.is_none();
    let killed: Vec<Death> = deaths.iter().filter(unmarked).copied().collect();
    let unmarked = attempts.iter();
    let unmarked = unmarked.filter(|one| is_unmarked(one, logs, &killed));
    let unmarked = unmarked.count() as u64;
    let unknown = |process| {
        let of_process = attempts
            .iter()
            .filter(|one| !has_keys && one.process == process);
        of_process.filter(|one| is_unknown(one)).count() as u64
    };
    let missed = counts.iter().map(|count| {
        let behind = unknown(count.process).saturating_sub(count.in_doubt);
        (count.gone, behind)
    });
    let sum = |gone: bool| -> u64 {
        let of = missed.clone().filter(|(is_gone, _)| *is_gone == gone);
        of.map(|(_, behind)| behind).sum()
    };
    let counted = counts.iter().map(|count| count.in_doubt).sum::<u64>() + sum(true);
    Judgement {
        sent: sent.into(),
        lost: u64::from(sent) - (0..sent).filter(|one| seen.contains(one)).count() as u64,
        duplicates: (visible(attempts).count() - seen.len()) as u64,
        in_doubt: counted + unmarked,
        reordered: reordered(logs, attempts),
        counted,
        unmarked,
        unknown: attempts.iter().filter(|one| is_unknown(one)).count() as u64,
        uncounted: sum(false),
        unexplained: unexplained(logs, attempts, deaths),
    }
}

fn visible(attempts: &[Attempt]) -> impl Iterator<Item = &Attempt> {
    attempts.iter().filter(|attempt| attempt.is_visible())
}

fn is_unknown(attempt: &Attempt) -> bool {
    matches!(attempt.said, Said::Unknown { .. })
}

/// Whether its gateway died, or stood still for too long, between this send and its mark.
fn is_unmarked(attempt: &Attempt, logs: &Logs, deaths: &[Death]) -> bool {
    if attempt.said != Said::Taken {
        return false;
    }
    let marked = logs.marked.get(&attempt.message).copied();
    deaths
        .iter()
        .filter(|death| death.process == attempt.process)
        .filter(|death| death.until.is_none_or(|until| attempt.at / 1_000 <= until))
        .any(|death| marked.is_none_or(|marked| marked > death.at))
}

/// Effects after that of a later message, in the broker's order.
fn reordered(logs: &Logs, attempts: &[Attempt]) -> u64 {
    let mut place = HashMap::new();
    for (user, order) in logs.order.iter().enumerate() {
        for (rank, message) in order.iter().enumerate() {
            place.insert(*message, (user, rank));
        }
    }
    let mut latest = vec![0; logs.order.len()];
    let mut count = 0;
    for attempt in visible(attempts) {
        let Some((user, rank)) = place.get(&attempt.message).copied() else {
            continue;
        };
        if rank < latest[user] {
            count += 1;
        }
        latest[user] = latest[user].max(rank);
    }
    count
}

fn unexplained(logs: &Logs, attempts: &[Attempt], deaths: &[Death]) -> u64 {
    // Per message: whether it was seen, and how many reasons for another effect are left.
    let mut so_far: HashMap<u32, (bool, u32)> = HashMap::new();
    let mut count = 0;
    for attempt in attempts {
        let (seen, reasons) = so_far.entry(attempt.message).or_default();
        if attempt.is_visible() {
            if *seen && *reasons == 0 {
                count += 1;
            } else if *seen {
                *reasons -= 1;
            }
            *seen = true;
        }
        let in_doubt = is_unknown(attempt) || is_unmarked(attempt, logs, deaths);
        *reasons += u32::from(in_doubt);
    }
    count
}

#[cfg(test)]
mod tests {
    use super::*;

    const SHOWN: Said = Said::Unknown { visible: true };

    fn attempt(message: u32, process: u32, at_ms: i64, said: Said) -> Attempt {
        Attempt {
            message,
            process,
            at: at_ms * 1_000,
            said,
        }
    }

    fn logs(order: &[u32], marked: &[(u32, i64)]) -> Logs {
        Logs {
            order: vec![order.to_vec()],
            marked: marked.iter().copied().collect(),
            ..Logs::default()
        }
    }

    fn judged(logs: &Logs, attempts: &[Attempt], deaths: &[Death], counts: &[Count]) -> Judgement {
        let sent = logs.order.iter().map(Vec::len).sum::<usize>();
        judge(
            u32::try_from(sent).unwrap(),
            false,
            logs,
            attempts,
            deaths,
            counts,
        )
    }

    fn count(process: u32, in_doubt: u64, gone: bool) -> Count {
        Count {
            process,
            in_doubt,
            gone,
        }
    }

    #[test]
    fn what_is_seen_once_and_in_order_is_well() {
        let logs = logs(&[1, 0], &[(0, 30), (1, 20)]);
        let attempts = [
            attempt(1, 7, 10, Said::Busy),
            attempt(1, 7, 15, Said::Taken),
            attempt(0, 7, 25, Said::Taken),
        ];
        let well = Judgement {
            sent: 2,
            ..Judgement::default()
        };
        assert_eq!(judged(&logs, &attempts, &[], &[]), well);
    }

    #[test]
    fn what_nobody_sees_is_lost_and_what_comes_too_late_is_reordered() {
        let logs = logs(&[1, 0, 2], &[]);
        let attempts = [
            attempt(0, 7, 10, Said::Taken),
            attempt(1, 7, 20, Said::Taken),
            attempt(2, 7, 30, Said::Unknown { visible: false }),
        ];
        let judgement = judged(&logs, &attempts, &[], &[]);
        assert_eq!((judgement.lost, judgement.reordered), (1, 1));
    }

    #[test]
    fn a_double_after_an_unknown_outcome_is_in_doubt_once_and_counted_by_its_gateway() {
        let logs = logs(&[0], &[(0, 50)]);
        let attempts = [attempt(0, 7, 10, SHOWN), attempt(0, 7, 20, Said::Taken)];
        let told = judged(&logs, &attempts, &[], &[count(7, 1, false)]);
        assert_eq!((told.duplicates, told.in_doubt), (1, 1));
        assert_eq!((told.uncounted, told.unexplained), (0, 0));
        let silent = judged(&logs, &attempts, &[], &[count(7, 0, false)]);
        assert_eq!((silent.in_doubt, silent.uncounted), (0, 1));
        let killed = judged(&logs, &attempts, &[], &[count(7, 0, true)]);
        assert_eq!((killed.in_doubt, killed.uncounted), (1, 0));
    }

    #[test]
    fn a_send_without_a_mark_when_its_gateway_dies_is_in_doubt() {
        let logs = logs(&[0, 1], &[(0, 15), (1, 60)]);
        let attempts = [
            attempt(0, 7, 10, Said::Taken),
            attempt(1, 7, 18, Said::Taken),
            attempt(1, 8, 50, Said::Taken),
        ];
        let death = |until| Death {
            process: 7,
            at: 20,
            until,
        };
        // One that only stood still counts what it was late for.
        for (until, unmarked) in [(None, 1), (Some(40), 0)] {
            let judgement = judged(&logs, &attempts, &[death(until)], &[]);
            assert_eq!((judgement.duplicates, judgement.unmarked), (1, unmarked));
            assert_eq!(judgement.unexplained, 0);
        }
        let judgement = judged(&logs, &attempts, &[], &[]);
        assert_eq!((judgement.duplicates, judgement.in_doubt), (1, 0));
        assert_eq!(judgement.unexplained, 1);
    }

    #[test]
    fn with_keys_nothing_is_in_doubt() {
        let attempts = [attempt(0, 7, 10, SHOWN), attempt(0, 8, 50, Said::Known)];
        let death = Death {
            process: 7,
            at: 20,
            until: None,
        };
        let counts = [count(7, 0, true), count(8, 0, false)];
        let judgement = judge(1, true, &logs(&[0], &[]), &attempts, &[death], &counts);
        assert_eq!((judgement.in_doubt, judgement.uncounted), (0, 0));
        assert_eq!((judgement.duplicates, judgement.unknown), (0, 1));
    }

    #[test]
    fn what_a_thawed_gateway_sends_later_is_not_in_doubt() {
        let logs = logs(&[0], &[(0, 60)]);
        let death = Death {
            process: 7,
            at: 20,
            until: Some(40),
        };
        let attempts = [attempt(0, 7, 55, Said::Taken)];
        assert_eq!(judged(&logs, &attempts, &[death], &[]).in_doubt, 0);
    }
}
