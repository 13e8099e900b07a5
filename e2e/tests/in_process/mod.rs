//! The operator in the process of a test, on a control plane alone: its passes are made one by one, by as many operators
//! one after the other as a test wants. They share the caches; nothing else of one outlives it.
#![allow(dead_code)] // each test program uses its part

mod picture;

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use chatbot_e2e::plane::{Options, Plane};
use chatbot_operator::connect;
use chatbot_operator::context::Context;
use chatbot_operator::controller::reconcile;
use chatbot_operator::events::Events;
use chatbot_operator::gate::{Budget, Gate};
use chatbot_operator::serve::Metrics;
use chatbot_operator::state::Reports;
use chatbot_operator::term::Term;
use chatbot_operator::watch::{self, Caches, Guarded};
use chatbot_plan::world::Release;
use futures::StreamExt;
use k8s_openapi::api::core::v1::{Namespace, Node, Pod, ServiceAccount};
use k8s_openapi::jiff::Timestamp;
use kube::api::{DynamicObject, Patch, PatchParams, PostParams};
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::core::ApiResource;
use kube::runtime::controller::Action;
use kube::runtime::{WatchStreamExt, watcher};
use kube::{Api, Client, Config, ResourceExt};
use serde_json::{Value, json};

pub use picture::Picture;

/// The time in which anything here is expected to happen, on a machine that is busy with everything else.
pub const PATIENCE: Duration = Duration::from_mins(2);
const PAUSE: Duration = Duration::from_millis(50);
/// Whoever writes what a user would.
const USER: &str = "user";

/// A control plane with the resource's definition. Nothing in it moves by itself: no autoscaler, and no judge of nodes.
pub fn plane() -> Plane {
    let controllers =
        "--controllers=*,-horizontal-pod-autoscaler-controller,-node-lifecycle-controller";
    let plane = Plane::start_with(Options {
        controller_manager: vec![controllers.to_owned()],
        ..Options::default()
    })
    .unwrap();
    define(&plane);
    plane
}

/// Makes the resource's definition known, as this release has it.
fn define(plane: &Plane) {
    let definition = serde_json::to_string(&chatbot_crds::schema::definition()).unwrap();
    plane.apply(&definition).unwrap();
    let mut kubectl = plane.kubectl();
    kubectl.args(["wait", "--for=condition=Established", "--timeout=60s"]);
    kubectl.arg("customresourcedefinition/chatbotclusters.chatbot.dev");
    chatbot_e2e::command::output(&mut kubectl).unwrap();
}

/// A client with an administrator's rights.
pub async fn administrator(kubeconfig: &Path) -> Client {
    let file = Kubeconfig::read_from(kubeconfig).unwrap();
    let options = KubeConfigOptions::default();
    let config = Config::from_custom_kubeconfig(file, &options).await;
    connect::client(config.unwrap()).unwrap()
}

/// Where operators work.
pub struct Ground {
    pub client: Client,
    caches: Caches,
    tasks: Vec<tokio::task::JoinHandle<()>>,
}

impl Ground {
    /// With filled caches, a node that has room, and pods that are ready as soon as they are there.
    pub async fn begin(plane: &Plane) -> Self {
        let client = administrator(&plane.kubeconfig()).await;
        make_node(&client).await.unwrap();
        let (controller, caches) = watch::controller(&client, Duration::from_mins(10));
        // A standby: it keeps the caches, and does nothing.
        let standby = controller.run(
            |_, _| async { Ok::<_, chatbot_operator::error::Error>(Action::await_change()) },
            |_, _, _| Action::await_change(),
            Arc::new(()),
        );
        let tasks = vec![
            tokio::spawn(standby.for_each(|_| async {})),
            tokio::spawn(stand_in_for_kubelets(client.clone())),
        ];
        caches.wait().await.unwrap();
        Self {
            client,
            caches,
            tasks,
        }
    }

    /// An operator that has just been started, and may make so many writes.
    pub fn operator(&self, budget: Budget) -> Operator<'_> {
        self.operator_of(Gate::new(Term::endless(), budget))
    }

    /// An operator that has just been started, with a way out of the test's own.
    pub fn operator_of(&self, gate: Gate) -> Operator<'_> {
        let release = Release {
            image: "localhost/chatbot:1".to_owned(),
            broker_image: "localhost/kafka:1".to_owned(),
            store_image: "localhost/redis:1".to_owned(),
            ..Release::default()
        };
        let context = Context::new(
            self.client.clone(),
            gate,
            self.caches.clone(),
            Reports::new().unwrap(),
            release,
            Events::new("operator".to_owned()),
            Metrics::default(),
        );
        Operator {
            ground: self,
            context: Arc::new(context),
        }
    }

    /// A namespace in which pods can be made.
    pub async fn namespace(&self, name: &str) -> Result<()> {
        let namespaces = Api::<Namespace>::all(self.client.clone());
        let namespace = serde_json::from_value(json!({ "metadata": { "name": name } }))?;
        namespaces
            .create(&PostParams::default(), &namespace)
            .await?;
        let accounts = Api::<ServiceAccount>::namespaced(self.client.clone(), name);
        until("the default service account", async || {
            Ok(accounts.get_opt("default").await?.is_some())
        })
        .await
    }

    /// Applies a resource as its user does.
    pub async fn apply(&self, namespace: &str, resource: &Value) -> Result<()> {
        let name = resource["metadata"]["name"].as_str().context("no name")?;
        let params = PatchParams::apply(USER).force();
        let api = self.resources(namespace);
        api.patch(name, &params, &Patch::Apply(resource)).await?;
        Ok(())
    }

    /// Resources, as they are stored.
    pub fn resources(&self, namespace: &str) -> Api<DynamicObject> {
        let described = ApiResource::erase::<chatbot_crds::ChatBotCluster>(&());
        Api::namespaced_with(self.client.clone(), namespace, &described)
    }
}

