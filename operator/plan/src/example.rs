//! Worlds for tests: built from a resource in YAML, then brought as far as a test needs.

// In a test, a world that is forgotten shows, and so does a panic.
#![allow(
    clippy::missing_panics_doc,
    clippy::must_use_candidate,
    clippy::return_self_not_must_use
)]

use std::collections::BTreeMap;

use chatbot_crds::config::{BackboneState, ChannelState, ModelState, ProbeState, State};
use chatbot_crds::{ChatBotClusterStatus, Settings};
use jiff::{SignedDuration, Timestamp};

use crate::foresight::Foresight;
use crate::memory::Memory;
use crate::plan;
use crate::proposal::{Component, Plan};
use crate::rollout::revision_of;
use crate::status::{Outcome, compose};
use crate::world::{
    Child, DeploymentSeen, Identity, NodeSeen, Observed, PodPeer, PodSeen, Release, Signal, World,
};

const SPEC: &str = r"
apiVersion: chatbot.dev/v1alpha1
kind: ChatBotCluster
metadata: { name: support, namespace: chat, uid: u-1, generation: 1 }
spec:
  channels:
    - name: web
      webChat: {}
  inference:
    model: { source: { persistentVolumeClaim: { claimName: models, path: m.gguf } } }
    nodeCapacity: { cpu: 8, memory: 32Gi }
    autoscaling: { minReplicas: 2, maxReplicas: 4 }
";

/// A world in which nothing is there yet, with an edit of the resource's YAML.
pub fn world_with(edit: impl FnOnce(String) -> String) -> World {
    let resource = serde_yaml::from_str(&edit(SPEC.to_owned())).unwrap();
    let settings = Settings::of(&resource).unwrap();
    World {
        now: Timestamp::from_second(1_800_000_000).unwrap(),
        cluster: Identity {
            namespace: settings.namespace.clone(),
            name: settings.name.clone(),
            uid: settings.uid.clone(),
            generation: settings.generation,
        },
        release: Release {
            image: "chatbot:1".to_owned(),
            broker_image: "kafka:1".to_owned(),
            store_image: "redis:1".to_owned(),
            priority_class: Some("chatbot-production".to_owned()),
            pods: Some(PodPeer {
                namespace: "chatbot-system".to_owned(),
                labels: BTreeMap::from([(
                    "app.kubernetes.io/name".to_owned(),
                    "chatbot-operator".to_owned(),
                )]),
            }),
        },
        settings,
        foresight: Foresight::default(),
        observed: Observed::nothing(),
        memory: Memory::default(),
    }
}

/// A world in which nothing is there yet.
pub fn world() -> World {
    world_with(|yaml| yaml)
}

/// A node with the given capacity.
pub fn node(name: &str, cpu_milli: u64, memory_bytes: u64) -> NodeSeen {
    NodeSeen {
        name: name.to_owned(),
        uid: format!("u-{name}"),
        labels: BTreeMap::new(),
        annotations: BTreeMap::new(),
        taints: Vec::new(),
        open: true,
        cpu_milli,
        memory_bytes,
    }
}

impl World {
    /// The same world later.
    pub fn later(mut self, seconds: i64) -> Self {
        self.now = self
            .now
            .saturating_add(SignedDuration::from_secs(seconds))
            .unwrap();
        self
    }

    /// What a pass leaves behind: objects applied, memory and status written.
    pub fn passed(mut self) -> Self {
        let plan = plan(&self);
        for object in &plan.objects {
            let child = Child {
                uid: format!("u-{}", object.key.name),
                owned: true,
                hash: Some(object.hash.clone()),
                created: Some(self.now),
            };
            self.observed.children.insert(object.key.clone(), child);
            if object.key.kind == "Deployment" {
                self.observed
                    .deployments
                    .entry(object.key.name.clone())
                    .or_insert(DeploymentSeen {
                        resource_version: "1".to_owned(),
                        desired: 1,
                        ..DeploymentSeen::default()
                    });
            }
        }
        self.observed.status = compose(&self, &plan, &Outcome::default());
        self.memory = plan.memory;
        self
    }

