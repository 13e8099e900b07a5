//! The rules of `channels`.

use kube::core::Rule;

use super::text::{is_label, is_object_name, is_origin, is_url};
use super::{Broken, CHANNEL_NAME, OBJECT_NAME, ONE_PLATFORM, ORIGIN, URL};
use crate::spec::{Channel, ChatBotClusterSpec, ConnectionTransport, PollingTransport, SecretRef};

/// Every platform, as the resource names it.
const PLATFORMS: [&str; 8] = [
    "webChat", "whatsApp", "telegram", "slack", "discord", "feishu", "webhook", "openAI",
];
pub(crate) const SAME_PLATFORM: &str = "the platform of a channel is immutable: its routes and conversations belong \
                                        to it; remove the channel and add one under another `name`";
pub(crate) const EXPOSED: &str = "`exposure` must be set when a channel receives webhooks (whatsApp, discord \
                                  interactions, or `transport: Webhook`): the platform must be able to reach it";
pub(crate) const EXPOSED_RULE: &str = "has(self.exposure) || !self.channels.exists(c, has(c.whatsApp) || \
    (has(c.telegram) && c.telegram.transport == 'Webhook') || (has(c.slack) && c.slack.transport == 'Webhook') || \
    (has(c.discord) && has(c.discord.interactionsPublicKey)) || (has(c.feishu) && c.feishu.transport == 'Webhook'))";
pub(crate) const PUBLIC_KEY: &str = "must be 64 hexadecimal digits";
pub(crate) const PLATFORM_ID: &str =
    "must be the platform's id of it: letters, digits, '-' and '_'";

/// The rule that exactly one platform is set.
pub(crate) fn one_platform() -> String {
    let set: Vec<_> = PLATFORMS
        .iter()
        .map(|name| format!("has(self.{name})"))
        .collect();
    format!("[{}].filter(p, p).size() == 1", set.join(", "))
}

/// The rule that the platform stays what it was.
pub(crate) fn same_platform() -> String {
    let same: Vec<_> = PLATFORMS
        .iter()
        .map(|name| format!("has(self.{name}) == has(oldSelf.{name})"))
        .collect();
    same.join(" && ")
}

/// The rule that a text can be a platform's id of something.
pub(crate) fn platform_id() -> Rule {
    Rule::new("self.matches('^[-_A-Za-z0-9]+$')").message(PLATFORM_ID)
}

/// A platform's fields, as far as several have them.
struct Common<'c> {
    platform: &'static str,
    secret: Option<&'c SecretRef>,
    url: Option<(&'static str, &'c str)>,
    id: Option<(&'static str, &'c str)>,
}

fn api(url: Option<&String>) -> Option<(&'static str, &str)> {
    url.map(|url| ("apiURL", url.as_str()))
}

/// The platforms that a channel sets.
fn set(channel: &Channel) -> Vec<Common<'_>> {
    let mut set = Vec::new();
    let mut add = |platform, secret, url, id| {
        set.push(Common {
            platform,
            secret,
            url,
            id,
        });
    };
    if channel.web_chat.is_some() {
        add("webChat", None, None, None);
    }
    if let Some(one) = &channel.whats_app {
        let id = ("phoneNumberID", one.phone_number_id.as_str());
        add(
            "whatsApp",
            Some(&one.secret_ref),
            api(one.api_url.as_ref()),
            Some(id),
        );
    }
    if let Some(one) = &channel.telegram {
        add(
            "telegram",
            Some(&one.secret_ref),
            api(one.api_url.as_ref()),
            None,
        );
    }
    if let Some(one) = &channel.slack {
        add(
            "slack",
            Some(&one.secret_ref),
            api(one.api_url.as_ref()),
            None,
        );
    }
    if let Some(one) = &channel.discord {
        add(
            "discord",
            Some(&one.secret_ref),
            api(one.api_url.as_ref()),
            None,
        );
    }
    if let Some(one) = &channel.feishu {
        let id = ("appID", one.app_id.as_str());
        add(
            "feishu",
            Some(&one.secret_ref),
            api(one.api_url.as_ref()),
            Some(id),
        );
    }
    if let Some(one) = &channel.webhook {
        let url = ("replyURL", one.reply_url.as_str());
        add("webhook", Some(&one.secret_ref), Some(url), None);
    }
    if let Some(one) = &channel.open_ai {
        add("openAI", Some(&one.secret_ref), None, None);
    }
    set
}

/// Whether the platform of a channel sends requests.
fn receives_webhooks(channel: &Channel) -> bool {
    let by = |transport: ConnectionTransport| transport == ConnectionTransport::Webhook;
    channel.whats_app.is_some()
        || channel
            .telegram
            .as_ref()
            .is_some_and(|one| one.transport == PollingTransport::Webhook)
        || channel.slack.as_ref().is_some_and(|one| by(one.transport))
        || channel
            .discord
            .as_ref()
            .is_some_and(|one| one.interactions_public_key.is_some())
        || channel.feishu.as_ref().is_some_and(|one| by(one.transport))
}

impl Broken {
    pub(super) fn channels(&mut self, spec: &ChatBotClusterSpec) {
        for (index, channel) in spec.channels.iter().enumerate() {
            self.channel(&format!("spec.channels[{index}]"), channel);
        }
        let exposed = spec.exposure.is_some() || !spec.channels.iter().any(receives_webhooks);
        self.unless(exposed, "spec.channels", "", EXPOSED);
    }

    fn channel(&mut self, path: &str, channel: &Channel) {
        let name = format!("{path}.name");
        self.unless(is_label(&channel.name), &name, &channel.name, CHANNEL_NAME);
        let platforms = set(channel);
        self.unless(platforms.len() == 1, path, "", ONE_PLATFORM);
        let web_chat = channel.web_chat.as_ref();
        let origins = web_chat.and_then(|one| one.allowed_origins.as_ref());
        for (index, origin) in origins.into_iter().flatten().enumerate() {
            let path = format!("{path}.webChat.allowedOrigins[{index}]");
            self.unless(is_origin(origin), &path, origin, ORIGIN);
        }
        let discord = channel.discord.as_ref();
        if let Some(key) = discord.and_then(|one| one.interactions_public_key.as_ref()) {
            let is_key = key.len() == 64 && key.bytes().all(|byte| byte.is_ascii_hexdigit());
            let path = format!("{path}.discord.interactionsPublicKey");
            self.unless(is_key, &path, key, PUBLIC_KEY);
        }
        for one in platforms {
            let path = format!("{path}.{}", one.platform);
            if let Some(secret) = one.secret {
                let path = format!("{path}.secretRef.name");
                self.unless(
                    is_object_name(&secret.name),
                    &path,
                    &secret.name,
                    OBJECT_NAME,
                );
            }
            if let Some((field, url)) = one.url {
                self.unless(is_url(url), &format!("{path}.{field}"), url, URL);
            }
            if let Some((field, id)) = one.id {
                let is_id = !id.is_empty()
                    && id
                        .bytes()
                        .all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte));
                self.unless(is_id, &format!("{path}.{field}"), id, PLATFORM_ID);
            }
        }
    }
}
