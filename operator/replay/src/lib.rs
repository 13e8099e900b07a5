//! Virtual time over the planner: recorded load and spot capacity through the very code that decides on a cluster.
//!
//! What is around that code is a model, and each part says what it leaves out: [`autoscaler`] follows the published
//! algorithm of the HorizontalPodAutoscaler, [`fleet`] has nodes and pods with cold and warm starts, [`market`] takes
//! spot nodes back, [`jobs`] are trained on what is lent, [`queue`] loses what waits too long. Chance comes from a seed. The crate is pure: no files, no
//! network, no clock.

pub mod autoscaler;
pub mod bench;
pub mod fleet;
pub mod jobs;
mod learned;
pub mod market;
pub mod own;
pub mod play;
pub mod queue;
pub mod scenario;
pub mod sight;
pub mod sizing;
pub mod trace;

pub use play::play;
