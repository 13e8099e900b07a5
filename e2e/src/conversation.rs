//! What the page of the web chat does as long as it is open: it connects again when a connection is lost, asks again
//! under the same id what has no answer, and drops what it knows. A second answer to one question is an error here.

mod ledger;

pub use ledger::Reply;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, bail, ensure};
use serde_json::Value;

use crate::web_chat::{Page, random_id};
use ledger::Ledger;

/// Pause before a lost connection is made again.
const RECONNECT: Duration = Duration::from_millis(250);
/// Longest time until a history is whole: the view may begin anew.
const WHOLE: Duration = Duration::from_secs(30);
/// Longest time without a look at what else is to be done.
const LOOK: Duration = Duration::from_millis(500);

/// Tells those who keep asking to stop, at last when it is dropped: nobody talks for ever because a test failed.
pub struct Stop<'a>(pub &'a AtomicBool);

impl Drop for Stop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::SeqCst);
    }
}

/// A user's page, over all its connections.
pub struct Conversation {
    address: SocketAddr,
    channel: String,
    user: String,
    page: Option<Page>,
    cursor: Option<Value>,
    ready: bool,
    connections: u32,
    /// Why the last connection ended or was not made.
    loss: String,
    ledger: Ledger,
}

impl Conversation {
    /// A new user's page. It connects when it is first used.
    pub fn new(address: SocketAddr, channel: &str) -> Result<Self> {
        Ok(Self {
            address,
            channel: channel.to_owned(),
            user: random_id()?,
            page: None,
            cursor: None,
            ready: false,
            connections: 0,
            loss: "none was lost".to_owned(),
            ledger: Ledger::default(),
        })
    }

    /// How often it has connected.
    #[must_use]
    pub fn connections(&self) -> u32 {
        self.connections
    }

    /// Every answer so far, by the question's id.
    #[must_use]
    pub fn replies(&self) -> &BTreeMap<String, Reply> {
        &self.ledger.replies
    }

    /// Asks, and gives the question's id. It is sent, as often as needed, while something is waited for.
    pub fn ask(&mut self, text: &str) -> Result<String> {
        let id = random_id()?;
        self.ledger.asked(&id, text);
        Ok(id)
    }

    /// Goes on until the answer to a question is there.
    pub fn answer(&mut self, id: &str, limit: Duration) -> Result<Reply> {
        self.until(limit, |page| page.ledger.replies.contains_key(id))
            .with_context(|| format!("failed to see an answer to question {id}"))?;
        self.ledger
            .replies
            .get(id)
            .cloned()
            .context("the answer is gone")
    }

    /// Goes on until a part of an answer is there; false when the whole answer came first.
    pub fn begun(&mut self, id: &str, limit: Duration) -> Result<bool> {
        self.until(limit, |page| {
            page.ledger
                .waiting
                .get(id)
                .is_none_or(|question| question.preview > 0)
        })
        .with_context(|| format!("failed to see the beginning of an answer to question {id}"))?;
        Ok(self.ledger.waiting.contains_key(id))
    }

    /// Whether an answer is still missing, after reading what has come in the meantime.
    pub fn is_waiting(&mut self, id: &str) -> Result<bool> {
        while self.step(Duration::from_millis(1))? {}
        Ok(self.ledger.waiting.contains_key(id))
    }

    /// Asks one question after another until told to stop, and gives how many. Each is answered before the next.
    pub fn keep_asking(
        &mut self,
        question: &str,
        pause: Duration,
        limit: Duration,
        stop: &AtomicBool,
    ) -> Result<usize> {
        let mut count = 0;
        while !stop.load(Ordering::SeqCst) {
            count += 1;
            let id = self.ask(&format!("{question} ({count})"))?;
            self.answer(&id, limit)?;
            let _ = self.until(pause, |_| stop.load(Ordering::SeqCst)); // ends by the pause, or by the stop
        }
        Ok(count)
    }

    /// The gateway is reached elsewhere from now on.
    pub fn moves_to(&mut self, address: SocketAddr) {
        self.address = address;
        self.lose(&anyhow!("the gateway has moved"));
    }

    /// The turns that a page just opened shows.
    pub fn history(&self) -> Result<Vec<Value>> {
        let end = Instant::now() + WHOLE;
        loop {
            if let Some(turns) = self.read_history()? {
                return Ok(turns);
            }
            ensure!(Instant::now() < end, "the history does not become whole");
        }
    }

