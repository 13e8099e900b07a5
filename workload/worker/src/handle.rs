//! What others may ask a worker about itself while it runs.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use chatbot_queue::Offset;

/// How a worker is doing, for those in the same process. Cheap to clone; clones share everything.
#[derive(Clone, Default)]
pub struct Handle(Arc<Mutex<Inner>>);

#[derive(Default)]
struct Inner {
    inference_error: Option<String>,
    read: BTreeMap<u32, Offset>,
}

impl Handle {
    /// Why the latest request to inference failed; absent when it did not.
    #[must_use]
    pub fn last_inference_error(&self) -> Option<String> {
        self.inner().inference_error.clone()
    }

    /// The next offset of `inbound` that the partition's owner has not read yet; absent while nobody here owns it.
    #[must_use]
    pub fn read(&self, partition: u32) -> Option<Offset> {
        self.inner().read.get(&partition).copied()
    }

    pub(crate) fn set_inference_error(&self, error: Option<String>) {
        self.inner().inference_error = error;
    }

    pub(crate) fn set_read(&self, partition: u32, next: Offset) {
        self.inner().read.insert(partition, next);
    }

    pub(crate) fn set_lost(&self, partition: u32) {
        self.inner().read.remove(&partition);
    }

    pub(crate) fn owned(&self) -> usize {
        self.inner().read.len()
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
