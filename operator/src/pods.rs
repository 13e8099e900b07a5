//! A pod as the plan sees it: what matters of all that the cluster says about it.

use chatbot_crds::Reason;
use chatbot_crds::config::ADMIN_PORT;
use chatbot_plan::names;
use chatbot_plan::proposal::Component;
use chatbot_plan::world::{EvictedPod, PodSeen, Signal, Trouble};
use jiff::Timestamp;
use k8s_openapi::api::core::v1::{ContainerStateTerminated, ContainerStatus, Pod, PodCondition};
use kube::ResourceExt;

/// Why a container waits when its image is what is missing.
const IMAGE_REASONS: [&str; 6] = [
    "ErrImagePull",
    "ImagePullBackOff",
    "InvalidImageName",
    "ErrImageNeverPull",
    "ImageInspectError",
    "RegistryUnavailable",
];
/// Why a container waits when its environment names what is not there.
const REFERENCE_REASON: &str = "CreateContainerConfigError";
/// Why a container waits when it cannot be made.
const CREATE_REASONS: [&str; 2] = ["CreateContainerError", "RunContainerError"];

/// A pod as the plan sees it; none when it belongs to no component that this release knows, or is over: its Deployment
/// has made another, and only its record is left.
#[must_use]
pub fn seen(pod: &Pod) -> Option<PodSeen> {
    let component = Component::named(pod.labels().get(names::COMPONENT_LABEL)?)?;
    let ready = condition(pod, "Ready").is_some_and(|condition| condition.status == "True");
    let phase = pod
        .status
        .as_ref()
        .and_then(|status| status.phase.as_deref())
        .unwrap_or_default();
    if matches!(phase, "Succeeded" | "Failed") {
        return None;
    }
    Some(PodSeen {
        name: pod.name_any(),
        uid: pod.uid()?,
        resource_version: pod.resource_version().unwrap_or_default(),
        leaving: pod
            .labels()
            .get(names::SLOT_LABEL)
            .is_some_and(|slot| slot != names::SLOT_ACTIVE),
        component,
        revision: pod
            .annotations()
            .get(names::REVISION_ANNOTATION)
            .cloned()
            .unwrap_or_default(),
        config_maps: config_maps(pod),
        ready,
        ending: pod.metadata.deletion_timestamp.is_some(),
        node: pod.spec.as_ref().and_then(|spec| spec.node_name.clone()),
        ip: address(pod),
        trouble: if ready { None } else { trouble(pod) },
        last_words: if ready { None } else { last_words(pod) },
        state: Signal::Unknown(Reason::Pending),
    })
}

/// A pod that its node has thrown out, for want of memory or disk, or since it used more than it may.
#[must_use]
pub fn evicted(pod: &Pod) -> Option<EvictedPod> {
    let status = pod.status.as_ref()?;
    if status.reason.as_deref() != Some("Evicted") {
        return None;
    }
    let at = condition(pod, "DisruptionTarget").and_then(|told| told.last_transition_time.clone());
    let message = status.message.as_deref().unwrap_or_default();
    Some(EvictedPod {
        component: Component::named(pod.labels().get(names::COMPONENT_LABEL)?)?,
        revision: pod.annotations().get(names::REVISION_ANNOTATION)?.clone(),
        // What follows are amounts, which differ from pod to pod.
        message: message
            .split(". ")
            .next()?
            .trim_end_matches(['.', ' '])
            .to_owned(),
        at: at.or_else(|| status.start_time.clone())?.0,
    })
}

/// Since when a pod is in trouble, as far as it tells: that it fits nowhere has a time, and so has its first failure.
/// After several only their last is known; they began after the pod was made.
#[must_use]
pub fn in_trouble_since(pod: &Pod) -> Option<Timestamp> {
    if let Some(unschedulable) = unschedulable(pod) {
        return Some(unschedulable.last_transition_time.as_ref()?.0);
    }
    let (failing, end) = containers(pod).find_map(|one| Some((one, ended(one)?)))?;
    let since = if failing.restart_count > 1 {
        pod.creation_timestamp()
    } else {
        end.finished_at.clone()
    };
    Some(since?.0)
}

