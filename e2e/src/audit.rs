//! What the operator may do beside what it does: every right that it has is one that it has used, by the API server's
//! own account. The cluster's API server writes that account, and so does every control plane that stands alone.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::{self, Write as _};
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use serde_json::Value;

use crate::cluster::Cluster;
use crate::command;
use crate::places::Places;

/// The operator's name in the chart: of its service account and of its roles.
const OPERATOR: &str = "chatbot-operator";

/// One thing that may be done.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Right {
    /// With its group: `apps/deployments/scale`.
    pub resource: String,
    /// As in a role.
    pub verb: String,
}

impl Right {
    fn new(group: &str, resource: &str, verb: &str) -> Self {
        let resource = if group.is_empty() {
            resource.to_owned()
        } else {
            format!("{group}/{resource}")
        };
        Self {
            resource,
            verb: verb.to_owned(),
        }
    }
}

impl fmt::Display for Right {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.verb, self.resource)
    }
}

/// The flags of an API server with which it keeps account, in a folder that outlives it.
#[must_use]
pub fn flags(places: &Places, account: &Path) -> Vec<String> {
    let policy = places.cluster_source().join("templates/audit-policy.yaml");
    vec![
        format!("--audit-policy-file={}", policy.display()),
        format!("--audit-log-path={}", account.display()),
        "--audit-log-maxsize=50".to_owned(),
        "--audit-log-maxbackup=2".to_owned(),
    ]
}

/// The folder of all accounts.
#[must_use]
pub fn folder(places: &Places) -> PathBuf {
    places.state.join("audit")
}

/// How long each account was at some time: what is in it was there before.
#[derive(Debug, Default)]
pub struct Mark(BTreeMap<PathBuf, u64>);

impl Mark {
    /// Now.
    #[must_use]
    pub fn now(folder: &Path) -> Self {
        Self(
            accounts(folder)
                .into_iter()
                .filter_map(|account| {
                    let length = fs::metadata(&account).ok()?.len();
                    Some((account, length))
                })
                .collect(),
        )
    }
}

fn accounts(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    entries.map(|entry| entry.path()).collect()
}

/// What was asked for.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Used {
    /// What was allowed.
    pub allowed: BTreeSet<Right>,
    /// What was refused, for want of the right or by admission.
    pub denied: BTreeSet<Right>,
}

impl Used {
    /// What all accounts in a folder tell, from a mark on.
    pub fn since(folder: &Path, mark: &Mark) -> Result<Self> {
        let mut used = Self::default();
        for account in accounts(folder) {
            let text = fs::read(&account)
                .with_context(|| format!("failed to read {}", account.display()))?;
            let start = mark.0.get(&account).copied().unwrap_or(0);
            let start = usize::try_from(start).unwrap_or(usize::MAX);
            // One that is shorter now was begun anew.
            let text = text.get(start..).unwrap_or(&text);
            for line in String::from_utf8_lossy(text).lines() {
                used.add(line);
            }
        }
        Ok(used)
    }

    /// Adds a line of an account; one that is still being written says nothing yet.
    fn add(&mut self, line: &str) {
        let Ok(event) = serde_json::from_str::<Value>(line) else {
            return;
        };
        let object = &event["objectRef"];
        let (Some(resource), Some(verb)) = (object["resource"].as_str(), event["verb"].as_str())
        else {
            return; // such as /version, which everybody may read
        };
        let resource = match object["subresource"].as_str() {
            Some(subresource) => format!("{resource}/{subresource}"),
            None => resource.to_owned(),
        };
        let group = object["apiGroup"].as_str().unwrap_or_default();
        let right = Right::new(group, &resource, verb);
        let code = event["responseStatus"]["code"].as_u64();
        if code == Some(403) {
            self.denied.insert(right);
            return;
        }
        if verb == "patch" && code == Some(201) {
            // Applying what is not there takes the right to make it as well.
            self.allowed.insert(Right::new(group, &resource, "create"));
        }
        self.allowed.insert(right);
    }
}

/// What the chart grants the operator, as it is on a cluster. A wildcard is an error.
pub fn granted(cluster: &Cluster) -> Result<BTreeSet<Right>> {
    let mut granted = BTreeSet::new();
    for kind in ["clusterroles", "roles"] {
        let mut kubectl = cluster.kubectl();
        kubectl.args(["get", kind, "--all-namespaces"]);
        kubectl.args(["--output", "json"]);
        let list: Value = serde_json::from_str(&command::output(&mut kubectl)?)
            .context("failed to read the roles")?;
        let roles = list["items"].as_array().into_iter().flatten();
        for role in roles.filter(|role| is_operators(role)) {
            for rule in role["rules"].as_array().into_iter().flatten() {
                add(rule, &mut granted)?;
            }
        }
    }
    Ok(granted)
}

/// Its own role; those for people have longer names.
fn is_operators(role: &Value) -> bool {
    role["metadata"]["name"] == OPERATOR
}

