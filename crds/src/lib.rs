//! What may be asked: the `ChatBotCluster` resource, its status, and the contract with the data plane.
//!
//! This crate has no client and does no input or output.

pub mod config;
