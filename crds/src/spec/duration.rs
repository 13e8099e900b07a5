//! Durations, in the portable subset of Go's that Gateway API uses (GEP-2257).

use std::{borrow::Cow, time};

use kube::core::Rule;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};

/// A duration such as `90s`, `30m` or `24h`, kept as it was written.
///
/// Any string can be held: what is stored is read without failing, and refused by `Settings` when it is none.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Duration(String);

const PATTERN: &str = "^([0-9]{1,5}(h|m|s|ms)){1,4}$";

/// The rule that a string is a duration.
pub(crate) fn syntax() -> Rule {
    Rule::new(format!("self.matches('{PATTERN}')")).message(crate::rules::DURATION)
}

/// The rule that a duration is within bounds; it has nothing to say of what is no duration.
pub(crate) fn between(shortest: &str, longest: &str) -> Rule {
    Rule::new(format!(
        "!self.matches('{PATTERN}') || (duration(self) >= duration('{shortest}') && duration(self) <= duration('{longest}'))"
    ))
    .message(crate::rules::between(shortest, longest).as_str())
}

impl Duration {
    /// As it was written.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Its length; absent when it is no duration.
    #[must_use]
    pub fn length(&self) -> Option<time::Duration> {
        let mut rest = self.0.as_str();
        let mut total = time::Duration::ZERO;
        for _ in 0..4 {
            let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
            if !(1..=5).contains(&digits) {
                return None;
            }
            let count: u64 = rest[..digits].parse().ok()?;
            rest = &rest[digits..];
            let (unit, millis) = [("ms", 1), ("s", 1_000), ("m", 60_000), ("h", 3_600_000)]
                .into_iter()
                .find(|(unit, _)| rest.starts_with(unit))?;
            rest = &rest[unit.len()..];
            total += time::Duration::from_millis(count * millis);
            if rest.is_empty() {
                return Some(total);
            }
        }
        None
    }
}

impl From<&str> for Duration {
    fn from(text: &str) -> Self {
        Self(text.to_owned())
    }
}

impl JsonSchema for Duration {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "Duration".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "maxLength": 32 })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn length(text: &str) -> Option<time::Duration> {
        Duration::from(text).length()
    }

    #[test]
    fn a_duration_is_the_sum_of_its_parts() {
        assert_eq!(length("90s"), Some(time::Duration::from_secs(90)));
        assert_eq!(length("1h30m"), Some(time::Duration::from_mins(90)));
        assert_eq!(length("500ms"), Some(time::Duration::from_millis(500)));
        assert_eq!(
            length("1h2m3s4ms"),
            Some(time::Duration::from_millis(3_723_004))
        );
        assert_eq!(length("0s"), Some(time::Duration::ZERO));
    }

    #[test]
    fn what_is_no_duration_is_refused_without_a_panic() {
        for text in [
            "",
            "30",
            "h",
            "-1h",
            "1.5h",
            "1d",
            "1h 2m",
            "100000h",
            "99999999999999999999h",
            "1h1h1h1h1h",
            "1µs",
            "时",
        ] {
            assert_eq!(length(text), None, "{text:?}");
        }
    }
}
