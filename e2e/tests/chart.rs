//! The chart, without a cluster: what it renders, and what it refuses.
#![allow(clippy::unwrap_used)] // A step of a scenario fails as the scenario does.

use std::process::Command;

use chatbot_e2e::places::Places;
use chatbot_e2e::{command, go_build};
use serde_json::Value;

/// What has no default.
const IMAGES: [&str; 4] = [
    "--set",
    "image.operator.repository=example.com/team/operator",
    "--set",
    "image.chatbot.repository=example.com/team/chatbot",
];

fn file(path: &str) -> String {
    let path = Places::find().unwrap().repository.join(path);
    std::fs::read_to_string(path).unwrap()
}

fn values() -> Value {
    serde_yaml::from_str(&file("charts/chatbot-operator/values.yaml")).unwrap()
}

fn schema() -> Value {
    serde_json::from_str(&file("charts/chatbot-operator/values.schema.json")).unwrap()
}

/// Every object that the chart makes with these arguments.
fn render(arguments: &[&str]) -> anyhow::Result<Vec<Value>> {
    render_as("chatbot-operator", arguments)
}

fn render_as(release: &str, arguments: &[&str]) -> anyhow::Result<Vec<Value>> {
    let places = Places::find()?;
    let mut helm = Command::new(go_build::folder(&places)?.join("helm"));
    helm.args(["template", release, "--namespace", "system"])
        .args(["--kube-version", "1.35.0"])
        .arg(places.repository.join("charts/chatbot-operator"))
        .args(IMAGES)
        .args(arguments);
    let text = command::output(&mut helm)?;
    let documents = serde_yaml::Deserializer::from_str(&text);
    let documents = documents.map(serde::Deserialize::deserialize);
    let documents: Vec<Value> = documents.collect::<Result<_, _>>()?;
    Ok(documents
        .into_iter()
        .filter(|document| !document.is_null())
        .collect())
}

fn of_kind<'a>(objects: &'a [Value], kind: &str) -> Vec<&'a Value> {
    let found = objects.iter().filter(|object| object["kind"] == kind);
    found.collect()
}

/// Every pod, and every template of one.
fn pods(objects: &[Value]) -> Vec<&Value> {
    let templates = of_kind(objects, "Deployment").into_iter();
    let templates = templates.map(|deployment| &deployment["spec"]["template"]["spec"]);
    let pods = of_kind(objects, "Pod").into_iter().map(|pod| &pod["spec"]);
    templates.chain(pods).collect()
}

fn environment<'a>(pod: &'a Value, name: &str) -> Option<&'a Value> {
    let variables = pod["containers"][0]["env"].as_array().into_iter().flatten();
    let mut variables = variables.filter(|variable| variable["name"] == name);
    variables.next().map(|variable| &variable["value"])
}

#[test]
fn every_value_is_described_and_nothing_else_is_let_in() {
    fn walk(path: &str, schema: &Value, faults: &mut Vec<String>) {
        if schema["description"].as_str().is_none_or(str::is_empty) && !path.is_empty() {
            faults.push(format!("{path}: no description"));
        }
        if let Some(properties) = schema["properties"].as_object() {
            if schema["additionalProperties"] != false {
                faults.push(format!("{path}: anything is let in"));
            }
            for (name, property) in properties {
                walk(&format!("{path}.{name}"), property, faults);
            }
        }
        if !schema["items"].is_null() {
            walk(&format!("{path}[]"), &schema["items"], faults);
        }
    }
    let mut faults = Vec::new();
    walk("", &schema(), &mut faults);
    assert!(faults.is_empty(), "{faults:#?}");
}

#[test]
fn the_schema_and_the_values_have_the_same_names() {
    fn walk(path: &str, value: &Value, schema: &Value, faults: &mut Vec<String>) {
        let (Some(values), Some(known)) = (value.as_object(), schema["properties"].as_object())
        else {
            return;
        };
        for name in known.keys().filter(|name| *name != "global") {
            match values.get(name) {
                Some(value) => walk(&format!("{path}.{name}"), value, &known[name], faults),
                // Freely named ones, such as resources.requests, need no default.
                None => faults.push(format!("{path}.{name}: not among the values")),
            }
        }
        for name in values.keys().filter(|name| !known.contains_key(*name)) {
            faults.push(format!("{path}.{name}: not in the schema"));
        }
    }
    let mut faults = Vec::new();
    walk("", &values(), &schema(), &mut faults);
    assert!(faults.is_empty(), "{faults:#?}");
}

