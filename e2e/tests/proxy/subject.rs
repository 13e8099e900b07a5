//! An operator behind the proxy, before a control plane alone: as the chart installs it, with no right but those.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use chatbot_e2e::command;
use chatbot_e2e::plane::Plane;
use chatbot_e2e::resource::{NAME, Resource};
use chatbot_e2e::scenario::wait_until;
use serde_json::{Value, json};

use super::Proxy;
use super::rules::Verb;

/// Where the chart is installed.
const SYSTEM: &str = "chatbot-system";
/// The chart's names for the operator and its service account.
const OPERATOR: &str = "chatbot-operator";
/// What the operator makes.
const KINDS: &str = "configmaps,services,networkpolicies,ingresses,poddisruptionbudgets,deployments,horizontalpodautoscalers";
/// Whatever is made without a node is made within this, on a machine that is busy with everything else.
pub const SOON: Duration = Duration::from_secs(90);

/// A control plane, and what an operator needs on it.
pub struct Installed {
    pub plane: Plane,
    pub proxy: Proxy,
}

/// A running operator.
pub struct Operator {
    process: Child,
    log: PathBuf,
}

impl Installed {
    pub fn new(seed: u64) -> Result<Self> {
        let plane = Plane::start()?;
        let repository = &plane.places.repository;
        let definition = repository.join("crds/chatbotclusters.yaml");
        plane.apply(&fs::read_to_string(definition)?)?;
        plane.apply(&format!(
            "apiVersion: v1\nkind: Namespace\nmetadata: {{ name: {SYSTEM} }}\n"
        ))?;
        let mut helm = Command::new(plane.places.programs().join("helm"));
        helm.args(["template", OPERATOR])
            .arg(repository.join("charts/chatbot-operator"))
            .args(["--namespace", SYSTEM, "--show-only", "templates/rbac.yaml"])
            .args(["--kube-version", "1.35"])
            .args(["--set", "image.operator.repository=none"])
            .args(["--set", "image.chatbot.repository=none"]);
        plane.apply(&command::output(&mut helm)?)?;
        let mut established = plane.kubectl();
        established.args(["wait", "--for=condition=Established", "--timeout=60s"]);
        established.arg("customresourcedefinition/chatbotclusters.chatbot.dev");
        command::output(&mut established)?;
        let kubeconfig = service_account(&plane)?;
        let proxy = Proxy::start(&kubeconfig, seed)?;
        Ok(Self { plane, proxy })
    }

    /// Starts an operator that lists everything anew after so many seconds.
    pub fn operator(&self, relist_seconds: u64) -> Result<Operator> {
        let places = &self.plane.places;
        let kubeconfig = places.state.join("operator.kubeconfig");
        let server = format!("http://{}", self.proxy.address());
        let config = json!({
            "apiVersion": "v1", "kind": "Config", "current-context": "proxy",
            "clusters": [{ "name": "proxy", "cluster": { "server": server } }],
            "contexts": [{ "name": "proxy",
                "context": { "cluster": "proxy", "user": "nobody", "namespace": SYSTEM } }],
            "users": [{ "name": "nobody", "user": {} }],
        });
        fs::write(&kubeconfig, config.to_string())?;
        let log = places.logs().join("operator.log");
        let output = File::options().create(true).append(true).open(&log)?;
        let program = places.binaries.join(OPERATOR);
        let process = Command::new("setpriv")
            .args(["--pdeathsig", "KILL"])
            .arg(&program)
            .args(["--image", "localhost/chatbot:test"])
            .args(["--metrics-address", "127.0.0.1:0"])
            .args(["--relist-seconds", &relist_seconds.to_string()])
            .env("KUBECONFIG", &kubeconfig)
            .env("POD_NAME", "operator")
            .env("POD_NAMESPACE", SYSTEM)
            .stdin(Stdio::null())
            .stdout(output.try_clone()?)
            .stderr(output)
            .spawn()
            .with_context(|| format!("failed to start {}", program.display()))?;
        Ok(Operator { process, log })
    }

