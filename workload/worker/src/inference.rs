//! Asking the model, once: one request, one connection, one stream.

use std::time::Duration;

use chatbot_crds::config::WorkerConfig;
use chatbot_message::{TRACEPARENT, Trace};
use reqwest::header::{CONTENT_TYPE, RETRY_AFTER};
use reqwest::{Client, Response, StatusCode};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use thiserror::Error;
use tokio::time::{Instant, timeout, timeout_at};

use crate::Limits;
use crate::context::Entry;
use crate::preview::Show;
use crate::sse::Events;

/// Why there is no answer.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub(crate) enum Failure {
    /// The model will not answer this request, whichever instance is asked.
    #[error("the model refused the request: {0}")]
    Refused(String),
    /// Every place is taken; another instance may be free.
    #[error("inference is busy")]
    Busy { retry_after: Option<Duration> },
    /// It answers, and not with an answer: credentials, a model or a path that is not there, another protocol. A matter of
    /// set-up: to be mended, then answered.
    #[error("{0}")]
    Unusable(String),
    /// It could not be reached, or broke off; says nothing about the request.
    #[error("{0}")]
    Away(String),
}

/// The inference API.
///
/// Every request has a connection of its own: a Service spreads connections, not requests, so a kept connection would
/// go to the same instance again, and to a dead one for as long as nobody noticed.
pub(crate) struct Inference {
    client: Client,
    url: String,
    model: String,
    temperature: f64,
    first_token: Duration,
    between_tokens: Duration,
}

#[derive(Serialize)]
struct Request<'a> {
    model: &'a str,
    messages: &'a [Entry],
    max_tokens: u32,
    temperature: f64,
    stream: bool,
}

#[derive(Deserialize)]
struct Chunk {
    #[serde(default)]
    choices: Vec<Choice>,
    error: Option<Value>,
}

#[derive(Deserialize)]
struct Choice {
    #[serde(default)]
    delta: Delta,
    finish_reason: Option<String>,
}

#[derive(Default, Deserialize)]
struct Delta {
    content: Option<String>,
}

/// An answer longer than this is not one. With its question it must fit into a record, however much of it is escaped there.
const LONGEST_ANSWER: usize = 64 << 10;
/// What is read of an error's text.
const LONGEST_REASON: usize = 2_000;

impl Inference {
    pub(crate) fn new(config: &WorkerConfig, limits: &Limits) -> Result<Self, reqwest::Error> {
        let (url, model) = (&config.inference_url, &config.model);
        Self::at(url, model, config.temperature, limits)
    }

    /// The API at a base URL.
    pub(crate) fn at(
        url: &str,
        model: &str,
        temperature: f64,
        limits: &Limits,
    ) -> Result<Self, reqwest::Error> {
        let client = Client::builder()
            .no_proxy()
            .pool_max_idle_per_host(0)
            .connect_timeout(limits.connect)
            // A node that is cut off says nothing any more; the kernel notices within seconds, even while a long
            // prompt gives no bytes to wait for.
            .tcp_keepalive(limits.keepalive)
            .tcp_keepalive_interval(limits.keepalive)
            .tcp_keepalive_retries(3)
            .tcp_user_timeout(limits.keepalive * 4)
            .build()?;
        Ok(Self {
            client,
            url: format!("{}/v1/chat/completions", url.trim_end_matches('/')),
            model: model.to_owned(),
            temperature,
            first_token: limits.first_token,
            between_tokens: limits.between_tokens,
        })
    }

    /// Whether a request would be answered: it is made, and given up when its answer begins.
    pub(crate) async fn would_answer(
        &self,
        messages: &[Entry],
        max_tokens: u32,
        trace: Trace,
    ) -> Result<(), Failure> {
        self.open(messages, max_tokens, trace).await.map(drop)
    }

    /// Tokens of a request, as the model counts them; absent when it does not say.
    pub(crate) async fn prompt_tokens(&self, messages: &[Entry]) -> Option<u32> {
        let request = Request {
            model: &self.model,
            messages,
            max_tokens: 1,
            temperature: self.temperature,
            stream: false,
        };
        let asked = self.client.post(&self.url).json(&request).send().await;
        let answer = asked.ok()?.error_for_status().ok()?.bytes().await.ok()?;
        let answer: Value = serde_json::from_slice(&answer).ok()?;
        let tokens = answer.pointer("/usage/prompt_tokens")?.as_u64()?;
        u32::try_from(tokens).ok()
    }

    /// The stream of an answer that has not begun yet.
    async fn open(
        &self,
        messages: &[Entry],
        max_tokens: u32,
        trace: Trace,
    ) -> Result<Response, Failure> {
        let request = Request {
            model: &self.model,
            messages,
            max_tokens,
            temperature: self.temperature,
            stream: true,
        };
        let sending = self
            .client
            .post(&self.url)
            .header(TRACEPARENT, trace.at("inference").to_string())
            .json(&request)
            .send();
        let response = match timeout(self.first_token, sending).await {
            Ok(sent) => sent.map_err(|error| away(&error))?,
            Err(_) => return Err(silent(self.first_token)),
        };
        accepted(response).await
    }

