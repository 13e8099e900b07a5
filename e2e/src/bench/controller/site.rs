//! Where it happens: a control plane with KWOK's nodes, the operator's rights, and a record of what the operator
//! writes.

use std::fs;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use serde_json::{Value, json};

use super::api::Api;
use super::operator::Measured;
use super::{Extent, Inside, pods, say};
use crate::command;
use crate::install::{OPERATOR_NAMESPACE, model_volume};
use crate::plane::{Options, Plane};

/// The account of the chart's release `chatbot-operator`.
const ACCOUNT: &str = "chatbot-operator";
/// Resources in one namespace.
const PER_NAMESPACE: u32 = 50;
/// Nodes that run nothing; each takes a thousand pods.
const NODES: u32 = 10;

/// A control plane for many resources.
pub struct Site {
    pub plane: Plane,
    pub api: Api,
    /// The operator's own access, with the rights of its chart and no others.
    pub kubeconfig: PathBuf,
    /// Of Kubernetes.
    pub version: String,
    folder: PathBuf,
    kwok: Measured,
}

/// A write of the operator, as the API server has recorded it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Write {
    /// Such as `patch`.
    pub verb: String,
    /// Such as `deployments/scale`.
    pub resource: String,
    /// Such as `bench-0/bench-17`.
    pub object: String,
}

impl Site {
    /// Starts everything but the operator.
    pub fn start(inside: &Inside, extent: &Extent) -> Result<Self> {
        pods::answer()?;
        let folder = std::env::temp_dir();
        let policy = folder.join("audit.yaml");
        fs::write(&policy, audit_policy()).context("failed to write the audit policy")?;
        let log = folder.join("audit.log");
        fs::write(&log, "").context("failed to write the audit log")?;
        let plane = Plane::start_with(Options {
            api_server: vec![
                format!("--audit-policy-file={}", policy.display()),
                format!("--audit-log-path={}", log.display()),
                "--audit-log-maxsize=1000".to_owned(),
                "--endpoint-reconciler-type=none".to_owned(),
            ],
            controller_manager: vec![
                "--controllers=*,-horizontal-pod-autoscaler-controller".to_owned(),
                // Nodes that stand still must not be lost when this machine is busy.
                "--node-monitor-grace-period=300s".to_owned(),
            ],
            scheduler: true,
        })?;
        say("the control plane stands");
        let api = Api::of(&plane);
        let version = api.get("/version")?;
        let version = version["gitVersion"].as_str();
        let mut site = Self {
            version: version.context("the API server has no version")?.to_owned(),
            api,
            kwok: start_kwok(&plane, &inside.programs, &folder)?,
            kubeconfig: folder.join("operator.kubeconfig"),
            plane,
            folder,
        };
        site.nodes()?;
        site.install()?;
        let models = site.plane.places.models();
        let spaces = (0..=(extent.most() - 1) / PER_NAMESPACE)
            .map(|number| model_volume(&models, &namespace_of(number * PER_NAMESPACE)))
            .collect::<Result<Vec<_>>>()?;
        site.plane.apply(&spaces.join("---\n"))?;
        let mut wait = site.plane.kubectl();
        wait.args(["wait", "persistentvolumeclaim", "--all-namespaces", "--all"]);
        wait.args(["--for=jsonpath={.status.phase}=Bound", "--timeout=120s"]);
        command::output(&mut wait)?;
        Ok(site)
    }

    /// Where something writes what it has to say.
    pub fn log(&self, name: &str) -> PathBuf {
        self.folder.join(format!("{name}.log"))
    }

    /// Makes resources what they are wanted to be. The ceiling tells one wish from the next: it
    /// changes a child and starts no pod anew.
    pub fn want(&self, resources: Range<u32>, ceiling: u32) -> Result<()> {
        let items: Vec<Value> = resources.map(|number| resource(number, ceiling)).collect();
        let list = json!({ "apiVersion": "v1", "kind": "List", "items": items });
        self.plane.apply(&list.to_string()).map(drop)
    }

    /// What the operator has written so far, its Lease excepted.
    pub fn writes(&self) -> Result<Vec<Write>> {
        let text = fs::read_to_string(self.folder.join("audit.log"))
            .context("failed to read the audit log")?;
        Ok(text.lines().filter_map(write).collect())
    }

    /// Fails when KWOK has ended.
    pub fn check(&mut self) -> Result<()> {
        self.kwok.check().context("kwok")
    }

