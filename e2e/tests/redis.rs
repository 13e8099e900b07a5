//! Sessions, routes and previews in real Redis servers: one, behind sentinels, a Cluster; flushed, frozen, restarted from
//! an old snapshot, with wrong passwords and certificates.
#![allow(clippy::unwrap_used)] // A step of a scenario fails as the scenario does.

mod store;

use std::time::{Duration, Instant};

use anyhow::Result;
use chatbot_e2e::redis::{Cluster, Replicated, Server};
use chatbot_message::Preview;
use chatbot_queue::Previews;
use chatbot_store::contract::{self, KEEP, account, turn, update};
use chatbot_store::redis::{
    COMMANDS, Connection, Mode, Options, Reason, RedisAnswers, RedisCodes, RedisPreviews, RedisView,
};
use chatbot_store::{Answers, Applied, Lookups, Routes, Socket, View};
use futures::StreamExt;
use uuid::Uuid;

use store::{Certificates, GENEROUS, PREFIX, Put, becomes, now_ms, of, of_cluster, secret};

/// What is promised of everything that is kept there.
async fn check(options: Options, flush: impl Fn() -> Result<()> + Sync) -> Result<()> {
    contract::check(&Put::new(options.clone(), flush)).await;
    contract::check_codes(&RedisCodes::new(Connection::open(options)?)).await;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "starts Redis servers"]
async fn the_contract_holds_on_one_server() -> Result<()> {
    let server = Server::start()?;
    check(of(&server), || server.flush()).await
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "starts Redis servers"]
async fn the_contract_holds_on_a_cluster_of_three() -> Result<()> {
    let cluster = Cluster::start(3)?;
    check(of_cluster(&cluster), || cluster.flush()).await
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "starts Redis servers"]
async fn a_user_with_the_rights_that_are_documented_needs_no_others() -> Result<()> {
    let mut rights = vec!["--user", "chat", "on", ">secret", "resetchannels"];
    let patterns = [
        format!("~{PREFIX}*"),
        format!("~{{{PREFIX}*"),
        format!("&{PREFIX}previews"),
    ];
    rights.extend(patterns.iter().map(String::as_str));
    rights.extend(COMMANDS.split_whitespace());
    let server = Server::start_with(&rights, &[])?;
    let folder = tempfile::tempdir()?;
    secret(
        folder.path(),
        &[("username", "chat\n"), ("password", "secret\n")],
    );
    let options = Options {
        credentials: Some(folder.path().to_owned()),
        ..of(&server)
    };
    check(options.clone(), || server.flush()).await?;
    let connection = Connection::open(options)?;
    becomes(&connection, Reason::StoreReady).await;
    previews_arrive(&connection, &connection).await;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "starts Redis servers"]
async fn a_store_that_is_away_fails_at_once_and_is_found_again() -> Result<()> {
    let mut server = Server::start()?;
    let view = RedisView::connect(of(&server), KEEP)?;
    becomes(view.connection(), Reason::StoreReady).await;
    server.kill();
    let state = becomes(view.connection(), Reason::StoreUnreachable).await;
    let began = Instant::now();
    let refused = view.session(0, &account("u")).await.unwrap_err();
    assert!(began.elapsed() < Duration::from_millis(100));
    assert_eq!(refused.reason, view.connection().state().message);
    assert!(state.message.contains(&server.address()), "{state:?}");
    server.begin()?;
    becomes(view.connection(), Reason::StoreReady).await;
    view.session(0, &account("u")).await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "starts Redis servers"]
async fn a_wrong_password_is_told_and_a_right_one_taken_without_a_restart() -> Result<()> {
    let credentials = ["--no-auth-warning", "-a", "right"];
    let server = Server::start_with(&["--requirepass", "right"], &credentials)?;
    let folder = tempfile::tempdir()?;
    let none = Connection::open(of(&server))?;
    let state = becomes(&none, Reason::CredentialsRejected).await;
    assert!(state.message.contains("name a Secret"), "{state:?}");

    let connection = Connection::open(Options {
        credentials: Some(folder.path().to_owned()),
        ..of(&server)
    })?;
    let state = becomes(&connection, Reason::SecretMissing).await;
    assert!(state.message.contains("key password"), "{state:?}");
    secret(folder.path(), &[("password", "wrong")]);
    let state = becomes(&connection, Reason::CredentialsRejected).await;
    assert!(state.message.contains(&server.address()), "{state:?}");
    assert!(
        !state.message.contains("wrong"),
        "no password is told: {state:?}"
    );
    secret(folder.path(), &[("password", "right")]);
    becomes(&connection, Reason::StoreReady).await;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "starts Redis servers"]
