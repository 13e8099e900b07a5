//! Whether it runs.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Whether it runs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum RunStrategy {
    /// It runs, and is kept as it is asked for.
    #[default]
    Always,
    /// What runs goes on, and the operator writes nothing but the status.
    Paused,
    /// Nothing runs; what is needed to go on stays.
    Halted,
}
