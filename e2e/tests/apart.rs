//! Gateways and workers as processes of their own, with a real broker and a real store between them.
#![allow(clippy::unwrap_used)] // A step of a test fails as the test does.

#[path = "kafka/certificates.rs"]
mod certificates;
#[path = "apart/linked.rs"]
mod linked;
#[path = "chat/model.rs"]
mod model;
#[path = "chat/network.rs"]
mod network;
#[path = "apart/service.rs"]
mod service;
#[path = "signed/mod.rs"]
mod signed;
#[path = "apart/signed_in.rs"]
mod signed_in;
#[path = "apart/webhooks.rs"]
mod webhooks;

use std::sync::atomic::AtomicBool;
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use chatbot_e2e::command::wait_until;
use chatbot_e2e::conversation::{Conversation, Stop};
use chatbot_e2e::kafka::Broker;
use chatbot_e2e::redis::Server;
use model::Model;
use network::Network;
use service::{CHANNEL, PATIENCE, Service, free};
use tokio::runtime::Runtime;

/// How many questions have been answered.
fn answered(conversation: &Conversation) -> usize {
    conversation.replies().len()
}

#[test]
#[ignore = "needs a broker and a store: cargo e2e test"]
fn a_worker_and_a_gateway_die_and_every_question_is_answered_once() {
    let broker = Broker::start().unwrap();
    let store = Server::start().unwrap();
    let runtime = Runtime::new().unwrap();
    let model = runtime.block_on(Model::start());
    let service = Service::new(&broker.address(), &store.address(), &model.url);
    let (mut first, second) = (service.gateway(), service.gateway());
    let (mut worker, other) = (service.worker(), service.worker());
    for process in [&first, &second, &worker, &other] {
        process.wait_ready();
    }
    for process in [&first, &worker] {
        let state = process.state();
        assert_eq!(state["broker"]["reason"], "BrokerReady", "{state}");
        assert_eq!(state["store"]["reason"], "StoreReady", "{state}");
    }
    let network = runtime.block_on(Network::start(first.entrance));
    let stop = AtomicBool::new(false);
    let talked = thread::scope(|scope| {
        let talking = scope.spawn(|| -> Result<Conversation> {
            let talk = || {
                let mut conversation = Conversation::new(network.address, CHANNEL)?;
                let pause = Duration::from_millis(100);
                conversation.keep_asking("Is it tea?", pause, PATIENCE, &stop)?;
                Ok(conversation)
            };
            talk()
                .inspect_err(|error: &anyhow::Error| eprintln!("the conversation ended: {error:#}"))
        });
        let stopping = Stop(&stop);
        let asked = || model.asked.lock().unwrap().len();
        let goes_on = |what: &str| {
            let before = asked();
            wait_until(what, PATIENCE, || Ok(asked() > before + 3)).unwrap();
        };
        goes_on("questions answered");
        worker.kill();
        goes_on("questions answered by the other worker");
        first.kill();
        network.hub.send_replace(second.entrance);
        network.through.send_replace(Some(second.entrance));
        goes_on("questions answered through the other gateway");
        store.flush().unwrap();
        goes_on("questions answered after the store lost everything");
        drop(stopping);
        talking.join().unwrap()
    });
    let conversation = talked.with_context(|| service.logs()).unwrap();
    assert!(answered(&conversation) > 12);
    for reply in conversation.replies().values() {
        assert!(!reply.fallback, "{reply:?}");
    }
    assert!(
        conversation.connections() > 1,
        "the page was to connect to the other gateway"
    );
    let whole = conversation.check_history().with_context(|| service.logs());
    whole.unwrap();
}

#[test]
#[ignore = "needs a broker and a store: cargo e2e test"]
fn a_broker_that_is_away_is_told_and_waited_for() {
    let service = Service::new(
        &free().to_string(),
        &free().to_string(),
        "http://127.0.0.1:9",
    );
    let gateway = service.gateway();
    wait_until(
        "the gateway saying that it finds no broker",
        PATIENCE,
        || {
            // It may not have begun to listen.
            let state = gateway.told()?;
            ensure!(gateway.get("readyz").is_err(), "it is ready");
            Ok(state["broker"]["reason"] == "BrokerUnreachable")
        },
    )
    .unwrap();
    wait_until(
        "the gateway saying that it finds no store",
        PATIENCE,
        || Ok(gateway.state()["store"]["reason"] == "StoreUnreachable"),
    )
    .unwrap();
}
