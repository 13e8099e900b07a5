//! What every implementation of [`View`] and [`Routes`] must hold to, as functions for tests.
//!
//! Each takes partitions of its own, so that all of them can be put to one store; none sleeps.

// Tests are what calls these.
#![allow(clippy::missing_panics_doc, clippy::unwrap_used)]

use std::time::Duration;

use async_trait::async_trait;
use chatbot_message::Account;
use uuid::Uuid;

use crate::route::{SOCKET_LIFE, Socket};
use crate::{ATTEMPTS, Applied, Codes, Keep, Route, Routes, Taken, Turn, Update, View, millis};

/// What the sessions of a subject keep.
pub const KEEP: Keep = Keep {
    timeout: Duration::from_mins(1),
    turns: 3,
};

/// An implementation under test.
#[async_trait]
pub trait Subject: Sync {
    /// Its sessions, which keep [`KEEP`].
    fn view(&self) -> &dyn View;
    /// Its routes.
    fn routes(&self) -> &dyn Routes;
    /// Sets what its readers take for the time, milliseconds since the epoch.
    fn set_clock(&self, now: i64);
    /// Makes it forget everything.
    async fn flush(&self);
}

/// All of it.
pub async fn check(subject: &dyn Subject) {
    an_update_from_elsewhere_is_told_where_to_go_on(subject).await;
    a_turn_already_there_is_not_there_twice(subject).await;
    a_session_keeps_its_latest_turns_and_starts_anew_after_the_timeout(subject).await;
    a_replay_of_old_turns_gives_the_session_that_was_there(subject).await;
    users_and_partitions_are_apart_whatever_they_are_called(subject).await;
    text_comes_back_as_it_was(subject).await;
    the_latest_reply_tells_where_a_chat_is(subject).await;
    a_newer_socket_outlives_the_end_of_the_old_one(subject).await;
    a_reply_never_takes_the_route_from_a_socket(subject).await;
    a_socket_whose_gateway_died_is_not_given(subject).await;
    a_flushed_store_is_filled_again_from_the_beginning(subject).await;
    turns_of_a_journal_that_was_there_before_make_way(subject).await;
}

/// What every implementation of [`Codes`] must hold to.
pub async fn check_codes(codes: &dyn Codes) {
    let message = Uuid::from_u128;
    let taken = async |code: &str, number| {
        let taker = account("taker");
        let taking = codes.take(code, &taker, message(number));
        taking.await.unwrap()
    };
    assert_eq!(taken("NONE", 1).await, Taken::Unknown);
    codes.offer("ONE", &account("u v")).await.unwrap();
    codes.offer("TWO", &account("w")).await.unwrap();
    let own = codes.take("ONE", &account("u v"), message(9)).await;
    assert_eq!(own, Ok(Taken::Own), "and it can be taken by others yet");
    for _ in 0..2 {
        // Whoever does the same again after a crash is given the same.
        assert_eq!(taken("ONE", 1).await, Taken::For(account("u v")));
    }
    assert_eq!(taken("ONE", 2).await, Taken::Used);
    assert_eq!(taken("TWO", 2).await, Taken::For(account("w")));
    let (guesser, other) = (account("guesser"), account("other"));
    let tried = async |who: &Account, number| codes.attempt(1, who, message(number)).await.unwrap();
    let most = u128::try_from(ATTEMPTS).unwrap();
    for number in (0..most).chain([0]) {
        assert!(tried(&guesser, number).await, "attempt {number}");
    }
    assert!(!tried(&guesser, most).await);
    assert!(tried(&other, most).await, "each account has its own");
}

/// A user of the web chat.
#[must_use]
pub fn account(user: &str) -> Account {
    Account {
        channel: "web".to_owned(),
        user: user.to_owned(),
    }
}

/// A turn at a position of the journal, taken by it at a time.
#[must_use]
pub fn turn(position: u64, at: i64) -> Turn {
    Turn {
        position,
        at,
        message_id: Uuid::from_u128(position.into()),
        question: format!("question {position}"),
        answer: "!".to_owned(),
        fallback: false,
    }
}

/// An update with turns and no routes.
#[must_use]
pub fn update(from: u64, to: u64, turns: Vec<(Account, Turn)>) -> Update {
    Update {
        from,
        to,
        fold: format!("fold at {to}"),
        turns,
        routes: Vec::new(),
    }
}

