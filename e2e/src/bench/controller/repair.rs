//! Children deleted, edited, relabelled or stripped of their owner, and how long until they are as they were.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use anyhow::Result;
use serde_json::{Value, json};

use super::api::{Api, Event, Watch};
use super::site::{name_of, namespace_of};

/// The longest that a repair is waited for.
const PATIENCE: Duration = Duration::from_secs(30);

/// A kind of child that can be harmed.
struct Victim {
    /// Where its objects are: what comes before `/namespaces`, and the resource.
    group: &'static str,
    resource: &'static str,
    /// What its name adds to the resource's.
    suffix: &'static str,
    /// A field that the operator sets, and a value that it does not want.
    field: &'static str,
    value: fn() -> Value,
}

const VICTIMS: [Victim; 4] = [
    Victim {
        group: "/api/v1",
        resource: "services",
        suffix: "-adapters",
        field: "/spec/sessionAffinity",
        value: || json!("None"),
    },
    Victim {
        group: "/apis/policy/v1",
        resource: "poddisruptionbudgets",
        suffix: "-inference",
        field: "/spec/maxUnavailable",
        value: || json!("77%"),
    },
    Victim {
        group: "/apis/autoscaling/v2",
        resource: "horizontalpodautoscalers",
        suffix: "-inference",
        field: "/spec/maxReplicas",
        value: || json!(39),
    },
    Victim {
        group: "/apis/apps/v1",
        resource: "deployments",
        suffix: "-inference",
        field: "/spec/revisionHistoryLimit",
        value: || json!(7),
    },
];

/// What is done to a child.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Harm {
    Deleted,
    Edited,
    Relabelled,
    Disowned,
}

impl Harm {
    /// Every one.
    pub const ALL: [Self; 4] = [
        Self::Deleted,
        Self::Edited,
        Self::Relabelled,
        Self::Disowned,
    ];

    /// How it is told.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Deleted => "deleted",
            Self::Edited => "edited",
            Self::Relabelled => "relabelled",
            Self::Disowned => "stripped of its owner",
        }
    }
}

/// How long the repairs took.
#[derive(Debug, Default)]
pub struct Repairs {
    /// Seconds by harm.
    pub seconds: BTreeMap<Harm, Vec<f64>>,
    /// What never came back.
    pub lost: Vec<String>,
}

impl Repairs {
    /// All of them. What never came back took as long as was waited.
    pub fn all(&self) -> Vec<f64> {
        let lost = self.lost.iter().map(|_| PATIENCE.as_secs_f64());
        self.seconds
            .values()
            .flatten()
            .copied()
            .chain(lost)
            .collect()
    }
}

/// Harms so many children, one after the other, of resources that are drawn from the seed.
pub fn measure(
    api: &Api,
    resources: u32,
    count: u32,
    seed: u64,
    say: impl Fn(&str),
) -> Result<Repairs> {
    let watches = VICTIMS
        .iter()
        .map(|victim| api.watch(&format!("{}/{}", victim.group, victim.resource)))
        .collect::<Result<Vec<_>>>()?;
    let mut repairs = Repairs::default();
    let mut drawn = seed;
    for number in 0..count {
        drawn = next(drawn);
        let kinds = VICTIMS.len();
        let (victim, watch) = (
            &VICTIMS[number as usize % kinds],
            &watches[number as usize % kinds],
        );
        let harm = Harm::ALL[number as usize / kinds % Harm::ALL.len()];
        #[allow(clippy::cast_possible_truncation)] // below a number of resources
        let resource = ((drawn >> 33) % u64::from(resources)) as u32;
        match one(api, watch, victim, harm, resource)? {
            Some(took) => repairs
                .seconds
                .entry(harm)
                .or_default()
                .push(took.as_secs_f64()),
            None => repairs.lost.push(format!(
                "{} of {}, {}",
                victim.resource,
                name_of(resource),
                harm.name()
            )),
        }
        if number % 40 == 39 {
            say(&format!("{} of {count} children harmed", number + 1));
        }
    }
    Ok(repairs)
}

