//! The ways in.

use kube::KubeSchema;
use serde::{Deserialize, Serialize};

use super::shapes;

/// One channel: a chat platform and how it is reached. Exactly one platform must be set.
#[derive(KubeSchema, Clone, Debug, PartialEq, Serialize, Deserialize)]
#[x_kube(validation = Rule::new("[has(self.webChat)].filter(p, p).size() == 1").message(crate::rules::ONE_PLATFORM))]
#[serde(rename_all = "camelCase")]
pub struct Channel {
    /// The channel's name: a DNS label, unique in the resource. It is in the channel's address.
    #[schemars(length(min = 1, max = 40))]
    #[x_kube(validation = Rule::new("self.matches('^[a-z0-9]([-a-z0-9]*[a-z0-9])?$')").message(crate::rules::CHANNEL_NAME))]
    pub name: String,

    /// The web chat: a page of its own, served by the adapters. `webChat: {}` is enough.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub web_chat: Option<WebChat>,
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
