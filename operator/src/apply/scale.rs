//! Numbers of replicas, which are written beside everything else of a Deployment.

use chatbot_plan::names::FIELD_MANAGER;
use chatbot_plan::proposal::Action;
use chatbot_plan::world::ObjectKey;
use k8s_openapi::api::apps::v1::Deployment;
use kube::api::{DynamicObject, Patch, PatchParams};
use kube::core::ApiResource;
use kube::{Api, ResourceExt};
use serde_json::json;

use super::Applier;
use crate::context::{Desk, Left};
use crate::error::Error;
use crate::project::is_ours;

impl Applier<'_> {
    /// Does what an action says, unless it was done already.
    pub(super) async fn act(&mut self, action: &Action) -> Result<(), Error> {
        let Action::Scale {
            deployment,
            resource_version,
            replicas,
        } = action;
        let key = ObjectKey {
            kind: "Deployment",
            name: deployment.clone(),
        };
        let seen = self.children.get(&key);
        let Some(seen) = seen.filter(|seen| is_ours(seen.as_ref(), &self.plan.cluster)) else {
            return Ok(());
        };
        let scaled = |desk: &mut Desk| desk.scaled.get(deployment) == Some(resource_version);
        if self.context.desk(&self.plan.cluster.uid, scaled) {
            return Ok(()); // the caches have not shown it yet
        }
        let api = Api::<Deployment>::namespaced(
            self.context.client.clone(),
            &self.plan.cluster.namespace,
        );
        let (scale, number) = (
            ObjectKey {
                kind: "Scale",
                name: deployment.clone(),
            },
            replicas.to_string(),
        );
        let is_undone = self.is_undone(&scale, &number);
        if is_undone && self.waits(&self.deployments(), &scale).await {
            return Ok(());
        }
        let body = json!({
            "metadata": { "uid": seen.uid(), "resourceVersion": resource_version },
            "spec": { "replicas": replicas },
        });
        let params = PatchParams {
            field_manager: Some(FIELD_MANAGER.to_owned()),
            ..PatchParams::default()
        };
        match api
            .patch_scale(deployment, &params, &Patch::Merge(&body))
            .await
        {
            Ok(_) => {
                tracing::info!(
                    namespace = self.plan.cluster.namespace,
                    cluster = self.plan.cluster.name,
                    deployment,
                    replicas,
                    "scaled"
                );
                self.applied.writes += 1;
                self.context.metrics.wrote("Scale");
                self.context.desk(&self.plan.cluster.uid, |desk| {
                    desk.scaled
                        .insert(deployment.clone(), resource_version.clone());
                    let left = Left {
                        hash: number,
                        ..Left::default()
                    };
                    desk.left.insert(scale.clone(), left);
                });
                if is_undone {
                    self.repaired(&scale);
                }
                Ok(())
            }
            Err(error) => self.refused(&key, error),
        }
    }

    /// Deployments, whose number of replicas is written beside everything else of them.
    fn deployments(&self) -> Api<DynamicObject> {
        let resource = ApiResource::erase::<Deployment>(&());
        Api::namespaced_with(
            self.context.client.clone(),
            &self.plan.cluster.namespace,
            &resource,
        )
    }
}