    /// Reads the conversation as a page just opened does: every answer is there once, and as it was shown.
    pub fn check_history(&self) -> Result<()> {
        let turns = self.history()?;
        ensure!(
            turns.len() <= self.ledger.replies.len(),
            "the history has turns that were not seen: {turns:?}"
        );
        for turn in &turns {
            let seen = self
                .ledger
                .replies
                .values()
                .find(|reply| turn["message"] == reply.message);
            let seen =
                seen.with_context(|| format!("the history has a turn that was not seen: {turn}"))?;
            ensure!(
                turn["answer"] == seen.answer && turn["position"] == seen.position,
                "the history has another answer than was shown: {turn}, shown was {seen:?}"
            );
            let copies = turns
                .iter()
                .filter(|other| other["message"] == turn["message"]);
            ensure!(copies.count() == 1, "the history has a turn twice: {turn}");
        }
        // Not by position: a hub that restarts counts anew.
        let newest = self
            .ledger
            .replies
            .values()
            .max_by_key(|reply| reply.answered);
        if let Some(newest) = newest {
            ensure!(
                turns.iter().any(|turn| turn["message"] == newest.message),
                "the history lacks the newest answer {newest:?}: {turns:?}"
            );
        }
        Ok(())
    }

    /// The history, and what was answered since its end; nothing while it is not whole.
    fn read_history(&self) -> Result<Option<Vec<Value>>> {
        let mut page = Page::connect(self.address, &self.channel, &self.user, None, true)?;
        let mut turns = Vec::new();
        loop {
            let mut frame = page.receive()?;
            match frame["type"].as_str() {
                Some("history") if frame["complete"] != true => return Ok(None),
                Some("history") => {
                    if let Value::Array(history) = frame["turns"].take() {
                        turns = history;
                    }
                }
                Some("reply") => {
                    turns.retain(|turn| turn["message"] != frame["message"]);
                    turns.push(frame);
                }
                Some("ready") => return Ok(Some(turns)),
                _ => {}
            }
        }
    }

    fn until(&mut self, limit: Duration, mut done: impl FnMut(&Self) -> bool) -> Result<()> {
        let end = Instant::now() + limit;
        loop {
            if done(self) {
                return Ok(());
            }
            let left = end.saturating_duration_since(Instant::now());
            if left.is_zero() {
                bail!(
                    "nothing more within {} s, on {} connections; the last loss: {}",
                    limit.as_secs(),
                    self.connections,
                    self.loss
                );
            }
            self.step(left.min(LOOK))?;
        }
    }

    /// Connects, sends, or reads one frame; whether it has read one. A broken connection is made again the next time.
    fn step(&mut self, limit: Duration) -> Result<bool> {
        let Some(page) = &mut self.page else {
            match Page::connect(
                self.address,
                &self.channel,
                &self.user,
                self.cursor.as_ref(),
                false,
            ) {
                Ok(page) => {
                    self.page = Some(page);
                    self.ready = false;
                    self.connections += 1;
                }
                Err(error) => {
                    self.loss = format!("{error:#}");
                    thread::sleep(RECONNECT.min(limit));
                }
            }
            return Ok(false);
        };
        let mut due = self.ledger.waiting.iter_mut().filter(|(_, question)| {
            self.ready && question.send_at.is_some_and(|at| at <= Instant::now())
        });
        let sent = due.try_for_each(|(id, question)| {
            question.send_at = None;
            page.ask_again(id, &question.text, question.asked.elapsed())
        });
        match sent.and_then(|()| page.receive_within(limit)) {
            Ok(Some(frame)) => self.take(&frame).map(|()| true),
            Ok(None) => Ok(false),
            Err(error) => {
                self.lose(&error);
                Ok(false)
            }
        }
    }

    /// What has no answer is asked again on the next connection.
    fn lose(&mut self, error: &anyhow::Error) {
        self.loss = format!("{error:#}");
        self.page = None;
        self.ledger.unsent();
    }

    fn take(&mut self, frame: &Value) -> Result<()> {
        match frame["type"].as_str() {
            Some("ready") => {
                self.ready = true;
                self.cursor = Some(frame["cursor"].clone());
            }
            Some("cursor") => self.cursor = Some(frame["cursor"].clone()),
            _ => self.ledger.take(frame)?,
        }
        Ok(())
    }
}