    /// A resource in a namespace of its own.
    pub fn resource(&self, namespace: &str) -> Result<Resource> {
        let space = self.plane.namespace(namespace)?;
        space.claim_models()?;
        // Otherwise what is said of it differs for as long as nobody has bound it.
        let bound = "--for=jsonpath={.status.phase}=Bound";
        space.kubectl(&[
            "wait",
            bound,
            "--timeout=90s",
            "persistentvolumeclaim/models",
        ])?;
        Resource::apply_unclaimed(space, &json!({}))
    }
}

/// A kubeconfig with the rights that the chart gives the operator, and no others.
fn service_account(plane: &Plane) -> Result<PathBuf> {
    let mut token = plane.kubectl();
    token.args(["create", "token", OPERATOR, "--namespace", SYSTEM]);
    let token = command::output(&mut token)?;
    let certificate = plane.places.pki().join("ca.crt");
    let config = json!({
        "apiVersion": "v1", "kind": "Config", "current-context": "plane",
        "clusters": [{ "name": "plane", "cluster": {
            "server": format!("https://{}", plane.address()), "certificate-authority": certificate,
        } }],
        "contexts": [{ "name": "plane", "context": { "cluster": "plane", "user": OPERATOR } }],
        "users": [{ "name": OPERATOR, "user": { "token": token.trim() } }],
    });
    let file = plane.places.state.join("service-account.kubeconfig");
    fs::write(&file, config.to_string())?;
    Ok(file)
}

impl Operator {
    /// Everything that it has logged.
    pub fn log(&self) -> Result<String> {
        Ok(fs::read_to_string(&self.log)?)
    }

    /// Fails when it has ended, or has panicked.
    pub fn check(&mut self) -> Result<()> {
        let ended = self.process.try_wait()?;
        let log = self.log()?;
        ensure!(ended.is_none(), "the operator ended: {ended:?}\n{log}");
        ensure!(!log.contains("panicked"), "the operator panicked:\n{log}");
        Ok(())
    }
}

impl Drop for Operator {
    fn drop(&mut self) {
        let _ = self.process.kill(); // it may have ended
        let _ = self.process.wait();
        if std::thread::panicking() {
            let log = fs::read_to_string(&self.log).unwrap_or_default();
            let lines: Vec<&str> = log.lines().collect();
            let last = &lines[lines.len().saturating_sub(60)..];
            eprintln!("==== the operator's last words\n{}", last.join("\n"));
        }
    }
}

/// What there is of a resource and what is said of it, in the same words whenever and wherever it was made.
pub fn state(resource: &Resource) -> Result<Value> {
    let space = &resource.space;
    let selector = format!("--selector=chatbot.dev/cluster={NAME}");
    let list = space.kubectl(&["get", KINDS, &selector, "--output=json"])?;
    let list: Value = serde_json::from_str(&list)?;
    let object = resource.object()?;
    let mut names = BTreeMap::from([(space.name.clone(), "NAMESPACE".to_owned())]);
    let mut children = Vec::new();
    for item in list["items"].as_array().into_iter().flatten() {
        let name = item["metadata"]["name"].as_str().unwrap_or_default();
        if let (Some("ConfigMap"), Some((start, _))) =
            (item["kind"].as_str(), name.rsplit_once('-'))
            && !name.ends_with("-memory")
        {
            names.insert(name.to_owned(), format!("{start}-HASH"));
        }
        children.push(child(item));
    }
    let mut status = object["status"].clone();
    status["observedGeneration"].take();
    for part in ["conditions", "channels"] {
        for entry in status[part].as_array_mut().into_iter().flatten() {
            entry["lastTransitionTime"].take();
            entry["observedGeneration"].take();
        }
    }
    // Whether there are figures to scale by is not the operator's doing.
    if let Some(conditions) = status["conditions"].as_array_mut() {
        conditions.retain(|condition| condition["type"] != "ScalingActive");
    }
    let placed = |of: &Value| -> Result<Value> {
        let mut text = of.to_string();
        for (name, place) in &names {
            text = replaced(&text, name, place);
        }
        Ok(serde_json::from_str(&text)?)
    };
    let mut children: Vec<Value> = children.iter().map(placed).collect::<Result<_>>()?;
    children.sort_by_key(Value::to_string);
    Ok(json!({ "children": children, "status": placed(&status)? }))
}

