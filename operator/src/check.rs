//! Whether an installation works, asked with few rights: `chatbot-operator check`, which `helm test` runs.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use chatbot_crds::{ChatBotCluster, schema};
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::{
    JSONSchemaProps, JSONSchemaPropsOrArray,
};
use kube::api::{Api, DynamicObject, GetParams, PostParams};
use kube::core::{ApiResource, Request};
use kube::{Client, Resource};
use serde_json::{Value, json};

/// Just after an install some of it still comes up.
const PATIENCE: Duration = Duration::from_mins(1);
const PAUSE: Duration = Duration::from_secs(2);
const REQUEST: Duration = Duration::from_secs(5);

/// Asks everything, and gives what was found well. What is not well after a minute is the error.
pub async fn check(client: &Client, operator: &str) -> Result<Vec<String>> {
    let start = Instant::now();
    loop {
        match look(client, operator).await {
            Err(error) if start.elapsed() < PATIENCE => {
                tracing::info!("not yet: {error:#}");
                tokio::time::sleep(PAUSE).await;
            }
            outcome => return outcome,
        }
    }
}

async fn look(client: &Client, operator: &str) -> Result<Vec<String>> {
    definition(client).await?;
    resources(client).await?;
    let standing = ready(operator).await?;
    Ok(vec![
        "the definition of ChatBotCluster that is served has every field that this operator knows"
            .to_owned(),
        "a resource is accepted, and a wrong one refused".to_owned(),
        // One of several installations stands by: whoever tests it is to know.
        format!("the operator is ready ({standing})"),
    ])
}

/// What is served is at least what this release knows. Everybody who is let in may read that.
async fn definition(client: &Client) -> Result<()> {
    let version = ChatBotCluster::version(&());
    let path = format!("/openapi/v3/apis/{}", ChatBotCluster::group(&()));
    let request = Request::new(path)
        .get(&version, &GetParams::default())
        .context("failed to write a request for the definition")?;
    let document: Value = client.request(request).await.context(
        "failed to read the definition of ChatBotCluster: apply crds/chatbotclusters.yaml, or set crds.install",
    )?;
    let kind = ChatBotCluster::kind(&());
    let schemas = document["components"]["schemas"].as_object();
    let served = schemas.into_iter().flatten().find(|(_, schema)| {
        let kinds = schema["x-kubernetes-group-version-kind"].as_array();
        kinds.into_iter().flatten().any(|of| of["kind"] == *kind)
    });
    let (_, served) = served.context("the API server publishes no schema of ChatBotCluster")?;
    let known = schema::definition().spec.versions.into_iter();
    let known = known
        .filter(|known| known.name == version)
        .find_map(|known| known.schema?.open_api_v3_schema)
        .context("this operator knows no schema of its own")?;
    let mut missing = Vec::new();
    compare("", &known, served, &mut missing);
    ensure!(
        missing.is_empty(),
        "the definition of ChatBotCluster that is served is older than this operator, it lacks {}: `kubectl apply \
         --server-side --filename crds/chatbotclusters.yaml`, or set crds.install",
        missing.join(", ")
    );
    Ok(())
}

/// The paths of the fields that are known and not served; of a part that is missing, only the part.
fn compare(path: &str, known: &JSONSchemaProps, served: &Value, missing: &mut Vec<String>) {
    for (name, field) in known.properties.iter().flatten() {
        let path = if path.is_empty() {
            name.clone()
        } else {
            format!("{path}.{name}")
        };
        match &served["properties"][name] {
            Value::Null => missing.push(path),
            // The API server publishes its own schema of metadata, by reference.
            of_server if !of_server["allOf"].is_null() || !of_server["$ref"].is_null() => {}
            served => compare(&path, field, served, missing),
        }
    }
    if let Some(JSONSchemaPropsOrArray::Schema(item)) = &known.items {
        compare(&format!("{path}[]"), item, &served["items"], missing);
    }
}

/// In a dry run: nothing is stored.
async fn resources(client: &Client) -> Result<()> {
    let described = ApiResource::erase::<ChatBotCluster>(&());
    let resources: Api<DynamicObject> = Api::default_namespaced_with(client.clone(), &described);
    let dry_run = PostParams {
        dry_run: true,
        ..PostParams::default()
    };
    let accepted = resources.create(&dry_run, &sample(2)?).await;
    accepted.context("failed to create a resource in a dry run")?;
    match resources.create(&dry_run, &sample(1)?).await {
        Err(kube::Error::Api(refusal)) if refusal.code == 422 => Ok(()),
        Err(error) => Err(error).context("failed to have a wrong resource refused"),
        Ok(_) => bail!(
            "a resource with fewer instances at most than at least was accepted: the definition's rules are missing; \
             apply crds/chatbotclusters.yaml"
        ),
    }
}

/// A resource with at least two instances and at most this many.
fn sample(most: u32) -> Result<DynamicObject> {
    let source =
        json!({ "persistentVolumeClaim": { "claimName": "models", "path": "model.gguf" } });
    let sample = json!({
        "apiVersion": ChatBotCluster::api_version(&()),
        "kind": ChatBotCluster::kind(&()),
        "metadata": { "name": "chatbot-operator-check" },
        "spec": {
            "channels": [{ "name": "web", "webChat": {} }],
            "inference": {
                "model": { "source": source },
                "autoscaling": { "minReplicas": 2, "maxReplicas": most },
            },
        },
    });
    serde_json::from_value(sample).context("failed to write a resource")
}

/// Where the operator that answers stands among others.
async fn ready(operator: &str) -> Result<String> {
    let http = reqwest::Client::builder()
        .timeout(REQUEST)
        .no_proxy()
        .build()
        .context("failed to prepare a request to the operator")?;
    let url = format!("{operator}/readyz");
    let answer = http.get(&url).send().await;
    let answer = answer.with_context(|| format!("failed to reach the operator at {url}"))?;
    let status = answer.status();
    let text = answer.text().await.unwrap_or_default();
    ensure!(
        status.is_success(),
        "the operator is not ready ({status}): {text}"
    );
    Ok(text.trim_start_matches("ok: ").to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(fields: &Value) -> JSONSchemaProps {
        serde_json::from_value(json!({ "properties": fields })).unwrap()
    }

    #[test]
    fn what_an_older_definition_lacks_is_named_by_its_path() {
        let channel =
            json!({ "properties": { "name": {}, "telegram": { "properties": { "token": {} } } } });
        let known = of(&json!({
            "metadata": { "properties": { "name": {} } },
            "spec": { "properties": { "channels": { "items": channel }, "image": {} } },
        }));
        let served = json!({ "properties": {
            "metadata": { "allOf": [{ "$ref": "#/components/schemas/ObjectMeta" }] },
            "spec": { "properties": { "channels": { "items": { "properties": { "name": {} } } } } },
        } });
        let mut missing = Vec::new();
        compare("", &known, &served, &mut missing);
        assert_eq!(missing, ["spec.channels[].telegram", "spec.image"]);
    }

    #[test]
    fn a_definition_lacks_nothing_of_itself() {
        let version = schema::definition().spec.versions.remove(0);
        let known = version.schema.unwrap().open_api_v3_schema.unwrap();
        let mut missing = Vec::new();
        compare(
            "",
            &known,
            &serde_json::to_value(&known).unwrap(),
            &mut missing,
        );
        assert!(missing.is_empty(), "{missing:?}");
    }
}