    /// Deployments have made so many pods of the planned revision, all ready; older pods are gone.
    pub fn rolled_out(mut self, instances: u32) -> Self {
        let plan = plan(&self);
        self.observed.pods.clear();
        for component in Component::ALL {
            let replicas = match component {
                Component::Adapters | Component::Workers => 2,
                Component::Inference => instances,
                Component::Broker | Component::Store => 1,
            };
            if revision_of(&plan.objects, component).is_none() {
                continue;
            }
            let name = crate::names::workload(&self.cluster, component);
            let seen = self.observed.deployments.entry(name).or_default();
            (seen.desired, seen.replicas, seen.updated, seen.ready) =
                (replicas, replicas, replicas, replicas);
            seen.current = true;
            seen.progress = "NewReplicaSetAvailable".to_owned();
            for index in 0..replicas {
                self.observed.pods.push(pod(&plan, component, index));
            }
        }
        self
    }

    /// One of the instances of [`Self::rolled_out`].
    pub fn instance(&self) -> PodSeen {
        pod(&plan(self), Component::Inference, 0)
    }

    /// The adapters' pod reports a conversation that ended then.
    pub fn probed(self, at: i64) -> Self {
        self.reporting(&ProbeState {
            at,
            failed_hop: None,
            message: String::new(),
        })
    }

    /// The adapters' pod reports a conversation.
    pub fn reporting(mut self, probe: &ProbeState) -> Self {
        let now = self.now;
        for pod in self
            .observed
            .pods
            .iter_mut()
            .filter(|pod| pod.component == Component::Adapters)
        {
            if let Signal::Known { value, at } = &mut pod.state {
                value.probe = Some(probe.clone());
                *at = now;
            }
        }
        self
    }

    /// Ready, the status written.
    pub fn settled(self) -> Self {
        self.passed()
            .rolled_out(2)
            .probed(100)
            .passed()
            .later(5)
            .probed(105)
            .passed()
    }

    /// The status that a pass would write.
    pub fn status(&self) -> ChatBotClusterStatus {
        compose(self, &plan(self), &Outcome::default())
    }
}

/// A pod of the plan that works.
pub fn pod(plan: &Plan, component: Component, index: u32) -> PodSeen {
    let config = plan
        .objects
        .iter()
        .find(|object| object.key.kind == "ConfigMap" && object.component == Some(component))
        .map(|object| object.key.name.clone());
    let mut state = State::default();
    if matches!(component, Component::Adapters | Component::Workers) {
        let usable = |reason: &str| {
            Some(BackboneState {
                usable: Some(true),
                reason: reason.to_owned(),
                message: String::new(),
            })
        };
        (state.broker, state.store) = (usable("BrokerReady"), usable("StoreReady"));
    }
    match component {
        Component::Adapters => state.channels.push(ChannelState {
            name: "web".to_owned(),
            ready: Some(true),
            reason: "Listening".to_owned(),
            message: "takes messages".to_owned(),
        }),
        Component::Inference => {
            state.model = Some(ModelState {
                name: "support".to_owned(),
                format: "Q8_0".to_owned(),
                bytes: 138 << 20,
                parameters: 135_000_000,
            });
        }
        Component::Workers | Component::Broker | Component::Store => {}
    }
    PodSeen {
        name: format!("{}-{index}", component.as_str()),
        uid: format!(
            "{}-{index}-{}",
            component.as_str(),
            revision_of(&plan.objects, component).unwrap_or_default()
        ),
        resource_version: "1".to_owned(),
        leaving: false,
        component,
        revision: revision_of(&plan.objects, component)
            .unwrap_or_default()
            .to_owned(),
        config_maps: config.into_iter().collect(),
        ready: true,
        ending: false,
        node: Some(format!("node{index}")),
        ip: Some("10.0.0.1".to_owned()),
        trouble: None,
        last_words: None,
        state: Signal::Known {
            value: state,
            at: Timestamp::UNIX_EPOCH,
        },
    }
}
