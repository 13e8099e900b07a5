//! A server that is asked until it has answered once.

use std::time::Duration;

use chatbot_telemetry::Telemetry;
use chatbot_worker::{Limits, examine};
use serde_json::json;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::bench::{GENEROUS, eventually};
use crate::model::{Behaviour, Model};

struct Examiner {
    telemetry: Telemetry,
    shutdown: CancellationToken,
    task: JoinHandle<anyhow::Result<()>>,
}

impl Examiner {
    /// Asks at a base URL, and waits so long for a first token.
    fn at(url: String, first_token: Duration) -> Self {
        let limits = Limits {
            first_token,
            retry_first: Duration::from_millis(20),
            retry_cap: Duration::from_millis(100),
            ..examine::limits()
        };
        let (telemetry, shutdown) = (Telemetry::new(), CancellationToken::new());
        let (told, until) = (telemetry.clone(), shutdown.clone());
        let task =
            tokio::spawn(
                async move { examine::examine(&url, "support", &limits, &told, until).await },
            );
        Self {
            telemetry,
            shutdown,
            task,
        }
    }

    fn refused(&self) -> Option<String> {
        self.telemetry.state().engine_refused
    }

    async fn is_told(&self, words: &str) {
        eventually("the refusal is told", async || {
            self.refused().is_some_and(|told| told.contains(words))
        })
        .await;
        let unready = self.telemetry.unready().unwrap_or_default();
        assert!(unready.contains(words), "{unready}");
    }

    async fn is_ready(&self) {
        eventually("the examiner is ready", async || {
            self.telemetry.unready().is_none()
        })
        .await;
        assert_eq!(self.refused(), None);
    }

    async fn end(self) {
        self.shutdown.cancel();
        self.task.await.unwrap().unwrap();
    }
}

async fn behind(model: &Model) -> Examiner {
    patient(model, GENEROUS).await
}

async fn patient(model: &Model, first_token: Duration) -> Examiner {
    let (address, _serving) = model.listen().await;
    Examiner::at(format!("http://{address}"), first_token)
}

#[tokio::test]
async fn a_server_that_answers_is_asked_once_and_as_a_worker_asks() {
    let model = Model::default();
    let examiner = behind(&model).await;
    examiner.is_ready().await;
    tokio::time::sleep(Duration::from_millis(300)).await;
    let requests = model.requests();
    assert_eq!(requests.len(), 1, "{requests:?}");
    assert_eq!(requests[0]["model"], "support");
    assert_eq!(requests[0]["stream"], true);
    assert_eq!(requests[0]["max_tokens"], 1);
    let question = json!([{ "role": "user", "content": "Hi" }]);
    assert_eq!(requests[0]["messages"], question);
    assert_eq!(model.traces().len(), 1);
    examiner.end().await;
}

#[tokio::test]
async fn an_answer_without_a_word_is_an_answer() {
    let model = Model::default();
    model.will([Behaviour::Say(Vec::new())]);
    let examiner = behind(&model).await;
    examiner.is_ready().await;
    examiner.end().await;
}

#[tokio::test]
async fn a_refusal_is_told_in_the_servers_words_until_the_server_answers() {
    for (behaviour, words) in [
        (Behaviour::Unknown, "404 Not Found: there is no such model"),
        (Behaviour::Refuse, "400 Bad Request: too long for me"),
        (Behaviour::Fail, "out of order"),
        (Behaviour::EndEarly, "broke off"),
        (Behaviour::Busy, "busy"),
    ] {
        let model = Model::default();
        model.will(vec![behaviour; 6]);
        let examiner = behind(&model).await;
        examiner.is_told(words).await;
        examiner.is_ready().await;
        assert_eq!(model.requests().len(), 7);
        examiner.end().await;
    }
}

#[tokio::test]
async fn a_server_that_loads_its_model_or_says_nothing_is_waited_for() {
    for behaviour in [Behaviour::Unavailable, Behaviour::Hang, Behaviour::CutOff] {
        let model = Model::default();
        model.will(vec![behaviour.clone(); 3]);
        let examiner = patient(&model, Duration::from_millis(200)).await;
        eventually("it was asked", async || model.requests().len() > 1).await;
        assert!(examiner.telemetry.unready().is_some());
        assert_eq!(examiner.refused(), None, "{behaviour:?}");
        examiner.is_ready().await;
        examiner.end().await;
    }
}

#[tokio::test]
async fn a_server_that_comes_late_is_waited_for() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let examiner = Examiner::at(format!("http://{address}"), GENEROUS);
    eventually("it is waited for", async || {
        let unready = examiner.telemetry.unready().unwrap_or_default();
        unready.contains("failed to reach inference")
    })
    .await;
    assert_eq!(examiner.refused(), None);
    let model = Model::default();
    let _serving = model.serve(TcpListener::bind(address).await.unwrap());
    examiner.is_ready().await;
    examiner.end().await;
}

#[tokio::test]
async fn an_examiner_that_is_told_to_end_does_so_without_an_answer() {
    let model = Model::default();
    model.will([Behaviour::Hang]);
    behind(&model).await.end().await;
}
