//! The operator's permissions: exactly what its table of kinds says, and what it needs for itself. No wildcard.

use std::collections::BTreeMap;

use anyhow::{Context, Result};
use chatbot_plan::kinds::{KINDS, SEEN};
use k8s_openapi::api::rbac::v1::PolicyRule;

const HEADER: &str = "# Written by `cargo generate` from operator/plan/src/kinds.rs.\n";

/// What the operator needs of its own resource, besides its children.
const OWN: [(&str, &str, &[&str]); 2] = [
    ("chatbot.dev", "chatbotclusters", &["get", "list", "watch"]),
    ("chatbot.dev", "chatbotclusters/status", &["patch"]),
];

pub fn rules() -> Result<String> {
    let kinds = KINDS
        .iter()
        .chain(SEEN)
        .map(|kind| (kind.group, kind.plural, kind.verbs));
    render(OWN.into_iter().chain(kinds))
}

fn render<'a>(rights: impl Iterator<Item = (&'a str, &'a str, &'a [&'a str])>) -> Result<String> {
    let mut resources: BTreeMap<(&str, Vec<&str>), Vec<String>> = BTreeMap::new();
    for (group, resource, verbs) in rights {
        resources
            .entry((group, verbs.to_vec()))
            .or_default()
            .push(resource.to_owned());
    }
    let rules: Vec<PolicyRule> = resources
        .into_iter()
        .map(|((group, verbs), resources)| PolicyRule {
            api_groups: Some(vec![group.to_owned()]),
            resources: Some(resources),
            verbs: verbs.into_iter().map(str::to_owned).collect(),
            ..PolicyRule::default()
        })
        .collect();
    let yaml = serde_yaml::to_string(&rules).context("failed to write the rules as YAML")?;
    Ok(format!("{HEADER}{yaml}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_rule_has_a_wildcard_or_reads_secrets() {
        let rules = rules().unwrap();
        assert!(
            !rules.contains('*') && !rules.contains("secrets"),
            "{rules}"
        );
    }

    #[test]
    fn every_owned_kind_may_be_written() {
        let rules: Vec<PolicyRule> = serde_yaml::from_str(&rules().unwrap()).unwrap();
        for kind in KINDS {
            let rule = rules.iter().find(|rule| {
                rule.resources
                    .iter()
                    .flatten()
                    .any(|resource| resource == kind.plural)
            });
            assert!(
                rule.unwrap().verbs.contains(&"patch".to_owned()),
                "{}",
                kind.kind
            );
        }
    }
}
