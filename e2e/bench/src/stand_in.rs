//! A stand-in for the platform's server. It verifies who sends, remembers idempotency keys, is busy or silent when it is
//! told to be, and keeps a book of every request: what its users have seen is read there.
//!
//! Each gateway process has an address of its own here, so that the book says who sent what.

use std::collections::{HashMap, HashSet};
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use axum::Json;
use axum::Router;
use axum::body::Bytes;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use serde_json::{Value, json};
use tokio::net::TcpListener;

use crate::platform::{self, Platform, Reply};
use crate::{drawn, now_us};

/// Longer than any gateway waits for an answer.
const SILENCE: Duration = Duration::from_secs(30);

/// One request of a gateway for a reply.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Attempt {
    /// The number of the question that it answers.
    pub message: u32,
    /// The number of the gateway's process.
    pub process: u32,
    /// When it came, microseconds since 1970.
    pub at: i64,
    /// What became of it.
    pub said: Said,
}

/// What the platform said to a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Said {
    /// It has taken it.
    Taken,
    /// It knows its key, and shows nothing more.
    Known,
    /// It is busy, and shows nothing.
    Busy,
    /// It fell silent or broke, which says nothing of whether it shows it.
    Unknown {
        /// It does.
        visible: bool,
    },
}

impl Attempt {
    /// Whether the user sees it.
    #[must_use]
    pub fn is_visible(&self) -> bool {
        matches!(self.said, Said::Taken | Said::Unknown { visible: true })
    }
}

/// How faulty the platform is.
#[derive(Clone, Copy, Debug)]
pub struct Faults {
    /// What is drawn for an attempt is drawn from this.
    pub seed: u64,
    /// Of how many attempts one has an unknown outcome; 0: none has.
    pub unknown_one_in: u32,
    /// Whether every answer repeats its question's number, as [`platform::asked`] writes it.
    pub numbered: bool,
}

/// A running stand-in; it serves as long as the runtime that it was started in.
#[derive(Clone)]
pub struct StandIn(Arc<Inner>);

struct Inner {
    base: String,
    platform: Platform,
    faults: Faults,
    /// Until then it is busy, microseconds since 1970.
    busy_until: AtomicI64,
    book: Mutex<Book>,
}

#[derive(Default)]
struct Book {
    attempts: Vec<Attempt>,
    /// How often an answer to each message has been sent.
    tries: HashMap<u32, u32>,
    keys: HashSet<String>,
    /// Requests that were no reply, or whose sender did not show who it is.
    refused: u64,
    refusal: String,
    visible: HashSet<u32>,
}

impl StandIn {
    /// Starts one on a free port of the loopback.
    pub async fn start(platform: Platform, faults: Faults) -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0")
            .await
            .context("failed to listen for the platform's stand-in")?;
        let address = listener
            .local_addr()
            .context("failed to find a free port")?;
        let inner = Arc::new(Inner {
            base: format!("http://{address}"),
            platform,
            faults,
            busy_until: AtomicI64::new(0),
            book: Mutex::default(),
        });
        let app = Router::new()
            .route("/{process}/{method}", post(receive))
            .with_state(Arc::clone(&inner));
        tokio::spawn(async move { axum::serve(listener, app).await });
        Ok(Self(inner))
    }

    /// The base address for a gateway process.
    #[must_use]
    pub fn base(&self, process: u32) -> String {
        format!("{}/{process}", self.0.base)
    }

    /// For so long it says that it is busy.
    pub fn be_busy(&self, for_: Duration) {
        let micros = i64::try_from(for_.as_micros()).unwrap_or(i64::MAX);
        self.0
            .busy_until
            .store(now_us().saturating_add(micros), Ordering::Relaxed);
    }

    /// How many messages have an answer that is seen.
    #[must_use]
    pub fn answered(&self) -> usize {
        self.0.book().visible.len()
    }

    /// How many requests there were.
    #[must_use]
    pub fn attempts(&self) -> usize {
        self.0.book().attempts.len()
    }

    /// Every request so far, in the order in which they came.
    #[must_use]
    pub fn book(&self) -> Vec<Attempt> {
        self.0.book().attempts.clone()
    }

    /// Forgets every request so far, and takes them out.
    #[must_use]
    pub fn take(&self) -> Vec<Attempt> {
        let mut book = self.0.book();
        book.visible.clear();
        std::mem::take(&mut book.attempts)
    }

    /// Fails when it had to refuse something.
    pub fn check(&self) -> Result<()> {
        let book = self.0.book();
        ensure!(
            book.refused == 0,
            "the platform refused {} requests; the first: {}",
            book.refused,
            book.refusal
        );
        Ok(())
    }
}

impl Inner {
    fn book(&self) -> MutexGuard<'_, Book> {
        self.book.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Which message a reply answers; fails when it is not the answer to it.
    fn message(&self, reply: &Reply) -> Result<u32> {
        let named = reply.number;
        if !self.faults.numbered {
            return named.context("the format names no question");
        }
        let answered = platform::answered(&reply.text)?;
        ensure!(
            named.is_none_or(|named| named == answered),
            "the answer to question {answered} came as the answer to {named:?}"
        );
        Ok(answered)
    }