async fn a_wrong_password_for_a_cluster_is_told() -> Result<()> {
    let cluster = Cluster::start(3)?;
    for node in &cluster.nodes {
        node.ask(&["CONFIG", "SET", "requirepass", "right"])?;
    }
    let folder = tempfile::tempdir()?;
    secret(folder.path(), &[("password", "wrong")]);
    let connection = Connection::open(Options {
        credentials: Some(folder.path().to_owned()),
        ..of_cluster(&cluster)
    })?;
    becomes(&connection, Reason::CredentialsRejected).await;
    secret(folder.path(), &[("password", "right")]);
    becomes(&connection, Reason::StoreReady).await;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "starts Redis servers"]
async fn tls_is_spoken_with_certificates_on_both_sides_and_its_faults_are_told() -> Result<()> {
    let certificates = Certificates::new()?;
    let server = certificates.server()?;
    let options = Options {
        tls: Some(certificates.tls()),
        ..of(&server)
    };
    check(options.clone(), || server.flush()).await?;

    let others = Certificates::new()?;
    let mut untrusted = certificates.tls();
    untrusted.ca = others.tls().ca;
    let mut anonymous = certificates.tls();
    anonymous.certificate = None;
    let mut garbled = certificates.tls();
    garbled.ca = Some(certificates.path("server/tls.key").into());
    let mut missing = certificates.tls();
    missing.ca = Some(certificates.path("nowhere").into());
    for (tls, reason, says) in [
        (untrusted, Reason::TLSFailed, "caSecretRef"),
        (anonymous, Reason::TLSFailed, "certificateSecretRef"),
        (garbled, Reason::TLSFailed, "it holds no certificate"),
        (missing, Reason::SecretMissing, "caSecretRef"),
    ] {
        let connection = Connection::open(Options {
            tls: Some(tls),
            ..of(&server)
        })?;
        let state = becomes(&connection, reason).await;
        assert!(state.message.contains(says), "{state:?}");
    }
    let plain = Connection::open(of(&server))?;
    becomes(&plain, Reason::StoreUnreachable).await;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "starts Redis servers"]
async fn a_store_that_would_evict_sessions_is_told_and_used() -> Result<()> {
    let server = Server::start_with(
        &["--maxmemory", "100mb", "--maxmemory-policy", "allkeys-lru"],
        &[],
    )?;
    let view = RedisView::connect(of(&server), KEEP)?;
    let state = becomes(view.connection(), Reason::EvictionEnabled).await;
    assert!(state.message.contains("noeviction"), "{state:?}");
    view.session(0, &account("u")).await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "starts Redis servers"]
