//! A real Kubernetes on one machine, to see the service in and to test it: `cargo e2e up | test | down`.
//!
//! The parts decide here and act through the scripts of `cluster/`. Nothing of it touches the operator or the data
//! plane: they are built by cargo and started like any other program. The folder names the machine's only cluster;
//! scenarios in `tests/` reach it through [`scenario`].

pub mod access;
pub mod audit;
pub mod bench;
pub mod chat;
pub mod checks;
pub mod cluster;
pub mod command;
pub mod conversation;
pub mod definition;
pub mod down;
pub mod elsewhere;
pub mod engine;
pub mod forward;
pub mod freshness;
pub mod go_build;
pub mod images;
pub mod install;
pub mod kafka;
pub mod lock;
pub mod model;
pub mod monitoring;
pub mod places;
pub mod plane;
pub mod prerequisites;
pub mod process;
pub mod redis;
pub mod reference;
pub mod release;
pub mod resource;
pub mod rust_build;
pub mod scenario;
pub mod steps;
pub mod test;
pub mod up;
pub mod web_chat;
