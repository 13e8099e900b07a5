//! How many requests are answered, how many wait, and what the others are told.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::error::ApiError;
use crate::metrics::Metrics;

const LONGEST_RETRY: u64 = 30;

/// Lets in as many requests as the engine continues together, and as many again to wait.
#[derive(Clone)]
pub(crate) struct Admission {
    places: Arc<Semaphore>,
    limit: u32,
    waiting: Arc<AtomicU32>,
    /// Milliseconds that an answer takes, on average of late.
    usual: Arc<AtomicU64>,
    metrics: Metrics,
}

/// A place of a request being answered; dropping it frees the place.
pub(crate) struct Place {
    _permit: OwnedSemaphorePermit,
    metrics: Metrics,
}

impl Drop for Place {
    fn drop(&mut self) {
        self.metrics.running.dec();
    }
}

impl Admission {
    pub fn new(limit: u32, metrics: Metrics) -> Self {
        Self {
            places: Arc::new(Semaphore::new(
                usize::try_from(limit).unwrap_or(Semaphore::MAX_PERMITS),
            )),
            limit,
            waiting: Arc::default(),
            usual: Arc::default(),
            metrics,
        }
    }

    /// A place, at once or after waiting for one; the error is immediate. A caller that gives up stops waiting.
    pub async fn enter(&self) -> Result<Place, ApiError> {
        let permit = if let Ok(permit) = Arc::clone(&self.places).try_acquire_owned() {
            permit
        } else {
            let _waiting = self.wait()?;
            Arc::clone(&self.places)
                .acquire_owned()
                .await
                .map_err(|_| ApiError::Engine("the instance is ending".to_owned()))?
        };
        self.metrics.running.inc();
        Ok(Place {
            _permit: permit,
            metrics: self.metrics.clone(),
        })
    }

    /// Learns how long an answer took.
    pub fn answered(&self, took: Duration) {
        let took = u64::try_from(took.as_millis()).unwrap_or(u64::MAX);
        let usual = self.usual.load(Ordering::Relaxed);
        let next = if usual == 0 {
            took
        } else {
            (usual.saturating_mul(7).saturating_add(took)) / 8
        };
        self.usual.store(next, Ordering::Relaxed);
    }

    fn wait(&self) -> Result<Waiting, ApiError> {
        let before = self.waiting.fetch_add(1, Ordering::Relaxed);
        let waiting = Waiting {
            count: Arc::clone(&self.waiting),
            metrics: self.metrics.clone(),
        };
        self.metrics.queue_depth.inc();
        if before < self.limit {
            return Ok(waiting);
        }
        Err(ApiError::Busy {
            running: self.limit,
            waiting: before,
            retry_after: self.retry_after(),
        })
    }

    /// A full round of those who wait takes about as long as one answer.
    fn retry_after(&self) -> u64 {
        self.usual
            .load(Ordering::Relaxed)
            .div_ceil(1000)
            .clamp(1, LONGEST_RETRY)
    }
}

struct Waiting {
    count: Arc<AtomicU32>,
    metrics: Metrics,
}

impl Drop for Waiting {
    fn drop(&mut self) {
        self.count.fetch_sub(1, Ordering::Relaxed);
        self.metrics.queue_depth.dec();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use chatbot_telemetry::Telemetry;
    use futures::FutureExt;

    fn admission(limit: u32) -> Admission {
        Admission::new(limit, Metrics::register(&Telemetry::new()))
    }

    #[tokio::test]
    async fn as_many_wait_as_are_answered_and_the_next_is_refused() {
        let admission = admission(1);
        let first = admission.enter().await.unwrap();
        let mut second = Box::pin(admission.enter());
        assert!(second.as_mut().now_or_never().is_none());
        let refused = admission.enter().await.err().unwrap();
        assert_eq!(
            refused,
            ApiError::Busy {
                running: 1,
                waiting: 1,
                retry_after: 1
            }
        );
        drop(first);
        assert!(second.await.is_ok());
    }

    #[tokio::test]
    async fn who_gives_up_waiting_makes_room() {
        let admission = admission(1);
        let _first = admission.enter().await.unwrap();
        let mut second = Box::pin(admission.enter());
        assert!(second.as_mut().now_or_never().is_none());
        drop(second);
        let mut third = Box::pin(admission.enter());
        assert!(
            third.as_mut().now_or_never().is_none(),
            "it waits and is not refused"
        );
    }

    #[test]
    fn the_refused_are_told_how_long_an_answer_takes() {
        let admission = admission(1);
        admission.answered(Duration::from_millis(4200));
        assert_eq!(admission.retry_after(), 5);
        admission.answered(Duration::from_mins(15));
        assert_eq!(admission.retry_after(), LONGEST_RETRY);
    }
}
