//! What a page has asked and what was answered: each question once.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;

/// A question without an answer.
pub(super) struct Question {
    pub(super) text: String,
    pub(super) asked: Instant,
    /// When it is to be sent next; absent while the gateway has it.
    pub(super) send_at: Option<Instant>,
    message: Option<Value>,
    /// How much of the answer was seen.
    pub(super) preview: usize,
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

/// Questions and answers, by the question's id.
#[derive(Default)]
pub(super) struct Ledger {
    pub(super) waiting: BTreeMap<String, Question>,
    pub(super) replies: BTreeMap<String, Reply>,
}

impl Ledger {
    /// Notes a question that is to be sent.
    pub(super) fn asked(&mut self, id: &str, text: &str) {
        let question = Question {
            text: text.to_owned(),
            asked: Instant::now(),
            send_at: Some(Instant::now()),
            message: None,
            preview: 0,
            beginnings: 0,
        };
        self.waiting.insert(id.to_owned(), question);
    }

    /// Everything without an answer is to be sent again.
    pub(super) fn unsent(&mut self) {
        for question in self.waiting.values_mut() {
            question.send_at = Some(Instant::now());
        }
    }

    /// Takes in what the gateway says of questions and answers.
    pub(super) fn take(&mut self, frame: &Value) -> Result<()> {
        match frame["type"].as_str() {
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

    fn asked() -> (Ledger, String) {
        let (mut page, id) = (Ledger::default(), "1".to_owned());
        page.asked(&id, "hello");
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
        assert_eq!(page.replies[&id].answer, "hi");
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
        assert_eq!(page.replies[&id].beginnings, 2);
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