/// Of one user.
fn of_u(from: u64, to: u64, turns: Vec<Turn>) -> Update {
    let turns = turns.into_iter().map(|turn| (account("u"), turn));
    update(from, to, turns.collect())
}

async fn positions(subject: &dyn Subject, partition: u32, user: &str) -> Vec<u64> {
    let session = subject.view().session(partition, &account(user)).await;
    let turns = session.unwrap().turns;
    turns.iter().map(|turn| turn.position).collect()
}

async fn apply(subject: &dyn Subject, partition: u32, update: Update) -> Applied {
    subject.view().apply(partition, update).await.unwrap()
}

async fn an_update_from_elsewhere_is_told_where_to_go_on(subject: &dyn Subject) {
    subject.set_clock(0);
    let nowhere = (0, String::new());
    assert_eq!(subject.view().position(0).await.unwrap(), nowhere);
    let first = of_u(0, 2, vec![turn(1, 0)]);
    assert_eq!(apply(subject, 0, first).await, Applied::Done);
    let at = Applied::At {
        position: 2,
        fold: "fold at 2".to_owned(),
    };
    let again = of_u(0, 5, vec![turn(1, 0), turn(4, 0)]);
    assert_eq!(apply(subject, 0, again).await, at);
    let ahead = of_u(3, 5, vec![turn(4, 0)]);
    assert_eq!(apply(subject, 0, ahead).await, at);
    assert_eq!(positions(subject, 0, "u").await, [1]);
    let next = of_u(2, 5, vec![turn(4, 0)]);
    assert_eq!(apply(subject, 0, next).await, Applied::Done);
    assert_eq!(positions(subject, 0, "u").await, [1, 4]);
    let session = subject.view().session(0, &account("u")).await.unwrap();
    assert_eq!(session.at, 5);
    assert_eq!(
        subject.view().position(0).await.unwrap(),
        (5, "fold at 5".to_owned())
    );
    assert_eq!(
        subject.view().position(1).await.unwrap(),
        nowhere,
        "partitions are apart"
    );
}

async fn a_turn_already_there_is_not_there_twice(subject: &dyn Subject) {
    subject.set_clock(0);
    let turns = [1, 1, 3, 1].map(|position| turn(position, 0));
    apply(subject, 2, of_u(0, 4, turns.to_vec())).await;
    assert_eq!(positions(subject, 2, "u").await, [1, 3]);
    apply(subject, 2, of_u(4, 10, vec![turn(3, 0), turn(9, 0)])).await;
    assert_eq!(
        positions(subject, 2, "u").await,
        [1, 3, 9],
        "9 is after 3, and 10 after 9"
    );
    apply(subject, 2, of_u(10, 11, vec![turn(10, 0)])).await;
    assert_eq!(positions(subject, 2, "u").await, [3, 9, 10]);
}

async fn a_session_keeps_its_latest_turns_and_starts_anew_after_the_timeout(subject: &dyn Subject) {
    subject.set_clock(0);
    let turns = (0..4).map(|position| turn(position, 0)).collect();
    apply(subject, 3, of_u(0, 4, turns)).await;
    assert_eq!(positions(subject, 3, "u").await, [1, 2, 3]);
    subject.set_clock(60_000);
    assert_eq!(positions(subject, 3, "u").await, [1, 2, 3]);
    subject.set_clock(60_001);
    assert_eq!(positions(subject, 3, "u").await, [0; 0]);
    apply(subject, 3, of_u(4, 5, vec![turn(4, 60_001)])).await;
    assert_eq!(positions(subject, 3, "u").await, [4]);
    apply(subject, 3, of_u(5, 6, vec![turn(5, 120_001)])).await;
    subject.set_clock(120_001);
    assert_eq!(positions(subject, 3, "u").await, [4, 5]);
}

/// Each turn alone is long over, the session is not.
async fn a_replay_of_old_turns_gives_the_session_that_was_there(subject: &dyn Subject) {
    subject.set_clock(130_000);
    apply(subject, 4, of_u(0, 1, vec![turn(0, 20_000)])).await;
    apply(subject, 4, of_u(1, 2, vec![turn(1, 75_000)])).await;
    apply(subject, 4, of_u(2, 3, vec![turn(2, 130_000)])).await;
    assert_eq!(positions(subject, 4, "u").await, [0, 1, 2]);
}

