//! The platform of a channel, as the gateway is told of it.
//!
//! What is secret is not in it: the values of a channel's Secret are files, `/channels/<channel>/<key>`.

use serde::{Deserialize, Serialize};

use crate::settings::Platform;
use crate::spec::{ConnectionTransport, PollingTransport};

/// The folder that the Secrets of the channels are mounted at, one folder per channel, one file per key.
pub const CHANNELS_DIRECTORY: &str = "/channels";

/// The platform of a channel and its options.
///
/// `api_url` is the base address of the platform's API; absent: the platform's own.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(
    deny_unknown_fields,
    rename_all = "camelCase",
    rename_all_fields = "camelCase"
)]
pub enum PlatformConfig {
    /// The web chat served by the gateway itself.
    WebChat {
        /// Origins whose pages may open the socket; empty: the page's own origin only.
        allowed_origins: Vec<String>,
    },
    /// The `WhatsApp` Cloud API. Keys: `accessToken`, `appSecret`, `verifyToken`.
    WhatsApp {
        /// The id of the business's phone number.
        #[serde(rename = "phoneNumberID")]
        phone_number_id: String,
        /// Such as `https://graph.facebook.com`.
        #[serde(default, rename = "apiURL", skip_serializing_if = "Option::is_none")]
        api_url: Option<String>,
    },
    /// A Telegram bot. Keys: `botToken`; on a webhook also `webhookSecret`.
    Telegram {
        /// Polling or webhook.
        transport: ChannelTransport,
        /// Such as `https://api.telegram.org`.
        #[serde(default, rename = "apiURL", skip_serializing_if = "Option::is_none")]
        api_url: Option<String>,
    },
    /// A Slack app. Keys: `botToken`; on a long connection `appToken`, on a webhook `signingSecret`.
    Slack {
        /// Long connection (Socket Mode) or webhook (Events API).
        transport: ChannelTransport,
        /// Such as `https://slack.com/api`.
        #[serde(default, rename = "apiURL", skip_serializing_if = "Option::is_none")]
        api_url: Option<String>,
    },
    /// A Discord application. Key: `botToken`.
    Discord {
        /// The application's public key, 64 hexadecimal digits: with it, interactions come by webhook.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        interactions_public_key: Option<String>,
        /// Such as `https://discord.com/api/v10`.
        #[serde(default, rename = "apiURL", skip_serializing_if = "Option::is_none")]
        api_url: Option<String>,
    },
    /// A Feishu or Lark app. Keys: `appSecret`; on a webhook also `encryptKey` and `verificationToken`.
    Feishu {
        /// The app's id, such as `cli_a1b2c3`.
        #[serde(rename = "appID")]
        app_id: String,
        /// Long connection or webhook.
        transport: ChannelTransport,
        /// Such as `https://open.feishu.cn`, or `https://open.larksuite.com` for Lark.
        #[serde(default, rename = "apiURL", skip_serializing_if = "Option::is_none")]
        api_url: Option<String>,
    },
    /// A program of the user's own, by signed requests both ways. Key: `signingKey`.
    Webhook {
        /// Where replies are sent.
        #[serde(rename = "replyURL")]
        reply_url: String,
    },
    /// Clients of the `OpenAI` API. Every key is a client, its value the bearer token.
    #[serde(rename = "openAI")]
    OpenAi {},
}

/// How a platform that offers several ways is spoken to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ChannelTransport {
    /// A connection that the gateway opens.
    LongConnection,
    /// Requests by which the gateway asks for what is new.
    Polling,
    /// Requests of the platform.
    Webhook,
}

/// The configuration of a platform that needs nothing but its own fields; of the web chat, its own origin alone.
pub(super) fn of_others(platform: &Platform) -> PlatformConfig {
    match platform {
        Platform::WebChat { allowed_origins } => PlatformConfig::WebChat {
            allowed_origins: allowed_origins.clone(),
        },
        Platform::WhatsApp(one) => PlatformConfig::WhatsApp {
            phone_number_id: one.phone_number_id.clone(),
            api_url: one.api_url.clone(),
        },
        Platform::Telegram(one) => PlatformConfig::Telegram {
            transport: match one.transport {
                PollingTransport::Polling => ChannelTransport::Polling,
                PollingTransport::Webhook => ChannelTransport::Webhook,
            },
            api_url: one.api_url.clone(),
        },
        Platform::Slack(one) => PlatformConfig::Slack {
            transport: one.transport.into(),
            api_url: one.api_url.clone(),
        },
        Platform::Discord(one) => PlatformConfig::Discord {
            interactions_public_key: one.interactions_public_key.clone(),
            api_url: one.api_url.clone(),
        },
        Platform::Feishu(one) => PlatformConfig::Feishu {
            app_id: one.app_id.clone(),
            transport: one.transport.into(),
            api_url: one.api_url.clone(),
        },
        Platform::Webhook(one) => PlatformConfig::Webhook {
            reply_url: one.reply_url.clone(),
        },
        Platform::OpenAi(_) => PlatformConfig::OpenAi {},
    }
}

impl From<ConnectionTransport> for ChannelTransport {
    fn from(transport: ConnectionTransport) -> Self {
        match transport {
            ConnectionTransport::LongConnection => Self::LongConnection,
            ConnectionTransport::Webhook => Self::Webhook,
        }
    }
}
