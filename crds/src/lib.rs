//! What may be asked: the `ChatBotCluster` resource, its status, and the contract with the data plane.
//!
//! This crate has no client and does no input or output.
//!
//! * [`spec`] is the resource as a user writes it; its doc comments are the user's documentation.
//! * [`schema`] is the resource's definition as the API server gets it.
//! * [`settings`] is the resource validated, in plain values: what every other crate reads.
//! * [`status`] is what the operator tells: fields, conditions and one closed list of reasons.
//! * [`config`] is the contract with the data plane.
//! * [`parse`] reads the resource from a file.

mod check;
pub mod config;
mod fault;
mod file;
mod rules;
pub mod schema;
pub mod settings;
pub mod spec;
pub mod status;

pub use check::spec_faults;
pub use fault::{Fault, Faults};
pub use file::{ParseError, parse};
pub use settings::Settings;
pub use spec::{ChatBotCluster, ChatBotClusterSpec};
pub use status::{ChatBotClusterStatus, ConditionType, Reason};