    fn nodes(&mut self) -> Result<()> {
        let room = json!({ "cpu": "10000", "memory": "100Ti", "pods": "1000" });
        let nodes: Vec<Value> = (0..NODES)
            .map(|number| {
                let name = format!("kwok-{number}");
                json!({
                    "apiVersion": "v1", "kind": "Node",
                    "metadata": {
                        "name": name, "annotations": { "kwok.x-k8s.io/node": "fake" },
                        "labels": { "kubernetes.io/hostname": name, "topology.kubernetes.io/zone": format!("z{}", number % 3) },
                    },
                    "status": { "allocatable": room, "capacity": room },
                })
            })
            .collect();
        let list = json!({ "apiVersion": "v1", "kind": "List", "items": nodes });
        let mut create = self.plane.kubectl();
        create.args(["create", "--filename", "-"]);
        command::output_of_input(&mut create, &list.to_string())?;
        let mut wait = self.plane.kubectl();
        wait.args(["wait", "node", "--all", "--for=condition=Ready"]);
        wait.arg("--timeout=120s");
        if let Err(error) = command::output(&mut wait) {
            self.check()?;
            return Err(error);
        }
        say(&format!("{NODES} KWOK nodes are Ready"));
        Ok(())
    }

    /// The definition and the rights, from the chart; the operator itself runs here.
    fn install(&self) -> Result<()> {
        self.plane.apply(&format!(
            "apiVersion: v1\nkind: Namespace\nmetadata: {{ name: {OPERATOR_NAMESPACE} }}\n"
        ))?;
        let chart = self.plane.places.repository.join("charts/chatbot-operator");
        let mut helm = Command::new(self.plane.places.programs().join("helm"));
        helm.args(["template", ACCOUNT]).arg(&chart);
        helm.args(["--namespace", OPERATOR_NAMESPACE]);
        helm.args(["--kube-version", &self.version]);
        helm.args(["--set", "image.operator.repository=localhost/operator"]);
        helm.args(["--set", "image.chatbot.repository=localhost/chatbot"]);
        for template in ["crd", "rbac"] {
            helm.args(["--show-only", &format!("templates/{template}.yaml")]);
        }
        self.plane.apply(&command::output(&mut helm)?)?;
        let mut wait = self.plane.kubectl();
        wait.args(["wait", "--for=condition=Established", "--timeout=60s"]);
        wait.arg("crd/chatbotclusters.chatbot.dev");
        command::output(&mut wait)?;
        let mut token = self.plane.kubectl();
        token.args([
            "create",
            "token",
            ACCOUNT,
            "--namespace",
            OPERATOR_NAMESPACE,
        ]);
        token.arg("--duration=12h");
        let token = command::output(&mut token)?;
        let access = access(
            &format!("https://{}", self.plane.address()),
            &self.plane.places.pki().join("ca.crt"),
            token.trim(),
        );
        fs::write(&self.kubeconfig, access.to_string())
            .with_context(|| format!("failed to write {}", self.kubeconfig.display()))
    }
}

fn start_kwok(plane: &Plane, programs: &Path, folder: &Path) -> Result<Measured> {
    let mut kwok = Command::new(programs.join("kwok"));
    kwok.arg("--kubeconfig")
        .arg(plane.kubeconfig())
        .args(["--manage-all-nodes=false"])
        .arg("--manage-nodes-with-annotation-selector=kwok.x-k8s.io/node=fake")
        .arg(format!("--cidr={}", pods::NETWORK))
        .args(["--node-ip=127.0.0.1", "--node-lease-duration-seconds=200"])
        .args(["--server-address=127.0.0.1:10247", "--config"])
        .arg(programs.join("stages.yaml"));
    let mut kwok = Measured::start(&mut kwok, folder.join("kwok.log"))?;
    std::thread::sleep(Duration::from_millis(500)); // a wrong flag ends it at once
    kwok.check()?;
    Ok(kwok)
}

fn audit_policy() -> String {
    let account = format!("system:serviceaccount:{OPERATOR_NAMESPACE}:{ACCOUNT}");
    json!({
        "apiVersion": "audit.k8s.io/v1", "kind": "Policy", "omitStages": ["RequestReceived"],
        "rules": [
            {
                "level": "Metadata", "users": [account],
                "verbs": ["create", "update", "patch", "delete", "deletecollection"],
            },
            { "level": "None" },
        ],
    })
    .to_string()
}

/// A line of the audit log; nothing when it is of the Lease.
fn write(line: &str) -> Option<Write> {
    let event: Value = serde_json::from_str(line).ok()?;
    let target = &event["objectRef"];
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let mut resource = text(&target["resource"]);
    if resource == "leases" {
        return None;
    }
    if let Some(part) = target["subresource"].as_str() {
        resource = format!("{resource}/{part}");
    }
    Some(Write {
        verb: text(&event["verb"]),
        resource,
        object: format!("{}/{}", text(&target["namespace"]), text(&target["name"])),
    })
}

