//! The journal in `response[p]`: what its records are, which replies count, and how a reader resumes.
//!
//! Worker and gateway both fold over it and come to the same result, because the order of the log decides: a reply
//! counts only if it was written under the latest owner record before it. [`entry`] is pure; [`Reader`] and
//! [`append`] are the only things here that touch a log.

pub mod checkpoint;
pub mod entry;
mod reader;

pub use checkpoint::Checkpoint;
pub use entry::{Delivery, Entry, Fold};
pub use reader::{Reader, Step, append, append_traced, readable_end};

/// The group whose progress says up to where a channel's replies have been delivered.
#[must_use]
pub fn delivery_group(channel: &str) -> String {
    format!("gateway-{channel}")
}
