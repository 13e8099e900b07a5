//! What is shown of recorded traces: files are read, tables printed and pictures drawn here. What they show is decided
//! in the pure crates; this one decides nothing and knows no cluster.

pub mod bench;
pub mod chart;
pub mod file;
pub mod forecast;
pub mod replay;
pub mod table;
