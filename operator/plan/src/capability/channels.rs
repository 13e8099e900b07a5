//! Whether every channel can receive and send, as the adapters report it.

use chatbot_crds::config::{ChannelState, State};
use chatbot_crds::settings::Platform;
use chatbot_crds::spec::{ConnectionTransport, PollingTransport};
use chatbot_crds::status::{Readiness, Transport};
use chatbot_crds::{ConditionType, Reason};

use crate::facts::Facts;
use crate::proposal::{Component, Condition, Proposal, Verdict};
use crate::status::{ChannelReport, Section};
use crate::world::{Signal, World};

pub(super) fn propose(world: &World, facts: &Facts) -> Proposal {
    let pods = world.observed.pods_of(Component::Adapters);
    let told: Vec<&State> = pods
        .filter(|pod| pod.ready && pod.config_maps.contains(&facts.adapters_config.name))
        .filter_map(|pod| match &pod.state {
            Signal::Known { value, .. } => Some(value),
            Signal::Unknown(_) => None,
        })
        .collect();
    let channels = world.settings.channels.iter();
    let reports = channels
        .map(|channel| report(&channel.name, &channel.platform, &told))
        .collect::<Vec<_>>();
    Proposal {
        verdict: Some(Verdict::Decided(condition(&reports))),
        sections: vec![Section::Channels(reports)],
        ..Proposal::default()
    }
}

/// What the pods tell of a channel: where one cannot, all that it says is told; a connection is one pod's, and the others
/// know nothing of it.
fn report(name: &str, platform: &Platform, told: &[&State]) -> ChannelReport {
    let (secret, transport) = (platform.secret(), transport(platform));
    let platform = platform.name();
    let states = told.iter().filter_map(|state| {
        let mut channels = state.channels.iter();
        channels.find(|channel| channel.name == name)
    });
    let state = states.min_by_key(|channel| match channel.ready {
        Some(false) => 0,
        Some(true) => 1,
        None => 2,
    });
    let (ready, reason, message) = match state {
        Some(ChannelState {
            ready: Some(ready),
            reason,
            message,
            ..
        }) => {
            let readiness = if *ready {
                Readiness::True
            } else {
                Readiness::False
            };
            let reason = known(reason, *ready);
            (readiness, reason, naming(secret, reason, message))
        }
        Some(ChannelState { message, .. }) => {
            (Readiness::Unknown, Reason::Pending, message.clone())
        }
        None => (
            Readiness::Unknown,
            Reason::Pending,
            "no ready adapters pod has reported it yet".to_owned(),
        ),
    };
    ChannelReport {
        name: name.to_owned(),
        platform: platform.to_owned(),
        transport,
        ready,
        reason,
        message,
    }
}

/// What a gateway says of a Secret, with the Secret's name, which it is not told.
fn naming(secret: Option<&str>, reason: Reason, message: &str) -> String {
    match (secret, reason) {
        (
            Some(secret),
            Reason::SecretMissing | Reason::SecretKeyMissing | Reason::CredentialsRejected,
        ) => format!("Secret {secret}: {message}"),
        _ => message.to_owned(),
    }
}

/// How a channel's messages arrive.
fn transport(platform: &Platform) -> Transport {
    let kept = |transport| match transport {
        ConnectionTransport::LongConnection => Transport::LongConnection,
        ConnectionTransport::Webhook => Transport::Webhook,
    };
    match platform {
        Platform::WebChat { .. } | Platform::Discord(_) => Transport::LongConnection,
        Platform::Slack(one) => kept(one.transport),
        Platform::Feishu(one) => kept(one.transport),
        Platform::Telegram(one) => match one.transport {
            PollingTransport::Polling => Transport::Polling,
            PollingTransport::Webhook => Transport::Webhook,
        },
        Platform::WhatsApp(_) | Platform::Webhook(_) | Platform::OpenAi(_) => Transport::Webhook,
    }
}

