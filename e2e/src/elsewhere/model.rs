//! The model on a volume of the user's cluster: sent through the API server to a pod that writes it.

use std::fs::File;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use serde_json::json;

use crate::access::Access;
use crate::command::{self, wait_until};
use crate::install;
use crate::model::FILE;
use crate::reference::Reference;

use super::cluster;

const CLAIM: &str = "models";
const POD: &str = "model-receiver";
/// On the claim: which model is on its volume.
const HELD: &str = "chatbot.dev/e2e-model";

/// Claims a volume, and sends it the model unless it has it.
pub fn put(
    access: &Access,
    namespace: &str,
    image: &Reference,
    shared_class: Option<&str>,
    model: &Path,
) -> Result<()> {
    let sum = command::output(Command::new("sha256sum").arg(model))?;
    let sum = sum.split(' ').next().unwrap_or_default().to_owned();
    access.apply(&claim(namespace, shared_class))?;
    let path = format!(
        "jsonpath={{.metadata.annotations.{}}}",
        HELD.replace('.', "\\.")
    );
    let held = access.ask(&[
        "get",
        "pvc",
        CLAIM,
        "--namespace",
        namespace,
        "--output",
        &path,
    ])?;
    if held.trim() == sum {
        return Ok(());
    }
    let pod = ["--namespace", namespace, "pod", POD];
    let delete = || access.ask(&[&["delete", "--ignore-not-found"], &pod[..]].concat());
    delete()?;
    access.apply(&receiver(namespace, image, &sum))?;
    let sent = send(access, namespace, image, model);
    if sent.is_ok() {
        delete()?;
        let held = format!("{HELD}={sum}");
        access.ask(&[
            "annotate",
            "--overwrite",
            "--namespace",
            namespace,
            "pvc",
            CLAIM,
            &held,
        ])?;
    }
    sent.map_err(|error| error.context(install::describe_at(access, namespace)))
}

fn send(access: &Access, namespace: &str, image: &Reference, model: &Path) -> Result<()> {
    let phase = || {
        let phase = ["get", "pod", POD, "--namespace", namespace, "--output"];
        access.ask(&[&phase[..], &["jsonpath={.status.phase}"]].concat())
    };
    let mut missing = None;
    wait_until(
        "a pod with the volume of the model",
        Duration::from_mins(3),
        || {
            missing = cluster::unpulled(access, namespace)?;
            let phase = phase()?;
            if phase == "Pending" && missing.is_none() {
                bail!(
                    "it is still pending: is there a default storage class, or name one with --shared-storage-class?"
                );
            }
            Ok(true)
        },
    )?;
    if let Some(reason) = missing {
        bail!(
            "the nodes cannot have the image {image}: {reason}\n{}",
            cluster::REMEDY
        );
    }
    let input = File::open(model).with_context(|| format!("failed to open {}", model.display()))?;
    let mut attach = access.kubectl();
    attach.args([
        "attach",
        "--stdin",
        "--quiet",
        "--namespace",
        namespace,
        POD,
    ]);
    let said = attach
        .stdin(Stdio::from(input))
        .output()
        .context("failed to start kubectl attach")?;
    // What the pod itself says counts: the connection may end early on either side.
    wait_until("the model received", Duration::from_mins(2), || {
        Ok(["Succeeded", "Failed"].contains(&phase()?.as_str()))
    })
    .with_context(|| String::from_utf8_lossy(&said.stderr).trim().to_owned())?;
    if phase()? != "Succeeded" {
        let log = access.ask(&["logs", "--namespace", namespace, POD]);
        bail!(
            "the model did not arrive whole: {}",
            log.unwrap_or_default().trim()
        );
    }
    Ok(())
}

fn claim(namespace: &str, shared_class: Option<&str>) -> String {
    let mode = if shared_class.is_some() {
        "ReadWriteMany"
    } else {
        "ReadWriteOnce"
    };
    let mut claim = json!({
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "metadata": { "name": CLAIM, "namespace": namespace },
        "spec": { "accessModes": [mode], "resources": { "requests": { "storage": "1Gi" } } },
    });
    if let Some(class) = shared_class {
        claim["spec"]["storageClassName"] = class.into();
    }
    claim.to_string()
}

fn receiver(namespace: &str, image: &Reference, sum: &str) -> String {
    json!({
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": { "name": POD, "namespace": namespace },
        "spec": {
            "restartPolicy": "Never",
            "automountServiceAccountToken": false,
            "enableServiceLinks": false,
            "securityContext": {
                "runAsNonRoot": true,
                "runAsUser": 65532,
                "runAsGroup": 65532,
                "fsGroup": 65532,
                "seccompProfile": { "type": "RuntimeDefault" },
            },
            "containers": [{
                "name": "receiver",
                "image": image.to_string(),
                "imagePullPolicy": "IfNotPresent",
                "args": ["receive", "--to", format!("/models/{FILE}"), "--sha256", sum],
                "stdin": true,
                "stdinOnce": true,
                "resources": { "requests": { "cpu": "100m", "memory": "64Mi" }, "limits": { "memory": "256Mi" } },
                "securityContext": {
                    "allowPrivilegeEscalation": false,
                    "readOnlyRootFilesystem": true,
                    "capabilities": { "drop": ["ALL"] },
                },
                "volumeMounts": [{ "name": "models", "mountPath": "/models" }],
            }],
            "volumes": [{ "name": "models", "persistentVolumeClaim": { "claimName": CLAIM } }],
        },
    })
    .to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::Value;

    #[test]
    fn a_volume_for_every_node_is_claimed_only_from_a_class_that_has_it() {
        let modes = |class| {
            let claim: Value = serde_json::from_str(&claim("chat", class)).unwrap();
            (
                claim["spec"]["accessModes"][0].clone(),
                claim["spec"]["storageClassName"].clone(),
            )
        };
        assert_eq!(modes(None), ("ReadWriteOnce".into(), Value::Null));
        assert_eq!(modes(Some("nfs")), ("ReadWriteMany".into(), "nfs".into()));
    }
}