/// The time from the API server's answer to the harm, until the child is as it was; nothing when it never was.
fn one(
    api: &Api,
    watch: &Watch,
    victim: &Victim,
    harm: Harm,
    resource: u32,
) -> Result<Option<Duration>> {
    let name = format!("{}{}", name_of(resource), victim.suffix);
    let path = format!(
        "{}/namespaces/{}/{}/{name}",
        victim.group,
        namespace_of(resource),
        victim.resource
    );
    let before = api.get(&path)?;
    watch.skip();
    let change = match harm {
        Harm::Deleted => None,
        Harm::Edited => Some(nested(victim.field, (victim.value)())),
        Harm::Relabelled => {
            Some(json!({ "metadata": { "labels": { "chatbot.dev/cluster": "stolen" } } }))
        }
        Harm::Disowned => Some(json!({ "metadata": { "ownerReferences": null } })),
    };
    match change {
        None => api.delete(&path)?,
        Some(change) => api.merge(&path, &change)?,
    }
    let done = Instant::now();
    let mut harmed = false;
    while let Some(event) = watch.next(done + PATIENCE)? {
        if event.object["metadata"]["name"] != name.as_str()
            || event.object["metadata"]["namespace"] != before["metadata"]["namespace"]
        {
            continue;
        }
        // Its own change comes first; the repair may be heard before the answer to the harm is.
        harmed |= !is_as_before(&before, &event, victim, harm);
        if harmed && is_as_before(&before, &event, victim, harm) {
            return Ok(Some(event.heard.saturating_duration_since(done)));
        }
    }
    // What comes after this is measured on a resource that is whole.
    let _ = api.delete(&path); // it may be what is gone
    Ok(None)
}

fn is_as_before(before: &Value, event: &Event, victim: &Victim, harm: Harm) -> bool {
    let now = &event.object;
    if event.kind == "DELETED" || now["metadata"]["deletionTimestamp"].is_string() {
        return false;
    }
    let same = |pointer: &str| now.pointer(pointer) == before.pointer(pointer);
    let owners = |object: &Value| {
        object["metadata"]["ownerReferences"]
            .as_array()
            .map(Vec::len)
    };
    same(victim.field)
        && same("/metadata/labels")
        && owners(now) == owners(before)
        && (harm != Harm::Deleted || !same("/metadata/uid"))
}

/// `{"a":{"b":value}}` for `/a/b`.
fn nested(pointer: &str, value: Value) -> Value {
    pointer
        .split('/')
        .skip(1)
        .collect::<Vec<_>>()
        .into_iter()
        .rev()
        .fold(value, |inner, field| json!({ field: inner }))
}

/// A linear congruential generator (Knuth's constants): it only has to spread the harm.
const fn next(state: u64) -> u64 {
    state
        .wrapping_mul(6_364_136_223_846_793_005)
        .wrapping_add(1_442_695_040_888_963_407)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn heard(kind: &str, object: Value) -> Event {
        Event {
            heard: Instant::now(),
            kind: kind.to_owned(),
            object,
        }
    }

    fn service(uid: &str, affinity: &str, cluster: &str, owned: bool) -> Value {
        let owners = if owned { json!([{}]) } else { Value::Null };
        json!({
            "metadata": { "uid": uid, "labels": { "chatbot.dev/cluster": cluster }, "ownerReferences": owners },
            "spec": { "sessionAffinity": affinity },
        })
    }

    #[test]
    fn a_child_is_repaired_when_everything_harmed_is_as_it_was() {
        let before = service("1", "ClientIP", "a", true);
        let repaired =
            |harm, kind: &str, now| is_as_before(&before, &heard(kind, now), &VICTIMS[0], harm);
        let whole = || service("1", "ClientIP", "a", true);
        assert!(repaired(Harm::Edited, "MODIFIED", whole()));
        assert!(!repaired(
            Harm::Edited,
            "MODIFIED",
            service("1", "None", "a", true)
        ));
        assert!(!repaired(
            Harm::Relabelled,
            "MODIFIED",
            service("1", "ClientIP", "b", true)
        ));
        assert!(!repaired(
            Harm::Disowned,
            "MODIFIED",
            service("1", "ClientIP", "a", false)
        ));
        assert!(!repaired(Harm::Deleted, "DELETED", whole()));
        assert!(!repaired(Harm::Deleted, "MODIFIED", whole()));
        assert!(repaired(
            Harm::Deleted,
            "ADDED",
            service("2", "ClientIP", "a", true)
        ));
    }

    #[test]
    fn a_field_is_named_by_its_path() {
        assert_eq!(nested("/spec/a", json!(1)), json!({ "spec": { "a": 1 } }));
    }

    #[test]
    fn what_never_came_back_is_not_left_out() {
        let repairs = Repairs {
            seconds: BTreeMap::from([(Harm::Edited, vec![0.1])]),
            lost: vec!["a".to_owned()],
        };
        assert_eq!(repairs.all(), [0.1, 30.0]);
    }
}
