//! An image's reference, in the parts that the chart's values have.

use std::fmt;
use std::str::FromStr;

use anyhow::{Result, bail};

/// `registry/name:tag` or `registry/name@sha256:…`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reference {
    /// Registry and name.
    pub repository: String,
    /// What is wanted of it.
    pub version: Version,
}

/// Which of the images of a repository.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Version {
    /// A name that may be moved to another image.
    Tag(String),
    /// Exactly one image: `sha256:…`.
    Digest(String),
}

impl Reference {
    /// The arguments with which helm sets `image.<of>`.
    #[must_use]
    pub fn settings(&self, of: &str) -> [String; 4] {
        let (part, version) = match &self.version {
            Version::Tag(tag) => ("tag", tag),
            Version::Digest(digest) => ("digest", digest),
        };
        // As text: a tag of nothing but digits is no number.
        let set = "--set-string".to_owned();
        [
            set.clone(),
            format!("image.{of}.repository={}", self.repository),
            set,
            format!("image.{of}.{part}={version}"),
        ]
    }
}

impl FromStr for Reference {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> Result<Self> {
        let (repository, version) = if let Some((repository, digest)) = text.split_once('@') {
            (repository, Version::Digest(digest.to_owned()))
        } else if let Some((repository, tag)) = text.rsplit_once(':')
            && !tag.contains('/')
        {
            (repository, Version::Tag(tag.to_owned()))
        } else {
            bail!(
                "`{text}` has neither a tag nor a digest: give registry/name:tag, or registry/name@sha256:…"
            );
        };
        let of_digest = |digest: &str| {
            let hex = digest.strip_prefix("sha256:").unwrap_or_default();
            hex.len() == 64 && hex.bytes().all(|byte| byte.is_ascii_hexdigit())
        };
        let whole = match &version {
            Version::Tag(tag) => !tag.is_empty(),
            Version::Digest(digest) => of_digest(digest),
        };
        let plain =
            |character: char| character.is_ascii_alphanumeric() || "./_-:@".contains(character);
        if repository.is_empty() || !whole || !text.chars().all(plain) {
            bail!(
                "`{text}` is no image reference: give registry/name:tag, or registry/name@sha256:…"
            );
        }
        Ok(Self {
            repository: repository.to_owned(),
            version,
        })
    }
}

impl fmt::Display for Reference {
    fn fmt(&self, text: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.version {
            Version::Tag(tag) => write!(text, "{}:{tag}", self.repository),
            Version::Digest(digest) => write!(text, "{}@{digest}", self.repository),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_port_is_no_tag_and_every_form_is_written_as_it_was_read() {
        let digest = format!("localhost:5000/team/operator@sha256:{}", "0a".repeat(32));
        for text in [
            "localhost:5000/team/operator:1",
            "operator:0.1.0-rc.1_x",
            digest.as_str(),
        ] {
            let reference: Reference = text.parse().unwrap();
            assert_eq!(reference.to_string(), text);
        }
        let reference: Reference = "localhost:5000/operator:123".parse().unwrap();
        assert_eq!(
            reference.settings("operator")[1..4],
            [
                "image.operator.repository=localhost:5000/operator",
                "--set-string",
                "image.operator.tag=123"
            ]
        );
    }

    #[test]
    fn what_is_no_reference_is_refused_with_the_form() {
        for text in [
            "",
            ":1",
            "operator",
            "operator:",
            "localhost:5000/operator",
            "operator@sha256:12",
            "operator:1,log=debug",
            "operator:a b",
        ] {
            let refused = text.parse::<Reference>().unwrap_err().to_string();
            assert!(
                refused.contains("give registry/name:tag"),
                "{text}: {refused}"
            );
        }
    }
}
