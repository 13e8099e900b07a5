//! What the page of the web chat does as long as it is open: it connects again when a connection is lost, asks again
//! under the same id what has no answer, and drops what it knows. A second answer to one question is an error here.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;

use crate::web_chat::{Page, random_id};

/// Pause before a lost connection is made again.
const RECONNECT: Duration = Duration::from_millis(250);
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
    waiting: BTreeMap<String, Question>,
    replies: BTreeMap<String, Reply>,
}

/// A question without an answer.
struct Question {
    text: String,
    asked: Instant,
    /// When it is to be sent next; absent while the gateway has it.
    send_at: Option<Instant>,
    message: Option<Value>,
    preview: usize,
    beginnings: u32,
}

/// An answer.
#[derive(Clone, Debug)]
pub struct Reply {
    /// The question's id in the queue.
    pub message: String,
    /// Where it stands in the log.
    pub position: u64,
    /// What was asked.
    pub question: String,
    /// What was answered.
    pub answer: String,
    /// Whether it is the text that stands in for an answer.
    pub fallback: bool,
    /// How often the answer was begun, as far as it was seen to grow.
    pub beginnings: u32,
    /// When it was asked first.
    pub asked: Instant,
    /// When the answer came.
    pub answered: Instant,
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
            waiting: BTreeMap::new(),
            replies: BTreeMap::new(),
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
        &self.replies
    }

    /// Asks, and gives the question's id. It is sent, as often as needed, while something is waited for.
    pub fn ask(&mut self, text: &str) -> Result<String> {
        let id = random_id()?;
        let question = Question {
            text: text.to_owned(),
            asked: Instant::now(),
            send_at: Some(Instant::now()),
            message: None,
            preview: 0,
            beginnings: 0,
        };
        self.waiting.insert(id.clone(), question);
        Ok(id)
    }

    /// Goes on until the answer to a question is there.
    pub fn answer(&mut self, id: &str, limit: Duration) -> Result<Reply> {
        self.until(limit, |page| page.replies.contains_key(id))
            .with_context(|| format!("failed to see an answer to question {id}"))?;
        self.replies.get(id).cloned().context("the answer is gone")
    }

    /// Goes on until a part of an answer is there; false when the whole answer came first.
    pub fn begun(&mut self, id: &str, limit: Duration) -> Result<bool> {
        self.until(limit, |page| {
            page.waiting
                .get(id)
                .is_none_or(|question| question.preview > 0)
        })
        .with_context(|| format!("failed to see the beginning of an answer to question {id}"))?;
        Ok(self.waiting.contains_key(id))
    }

    /// Whether an answer is still missing, after reading what has come in the meantime.
    pub fn is_waiting(&mut self, id: &str) -> Result<bool> {
        while self.step(Duration::from_millis(1))? {}
        Ok(self.waiting.contains_key(id))
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

    /// Reads the conversation as a page just opened does: every answer is there once, and as it was shown.
    pub fn check_history(&self) -> Result<()> {
        let mut page = Page::connect(self.address, &self.channel, &self.user, None, true)?;
        let history = loop {
            let frame = page.receive()?;
            if frame["type"] == "history" {
                break frame;
            }
        };
        let turns = history["turns"].as_array().map_or(&[][..], Vec::as_slice);
        ensure!(
            turns.len() <= self.replies.len(),
            "the history has turns that were not seen: {history}"
        );
        for turn in turns {
            let seen = self
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
        let newest = self.replies.values().max_by_key(|reply| reply.answered);
        if let Some(newest) = newest {
            ensure!(
                turns.iter().any(|turn| turn["message"] == newest.message),
                "the history lacks the newest answer: {newest:?}"
            );
        }
        Ok(())
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
        let mut due = self.waiting.iter_mut().filter(|(_, question)| {
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
        for question in self.waiting.values_mut() {
            question.send_at = Some(Instant::now());
        }
    }

    fn take(&mut self, frame: &Value) -> Result<()> {
        match frame["type"].as_str() {
            Some("ready") => {
                self.ready = true;
                self.cursor = Some(frame["cursor"].clone());
            }
            Some("cursor") => self.cursor = Some(frame["cursor"].clone()),
            Some("ack") => {
                if let Some(question) = frame["id"].as_str().and_then(|id| self.waiting.get_mut(id))
                {
                    question.message = Some(frame["message"].clone());
                }
            }
            Some("preview") => {
                let length = frame["text"].as_str().map_or(0, str::len);
                for question in self.waiting.values_mut() {
                    if question.message.as_ref() == Some(&frame["message"]) {
                        // An answer only grows, unless somebody else has begun it anew.
                        question.beginnings +=
                            u32::from(question.preview == 0 || length < question.preview);
                        question.preview = length;
                    }
                }
            }
            Some("refused") => self.refused(frame)?,
            Some("reply") => self.replied(frame)?,
            _ => {}
        }
        Ok(())
    }

    fn refused(&mut self, frame: &Value) -> Result<()> {
        let question = frame["id"].as_str().and_then(|id| self.waiting.get_mut(id));
        match (question, frame["retryAfterMs"].as_u64()) {
            (Some(question), Some(pause)) => {
                question.send_at = Some(Instant::now() + Duration::from_millis(pause));
                Ok(())
            }
            _ => bail!("a question was refused: {frame}"),
        }
    }

    fn replied(&mut self, frame: &Value) -> Result<()> {
        let text = |field: &str| {
            frame[field]
                .as_str()
                .map(str::to_owned)
                .with_context(|| format!("a reply without {field}: {frame}"))
        };
        let (id, message, answer) = (text("id")?, text("message")?, text("answer")?);
        let position = frame["position"]
            .as_u64()
            .context("a reply without a position")?;
        if let Some(known) = self.replies.get(&id) {
            let same =
                known.message == message && known.position == position && known.answer == answer;
            ensure!(
                same,
                "a question was answered twice: {known:?}, then {frame}"
            );
            return Ok(());
        }
        let question = self.waiting.remove(&id);
        let question = question
            .with_context(|| format!("an answer to a question that was never asked: {frame}"))?;
        let reply = Reply {
            message,
            position,
            question: text("question")?,
            answer,
            fallback: frame["fallback"] == true,
            beginnings: question.beginnings,
            asked: question.asked,
            answered: Instant::now(),
        };
        self.replies.insert(id, reply);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn asked() -> (Conversation, String) {
        let mut page = Conversation::new(SocketAddr::from(([127, 0, 0, 1], 1)), "web").unwrap();
        let id = page.ask("hello").unwrap();
        page.take(&json!({ "type": "ack", "id": id, "message": "m" }))
            .unwrap();
        (page, id)
    }

    fn reply(id: &str, position: u64, answer: &str) -> Value {
        json!({
            "type": "reply", "id": id, "message": "m", "position": position, "question": "hello",
            "answer": answer, "fallback": false,
        })
    }

    #[test]
    fn a_copy_of_an_answer_is_dropped_and_another_answer_is_an_error() {
        let (mut page, id) = asked();
        page.take(&reply(&id, 3, "hi")).unwrap();
        page.take(&reply(&id, 3, "hi")).unwrap();
        assert_eq!(page.replies()[&id].answer, "hi");
        assert!(page.take(&reply(&id, 3, "ho")).is_err());
        assert!(page.take(&reply(&id, 4, "hi")).is_err());
        assert!(page.take(&reply("other", 5, "hi")).is_err());
    }

    #[test]
    fn an_answer_that_shrinks_was_begun_anew() {
        let (mut page, id) = asked();
        for text in ["a", "a b", "a b c", "d", "d e f g"] {
            page.take(&json!({ "type": "preview", "message": "m", "text": text }))
                .unwrap();
        }
        page.take(&reply(&id, 3, "d e f g h")).unwrap();
        assert_eq!(page.replies()[&id].beginnings, 2);
    }

    #[test]
    fn a_refusal_without_a_time_to_try_again_is_an_error() {
        let (mut page, id) = asked();
        let mut refused = json!({ "type": "refused", "id": id, "code": "Overloaded", "message": "", "retryAfterMs": 5 });
        page.take(&refused).unwrap();
        assert!(page.waiting[&id].send_at.is_some());
        refused["retryAfterMs"] = Value::Null;
        assert!(page.take(&refused).is_err());
    }
}