async fn users_and_partitions_are_apart_whatever_they_are_called(subject: &dyn Subject) {
    subject.set_clock(0);
    let names = ["u", "u:s", "U", "}", "{x}", "ü 日本", "a\0b", "-", ""];
    let turns = names.iter().zip(0..);
    let turns = turns.map(|(name, position)| (account(name), turn(position, 0)));
    apply(subject, 5, update(0, 20, turns.collect())).await;
    for (name, position) in names.iter().zip(0..) {
        assert_eq!(positions(subject, 5, name).await, [position], "{name:?}");
    }
    assert_eq!(positions(subject, 6, "u").await, [0; 0]);
    let elsewhere = Account {
        channel: "other".to_owned(),
        ..account("u")
    };
    let session = subject.view().session(5, &elsewhere).await.unwrap();
    assert_eq!((session.at, session.turns.len()), (20, 0));
}

async fn text_comes_back_as_it_was(subject: &dyn Subject) {
    subject.set_clock(0);
    let turn = Turn {
        question: "a \"b\"\r\n\0 \u{202e}日本\u{1f600}".to_owned(),
        answer: "9 9 {} ".repeat(20_000),
        fallback: true,
        ..turn(1, -5)
    };
    apply(subject, 7, of_u(0, 2, vec![turn.clone()])).await;
    let session = subject.view().session(7, &account("u")).await.unwrap();
    assert_eq!(session.turns, [turn]);
}

fn reached(channel: &str, origin: &str, epoch: u64) -> Route {
    Route {
        channel: channel.to_owned(),
        origin: origin.to_owned(),
        instance: None,
        epoch,
    }
}

fn replies(from: u64, to: u64, routes: Vec<Route>) -> Update {
    Update {
        routes: routes
            .into_iter()
            .map(|route| (account("u"), route))
            .collect(),
        ..update(from, to, Vec::new())
    }
}

async fn routes(subject: &dyn Subject, partition: u32) -> Vec<Route> {
    let routes = subject.routes().routes(partition, &account("u")).await;
    routes.unwrap()
}

async fn the_latest_reply_tells_where_a_chat_is(subject: &dyn Subject) {
    subject.set_clock(crate::now_ms());
    assert_eq!(routes(subject, 8).await, []);
    let both = vec![
        reached("telegram", "chat 1", 3),
        reached("slack", "C1 thread", 5),
        reached("telegram", "chat 2", 9),
    ];
    apply(subject, 8, replies(0, 10, both)).await;
    let latest = [
        reached("slack", "C1 thread", 5),
        reached("telegram", "chat 2", 9),
    ];
    assert_eq!(routes(subject, 8).await, latest);
    apply(
        subject,
        8,
        replies(10, 11, vec![reached("telegram", "chat 1", 3)]),
    )
    .await;
    assert_eq!(
        routes(subject, 8).await,
        latest,
        "a replayed reply takes nothing back"
    );
    apply(subject, 8, replies(11, 12, vec![reached("slack", "", 11)])).await;
    assert_eq!(routes(subject, 8).await[0], reached("slack", "", 11));
}

const FIRST: Socket<'_> = Socket {
    channel: "web",
    origin: "page 1",
    instance: "10.0.0.1:9091",
};
const SECOND: Socket<'_> = Socket {
    channel: "web",
    origin: "page 2",
    instance: "10.0.0.2:9091",
};

fn held(socket: Socket<'_>, epoch: u64) -> Route {
    Route {
        instance: Some(socket.instance.to_owned()),
        ..reached(socket.channel, socket.origin, epoch)
    }
}

