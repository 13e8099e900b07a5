//! A program of the user's own, by signed requests both ways, through a real broker and a real store.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use anyhow::{Context, Result};
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::routing::post;
use axum::{Json, Router};
use chatbot_crds::config::PlatformConfig;
use chatbot_e2e::command::wait_until;
use chatbot_e2e::kafka::Broker;
use chatbot_e2e::redis::Server;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::runtime::Runtime;

use crate::model::Model;
use crate::service::{PATIENCE, Service};
use crate::signed;

const KEY: &str = "a signing key of at least 24 bytes";
const HOOK: &str = "hook";
const USERS: usize = 5;
const QUESTIONS: usize = 60;

/// What a receiver that remembers ids makes of the requests: user, what is answered, text.
type Effects = Arc<Mutex<Effect>>;

#[derive(Default)]
struct Effect {
    requests: usize,
    seen: Vec<String>,
    replies: Vec<(String, String)>,
    /// Whether everything is refused for good.
    refuses: bool,
}

/// Takes replies; refuses every seventh request for now.
async fn receiver() -> (Effects, String) {
    let effects = Effects::default();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/replies", listener.local_addr().unwrap());
    let app = Router::new()
        .route("/replies", post(receive))
        .with_state(Arc::clone(&effects));
    tokio::spawn(async move { axum::serve(listener, app).await });
    (effects, url)
}

async fn receive(
    State(effects): State<Effects>,
    headers: HeaderMap,
    Json(reply): Json<Value>,
) -> StatusCode {
    let mut effects = effects.lock().unwrap();
    effects.requests += 1;
    if effects.refuses {
        return StatusCode::GONE;
    }
    if effects.requests.is_multiple_of(7) {
        return StatusCode::SERVICE_UNAVAILABLE;
    }
    let id = headers["webhook-id"].to_str().unwrap().to_owned();
    if effects.seen.contains(&id) {
        return StatusCode::CONFLICT;
    }
    effects.seen.push(id);
    let text = |field: &str| reply[field].as_str().unwrap().to_owned();
    effects.replies.push((text("user"), text("replyTo")));
    StatusCode::OK
}

/// Posts a question; gives the status.
fn post_question(to: SocketAddr, number: usize) -> Result<u16> {
    let user = format!("u-{}", number % USERS);
    let body = json!({ "user": user, "text": format!("Is {number} tea?") }).to_string();
    signed::post(to, HOOK, KEY, &format!("q-{number}"), &body)
}

#[test]
#[ignore = "needs a broker and a store: cargo e2e test"]
fn a_gateway_is_killed_and_every_signed_question_is_answered_once_and_in_order() {
    let broker = Broker::start().unwrap();
    let store = Server::start().unwrap();
    let runtime = Runtime::new().unwrap();
    let (model, (effects, reply_url)) =
        runtime.block_on(async { (Model::start().await, receiver().await) });
    let service = Service::new(&broker.address(), &store.address(), &model.url);
    service.secret(HOOK, "signingKey", KEY);
    let gateway = || {
        let reply_url = reply_url.clone();
        service.gateway_of(HOOK, PlatformConfig::Webhook { reply_url })
    };
    let (mut first, second) = (gateway(), gateway());
    let worker = service.worker();
    for process in [&first, &second, &worker] {
        process.wait_ready();
    }
    for number in 0..QUESTIONS {
        if number == QUESTIONS / 2 {
            first.kill();
        }
        // As a platform does: until it is taken, by whoever answers, and some of them twice.
        let times = if number.is_multiple_of(9) { 2 } else { 1 };
        for time in 0..times {
            let to = [first.entrance, second.entrance];
            let mut turn = number + time;
            wait_until("a question taken", PATIENCE, || {
                turn += 1;
                Ok(post_question(to[turn % 2], number).is_ok_and(|status| status == 200))
            })
            .unwrap();
        }
    }
    let all = || Ok(effects.lock().unwrap().replies.len() >= QUESTIONS);
    wait_until("every question answered", PATIENCE, all)
        .with_context(|| service.logs())
        .unwrap();
    // Whatever is wrong would come late.
    std::thread::sleep(Duration::from_secs(2));
    let mut by_user: BTreeMap<String, Vec<usize>> = BTreeMap::new();
    for (user, question) in &effects.lock().unwrap().replies {
        let number = question.trim_start_matches("q-").parse().unwrap();
        by_user.entry(user.clone()).or_default().push(number);
    }
    for (user, questions) in by_user {
        let number: usize = user.trim_start_matches("u-").parse().unwrap();
        let wanted: Vec<usize> = (number..QUESTIONS).step_by(USERS).collect();
        assert_eq!(questions, wanted, "{user}: {}", service.logs());
    }
    let state = second.state();
    assert_eq!(state["channels"][0]["reason"], "Listening", "{state}");
}

#[test]
#[ignore = "needs a broker and a store: cargo e2e test"]
fn a_reply_that_was_refused_is_listed_and_its_question_asked_once_more() {
    let broker = Broker::start().unwrap();
    let store = Server::start().unwrap();
    let runtime = Runtime::new().unwrap();
    let (model, (effects, reply_url)) =
        runtime.block_on(async { (Model::start().await, receiver().await) });
    let service = Service::new(&broker.address(), &store.address(), &model.url);
    service.secret(HOOK, "signingKey", KEY);
    let gateway = service.gateway_of(HOOK, PlatformConfig::Webhook { reply_url });
    let worker = service.worker();
    for process in [&gateway, &worker] {
        process.wait_ready();
    }
    effects.lock().unwrap().refuses = true;
    let posted = || Ok(post_question(gateway.entrance, 1).is_ok_and(|status| status == 200));
    wait_until("the question taken", PATIENCE, posted).unwrap();
    let mut listed = String::new();
    wait_until("the dead letter", PATIENCE, || {
        listed = service.dead_letters(&gateway, &["list", "--channel", HOOK])?;
        Ok(!listed.is_empty())
    })
    .with_context(|| service.logs())
    .unwrap();
    let letter: Value = serde_json::from_str(listed.trim()).unwrap();
    assert!(
        letter["reason"].as_str().unwrap().starts_with("410"),
        "{letter}"
    );
    let id = letter["id"].as_str().unwrap();
    let whole = service.dead_letters(&gateway, &["show", id]).unwrap();
    assert!(whole.contains("Is 1 tea?"), "{whole}");

    effects.lock().unwrap().refuses = false;
    for _ in 0..2 {
        service.dead_letters(&gateway, &["replay", id]).unwrap();
    }
    let answered = || Ok(!effects.lock().unwrap().replies.is_empty());
    wait_until("the answer", PATIENCE, answered).unwrap();
    std::thread::sleep(Duration::from_secs(1));
    assert_eq!(
        effects.lock().unwrap().replies,
        [("u-1".to_owned(), "q-1".to_owned())]
    );
}
