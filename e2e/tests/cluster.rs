//! The cluster itself: when these fail, no other scenario can be believed.
#![allow(clippy::unwrap_used)] // a scenario ends where something is not as it has to be

use chatbot_e2e::cluster::Node;
use chatbot_e2e::scenario::{self, Namespace, PATIENCE, wait_until};

/// A web server on every node, and a client.
fn serve(space: &Namespace) {
    let image = scenario::image(&space.cluster, "toolbox").unwrap().name;
    let nodes = space.cluster.nodes().len();
    let security = "securityContext: { allowPrivilegeEscalation: false, runAsNonRoot: true, \
                    capabilities: { drop: [ALL] }, seccompProfile: { type: RuntimeDefault } }";
    space
        .apply(&format!(
            "apiVersion: apps/v1
kind: Deployment
metadata: {{ name: web }}
spec:
  replicas: {nodes}
  selector: {{ matchLabels: {{ app: web }} }}
  template:
    metadata: {{ labels: {{ app: web }} }}
    spec:
      terminationGracePeriodSeconds: 1
      topologySpreadConstraints:
        - maxSkew: 1
          topologyKey: kubernetes.io/hostname
          whenUnsatisfiable: DoNotSchedule
          labelSelector: {{ matchLabels: {{ app: web }} }}
          matchLabelKeys: [pod-template-hash]
      containers:
        - name: web
          image: {image}
          imagePullPolicy: Never
          command: [sh, -c, 'mkdir /tmp/www; echo $NODE > /tmp/www/index.html; exec httpd -f -p 8080 -h /tmp/www']
          env: [{{ name: NODE, valueFrom: {{ fieldRef: {{ fieldPath: spec.nodeName }} }} }}]
          readinessProbe: {{ httpGet: {{ path: /, port: 8080 }}, periodSeconds: 1 }}
          {security}
---
apiVersion: v1
kind: Service
metadata: {{ name: web }}
spec: {{ selector: {{ app: web }}, ports: [{{ port: 80, targetPort: 8080 }}] }}
---
apiVersion: v1
kind: Pod
metadata: {{ name: client }}
spec:
  terminationGracePeriodSeconds: 1
  containers:
    - {{ name: client, image: '{image}', imagePullPolicy: Never, command: [sleep, '3600'], {security} }}
"
        ))
        .unwrap();
    space
        .kubectl(&["rollout", "status", "deployment/web", "--timeout=120s"])
        .unwrap();
    space
        .kubectl(&[
            "wait",
            "--for=condition=Ready",
            "pod/client",
            "--timeout=120s",
        ])
        .unwrap();
}

fn get(space: &Namespace, url: &str) -> anyhow::Result<String> {
    space.exec(
        "client",
        &[
            "curl",
            "--silent",
            "--show-error",
            "--fail",
            "--max-time",
            "5",
            url,
        ],
    )
}

#[test]
#[ignore = "needs the cluster: cargo e2e test"]
fn a_service_is_found_by_name_and_pods_are_reached_on_every_node() {
    let space = scenario::namespace("e2e-network").unwrap();
    serve(&space);
    wait_until("the service's name resolved", PATIENCE, || {
        get(&space, "http://web/").map(|_| true)
    })
    .unwrap();

    let addresses = "jsonpath={range .items[*]}{.spec.nodeName} {.status.podIP}{\"\\n\"}{end}";
    let pods = space
        .kubectl(&["get", "pods", "--selector=app=web", "--output", addresses])
        .unwrap();
    assert_eq!(pods.lines().count(), space.cluster.nodes().len());
    for line in pods.lines() {
        let (node, address) = line.split_once(' ').unwrap();
        assert_eq!(
            get(&space, &format!("http://{address}:8080/"))
                .unwrap()
                .trim(),
            node
        );
    }

    let outside = get(&space, "http://192.0.2.1/").unwrap_err().to_string();
    assert!(
        outside.contains("Failed to connect") || outside.contains("unreachable"),
        "{outside}"
    );

    let forward = space.forward("web").unwrap();
    let url = format!("http://{}/", forward.address());
    let mut curl = std::process::Command::new("curl");
    curl.args([
        "--silent",
        "--show-error",
        "--fail",
        "--max-time",
        "5",
        &url,
    ]);
    let answer = chatbot_e2e::command::output(&mut curl).unwrap();
    assert!(answer.starts_with("node"), "{answer}");
}

#[test]
#[ignore = "needs the cluster: cargo e2e test"]
fn every_node_is_ready_and_its_use_is_measured() {
    let cluster = scenario::cluster().unwrap();
    let names: Vec<String> = cluster.nodes().into_iter().map(Node::name).collect();
    let run = |arguments: &[&str]| chatbot_e2e::command::output(cluster.kubectl().args(arguments));
    run(&[
        "wait",
        "nodes",
        "--all",
        "--for=condition=Ready",
        "--timeout=60s",
    ])
    .unwrap();
    wait_until("every node's CPU use", PATIENCE, || {
        let top = run(&["top", "nodes", "--no-headers"])?;
        let measured = top.lines().filter(|line| !line.contains("<unknown>"));
        Ok(measured.count() == names.len())
    })
    .unwrap();
}

#[test]
#[ignore = "needs the cluster: cargo e2e test"]
fn a_pod_that_asks_for_privileges_is_refused() {
    let space = scenario::namespace("e2e-security").unwrap();
    let image = scenario::image(&space.cluster, "toolbox").unwrap().name;
    let refusal = space
        .kubectl(&["run", "root", "--image", &image, "--privileged"])
        .unwrap_err();
    assert!(
        refusal
            .to_string()
            .contains("violates PodSecurity \"restricted"),
        "{refusal}"
    );
}

/// Only with `cargo e2e test --all`.
mod long {
    use super::*;

    #[test]
    #[ignore = "needs the cluster: cargo e2e test --all"]
    fn pods_of_a_node_without_power_are_replaced_and_the_node_comes_back() {
        let space = scenario::namespace("e2e-power").unwrap();
        serve(&space);
        let client = space
            .kubectl(&["get", "pod", "client", "--output=jsonpath={.spec.nodeName}"])
            .unwrap();
        let nodes = space.cluster.nodes();
        let victim = nodes.iter().find(|node| node.name() != client).unwrap();

        let cut = scenario::cut_power(&space.cluster, victim.number()).unwrap();
        let node = format!("node/{}", victim.name());
        space
            .kubectl(&[
                "wait",
                &node,
                "--for=condition=Ready=Unknown",
                "--timeout=60s",
            ])
            .unwrap();
        wait_until("no request going to the dead node", PATIENCE, || {
            Ok((0..20).all(|_| get(&space, "http://web/").is_ok()))
        })
        .unwrap();

        cut.end().unwrap();
        space
            .kubectl(&["rollout", "status", "deployment/web", "--timeout=120s"])
            .unwrap();
    }
}