async fn a_newer_socket_outlives_the_end_of_the_old_one(subject: &dyn Subject) {
    subject.set_clock(crate::now_ms());
    let (user, store) = (account("u"), subject.routes());
    let old = store.open(9, &user, FIRST).await.unwrap();
    assert_eq!(routes(subject, 9).await, [held(FIRST, old)]);
    let new = store.open(9, &user, SECOND).await.unwrap();
    assert!(new > old, "{new} is newer than {old}");
    assert!(
        !store.announce(9, &user, FIRST, old).await.unwrap(),
        "the old socket's gateway does not know yet"
    );
    assert!(
        !store.close(9, &user, "web", old).await.unwrap(),
        "the old socket's end came late"
    );
    assert_eq!(routes(subject, 9).await, [held(SECOND, new)]);
    assert!(store.announce(9, &user, SECOND, new).await.unwrap());
    assert!(store.close(9, &user, "web", new).await.unwrap());
    assert_eq!(routes(subject, 9).await, []);
    assert!(!store.close(9, &user, "web", new).await.unwrap());
    assert!(
        store.announce(9, &user, FIRST, old).await.unwrap(),
        "the old socket is the only one again"
    );
    assert_eq!(routes(subject, 9).await, [held(FIRST, old)]);
    let same = store.open(9, &user, FIRST).await.unwrap();
    assert!(same > old, "{same} is newer than {old}");
    assert!(
        !store.close(9, &user, "web", old).await.unwrap(),
        "opened again through the same gateway"
    );
    assert_eq!(routes(subject, 9).await, [held(FIRST, same)]);
}

async fn a_reply_never_takes_the_route_from_a_socket(subject: &dyn Subject) {
    subject.set_clock(crate::now_ms());
    let (user, store) = (account("u"), subject.routes());
    apply(
        subject,
        10,
        replies(0, 8, vec![reached("web", "page 0", 7)]),
    )
    .await;
    let epoch = store.open(10, &user, FIRST).await.unwrap();
    apply(
        subject,
        10,
        replies(8, 9, vec![reached("web", "page 1", 8)]),
    )
    .await;
    assert_eq!(routes(subject, 10).await, [held(FIRST, epoch)]);
    store.close(10, &user, "web", epoch).await.unwrap();
    apply(
        subject,
        10,
        replies(9, 10, vec![reached("web", "page 1", 9)]),
    )
    .await;
    assert_eq!(routes(subject, 10).await, [reached("web", "page 1", 9)]);
    assert!(
        !store.close(10, &user, "web", 9).await.unwrap(),
        "no socket has this epoch"
    );
}

async fn a_socket_whose_gateway_died_is_not_given(subject: &dyn Subject) {
    let now = crate::now_ms();
    subject.set_clock(now);
    let (user, store) = (account("u"), subject.routes());
    let epoch = store.open(11, &user, FIRST).await.unwrap();
    // A minute more than the clocks of a store and its readers may ever be apart here.
    subject.set_clock(now + millis(SOCKET_LIFE) + 60_000);
    assert_eq!(routes(subject, 11).await, []);
    subject.set_clock(now);
    store.announce(11, &user, FIRST, epoch).await.unwrap();
    assert_eq!(routes(subject, 11).await, [held(FIRST, epoch)]);
}

async fn a_flushed_store_is_filled_again_from_the_beginning(subject: &dyn Subject) {
    subject.set_clock(0);
    apply(subject, 12, of_u(0, 2, vec![turn(1, 0)])).await;
    subject.flush().await;
    let session = subject.view().session(12, &account("u")).await.unwrap();
    assert_eq!((session.at, session.turns), (0, Vec::new()));
    let beginning = Applied::At {
        position: 0,
        fold: String::new(),
    };
    assert_eq!(
        apply(subject, 12, of_u(2, 3, vec![turn(2, 0)])).await,
        beginning
    );
    let all = of_u(0, 3, vec![turn(1, 0), turn(2, 0)]);
    assert_eq!(apply(subject, 12, all).await, Applied::Done);
    assert_eq!(positions(subject, 12, "u").await, [1, 2]);
    subject.set_clock(crate::now_ms());
    let (user, store) = (account("u"), subject.routes());
    let epoch = store.open(12, &user, FIRST).await.unwrap();
    subject.flush().await;
    assert_eq!(routes(subject, 12).await, []);
    assert!(store.announce(12, &user, FIRST, epoch).await.unwrap());
}

async fn turns_of_a_journal_that_was_there_before_make_way(subject: &dyn Subject) {
    subject.set_clock(0);
    apply(subject, 13, of_u(0, 100, vec![turn(98, 0), turn(99, 0)])).await;
    let anew = of_u(100, 3, vec![turn(1, 0), turn(2, 0)]);
    assert_eq!(apply(subject, 13, anew).await, Applied::Done);
    assert_eq!(positions(subject, 13, "u").await, [1, 2]);
    apply(subject, 13, of_u(3, 5, vec![turn(4, 0)])).await;
    assert_eq!(positions(subject, 13, "u").await, [1, 2, 4]);
}
