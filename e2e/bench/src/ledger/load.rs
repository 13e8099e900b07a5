//! What is sent, in which order, and what is sent twice. Pure: the same seed gives the same load.

use std::collections::VecDeque;

use fastrand::Rng;

use crate::platform::{Question, asked};

/// One message of 20 is delivered twice: of these, so many in 10 soon after, so many later in the run, and the rest when
/// everybody who could remember it is gone.
const TWICE_ONE_IN: u32 = 20;
const SOON_IN_TEN: u32 = 6;
const LATER_IN_TEN: u32 = 2;
/// Deliveries between a message and its copy soon after.
const SOON: usize = 400;
/// One message of 100 comes after a later one of the same user.
const LATE_ONE_IN: u32 = 100;
/// Messages of one user, on average.
const PER_USER: u32 = 40;
/// Users who have just written are likely to go on.
const TALKING: usize = 16;

/// What is sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Load {
    /// Every message, by its number.
    pub questions: Vec<Question>,
    /// The numbers of what is delivered, in order, copies included.
    pub deliveries: Vec<u32>,
    /// The numbers of what is delivered a second time an hour later.
    pub hour_later: Vec<u32>,
    /// Messages delivered twice.
    pub twice: usize,
    /// Messages delivered after a later one of the same user.
    pub out_of_order: usize,
}

impl Load {
    /// So many messages.
    #[must_use]
    pub fn new(seed: u64, messages: u32) -> Self {
        let mut rng = Rng::with_seed(seed);
        let users = users(&mut rng, messages);
        let mut order: Vec<u32> = (0..messages).collect();
        let out_of_order = disorder(&mut rng, &users, &mut order);
        let (copies, hour_later) = copies(&mut rng, &order);
        let twice = copies.len() + hour_later.len();
        let questions = (0..messages)
            .zip(users)
            .map(|(number, user)| Question {
                number,
                user,
                text: asked(number),
            })
            .collect();
        Self {
            questions,
            deliveries: with_copies(order, copies),
            hour_later,
            twice,
            out_of_order,
        }
    }
}

/// Who writes each message. People write several in a row.
fn users(rng: &mut Rng, messages: u32) -> Vec<u32> {
    let count = (messages / PER_USER).max(1);
    let mut talking = VecDeque::new();
    (0..messages)
        .map(|_| {
            let again = rng.u32(0..10) < 3 && !talking.is_empty();
            let user = if again {
                talking[rng.usize(0..talking.len())]
            } else {
                rng.u32(0..count)
            };
            talking.push_back(user);
            if talking.len() > TALKING {
                talking.pop_front();
            }
            user
        })
        .collect()
}

/// Exchanges messages with the next of the same user, and says how many.
fn disorder(rng: &mut Rng, users: &[u32], order: &mut [u32]) -> usize {
    let mut exchanged = 0;
    let mut next = vec![None; users.iter().max().map_or(0, |most| *most as usize + 1)];
    let mut taken = vec![false; order.len()];
    // From the end, so that the next message of each user is known.
    for place in (0..users.len()).rev() {
        let user = users[place] as usize;
        let after = next[user].replace(place);
        let Some(after) = after.filter(|_| rng.u32(0..LATE_ONE_IN) == 0) else {
            continue;
        };
        // The next one stays where it is when it was exchanged before.
        if !taken[after] {
            order.swap(place, after);
            taken[place] = true;
            exchanged += 1;
        }
    }
    exchanged
}

/// Copies with the place that they come after, and those of an hour later.
fn copies(rng: &mut Rng, order: &[u32]) -> (Vec<(usize, u32)>, Vec<u32>) {
    let (mut copies, mut hour_later) = (Vec::new(), Vec::new());
    for (place, message) in order.iter().enumerate() {
        if rng.u32(0..TWICE_ONE_IN) != 0 {
            continue;
        }
        let last = order.len() - 1;
        match rng.u32(0..10) {
            drawn if drawn < SOON_IN_TEN => {
                copies.push(((place + rng.usize(1..=SOON)).min(last), *message));
            }
            drawn if drawn < SOON_IN_TEN + LATER_IN_TEN => {
                copies.push((rng.usize(place..=last), *message));
            }
            _ => hour_later.push(*message),
        }
    }
    copies.sort_unstable();
    (copies, hour_later)
}

fn with_copies(order: Vec<u32>, copies: Vec<(usize, u32)>) -> Vec<u32> {
    let mut copies = copies.into_iter().peekable();
    let mut deliveries = Vec::new();
    for (place, message) in order.into_iter().enumerate() {
        deliveries.push(message);
        while let Some((_, copy)) = copies.next_if(|(after, _)| *after == place) {
            deliveries.push(copy);
        }
    }
    deliveries
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_in_twenty_comes_twice_and_one_in_a_hundred_after_a_later_one() {
        let load = Load::new(1, 40_000);
        assert_eq!(load, Load::new(1, 40_000));
        assert_ne!(load, Load::new(2, 40_000));
        let mut seen = vec![0; 40_000];
        for message in load.deliveries.iter().chain(&load.hour_later) {
            seen[*message as usize] += 1;
        }
        assert!(seen.iter().all(|times| (1..=2).contains(times)));
        let twice = seen.iter().filter(|times| **times == 2).count();
        assert_eq!(twice, load.twice);
        assert!((1_800..2_200).contains(&twice), "{twice}");
        assert!((300..500).contains(&load.hour_later.len()));
        assert!((300..500).contains(&load.out_of_order), "{load:?}");
    }

    #[test]
    fn a_message_out_of_order_is_delivered_after_a_later_one_of_its_user() {
        let load = Load::new(3, 10_000);
        let mut latest = std::collections::HashMap::new();
        let mut first = vec![true; 10_000];
        let mut late = 0;
        for message in &load.deliveries {
            if !std::mem::replace(&mut first[*message as usize], false) {
                continue;
            }
            let user = load.questions[*message as usize].user;
            let latest = latest.entry(user).or_insert(*message);
            late += usize::from(*message < *latest);
            *latest = (*latest).max(*message);
        }
        assert!(late >= load.out_of_order, "{late} of {}", load.out_of_order);
    }
}