/// A text with one name in place of another; what merely contains it, as `threads` contains `reads`, is not it.
fn replaced(text: &str, name: &str, place: &str) -> String {
    let inside = |letter: char| letter.is_alphanumeric() || letter == '-';
    let (mut done, mut rest) = (String::new(), text);
    while let Some((before, after)) = rest.split_once(name) {
        done.push_str(before);
        let whole = !done.ends_with(inside) && !after.starts_with(inside);
        done.push_str(if whole { place } else { name });
        rest = after;
    }
    done + rest
}

/// A child without what is different each time it is made, and without what others write.
fn child(item: &Value) -> Value {
    let metadata = &item["metadata"];
    let mut spec = item["spec"].clone();
    if item["kind"] == "Service" {
        for field in ["clusterIP", "clusterIPs"] {
            spec[field].take();
        }
    }
    let mut annotations = metadata["annotations"].clone();
    annotations["chatbot.dev/hash"].take();
    annotations["deployment.kubernetes.io/revision"].take();
    annotations["example.com/touched"].take();
    if let Some(template) = spec.pointer_mut("/template/metadata/annotations") {
        template["chatbot.dev/revision"].take();
    }
    let owners = metadata["ownerReferences"].as_array();
    let owners = owners
        .into_iter()
        .flatten()
        .map(|owner| json!([owner["kind"], owner["name"], owner["controller"]]));
    let memory = metadata["name"] == format!("{NAME}-memory");
    json!({
        "kind": item["kind"],
        "metadata": {
            "name": metadata["name"], "labels": metadata["labels"], "annotations": annotations,
            "owners": owners.collect::<Vec<_>>(),
        },
        "spec": spec,
        "data": if memory { Value::Null } else { item["data"].clone() },
    })
}

/// Waits until a resource is as it is to be.
pub fn wait_for(what: &str, resource: &Resource, expected: &Value, limit: Duration) {
    let start = Instant::now();
    let outcome = wait_until(what, limit, || {
        let found = state(resource)?;
        ensure!(found == *expected, "{}", difference(expected, &found, ""));
        Ok(true)
    });
    if let Err(error) = outcome {
        panic!("{what}: {error:#}");
    }
    eprintln!("{what}: after {:.1} s", start.elapsed().as_secs_f32());
}

/// Waits until nothing changes any more, and gives what there is then.
pub fn settled(resource: &Resource) -> Result<Value> {
    let mut last = Value::Null;
    let mut same = 0;
    wait_until("a resource that changes no more", SOON, || {
        let found = state(resource)?;
        let kinds = |kind: &str| {
            let children = found["children"].as_array().into_iter().flatten();
            children.filter(|child| child["kind"] == kind).count()
        };
        same = if found == last { same + 1 } else { 0 };
        last = found.clone();
        Ok(same >= 4 && kinds("Deployment") == 5 && kinds("HorizontalPodAutoscaler") == 3)
    })?;
    Ok(last)
}

/// Where two differ.
fn difference(expected: &Value, found: &Value, path: &str) -> String {
    match (expected, found) {
        (Value::Object(one), Value::Object(other)) => one
            .keys()
            .chain(other.keys().filter(|key| !one.contains_key(*key)))
            .map(|key| difference(&expected[key], &found[key], &format!("{path}.{key}")))
            .collect(),
        (Value::Array(one), Value::Array(other)) if one.len() == other.len() => one
            .iter()
            .zip(other)
            .enumerate()
            .map(|(index, (one, other))| difference(one, other, &format!("{path}[{index}]")))
            .collect(),
        _ if expected == found => String::new(),
        _ => format!("\n{path}: expected {expected}, found {found}"),
    }
}

/// What the API server was asked to write in a namespace, in order, with its answer.
pub fn writes(proxy: &Proxy, resource: &Resource, since: Instant) -> Vec<String> {
    let records = proxy.records(&resource.space.name, since);
    let writes = records.iter();
    writes
        .filter(|record| record.asked.verb == Verb::Write && record.forwarded)
        .map(|record| {
            let after = record.at.duration_since(since).as_secs_f64();
            let code = record
                .code
                .map_or_else(|| "reset".into(), |code| code.to_string());
            format!("{after:.2} s {} {code}", record.asked.resource)
        })
        .collect()
}
