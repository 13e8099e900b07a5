//! What is looked at, made and removed on the user's cluster.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use serde_json::Value;

use crate::access::Access;
use crate::command::{self, wait_until};
use crate::install::{self, OPERATOR_NAMESPACE, References};
use crate::places::Places;
use crate::prerequisites::on_path;

/// Marks what was made here: nothing else is ever removed.
const MARK: &str = "app.kubernetes.io/managed-by";
const OURS: &str = "cargo-e2e";
/// The lowest server that the chart is for.
const LOWEST: (u32, u32) = (1, 30);
const RELEASE: &str = "chatbot-operator";
const DEFINITION: &str = "chatbotclusters.chatbot.dev";

/// A program of the user's, or the one that a cluster on this machine was built with.
pub fn program(places: &Places, name: &str) -> Result<PathBuf> {
    if on_path(name) {
        return Ok(PathBuf::from(name));
    }
    let built = crate::go_build::folder(places).map(|folder| folder.join(name));
    match built {
        Ok(program) if program.exists() => Ok(program),
        _ => bail!(
            "{name} is not on PATH: install it (https://kubernetes.io/docs/tasks/tools, \
             https://helm.sh/docs/intro/install)"
        ),
    }
}

/// Refuses what cannot work there, before anything has been changed.
pub fn check(access: &Access, say: impl Fn(&str)) -> Result<()> {
    let version = access.ask(&["version", "--output=json"]).context(
        "failed to reach the cluster: is it the right --context, and are its credentials still good?",
    )?;
    let version: Value = serde_json::from_str(&version).context("failed to read its version")?;
    let (major, minor) = release(&version["serverVersion"])?;
    if (major, minor) < LOWEST {
        bail!(
            "the cluster runs Kubernetes {major}.{minor}, the operator needs {}.{} or newer: upgrade the cluster",
            LOWEST.0,
            LOWEST.1
        );
    }
    for right in ["customresourcedefinitions", "clusterroles", "namespaces"] {
        // `can-i` fails when the answer is no.
        if access.ask(&["auth", "can-i", "create", right]).is_err() {
            bail!(
                "this kubeconfig may not create {right}: an install needs an administrator's; ask for one, or have \
                 the chart installed by whoever has it"
            );
        }
    }
    let nodes = "jsonpath={range .items[*]}{.status.nodeInfo.architecture}{\"\\n\"}{end}";
    let architectures = access.ask(&["get", "nodes", "--output", nodes])?;
    let here = match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    };
    if !architectures.lines().any(|node| node == here) {
        bail!(
            "the cluster has no {here} node, and the images built on this machine are for {here}: build them on \
             another machine, and name them with --operator-image and --chatbot-image"
        );
    }
    if access
        .ask(&["get", "apiservice", "v1beta1.metrics.k8s.io"])
        .is_err()
    {
        say("it has no metrics API (metrics-server): the chat works, its autoscaler knows no load");
    }
    Ok(())
}

fn release(server: &Value) -> Result<(u32, u32)> {
    let number = |part: &str| {
        let text = server[part].as_str().unwrap_or_default();
        let digits: String = text.chars().take_while(char::is_ascii_digit).collect();
        digits.parse().ok()
    };
    number("major")
        .zip(number("minor"))
        .with_context(|| format!("failed to read the server's version: {server}"))
}

/// Makes both namespaces, marked as ours. One of somebody else with that name is left alone.
pub fn claim_namespaces(access: &Access, chat: &str) -> Result<()> {
    for namespace in [OPERATOR_NAMESPACE, chat] {
        if state(access, namespace)? == State::Foreign {
            let remedy = if namespace == chat {
                "name another one with --namespace"
            } else {
                "`helm list --namespace chatbot-system` shows what is installed in it; where that is the operator, apply a \
                 resource to it instead"
            };
            bail!("namespace {namespace} is there, and not made by `cargo e2e up`: {remedy}");
        }
    }
    for namespace in [OPERATOR_NAMESPACE, chat] {
        access.apply(&format!(
            "apiVersion: v1
kind: Namespace
metadata:
  name: {namespace}
  labels: {{ {MARK}: {OURS}, pod-security.kubernetes.io/enforce: restricted }}
"
        ))?;
    }
    Ok(())
}

#[derive(Debug, PartialEq, Eq)]
enum State {
    Absent,
    Ours,
    Foreign,
}

fn state(access: &Access, namespace: &str) -> Result<State> {
    let object = access.ask(&[
        "get",
        "namespace",
        namespace,
        "--ignore-not-found",
        "--output=json",
    ])?;
    if object.trim().is_empty() {
        return Ok(State::Absent);
    }
    let object: Value = serde_json::from_str(&object).context("failed to read a namespace")?;
    Ok(if object["metadata"]["labels"][MARK] == OURS {
        State::Ours
    } else {
        State::Foreign
    })
}

/// Waits for the operator, and ends at once when its image cannot be had.
pub fn wait_operator(access: &Access, images: &References) -> Result<()> {
    let mut missing = None;
    let waited = wait_until("the operator ready", Duration::from_mins(3), || {
        missing = unpulled(access, OPERATOR_NAMESPACE)?;
        if missing.is_some() {
            return Ok(true);
        }
        let status = [
            "rollout",
            "status",
            "--namespace",
            OPERATOR_NAMESPACE,
            "--timeout=1s",
            "deployment/chatbot-operator",
        ];
        Ok(access.ask(&status).is_ok())
    });
    if let Some(reason) = missing {
        bail!(
            "the nodes cannot have the operator's image {}: {reason}\n{REMEDY}",
            images.operator
        );
    }
    waited.map_err(|error| error.context(install::describe_at(access, OPERATOR_NAMESPACE)))
}

