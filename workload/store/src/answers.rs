//! Answers kept for those who ask the same again: a cache, so losing it costs time, and nothing waits for it.

use std::time::Duration;

use async_trait::async_trait;
use moka::future::Cache;

/// Answers by key, each kept for a bounded time. What a key stands for is up to whoever asks: two questions share a key
/// only if everything that an answer depends on is the same.
#[async_trait]
pub trait Answers: Send + Sync {
    /// The answer; nothing when there is none, or the cache does not answer at once.
    async fn get(&self, key: &str) -> Option<String>;
    /// Keeps an answer, if it can.
    async fn put(&self, key: &str, answer: &str);
}

/// In the memory of this process.
pub struct MemoryAnswers(Cache<String, String>);

/// What an entry takes beside its text, bytes: a rough figure of the cache's own book-keeping.
const ENTRY: usize = 256;

impl MemoryAnswers {
    /// At most so many bytes, each answer for so long. What is asked for often stays when room is needed.
    #[must_use]
    pub fn new(max_bytes: u64, life: Duration) -> Self {
        let weigh = |key: &String, answer: &String| {
            u32::try_from(key.len() + answer.len() + ENTRY).unwrap_or(u32::MAX)
        };
        let cache = Cache::builder()
            .weigher(weigh)
            .max_capacity(max_bytes)
            .time_to_live(life);
        Self(cache.build())
    }
}

#[async_trait]
impl Answers for MemoryAnswers {
    async fn get(&self, key: &str) -> Option<String> {
        self.0.get(key).await
    }

    async fn put(&self, key: &str, answer: &str) {
        self.0.insert(key.to_owned(), answer.to_owned()).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn memory_is_bounded_by_bytes() {
        let answers = MemoryAnswers::new(1 << 20, Duration::from_mins(1));
        let long = "x".repeat(100_000);
        for number in 0..40 {
            answers.put(&number.to_string(), &long).await;
        }
        answers.0.run_pending_tasks().await;
        assert!(answers.0.weighted_size() <= 1 << 20);
        assert!(answers.0.entry_count() > 0, "some are kept");
    }
}
