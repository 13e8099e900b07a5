//! Another inference server, and how instances are replaced, in plain values.

use k8s_openapi::api::core::v1::{ConfigMapKeySelector, EnvVar, EnvVarSource, SecretKeySelector};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;

use crate::{Fault, rules, spec};

/// A server that is run instead of the built-in one.
#[derive(Clone, Debug, PartialEq)]
pub struct Engine {
    /// Its image.
    pub image: String,
    /// Arguments of its entry point.
    pub args: Vec<String>,
    /// Its environment, besides what every server is given.
    pub env: Vec<EnvVar>,
    /// The port that it listens on.
    pub port: u16,
}

/// How instances are replaced.
#[derive(Clone, Debug, PartialEq)]
pub struct Rollout {
    /// How many may be there beyond those wanted.
    pub max_surge: IntOrString,
    /// How many may be missing.
    pub max_unavailable: IntOrString,
}

pub(super) fn plain_engine(engine: &spec::Engine) -> Result<Engine, Fault> {
    Ok(Engine {
        image: engine.image.clone(),
        args: engine.args.clone(),
        env: engine.env.iter().map(plain_variable).collect(),
        port: u16::try_from(engine.port).map_err(|_| Fault {
            path: "spec.inference.engine.port".to_owned(),
            value: engine.port.to_string(),
            remedy: "must be between 1 and 65535".to_owned(),
        })?,
    })
}

fn plain_variable(variable: &spec::EnvVar) -> EnvVar {
    EnvVar {
        name: variable.name.clone(),
        value: variable.value.clone(),
        value_from: variable.value_from.as_ref().map(|source| EnvVarSource {
            secret_key_ref: source
                .secret_key_ref
                .as_ref()
                .map(|secret| SecretKeySelector {
                    name: secret.name.clone(),
                    key: secret.key.clone(),
                    optional: None,
                }),
            config_map_key_ref: source.config_map_key_ref.as_ref().map(|map| {
                ConfigMapKeySelector {
                    name: map.name.clone(),
                    key: map.key.clone(),
                    optional: None,
                }
            }),
            ..EnvVarSource::default()
        }),
    }
}

pub(super) fn plain_rollout(rollout: &spec::Rollout) -> Result<Rollout, Fault> {
    let amount = |field: &str, amount: &spec::Amount| {
        amount.int_or_string().ok_or_else(|| Fault {
            path: format!("spec.inference.rollout.{field}"),
            value: amount.to_string(),
            remedy: rules::engine::AMOUNT.to_owned(),
        })
    };
    Ok(Rollout {
        max_surge: amount("maxSurge", &rollout.max_surge)?,
        max_unavailable: amount("maxUnavailable", &rollout.max_unavailable)?,
    })
}
