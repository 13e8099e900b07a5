//! What a server that is not the built-in one is given.

use super::InferenceConfig;

/// The variables that every server is given, in the order in which they are.
pub const GIVEN: [&str; 5] = [
    "MODEL_PATH",
    "MODEL_NAME",
    "CONTEXT_TOKENS",
    "MAX_CONCURRENT_REQUESTS",
    "THREADS",
];

/// The variables and their values: all that a configuration says.
#[must_use]
pub fn environment(config: &InferenceConfig) -> [(&'static str, String); 5] {
    let values = [
        config.model_path.clone(),
        config.model_name.clone(),
        config.context_tokens.to_string(),
        config.max_concurrent_requests.to_string(),
        config.threads.to_string(),
    ];
    let mut values = values.into_iter();
    GIVEN.map(|name| (name, values.next().unwrap_or_default()))
}
