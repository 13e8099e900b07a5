//! The store: whether it can be used, as the pods find it, and one for development where none is named.

use std::collections::BTreeMap;

use chatbot_crds::config::{BackboneState, DEVELOPMENT_STORE_PORT, State};
use chatbot_crds::settings::Resources;
use chatbot_crds::spec::Quantity;
use chatbot_crds::{ConditionType, Reason};

use crate::backbone::{Found, found};
use crate::development::{DATA_DIRECTORY, Server, keep_one, objects};
use crate::facts::Facts;
use crate::proposal::{Component, Condition, Proposal, Verdict};
use crate::world::World;

/// Where the official image has the server.
const SERVER: &str = "/usr/local/bin/redis-server";
/// Bytes that it may hold; its pod's limit leaves room for connections.
const MAXIMUM: &str = "192mb";

pub(super) fn propose(world: &World, facts: &Facts) -> Proposal {
    let condition = condition(world, facts);
    if world.settings.redis.is_some() {
        return Proposal {
            verdict: Some(Verdict::Decided(condition)),
            ..Proposal::default()
        };
    }
    Proposal {
        pods: BTreeMap::from([(Component::Store, server(world).pod(world))]),
        objects: objects(world, Component::Store, DEVELOPMENT_STORE_PORT),
        actions: keep_one(world, Component::Store).into_iter().collect(),
        verdict: Some(Verdict::Behind {
            component: Component::Store,
            condition,
        }),
        ..Proposal::default()
    }
}

fn condition(world: &World, facts: &Facts) -> Condition {
    let seen = |state: &State| -> Option<BackboneState> { state.store.clone() };
    let (status, reason, message) = match found(world, facts, seen) {
        Found::Usable if world.settings.redis.is_none() => (
            Some(true),
            Reason::DevelopmentStore,
            "one pod holds sessions and routes, for development: name a Redis in state.redis for production"
                .to_owned(),
        ),
        Found::Usable => (
            Some(true),
            Reason::StoreReady,
            "the store can be used".to_owned(),
        ),
        Found::Unusable(reason, message) => (
            Some(false),
            reason
                .filter(|reason| ConditionType::StateReady.reasons().contains(reason))
                .unwrap_or(Reason::StoreUnreachable),
            message,
        ),
        Found::Unknown => (
            None,
            Reason::Pending,
            "no pod has told about the store yet".to_owned(),
        ),
    };
    Condition {
        kind: ConditionType::StateReady,
        status,
        reason,
        message,
    }
}

/// It writes nothing to disk: what it holds can be read from the broker again.
fn server(world: &World) -> Server<'_> {
    let quantities = |values: &[(&str, &str)]| {
        let values = values.iter();
        values
            .map(|(key, value)| ((*key).to_owned(), Quantity::from(*value)))
            .collect()
    };
    let arguments = [
        SERVER,
        "--port",
        "6379",
        "--bind",
        "* -::*",
        "--protected-mode",
        "no",
        "--save",
        "",
        "--appendonly",
        "no",
        "--maxmemory",
        MAXIMUM,
        "--maxmemory-policy",
        "noeviction",
        "--dir",
        DATA_DIRECTORY,
    ];
    Server {
        image: &world.release.store_image,
        command: arguments.map(str::to_owned).to_vec(),
        port: DEVELOPMENT_STORE_PORT,
        resources: Resources {
            requests: quantities(&[("cpu", "50m"), ("memory", "64Mi")]),
            limits: quantities(&[("memory", "256Mi")]),
        },
        volumes: Vec::new(),
        before: None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::example::{world, world_with};
    use crate::world::Signal;

    const NAMED: &str = "  state: { redis: { addresses: [\"redis:6379\"] } }\n";

    fn told(world: &World) -> (Option<bool>, Reason, String) {
        let conditions = crate::plan(world).conditions.into_iter();
        let mut conditions = conditions.filter(|told| told.kind == ConditionType::StateReady);
        let condition = conditions.next().unwrap();
        (condition.status, condition.reason, condition.message)
    }

    #[test]
    fn why_a_store_cannot_be_used_is_told_in_the_words_of_the_pods() {
        for (usable, reason, condition) in [
            (Some(true), "StoreReady", Reason::StoreReady),
            (
                Some(false),
                "StoreRefusesWrites",
                Reason::StoreRefusesWrites,
            ),
            (
                Some(false),
                "CredentialsRejected",
                Reason::CredentialsRejected,
            ),
            (Some(false), "EvictionEnabled", Reason::EvictionEnabled),
            (Some(false), "OfAnotherRelease", Reason::StoreUnreachable),
            (Some(false), "BrokerUnreachable", Reason::StoreUnreachable),
        ] {
            let mut world = world_with(|yaml| yaml + NAMED).passed().rolled_out(2);
            let mut pods = world.observed.pods.iter_mut();
            let pod = pods.find(|pod| pod.component == Component::Workers);
            let Some(Signal::Known { value, .. }) = pod.map(|pod| &mut pod.state) else {
                panic!("no worker has told");
            };
            value.store = Some(BackboneState {
                usable,
                reason: reason.to_owned(),
                message: "OOM command not allowed".to_owned(),
            });
            let (status, told, message) = told(&world);
            assert_eq!((status, told), (usable, condition), "{reason}");
            assert_eq!(message == "OOM command not allowed", usable == Some(false));
        }
    }

    #[test]
    fn a_store_for_development_is_run_where_none_is_named_and_says_that_it_is_one() {
        let world = world().passed().rolled_out(2);
        assert_eq!(told(&world).1, Reason::DevelopmentStore);
        let named = world_with(|yaml| yaml + NAMED).passed().rolled_out(2);
        assert_eq!(told(&named).1, Reason::StoreReady);
        let pods = crate::plan(&named).objects.into_iter();
        assert!(
            pods.into_iter()
                .all(|object| object.component != Some(Component::Store))
        );
    }
}
