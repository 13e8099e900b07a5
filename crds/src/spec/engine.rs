//! Another inference server than the built-in one.

use kube::KubeSchema;
use serde::{Deserialize, Serialize};

use super::{ConfigMapKeyRef, SecretKeyRef, shapes};
use crate::rules::engine as rules;

/// A server of `OpenAI`'s API, run instead of the built-in one. It is given, in the environment, `MODEL_PATH` (the
/// model's file), `MODEL_NAME` (the name that requests carry), `CONTEXT_TOKENS`, `MAX_CONCURRENT_REQUESTS` and `THREADS`;
/// `args` and `env` may name them, as in `--model=$(MODEL_PATH)`. It is asked at `POST /v1/chat/completions`, streaming,
/// without a key. It is ready when `GET /v1/models` succeeds and it has answered one short question: until then it gets
/// no traffic, and the instances of before go on; `InferenceReady` has the words of one that refuses. It runs without
/// root, its root file system is read-only, `HOME` is `/tmp`.
#[derive(KubeSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Engine {
    /// Image of the server, such as `ghcr.io/ggml-org/llama.cpp:server`.
    #[schemars(length(min = 1, max = 512))]
    #[x_kube(validation = shapes::image())]
    pub image: String,

    /// Arguments of the image's entry point.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "shapes::arguments")]
    pub args: Vec<String>,

    /// Further environment of the server.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["name".into()]))]
    pub env: Vec<EnvVar>,

    /// Port that the server listens on. On 9090 it may not listen at all: there its pod tells about itself.
    #[serde(default = "port")]
    #[schemars(range(min = 1, max = 65535))]
    #[x_kube(validation = Rule::new("self != 9090").message(rules::PORT_TAKEN))]
    pub port: i32,
}

/// One variable of the environment.
#[derive(KubeSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[x_kube(
    validation = Rule::new("!(has(self.value) && has(self.valueFrom))").message(rules::ONE_VALUE)
)]
#[serde(rename_all = "camelCase")]
pub struct EnvVar {
    /// Its name.
    #[schemars(length(min = 1, max = 128))]
    #[x_kube(
        validation = Rule::new("self.matches('^[A-Za-z_][A-Za-z0-9_]*$')").message(rules::ENV_NAME),
        validation = Rule::new(
            "!(self in ['MODEL_PATH', 'MODEL_NAME', 'CONTEXT_TOKENS', 'MAX_CONCURRENT_REQUESTS', 'THREADS'])"
        )
        .message(rules::ENV_GIVEN)
    )]
    pub name: String,

    /// Its value.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 4096))]
    #[x_kube(validation = shapes::text())]
    pub value: Option<String>,

    /// Where its value is kept instead.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub value_from: Option<EnvSource>,
}

/// Where a value is kept. Exactly one must be set.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[x_kube(
    validation = Rule::new("has(self.secretKeyRef) != has(self.configMapKeyRef)").message(rules::ONE_ENV_SOURCE)
)]
#[serde(rename_all = "camelCase")]
pub struct EnvSource {
    /// A key of a Secret in the resource's namespace.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret_key_ref: Option<SecretKeyRef>,

    /// A key of a `ConfigMap` in the resource's namespace.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub config_map_key_ref: Option<ConfigMapKeyRef>,
}

fn port() -> i32 {
    8000
}