/// Where a pod reports; a broker or store has no such port.
fn address(pod: &Pod) -> Option<String> {
    let mut containers = pod.spec.as_ref()?.containers.iter();
    let reports = containers.any(|container| {
        let mut ports = container.ports.iter().flatten();
        ports.any(|port| port.container_port == i32::from(ADMIN_PORT))
    });
    pod.status.as_ref()?.pod_ip.clone().filter(|_| reports)
}

fn condition<'a>(pod: &'a Pod, kind: &str) -> Option<&'a PodCondition> {
    pod.status
        .as_ref()?
        .conditions
        .iter()
        .flatten()
        .find(|condition| condition.type_ == kind)
}

fn config_maps(pod: &Pod) -> Vec<String> {
    pod.spec
        .iter()
        .flat_map(|spec| spec.volumes.iter().flatten())
        .filter_map(|volume| volume.config_map.as_ref())
        .map(|source| source.name.clone())
        .collect()
}

/// Those that run before the others come first; one that has done its work is over, whatever came of earlier tries.
fn containers(pod: &Pod) -> impl Iterator<Item = &ContainerStatus> {
    let before = pod
        .status
        .iter()
        .flat_map(|status| status.init_container_statuses.iter().flatten());
    let served = pod
        .status
        .iter()
        .flat_map(|status| status.container_statuses.iter().flatten());
    before.filter(|container| !is_done(container)).chain(served)
}

fn is_done(container: &ContainerStatus) -> bool {
    let state = container.state.as_ref();
    let end = state.and_then(|state| state.terminated.as_ref());
    end.is_some_and(|end| end.exit_code == 0)
}

fn unschedulable(pod: &Pod) -> Option<&PodCondition> {
    condition(pod, "PodScheduled").filter(|scheduled| {
        scheduled.status == "False" && scheduled.reason.as_deref() == Some("Unschedulable")
    })
}

fn trouble(pod: &Pod) -> Option<Trouble> {
    if let Some(scheduled) = unschedulable(pod) {
        return Some(Trouble::Unschedulable(
            scheduled.message.clone().unwrap_or_default(),
        ));
    }
    containers(pod).find_map(|container| {
        let waiting = container
            .state
            .as_ref()
            .and_then(|state| state.waiting.as_ref());
        let reason = waiting
            .and_then(|waiting| waiting.reason.as_deref())
            .unwrap_or_default();
        if IMAGE_REASONS.contains(&reason) {
            // The node's own words change with every try.
            return Some(Trouble::ImagePull(format!(
                "image {:?} cannot be pulled",
                container.image
            )));
        }
        let message = waiting
            .and_then(|waiting| waiting.message.clone())
            .unwrap_or_default();
        if reason == REFERENCE_REASON {
            return Some(Trouble::Reference(message));
        }
        if CREATE_REASONS.contains(&reason) && says_too_little(&message) {
            return Some(Trouble::OutOfMemory(memory_limit(pod, &container.name)));
        }
        if CREATE_REASONS.contains(&reason) {
            return Some(Trouble::Crash(format!("{reason}: {message}")));
        }
        // A pod between two runs and one that runs again are in the same trouble.
        let end = ended(container)?;
        let words = end.message.as_deref().unwrap_or_default();
        if end.reason.as_deref() == Some("OOMKilled") || says_too_little(words) {
            return Some(Trouble::OutOfMemory(memory_limit(pod, &container.name)));
        }
        Some(Trouble::Crash(match &end.reason {
            Some(reason) if reason != "Error" => format!("{reason}, exit code {}", end.exit_code),
            _ => format!("exit code {}", end.exit_code),
        }))
    })
}

/// Whether a runtime could not even begin for want of memory, in runc's words and in crun's.
fn says_too_little(message: &str) -> bool {
    message.contains("init was OOM-killed") || message.contains("memory limit too low")
}

fn memory_limit(pod: &Pod, container: &str) -> Option<String> {
    let spec = pod.spec.as_ref()?;
    let before = spec.init_containers.iter().flatten();
    let resources = before
        .chain(&spec.containers)
        .filter(|spec| spec.name == container)
        .find_map(|spec| spec.resources.as_ref())?;
    Some(resources.limits.as_ref()?.get("memory")?.0.clone())
}

fn last_words(pod: &Pod) -> Option<String> {
    containers(pod).find_map(|container| ended(container)?.message.clone())
}

