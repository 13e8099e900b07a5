//! The web chat over real sockets, on the logs and the view in memory.

// Test support panics where a test would.
#![allow(clippy::expect_used, clippy::panic, clippy::unwrap_used)]

mod answerer;
mod elsewhere;
mod entrance;
#[allow(dead_code, reason = "shared with the tests of platforms")]
mod faulty;
mod hub;
mod page;
mod resuming;
mod secured;
mod synthetic;
mod talking;
mod waiting;
