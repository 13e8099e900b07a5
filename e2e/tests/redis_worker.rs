//! A worker whose sessions are in a real Redis server that is flushed, frozen and restarted from an old snapshot.
#![allow(clippy::unwrap_used)] // A step of a scenario fails as the scenario does.

mod store;
mod talk;

use std::time::Duration;

use anyhow::Result;
use chatbot_e2e::redis::Server;
use chatbot_store::redis::Reason;

use store::{becomes, of};
use talk::Talk;

#[tokio::test(flavor = "multi_thread")]
#[ignore = "starts Redis servers"]
async fn a_store_flushed_in_mid_run_is_filled_again_before_the_next_answer() -> Result<()> {
    let server = Server::start()?;
    let mut talk = Talk::begin(of(&server)).await;
    for _ in 0..3 {
        talk.ask().await;
    }
    talk.view_has_everything().await;
    server.flush()?;
    assert_eq!(talk.ask().await.text, talk.everything());
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "starts Redis servers"]
async fn a_store_restarted_from_an_old_snapshot_is_brought_up_again() -> Result<()> {
    let mut server = Server::start()?;
    let mut talk = Talk::begin(of(&server)).await;
    talk.ask().await;
    talk.view_has_everything().await;
    server.ask(&["SAVE"])?;
    talk.ask().await;
    talk.ask().await;
    talk.view_has_everything().await;
    server.kill();
    server.begin()?;
    assert_eq!(talk.ask().await.text, talk.everything());
    Ok(())
}

/// 2 s for the context, as the guarantee says; the rest is for a machine that is busy.
const WITHOUT_HISTORY: Duration = Duration::from_millis(3_500);

#[tokio::test(flavor = "multi_thread")]
#[ignore = "starts Redis servers"]
async fn while_the_store_is_frozen_answers_come_without_history_and_in_time() -> Result<()> {
    let server = Server::start()?;
    let mut talk = Talk::begin(of(&server)).await;
    talk.ask().await;
    talk.view_has_everything().await;
    // One that has answered nothing itself knows only what is in the store.
    talk.change_worker().await;
    server.freeze()?;
    let answer = talk.ask().await;
    assert_eq!(answer.text, "2", "what only the store knows is missing");
    assert!(answer.after < WITHOUT_HISTORY, "{:?}", answer.after);
    let state = becomes(talk.view.connection(), Reason::StoreUnreachable).await;
    assert!(state.message.contains(&server.address()), "{state:?}");
    let answer = talk.ask().await;
    assert_eq!(answer.text, "2 3", "its own answers it knows");
    assert!(answer.after < WITHOUT_HISTORY, "{:?}", answer.after);
    server.thaw()?;
    becomes(talk.view.connection(), Reason::StoreReady).await;
    talk.view_has_everything().await;
    assert_eq!(talk.ask().await.text, talk.everything());
    Ok(())
}
