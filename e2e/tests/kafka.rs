//! The logs on a real broker.
#![allow(clippy::unwrap_used)] // A step of a test fails as the test does.

#[path = "kafka/bench.rs"]
mod bench;
#[path = "kafka/certificates.rs"]
mod certificates;
#[path = "kafka/victim.rs"]
mod victim;
#[path = "kafka/work.rs"]
mod work;

use std::sync::Arc;
use std::time::Duration;

use bench::{Shared, connect, options};
use chatbot_e2e::kafka::{Broker, Security};
use chatbot_queue::kafka::{ClientCertificate, KafkaLog, Mechanism, Options, Reason, Sasl, Tls};
use chatbot_queue::{Error, Log, Topic};
use chatbot_queue_contract::{promises, within};

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a broker: cargo e2e test"]
async fn the_logs_on_a_broker_keep_every_promise() {
    if victim::is_this_process() {
        victim::serve().await;
    }
    let broker = Arc::new(Broker::start().unwrap());
    let keeping = promises().into_iter().enumerate().map(|(number, promise)| {
        let bench = Shared::new(&broker, &format!("promise{number}"));
        let (sentence, keeps) = promise;
        tokio::spawn(async move {
            keeps(&bench).await;
            println!("kept: {sentence}");
        })
    });
    for kept in futures::future::join_all(keeping).await {
        kept.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a broker: cargo e2e test"]
async fn topics_are_made_once_kept_when_wider_and_refused_when_too_narrow() {
    let broker = Broker::start().unwrap();
    let wanted = options(&broker.address(), "made", 6);
    let connecting = (0..4).map(|_| KafkaLog::connect(wanted.clone()));
    let logs = futures::future::join_all(connecting).await;
    let logs: Vec<_> = logs.into_iter().map(Result::unwrap).collect();
    for log in &logs {
        assert!(log.is_there(wanted.clone()).await.unwrap());
    }
    // What has lost its topics, and what has others, is no longer the same log.
    let another = Broker::start().unwrap();
    let elsewhere = options(&another.address(), "made", 6);
    assert!(!logs[0].is_there(elsewhere.clone()).await.unwrap());
    let _made = connect(elsewhere.clone()).await;
    assert!(!logs[0].is_there(elsewhere).await.unwrap());

    let narrower = Options {
        partitions: 2,
        ..wanted.clone()
    };
    let log = connect(narrower).await;
    assert_eq!(log.partitions(), 2);
    let member = log.join("few", Topic::Inbound).await.unwrap();
    let mut watched = member.suggested();
    chatbot_queue_contract::suggested(&mut watched, 2).await;

    let wider = Options {
        partitions: 7,
        ..wanted.clone()
    };
    let refused = KafkaLog::connect(wider).await.err().unwrap();
    assert_eq!(refused.reason, Reason::TopicUnusable);
    let message = refused.to_string();
    assert!(
        message.contains("made.inbound has 6 partitions, and 7 are wanted: set partitions to 6"),
        "{message}"
    );

    let copied = Options {
        replication_factor: 3,
        ..options(&broker.address(), "copied", 1)
    };
    let refused = KafkaLog::connect(copied).await.err().unwrap();
    assert_eq!(refused.reason, Reason::TooFewBrokers);
    let message = refused.to_string();
    assert!(
        message.contains("copied.inbound is to have 3 copies, and there are 1 brokers"),
        "{message}"
    );
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a broker: cargo e2e test"]
async fn a_broker_that_is_away_is_waited_for_and_nothing_is_lost() {
    let mut broker = Broker::start().unwrap();
    let log = Arc::new(connect(options(&broker.address(), "away", 2)).await);
    let mut records = log.reader(Topic::Inbound, 0, 0);
    log.append(Topic::Inbound, 0, b"before".to_vec())
        .await
        .unwrap();
    assert_eq!(records.next(1).await.unwrap()[0].value, b"before");
    broker.kill().unwrap();
    let appending = tokio::spawn({
        let log = Arc::clone(&log);
        async move { log.append(Topic::Inbound, 0, b"meanwhile".to_vec()).await }
    });
    let away = log.is_there(options(&broker.address(), "away", 2)).await;
    assert_eq!(away.unwrap_err().reason, Reason::BrokerUnreachable);
    let impatient = Options {
        append_timeout: Duration::from_secs(1),
        ..options(&broker.address(), "away", 2)
    };
    let unreachable = KafkaLog::connect(impatient).await.err().unwrap();
    assert_eq!(unreachable.reason, Reason::BrokerUnreachable);
    assert!(
        unreachable.to_string().contains(&broker.address()),
        "{unreachable}"
    );
    assert!(!appending.is_finished());
    broker.restart().unwrap();
    within("the append goes on", appending)
        .await
        .unwrap()
        .unwrap();
    let read = async {
        loop {
            if let Ok(read) = records.next(1).await {
                return read;
            }
        }
    };
    assert_eq!(
        within("the reader goes on", read).await[0].value,
        b"meanwhile"
    );
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a broker: cargo e2e test"]
async fn a_slow_broker_is_not_buried_and_an_outcome_that_nobody_knows_is_told_so() {
    let broker = Broker::start().unwrap();
    let hasty = Options {
        append_timeout: Duration::from_secs(2),
        unacknowledged: 100_000,
        ..options(&broker.address(), "slow", 1)
    };
    let log = connect(hasty).await;
    log.append(Topic::Inbound, 0, vec![1; 10]).await.unwrap();
    broker.freeze().unwrap();
    let doubtful = log.append(Topic::Inbound, 0, vec![2; 60_000]);
    tokio::pin!(doubtful);
    assert!(futures::poll!(&mut doubtful).is_pending());
    let refused = log.append(Topic::Inbound, 0, vec![3; 60_000]).await;
    assert!(
        matches!(&refused, Err(Error::Refused { reason }) if reason.contains("60128 bytes")),
        "{refused:?}"
    );
    let doubtful = within("the outcome", doubtful).await;
    assert!(
        matches!(doubtful, Err(Error::OutcomeUnknown { .. })),
        "{doubtful:?}"
    );
    broker.thaw().unwrap();
    let again = async {
        while log
            .append(Topic::Inbound, 0, vec![4; 60_000])
            .await
            .is_err()
        {}
    };
    within("it goes on", again).await;
    let mut records = log.reader(Topic::Inbound, 0, 0);
    let mut found = Vec::new();
    while found.last() != Some(&4) {
        let read = within("all is read", records.next(10)).await.unwrap();
        found.extend(read.iter().map(|record| record.value[0]));
    }
    assert!(!found.contains(&3), "refused is not written: {found:?}");
}

fn secured(broker: &Broker, prefix: &str, mechanism: Mechanism, user: (&str, &str)) -> Options {
    Options {
        sasl: Some(Sasl {
            mechanism,
            username: user.0.to_owned(),
            password: user.1.to_owned(),
        }),
        ..options(&broker.sasl_address(), prefix, 1)
    }
}

/// Who may read every topic signs in, and is told from one who may write them by the broker's answer to a record alone.
async fn may_read_and_not_write(broker: &Broker, [owner, guest]: [(&str, &str); 2]) {
    let t0 = std::time::Instant::now();
    eprintln!("STEP 1 {:?}", t0.elapsed());
    let prefix = "looked-at";
    eprintln!("STEP 2 {:?}", t0.elapsed());
    let as_user = |user| secured(broker, prefix, Mechanism::Plain, user);
    eprintln!("STEP 3 {:?}", t0.elapsed());
    drop(connect(as_user(owner)).await);
    eprintln!("STEP 4 {:?}", t0.elapsed());
    let may = ["Read", "Describe", "DescribeConfigs"];
    eprintln!("STEP 5 {:?}", t0.elapsed());
    broker.allow(guest.0, &may, &format!("{prefix}*")).unwrap();
    eprintln!("STEP 6 {:?}", t0.elapsed());
    let log = connect(as_user(guest)).await;
    eprintln!("STEP 7 {:?}", t0.elapsed());
    assert_eq!(log.forbidden(), None);
    eprintln!("STEP 8 {:?}", t0.elapsed());
    let write = |topic| log.append(topic, 0, b"a question".to_vec());
    eprintln!("STEP 9 {:?}", t0.elapsed());
    let told = |topic| {
        let forbidden = log.forbidden().unwrap();
        assert_eq!(forbidden.reason, Reason::TopicForbidden);
        let topic = as_user(guest).topic(topic);
        assert!(forbidden.message.contains(&topic), "{forbidden}");
        topic
    };
    eprintln!("STEP 10 {:?}", t0.elapsed());

    // Who may write nothing at all is refused before the first record.
    write(Topic::Inbound).await.unwrap_err();
    eprintln!("STEP 11 {:?}", t0.elapsed());
    let inbound = told(Topic::Inbound);
    eprintln!("STEP 12 {:?}", t0.elapsed());
    broker.allow(guest.0, &["Write"], &inbound).unwrap();
    eprintln!("STEP 13 {:?}", t0.elapsed());
    let written = async {
        while write(Topic::Inbound).await.is_err() {
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    };
    eprintln!("STEP 14 {:?}", t0.elapsed());
    within("the right is given", written).await;
    eprintln!("STEP 15 {:?}", t0.elapsed());
    assert_eq!(log.forbidden(), None);
    eprintln!("STEP 16 {:?}", t0.elapsed());

    let refused = write(Topic::Response).await.unwrap_err();
    eprintln!("STEP 17 {:?}", t0.elapsed());
    assert!(matches!(refused, Error::Refused { .. }), "{refused:?}");
    eprintln!("STEP 18 {:?}", t0.elapsed());
    told(Topic::Response);
    eprintln!("STEP 19 {:?}", t0.elapsed());
    write(Topic::Inbound).await.unwrap();
    eprintln!("STEP 20 {:?}", t0.elapsed());
    told(Topic::Response);
    eprintln!("STEP 21 {:?}", t0.elapsed());
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a broker: cargo e2e test"]
async fn a_secured_broker_is_used_with_the_right_credentials_and_refuses_others_by_name() {
    let certificates = certificates::Certificates::new();
    let users = [("owner", "secret"), ("guest", "guest")];
    let security = Security {
        certificate: certificates.server.clone(),
        key: certificates.server_key.clone(),
        client_ca: certificates.ca.clone(),
        users: users
            .map(|(name, password)| (name.to_owned(), password.to_owned()))
            .into(),
    };
    let broker = Broker::start_with(Some(&security)).unwrap();
    let tls = |ca: &str, client: bool| Options {
        tls: Some(Tls {
            ca: Some(ca.to_owned()),
            client: client.then(|| ClientCertificate {
                certificate: certificates.client.clone(),
                key: certificates.client_key.clone(),
            }),
        }),
        ..options(&broker.tls_address(), "tls", 1)
    };
    for (prefix, good) in [
        (
            "plain",
            secured(&broker, "plain", Mechanism::Plain, users[0]),
        ),
        (
            "scram",
            secured(&broker, "scram", Mechanism::ScramSha512, users[0]),
        ),
        ("tls", tls(&certificates.ca, true)),
    ] {
        let log = connect(good).await;
        let value = prefix.as_bytes().to_vec();
        log.append(Topic::Inbound, 0, value.clone()).await.unwrap();
        let mut records = log.reader(Topic::Inbound, 0, 0);
        let read = within("it is read", records.next(1)).await.unwrap();
        assert_eq!(read[0].value, value);
        let member = log.join("group", Topic::Inbound).await.unwrap();
        chatbot_queue_contract::suggested(&mut member.suggested(), 1).await;
    }
    may_read_and_not_write(&broker, users).await;
    let stranger = certificates::Certificates::new();
    let over_plain = Options {
        bootstrap_servers: vec![broker.address()],
        ..tls(&certificates.ca, true)
    };
    for (bad, reason) in [
        (
            secured(&broker, "plain", Mechanism::Plain, ("owner", "wrong")),
            Reason::CredentialsRejected,
        ),
        (
            secured(
                &broker,
                "scram",
                Mechanism::ScramSha512,
                ("nobody", "secret"),
            ),
            Reason::CredentialsRejected,
        ),
        (
            secured(&broker, "scram", Mechanism::ScramSha256, users[0]),
            Reason::CredentialsRejected,
        ),
        (
            secured(&broker, "guest", Mechanism::Plain, users[1]),
            Reason::TopicForbidden,
        ),
        (tls(&stranger.ca, true), Reason::TlsFailed),
        (tls(&certificates.ca, false), Reason::TlsFailed),
        (tls("no certificate", true), Reason::TlsFailed),
        (over_plain, Reason::TlsFailed),
    ] {
        let refused = KafkaLog::connect(bad.clone()).await.err().unwrap();
        assert_eq!(refused.reason, reason, "{bad:?}: {refused}");
        assert!(!refused.to_string().contains("secret"), "{refused}");
    }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a broker: cargo e2e test"]
async fn workers_on_a_broker_share_its_partitions_and_answer_each_message_once() {
    work::share_die_and_go_on().await;
}
