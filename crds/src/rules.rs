//! The rules that the schema states in CEL, for resources that no API server has seen. The messages are the same.

pub(crate) mod backbone;
pub(crate) mod cache;
pub(crate) mod channels;
pub(crate) mod engine;
pub(crate) mod exposure;
pub(crate) mod monitoring;
mod pods;
mod text;

use std::{collections::BTreeMap, fmt::Display, time::Duration};

use crate::Fault;
use crate::spec::{ChatBotCluster, Conversation, Inference};

use text::{
    is_cluster_name, is_image, is_key, is_label_value, is_object_name, is_qualified_name,
    is_temperature, is_text,
};

pub(crate) const NAME: &str = "metadata.name must be a DNS label of at most 40 characters that starts with a letter: \
                               Services and Deployments are named after it";
pub(crate) const ANSWER_FITS: &str = "`conversation.maxAnswerTokens` must be less than `inference.contextTokens`: \
                                      prompt and answer share the context";
pub(crate) const TEXT: &str = "must not have control characters other than tabs and line breaks: no program can be given them";
pub(crate) const LINE: &str = "must be one line without control characters";
pub(crate) const IMAGE: &str =
    "must be an image reference such as 'registry.example.com/chatbot:1.0', without a scheme";
pub(crate) const OBJECT_NAME: &str = "must be an object's name: lower-case letters, digits and '-', in parts with one '.' between them";
pub(crate) const CONFIG_MAP_KEY: &str =
    "must be a ConfigMap's key: letters, digits, '-', '_' and '.', not '..' at first";
pub(crate) const CHANNEL_NAME: &str = "must be a DNS label: lower-case letters, digits and '-'";
pub(crate) const ONE_PLATFORM: &str = "exactly one platform must be set: webChat, whatsApp, telegram, slack, \
                                       discord, feishu, webhook, openAI";
pub(crate) const ORIGIN: &str = "must be an origin such as 'https://shop.example.com' or 'https://shop.example.com:8443', without a path or wildcard";
pub(crate) const URL: &str = "must be an http or https URL such as 'https://api.example.com:8443', without credentials in it: give those by Secret";
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
                                     'nvidia.com/gpu', of which there are whole numbers only; a device has at most \
                                     244 characters before the '/', 63 after it";
pub(crate) const QUANTITIES: &str = "every value must be a quantity from 0 to 1P";
pub(crate) const REQUEST_OF_CPU: &str = "`cpu` must be greater than 0: the autoscaler measures what is used by what is \
                                         requested";
pub(crate) const LIMITS_ABOVE_0: &str = "`cpu`, `memory` and `ephemeral-storage` must be greater than 0: Kubernetes \
                                         takes a limit of 0 for none";
pub(crate) const LIMIT_OF_MEMORY: &str = "`memory` must be at least 1Mi, since no container starts with less: 'Mi' are \
                                          mebibytes, and 'm' thousandths of a byte";
/// Of each resource that may be requested: its key, and that no more may be requested than is the limit.
pub(crate) const WITHIN_LIMITS: [(&str, &str); 3] = [
    (
        "cpu",
        "`requests.cpu` must be less than or equal to `limits.cpu`",
    ),
    (
        "memory",
        "`requests.memory` must be less than or equal to `limits.memory`",
    ),
    (
        "ephemeral-storage",
        "`requests.ephemeral-storage` must be less than or equal to `limits.ephemeral-storage`",
    ),
];
pub(crate) const TOLERATION_OPERATOR: &str = "`value` may not be set when `operator` is 'Exists', and `key` must be \
                                              set otherwise";
pub(crate) const TOLERATION_SECONDS: &str =
    "`tolerationSeconds` may only be set when `effect` is 'NoExecute'";
pub(crate) const ONE_SOURCE: &str = "exactly one source must be set: persistentVolumeClaim";
pub(crate) const CLAIM_PATH: &str =
    "must be a path inside the volume: it must not start with '/' or contain '..'";
pub(crate) const NODE_CPU: &str =
    "`cpu` must be a quantity greater than 0 and at most 1P, such as '8' or '7900m'";
pub(crate) const NODE_MEMORY: &str =
    "`memory` must be a quantity greater than 0 and at most 1P, such as '32Gi'";
pub(crate) const MIN_MAX: &str = "`minReplicas` must be less than or equal to `maxReplicas`";
pub(crate) const MAP_KEYS: &str = "keys must be names such as 'team' or 'example.com/team': at most 253 characters before \
                                   the '/', 63 after it";
