//! A channel's Secret.

use std::collections::BTreeMap;
use std::fmt;

use crate::Refusal;

/// The values of a channel's Secret, by key. What is empty is missing.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Secrets(BTreeMap<String, String>);

impl fmt::Debug for Secrets {
    /// The keys, never the values.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_set().entries(self.0.keys()).finish()
    }
}

impl Secrets {
    /// The values by key, without the white space around them that editors leave. What is not text, and what is empty,
    /// is missing.
    pub fn new<Key: Into<String>>(values: impl IntoIterator<Item = (Key, Vec<u8>)>) -> Self {
        let text = |(key, value): (Key, Vec<u8>)| {
            let value = String::from_utf8(value).ok()?.trim().to_owned();
            (!value.is_empty()).then(|| (key.into(), value))
        };
        Self(values.into_iter().filter_map(text).collect())
    }

    /// Of these keys, those that are missing.
    #[must_use]
    pub fn missing<'k>(&self, keys: &[&'k str]) -> Vec<&'k str> {
        let missing = |key: &&&str| !self.0.contains_key(**key);
        keys.iter().filter(missing).copied().collect()
    }

    pub(crate) fn get(&self, key: &str) -> Option<&str> {
        self.0.get(key).map(String::as_str)
    }

    /// A value for a request; where it is missing, the platform refuses the request.
    pub(crate) fn or_empty(&self, key: &str) -> &str {
        self.get(key).unwrap_or_default()
    }

    /// A value that something is verified by. Where it is missing, nothing is authentic.
    pub(crate) fn verifying(&self, key: &str) -> Result<&str, Refusal> {
        self.get(key).ok_or_else(|| {
            Refusal::unauthenticated(format!(
                "the channel's Secret has no `{key}`, so nothing can be verified: add it"
            ))
        })
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0
            .iter()
            .map(|(key, value)| (key.as_str(), value.as_str()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_empty_is_missing_and_nothing_is_shown() {
        let values = [("token", "abc\n"), ("empty", " \n")];
        let secrets = Secrets::new(values.map(|(key, value)| (key, value.as_bytes().to_vec())));
        assert_eq!(secrets.get("token"), Some("abc"));
        assert_eq!(
            secrets.missing(&["token", "empty", "other"]),
            ["empty", "other"]
        );
        assert_eq!(format!("{secrets:?}"), r#"{"token"}"#);
        assert!(secrets.verifying("empty").is_err());
    }
}
