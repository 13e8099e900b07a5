//! What pods serve and call, as far as objects beside them have to agree with it: Services and network policies.
//!
//! During a rollout there are pods of the last one, of this one, and of any that was asked for in between, and all must
//! go on. So these objects let all through until the last pods of before are gone.

use std::collections::BTreeSet;

use chatbot_crds::Settings;
use chatbot_crds::config::INFERENCE_PORT;
use chatbot_crds::settings::Platform;
use serde::{Deserialize, Serialize};

use crate::names;
use crate::proposal::Component;
use crate::render::Rendered;
use crate::rollout::Rollout;
use crate::world::{ObjectKey, World};

const HTTPS_PORT: u16 = 443;
const HTTP_DEFAULT_PORT: u16 = 80;
/// The most that are let through at once.
const MOST: usize = 8;

/// What the pods of one rollout serve and call.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Hops {
    /// Whether the adapters serve TLS themselves.
    pub tls: bool,
    /// The port of the inference API, whichever server it is of.
    pub inference_port: u16,
    /// Whether a broker or a store is named, which may be anywhere.
    pub elsewhere: bool,
    /// The ports at which the adapters call platforms.
    pub platforms: BTreeSet<u16>,
    /// Tokens that the instances hold; 0 in what an earlier release remembered.
    #[serde(default)]
    pub context_tokens: u32,
    /// Where adapters and workers meet, as a hash; empty in what an earlier release remembered.
    #[serde(default)]
    pub meeting: String,
}

impl Hops {
    /// Those of the pods that are asked for.
    #[must_use]
    pub fn of(settings: &Settings) -> Self {
        let engine = settings.inference.engine.as_ref();
        let channels = settings.channels.iter();
        Self {
            tls: settings.serves_tls(),
            inference_port: engine.map_or(INFERENCE_PORT, |engine| engine.port),
            elsewhere: settings.kafka.is_some() || settings.redis.is_some(),
            platforms: channels
                .flat_map(|channel| ports_called(&channel.platform))
                .collect(),
            context_tokens: settings.inference.context_tokens,
            meeting: meeting(settings),
        }
    }

    /// Those of the pods that are asked for, and of all that may be left of before.
    #[must_use]
    pub fn meanwhile(world: &World) -> Vec<Self> {
        let now = Self::of(&world.settings);
        let mut hops = world.memory.hops.clone();
        if !hops.contains(&now) {
            hops.push(now);
        }
        while hops.len() > MOST {
            // The first are those of the pods that were rolled out last.
            hops.remove(1);
        }
        hops
    }

    /// What is to be remembered of them. While they are not known they stay so.
    #[must_use]
    pub fn after(world: &World, rollout: &Rollout) -> Vec<Self> {
        if rollout.is_over() {
            vec![Self::of(&world.settings)]
        } else if are_unknown(world) {
            Vec::new()
        } else {
            Self::meanwhile(world)
        }
    }
}

/// Whether there may be instances that hold more than those that are asked for.
#[must_use]
pub fn have_larger_context(world: &World) -> bool {
    let wanted = world.settings.inference.context_tokens;
    let mut hops = world.memory.hops.iter();
    hops.any(|hops| hops.context_tokens > wanted)
}

/// Whether adapters or workers may be left that meet elsewhere than those that are asked for. Nobody knows it without the
/// memory.
#[must_use]
pub fn may_meet_elsewhere(world: &World) -> bool {
    let wanted = meeting(&world.settings);
    let mut hops = world.memory.hops.iter();
    hops.any(|hops| !hops.meeting.is_empty() && hops.meeting != wanted) || are_unknown(world)
}

/// Topics on a broker and keys in a store, by which adapters and workers know of each other.
fn meeting(settings: &Settings) -> String {
    // What begins with the resource's own name is the same for every resource.
    let own = format!("{}.{}", settings.namespace, settings.name);
    let topics = settings.kafka.as_ref().map(|kafka| {
        let prefix = &kafka.topic_prefix;
        (
            &kafka.bootstrap_servers,
            prefix.strip_prefix(&own).ok_or(prefix),
        )
    });
    let keys = settings.redis.as_ref().map(|redis| {
        let prefix = &redis.key_prefix;
        let whose = prefix.strip_prefix(&own).ok_or(prefix);
        (&redis.addresses, &redis.master_name, whose)
    });
    names::hash(&format!("{topics:?} {keys:?}"))
}

/// Whether an object that has to agree with pods stays as it is: there are pods of before, and nobody knows what they serve
/// and call, since the memory was deleted, or an earlier release wrote it.
#[must_use]
pub fn holds_back(world: &World, rollout: &Rollout, object: &Rendered) -> bool {
    let agrees_with_pods = match object.key.kind {
        "NetworkPolicy" => true,
        "Service" => object.component == Some(Component::Adapters),
        _ => false,
    };
    agrees_with_pods
        && are_unknown(world)
        && rollout.has_pods_of_before()
        && world.observed.children.contains_key(&object.key)
}

/// Without a memory of them; where there is no Service either, nothing was rolled out yet.
fn are_unknown(world: &World) -> bool {
    let name = names::workload(&world.cluster, Component::Adapters);
    let service = ObjectKey {
        kind: "Service",
        name,
    };
    world.memory.hops.is_empty() && world.observed.children.contains_key(&service)
}

/// The ports at which the adapters call a platform: that of HTTPS, and that of another address which the user names.
fn ports_called(platform: &Platform) -> Vec<u16> {
    let url = match platform {
        // Their users come to us, and are answered where they came.
        Platform::WebChat { .. } | Platform::OpenAi(_) => return Vec::new(),
        Platform::Webhook(one) => return vec![port_of(&one.reply_url)],
        Platform::WhatsApp(one) => &one.api_url,
        Platform::Telegram(one) => &one.api_url,
        Platform::Slack(one) => &one.api_url,
        Platform::Discord(one) => &one.api_url,
        Platform::Feishu(one) => &one.api_url,
    };
    // The address of a long connection is the platform's to name.
    let named = url.as_deref().map(port_of);
    named.into_iter().chain([HTTPS_PORT]).collect()
}

/// The port of an address, which the schema has checked.
fn port_of(url: &str) -> u16 {
    let (scheme, rest) = url.split_once("://").unwrap_or(("https", url));
    let authority = rest.split('/').next().unwrap_or_default();
    let named = authority
        .rsplit_once(':')
        .and_then(|(_, port)| port.parse().ok());
    named.unwrap_or(if scheme == "http" {
        HTTP_DEFAULT_PORT
    } else {
        HTTPS_PORT
    })
}