#[test]
#[ignore = "needs helm: cargo e2e test"]
fn a_wrong_value_is_refused_by_its_name() {
    for (wrong, words) in [
        (
            "image.operatr=x",
            "at '/image': additional properties 'operatr' not allowed",
        ),
        (
            "priorityClass.name=x",
            "additional properties 'priorityClass' not allowed",
        ),
        (
            "image.pullPolicy=Sometimes",
            "at '/image/pullPolicy': value must be one of 'Always', 'IfNotPresent', 'Never'",
        ),
        (
            "image.operator.digest=sha256:12",
            "at '/image/operator/digest': 'sha256:12' does not match",
        ),
        ("concurrency=0", "at '/concurrency': minimum: got 0, want 1"),
        (
            "concurrency=many",
            "at '/concurrency': got string, want integer",
        ),
        (
            "resources.requests.cpu=true",
            "at '/resources/requests/cpu': got boolean",
        ),
        (
            "tolerations[0].effect=Never",
            "at '/tolerations/0/effect': value must be one of",
        ),
        (
            "image.operator.repository=example.com/operator:1",
            "must have no tag and no digest; they are image.operator.tag and image.operator.digest",
        ),
        (
            "image.chatbot.repository=",
            "image.chatbot.repository must be set, such as registry.example.com/team/chatbot",
        ),
        (
            "priorityClasses.training.value=2000000",
            "production (1000000) must be above placeholders (-3), and placeholders above training (2000000)",
        ),
        (
            "priorityClasses.training.name=",
            "priorityClasses.training.name must be set, or priorityClasses.create be false",
        ),
        (
            "log=verbose",
            "log=verbose: must be error, warn, info, debug, trace or off",
        ),
        (
            "log=chatbot=loud",
            "must be error, warn, info, debug, trace or off, also by module",
        ),
        (
            "resources.limits.cpu=abc",
            "resources.limits.cpu=abc: must be a quantity such as 500m, 2 or 256Mi",
        ),
        (
            "image.operator.repository=example.com/Team/operator",
            "image.operator.repository=example.com/Team/operator: must be a name such as",
        ),
        (
            "priorityClasses.training.name=chatbot-production",
            "priorityClasses.training.name=chatbot-production: must not be that of priorityClasses.production",
        ),
        (
            "priorityClasses.production.name=system-node-critical",
            "priorityClasses.production.name=system-node-critical: must not start with system-",
        ),
        (
            "nodeSelector.a b=c",
            "nodeSelector: \"a b\" is no label's key",
        ),
        (
            "nodeSelector.disk=a b",
            "nodeSelector.disk=\"a b\": must be a label's value",
        ),
        ("crds=null", "missing property 'crds'"),
        ("development=null", "missing property 'development'"),
        (
            "development.broker=null",
            "at '/development': missing property 'broker'",
        ),
        (
            "priorityClasses.production=null",
            "at '/priorityClasses': missing property 'production'",
        ),
        (
            "image.chatbot=null",
            "at '/image': missing property 'chatbot'",
        ),
        (
            "leaderElection.namespace=Kube_System",
            "at '/leaderElection/namespace': 'Kube_System' does not match",
        ),
    ] {
        refuses(wrong, words);
    }
}

fn refuses(wrong: &str, words: &str) {
    let said = render(&["--set", wrong])
        .err()
        .map(|refused| format!("{refused:#}"))
        .unwrap_or_default();
    assert!(
        said.contains(words),
        "{wrong} should say: {words}\nsaid: {said}"
    );
}

#[test]
#[ignore = "needs helm: cargo e2e test"]
fn what_no_pod_can_have_is_refused_by_its_name() {
    for (wrong, words) in [
        (
            "priorityClasses.production.name=a..b",
            "at '/priorityClasses/production/name': 'a..b' does not match",
        ),
        (
            "imagePullSecrets[0].name=Foo_",
            "at '/imagePullSecrets/0/name': 'Foo_' does not match",
        ),
        (
            "tolerations[0].operator=Exists,tolerations[0].value=x",
            "tolerations[0].value=x: must not be set when operator is Exists",
        ),
        (
            "tolerations[0].value=x",
            "tolerations[0].key must be set, or operator be Exists",
        ),
        (
            "tolerations[0].key=a,tolerations[0].tolerationSeconds=3",
            "tolerations[0].tolerationSeconds=3: must not be set unless effect is NoExecute",
        ),
        (
            "resources.requests.memory=1Gi",
            "resources.requests.memory=1Gi: must be at most resources.limits.memory (512Mi)",
        ),
        (
            "resources.requests.foo=1",
            "at '/resources/requests': additional properties 'foo' not allowed",
        ),
        (
            "tolerations[0].key=a b",
            "at '/tolerations/0/key': 'a b' does not match",
        ),
        (
            "development.store.image=x:y:z",
            "at '/development/store/image': 'x:y:z' does not match",
        ),
        (
            "resources.limits.cpu=49m",
            "resources.requests.cpu=50m: must be at most resources.limits.cpu (49m)",
        ),
    ] {
        refuses(wrong, words);
    }
}

