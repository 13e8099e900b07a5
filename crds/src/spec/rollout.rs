//! How instances are replaced.

use std::borrow::Cow;

use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use kube::KubeSchema;
use kube::core::Rule;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};

use crate::rules::engine as rules;

/// How instances are replaced when the spec or the model changes.
#[derive(KubeSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[x_kube(
    validation = Rule::new(
        "!(string(self.maxSurge).matches('^0+%?$') && string(self.maxUnavailable).matches('^0+%?$'))"
    )
    .message(rules::ROLLOUT_MOVES)
)]
#[serde(rename_all = "camelCase")]
pub struct Rollout {
    /// Instances, or percent of them, that may be there beyond the number that is wanted. On a cluster that is full,
    /// 0 with a `maxUnavailable` above 0.
    #[serde(default = "max_surge")]
    #[x_kube(validation = amount())]
    pub max_surge: Amount,

    /// Instances, or percent of them, that may be missing meanwhile.
    #[serde(default = "max_unavailable")]
    #[x_kube(validation = amount())]
    pub max_unavailable: Amount,
}

/// A number of instances such as `1`, or a percentage such as `25%`, kept as it was written.
///
/// Any string can be held: what is stored is read without failing, and refused by `Settings` when it is none.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Amount {
    /// A number.
    Number(i64),
    /// A percentage.
    Percent(String),
}

const MOST: i32 = 1000;

fn amount() -> Rule {
    Rule::new(format!(
        "type(self) == int ? (self >= 0 && self <= {MOST}) : self.matches('^(100|[0-9]{{1,2}})%$')"
    ))
    .message(rules::AMOUNT)
}

impl Amount {
    /// As a Deployment has it; absent when it is none.
    #[must_use]
    pub fn int_or_string(&self) -> Option<IntOrString> {
        match self {
            Self::Number(number) => i32::try_from(*number)
                .ok()
                .filter(|number| (0..=MOST).contains(number))
                .map(IntOrString::Int),
            Self::Percent(text) => {
                let digits = text.strip_suffix('%')?;
                let valid = digits == "100"
                    || ((1..=2).contains(&digits.len())
                        && digits.bytes().all(|byte| byte.is_ascii_digit()));
                valid.then(|| IntOrString::String(text.clone()))
            }
        }
    }

    /// Whether it is nothing at all.
    #[must_use]
    pub fn is_zero(&self) -> bool {
        match self {
            Self::Number(number) => *number == 0,
            Self::Percent(text) => {
                let digits = text.strip_suffix('%').unwrap_or(text);
                !digits.is_empty() && digits.bytes().all(|byte| byte == b'0')
            }
        }
    }
}

impl std::fmt::Display for Amount {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Number(number) => number.fmt(f),
            Self::Percent(text) => text.fmt(f),
        }
    }
}

impl JsonSchema for Amount {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "Amount".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "x-kubernetes-int-or-string": true, "maxLength": 8 })
    }
}

impl Default for Rollout {
    fn default() -> Self {
        Self {
            max_surge: max_surge(),
            max_unavailable: max_unavailable(),
        }
    }
}

fn max_surge() -> Amount {
    Amount::Percent("25%".to_owned())
}

fn max_unavailable() -> Amount {
    Amount::Number(0)
}
