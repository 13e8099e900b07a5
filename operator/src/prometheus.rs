//! Whether the Prometheuses that resources name answer: each asked seldom, whoever names it, and an answer is believed
//! for a while, so that a packet that is lost is no news.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use chatbot_plan::world::{PrometheusSeen, Signal};
use jiff::Timestamp;
use reqwest::StatusCode;
use serde::Deserialize;

use crate::body;
use crate::error::in_full;

/// How long an answer is not asked for again.
const AGAIN: Duration = Duration::from_secs(10);
/// How long a Prometheus that has answered is believed to, whatever comes of asking.
const BELIEVED: Duration = Duration::from_secs(45);
/// How long what nobody asks for is remembered.
const KEPT: Duration = Duration::from_mins(10);
/// The longest answer that is read.
const LIMIT: usize = 64 * 1024;
/// A question that every Prometheus can answer, and whatever speaks as one.
const QUESTION: &str = "/api/v1/query?query=vector(1)";

/// Asks them.
pub struct Prometheuses {
    http: reqwest::Client,
    /// By address.
    heard: Mutex<HashMap<String, Heard>>,
}

/// What was last heard of one.
#[derive(Clone, Debug, PartialEq)]
struct Heard {
    asked: Instant,
    /// When it last answered as one does.
    answered: Option<Instant>,
    last: PrometheusSeen,
}

impl Heard {
    /// What is known after another answer.
    fn after(before: Option<&Self>, last: PrometheusSeen, now: Instant) -> Self {
        let answers = last == PrometheusSeen::Answers;
        Self {
            asked: now,
            answered: if answers {
                Some(now)
            } else {
                before.and_then(|before| before.answered)
            },
            last,
        }
    }

    fn believed(&self, now: Instant) -> PrometheusSeen {
        let lately = |at: Instant| now.saturating_duration_since(at) < BELIEVED;
        if self.answered.is_some_and(lately) {
            PrometheusSeen::Answers
        } else {
            self.last.clone()
        }
    }
}

#[derive(Deserialize)]
struct Answer {
    status: String,
}

impl Prometheuses {
    /// Nothing heard yet.
    #[must_use]
    pub fn new(http: reqwest::Client) -> Self {
        Self {
            http,
            heard: Mutex::default(),
        }
    }

    /// What one says, at the address of its HTTP API.
    pub async fn ask(&self, url: &str) -> Signal<PrometheusSeen> {
        let known = self.known(url);
        let is_new = |heard: &Heard| heard.asked.elapsed() < AGAIN;
        let heard = match known {
            Some(heard) if is_new(&heard) => heard,
            known => {
                let answer = self.fetch(url).await;
                let heard = Heard::after(known.as_ref(), answer, Instant::now());
                self.remember(url, heard.clone());
                heard
            }
        };
        Signal::Known {
            value: heard.believed(Instant::now()),
            at: Timestamp::now(),
        }
    }

    /// Forgets what nobody asks for any more.
    pub fn forget(&self) {
        let mut heard = self.heard.lock().unwrap_or_else(PoisonError::into_inner);
        heard.retain(|_, heard| heard.asked.elapsed() < KEPT);
    }

    fn known(&self, url: &str) -> Option<Heard> {
        let heard = self.heard.lock().unwrap_or_else(PoisonError::into_inner);
        heard.get(url).cloned()
    }

    fn remember(&self, url: &str, answer: Heard) {
        let mut heard = self.heard.lock().unwrap_or_else(PoisonError::into_inner);
        heard.insert(url.to_owned(), answer);
    }

    async fn fetch(&self, url: &str) -> PrometheusSeen {
        let response = match self.http.get(format!("{url}{QUESTION}")).send().await {
            Ok(response) => response,
            Err(error) => return PrometheusSeen::Unreachable(in_full(&error.without_url())),
        };
        let status = response.status();
        if matches!(status, StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN) {
            return PrometheusSeen::Rejects(format!("it answers {status}"));
        }
        let body = body::read(response, LIMIT).await.unwrap_or_default();
        match serde_json::from_slice::<Answer>(&body) {
            Ok(answer) if answer.status == "success" => PrometheusSeen::Answers,
            _ => {
                PrometheusSeen::Unreachable(format!("it answers {status}, and not as a Prometheus"))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::Router;
    use axum::http::StatusCode as Status;
    use axum::routing::get;

    #[test]
    fn one_question_without_an_answer_is_no_news() {
        let start = Instant::now();
        let after = |seconds| start + Duration::from_secs(seconds);
        let lost = || PrometheusSeen::Unreachable("lost".to_owned());
        let first = Heard::after(None, lost(), after(0));
        assert_eq!(first.believed(after(0)), lost());
        let good = Heard::after(Some(&first), PrometheusSeen::Answers, after(10));
        let bad = Heard::after(Some(&good), lost(), after(20));
        assert_eq!(bad.believed(after(20)), PrometheusSeen::Answers);
        assert_eq!(bad.believed(after(60)), lost());
    }

    /// As a Prometheus answers, and without an end in sight.
    fn long() -> String {
        format!(
            "{{\"status\":\"success\",\"data\":{:?}}}",
            "x".repeat(LIMIT)
        )
    }

    #[tokio::test]
    async fn what_answers_as_a_prometheus_is_told_from_what_does_not() {
        let answers =
            |status: Status, body: &'static str| get(move || async move { (status, body) });
        let router = Router::new()
            .route(
                "/good/api/v1/query",
                answers(Status::OK, r#"{"status":"success"}"#),
            )
            .route("/other/api/v1/query", answers(Status::OK, "<html>"))
            .route("/long/api/v1/query", get(|| async { long() }))
            .route("/shut/api/v1/query", answers(Status::UNAUTHORIZED, ""))
            .route(
                "/moved/api/v1/query",
                get(|| async { axum::response::Redirect::temporary("/good/api/v1/query") }),
            );
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let server = tokio::spawn(async move { axum::serve(listener, router).await });
        let asked = Prometheuses::new(crate::state::Reports::new().unwrap().http());
        let ask = async |path: &str| {
            let said = asked.ask(&format!("http://{address}/{path}")).await;
            said.known().cloned().unwrap()
        };
        assert_eq!(ask("good").await, PrometheusSeen::Answers);
        assert!(matches!(ask("shut").await, PrometheusSeen::Rejects(_)));
        for path in ["other", "moved", "long"] {
            assert!(matches!(ask(path).await, PrometheusSeen::Unreachable(_)));
        }
        server.abort();
        let nobody = asked.ask("http://127.0.0.1:1").await;
        assert!(matches!(
            nobody.known(),
            Some(PrometheusSeen::Unreachable(_))
        ));
    }
}