/// Why an image is not there, when one is not.
pub fn unpulled(access: &Access, namespace: &str) -> Result<Option<String>> {
    let pods = access.ask(&["get", "pods", "--namespace", namespace, "--output=json"])?;
    let pods: Value = serde_json::from_str(&pods).context("failed to read pods")?;
    let pods = pods["items"].as_array().into_iter().flatten();
    let mut waiting = pods
        .flat_map(|pod| {
            pod["status"]["containerStatuses"]
                .as_array()
                .into_iter()
                .flatten()
        })
        .map(|container| &container["state"]["waiting"]);
    let failed = waiting.find(|waiting| {
        let reasons = ["ImagePullBackOff", "ErrImageNeverPull", "InvalidImageName"];
        waiting["reason"]
            .as_str()
            .is_some_and(|reason| reasons.contains(&reason))
    });
    Ok(failed.map(|failed| {
        let message = failed["message"].as_str().unwrap_or_default();
        format!(
            "{}: {message}",
            failed["reason"].as_str().unwrap_or_default()
        )
    }))
}

/// What to do when an image is not there.
pub const REMEDY: &str = "`cargo e2e images` writes the images as archives and says how they come into a cluster's \
    nodes or into a registry; for a registry, give the same --repository to both commands";

/// Applies the sample as [`install::apply_sample`], one that these volumes can serve.
pub fn sample(access: &Access, places: &Places, namespace: &str, shared: bool) -> Result<bool> {
    // A volume that one node alone can mount is for one instance.
    let name = if shared {
        "quickstart.yaml"
    } else {
        "chat.yaml"
    };
    install::apply_sample(access, &places.samples().join(name), namespace)
}

/// Removes what was made here: first the chat, while the operator is there to say goodbye; then, when nobody else has a
/// resource, the operator and its definition.
pub fn remove(access: &Access, chat: &str, say: impl Fn(&str)) -> Result<()> {
    match state(access, chat)? {
        State::Ours => {
            say(&format!("deleting namespace {chat} and the chat in it"));
            access.ask(&["delete", "namespace", chat, "--timeout=300s"])?;
        }
        State::Absent => {}
        State::Foreign => bail!(
            "namespace {chat} was not made by `cargo e2e up`, nothing was removed: name the one that was with \
             --namespace"
        ),
    }
    if state(access, OPERATOR_NAMESPACE)? != State::Ours {
        say("no operator of `cargo e2e up` is there");
        return Ok(());
    }
    let others = access
        .ask(&["get", DEFINITION, "--all-namespaces", "--output=name"])
        .unwrap_or_default(); // without a definition there are none
    if !others.trim().is_empty() {
        say(&format!(
            "the operator stays: there are other resources of its kind ({})",
            others.split_whitespace().collect::<Vec<_>>().join(", ")
        ));
        return Ok(());
    }
    say("removing the operator, its definition and its priority classes");
    // Before its rights: until it has ended it may give the Lease back.
    let mut deployment = vec!["delete", "deployment", RELEASE, "--ignore-not-found"];
    deployment.extend(["--namespace", OPERATOR_NAMESPACE]);
    deployment.extend(["--cascade=foreground", "--timeout=120s"]);
    access.ask(&deployment)?;
    let mut uninstall = access.helm();
    uninstall.args(["uninstall", RELEASE, "--namespace", OPERATOR_NAMESPACE]);
    uninstall.args(["--ignore-not-found", "--wait", "--timeout=120s"]);
    command::output(&mut uninstall)?;
    let instance = format!("--selector=app.kubernetes.io/instance={RELEASE}");
    access.ask(&[
        "delete",
        "customresourcedefinition",
        DEFINITION,
        "--ignore-not-found",
    ])?;
    access.ask(&["delete", "priorityclass", &instance])?;
    access.ask(&["delete", "namespace", OPERATOR_NAMESPACE, "--timeout=120s"])?;
    say(&match remove_lease(access)? {
        None => "nothing of it is left".to_owned(),
        Some(holder) => format!(
            "nothing of it is left but the Lease chatbot-operator in kube-system, which {holder} holds: delete it when \
             no other operator is installed"
        ),
    });
    Ok(())
}

/// The Lease stands outside the operator's namespace. When somebody holds it, it may be another installation's, and stays.
fn remove_lease(access: &Access) -> Result<Option<String>> {
    let lease = [
        "lease",
        "chatbot-operator",
        "--namespace",
        "kube-system",
        "--ignore-not-found",
    ];
    let holder = "--output=jsonpath={.spec.holderIdentity}";
    let holder = access.ask(&[&["get"], &lease[..], &[holder]].concat())?;
    if !holder.is_empty() {
        return Ok(Some(holder));
    }
    access.ask(&[&["delete"], &lease[..]].concat())?;
    Ok(None)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_providers_version_is_read_as_numbers() {
        let version = json!({ "major": "1", "minor": "31+" });
        assert_eq!(release(&version).unwrap(), (1, 31));
        assert!(release(&Value::Null).is_err());
    }
}
