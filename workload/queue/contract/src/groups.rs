//! Groups: who is suggested what, and what they commit.

use std::collections::BTreeSet;
use std::time::Duration;

use chatbot_queue::lease::Moment;
use chatbot_queue::{Commit, Error, Topic};
use futures::FutureExt;

use crate::{Bench, PARTITIONS, Promise, release_at_once, suggested, within};

pub(crate) fn promises() -> Vec<Promise> {
    vec![
        ("members of a group share its partitions", |bench| {
            share(bench).boxed()
        }),
        (
            "a partition is given to another only when it has been released",
            |bench| handed_over(bench).boxed(),
        ),
        (
            "progress is kept with its metadata, for each group apart",
            |bench| progress(bench).boxed(),
        ),
        (
            "a member that stands still loses its partitions, and harms nothing when it goes on",
            |bench| victim(bench).boxed(),
        ),
        (
            "what a member knew before it was given up never replaces what another has committed since",
            |bench| fenced(bench).boxed(),
        ),
    ]
}

fn commit(offset: u64, metadata: &str) -> Commit {
    Commit {
        offset,
        metadata: metadata.to_owned(),
    }
}

fn all() -> BTreeSet<u32> {
    (0..PARTITIONS).collect()
}

async fn share(bench: &dyn Bench) {
    let (log, other) = (bench.log().await, bench.log().await);
    let first = log.join("shared", Topic::Inbound).await.unwrap();
    let mut of_first = first.suggested();
    assert_eq!(suggested(&mut of_first, 4).await, all());
    let second = other.join("shared", Topic::Inbound).await.unwrap();
    let mut of_second = second.suggested();
    let sharing = async {
        let second = suggested(&mut of_second, 2).await;
        let first = suggested(&mut of_first, 2).await;
        assert!(first.is_disjoint(&second), "{first:?} and {second:?}");
        assert_eq!(
            first.union(&second).copied().collect::<BTreeSet<_>>(),
            all()
        );
    };
    tokio::select! {
        () = sharing => {}
        () = release_at_once(first.as_ref()) => {}
    }
    // Another group, and the same on another topic, are other groups.
    let apart = log.join("apart", Topic::Inbound).await.unwrap();
    assert_eq!(suggested(&mut apart.suggested(), 4).await, all());
    within("the second leaves", second.close()).await;
    assert_eq!(suggested(&mut of_first, 4).await, all());
    let third = other.join("shared", Topic::Inbound).await.unwrap();
    let mut of_third = third.suggested();
    tokio::select! {
        partitions = suggested(&mut of_third, 2) => drop(partitions),
        () = release_at_once(first.as_ref()) => {}
    }
    // One that is only dropped leaves, too.
    drop(first);
    assert_eq!(suggested(&mut of_third, 4).await, all());
}

async fn handed_over(bench: &dyn Bench) {
    let (log, other) = (bench.log().await, bench.log().await);
    let first = log.join("handed", Topic::Response).await.unwrap();
    let mut of_first = first.suggested();
    suggested(&mut of_first, 4).await;
    let second = other.join("handed", Topic::Response).await.unwrap();
    let mut of_second = second.suggested();
    let left = suggested(&mut of_first, 2).await;
    let moving: Vec<u32> = all().difference(&left).copied().collect();
    // It may still say how far it has come.
    let last_words = first.commit(moving[0], commit(7, "last words"));
    within("the last commit", last_words).await.unwrap();
    let early = tokio::time::timeout(Duration::from_secs(1), suggested(&mut of_second, 2));
    assert!(early.await.is_err(), "given away before it was released");
    for partition in &moving {
        first.release(*partition);
    }
    let got = suggested(&mut of_second, 2).await;
    assert_eq!(got.into_iter().collect::<Vec<_>>(), moving);
    let found = within("progress", second.committed(moving[0]))
        .await
        .unwrap();
    assert_eq!(found, commit(7, "last words"));
}

