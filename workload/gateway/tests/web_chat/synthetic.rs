//! What the synthetic conversation says of each hop.

use std::net::SocketAddr;
use std::time::Duration;

use chatbot_crds::config::{Hop, ProbeState};
use chatbot_gateway::Limits;
use chatbot_queue::Topic;
use chatbot_queue::memory::{self, MemoryLog};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::answerer::Answerer;
use crate::hub::{Backing, Hub, config};

fn quick() -> Limits {
    Limits {
        probe_first: Duration::ZERO,
        probe_again: Duration::from_millis(50),
        probe: Duration::from_millis(50),
        probe_timeout: Duration::from_secs(2),
        ..Limits::default()
    }
}

async fn first_result(hub: &Hub) -> ProbeState {
    let state = hub.reports(|state| state.probe.is_some()).await;
    state.probe.unwrap()
}

#[tokio::test]
async fn an_answer_through_every_hop_is_reported_and_counts_for_nothing_else() {
    let backing = Backing::new();
    let answerer = Answerer::start(&backing).await;
    let hub = Hub::with(config(), quick(), &backing).await;
    let probe = first_result(&hub).await;
    assert_eq!((probe.failed_hop, probe.message.as_str()), (None, ""));
    assert!(probe.at > 1_600_000_000);
    assert_eq!(hub.telemetry.state().counters.requests, 0);
    assert!(answerer.met.borrow().is_empty());
}

#[tokio::test]
async fn a_queue_that_is_full_is_named() {
    let mut backing = Backing::new();
    backing.log = std::sync::Arc::new(MemoryLog::with_limits(
        1,
        memory::Limits {
            kept_bytes: 0,
            full_bytes: 0,
        },
    ));
    let hub = Hub::with(config(), quick(), &backing).await;
    let probe = first_result(&hub).await;
    assert_eq!(probe.failed_hop, Some(Hop::Queue), "{probe:?}");
    assert!(!probe.message.is_empty());
}

#[tokio::test]
async fn a_worker_that_is_not_there_is_named() {
    let backing = Backing::new();
    let hub = Hub::with(config(), quick(), &backing).await;
    let probe = first_result(&hub).await;
    assert_eq!(probe.failed_hop, Some(Hop::Worker), "{probe:?}");
}

#[tokio::test]
async fn inference_that_does_not_answer_is_named_and_so_is_its_recovery() {
    let backing = Backing::new();
    let answerer = Answerer::start(&backing).await;
    answerer.answering.send_replace(false);
    let hub = Hub::with(config(), quick(), &backing).await;
    let probe = first_result(&hub).await;
    assert_eq!(probe.failed_hop, Some(Hop::Inference), "{probe:?}");
    assert!(
        hub.telemetry.unready().is_none(),
        "messages can be accepted all the same"
    );
    answerer.answering.send_replace(true);
    hub.reports(|state| {
        state
            .probe
            .as_ref()
            .is_some_and(|probe| probe.failed_hop.is_none())
    })
    .await;
}

#[tokio::test]
async fn the_fallback_text_is_no_answer() {
    let backing = Backing::new();
    let answerer = Answerer::start(&backing).await;
    answerer.answer_with_the_fallback();
    let hub = Hub::with(config(), quick(), &backing).await;
    let probe = first_result(&hub).await;
    assert_eq!(probe.failed_hop, Some(Hop::Inference), "{probe:?}");
}

#[tokio::test]
async fn a_conversation_that_failed_says_what_the_worker_says_of_inference() {
    let backing = Backing::new();
    let answerer = Answerer::start(&backing).await;
    answerer.answer_with_the_fallback();
    let hub = Hub::with(config(), quick(), &backing).await;
    let probe = first_result(&hub).await;
    assert!(probe.message.starts_with("answer to "), "{probe:?}");
}

#[tokio::test]
async fn one_conversation_is_held_at_a_time() {
    let backing = Backing::new();
    let mut limits = quick();
    limits.probe_timeout = Duration::from_millis(300);
    let hub = Hub::with(config(), limits, &backing).await;
    first_result(&hub).await;
    let mut records = 0;
    for partition in 0..backing.log.partitions() {
        records += backing.log.end(Topic::Inbound, partition).await.unwrap();
    }
    assert_eq!(records, 1);
}

#[tokio::test]
async fn nobody_else_reaches_the_hub_s_own_page() {
    let backing = Backing::new();
    let _answerer = Answerer::start(&backing).await;
    let hub = Hub::with(config(), quick(), &backing).await;
    first_result(&hub).await;
    for headers in ["", "chatbot-probe: guessed\r\n"] {
        let opened = open_at(hub.address, "_probe", headers).await;
        assert!(opened.starts_with("HTTP/1.1 404 "), "{opened}");
    }
    let metrics = hub.telemetry.metrics().unwrap();
    assert!(!metrics.contains("_probe\""), "{metrics}");
    let state = hub.telemetry.state();
    assert_eq!(state.channels.len(), 1, "{state:?}");
}

/// The answer to a request for a channel's socket.
async fn open_at(address: SocketAddr, channel: &str, headers: &str) -> String {
    let mut stream = TcpStream::connect(address).await.unwrap();
    let request = format!(
        "GET /channels/{channel}/socket HTTP/1.1\r\nhost: {address}\r\norigin: http://{address}\r\n\
         connection: close\r\n{headers}\r\n"
    );
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    answer
}
