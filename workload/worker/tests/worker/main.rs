//! The whole worker against a real HTTP server, on the logs in memory.

// The lints' exception for tests does not reach the functions that tests share.
#![allow(clippy::panic, clippy::unwrap_used)]

mod aged;
mod answers;
mod bench;
mod cached;
mod examined;
mod faults;
mod kills;
mod linked;
mod model;
mod prompt;
mod traces;
