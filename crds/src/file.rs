//! The resource in a file.

use crate::{ChatBotCluster, Faults};

/// Why a file is no `ChatBotCluster`.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ParseError {
    /// The file is not YAML.
    #[error("not YAML: {0}")]
    NotYaml(String),
    /// The file holds something else.
    #[error("{0}")]
    NotOurs(String),
    /// The resource has faults.
    #[error(transparent)]
    Faults(#[from] Faults),
}

/// Reads one `ChatBotCluster` from YAML or JSON.
///
/// # Errors
/// When it is not YAML, something else, or has fields or values that the schema does not know.
pub fn parse(yaml: &str) -> Result<ChatBotCluster, ParseError> {
    serde_yaml::from_str(yaml).map_err(|error| ParseError::NotYaml(error.to_string()))
}
