//! The operator's permissions: exactly what its table of kinds says, and what it needs for itself. No wildcard.

use std::collections::BTreeMap;

use anyhow::{Context, Result};
use chatbot_plan::kinds::{KINDS, SEEN};
use chatbot_plan::names::LEASE;
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

/// What the operator needs in the Lease's namespace alone: the Lease of the one that leads. It is made by applying it under
/// its name, so that this right, too, is for one object.
pub fn namespace_rules() -> Result<String> {
    let rule = PolicyRule {
        api_groups: Some(vec!["coordination.k8s.io".to_owned()]),
        resources: Some(vec!["leases".to_owned()]),
        resource_names: Some(vec![LEASE.to_owned()]),
        verbs: ["get", "create", "patch"].map(str::to_owned).to_vec(),
        ..PolicyRule::default()
    };
    write(&[rule])
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
    write(&rules)
}

fn write(rules: &[PolicyRule]) -> Result<String> {
    let yaml = serde_yaml::to_string(rules).context("failed to write the rules as YAML")?;
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
    fn one_object_may_be_written_in_the_lease_s_namespace() {
        let rules: Vec<PolicyRule> = serde_yaml::from_str(&namespace_rules().unwrap()).unwrap();
        assert_eq!(rules.len(), 1);
        assert_eq!(rules[0].resource_names, Some(vec![LEASE.to_owned()]));
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