pub(crate) const TAINT_KEY: &str = "must be a name such as 'dedicated' or 'example.com/dedicated': at most 253 characters \
                                    before the '/', 63 after it";

/// The message of a duration's bounds.
pub(crate) fn between(shortest: &str, longest: &str) -> String {
    format!("must be between '{shortest}' and '{longest}'")
}

/// A message with the values of the fields that it names, as the server says it.
fn with_values<const FIELDS: usize, Value: Display>(
    message: &str,
    fields: [(&str, Value); FIELDS],
) -> String {
    fields
        .into_iter()
        .fold(message.to_owned(), |message, (field, value)| {
            message.replacen(field, &format!("{field} ({value})"), 1)
        })
}

/// Every rule that a resource breaks.
pub(crate) fn faults(cluster: &ChatBotCluster) -> Vec<Fault> {
    let mut broken = Broken(Vec::new());
    let spec = &cluster.spec;
    match &cluster.metadata.name {
        Some(name) => broken.unless(is_cluster_name(name), "metadata.name", name, NAME),
        None => broken.unless(false, "metadata.name", "", "must be set"),
    }
    if let Some(image) = &spec.image {
        broken.unless(is_image(image), "spec.image", image, IMAGE);
    }
    for (index, secret) in spec.image_pull_secrets.iter().enumerate() {
        let path = format!("spec.imagePullSecrets[{index}].name");
        broken.unless(
            is_object_name(&secret.name),
            &path,
            &secret.name,
            OBJECT_NAME,
        );
    }
    if let Some(class) = &spec.priority_class_name {
        let path = "spec.priorityClassName";
        broken.unless(is_object_name(class), path, class, OBJECT_NAME);
    }
    if let Some(metadata) = &spec.pod_metadata {
        broken.labels(
            "spec.podMetadata.labels",
            metadata.labels.as_ref(),
            &["chatbot.dev/", "app.kubernetes.io/"],
        );
        broken.annotations(
            "spec.podMetadata.annotations",
            metadata.annotations.as_ref(),
        );
    }
    broken.channels(spec);
    if let Some(exposure) = &spec.exposure {
        broken.exposure(exposure);
    }
    broken.conversation(&spec.conversation);
    broken.unless(
        spec.conversation.max_answer_tokens < spec.inference.context_tokens,
        "spec.conversation.maxAnswerTokens",
        &spec.conversation.max_answer_tokens.to_string(),
        &with_values(
            ANSWER_FITS,
            [
                (
                    "`conversation.maxAnswerTokens`",
                    spec.conversation.max_answer_tokens,
                ),
                ("`inference.contextTokens`", spec.inference.context_tokens),
            ],
        ),
    );
    broken.pods(
        "spec.adapters",
        spec.adapters.resources.as_ref(),
        spec.adapters.node_selector.as_ref(),
        spec.adapters.tolerations.as_deref(),
    );
    broken.annotations(
        "spec.adapters.service.annotations",
        spec.adapters.service.annotations.as_ref(),
    );
    broken.pods(
        "spec.workers",
        spec.workers.resources.as_ref(),
        spec.workers.node_selector.as_ref(),
        spec.workers.tolerations.as_deref(),
    );
    for (path, autoscaling) in [
        ("spec.adapters.autoscaling", &spec.adapters.autoscaling),
        ("spec.workers.autoscaling", &spec.workers.autoscaling),
    ] {
        broken.bounds(path, autoscaling.min_replicas, autoscaling.max_replicas);
    }
    broken.inference(&spec.inference);
    broken.backbone(spec);
    broken.cache(&spec.cache);
    broken.monitoring(&spec.monitoring);
    broken.0
}

/// The rules that were found broken.
struct Broken(Vec<Fault>);

impl Broken {
    fn unless(&mut self, holds: bool, path: &str, value: &str, remedy: &str) {
        if !holds {
            self.0.push(Fault {
                path: path.to_owned(),
                value: value.to_owned(),
                remedy: remedy.to_owned(),
            });
        }
    }

