//! One `ChatBotCluster` in a scenario's namespace, as its user and an administrator see it.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};

use crate::command::{self, wait_until};
use crate::forward::Forward;
use crate::install::adapters_address;
use crate::model;
use crate::scenario::{Namespace, PATIENCE};

/// The resource's name, in a namespace of its own.
pub const NAME: &str = "chat";
/// Its parts, in the order of a message's way.
pub const COMPONENTS: [&str; 5] = ["adapters", "workers", "inference", "broker", "store"];
/// The name of its channel.
pub const CHANNEL: &str = "web";
/// The port of a pod that tells about it.
const ADMIN_PORT: u16 = 9090;

/// A resource on the cluster.
pub struct Resource {
    /// The namespace it is in.
    pub space: Namespace,
}

/// A pod of the resource.
#[derive(Clone, Debug)]
pub struct Pod {
    /// Its name.
    pub name: String,
    /// Its identity.
    pub uid: String,
    /// Where it runs; empty while it has no node.
    pub node: String,
    /// Its address; empty while it has none.
    pub address: String,
    /// Since when it is ready, in the API's notation; absent while it is not.
    pub ready_since: Option<String>,
    /// Whether it was told to go.
    pub leaving: bool,
    /// What tells one revision of its Deployment from another.
    pub template: String,
    /// Its container's id in the runtime.
    pub container: String,
    /// How often its container was started again.
    pub restarts: u64,
}

/// One of the resource's conditions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Condition {
    /// `True`, `False` or `Unknown`.
    pub status: String,
    /// Why, for programs.
    pub reason: String,
    /// Why, in words.
    pub message: String,
    /// The generation that it was said of.
    pub observed_generation: Option<u64>,
    /// When the status last changed, in the API's notation.
    pub since: String,
}

impl Resource {
    /// Applies a small resource, changed as `edit` says (a JSON merge patch), in a namespace with the model's claim.
    pub fn apply(space: Namespace, edit: &Value) -> Result<Self> {
        space.claim_models()?;
        Self::apply_unclaimed(space, edit)
    }

    /// As [`Self::apply`], without the claim.
    pub fn apply_unclaimed(space: Namespace, edit: &Value) -> Result<Self> {
        let mut resource = small();
        merge(&mut resource, edit);
        space.apply(&resource.to_string())?;
        Ok(Self { space })
    }

    /// Waits, as a user would, with `kubectl wait --for=condition=Ready`.
    pub fn wait_ready(&self, limit: Duration) -> Result<()> {
        let timeout = format!("--timeout={}s", limit.as_secs());
        let arguments = ["wait", "--for=condition=Ready", &timeout];
        self.kubectl(&arguments).map(drop)
    }

    /// Edits the spec (a JSON merge patch), and gives the generation that this made.
    pub fn edit(&self, patch: &Value) -> Result<u64> {
        let patch = patch.to_string();
        self.kubectl(&["patch", "--type=merge", "--patch", &patch])?;
        self.object()?["metadata"]["generation"]
            .as_u64()
            .context("the resource has no generation")
    }

    /// The resource as it is now.
    pub fn object(&self) -> Result<Value> {
        json_of(&self.kubectl(&["get", "--output=json"])?)
    }

    /// A condition; absent while the operator has not told it.
    pub fn condition(&self, kind: &str) -> Result<Option<Condition>> {
        let object = self.object()?;
        let conditions = object["status"]["conditions"].as_array();
        let found = conditions
            .into_iter()
            .flatten()
            .find(|found| found["type"] == kind);
        Ok(found.map(|found| Condition {
            status: text(&found["status"]),
            reason: text(&found["reason"]),
            message: text(&found["message"]),
            observed_generation: found["observedGeneration"].as_u64(),
            since: text(&found["lastTransitionTime"]),
        }))
    }

    /// Waits for a condition with this status and reason, whose message has every word that a person needs.
    pub fn wait_told(&self, [kind, status, reason]: [&str; 3], words: &[&str]) -> Result<()> {
        let what = format!("{kind}={status} {reason} with {words:?}");
        wait_until(&what, PATIENCE, || {
            let condition = self.condition(kind)?.context("it is not told yet")?;
            let is_said = condition.status == status && condition.reason == reason;
            let is_named = words.iter().all(|word| condition.message.contains(word));
            ensure!(is_said && is_named, "{condition:?}");
            Ok(true)
        })
    }

