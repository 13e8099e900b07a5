//! Every platform from outside: what it makes of its platform's bytes, and what it sends.
#![allow(clippy::panic, clippy::unwrap_used)] // A step of a test fails as the test does.

mod fixtures;
mod hostile;
mod instead;
mod links;
mod outbound;
mod properties;
mod responses;
mod samples;
mod signatures;