async fn progress(bench: &dyn Bench) {
    let log = bench.log().await;
    let member = log.join("progress", Topic::Inbound).await.unwrap();
    suggested(&mut member.suggested(), 4).await;
    let never = within("progress", member.committed(1)).await.unwrap();
    assert_eq!(never, Commit::default());
    assert!(
        !member.lease().lasts(Duration::ZERO),
        "nothing was committed"
    );
    let before = Moment::now();
    let facts = commit(3, &format!("{{\"facts\":\"{}\"}}", "x".repeat(2_000)));
    let plain = commit(5, "");
    let (one, two) = futures::join!(
        member.commit(1, facts.clone()),
        member.commit(2, plain.clone())
    );
    one.and(two).unwrap();
    let lease = member.lease();
    assert!(lease.lasts(Duration::ZERO));
    assert!(
        lease.until.since(before) < Duration::from_secs(20),
        "{lease:?}"
    );
    let other = bench.log().await;
    let read = async |group, topic, partition| {
        let reading = other.committed(group, topic, partition);
        within("progress", reading).await.unwrap()
    };
    assert_eq!(read("progress", Topic::Inbound, 1).await, facts);
    assert_eq!(read("progress", Topic::Inbound, 2).await, plain);
    assert_eq!(read("progress", Topic::Inbound, 3).await, Commit::default());
    assert_eq!(read("another", Topic::Inbound, 1).await, Commit::default());
    // It may go back, since it is only where somebody begins to read.
    member.commit(1, commit(2, "back")).await.unwrap();
    assert_eq!(read("progress", Topic::Inbound, 1).await, commit(2, "back"));
}

async fn victim(bench: &dyn Bench) {
    let log = bench.log().await;
    let mut victim = bench.victim("frozen", Topic::Inbound).await;
    assert_eq!(victim.suggested(4).await, all());
    victim.commit(0, commit(1, "before")).await.unwrap();
    let term = victim.term().await;
    victim.freeze().await;
    let member = log.join("frozen", Topic::Inbound).await.unwrap();
    let mut of_member = member.suggested();
    assert_eq!(suggested(&mut of_member, 4).await, all());
    member.commit(0, commit(9, "meanwhile")).await.unwrap();
    let releasing = release_at_once(member.as_ref());
    let going_on = async {
        victim.thaw().await;
        // Refused, or taken because it is a member again: then it says what was true once, and no more is read for it.
        let late = victim.commit(0, commit(2, "late")).await;
        let found = within("progress", log.committed("frozen", Topic::Inbound, 0)).await;
        let expected = match late {
            Ok(()) => commit(2, "late"),
            Err(Error::Refused { .. }) => commit(9, "meanwhile"),
            Err(error) => unreachable!("{error}"),
        };
        assert_eq!(found.unwrap(), expected);
        let again = victim.suggested(2).await;
        let kept = suggested(&mut of_member, 2).await;
        assert!(again.is_disjoint(&kept), "{again:?} and {kept:?}");
        assert!(victim.term().await > term, "it knows that it was given up");
    };
    tokio::select! {
        () = going_on => {}
        () = releasing => {}
    }
}

async fn fenced(bench: &dyn Bench) {
    let log = bench.log().await;
    let mut victim = bench.victim("fenced", Topic::Cursor).await;
    assert_eq!(victim.suggested(4).await, all());
    let term = victim.term().await;
    let first = victim.commit_within(term, 0, commit(1, "before"));
    first.await.unwrap();
    victim.freeze().await;
    let member = log.join("fenced", Topic::Cursor).await.unwrap();
    let mut of_member = member.suggested();
    assert_eq!(suggested(&mut of_member, 4).await, all());
    let found = within("progress", member.committed(0)).await.unwrap();
    assert_eq!(found, commit(1, "before"));
    let term_of_member = member.lease().term;
    let next = member.commit_within(term_of_member, 0, commit(2, "meanwhile"));
    next.await.unwrap();
    let releasing = release_at_once(member.as_ref());
    let going_on = async {
        victim.thaw().await;
        let late = victim.commit_within(term, 0, commit(1, "late")).await;
        assert!(matches!(late, Err(Error::Refused { .. })), "{late:?}");
        // Nor later, when it is a member again.
        victim.suggested(2).await;
        let late = victim.commit_within(term, 0, commit(1, "late")).await;
        assert!(matches!(late, Err(Error::Refused { .. })), "{late:?}");
        let found = within("progress", log.committed("fenced", Topic::Cursor, 0)).await;
        assert_eq!(found.unwrap(), commit(2, "meanwhile"));
    };
    tokio::select! {
        () = going_on => {}
        () = releasing => {}
    }
}