    /// Enters a request; whether it is answered at all is the second.
    fn enter(&self, process: u32, message: u32, key: Option<String>, at: i64) -> (Said, bool) {
        let mut book = self.book();
        let busy = self.busy_until.load(Ordering::Relaxed) > at;
        let tries = book.tries.entry(message).or_default();
        *tries += u32::from(!busy);
        let mut rng = drawn(self.faults.seed, message.into(), (*tries).into());
        let one_in = self.faults.unknown_one_in;
        let is_unknown = one_in > 0 && rng.u32(0..one_in) == 0;
        let (shown, silent) = (rng.bool(), rng.bool());
        let said = if busy {
            Said::Busy
        } else {
            let is_new = |book: &mut Book| key.is_none_or(|key| book.keys.insert(key));
            match is_unknown {
                true => Said::Unknown {
                    visible: shown && is_new(&mut book),
                },
                false if is_new(&mut book) => Said::Taken,
                false => Said::Known,
            }
        };
        let attempt = Attempt {
            message,
            process,
            at,
            said,
        };
        if attempt.is_visible() {
            book.visible.insert(message);
        }
        book.attempts.push(attempt);
        (said, silent)
    }
}

async fn receive(
    State(inner): State<Arc<Inner>>,
    Path((process, method)): Path<(u32, String)>,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let at = now_us();
    if method == "auth.test" {
        return respond(inner.platform.taken());
    }
    let reply = inner.platform.reply(&headers, &body);
    let entered = reply.and_then(|reply| {
        let message = inner.message(&reply)?;
        Ok(inner.enter(process, message, reply.key, at))
    });
    match entered {
        Err(error) => {
            let mut book = inner.book();
            if book.refused == 0 {
                let body = String::from_utf8_lossy(&body);
                book.refusal = format!("{method}: {error:#}: {body}");
            }
            book.refused += 1;
            respond((StatusCode::BAD_REQUEST, json!({ "ok": false })))
        }
        Ok((Said::Taken, _)) => respond(inner.platform.taken()),
        // Done before.
        Ok((Said::Known, _)) => respond((StatusCode::CONFLICT, json!({}))),
        Ok((Said::Busy, _)) => {
            let later = [(header::RETRY_AFTER, "1")];
            (StatusCode::TOO_MANY_REQUESTS, later, Json(json!({}))).into_response()
        }
        Ok((Said::Unknown { .. }, silent)) => {
            if silent {
                tokio::time::sleep(SILENCE).await;
            }
            respond((StatusCode::INTERNAL_SERVER_ERROR, json!({})))
        }
    }
}

fn respond((status, body): (StatusCode, Value)) -> Response {
    (status, Json(body)).into_response()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn inner(unknown_one_in: u32) -> Inner {
        Inner {
            base: String::new(),
            platform: Platform::Keys,
            faults: Faults {
                seed: 1,
                unknown_one_in,
                numbered: true,
            },
            busy_until: AtomicI64::new(0),
            book: Mutex::default(),
        }
    }

    #[test]
    fn a_key_that_is_remembered_shows_nothing_more_and_without_one_everything_is_shown() {
        let inner = inner(0);
        let enter =
            |message, key: Option<&str>| inner.enter(1, message, key.map(str::to_owned), 9).0;
        assert_eq!(enter(1, Some("a")), Said::Taken);
        assert_eq!(enter(1, Some("a")), Said::Known);
        assert_eq!(enter(2, None), Said::Taken);
        assert_eq!(enter(2, None), Said::Taken);
        assert_eq!(inner.book().visible.len(), 2);
    }

    #[test]
    fn while_it_is_busy_nothing_is_shown_and_no_key_is_remembered() {
        let inner = inner(0);
        inner.busy_until.store(10, Ordering::Relaxed);
        assert_eq!(inner.enter(1, 1, Some("a".to_owned()), 9).0, Said::Busy);
        assert_eq!(inner.enter(1, 1, Some("a".to_owned()), 10).0, Said::Taken);
    }

    #[test]
    fn what_is_drawn_for_a_message_does_not_depend_on_when_it_comes() {
        let said = |messages: &mut dyn Iterator<Item = u32>| {
            let inner = inner(3);
            let mut all: Vec<_> = messages
                .map(|message| (message, inner.enter(1, message, None, 9)))
                .collect();
            all.sort_by_key(|(message, _)| *message);
            all
        };
        let (forth, back) = (said(&mut (0..300)), said(&mut (0..300).rev()));
        assert_eq!(forth, back);
        let unknown = |visible| {
            let is = |(_, (said, _)): &&(u32, (Said, bool))| *said == Said::Unknown { visible };
            forth.iter().filter(is).count()
        };
        assert!((20..80).contains(&unknown(true)), "{}", unknown(true));
        assert!((20..80).contains(&unknown(false)), "{}", unknown(false));
    }

    #[test]
    fn an_answer_to_another_question_is_refused() {
        let reply = |number, text: &str| Reply {
            number,
            user: 1,
            text: text.to_owned(),
            key: None,
        };
        let inner = inner(0);
        assert_eq!(
            inner
                .message(&reply(Some(7), "You said: question 7"))
                .unwrap(),
            7
        );
        assert!(
            inner
                .message(&reply(Some(7), "You said: question 8"))
                .is_err()
        );
        assert!(inner.message(&reply(None, "Sorry")).is_err());
    }
}