/// The last end of a container that was a failure.
fn ended(container: &ContainerStatus) -> Option<&ContainerStateTerminated> {
    [&container.state, &container.last_state]
        .into_iter()
        .filter_map(|state| state.as_ref()?.terminated.as_ref())
        .find(|end| end.exit_code != 0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn pod(status: &Value) -> PodSeen {
        let mut pod: Pod = serde_json::from_value(json!({
            "metadata": {
                "name": "a", "uid": "1",
                "labels": { "chatbot.dev/component": "inference" },
                "annotations": { "chatbot.dev/revision": "r" },
            },
            "spec": { "containers": [{
                "name": "chatbot", "image": "chatbot:1", "args": ["inference"],
                "resources": { "limits": { "memory": "460Mi" } },
            }], "initContainers": [{
                "name": "prepare", "image": "chatbot:1",
                "resources": { "limits": { "memory": "768Mi" } },
            }], "volumes": [
                { "name": "config", "configMap": { "name": "c" } },
                { "name": "tmp", "emptyDir": {} },
            ] },
            "status": status,
        }))
        .unwrap();
        crate::project::shrink_pod(&mut pod);
        seen(&pod).unwrap()
    }

    fn container(state: &Value, last: &Value) -> Value {
        json!({ "containerStatuses": [{
            "name": "chatbot", "image": "chatbot:1", "imageID": "", "ready": false, "restartCount": 3,
            "state": state, "lastState": last,
        }] })
    }

    #[test]
    fn a_pod_that_fits_nowhere_says_what_the_scheduler_said() {
        let seen = pod(&json!({ "conditions": [{
            "type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": "0/3 nodes",
        }] }));
        assert_eq!(
            seen.trouble,
            Some(Trouble::Unschedulable("0/3 nodes".to_owned()))
        );
        assert_eq!(seen.config_maps, ["c"]);
    }

    #[test]
    fn a_pod_tells_since_when_it_is_in_trouble() {
        let since = |status: &Value| {
            let made = "2026-01-01T00:00:00Z";
            let pod = json!({ "metadata": { "creationTimestamp": made }, "status": status });
            let since = in_trouble_since(&serde_json::from_value(pod).unwrap())?;
            Some(since.as_second() - 1_767_225_600)
        };
        assert_eq!(since(&json!({})), None);
        let unschedulable = json!({ "conditions": [{
            "type": "PodScheduled", "status": "False", "reason": "Unschedulable",
            "lastTransitionTime": "2026-01-01T00:00:07Z",
        }] });
        assert_eq!(since(&unschedulable), Some(7));
        let last = json!({ "terminated": { "exitCode": 1, "finishedAt": "2026-01-01T00:14:00Z" } });
        let mut crashed = container(&json!({ "running": {} }), &last);
        assert_eq!(since(&crashed), Some(0), "the last of several");
        crashed["containerStatuses"][0]["restartCount"] = json!(1);
        assert_eq!(since(&crashed), Some(840));
    }

    #[test]
    fn a_crashing_pod_is_in_the_same_trouble_while_it_waits_and_while_it_runs_again() {
        let last = json!({ "terminated": { "exitCode": 1, "reason": "Error", "message": "no such file" } });
        let waiting = pod(&container(
            &json!({ "waiting": { "reason": "CrashLoopBackOff" } }),
            &last,
        ));
        let running = pod(&container(&json!({ "running": {} }), &last));
        let ended = pod(&container(&last, &json!({})));
        assert_eq!(
            waiting.trouble,
            Some(Trouble::Crash("exit code 1".to_owned()))
        );
        assert_eq!(waiting.trouble, running.trouble);
        assert_eq!(waiting.trouble, ended.trouble);
        assert_eq!(running.last_words.as_deref(), Some("no such file"));
    }

    #[test]
    fn a_pod_that_its_node_has_thrown_out_is_told_and_counts_no_more() {
        let pod = |status: Value| -> Pod {
            serde_json::from_value(json!({
                "metadata": {
                    "name": "a", "uid": "1",
                    "labels": { "chatbot.dev/component": "workers" },
                    "annotations": { "chatbot.dev/revision": "r" },
                },
                "status": status,
            }))
            .unwrap()
        };
        let thrown_out = pod(json!({
            "phase": "Failed", "reason": "Evicted",
            "message": "The node was low on resource: memory. Threshold quantity: 100Mi, available: 90Mi. ",
            "startTime": "2026-01-01T00:00:00Z",
            "conditions": [{
                "type": "DisruptionTarget", "status": "True", "lastTransitionTime": "2026-01-01T00:00:07Z",
            }],
        }));
        assert_eq!(seen(&thrown_out), None);
        let told = evicted(&thrown_out).unwrap();
        assert_eq!(told.message, "The node was low on resource: memory");
        assert_eq!(
            (told.component, told.revision.as_str()),
            (Component::Workers, "r")
        );
        assert_eq!(told.at.as_second() - 1_767_225_600, 7);
        let failed = pod(json!({ "phase": "Failed", "startTime": "2026-01-01T00:00:00Z" }));
        assert_eq!(evicted(&failed), None);
    }

    #[test]
    fn a_pod_that_names_what_is_not_there_says_what_it_is() {
        let missing = json!({ "waiting": {
            "reason": "CreateContainerConfigError", "message": "secret \"engine\" not found",
        } });
        assert_eq!(
            pod(&container(&missing, &json!({}))).trouble,
            Some(Trouble::Reference("secret \"engine\" not found".to_owned()))
        );
    }

    #[test]
    fn a_pod_without_enough_memory_is_told_from_one_that_crashes() {
        let last = json!({ "terminated": { "exitCode": 137, "reason": "OOMKilled" } });
        let words = "container init was OOM-killed (memory limit too low?): unknown";
        let unstarted =
            json!({ "terminated": { "exitCode": 128, "reason": "StartError", "message": words } });
        let uncreated = json!({ "waiting": { "reason": "RunContainerError", "message": words } });
        let again = json!({ "waiting": { "reason": "CrashLoopBackOff" } });
        for (state, last) in [
            (&again, &last),
            (&again, &unstarted),
            (&uncreated, &json!({})),
        ] {
            assert_eq!(
                pod(&container(state, last)).trouble,
                Some(Trouble::OutOfMemory(Some("460Mi".to_owned())))
            );
        }
    }

    #[test]
    fn what_runs_before_the_others_is_in_trouble_as_they_are_until_it_has_done_its_work() {
        let waiting = json!({ "waiting": { "reason": "PodInitializing" } });
        let before = |state: &Value, last: &Value| {
            let mut status = container(&waiting, &json!({}));
            let mut prepare = container(state, last)["containerStatuses"].take();
            prepare[0]["name"] = json!("prepare");
            status["initContainerStatuses"] = prepare;
            pod(&status).trouble
        };
        let again = json!({ "waiting": { "reason": "CrashLoopBackOff" } });
        let failed = json!({ "terminated": { "exitCode": 1, "reason": "Error" } });
        let killed = json!({ "terminated": { "exitCode": 137, "reason": "OOMKilled" } });
        let done = json!({ "terminated": { "exitCode": 0 } });
        let crash = Trouble::Crash("exit code 1".to_owned());
        assert_eq!(before(&again, &failed), Some(crash));
        let memory = Trouble::OutOfMemory(Some("768Mi".to_owned()));
        assert_eq!(before(&again, &killed), Some(memory));
        assert_eq!(before(&done, &failed), None);
    }

    #[test]
    fn an_image_that_cannot_be_pulled_is_one_trouble_between_tries_too() {
        let trying = pod(&container(
            &json!({ "waiting": { "reason": "ErrImagePull", "message": "x" } }),
            &json!({}),
        ));
        let between = pod(&container(
            &json!({ "waiting": { "reason": "ImagePullBackOff" } }),
            &json!({}),
        ));
        assert!(matches!(trying.trouble, Some(Trouble::ImagePull(_))));
        assert_eq!(trying.trouble, between.trouble);
    }

    #[test]
    fn a_pod_that_works_is_in_no_trouble_though_it_failed_once() {
        let last = json!({ "terminated": { "exitCode": 1 } });
        let mut status = container(&json!({ "running": {} }), &last);
        status["conditions"] = json!([{ "type": "Ready", "status": "True" }]);
        let seen = pod(&status);
        assert!(seen.ready);
        assert_eq!(seen.trouble, None);
    }
}
