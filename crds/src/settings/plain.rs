//! From a resource in which no fault was found to plain values.

use k8s_openapi::api::core::v1::Toleration;

use super::backbone::{plain_kafka, plain_redis};
use super::engine::{plain_engine, plain_rollout};
use super::{
    Adapters, Autoscaling, Cache, Channel, Conversation, Exposure, Inference, ModelSource,
    Monitoring, NodeCapacity, Platform, Resources, Service, Settings, SystemPrompt, Workers,
};
use crate::spec::{ChatBotCluster, PodAutoscaling};
use crate::{Fault, rules, spec};

/// The plain values of a resource in which no fault was found. A fault here is one that no rule has seen.
pub(super) fn plain(cluster: &ChatBotCluster) -> Result<Settings, Fault> {
    let spec = &cluster.spec;
    let metadata = &cluster.metadata;
    let name = metadata.name.clone().unwrap_or_default();
    let namespace = metadata.namespace.clone();
    let namespace = namespace.unwrap_or_else(|| "default".to_owned());
    Ok(Settings {
        uid: metadata.uid.clone().unwrap_or_default(),
        generation: metadata.generation.unwrap_or_default(),
        run: spec.run_strategy,
        image: spec.image.clone(),
        image_pull_policy: spec.image_pull_policy,
        image_pull_secrets: spec
            .image_pull_secrets
            .iter()
            .map(|secret| secret.name.clone())
            .collect(),
        priority_class: spec.priority_class_name.clone(),
        pod_labels: spec
            .pod_metadata
            .as_ref()
            .and_then(|metadata| metadata.labels.clone())
            .unwrap_or_default(),
        pod_annotations: spec
            .pod_metadata
            .as_ref()
            .and_then(|metadata| metadata.annotations.clone())
            .unwrap_or_default(),
        network_policy: spec.network_policy.mode,
        channels: spec
            .channels
            .iter()
            .enumerate()
            .map(|(index, channel)| plain_channel(index, channel))
            .collect::<Result<_, _>>()?,
        exposure: spec
            .exposure
            .as_ref()
            .map(|exposure| Exposure::of(exposure, &namespace)),
        conversation: plain_conversation(&spec.conversation)?,
        adapters: Adapters {
            autoscaling: plain_autoscaling(
                "spec.adapters.autoscaling",
                &spec.adapters.autoscaling,
            )?,
            resources: plain_resources(spec.adapters.resources.as_ref()),
            node_selector: spec.adapters.node_selector.clone().unwrap_or_default(),
            tolerations: plain_tolerations(spec.adapters.tolerations.as_deref()),
            service: Service {
                type_: spec.adapters.service.type_,
                annotations: spec
                    .adapters
                    .service
                    .annotations
                    .clone()
                    .unwrap_or_default(),
                session_affinity: spec.adapters.service.session_affinity,
            },
        },
        workers: Workers {
            autoscaling: plain_autoscaling("spec.workers.autoscaling", &spec.workers.autoscaling)?,
            resources: plain_resources(spec.workers.resources.as_ref()),
            node_selector: spec.workers.node_selector.clone().unwrap_or_default(),
            tolerations: plain_tolerations(spec.workers.tolerations.as_deref()),
        },
        cache: plain_cache(&spec.cache)?,
        inference: plain_inference(&spec.inference)?,
        kafka: spec
            .messaging
            .as_ref()
            .map(|messaging| plain_kafka(&messaging.kafka, &namespace, &name))
            .transpose()?,
        redis: spec
            .state
            .as_ref()
            .map(|state| plain_redis(&state.redis, &namespace, &name)),
        monitoring: Monitoring::of(&spec.monitoring, &namespace),
        name,
        namespace,
    })
}

fn plain_channel(index: usize, channel: &spec::Channel) -> Result<Channel, Fault> {
    let web_chat = channel.web_chat.as_ref().map(|web_chat| Platform::WebChat {
        allowed_origins: web_chat.allowed_origins.clone().unwrap_or_default(),
    });
    let platform = web_chat
        .or_else(|| channel.whats_app.clone().map(Platform::WhatsApp))
        .or_else(|| channel.telegram.clone().map(Platform::Telegram))
        .or_else(|| channel.slack.clone().map(Platform::Slack))
        .or_else(|| channel.discord.clone().map(Platform::Discord))
        .or_else(|| channel.feishu.clone().map(Platform::Feishu))
        .or_else(|| channel.webhook.clone().map(Platform::Webhook))
        .or_else(|| channel.open_ai.clone().map(Platform::OpenAi))
        .ok_or_else(|| unset(&format!("spec.channels[{index}]"), rules::ONE_PLATFORM))?;
    Ok(Channel {
        name: channel.name.clone(),
        platform,
    })
}

fn plain_conversation(conversation: &spec::Conversation) -> Result<Conversation, Fault> {
    let at = |field: &str| format!("spec.conversation.{field}");
    let system_prompt = match (
        &conversation.system_prompt,
        &conversation.system_prompt_from,
    ) {
        (Some(text), _) => Some(SystemPrompt::Text(text.clone())),
        (None, Some(source)) => Some(SystemPrompt::ConfigMap(source.config_map_key_ref.clone())),
        (None, None) => None,
    };
    Ok(Conversation {
        system_prompt,
        history_turns: count(&at("historyTurns"), conversation.history_turns)?,
        session_timeout: conversation
            .session_timeout
            .length()
            .ok_or_else(|| unset(&at("sessionTimeout"), rules::DURATION))?,
        max_answer_tokens: count(&at("maxAnswerTokens"), conversation.max_answer_tokens)?,
        temperature: conversation
            .temperature
            .parse()
            .map_err(|_| unset(&at("temperature"), rules::TEMPERATURE))?,
        fallback_message: conversation.fallback_message.clone(),
        messages_per_user_per_minute: count(
            &at("messagesPerUserPerMinute"),
            conversation.messages_per_user_per_minute,
        )?,
    })
}

