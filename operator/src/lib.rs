//! Does what [`chatbot_plan`] decides: the only part that talks to the Kubernetes API.
//!
//! A pass goes one way: observe, plan, apply, report. Nothing is decided here; what is to be done, and what is to be
//! told, is the plan's.

pub mod apply;
pub mod context;
pub mod controller;
pub mod error;
pub mod observe;
mod pods;
mod project;
pub mod report;
pub mod serve;
pub mod state;
pub mod watch;