#[test]
#[ignore = "needs helm: cargo e2e test"]
fn whatever_may_be_right_is_let_in() {
    for right in [
        "log=off",
        "log=chatbot_operator=debug\\,info",
        "resources.limits.cpu=1.5",
        "resources.limits.cpu=2",
        "resources.requests.cpu=500m",
        "image.operator.repository=localhost:5000/a/b_c-d",
        "image.operator.repository=[fd00::1]:5000/operator",
        "image.operator.repository=operator",
        "nodeSelector.example\\.com/disk=ssd",
        "nodeSelector=null",
        "tolerations=null",
        "resources.limits=null",
        "resources.limits.memory=64Mi",
        "resources.limits.memory=67108864",
        "tolerations[0].operator=Exists",
        "tolerations[0].key=a,tolerations[0].effect=NoExecute,tolerations[0].tolerationSeconds=3",
        // Those are there in every cluster.
        "priorityClasses.create=false,priorityClasses.production.name=system-cluster-critical",
    ] {
        assert!(render(&["--set", right]).is_ok(), "{right}");
    }
}

#[test]
#[ignore = "needs helm: cargo e2e test"]
fn a_release_with_a_dot_in_its_name_has_a_service() {
    let objects = render_as("team.a", &[]).unwrap();
    let service = &of_kind(&objects, "Service")[0]["metadata"]["name"];
    assert_eq!(*service, "team-a-chatbot-operator-metrics");
}

#[test]
#[ignore = "needs helm: cargo e2e test"]
fn the_lease_is_one_for_all_installations_and_the_only_right_there() {
    let objects = render(&["--set", "leaderElection.namespace=shared"]).unwrap();
    let pod = pods(&objects)[0];
    assert_eq!(
        environment(pod, "CHATBOT_LEASE_NAMESPACE").unwrap(),
        "shared"
    );
    let roles = of_kind(&objects, "Role");
    let mut of_lease = roles
        .iter()
        .filter(|role| role["metadata"]["namespace"] == "shared");
    let role = of_lease.next().unwrap();
    assert!(of_lease.next().is_none());
    assert_eq!(role["rules"].as_array().unwrap().len(), 1);
    assert_eq!(role["rules"][0]["resourceNames"][0], "chatbot-operator");
    let bindings = of_kind(&objects, "RoleBinding");
    let binding = bindings
        .iter()
        .find(|binding| binding["metadata"]["namespace"] == "shared");
    assert_eq!(binding.unwrap()["subjects"][0]["namespace"], "system");
    let usual = render(&[]).unwrap();
    let pod = pods(&usual)[0];
    assert_eq!(
        environment(pod, "CHATBOT_LEASE_NAMESPACE").unwrap(),
        "kube-system"
    );
}

#[test]
#[ignore = "needs helm: cargo e2e test"]
fn a_digest_is_taken_before_a_tag_and_a_port_is_no_tag() {
    let digest = format!("sha256:{}", "0f".repeat(32));
    let set = format!(
        "image.operator.repository=localhost:5000/operator,image.operator.tag=1,image.operator.digest={digest}"
    );
    let objects = render(&["--set-string", &set]).unwrap();
    let wanted = format!("localhost:5000/operator@{digest}");
    for pod in pods(&objects) {
        assert_eq!(pod["containers"][0]["image"], wanted);
    }
    let chatbot = pods(&objects)
        .into_iter()
        .find_map(|pod| environment(pod, "CHATBOT_IMAGE"));
    let chart: Value = serde_yaml::from_str(&file("charts/chatbot-operator/Chart.yaml")).unwrap();
    let version = chart["appVersion"].as_str().unwrap();
    assert_eq!(
        *chatbot.unwrap(),
        format!("example.com/team/chatbot:{version}")
    );
}

#[test]
#[ignore = "needs helm: cargo e2e test"]
fn every_pod_keeps_to_the_restricted_standard_and_cannot_write_its_root() {
    let objects = render(&[]).unwrap();
    let pods = pods(&objects);
    assert_eq!(pods.len(), 2);
    for pod in pods {
        assert_eq!(pod["securityContext"]["runAsNonRoot"], true);
        assert_eq!(
            pod["securityContext"]["seccompProfile"]["type"],
            "RuntimeDefault"
        );
        let container = &pod["containers"][0];
        let security = &container["securityContext"];
        assert_eq!(security["readOnlyRootFilesystem"], true);
        assert_eq!(security["allowPrivilegeEscalation"], false);
        assert_eq!(security["capabilities"]["drop"][0], "ALL");
        assert!(!container["resources"]["limits"]["memory"].is_null());
        assert!(pod["volumes"].is_null() && pod["hostNetwork"].is_null());
    }
}