async fn after_a_failover_to_a_replica_that_is_behind_the_view_continues_from_there() -> Result<()>
{
    let mut servers = Replicated::start()?;
    let options = Options {
        mode: Mode::Sentinel {
            master_name: Replicated::MASTER_NAME.to_owned(),
        },
        addresses: servers.addresses(),
        ..of(&servers.master)
    };
    let view = RedisView::connect(options.clone(), KEEP)?;
    let first = update(0, 2, vec![(account("u"), turn(1, now_ms()))]);
    assert_eq!(view.apply(0, first).await?, Applied::Done);
    assert_eq!(servers.master.ask(&["WAIT", "1", "5000"])?, "1");
    // The replica neither reads nor has anything to read.
    servers.replica.freeze()?;
    servers.master.ask(&["CLIENT", "KILL", "TYPE", "replica"])?;
    let second = update(2, 5, vec![(account("u"), turn(4, now_ms()))]);
    assert_eq!(view.apply(0, second.clone()).await?, Applied::Done);
    servers.master.kill();
    servers.replica.thaw()?;

    let at = Applied::At {
        position: 2,
        fold: "fold at 2".to_owned(),
    };
    let began = Instant::now();
    let third = update(5, 6, Vec::new());
    loop {
        match view.apply(0, third.clone()).await {
            Ok(applied) => {
                assert_eq!(applied, at);
                break;
            }
            Err(error) => assert!(began.elapsed() < GENEROUS, "{error}"),
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert_eq!(view.apply(0, second).await?, Applied::Done);
    let session = view.session(0, &account("u")).await?;
    assert_eq!((session.at, session.turns.len()), (5, 2));
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "starts Redis servers"]
async fn a_master_that_became_a_replica_is_left_for_the_new_one() -> Result<()> {
    let servers = Replicated::start()?;
    let options = Options {
        mode: Mode::Sentinel {
            master_name: Replicated::MASTER_NAME.to_owned(),
        },
        addresses: servers.addresses(),
        ..of(&servers.master)
    };
    let view = RedisView::connect(options, KEEP)?;
    view.apply(0, update(0, 2, Vec::new())).await?;
    // Frozen for longer than the sentinels wait, and thawed: it does not know that it was replaced.
    servers.master.freeze()?;
    let replaced = || {
        servers
            .replica
            .ask(&["ROLE"])
            .is_ok_and(|role| role.starts_with("master"))
    };
    let began = Instant::now();
    while !replaced() {
        assert!(
            began.elapsed() < GENEROUS,
            "no sentinel replaced the master"
        );
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    servers.master.thaw()?;
    // The old one may take a write before it learns; that is lost, and the position says so.
    let key = format!("{{{PREFIX}0}}:at");
    let began = Instant::now();
    while servers.replica.ask(&["GET", &key])? != "3 fold at 3" {
        let state = view.connection().state();
        assert!(began.elapsed() < GENEROUS, "{state:?}");
        let _lost = view.apply(0, update(2, 3, Vec::new())).await;
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "starts Redis servers"]
async fn a_slot_that_moves_to_another_node_is_followed() -> Result<()> {
    let cluster = Cluster::start(3)?;
    let view = RedisView::connect(of_cluster(&cluster), KEEP)?;
    let now = now_ms();
    let first = update(0, 2, vec![(account("u"), turn(1, now))]);
    assert_eq!(view.apply(0, first).await?, Applied::Done);
    let socket = Socket {
        channel: "web",
        origin: "",
        instance: "10.0.0.1:9091",
    };
    let epoch = view.open(0, &account("u"), socket).await?;
    let key = format!("{{{PREFIX}0}}:at");
    let before = cluster.holder(&key)?.port();
    cluster.move_slot_of(&key)?;
    assert_ne!(cluster.holder(&key)?.port(), before);
    let second = update(2, 3, vec![(account("u"), turn(2, now))]);
    assert_eq!(view.apply(0, second).await?, Applied::Done);
    let session = view.session(0, &account("u")).await?;
    assert_eq!((session.at, session.turns.len()), (3, 2));
    assert_eq!(view.routes(0, &account("u")).await?[0].epoch, epoch);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "starts Redis servers"]
async fn a_cluster_with_a_frozen_node_serves_the_partitions_of_the_others() -> Result<()> {
    let cluster = Cluster::start(3)?;
    for node in &cluster.nodes {
        node.ask(&["CONFIG", "SET", "cluster-require-full-coverage", "no"])?;
    }
    let view = RedisView::connect(of_cluster(&cluster), KEEP)?;
    for partition in 0..12 {
        view.apply(partition, update(0, 1, Vec::new())).await?;
    }
    let key = |partition: u32| format!("{{{PREFIX}{partition}}}:at");
    let frozen = cluster.holder(&key(0))?;
    let elsewhere = (1..12).find(|partition| {
        let holder = cluster.holder(&key(*partition)).unwrap();
        holder.port() != frozen.port()
    });
    frozen.freeze()?;
    becomes(view.connection(), Reason::StoreUnreachable).await;
    let (position, _) = view.position(elsewhere.unwrap()).await?;
    assert_eq!(position, 1);
    assert!(view.position(0).await.is_err());
    frozen.thaw()?;
    becomes(view.connection(), Reason::StoreReady).await;
    assert_eq!(view.position(0).await?.0, 1);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "starts Redis servers"]
async fn routes_are_read_from_nearby_until_another_process_changes_them() -> Result<()> {
    let server = Server::start()?;
    let mut options = of(&server);
    // A look reads, too: each of both looks once while it is counted.
    options.timeouts.check = GENEROUS;
    let (one, other) = (
        RedisView::connect(options.clone(), KEEP)?,
        RedisView::connect(options, KEEP)?,
    );
    let user = account("u");
    let socket = Socket {
        channel: "web",
        origin: "",
        instance: "10.0.0.1:9091",
    };
    let epoch = other.open(0, &user, socket).await?;
    for _ in 0..10 {
        assert_eq!(one.routes(0, &user).await?[0].epoch, epoch);
    }
    let asked = server.ask(&["INFO", "commandstats"])?;
    let asked = asked
        .lines()
        .find(|line| line.starts_with("cmdstat_hgetall:"));
    assert!(
        asked.is_some_and(|line| line.contains("calls=3,")),
        "two looks and one read of ten reached the server: {asked:?}"
    );
    other.close(0, &user, "web", epoch).await?;
    let began = Instant::now();
    while !one.routes(0, &user).await?.is_empty() {
        assert!(began.elapsed() < GENEROUS, "the change did not come");
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "starts Redis servers"]
async fn a_session_kept_near_is_sent_again_only_when_it_has_changed() -> Result<()> {
    let server = Server::start()?;
    let reader = RedisView::connect(of(&server), KEEP)?.with_near(1 << 20);
    let writer = RedisView::connect(of(&server), KEEP)?;
    let (user, now) = (account("u"), now_ms());
    let first = update(0, 2, vec![(user.clone(), turn(1, now))]);
    writer.apply(0, first.clone()).await?;
    for hits in 0..3 {
        let session = reader.session(0, &user).await?;
        assert_eq!((session.at, session.turns.len()), (2, 1));
        assert_eq!(reader.near(), Lookups { hits, misses: 1 });
    }
    writer.apply(0, update(2, 3, Vec::new())).await?;
    let session = reader.session(0, &user).await?;
    assert_eq!((session.at, session.turns.len()), (3, 1));
    writer
        .apply(0, update(3, 5, vec![(user.clone(), turn(4, now))]))
        .await?;
    let session = reader.session(0, &user).await?;
    assert_eq!((session.at, session.turns.len()), (5, 2));
    server.flush()?;
    let session = reader.session(0, &user).await?;
    assert_eq!((session.at, session.turns.len()), (0, 0));
    writer.apply(0, first).await?;
    let session = reader.session(0, &user).await?;
    assert_eq!((session.at, session.turns.len()), (2, 1));
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "starts Redis servers"]
async fn answers_are_kept_for_other_processes_and_expire() -> Result<()> {
    let server = Server::start()?;
    let answers = || -> Result<_> {
        let connection = Connection::open(of(&server))?;
        Ok(RedisAnswers::new(connection, Duration::from_mins(10)))
    };
    let (one, other) = (answers()?, answers()?);
    assert_eq!(other.get("a question").await, None);
    one.put("a question", "an answer\0 \u{1f600}").await;
    let found = other.get("a question").await;
    assert_eq!(found.as_deref(), Some("an answer\0 \u{1f600}"));
    let left: u64 = server
        .ask(&["PTTL", &format!("{PREFIX}a:a question")])?
        .parse()?;
    assert!((1..=600_000).contains(&left), "{left} ms");
    server.flush()?;
    assert_eq!(other.get("a question").await, None);
    Ok(())
}

async fn previews_arrive(from: &Connection, to: &Connection) {
    let (publisher, receiver) = (RedisPreviews::new(from), RedisPreviews::new(to));
    let mut arriving = receiver.subscribe();
    preview_arrives(&publisher, &mut arriving).await;
}

/// Published again and again, since nobody may be listening yet.
async fn preview_arrives(
    publisher: &RedisPreviews,
    received: &mut (impl futures::Stream<Item = Preview> + Unpin),
) {
    let preview = Preview {
        message_id: Uuid::new_v4(),
        account: account("u"),
        text: "half an ans".to_owned(),
    };
    let began = Instant::now();
    loop {
        publisher.publish(preview.clone()).await;
        let next = tokio::time::timeout(Duration::from_millis(50), received.next()).await;
        match next {
            Ok(Some(arrived)) if arrived == preview => return,
            _ => assert!(began.elapsed() < GENEROUS, "no preview arrived"),
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "starts Redis servers"]
async fn previews_reach_another_process_before_and_after_the_server_was_restarted() -> Result<()> {
    let mut server = Server::start()?;
    let (one, other) = (
        Connection::open(of(&server))?,
        Connection::open(of(&server))?,
    );
    let (publisher, receiver) = (RedisPreviews::new(&one), RedisPreviews::new(&other));
    let mut arriving = receiver.subscribe();
    preview_arrives(&publisher, &mut arriving).await;
    server.kill();
    server.begin()?;
    preview_arrives(&publisher, &mut arriving).await;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "starts Redis servers"]
async fn previews_pass_through_any_node_of_a_cluster() -> Result<()> {
    let cluster = Cluster::start(3)?;
    let one = Connection::open(of_cluster(&cluster))?;
    let other = Connection::open(Options {
        addresses: vec![cluster.nodes[2].address()],
        ..of_cluster(&cluster)
    })?;
    previews_arrive(&one, &other).await;
    Ok(())
}
