//! One person on three platforms, each at a gateway of its own, through a real broker and a real store.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use anyhow::Context;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::IntoResponse;
use axum::routing::post;
use axum::{Json, Router};
use chatbot_crds::config::PlatformConfig;
use chatbot_e2e::command::wait_until;
use chatbot_e2e::conversation::Conversation;
use chatbot_e2e::kafka::Broker;
use chatbot_e2e::redis::Server;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::runtime::Runtime;

use crate::service::{CHANNEL, PATIENCE, Process, Service};
use crate::signed;

const KEY: &str = "a signing key of at least 24 bytes";

/// What a program was sent: the question's id and the text.
type Replies = Arc<Mutex<Vec<(String, String)>>>;

async fn serve(app: Router) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, app).await });
    url
}

async fn receive(State(replies): State<Replies>, Json(reply): Json<Value>) -> StatusCode {
    let text = |field: &str| reply[field].as_str().unwrap().to_owned();
    let reply = (text("replyTo"), text("text"));
    let mut replies = replies.lock().unwrap();
    // A copy has the same id.
    if !replies.contains(&reply) {
        replies.push(reply);
    }
    StatusCode::OK
}

/// A model that answers with every question that it was shown.
async fn answer(Json(request): Json<Value>) -> impl IntoResponse {
    let messages = request["messages"].as_array().unwrap();
    let questions = messages.iter().filter(|message| message["role"] == "user");
    let questions: Vec<_> = questions
        .map(|message| message["content"].as_str().unwrap())
        .collect();
    let said = format!("re: {}", questions.join(" "));
    let chunk = json!({ "choices": [{ "delta": { "content": said }, "finish_reason": "stop" }] });
    let kind = [(header::CONTENT_TYPE, "text/event-stream")];
    (kind, format!("data: {chunk}\n\ndata: [DONE]\n\n"))
}

/// A program of the user's own, on a channel and at a gateway of its own.
struct Program {
    name: &'static str,
    gateway: Process,
    replies: Replies,
    asked: usize,
}

impl Program {
    fn start(name: &'static str, service: &Service, runtime: &Runtime) -> Self {
        let replies = Replies::default();
        let app = Router::new()
            .route("/", post(receive))
            .with_state(Arc::clone(&replies));
        let reply_url = runtime.block_on(serve(app));
        service.secret(name, "signingKey", KEY);
        let gateway = service.gateway_of(name, PlatformConfig::Webhook { reply_url });
        Self {
            name,
            gateway,
            replies,
            asked: 0,
        }
    }

    /// Asks, and gives the reply.
    fn say(&mut self, text: &str) -> String {
        self.asked += 1;
        let id = format!("{}-{}", self.name, self.asked);
        let body = json!({ "user": "kim", "text": text }).to_string();
        wait_until("a question taken", PATIENCE, || {
            let status = signed::post(self.gateway.entrance, self.name, KEY, &id, &body);
            Ok(status.is_ok_and(|status| status == 200))
        })
        .unwrap();
        let replied = || {
            let replies = self.replies.lock().unwrap();
            let reply = replies.iter().find(|(question, _)| *question == id);
            reply.map(|(_, text)| text.clone())
        };
        wait_until("the reply", PATIENCE, || Ok(replied().is_some())).unwrap();
        replied().unwrap()
    }
}

fn asks(page: &mut Conversation, text: &str) -> String {
    let id = page.ask(text).unwrap();
    page.answer(&id, PATIENCE).unwrap().answer
}

#[test]
#[ignore = "needs a broker and a store: cargo e2e test"]
fn one_person_on_three_platforms_has_one_conversation_whichever_processes_die() {
    let broker = Broker::start().unwrap();
    let store = Server::start().unwrap();
    let runtime = Runtime::new().unwrap();
    let app = Router::new().route("/v1/chat/completions", post(answer));
    let model = runtime.block_on(serve(app));
    let service = Service::new(&broker.address(), &store.address(), &model);
    let web = service.gateway();
    let mut programs = ["phone", "mail"].map(|name| Program::start(name, &service, &runtime));
    let (mut worker, other) = (service.worker(), service.worker());
    for process in [&web, &worker, &other] {
        process.wait_ready();
    }
    let mut page = Conversation::new(web.entrance, CHANNEL).unwrap();
    assert_eq!(asks(&mut page, "1"), "re: 1");
    for program in &mut programs {
        program.gateway.wait_ready();
        assert_eq!(program.say("alone"), "re: alone");
        let told = asks(&mut page, "/link");
        let (_, code) = told.rsplit_once("/link ").unwrap();
        let linked = program.say(&format!("/link {code}"));
        assert!(linked.starts_with("Linked"), "{linked}");
    }
    let [phone, mail] = &mut programs;
    assert_eq!(phone.say("2"), "re: 1 2");
    assert_eq!(mail.say("3"), "re: 1 2 3");
    worker.kill();
    assert_eq!(phone.say("4"), "re: 1 2 3 4");
    store.flush().unwrap();
    assert_eq!(mail.say("5"), "re: 1 2 3 4 5");
    assert_eq!(
        asks(&mut page, "6"),
        "re: 2 3 4 5 6",
        "four turns are shown"
    );
    assert!(phone.say("/unlink").contains("on its own"));
    assert_eq!(phone.say("again"), "re: alone again");
    // Whatever is wrong would come late.
    std::thread::sleep(Duration::from_secs(2));
    for program in &programs {
        let replies = program.replies.lock().unwrap();
        let count = replies.len();
        assert_eq!(count, program.asked, "{replies:?}: {}", service.logs());
    }
    let turns = page.history().with_context(|| service.logs()).unwrap();
    let questions: Vec<_> = turns.iter().map(|turn| &turn["question"]).collect();
    assert_eq!(questions, ["1", "2", "3", "4", "5", "6"]);
}