fn access(server: &str, authority: &Path, token: &str) -> Value {
    json!({
        "apiVersion": "v1", "kind": "Config", "current-context": "bench",
        "clusters": [{
            "name": "bench", "cluster": { "server": server, "certificate-authority": authority },
        }],
        "users": [{ "name": "operator", "user": { "token": token } }],
        "contexts": [{
            "name": "bench",
            "context": { "cluster": "bench", "user": "operator", "namespace": OPERATOR_NAMESPACE },
        }],
    })
}

/// The namespace of a resource.
pub fn namespace_of(number: u32) -> String {
    format!("bench-{}", number / PER_NAMESPACE)
}

/// The name of a resource.
pub fn name_of(number: u32) -> String {
    format!("chat-{number}")
}

fn resource(number: u32, ceiling: u32) -> Value {
    json!({
        "apiVersion": "chatbot.dev/v1alpha1", "kind": "ChatBotCluster",
        "metadata": { "name": name_of(number), "namespace": namespace_of(number) },
        "spec": {
            "channels": [{ "name": "web", "webChat": {} }],
            "conversation": { "systemPrompt": "You are a friendly assistant. Answer briefly." },
            "messaging": { "kafka": { "bootstrapServers": ["kafka.example.com:9092"] } },
            "state": { "redis": { "addresses": ["redis.example.com:6379"] } },
            "adapters": { "autoscaling": { "minReplicas": 1, "maxReplicas": 2 } },
            "workers": { "autoscaling": { "minReplicas": 1, "maxReplicas": 2 } },
            "inference": {
                "model": { "source": { "persistentVolumeClaim": { "claimName": "models", "path": "model-q8_0.gguf" } } },
                "nodeCapacity": { "cpu": 4, "memory": "16Gi" },
                "autoscaling": { "minReplicas": 1, "maxReplicas": ceiling },
            },
        },
    })
}

/// Whether a resource is as it is wanted, and answers.
pub fn is_settled(resource: &Value) -> bool {
    let generation = &resource["metadata"]["generation"];
    let conditions = resource["status"]["conditions"].as_array();
    generation.is_number()
        && conditions.into_iter().flatten().any(|condition| {
            condition["type"] == "Ready"
                && condition["status"] == "True"
                && condition["observedGeneration"] == *generation
        })
}

/// Where resources are.
pub const RESOURCES: &str = "/apis/chatbot.dev/v1alpha1/chatbotclusters";

/// The conditions of the first resource that is not settled, for whoever has to find out why.
pub fn why_not(api: &Api) -> Result<String> {
    let list = api.get(RESOURCES)?;
    let items = list["items"].as_array();
    let Some(late) = items.into_iter().flatten().find(|item| !is_settled(item)) else {
        bail!("all are settled");
    };
    let conditions = late["status"]["conditions"].as_array();
    let told: Vec<String> = conditions
        .into_iter()
        .flatten()
        .map(|condition| {
            format!(
                "{}={} {}: {}",
                condition["type"], condition["status"], condition["reason"], condition["message"]
            )
        })
        .collect();
    Ok(format!(
        "{}: {}",
        late["metadata"]["name"],
        told.join("\n  ")
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_lease_is_no_write_and_an_event_is() {
        let line = |resource: &str| {
            json!({
                "verb": "patch",
                "objectRef": { "resource": resource, "namespace": "a", "name": "b", "subresource": "status" },
            })
            .to_string()
        };
        assert_eq!(write(&line("leases")), None);
        assert_eq!(write(&line("events")).unwrap().resource, "events/status");
        assert_eq!(write(&line("events")).unwrap().object, "a/b");
        assert_eq!(write("half a li"), None);
    }

    #[test]
    fn a_resource_is_settled_when_ready_speaks_of_its_generation() {
        let at = |generation: u32, observed: u32, status: &str| {
            is_settled(&json!({
                "metadata": { "generation": generation },
                "status": { "conditions": [
                    { "type": "Available", "status": "True", "observedGeneration": generation },
                    { "type": "Ready", "status": status, "observedGeneration": observed },
                ] },
            }))
        };
        assert!(at(2, 2, "True"));
        assert!(!at(2, 1, "True"));
        assert!(!at(2, 2, "False"));
        assert!(!is_settled(&json!({})));
    }
}
