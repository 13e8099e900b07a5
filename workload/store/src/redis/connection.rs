//! The one connection of a process: made, watched over and made anew for as long as it is used.
//!
//! The client's own connection manager knows no Sentinel, and lets what is asked wait for its attempts; here whatever
//! is asked fails at once while there is no connection, since its caller has something better to do than to wait.

use std::sync::Arc;
use std::time::Duration;

use ::redis::{Cmd, ErrorKind, FromRedisValue, RedisError, ServerErrorKind};
use tokio::sync::{Notify, watch};
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout};
use tracing::{info, warn};

use super::connect::{self, Wire};
use super::keys::Keys;
use super::look::Look;
use super::options::{Invalid, Options};
use super::script::Script;
use super::state::{Reason, State};
use crate::Unavailable;

/// A connection to Redis that is made anew whenever it breaks. Cheap to clone; clones share it, and it ends with the last.
#[derive(Clone)]
pub struct Connection(Arc<Held>);

struct Held {
    shared: Arc<Shared>,
    keeper: JoinHandle<()>,
}

impl Drop for Held {
    fn drop(&mut self) {
        self.keeper.abort();
    }
}

pub(crate) struct Shared {
    pub(crate) options: Options,
    pub(crate) keys: Keys,
    wire: watch::Sender<Option<Wire>>,
    state: watch::Sender<State>,
    /// Something that was asked failed as if the connection were broken.
    look: Notify,
}

/// Looks in a row that fail before a connection is made anew that may mend itself: a Cluster's, or one whose user may be
/// given more rights.
const PATIENCE: u32 = 10;
/// Looks between two questions whether keys are evicted.
const EVICTION_EVERY: u32 = 30;

impl Connection {
    /// Begins to connect, in the background, and never gives up: a server that is not there yet is no error, and
    /// [`Connection::state`] tells of it. Must be called within a tokio runtime.
    pub fn open(options: Options) -> Result<Self, Invalid> {
        options.check()?;
        let shared = Arc::new(Shared {
            keys: Keys::new(&options.key_prefix),
            wire: watch::Sender::new(None),
            state: watch::Sender::new(State::pending(&options)),
            look: Notify::new(),
            options,
        });
        let keeper = tokio::spawn(keep(Arc::clone(&shared)));
        Ok(Self(Arc::new(Held { shared, keeper })))
    }

    /// How the store is doing now.
    #[must_use]
    pub fn state(&self) -> State {
        self.0.shared.state.borrow().clone()
    }

    /// How the store is doing, from now on.
    #[must_use]
    pub fn states(&self) -> watch::Receiver<State> {
        self.0.shared.state.subscribe()
    }

    pub(crate) fn keys(&self) -> &Keys {
        &self.0.shared.keys
    }

    pub(crate) fn options(&self) -> &Options {
        &self.0.shared.options
    }

    /// Asks, and waits at most so long.
    pub(crate) async fn ask<T: FromRedisValue>(
        &self,
        command: &Cmd,
        patience: Duration,
    ) -> Result<T, Unavailable> {
        let asked = self.0.shared.ask(command, patience).await;
        asked.map_err(|failure| self.0.shared.unavailable(&failure, patience))
    }

    /// Runs a script.
    pub(crate) async fn run<T: FromRedisValue>(
        &self,
        script: &Script,
        keys: &[String],
        arguments: &[String],
        patience: Duration,
    ) -> Result<T, Unavailable> {
        let shared = &self.0.shared;
        let run = shared
            .ask(&script.by_digest(keys, arguments), patience)
            .await;
        let run = match run {
            Err(Failure::Said(error)) if is_no_script(&error) => {
                shared.ask(&script.whole(keys, arguments), patience).await
            }
            run => run,
        };
        run.map_err(|failure| shared.unavailable(&failure, patience))
    }
}

pub(crate) fn is_no_script(error: &RedisError) -> bool {
    error.kind() == ErrorKind::Server(ServerErrorKind::NoScript)
}

/// Why there is no answer.
enum Failure {
    /// There is no connection, and the state says why.
    Away,
    /// Nothing came in time.
    Silent,
    /// The server or the connection to it said this.
    Said(RedisError),
}

impl Shared {
    async fn ask<T: FromRedisValue>(
        &self,
        command: &Cmd,
        patience: Duration,
    ) -> Result<T, Failure> {
        let deadline = Instant::now() + patience;
        let mut wire = self.wire_now(deadline).await?;
        let asked = tokio::time::timeout_at(deadline, command.query_async(&mut wire)).await;
        match asked {
            Ok(Ok(answer)) => Ok(answer),
            Ok(Err(error)) => {
                if is_broken(&error) {
                    self.look.notify_one();
                }
                Err(Failure::Said(error))
            }
            Err(_) => {
                self.look.notify_one();
                Err(Failure::Silent)
            }
        }
    }

    /// The connection; only before the first attempt has ended is there something to wait for.
    async fn wire_now(&self, deadline: Instant) -> Result<Wire, Failure> {
        let is_pending = self.state.borrow().reason == Reason::Pending;
        if is_pending {
            let mut states = self.state.subscribe();
            let tried = states.wait_for(|state| state.reason != Reason::Pending);
            // When it takes too long, the state says so.
            let _tried = tokio::time::timeout_at(deadline, tried).await;
        }
        self.wire.borrow().clone().ok_or(Failure::Away)
    }