    fn conversation(&mut self, conversation: &Conversation) {
        let path = "spec.conversation";
        let both =
            conversation.system_prompt.is_some() && conversation.system_prompt_from.is_some();
        self.unless(!both, path, "", ONE_PROMPT);
        let texts = [
            ("systemPrompt", conversation.system_prompt.as_ref()),
            ("fallbackMessage", Some(&conversation.fallback_message)),
        ];
        for (field, text) in texts {
            let text = text.map(String::as_str).unwrap_or_default();
            self.unless(is_text(text), &format!("{path}.{field}"), "", TEXT);
        }
        if let Some(source) = &conversation.system_prompt_from {
            let reference = &source.config_map_key_ref;
            let path = format!("{path}.systemPromptFrom.configMapKeyRef");
            self.unless(
                is_object_name(&reference.name),
                &format!("{path}.name"),
                &reference.name,
                OBJECT_NAME,
            );
            let key = &reference.key;
            self.unless(is_key(key), &format!("{path}.key"), key, CONFIG_MAP_KEY);
        }
        let timeout = &conversation.session_timeout;
        let path_of_timeout = format!("{path}.sessionTimeout");
        match timeout.length() {
            None => self.unless(false, &path_of_timeout, timeout.as_str(), DURATION),
            Some(length) => {
                let within = (Duration::from_mins(1)..=Duration::from_hours(720)).contains(&length);
                self.unless(
                    within,
                    &path_of_timeout,
                    timeout.as_str(),
                    &between("1m", "720h"),
                );
            }
        }
        let temperature = &conversation.temperature;
        self.unless(
            is_temperature(temperature),
            &format!("{path}.temperature"),
            temperature,
            TEMPERATURE,
        );
    }

    fn inference(&mut self, inference: &Inference) {
        let path = "spec.inference";
        let source = &inference.model.source;
        self.unless(
            source.persistent_volume_claim.is_some(),
            &format!("{path}.model.source"),
            "",
            ONE_SOURCE,
        );
        if let Some(claim) = &source.persistent_volume_claim {
            let path = format!("{path}.model.source.persistentVolumeClaim");
            self.unless(
                is_object_name(&claim.claim_name),
                &format!("{path}.claimName"),
                &claim.claim_name,
                OBJECT_NAME,
            );
            let inside =
                !claim.path.starts_with('/') && !claim.path.split('/').any(|part| part == "..");
            self.unless(inside, &format!("{path}.path"), &claim.path, CLAIM_PATH);
            let is_line = !claim.path.chars().any(|inside| inside.is_ascii_control());
            self.unless(is_line, &format!("{path}.path"), "", LINE);
        }
        if let Some(capacity) = &inference.node_capacity {
            for (field, quantity, message) in [
                ("cpu", &capacity.cpu, NODE_CPU),
                ("memory", &capacity.memory, NODE_MEMORY),
            ] {
                let named = format!("`{field}`");
                self.unless(
                    quantity.is_within_bounds() && quantity.nano() > Some(0),
                    &format!("{path}.nodeCapacity.{field}"),
                    quantity.as_str(),
                    &with_values(message, [(&named, quantity)]),
                );
            }
        }
        let autoscaling = &inference.autoscaling;
        self.bounds(
            &format!("{path}.autoscaling"),
            autoscaling.min_replicas,
            autoscaling.max_replicas,
        );
        if let Some(engine) = &inference.engine {
            self.engine(&format!("{path}.engine"), engine);
        }
        self.rollout(&format!("{path}.rollout"), &inference.rollout);
        self.pods(
            path,
            inference.resources.as_ref(),
            inference.node_selector.as_ref(),
            inference.tolerations.as_deref(),
        );
    }

    fn bounds(&mut self, path: &str, min: i32, max: i32) {
        self.unless(
            min <= max,
            &format!("{path}.minReplicas"),
            &min.to_string(),
            &with_values(MIN_MAX, [("`minReplicas`", min), ("`maxReplicas`", max)]),
        );
    }

    fn labels(&mut self, path: &str, labels: Option<&BTreeMap<String, String>>, reserved: &[&str]) {
        for (key, value) in labels.into_iter().flatten() {
            let free = !reserved.iter().any(|prefix| key.starts_with(prefix));
            self.unless(free, path, key, LABEL_KEYS);
            self.unless(is_qualified_name(key), path, key, MAP_KEYS);
            self.unless(
                is_label_value(value),
                &format!("{path}.{key}"),
                value,
                LABEL_VALUE,
            );
        }
    }

    fn annotations(&mut self, path: &str, annotations: Option<&BTreeMap<String, String>>) {
        for key in annotations.into_iter().flatten().map(|(key, _)| key) {
            self.unless(!key.starts_with("chatbot.dev/"), path, key, ANNOTATION_KEYS);
            self.unless(is_qualified_name(key), path, key, MAP_KEYS);
        }
    }
}