    /// Asks, and shows the answer as it grows, where it is to be shown.
    pub(crate) async fn ask(
        &self,
        messages: &[Entry],
        max_tokens: u32,
        trace: Trace,
        mut show: Option<Show<'_>>,
    ) -> Result<String, Failure> {
        let asked_at = Instant::now();
        let mut response = self.open(messages, max_tokens, trace).await?;
        let mut events = Events::default();
        let mut answer = String::new();
        // A comment that only keeps the connection alive is no token.
        let mut grown_at = asked_at;
        loop {
            let patience = if answer.is_empty() {
                self.first_token
            } else {
                self.between_tokens
            };
            let bytes = match timeout_at(grown_at + patience, response.chunk()).await {
                Ok(Ok(Some(bytes))) => bytes,
                Ok(Ok(None)) => return Err(Failure::Unusable("the answer broke off".to_owned())),
                Ok(Err(error)) => return Err(away(&error)),
                Err(_) => return Err(silent(patience)),
            };
            let before = answer.len();
            let too_long = |_| Failure::Unusable("the answer is no event stream".to_owned());
            for event in events.push(&bytes).map_err(too_long)? {
                if take(&event, &mut answer)? {
                    return Ok(answer);
                }
            }
            if answer.len() > LONGEST_ANSWER {
                return Err(Failure::Refused("its answer has no end".to_owned()));
            }
            if answer.len() > before {
                grown_at = Instant::now();
                if let Some(show) = &mut show {
                    show.grown(&answer).await;
                }
            }
        }
    }
}

/// Takes in one event, and says whether it was the last.
fn take(event: &str, answer: &mut String) -> Result<bool, Failure> {
    if event == "[DONE]" {
        return Ok(true);
    }
    let chunk: Chunk = serde_json::from_str(event).map_err(|error| {
        Failure::Unusable(format!(
            "failed to read a piece of the answer: {}",
            fault(&error)
        ))
    })?;
    if let Some(error) = chunk.error {
        return Err(Failure::Unusable(format!("inference failed: {error}")));
    }
    let Some(choice) = chunk.choices.into_iter().next() else {
        return Ok(false);
    };
    answer.push_str(choice.delta.content.as_deref().unwrap_or_default());
    Ok(choice.finish_reason.is_some())
}

/// What is wrong with a text, without what it says.
pub(crate) fn fault(error: &serde_json::Error) -> String {
    format!(
        "{:?} error at line {} column {}",
        error.classify(),
        error.line(),
        error.column()
    )
}

/// A stream, or why there is none.
async fn accepted(response: Response) -> Result<Response, Failure> {
    let status = response.status();
    if status == StatusCode::TOO_MANY_REQUESTS {
        let seconds = response.headers().get(RETRY_AFTER);
        let seconds = seconds.and_then(|value| value.to_str().ok()?.trim().parse().ok());
        return Err(Failure::Busy {
            retry_after: seconds.map(Duration::from_secs),
        });
    }
    if !status.is_success() {
        let reason = format!("{status}: {}", words(&reason(response).await));
        return Err(match status {
            StatusCode::BAD_REQUEST
            | StatusCode::PAYLOAD_TOO_LARGE
            | StatusCode::UNPROCESSABLE_ENTITY => Failure::Refused(reason),
            // So says a server that starts or ends.
            StatusCode::SERVICE_UNAVAILABLE => Failure::Away(format!("inference said {reason}")),
            _ => Failure::Unusable(format!("inference said {reason}")),
        });
    }
    let kind = response.headers().get(CONTENT_TYPE);
    let kind = kind
        .and_then(|value| value.to_str().ok())
        .unwrap_or_default();
    if !kind.starts_with("text/event-stream") {
        return Err(Failure::Unusable(format!(
            "inference answered with {kind:?} instead of an event stream"
        )));
    }
    Ok(response)
}

async fn reason(mut response: Response) -> String {
    let mut text = Vec::new();
    while text.len() < LONGEST_REASON {
        match timeout(Duration::from_secs(1), response.chunk()).await {
            Ok(Ok(Some(bytes))) => text.extend_from_slice(&bytes),
            _ => break,
        }
    }
    text.truncate(LONGEST_REASON);
    String::from_utf8_lossy(&text).trim().to_owned()
}

/// What an error of the `OpenAI` API says; the whole text where it is none.
fn words(text: &str) -> String {
    let said: Option<Value> = serde_json::from_str(text).ok();
    let words = said
        .as_ref()
        .and_then(|said| said.pointer("/error/message")?.as_str());
    words.unwrap_or(text).to_owned()
}

/// With its causes: on its own it says only that sending failed.
fn away(error: &reqwest::Error) -> Failure {
    let mut text = format!("failed to reach inference: {error}");
    let mut cause = std::error::Error::source(error);
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    Failure::Away(text)
}

fn silent(patience: Duration) -> Failure {
    Failure::Away(format!("inference said nothing for {patience:?}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_an_error_its_words_are_told() {
        let said = r#"{"error":{"message":"too long","type":"invalid_request_error"}}"#;
        assert_eq!(words(said), "too long");
        assert_eq!(words("no such path"), "no such path");
    }
}