    fn unavailable(&self, failure: &Failure, patience: Duration) -> Unavailable {
        let reason = match failure {
            Failure::Away => self.state.borrow().message.clone(),
            Failure::Silent => State::silent(&self.options, patience).message,
            Failure::Said(error) => State::of(error, &self.options).message,
        };
        Unavailable { reason }
    }

    fn tell(&self, state: State) {
        self.state.send_if_modified(|told| {
            let changed = *told != state;
            if changed {
                if state.reason.is_usable() {
                    info!("{}", state.message);
                } else {
                    warn!(reason = state.reason.as_str(), "{}", state.message);
                }
                *told = state;
            }
            changed
        });
    }
}

/// Whether the connection should be looked at: it broke, or leads to what is no master any more.
fn is_broken(error: &RedisError) -> bool {
    error.is_io_error()
        || error.is_unrecoverable_error()
        || error.kind() == ErrorKind::Server(ServerErrorKind::ReadOnly)
}

/// Connects and watches over the connection, for ever.
async fn keep(shared: Arc<Shared>) {
    let timeouts = shared.options.timeouts;
    let mut pauses = Pauses::new(timeouts.retry_first, timeouts.retry_cap);
    loop {
        let attempt = timeout(timeouts.connect, connect::connect(&shared.options)).await;
        let attempt =
            attempt.unwrap_or_else(|_| Err(State::silent(&shared.options, timeouts.connect)));
        let state = match attempt {
            Ok(wire) => {
                pauses = Pauses::new(timeouts.retry_first, timeouts.retry_cap);
                shared.wire.send_replace(Some(wire.clone()));
                watch_over(&shared, &wire).await
            }
            Err(state) => state,
        };
        // A Cluster's connection may still reach most of it.
        if matches!(&*shared.wire.borrow(), Some(Wire::One(_))) {
            shared.wire.send_replace(None);
        }
        shared.tell(state);
        tokio::time::sleep(pauses.next()).await;
    }
}

/// Returns when the connection must be made anew, and says why.
async fn watch_over(shared: &Shared, wire: &Wire) -> State {
    let options = &shared.options;
    let check = options.timeouts.check;
    let mut ready = State::ready(options);
    let mut failed = 0;
    let look = Look::new(&shared.keys);
    for looks in 0_u32.. {
        let looked = timeout(check, look.at(wire, options)).await;
        match looked.unwrap_or_else(|_| Err(State::silent(options, check))) {
            Ok(()) => {
                failed = 0;
                if looks % EVICTION_EVERY == 0 {
                    let asked = timeout(check, wire.eviction()).await.ok().flatten();
                    ready = asked.map_or_else(
                        || State::ready(options),
                        |policy| State::evicts(options, &policy),
                    );
                }
                shared.tell(ready.clone());
            }
            Err(state) => {
                failed += 1;
                let is_over = match state.reason {
                    // What is there can still be read.
                    Reason::StoreRefusesWrites => is_replica(wire, check).await,
                    // The Secret may name another user meanwhile: it is read when connecting.
                    Reason::CredentialsRejected => failed == PATIENCE,
                    _ => failed == PATIENCE || matches!(wire, Wire::One(_)),
                };
                if is_over {
                    return state;
                }
                shared.tell(state);
            }
        }
        tokio::select! {
            () = tokio::time::sleep(check) => {}
            () = shared.look.notified() => {
                // A master that became a replica still answers: who it is, is asked when connecting.
                if is_replica(wire, check).await {
                    return State::replica(options);
                }
                // Not more often than this, whatever fails.
                tokio::time::sleep(check / 20).await;
            }
        }
    }
    State::pending(options)
}

/// Whether the one server is a replica; a Cluster's connection finds the masters by itself.
async fn is_replica(wire: &Wire, patience: Duration) -> bool {
    if matches!(wire, Wire::Many(_)) {
        return false;
    }
    let (role, mut wire) = (::redis::cmd("ROLE"), wire.clone());
    let asked = timeout(patience, role.query_async::<Vec<::redis::Value>>(&mut wire)).await;
    matches!(asked, Ok(Ok(role)) if connect::is_replica(&role))
}

/// Pauses between attempts: doubled each time up to a cap, and spread, so that processes do not come all at once.
pub(crate) struct Pauses {
    next: Duration,
    first: Duration,
    cap: Duration,
}

impl Pauses {
    pub(crate) fn new(first: Duration, cap: Duration) -> Self {
        Self {
            next: first,
            first,
            cap,
        }
    }

    pub(crate) fn next(&mut self) -> Duration {
        let pause = self.next;
        self.next = (pause * 2).min(self.cap);
        pause.mul_f64(0.5 + fastrand::f64() / 2.0)
    }

    pub(crate) fn reset(&mut self) {
        self.next = self.first;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_to_their_cap_and_stay_there() {
        let mut pauses = Pauses::new(Duration::from_millis(100), Duration::from_secs(5));
        let pauses: Vec<_> = (0..40).map(|_| pauses.next()).collect();
        assert!(pauses[0] <= Duration::from_millis(100));
        let late = &pauses[10..];
        assert!(late.iter().all(|pause| *pause <= Duration::from_secs(5)));
        assert!(
            late.iter()
                .all(|pause| *pause >= Duration::from_millis(2_500))
        );
    }
}
