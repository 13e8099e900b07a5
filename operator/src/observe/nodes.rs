//! What the nodes have, looked up only while that is asked for.

use chatbot_crds::{ChatBotClusterStatus, Reason, Settings};
use chatbot_plan::facts;
use chatbot_plan::memory::Memory;
use chatbot_plan::world::{NodeSeen, Signal, Taint};
use jiff::Timestamp;
use k8s_openapi::api::core::v1::Node;
use kube::api::ListParams;
use kube::{Api, ResourceExt};

use crate::context::Context;
use crate::error::Error;

pub(super) async fn nodes(
    settings: Option<&Settings>,
    memory: &Memory,
    status: &ChatBotClusterStatus,
    context: &Context,
    now: Timestamp,
) -> Result<Signal<Vec<NodeSeen>>, Error> {
    if !settings.is_some_and(|settings| facts::asks_for_nodes(settings, memory, status)) {
        return Ok(Signal::Unknown(Reason::Pending));
    }
    let nodes = Api::<Node>::all(context.client.clone())
        .list(&ListParams::default())
        .await
        .map_err(|source| Error::Observe {
            what: "the nodes".to_owned(),
            source,
        })?;
    Ok(Signal::Known {
        value: nodes.items.iter().map(node).collect(),
        at: now,
    })
}

fn node(node: &Node) -> NodeSeen {
    let spec = node.spec.clone().unwrap_or_default();
    let status = node.status.clone().unwrap_or_default();
    let allocatable = |resource: &str| {
        let quantity = status
            .allocatable
            .iter()
            .flatten()
            .find(|(name, _)| *name == resource)?;
        Some(chatbot_crds::spec::Quantity::from(quantity.1.0.as_str()))
    };
    let ready = status
        .conditions
        .iter()
        .flatten()
        .any(|condition| condition.type_ == "Ready" && condition.status == "True");
    let cpu_milli = allocatable("cpu").and_then(|cpu| cpu.milli());
    let memory_bytes = allocatable("memory").and_then(|memory| memory.units());
    NodeSeen {
        name: node.name_any(),
        uid: node.uid().unwrap_or_default(),
        labels: node.labels().clone(),
        annotations: node.annotations().clone(),
        // A node that does not say what it has is no candidate.
        open: ready
            && !spec.unschedulable.unwrap_or(false)
            && cpu_milli.is_some()
            && memory_bytes.is_some(),
        taints: spec
            .taints
            .unwrap_or_default()
            .into_iter()
            .map(|taint| Taint {
                key: taint.key,
                value: taint.value.unwrap_or_default(),
                effect: taint.effect,
            })
            .collect(),
        cpu_milli: cpu_milli.unwrap_or_default(),
        memory_bytes: memory_bytes.unwrap_or_default(),
    }
}