fn plain_cache(cache: &spec::Cache) -> Result<Cache, Fault> {
    let bytes = |name: &str, of: &spec::MemoryCache| {
        let path = format!("spec.cache.{name}.maxMemory");
        let bytes = of.max_memory.units();
        bytes.ok_or_else(|| unset(&path, rules::cache::MAX_MEMORY))
    };
    let ttl = cache.answers.ttl.length();
    Ok(Cache {
        answers: ttl.ok_or_else(|| unset("spec.cache.answers.ttl", rules::DURATION))?,
        context_bytes: bytes("context", &cache.context)?,
        results_bytes: bytes("results", &cache.results)?,
    })
}

fn plain_inference(inference: &spec::Inference) -> Result<Inference, Fault> {
    let at = |field: &str| format!("spec.inference.{field}");
    let model = match &inference.model.source.persistent_volume_claim {
        Some(claim) => ModelSource::PersistentVolumeClaim {
            claim_name: claim.claim_name.clone(),
            path: claim.path.clone(),
        },
        None => return Err(unset(&at("model.source"), rules::ONE_SOURCE)),
    };
    let spec::Autoscaling {
        min_replicas,
        max_replicas,
        target_cpu_utilization_percentage,
        behavior,
    } = &inference.autoscaling;
    Ok(Inference {
        model,
        engine: inference.engine.as_ref().map(plain_engine).transpose()?,
        context_tokens: count(&at("contextTokens"), inference.context_tokens)?,
        max_concurrent_requests: count(
            &at("maxConcurrentRequests"),
            inference.max_concurrent_requests,
        )?,
        instances_per_node: count(&at("instancesPerNode"), inference.instances_per_node)?,
        node_capacity: inference
            .node_capacity
            .as_ref()
            .map(plain_capacity)
            .transpose()?,
        resources: plain_resources(inference.resources.as_ref()),
        node_selector: inference.node_selector.clone().unwrap_or_default(),
        tolerations: plain_tolerations(inference.tolerations.as_deref()),
        min_replicas: count(&at("autoscaling.minReplicas"), *min_replicas)?,
        max_replicas: count(&at("autoscaling.maxReplicas"), *max_replicas)?,
        target_cpu_utilization_percentage: count(
            &at("autoscaling.targetCPUUtilizationPercentage"),
            *target_cpu_utilization_percentage,
        )?,
        behavior: behavior.clone(),
        rollout: plain_rollout(&inference.rollout)?,
    })
}

fn plain_autoscaling(path: &str, autoscaling: &PodAutoscaling) -> Result<Autoscaling, Fault> {
    let at = |field: &str| format!("{path}.{field}");
    Ok(Autoscaling {
        min_replicas: count(&at("minReplicas"), autoscaling.min_replicas)?,
        max_replicas: count(&at("maxReplicas"), autoscaling.max_replicas)?,
        target_cpu_utilization_percentage: count(
            &at("targetCPUUtilizationPercentage"),
            autoscaling.target_cpu_utilization_percentage,
        )?,
        behavior: autoscaling.behavior.clone(),
    })
}

fn plain_capacity(capacity: &spec::NodeCapacity) -> Result<NodeCapacity, Fault> {
    let none = |field: &str, quantity: &spec::Quantity, remedy: &str| Fault {
        path: format!("spec.inference.nodeCapacity.{field}"),
        value: quantity.to_string(),
        remedy: remedy.to_owned(),
    };
    let (cpu, memory) = (&capacity.cpu, &capacity.memory);
    Ok(NodeCapacity {
        cpu_milli: cpu
            .milli()
            .ok_or_else(|| none("cpu", cpu, rules::NODE_CPU))?,
        memory_bytes: memory
            .units()
            .ok_or_else(|| none("memory", memory, rules::NODE_MEMORY))?,
    })
}

fn plain_resources(resources: Option<&spec::Resources>) -> Resources {
    resources.map_or_else(Resources::default, |resources| Resources {
        requests: resources.requests.clone().unwrap_or_default(),
        limits: resources.limits.clone().unwrap_or_default(),
    })
}

fn plain_tolerations(tolerations: Option<&[spec::Toleration]>) -> Vec<Toleration> {
    tolerations
        .unwrap_or_default()
        .iter()
        .map(|toleration| Toleration {
            key: toleration.key.clone(),
            operator: toleration.operator.map(|operator| format!("{operator:?}")),
            value: toleration.value.clone(),
            effect: toleration.effect.map(|effect| format!("{effect:?}")),
            toleration_seconds: toleration.toleration_seconds,
        })
        .collect()
}

pub(super) fn count(path: &str, value: i32) -> Result<u32, Fault> {
    u32::try_from(value).map_err(|_| Fault {
        path: path.to_owned(),
        value: value.to_string(),
        remedy: "must be greater than or equal to 0".to_owned(),
    })
}

pub(super) fn unset(path: &str, remedy: &str) -> Fault {
    Fault {
        path: path.to_owned(),
        value: String::new(),
        remedy: remedy.to_owned(),
    }
}
