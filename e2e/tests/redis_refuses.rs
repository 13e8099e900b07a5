//! Real Redis servers that answer and refuse what is needed of them: full, unable to save, replicas, with a user who may
//! not; told, and used again when they are mended.
#![allow(clippy::unwrap_used)] // A step of a scenario fails as the scenario does.

mod store;

use std::time::Duration;

use anyhow::Result;
use chatbot_e2e::redis::{Cluster, Server};
use chatbot_store::View;
use chatbot_store::contract::{KEEP, account, turn, update};
use chatbot_store::redis::{Connection, Reason, RedisView};

use store::{PREFIX, becomes, now_ms, of, of_cluster, secret};

#[tokio::test(flavor = "multi_thread")]
#[ignore = "starts Redis servers"]
async fn a_full_store_is_told_and_read_and_written_to_again_when_it_has_room() -> Result<()> {
    let full = ["--maxmemory", "100kb", "--maxmemory-policy", "noeviction"];
    let server = Server::start_with(&full, &[])?;
    let view = RedisView::connect(of(&server), KEEP)?;
    let first = update(0, 2, vec![(account("u"), turn(1, now_ms()))]);
    for _ in 0..2 {
        let state = becomes(view.connection(), Reason::StoreRefusesWrites).await;
        assert!(
            state.message.contains("OOM command not allowed"),
            "{state:?}"
        );
        assert!(view.apply(0, first.clone()).await.is_err());
        view.session(0, &account("u")).await?;
        server.ask(&["CONFIG", "SET", "maxmemory", "0"])?;
        becomes(view.connection(), Reason::StoreReady).await;
        view.apply(0, first.clone()).await?;
        let session = view.session(0, &account("u")).await?;
        assert_eq!((session.at, session.turns.len()), (2, 1));
        server.flush()?;
        server.ask(&["CONFIG", "SET", "maxmemory", "100kb"])?;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "starts Redis servers"]
async fn a_store_that_cannot_save_or_lacks_replicas_is_told_until_it_is_mended() -> Result<()> {
    let server = Server::start()?;
    let connection = Connection::open(of(&server))?;
    becomes(&connection, Reason::StoreReady).await;
    server.ask(&["CONFIG", "SET", "min-replicas-to-write", "1"])?;
    let state = becomes(&connection, Reason::StoreRefusesWrites).await;
    assert!(state.message.contains("NOREPLICAS"), "{state:?}");
    server.ask(&["CONFIG", "SET", "min-replicas-to-write", "0"])?;
    becomes(&connection, Reason::StoreReady).await;

    std::fs::remove_dir_all(server.folder())?;
    server.ask(&["CONFIG", "SET", "save", "3600 1000000"])?;
    server.ask(&["BGSAVE"])?;
    let state = becomes(&connection, Reason::StoreRefusesWrites).await;
    assert!(state.message.contains("MISCONF"), "{state:?}");
    server.ask(&["CONFIG", "SET", "save", ""])?;
    becomes(&connection, Reason::StoreReady).await;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "starts Redis servers"]
async fn a_cluster_that_is_full_is_told_until_it_has_room() -> Result<()> {
    let cluster = Cluster::start(3)?;
    let connection = Connection::open(of_cluster(&cluster))?;
    becomes(&connection, Reason::StoreReady).await;
    let limit = |bytes| {
        let mut nodes = cluster.nodes.iter();
        nodes.try_for_each(|node| node.ask(&["CONFIG", "SET", "maxmemory", bytes]).map(drop))
    };
    limit("100kb")?;
    let state = becomes(&connection, Reason::StoreRefusesWrites).await;
    assert!(
        state.message.contains("OOM command not allowed"),
        "{state:?}"
    );
    limit("0")?;
    becomes(&connection, Reason::StoreReady).await;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "starts Redis servers"]
async fn a_replica_is_told_until_it_is_a_master_also_by_a_user_who_may_not_ask() -> Result<()> {
    let (master, server) = (Server::start()?, Server::start()?);
    let follow = || server.ask(&["REPLICAOF", "127.0.0.1", &master.port().to_string()]);
    let become_master = || server.ask(&["REPLICAOF", "NO", "ONE"]);
    for rights in ["+role", "-role"] {
        server.ask(&["ACL", "SETUSER", "default", rights])?;
        follow()?;
        let connection = Connection::open(of(&server))?;
        for _ in 0..2 {
            let state = becomes(&connection, Reason::StoreRefusesWrites).await;
            assert!(state.message.contains("name its master"), "{state:?}");
            become_master()?;
            becomes(&connection, Reason::StoreReady).await;
            follow()?;
        }
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "starts Redis servers"]
async fn whatever_right_a_user_lacks_is_told_until_it_is_given() -> Result<()> {
    let server = Server::start()?;
    let user = |rights: &[&str]| server.ask(&[&["ACL", "SETUSER", "chat"], rights].concat());
    user(&["on", ">secret", "~other:*", "&*", "+@all"])?;
    let folder = tempfile::tempdir()?;
    secret(
        folder.path(),
        &[("username", "chat"), ("password", "secret")],
    );
    let mut options = of(&server);
    options.credentials = Some(folder.path().to_owned());
    // Many looks are waited for.
    options.timeouts.check = Duration::from_millis(500);
    let connection = Connection::open(options)?;
    let state = becomes(&connection, Reason::CredentialsRejected).await;
    // What it says is what is to be done.
    let (_, said) = state.message.split_once("ACL SETUSER NAME ").unwrap();
    let said: Vec<_> = said.split(' ').collect();
    user(&[&["reset", "on", ">secret"], said.as_slice()].concat())?;
    becomes(&connection, Reason::StoreReady).await;

    let plain = format!("~{PREFIX}*");
    user(&["resetkeys", &plain])?;
    becomes(&connection, Reason::CredentialsRejected).await;
    user(&[&format!("~{{{PREFIX}*")])?;
    becomes(&connection, Reason::StoreReady).await;
    for command in
        "get set del evalsha pexpire lindex lrange rpush ltrim hget hgetall hset hdel pttl time"
            .split(' ')
    {
        user(&[&format!("-{command}")])?;
        becomes(&connection, Reason::CredentialsRejected).await;
        user(&[&format!("+{command}")])?;
        becomes(&connection, Reason::StoreReady).await;
    }

    user(&["-hset"])?;
    becomes(&connection, Reason::CredentialsRejected).await;
    let other = [
        "ACL",
        "SETUSER",
        "other",
        "on",
        ">secret",
        "allkeys",
        "allchannels",
        "+@all",
    ];
    server.ask(&other)?;
    secret(folder.path(), &[("username", "other")]);
    becomes(&connection, Reason::StoreReady).await;
    Ok(())
}
