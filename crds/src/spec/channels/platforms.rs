//! The chat platforms of others, and programs of the user's own. What is secret is in a Secret of the resource's
//! namespace; a channel whose Secret lacks a key does not start, and says so.

use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::rules::channels::{self, PUBLIC_KEY};
use crate::spec::{SecretRef, shapes};

/// The `WhatsApp` Cloud API.
#[derive(KubeSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct WhatsApp {
    /// The id of the business's phone number, as Meta's App Dashboard shows it; not the number itself.
    #[serde(rename = "phoneNumberID")]
    #[schemars(length(min = 1, max = 128))]
    #[x_kube(validation = channels::platform_id())]
    pub phone_number_id: String,

    /// The Secret with the keys `accessToken`, `appSecret` and `verifyToken`.
    pub secret_ref: SecretRef,

    /// Base address of the platform's API. Absent: `https://graph.facebook.com`.
    #[serde(default, rename = "apiURL", skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 512))]
    #[x_kube(validation = shapes::url())]
    pub api_url: Option<String>,
}

/// A Telegram bot.
#[derive(KubeSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Telegram {
    /// `Polling` asks for what is new, and needs no public address. `Webhook` is told, and needs `exposure`.
    #[serde(default)]
    pub transport: PollingTransport,

    /// The Secret with the key `botToken`; with `Webhook` also `webhookSecret`.
    pub secret_ref: SecretRef,

    /// Base address of the platform's API, such as that of a Bot API server of your own. Absent:
    /// `https://api.telegram.org`.
    #[serde(default, rename = "apiURL", skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 512))]
    #[x_kube(validation = shapes::url())]
    pub api_url: Option<String>,
}

/// A Slack app.
#[derive(KubeSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Slack {
    /// `LongConnection` is Socket Mode, and needs no public address. `Webhook` is the Events API, and needs `exposure`.
    #[serde(default)]
    pub transport: ConnectionTransport,

    /// The Secret with the key `botToken`; with `LongConnection` also `appToken`, with `Webhook` also `signingSecret`.
    pub secret_ref: SecretRef,

    /// Base address of the platform's API. Absent: `https://slack.com/api`.
    #[serde(default, rename = "apiURL", skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 512))]
    #[x_kube(validation = shapes::url())]
    pub api_url: Option<String>,
}

/// A Discord application.
#[derive(KubeSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Discord {
    /// The application's public key, 64 hexadecimal digits. With it interactions, such as slash commands, come as
    /// requests, which needs `exposure`; absent: over the connection, like messages.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 64))]
    #[x_kube(validation = Rule::new("self.matches('^[0-9a-fA-F]{64}$')").message(PUBLIC_KEY))]
    pub interactions_public_key: Option<String>,

    /// The Secret with the key `botToken`.
    pub secret_ref: SecretRef,

    /// Base address of the platform's API. Absent: `https://discord.com/api/v10`.
    #[serde(default, rename = "apiURL", skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 512))]
    #[x_kube(validation = shapes::url())]
    pub api_url: Option<String>,
}

/// A Feishu or Lark app.
#[derive(KubeSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Feishu {
    /// The app's id, such as `cli_a1b2c3`.
    #[serde(rename = "appID")]
    #[schemars(length(min = 1, max = 128))]
    #[x_kube(validation = channels::platform_id())]
    pub app_id: String,

    /// `LongConnection` needs no public address. `Webhook` needs `exposure`.
    #[serde(default)]
    pub transport: ConnectionTransport,

    /// The Secret with the key `appSecret`; with `Webhook` also `encryptKey` and `verificationToken`.
    pub secret_ref: SecretRef,

    /// Base address of the platform's API. Absent: `https://open.feishu.cn`; for Lark it is
    /// `https://open.larksuite.com`.
    #[serde(default, rename = "apiURL", skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 512))]
    #[x_kube(validation = shapes::url())]
    pub api_url: Option<String>,
}

/// A program of your own.
#[derive(KubeSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Webhook {
    /// Where replies are sent.
    #[serde(rename = "replyURL")]
    #[schemars(length(min = 1, max = 512))]
    #[x_kube(validation = shapes::url())]
    pub reply_url: String,

    /// The Secret with the key `signingKey`, by which both sides sign.
    pub secret_ref: SecretRef,
}

/// Clients of the `OpenAI` API.
#[derive(KubeSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct OpenAi {
    /// The Secret of which every key is a client, its value the client's bearer token.
    pub secret_ref: SecretRef,
}

/// Ways to a platform that can be asked for what is new.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum PollingTransport {
    /// The adapters ask.
    #[default]
    Polling,
    /// The platform sends requests.
    Webhook,
}

/// Ways to a platform that keeps a connection.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum ConnectionTransport {
    /// The adapters open a connection.
    #[default]
    LongConnection,
    /// The platform sends requests.
    Webhook,
}
