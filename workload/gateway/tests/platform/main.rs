//! Channels of platforms: stand-in platforms on loopback, the logs in memory.

// Test support panics where a test would.
#![allow(clippy::expect_used, clippy::panic, clippy::unwrap_used)]

mod acknowledging;
#[allow(dead_code, reason = "shared with the tests of the web chat")]
#[path = "../web_chat/answerer.rs"]
mod answerer;
mod bot_api;
mod channels;
mod connecting;
mod delivering;
mod doubt;
mod entrance;
mod exchange;
#[allow(dead_code, reason = "shared with the tests of the web chat")]
#[path = "../web_chat/faulty.rs"]
mod faulty;
#[allow(dead_code, reason = "shared with the tests of the web chat")]
#[path = "../web_chat/hub.rs"]
mod hub;
mod instead;
mod keyless;
mod live;
mod polling;
mod probing;
mod real_clients;
mod resuming;
mod site;
mod stand_in;
mod standing;
