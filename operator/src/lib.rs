//! Does what [`chatbot_plan`] decides: the only part that talks to the Kubernetes API.
//!
//! A pass goes one way: observe, plan, apply, report. Nothing is decided here; what is to be done, and what is to be
//! told, is the plan's.

pub mod apply;
pub mod blind;
mod body;
pub mod check;
pub mod connect;
pub mod contest;
pub mod context;
pub mod controller;
pub mod error;
pub mod events;
pub mod gate;
pub mod lease;
pub mod observe;
pub mod peer;
mod pods;
mod presence;
mod project;
pub mod prometheus;
pub mod refusal;
pub mod report;
pub mod run;
pub mod serve;
pub mod standing;
pub mod state;
pub mod term;
pub mod watch;