fn add(rule: &Value, granted: &mut BTreeSet<Right>) -> Result<()> {
    let list = |field: &str| -> Vec<&str> {
        let values = rule[field].as_array().into_iter().flatten();
        values.filter_map(Value::as_str).collect()
    };
    for group in list("apiGroups") {
        for resource in list("resources") {
            for verb in list("verbs") {
                let right = Right::new(group, resource, verb);
                if [group, resource, verb].contains(&"*") {
                    bail!("a wildcard is granted: {right}");
                }
                granted.insert(right);
            }
        }
    }
    if !list("nonResourceURLs").is_empty() {
        bail!("a right to a path is granted: {rule}");
    }
    Ok(())
}

/// Fails with a list when something is granted that was not used, or when Secrets are listed or watched.
pub fn compare(granted: &BTreeSet<Right>, used: &Used) -> Result<()> {
    let mut faults = String::new();
    let unused: Vec<&Right> = granted.difference(&used.allowed).collect();
    if !unused.is_empty() {
        let _ = write!(faults, "granted and not used:\n{}", list(&unused));
    }
    let secrets: Vec<&Right> = granted
        .iter()
        .chain(&used.allowed)
        .filter(|right| right.resource == "secrets" && right.verb != "get")
        .collect();
    if !secrets.is_empty() {
        let _ = write!(faults, "Secrets may be seen:\n{}", list(&secrets));
    }
    if faults.is_empty() {
        return Ok(());
    }
    let denied: Vec<&Right> = used.denied.iter().collect();
    if !denied.is_empty() {
        let _ = write!(faults, "asked for and refused:\n{}", list(&denied));
    }
    bail!("{}", faults.trim_end())
}

fn list(rights: &[&Right]) -> String {
    rights
        .iter()
        .flat_map(|right| ["  ".to_owned(), right.to_string(), "\n".to_owned()])
        .collect()
}

/// A whole run: what the cluster's chart grants, against what was used on it and on every control plane since.
pub fn check(cluster: &Cluster, mark: &Mark) -> Result<()> {
    let used = Used::since(&folder(&cluster.places), mark)?;
    compare(&granted(cluster)?, &used)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn event(verb: &str, resource: &str, subresource: Option<&str>, code: u16) -> String {
        json!({
            "verb": verb, "responseStatus": { "code": code },
            "objectRef": { "apiGroup": "apps", "resource": resource, "subresource": subresource },
        })
        .to_string()
    }

    fn rights(of: &[(&str, &str)]) -> BTreeSet<Right> {
        of.iter()
            .map(|(resource, verb)| Right::new("apps", resource, verb))
            .collect()
    }

    #[test]
    fn what_was_used_is_told_by_the_accounts_since_a_mark() {
        let folder = std::env::temp_dir().join(format!("chatbot-audit-{}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        let account = folder.join("a.log");
        fs::write(&account, event("delete", "deployments", None, 200) + "\n").unwrap();
        let mark = Mark::now(&folder);
        let lines = [
            fs::read_to_string(&account).unwrap(),
            event("patch", "deployments", None, 201) + "\n",
            event("patch", "deployments", Some("scale"), 200) + "\n",
            event("list", "deployments", None, 403) + "\n",
            "{\"verb\": \"watch\", \"requestURI\": \"/version\"}\n{\"verb".to_owned(),
        ];
        fs::write(&account, lines.concat()).unwrap();
        let used = Used::since(&folder, &mark).unwrap();
        fs::remove_dir_all(&folder).unwrap();
        let allowed = [
            ("deployments", "create"),
            ("deployments", "patch"),
            ("deployments/scale", "patch"),
        ];
        assert_eq!(used.allowed, rights(&allowed));
        assert_eq!(used.denied, rights(&[("deployments", "list")]));
    }

    #[test]
    fn what_is_granted_and_not_used_is_listed() {
        let granted = rights(&[("deployments", "get"), ("deployments", "patch")]);
        let used = Used {
            allowed: rights(&[("deployments", "patch")]),
            denied: rights(&[("daemonsets", "get")]),
        };
        let said = compare(&granted, &used).unwrap_err().to_string();
        assert_eq!(
            said,
            "granted and not used:\n  get apps/deployments\nasked for and refused:\n  get apps/daemonsets"
        );
        assert!(compare(&used.allowed, &used).is_ok());
    }

    #[test]
    fn a_wildcard_and_secrets_that_may_be_listed_are_refused() {
        let mut granted = BTreeSet::new();
        let wild = json!({ "apiGroups": ["apps"], "resources": ["*"], "verbs": ["get"] });
        assert!(add(&wild, &mut granted).is_err());
        let secrets = json!({ "apiGroups": [""], "resources": ["secrets"], "verbs": ["list"] });
        add(&secrets, &mut granted).unwrap();
        let used = Used {
            allowed: granted.clone(),
            denied: BTreeSet::new(),
        };
        let said = compare(&granted, &used).unwrap_err().to_string();
        assert!(said.contains("list secrets"), "{said}");
    }
}
