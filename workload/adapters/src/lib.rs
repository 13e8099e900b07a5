//! What each chat platform's messages look like: one file per platform, one entry in [`ALL`].
//!
//! Everything here is pure: bytes and headers in, canonical messages out; a reply in, requests as plain values out; a
//! platform's response in, a verdict out. Sockets, HTTP clients and clocks belong to the gateway's transports, which know
//! nothing of any format.
//!
//! ```text
//! Head ──check_headers──▶ Admission      Delivery ──parse_message──▶ Parsed
//! Reply ──format_response──▶ [Request]   Response ──classify──▶ Verdict
//! Frame ──Link::heard──▶ [Step]
//! ```
//!
//! # Accounts
//! A user alone with the bot is one account, the platform's id of the user. A user in a group is another account, one per
//! group (`user@group`): order and context are kept per account, so a group's conversation never tells what was said in
//! private, and two people in one group do not run into each other.

pub mod discord;
pub mod feishu;
pub mod open_ai;
pub mod slack;
pub mod telegram;
pub mod web_chat;
pub mod webhook;
pub mod whats_app;

mod adapter;
mod draft;
mod inbound;
mod json;
mod link;
mod outbound;
mod secrets;
mod sign;
mod split;
mod text;

pub use adapter::ProtocolAdapter;
pub use inbound::{
    Admission, Answer, Delivery, Event, Fault, Head, Me, Notice, Parsed, Progress, Refusal,
};
pub use link::{Ending, Frame, Heard, Link, Parcel, Step};
pub use outbound::{Limits, Polled, Rate, Request, Response, Scope, Session, Verdict};
pub use secrets::Secrets;

use std::sync::Arc;

use chatbot_crds::config::PlatformConfig;

/// Every platform.
pub const ALL: &[Platform] = &[
    web_chat::PLATFORM,
    whats_app::PLATFORM,
    telegram::PLATFORM,
    slack::PLATFORM,
    discord::PLATFORM,
    feishu::PLATFORM,
    webhook::PLATFORM,
    open_ai::PLATFORM,
];

/// One platform: its name, and its adapter for a channel's configuration.
pub struct Platform {
    /// The name, as the resource writes it.
    pub name: &'static str,
    /// A channel's configuration for looking at single deliveries, without anything that is the user's own.
    pub example: fn() -> PlatformConfig,
    /// The adapter, if the configuration is this platform's.
    pub adapter: fn(&PlatformConfig, Secrets) -> Option<Arc<dyn ProtocolAdapter>>,
}

/// How a platform's bytes reach the gateway and leave it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transport {
    /// Users' own sockets (WebSocket), accepted by the gateway.
    Socket,
    /// Requests of the platform, answered at once; replies are requests to the platform.
    Webhook,
    /// A connection (WebSocket) that the gateway opens to the platform; replies are requests to the platform.
    LongConnection,
    /// Requests by which the gateway asks the platform for what is new; replies are requests to the platform.
    Polling,
    /// Requests of a client that stay open until their reply, which is the response.
    Exchange,
}

/// The adapter for a channel's platform; absent only when [`ALL`] lacks an entry.
#[must_use]
pub fn find(config: &PlatformConfig, secrets: &Secrets) -> Option<Arc<dyn ProtocolAdapter>> {
    ALL.iter()
        .find_map(|platform| (platform.adapter)(config, secrets.clone()))
}

/// The platform of a name, as the resource writes it.
#[must_use]
pub fn named(name: &str) -> Option<&'static Platform> {
    ALL.iter().find(|platform| platform.name == name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_platform_has_an_adapter_for_its_own_configuration_and_no_other() {
        for platform in ALL {
            let config = (platform.example)();
            let makers: Vec<_> = ALL
                .iter()
                .filter(|maker| (maker.adapter)(&config, Secrets::default()).is_some())
                .map(|maker| maker.name)
                .collect();
            assert_eq!(makers, [platform.name]);
            assert_eq!(
                named(platform.name).map(|found| found.name),
                Some(platform.name)
            );
        }
    }

    #[test]
    fn an_adapter_without_its_secrets_accepts_nothing_that_comes_from_outside() {
        let head = http::HeaderMap::new();
        for platform in ALL {
            let Some(adapter) = find(&(platform.example)(), &Secrets::default()) else {
                panic!("{} has no adapter", platform.name);
            };
            for via in [Transport::Webhook, Transport::Exchange, Transport::Socket] {
                let refusal = adapter
                    .parse_message(&Delivery {
                        via,
                        ..Delivery::of("channel", &head, b"{}")
                    })
                    .unwrap_err();
                assert!(!refusal.message.is_empty(), "{}", platform.name);
            }
        }
    }
}
