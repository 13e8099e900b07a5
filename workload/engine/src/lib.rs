//! The built-in inference engine: llama.cpp behind a safe, small door.
//!
//! A [`Engine`] holds one memory-mapped model and one thread on which every sequence under way is continued together,
//! a token each per step. It knows nothing of HTTP, of the resource or of the cluster. This is the one crate where
//! `unsafe` is allowed, and only where the C interface has no safe binding: the log callback and the conversion of
//! weights.

pub mod gguf;
mod request;
mod text;

#[cfg(feature = "llama")]
mod convert;
#[cfg(feature = "llama")]
mod engine;
#[cfg(feature = "llama")]
mod native;
#[cfg(feature = "llama")]
mod prompt;
#[cfg(feature = "llama")]
mod scheduler;
#[cfg(feature = "llama")]
mod sequence;

pub use request::{Event, Finish, ModelFacts, Refused, Request, Role, Turn, Usage};

#[cfg(feature = "llama")]
pub use convert::{ConvertError, Format, convert};
#[cfg(feature = "llama")]
pub use engine::{Engine, LoadError, MAX_SEQUENCES, Options};