/// A reason that this release does not know is told by its meaning.
fn known(reason: &str, ready: bool) -> Reason {
    let fallback = if ready {
        Reason::Listening
    } else {
        Reason::Disconnected
    };
    reason
        .parse()
        .ok()
        .filter(|reason| ConditionType::ChannelsReady.reasons().contains(reason))
        .unwrap_or(fallback)
}

/// The worst channel speaks for all: one that fails before one that is unknown.
fn condition(reports: &[ChannelReport]) -> Condition {
    let of = |ready| reports.iter().find(|report| report.ready == ready);
    let (status, reason, message) = match (of(Readiness::False), of(Readiness::Unknown)) {
        (Some(worst), _) => (
            Some(false),
            worst.reason,
            format!("channel {}: {}", worst.name, worst.message),
        ),
        (None, Some(unknown)) => (
            None,
            unknown.reason,
            format!("channel {}: {}", unknown.name, unknown.message),
        ),
        (None, None) => (
            Some(true),
            Reason::AllReady,
            "every channel can receive and send".to_owned(),
        ),
    };
    Condition {
        kind: ConditionType::ChannelsReady,
        status,
        reason,
        message,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::example::world;

    fn told(ready: Option<bool>, reason: &str) -> Condition {
        told_by(&[(ready, reason), (ready, reason)])
    }

    /// What is told when one pod after the other says so of every channel.
    fn told_by(pods: &[(Option<bool>, &str)]) -> Condition {
        let mut world = world().passed().rolled_out(2);
        let adapters = world.observed.pods.iter_mut();
        let adapters = adapters.filter(|pod| pod.component == Component::Adapters);
        for (pod, (ready, reason)) in adapters.zip(pods) {
            if let Signal::Known { value, .. } = &mut pod.state {
                for channel in &mut value.channels {
                    channel.ready = *ready;
                    (*reason).clone_into(&mut channel.reason);
                }
            }
        }
        match propose(&world, &Facts::of(&world)).verdict {
            Some(Verdict::Decided(condition)) => condition,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn what_a_gateway_reports_is_told() {
        for (ready, reported, status, reason) in [
            (Some(true), "Listening", Some(true), Reason::AllReady),
            (
                Some(false),
                "Disconnected",
                Some(false),
                Reason::Disconnected,
            ),
            (
                Some(false),
                "OfAnotherRelease",
                Some(false),
                Reason::Disconnected,
            ),
            (None, "Pending", None, Reason::Pending),
        ] {
            let condition = told(ready, reported);
            assert_eq!(
                (condition.status, condition.reason),
                (status, reason),
                "{ready:?} {reported}"
            );
        }
    }

    #[test]
    fn the_pod_that_cannot_speaks_first_and_then_the_one_that_holds_the_connection() {
        let (holds, elsewhere) = ((Some(true), "Connected"), (None, "Pending"));
        let rejected = (Some(false), "CredentialsRejected");
        for (pods, status, reason) in [
            ([elsewhere, holds], Some(true), Reason::AllReady),
            ([holds, elsewhere], Some(true), Reason::AllReady),
            ([holds, rejected], Some(false), Reason::CredentialsRejected),
            ([elsewhere, elsewhere], None, Reason::Pending),
        ] {
            let condition = told_by(&pods);
            assert_eq!((condition.status, condition.reason), (status, reason));
        }
    }

    #[test]
    fn a_gateway_with_another_configuration_does_not_speak_for_this_one() {
        let mut world = world().passed().rolled_out(2);
        for pod in &mut world.observed.pods {
            pod.config_maps = vec!["support-adapters-older".to_owned()];
        }
        let proposal = propose(&world, &Facts::of(&world));
        assert!(matches!(
            proposal.verdict,
            Some(Verdict::Decided(Condition {
                status: None,
                reason: Reason::Pending,
                ..
            }))
        ));
    }
}
