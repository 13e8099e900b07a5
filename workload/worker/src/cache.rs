//! Answers given before to the same question, nearest first: in this process, then shared by all workers.
//!
//! An answer may be given to another user only if nothing of the first one is in it. So what is looked up and kept is
//! an answer for which the model was given the system prompt and the question, and nothing else: no earlier turn of
//! anybody. The key holds everything that such an answer depends on.

use std::sync::Arc;
use std::time::Duration;

use chatbot_crds::config::WorkerConfig;
use chatbot_store::{Answers, MemoryAnswers};
use sha2::{Digest, Sha256};

use crate::context::{Entry, Question};
use crate::metrics::{Cache, Metrics};

/// Both caches; either may be off.
pub(crate) struct Known {
    results: Option<MemoryAnswers>,
    shared: Option<Arc<dyn Answers>>,
    /// What is the same for every question of this worker.
    scope: Vec<u8>,
}

/// How long results are kept where no time is set for what is shared.
const LIFE: Duration = Duration::from_mins(10);
/// Longer answers are not kept: they would push out many that are asked for.
const LONGEST: usize = 64 << 10;

impl Known {
    pub(crate) fn new(config: &WorkerConfig, shared: Option<Arc<dyn Answers>>) -> Self {
        let cache = config.cache;
        let life = match cache.answers_ttl_seconds {
            0 => LIFE,
            seconds => Duration::from_secs(seconds),
        };
        let results =
            (cache.results_bytes > 0).then(|| MemoryAnswers::new(cache.results_bytes, life));
        let mut scope = Vec::new();
        for field in [
            config.cluster.as_bytes(),
            config.model.as_bytes(),
            &config.temperature.to_be_bytes(),
            &config.max_answer_tokens.to_be_bytes(),
            &config.context_tokens.to_be_bytes(),
        ] {
            put(&mut scope, field);
        }
        Self {
            results,
            shared: shared.filter(|_| cache.answers_ttl_seconds > 0),
            scope,
        }
    }

    /// The key of a request; none when its answer is only for whoever asked.
    pub(crate) fn key(&self, entries: &[Entry]) -> Option<String> {
        if self.results.is_none() && self.shared.is_none() {
            return None;
        }
        let Question { system, question } = Question::alone(entries)?;
        let mut text = self.scope.clone();
        put(&mut text, system.as_bytes());
        put(&mut text, normalised(question).as_bytes());
        Some(format!("{:x}", Sha256::digest(&text)))
    }

    pub(crate) async fn get(&self, key: &str, metrics: &Metrics) -> Option<String> {
        if let Some(results) = &self.results {
            let found = results.get(key).await;
            metrics.looked_up(Cache::Results, found.is_some());
            if found.is_some() {
                return found;
            }
        }
        let shared = self.shared.as_ref()?;
        let found = shared.get(key).await;
        metrics.looked_up(Cache::Answers, found.is_some());
        if let (Some(answer), Some(results)) = (&found, &self.results) {
            results.put(key, answer).await;
        }
        found
    }

    pub(crate) async fn put(&self, key: &str, answer: &str) {
        if answer.len() > LONGEST {
            return;
        }
        if let Some(results) = &self.results {
            results.put(key, answer).await;
        }
        if let Some(shared) = &self.shared {
            shared.put(key, answer).await;
        }
    }
}

/// With its length before it, so that no two lists of fields are the same text.
fn put(text: &mut Vec<u8>, field: &[u8]) {
    text.extend((field.len() as u64).to_be_bytes());
    text.extend(field);
}

/// Without the blanks that change no meaning. In several lines they may: it may be code. Upper and lower case may, too:
/// `ls -R` is not `ls -r`.
fn normalised(question: &str) -> String {
    let question = question.trim();
    if question.contains('\n') {
        question.to_owned()
    } else {
        question.split_whitespace().collect::<Vec<_>>().join(" ")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::context;
    use chatbot_crds::config::CacheConfig;
    use chatbot_store::Turn;
    use uuid::Uuid;

    fn config() -> WorkerConfig {
        WorkerConfig {
            cache: CacheConfig {
                results_bytes: 1 << 20,
                ..CacheConfig::default()
            },
            ..context::tests::config(4_096)
        }
    }

    fn key_of(
        config: &WorkerConfig,
        system: &str,
        turns: &[Turn],
        question: &str,
    ) -> Option<String> {
        let entries = context::entries(config, system, turns, 10, question);
        Known::new(config, None).key(&entries)
    }

    fn key(system: &str, question: &str) -> String {
        key_of(&config(), system, &[], question).unwrap()
    }

    fn turn(fallback: bool) -> Turn {
        Turn {
            position: 1,
            at: 0,
            message_id: Uuid::nil(),
            question: "my name is Ann".to_owned(),
            answer: "Hello Ann".to_owned(),
            fallback,
        }
    }

    #[test]
    fn an_answer_made_with_anybodys_earlier_turns_is_for_nobody_else() {
        assert_eq!(
            key_of(&config(), "be kind", &[turn(false)], "who am I?"),
            None
        );
        assert!(
            key_of(&config(), "be kind", &[turn(true)], "who am I?").is_some(),
            "the model is not given a fallback text"
        );
    }

    #[test]
    fn whatever_an_answer_depends_on_is_in_the_key() {
        let base = key("be kind", "what is TLS?");
        assert_eq!(base, key("be kind", "  what  is\tTLS? "));
        assert_ne!(base, key("be kind", "what is tls?"));
        assert_ne!(base, key("be brief", "what is TLS?"));
        assert_ne!(key("", "a b"), key("a", "b"));
        assert_ne!(key("x", "if a:\n  b"), key("x", "if a:\n b"));
        let changes: [fn(&mut WorkerConfig); 5] = [
            |config| config.cluster = "test/other".to_owned(),
            |config| config.model = "other".to_owned(),
            |config| config.temperature = 0.5,
            |config| config.max_answer_tokens = 99,
            |config| config.context_tokens = 8_192,
        ];
        for change in changes {
            let mut config = config();
            change(&mut config);
            let other = key_of(&config, "be kind", &[], "what is TLS?");
            assert_ne!(Some(&base), other.as_ref());
        }
    }

    #[test]
    fn without_a_cache_nothing_is_looked_up() {
        let off = context::tests::config(4_096);
        assert_eq!(key_of(&off, "", &[], "what is TLS?"), None);
    }
}
