//! The ways in.

mod platforms;

pub use platforms::{
    ConnectionTransport, Discord, Feishu, OpenAi, PollingTransport, Slack, Telegram, Webhook,
    WhatsApp,
};

use kube::KubeSchema;
use serde::{Deserialize, Serialize};

use super::shapes;
use crate::rules;
use crate::rules::channels::{SAME_PLATFORM, one_platform, same_platform};

/// One channel: a chat platform and how it is reached. Exactly one platform must be set. Requests of a platform arrive
/// at `https://<exposure.host>/channels/<name>`.
#[derive(KubeSchema, Clone, Debug, PartialEq, Serialize, Deserialize)]
#[x_kube(
    validation = Rule::new(one_platform()).message(rules::ONE_PLATFORM),
    validation = Rule::new(same_platform()).message(SAME_PLATFORM)
)]
#[serde(rename_all = "camelCase")]
pub struct Channel {
    /// The channel's name: a DNS label, unique in the resource. It is in the channel's address.
    #[schemars(length(min = 1, max = 40))]
    #[x_kube(validation = Rule::new("self.matches('^[a-z0-9]([-a-z0-9]*[a-z0-9])?$')").message(crate::rules::CHANNEL_NAME))]
    pub name: String,

    /// The web chat: a page of its own, served by the adapters. `webChat: {}` is enough.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub web_chat: Option<WebChat>,

    /// The `WhatsApp` Cloud API.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub whats_app: Option<WhatsApp>,

    /// A Telegram bot.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub telegram: Option<Telegram>,

    /// A Slack app.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub slack: Option<Slack>,

    /// A Discord application.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub discord: Option<Discord>,

    /// A Feishu or Lark app.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub feishu: Option<Feishu>,

    /// A program of your own, by signed requests both ways.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub webhook: Option<Webhook>,

    /// Clients of the `OpenAI` API, at `/channels/<name>/v1/chat/completions`.
    #[serde(default, rename = "openAI", skip_serializing_if = "Option::is_none")]
    pub open_ai: Option<OpenAi>,
}

/// The web chat.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct WebChat {
    /// Origins whose pages may open the chat, such as `https://shop.example.com`. Absent: the chat's own page only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "shapes::origins")]
    pub allowed_origins: Option<Vec<String>>,
}
