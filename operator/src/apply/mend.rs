//! An object that is refused because of what somebody else has set in it.

use kube::Api;
use kube::api::{DynamicObject, Patch, PatchParams};
use kube::core::Status;
use serde_json::{Map, Value};

use super::FIELD_MANAGER;
use crate::refusal::Refusal;

/// How often an object is tried: taking one field away may show the next one that is in the way.
const ROUNDS: usize = 4;

/// Whether the API server refuses the object itself, and not who writes it or when.
pub(super) fn is_invalid(status: &Status) -> bool {
    status.code == 422 && matches!(Refusal::of(status), Some(Refusal::Invalid(_)))
}

/// Writes an object that cannot be applied over what is there.
///
/// Applying joins lists by key and leaves the fields that others have set, so that what somebody has changed stands beside
/// ours, and the two may contradict each other: two ports of one name, a rolling update's settings in a strategy that is
/// none. Lists are set as a whole, and of the fields that the refusal names those go that are not planned.
pub(super) async fn mend(
    api: &Api<DynamicObject>,
    name: &str,
    body: &Value,
    refused: Box<Status>,
) -> kube::Result<DynamicObject> {
    let params = PatchParams {
        field_manager: Some(FIELD_MANAGER.to_owned()),
        ..PatchParams::default()
    };
    let there = api.get(name).await?.data;
    let (mut patch, mut refused) = (body.clone(), refused);
    for round in 0..ROUNDS {
        let goes = clear_named(&mut patch, &there, &refused);
        if round > 0 && !goes {
            break;
        }
        match api.patch(name, &params, &Patch::Merge(&patch)).await {
            Err(kube::Error::Api(status)) if is_invalid(&status) => refused = status,
            result => return result,
        }
    }
    Err(kube::Error::Api(refused))
}

/// Takes away, in a merge patch, whatever a refusal names and the patch does not set. Tells whether there was any.
fn clear_named(patch: &mut Value, there: &Value, refused: &Status) -> bool {
    let causes = refused.details.iter().flat_map(|details| &details.causes);
    let mut goes = false;
    for cause in causes {
        let field: Vec<&str> = cause.field.split('.').collect();
        if let (Some(patch), Some(there)) = (patch.as_object_mut(), there.as_object()) {
            goes |= clear(patch, there, &field);
        }
    }
    goes
}

/// Takes away what is at a path below a map; when the patch sets that itself, what is there beside it. Lists need nothing:
/// a merge patch sets them as a whole.
fn clear(patch: &mut Map<String, Value>, there: &Map<String, Value>, at: &[&str]) -> bool {
    let Some((field, rest)) = at.split_first() else {
        return clear_rest(patch, there);
    };
    // Labels and annotations are everybody's.
    if *field == "metadata" || field.contains('[') {
        return false;
    }
    match (patch.get_mut(*field), there.get(*field)) {
        (Some(Value::Object(patch)), Some(Value::Object(there))) => clear(patch, there, rest),
        (_, None) | (Some(Value::Array(_)), _) => false,
        (Some(_), _) => clear_rest(patch, there),
        (None, Some(_)) => {
            patch.insert((*field).to_owned(), Value::Null);
            true
        }
    }
}

fn clear_rest(patch: &mut Map<String, Value>, there: &Map<String, Value>) -> bool {
    let is_scaled = there.contains_key("template");
    let surplus: Vec<&String> = there
        .keys()
        .filter(|field| !patch.contains_key(*field))
        // How many pods there are is the autoscaler's.
        .filter(|field| !(is_scaled && *field == "replicas"))
        .collect();
    let goes = !surplus.is_empty();
    for field in surplus {
        patch.insert(field.clone(), Value::Null);
    }
    goes
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    /// The patch that follows from a refusal of the fields given.
    fn cleared(body: Value, there: &Value, fields: &[&str]) -> Value {
        let causes: Vec<Value> = fields.iter().map(|at| json!({ "field": at })).collect();
        let details = serde_json::from_value(json!({ "causes": causes })).unwrap();
        let refused = Status {
            details: Some(details),
            ..Status::failure("", "Invalid")
        };
        let mut patch = body;
        let goes = clear_named(&mut patch, there, &refused);
        let nulls = patch.to_string().matches("null").count();
        assert_eq!(goes, nulls > 0);
        patch
    }

    #[test]
    fn what_contradicts_the_plan_goes_and_what_stands_beside_it_stays() {
        let body = json!({ "spec": { "strategy": { "type": "Recreate" }, "template": {} } });
        let there = json!({ "spec": {
            "strategy": { "type": "RollingUpdate", "rollingUpdate": { "maxSurge": 1 } },
            "template": {}, "replicas": 3, "minReadySeconds": 5,
        } });
        assert_eq!(
            cleared(body.clone(), &there, &["spec.strategy.rollingUpdate"]),
            json!({ "spec": { "strategy": { "type": "Recreate", "rollingUpdate": null }, "template": {} } })
        );
        // A path that is all of a map: what is not planned of it goes, but never the number of pods.
        assert_eq!(
            cleared(body, &there, &["spec"]),
            json!({ "spec": { "strategy": { "type": "Recreate" }, "template": {}, "minReadySeconds": null } })
        );
    }

    #[test]
    fn one_of_two_that_exclude_each_other_goes_whichever_is_named() {
        let body = json!({ "spec": { "maxUnavailable": 1 } });
        let there = json!({ "spec": { "minAvailable": 1, "maxUnavailable": 1 } });
        let expected = json!({ "spec": { "maxUnavailable": 1, "minAvailable": null } });
        for field in ["spec", "spec.minAvailable", "spec.maxUnavailable"] {
            assert_eq!(cleared(body.clone(), &there, &[field]), expected, "{field}");
        }
    }

    #[test]
    fn lists_and_everybody_s_metadata_are_left_to_the_patch_itself() {
        let body = json!({ "metadata": { "labels": {} }, "spec": { "ports": [{ "port": 1 }] } });
        let there = json!({
            "metadata": { "labels": { "team": "care" } }, "spec": { "ports": [{ "port": 1, "nodePort": 2 }] },
        });
        let fields = [
            "spec.ports[0].nodePort",
            "metadata.labels",
            "spec.absent.field",
            "",
        ];
        assert_eq!(cleared(body.clone(), &there, &fields[..3]), body);
    }
}
