//! Tells a chat that its answer is being written: when its message has come, and again while pieces of the answer do.
//! Nothing depends on it, so it is lost without harm.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use chatbot_adapters::Request;
use chatbot_message::{Message, Preview};
use tokio::sync::Semaphore;
use tokio::time::Instant;
use uuid::Uuid;

use crate::channel::{Channel, Running};
use crate::locked;

/// Answers watched at once; of more, nobody is told again.
const WATCHED: usize = 4_096;
/// An answer that takes longer is forgotten.
const FORGET: Duration = Duration::from_mins(5);
/// Requests under way at once.
const AT_ONCE: usize = 16;

pub(crate) struct Typing {
    watched: Mutex<HashMap<Uuid, Watched>>,
    room: Arc<Semaphore>,
}

/// An answer that is awaited.
struct Watched {
    running: Arc<Running>,
    origin: String,
    since: Instant,
    told: Instant,
    /// How long the platform shows it.
    shows: Duration,
}

impl Default for Typing {
    fn default() -> Self {
        Self {
            watched: Mutex::default(),
            room: Arc::new(Semaphore::new(AT_ONCE)),
        }
    }
}

impl Typing {
    /// A message was taken.
    pub(crate) fn begins(&self, channel: &Channel, message: &Message) {
        let Some((shows, running)) = channel.adapter.limits().typing.zip(channel.now()) else {
            return;
        };
        let now = Instant::now();
        let mut watched = locked(&self.watched);
        if watched.len() >= WATCHED {
            watched.retain(|_, watched| now.duration_since(watched.since) < FORGET);
        }
        if watched.len() >= WATCHED || watched.contains_key(&message.id) {
            return;
        }
        self.tell(&running, &message.origin);
        watched.insert(
            message.id,
            Watched {
                running,
                origin: message.origin.clone(),
                since: now,
                told: now,
                shows,
            },
        );
    }

    /// An answer grows.
    pub(crate) fn goes_on(&self, preview: &Preview) {
        let now = Instant::now();
        let mut watched = locked(&self.watched);
        let Some(watched) = watched.get_mut(&preview.message_id) else {
            return;
        };
        // A little before it ends, so that it does not flicker.
        if now.duration_since(watched.told) >= watched.shows.mul_f64(0.8) {
            watched.told = now;
            self.tell(&watched.running, &watched.origin);
        }
    }

    /// Its reply is here.
    pub(crate) fn ends(&self, message: Uuid) {
        locked(&self.watched).remove(&message);
    }

    fn tell(&self, running: &Arc<Running>, origin: &str) {
        let request: Option<Request> = running.adapter.typing(origin);
        let permit = Arc::clone(&self.room).try_acquire_owned();
        if let (Some(request), Ok(permit)) = (request, permit) {
            let running = Arc::clone(running);
            tokio::spawn(async move {
                if let Ok(ready) = running.client.ready(request).await {
                    let _lost_without_harm = running.client.send(ready, None).await;
                }
                drop(permit);
            });
        }
    }
}