impl Drop for Ground {
    fn drop(&mut self) {
        for task in &self.tasks {
            task.abort();
        }
    }
}

/// How an operator's work has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// There is nothing to do any more.
    Settled,
    /// It may write no more.
    Stopped,
}

/// An operator. Dropped, it is dead.
pub struct Operator<'a> {
    ground: &'a Ground,
    pub context: Arc<Context>,
}

impl Operator<'_> {
    /// One pass, whatever comes of it.
    pub async fn pass(&self, namespace: &str, name: &str) -> Result<()> {
        let api = Api::<Guarded>::namespaced(self.ground.client.clone(), namespace);
        let resource = Arc::new(api.get(name).await?);
        reconcile(resource, self.context.clone()).await?;
        Ok(())
    }

    /// Passes until everything is at rest and a pass has found nothing to do, or until it may write no more.
    pub async fn work(&self, namespace: &str, name: &str) -> Result<End> {
        let start = Instant::now();
        loop {
            let (rest, made) = (self.is_at_rest(namespace, name).await?, self.made());
            let outcome = self.pass(namespace, name).await;
            if self.context.gate.check().is_err() {
                return Ok(End::Stopped);
            }
            // Where the API server asked to be left alone, a pass looks at nothing.
            let looked = outcome.is_ok() && !self.leaves_alone(namespace, name).await?;
            if looked && rest && self.made() == made {
                return Ok(End::Settled);
            }
            if start.elapsed() > PATIENCE {
                let picture = Picture::take(&self.ground.client, namespace).await?;
                bail!("never at rest in {namespace}: {outcome:?}, {rest}\n{picture}");
            }
            tokio::time::sleep(PAUSE).await;
        }
    }

    async fn leaves_alone(&self, namespace: &str, name: &str) -> Result<bool> {
        let resource = self.ground.resources(namespace).get(name).await?;
        let uid = resource.uid().unwrap_or_default();
        Ok(self.context.desk(&uid, |desk| desk.rest().is_some()))
    }

    /// Writes that were let out.
    pub fn made(&self) -> u32 {
        self.context.gate.made()
    }

    /// Whether the cluster has done what follows from the last writes, and the caches show it.
    async fn is_at_rest(&self, namespace: &str, name: &str) -> Result<bool> {
        Ok(
            picture::is_rolled_out(&self.ground.client, namespace).await?
                && picture::is_shown(&self.ground.client, &self.ground.caches, namespace, name)
                    .await?,
        )
    }
}

async fn make_node(client: &Client) -> Result<()> {
    let nodes = Api::<Node>::all(client.clone());
    let node = serde_json::from_value(json!({ "metadata": { "name": "node" } }))?;
    nodes.create(&PostParams::default(), &node).await?;
    let has = json!({ "cpu": "4", "memory": "16Gi", "pods": "110" });
    let status = json!({ "status": {
        "capacity": has, "allocatable": has,
        "conditions": [{ "type": "Ready", "status": "True" }],
    } });
    let params = PatchParams::default();
    nodes
        .patch_status("node", &params, &Patch::Merge(status))
        .await?;
    // A new node is tainted until somebody has judged it.
    let untainted = json!({ "spec": { "taints": null } });
    nodes
        .patch("node", &params, &Patch::Merge(untainted))
        .await?;
    Ok(())
}

/// There are no kubelets: every pod that is made says at once that it is ready.
async fn stand_in_for_kubelets(client: Client) {
    let pods = watcher(Api::<Pod>::all(client.clone()), watcher::Config::default());
    pods.default_backoff()
        .applied_objects()
        .for_each_concurrent(8, |pod| {
            let client = client.clone();
            async move {
                let Ok(pod) = pod else { return };
                if pod.metadata.deletion_timestamp.is_some() || is_ready(&pod) {
                    return;
                }
                let status = json!({ "status": {
                    "phase": "Running",
                    "conditions": [{ "type": "Ready", "status": "True", "lastTransitionTime": Timestamp::now() }],
                } });
                let namespace = pod.namespace().unwrap_or_default();
                let api = Api::<Pod>::namespaced(client, &namespace);
                let params = PatchParams::default();
                let patch = Patch::Merge(status);
                // It may be gone already.
                let _ = api.patch_status(&pod.name_any(), &params, &patch).await;
            }
        })
        .await;
}

fn is_ready(pod: &Pod) -> bool {
    let conditions = pod.status.iter().flat_map(|status| &status.conditions);
    conditions
        .flatten()
        .any(|condition| condition.type_ == "Ready" && condition.status == "True")
}

/// Asks again until the answer is yes.
pub async fn until(what: &str, mut ready: impl AsyncFnMut() -> Result<bool>) -> Result<()> {
    let start = Instant::now();
    loop {
        let refusal = match ready().await {
            Ok(true) => return Ok(()),
            Ok(false) => None,
            Err(error) => Some(error),
        };
        if start.elapsed() > PATIENCE {
            bail!("failed to see {what}: {refusal:?}");
        }
        tokio::time::sleep(PAUSE).await;
    }
}
