//! The whole worker against a real HTTP server, on the logs in memory.

mod answers;
mod bench;
mod faults;
mod kills;
mod model;