    /// A component's pods.
    pub fn pods(&self, component: &str) -> Result<Vec<Pod>> {
        let selector =
            format!("--selector=chatbot.dev/cluster={NAME},chatbot.dev/component={component}");
        let list = self
            .space
            .kubectl(&["get", "pods", &selector, "--output=json"])?;
        let list = json_of(&list)?;
        Ok(list["items"]
            .as_array()
            .into_iter()
            .flatten()
            .map(pod)
            .collect())
    }

    /// A pod that takes messages, and is ready.
    pub fn gateway(&self) -> Result<Pod> {
        self.ready("adapters")
    }

    /// A pod that answers messages, and is ready.
    pub fn worker(&self) -> Result<Pod> {
        self.ready("workers")
    }

    fn ready(&self, component: &str) -> Result<Pod> {
        let pods = self.pods(component)?;
        let ready = pods
            .into_iter()
            .find(|pod| pod.ready_since.is_some() && !pod.leaving);
        ready.with_context(|| format!("no pod of the {component} is ready"))
    }

    /// Waits until a component's pod is gone.
    pub fn wait_gone(&self, component: &str, pod: &Pod) -> Result<()> {
        wait_until("the old pod gone", PATIENCE, || {
            let pods = self.pods(component)?;
            Ok(pods.iter().all(|left| left.uid != pod.uid))
        })
    }

    /// An object of the resource's namespace by kind and name.
    pub fn child(&self, kind: &str, name: &str) -> Result<Value> {
        json_of(&self.space.kubectl(&["get", kind, name, "--output=json"])?)
    }

    /// The addresses at which the inference Service finds ready pods.
    pub fn endpoints(&self) -> Result<Vec<String>> {
        let selector = format!("--selector=kubernetes.io/service-name={NAME}-inference");
        let slices = self
            .space
            .kubectl(&["get", "endpointslices", &selector, "--output=json"])?;
        let slices = json_of(&slices)?;
        let slices = slices["items"].as_array().into_iter().flatten();
        let endpoints =
            slices.flat_map(|slice| slice["endpoints"].as_array().into_iter().flatten());
        Ok(endpoints
            .filter(|endpoint| endpoint["conditions"]["ready"] == true)
            .map(|endpoint| text(&endpoint["addresses"][0]))
            .collect())
    }

    /// What a pod tells of itself at a path of its port for administrators.
    pub fn look(&self, pod: &Pod, path: &str) -> Result<String> {
        let raw = format!(
            "/api/v1/namespaces/{}/pods/{}:{ADMIN_PORT}/proxy/{path}",
            self.space.name, pod.name
        );
        self.space.kubectl(&["get", "--raw", &raw])
    }

    /// One of a pod's figures, by its metric's name.
    pub fn figure(&self, pod: &Pod, metric: &str) -> Result<u64> {
        let metrics = self.look(pod, "metrics")?;
        let line = metrics.lines().find_map(|line| line.strip_prefix(metric));
        let value = line.and_then(|rest| rest.trim().parse().ok());
        value.with_context(|| format!("pod {} does not tell {metric}:\n{metrics}", pod.name))
    }

    /// How many requests an instance is answering.
    pub fn requests_in_work(&self, pod: &Pod) -> Result<u64> {
        self.figure(pod, "chatbot_inference_running")
    }

    /// How often a question had to be put to another instance, since the worker has been running.
    pub fn retries(&self) -> Result<u64> {
        self.figure(&self.worker()?, "chatbot_worker_retries_total")
    }

    /// A port of this machine that leads to the web chat by way of the node that its pod is on, so that no other
    /// node's failure breaks it.
    pub fn open(&self) -> Result<Forward> {
        let gateway = self.gateway()?;
        let nodes = self.space.cluster.nodes();
        let node = nodes.iter().find(|node| node.name() == gateway.node);
        let node = node.with_context(|| format!("there is no node {}", gateway.node))?;
        let target = adapters_address(&self.space.cluster, &self.space.name, NAME)?;
        let any = SocketAddr::from(([127, 0, 0, 1], 0));
        Forward::open(any, vec![node.network_namespace()], target)
    }

    /// Ends a pod's process as the kernel does that has no memory left.
    pub fn kill_process(&self, pod: &Pod) -> Result<()> {
        let cluster = &self.space.cluster;
        let node = cluster
            .nodes()
            .into_iter()
            .find(|node| node.name() == pod.node);
        let node = node.with_context(|| format!("there is no node {}", pod.node))?;
        let mut kill = node.inside(&cluster.places)?;
        kill.args([
            "ctr",
            "--address=/run/containerd/containerd.sock",
            "--namespace=k8s.io",
        ]);
        kill.args(["tasks", "kill", "--signal=SIGKILL", &pod.container]);
        command::output(&mut kill).map(drop)
    }

