//! A pod that takes the replies of a channel `webhook`, as a program of the user's own does.

use anyhow::{Context, Result};
use chatbot_e2e::scenario::{self, Namespace};
use serde_json::{Value, json};

/// Where the receiver keeps what it was sent.
const REPLIES: &str = "/tmp/replies";

/// A program that takes replies: one file for each id, so that a copy is one reply.
pub fn start(space: &Namespace) {
    let image = scenario::image(&space.cluster, "toolbox").unwrap().name;
    let script = format!(
        "mkdir -p /tmp/www/cgi-bin {REPLIES} && cd /tmp/www/cgi-bin && \
         printf '#!/bin/sh\\ncat > {REPLIES}/$HTTP_WEBHOOK_ID\\nprintf \"Status: 200 OK\\\\r\\\\n\\\\r\\\\n\"\\n' > reply && \
         chmod +x reply && exec httpd -f -p 8080 -h /tmp/www"
    );
    let restricted = json!({
        "allowPrivilegeEscalation": false, "runAsNonRoot": true, "runAsUser": 65532,
        "capabilities": { "drop": ["ALL"] }, "seccompProfile": { "type": "RuntimeDefault" },
    });
    let pod = json!({ "apiVersion": "v1", "kind": "Pod",
        "metadata": { "name": "receiver", "labels": { "app": "receiver" } },
        "spec": { "containers": [{
            "name": "receiver", "image": image, "securityContext": restricted,
            "command": ["sh", "-c", script],
            "readinessProbe": { "tcpSocket": { "port": 8080 }, "periodSeconds": 1 },
        }] },
    });
    let service = json!({ "apiVersion": "v1", "kind": "Service", "metadata": { "name": "receiver" },
        "spec": { "selector": { "app": "receiver" }, "ports": [{ "port": 8080 }] } });
    space.apply(&format!("{pod}\n---\n{service}")).unwrap();
    let ready = [
        "wait",
        "pod/receiver",
        "--for=condition=Ready",
        "--timeout=60s",
    ];
    space.kubectl(&ready).unwrap();
}

/// What the program was sent, each once.
pub fn replies(space: &Namespace) -> Result<Vec<Value>> {
    let all = format!("cat {REPLIES}/* 2>/dev/null || true");
    let text = space.exec("receiver", &["sh", "-c", &all])?;
    let replies = serde_json::Deserializer::from_str(&text).into_iter();
    replies.map(|reply| reply.context("no JSON")).collect()
}

/// Where the program takes them.
pub fn url(space: &Namespace) -> String {
    format!("http://receiver.{}.svc:8080/cgi-bin/reply", space.name)
}