#[test]
#[ignore = "needs helm: cargo e2e test"]
fn production_comes_before_placeholders_and_placeholders_before_training() {
    let objects = render(&[]).unwrap();
    let classes = of_kind(&objects, "PriorityClass");
    let told: Vec<_> = classes
        .iter()
        .map(|class| {
            let name = class["metadata"]["name"].as_str().unwrap();
            (
                name,
                class["value"].as_i64().unwrap(),
                &class["preemptionPolicy"],
            )
        })
        .collect();
    assert_eq!(
        told,
        [
            ("chatbot-production", 1_000_000, &Value::Null),
            ("chatbot-standby", -3, &Value::from("Never")),
            ("chatbot-training", -5, &Value::Null),
        ]
    );
    // Pods outlive an uninstall, and need their class.
    for class in classes {
        let kept = &class["metadata"]["annotations"]["helm.sh/resource-policy"];
        assert_eq!(kept, "keep");
    }
    let operator = pods(&objects)[0];
    assert_eq!(operator["priorityClassName"], "chatbot-production");
    assert_eq!(
        environment(operator, "CHATBOT_PRIORITY_CLASS").unwrap(),
        "chatbot-production"
    );
}

#[test]
#[ignore = "needs helm: cargo e2e test"]
fn without_a_class_of_production_no_pod_has_one() {
    let objects = render(&[
        "--set",
        "priorityClasses.create=false,priorityClasses.production.name=",
    ]);
    let objects = objects.unwrap();
    assert!(of_kind(&objects, "PriorityClass").is_empty());
    for pod in pods(&objects) {
        assert!(pod["priorityClassName"].is_null());
        assert_eq!(environment(pod, "CHATBOT_PRIORITY_CLASS"), None);
    }
}

#[test]
#[ignore = "needs helm: cargo e2e test"]
fn the_definition_is_the_one_beside_the_code_and_outlives_the_chart() {
    let objects = render(&[]).unwrap();
    let mut definition = of_kind(&objects, "CustomResourceDefinition")[0].clone();
    let annotations = definition["metadata"]
        .as_object_mut()
        .unwrap()
        .remove("annotations");
    assert_eq!(annotations.unwrap()["helm.sh/resource-policy"], "keep");
    let committed: Value = serde_yaml::from_str(&file("crds/chatbotclusters.yaml")).unwrap();
    assert!(definition == committed, "they differ: run `cargo generate`");
    let without = render(&["--set", "crds.install=false"]).unwrap();
    assert!(of_kind(&without, "CustomResourceDefinition").is_empty());
}

#[test]
#[ignore = "needs helm: cargo e2e test"]
fn a_second_operator_waits_on_another_node_and_a_drain_takes_one_at_a_time() {
    let one = render(&[]).unwrap();
    assert!(
        of_kind(&one, "PodDisruptionBudget").is_empty(),
        "a drain would wait for ever"
    );
    let two = render(&["--set", "replicas=2"]).unwrap();
    let deployment = of_kind(&two, "Deployment")[0];
    assert_eq!(deployment["spec"]["replicas"], 2);
    let spread = &pods(&two)[0]["topologySpreadConstraints"][0];
    let labels = &deployment["spec"]["selector"]["matchLabels"];
    assert_eq!(&spread["labelSelector"]["matchLabels"], labels);
    let budget = of_kind(&two, "PodDisruptionBudget")[0];
    assert_eq!(&budget["spec"]["selector"]["matchLabels"], labels);
    // Neither counts the pod of `helm test` as one of them.
    let check = of_kind(&two, "Pod")[0];
    let label = "app.kubernetes.io/name";
    assert_ne!(check["metadata"]["labels"][label], labels[label]);
}

#[test]
#[ignore = "needs helm: cargo e2e test"]
fn the_check_may_create_resources_in_its_own_namespace_and_nothing_else() {
    let objects = render(&[]).unwrap();
    let roles = of_kind(&objects, "Role");
    let check = roles
        .into_iter()
        .find(|role| role["metadata"]["annotations"]["helm.sh/hook"] == "test")
        .unwrap();
    let allowed = serde_json::json!([
        { "apiGroups": ["chatbot.dev"], "resources": ["chatbotclusters"], "verbs": ["create"] }
    ]);
    assert_eq!(check["rules"], allowed);
    for object in &objects {
        if object["metadata"]["annotations"]["helm.sh/hook"] == "test" {
            // With the pod, `helm test --logs` would lose what it is to show.
            let policy = match object["kind"].as_str() {
                Some("Pod") => "before-hook-creation",
                _ => "before-hook-creation,hook-succeeded",
            };
            let told = &object["metadata"]["annotations"]["helm.sh/hook-delete-policy"];
            assert_eq!(told, policy, "{}", object["kind"]);
        }
    }
}