    /// Waits until the fewest instances that were asked for are ready, and no more.
    pub fn wait_replicas(&self, what: &str, accept: impl Fn(usize) -> bool) -> Result<()> {
        wait_until(what, 2 * PATIENCE, || {
            let pods = self.pods("inference")?;
            let staying: Vec<&Pod> = pods.iter().filter(|pod| !pod.leaving).collect();
            Ok(staying.iter().all(|pod| pod.ready_since.is_some()) && accept(staying.len()))
        })
    }

    fn kubectl(&self, arguments: &[&str]) -> Result<String> {
        let (verb, rest) = arguments.split_first().context("no verb")?;
        let name = format!("chatbotcluster/{NAME}");
        self.space
            .kubectl(&[&[*verb, name.as_str()], rest].concat())
    }
}

/// Small enough that several of them fit on a machine with two CPUs.
fn small() -> Value {
    json!({
        "apiVersion": "chatbot.dev/v1alpha1",
        "kind": "ChatBotCluster",
        "metadata": { "name": NAME },
        "spec": {
            "channels": [{ "name": CHANNEL, "webChat": {} }],
            "conversation": {
                "systemPrompt": "You are a friendly assistant.",
                "maxAnswerTokens": 48,
                "historyTurns": 2,
                "messagesPerUserPerMinute": 0,
            },
            "adapters": { "autoscaling": { "minReplicas": 1, "maxReplicas": 2 } },
            "workers": { "autoscaling": { "minReplicas": 1, "maxReplicas": 2 } },
            // Whoever asks is to hear the model.
            "cache": { "answers": { "ttl": "0s" }, "results": { "maxMemory": 0 } },
            "inference": {
                "model": { "source": { "persistentVolumeClaim": { "claimName": "models", "path": model::FILE } } },
                "contextTokens": 2048,
                "maxConcurrentRequests": 4,
                "nodeCapacity": { "cpu": 1, "memory": "4Gi" },
                "autoscaling": { "minReplicas": 2, "maxReplicas": 4 },
            },
        },
    })
}

/// A JSON merge patch (RFC 7386).
fn merge(target: &mut Value, patch: &Value) {
    let (Value::Object(target), Value::Object(patch)) = (&mut *target, patch) else {
        target.clone_from(patch);
        return;
    };
    for (key, value) in patch {
        if value.is_null() {
            target.remove(key);
        } else {
            merge(target.entry(key).or_insert(Value::Null), value);
        }
    }
}

fn pod(pod: &Value) -> Pod {
    let conditions = pod["status"]["conditions"].as_array();
    let ready = conditions
        .into_iter()
        .flatten()
        .find(|condition| condition["type"] == "Ready" && condition["status"] == "True");
    let container = &pod["status"]["containerStatuses"][0];
    let id = text(&container["containerID"]);
    Pod {
        name: text(&pod["metadata"]["name"]),
        uid: text(&pod["metadata"]["uid"]),
        node: text(&pod["spec"]["nodeName"]),
        address: text(&pod["status"]["podIP"]),
        ready_since: ready.map(|ready| text(&ready["lastTransitionTime"])),
        leaving: !pod["metadata"]["deletionTimestamp"].is_null(),
        template: text(&pod["metadata"]["labels"]["pod-template-hash"]),
        container: id
            .strip_prefix("containerd://")
            .unwrap_or_default()
            .to_owned(),
        restarts: container["restartCount"].as_u64().unwrap_or(0),
    }
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

fn json_of(text: &str) -> Result<Value> {
    serde_json::from_str(text).context("failed to read what kubectl printed as JSON")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_edit_changes_what_it_names_and_nothing_else() {
        let mut resource = small();
        merge(
            &mut resource,
            &json!({ "spec": { "conversation": { "maxAnswerTokens": 400, "historyTurns": null } } }),
        );
        let conversation = &resource["spec"]["conversation"];
        assert_eq!(conversation["maxAnswerTokens"], 400);
        assert_eq!(conversation.get("historyTurns"), None);
        assert_eq!(
            conversation["systemPrompt"],
            small()["spec"]["conversation"]["systemPrompt"]
        );
    }
}
