//! From a Secret to a channel that runs, again whenever the Secret changes.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use chatbot_adapters::{Me, ProtocolAdapter, Request, Secrets, Transport, Verdict};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use super::{Channel, Hindrance, Kind, Reason, Running, secrets};
use crate::Gateway;
use crate::backoff::Backoff;
use crate::client::Client;

/// Runs a channel with whatever Secret it finds, until the gateway stops.
pub(crate) async fn follow(gateway: Arc<Gateway>, channel: Arc<Channel>) {
    let stop = gateway.stop.clone();
    let folder = gateway.secrets.join(&channel.name);
    let following = async {
        let mut found = look(&folder).await;
        loop {
            let ended = CancellationToken::new();
            let running = run(&gateway, &channel, found.as_ref(), &ended);
            let changed = change(&folder, found.as_ref(), gateway.limits.secrets);
            found = tokio::select! {
                never = running => match never {},
                found = changed => found,
            };
            info!(
                channel = channel.name,
                "its Secret has changed: it begins anew"
            );
            channel.running.send_replace(None);
            ended.cancel();
        }
    };
    stop.run_until_cancelled(following).await;
}

/// Begins with a Secret, and stays.
async fn run(
    gateway: &Gateway,
    channel: &Channel,
    found: Option<&Secrets>,
    ended: &CancellationToken,
) -> std::convert::Infallible {
    match complete(gateway, channel, found) {
        Ok(secrets) => begin(gateway, channel, &secrets, ended).await,
        Err(missing) => {
            warn!(channel = channel.name, "{}", missing.message);
            channel.standing.fails(missing.reason, missing.message);
        }
    }
    std::future::pending().await
}

/// The Secret, if nothing of it is missing: a channel that cannot verify, or cannot send, receives nothing.
fn complete(
    gateway: &Gateway,
    channel: &Channel,
    found: Option<&Secrets>,
) -> Result<Secrets, Hindrance> {
    let wanted = channel.adapter.secrets();
    if wanted.is_empty() && channel.kind != Kind::Exchange {
        return Ok(Secrets::default());
    }
    let folder = gateway.secrets.join(&channel.name);
    let Some(secrets) = found else {
        let keys = match wanted {
            [] => "a key for each client".to_owned(),
            keys => format!("the keys {}", listed(keys)),
        };
        return Err(Hindrance {
            reason: Reason::SecretMissing,
            message: format!(
                "its Secret is not there ({} is missing): make it, with {keys}",
                folder.display()
            ),
        });
    };
    let missing = secrets.missing(wanted);
    if missing.is_empty() {
        return Ok(secrets.clone());
    }
    Err(Hindrance {
        reason: Reason::SecretKeyMissing,
        message: format!("its Secret has no {}: add it", listed(&missing)),
    })
}

fn listed(keys: &[&str]) -> String {
    let quoted: Vec<_> = keys.iter().map(|key| format!("`{key}`")).collect();
    quoted.join(", ")
}

/// Asks the platform who the bot is, which tries the credentials, and tells it where its webhooks go; then the channel
/// runs. Until then nothing is acknowledged to the platform, which repeats it.
async fn begin(gateway: &Gateway, channel: &Channel, secrets: &Secrets, ended: &CancellationToken) {
    let Some(adapter) = chatbot_adapters::find(&channel.platform, secrets) else {
        return;
    };
    let client = Client::new(gateway.http.clone(), Arc::clone(&adapter));
    let mut me = None;
    if let Some(request) = adapter.identify() {
        let reading = |response: &chatbot_adapters::Response| adapter.identified(response);
        me = Some(until_told(gateway, channel, &client, &request, reading).await);
    }
    if let Some(request) = subscription(gateway, channel, adapter.as_ref()) {
        let reading = |response: &chatbot_adapters::Response| match adapter.classify(response) {
            Verdict::Accepted { .. } => Ok(()),
            verdict => Err(verdict),
        };
        until_told(gateway, channel, &client, &request, reading).await;
    }
    let bot = me.as_ref().map(|me: &Me| me.id.clone());
    channel.running.send_replace(Some(Arc::new(Running {
        adapter,
        client,
        me,
        ended: ended.clone(),
    })));
    info!(channel = channel.name, bot, "the channel runs");
    // What hindered it had to do with another Secret.
    channel.standing.unhindered();
    match channel.kind {
        // Whoever holds it says more.
        _ if channel.is_held() => channel
            .standing
            .waits("it is not known yet which gateway receives its messages"),
        _ => channel.standing.receives(
            Reason::Listening,
            match channel.kind {
                Kind::Page => format!("users are served at /channels/{}/", channel.name),
                _ => format!("requests are taken at /channels/{}", channel.name),
            },
        ),
    }
}

/// The request that tells the platform where its webhooks go, if there is one and the gateway knows its own address.
fn subscription(
    gateway: &Gateway,
    channel: &Channel,
    adapter: &dyn ProtocolAdapter,
) -> Option<Request> {
    let public = gateway.public_url.as_deref()?;
    if !channel.takes(Transport::Webhook) {
        return None;
    }
    adapter.subscribe(Some(&format!("{public}/channels/{}", channel.name)))
}

/// Asks until the platform tells. What hinders is told at once, since nothing works without it.
async fn until_told<T>(
    gateway: &Gateway,
    channel: &Channel,
    client: &Client,
    request: &Request,
    reading: impl Fn(&chatbot_adapters::Response) -> Result<T, Verdict>,
) -> T {
    let limits = &gateway.limits;
    let mut backoff = Backoff::new(limits.retry_first, limits.retry_cap);
    loop {
        let verdict = match client.ask(request.clone(), &reading).await {
            Ok(told) => return told,
            Err(verdict) => verdict,
        };
        let (Hindrance { reason, message }, least) = hindrance(verdict, limits.credentials);
        warn!(channel = channel.name, "{message}");
        channel.standing.fails(reason, message);
        tokio::time::sleep(backoff.next().max(least)).await;
    }
}

/// What is told of a platform's verdict where nothing works without its answer, and how long to wait at least.
/// `credentials` is the pause for those that it rejects.
pub(crate) fn hindrance(verdict: Verdict, credentials: Duration) -> (Hindrance, Duration) {
    let (reason, message, least) = match verdict {
        Verdict::Credentials { reason } | Verdict::Refused { reason } => (
            Reason::CredentialsRejected,
            format!("the platform rejects the credentials of its Secret: {reason}"),
            credentials,
        ),
        Verdict::Later { after, reason, .. } => (
            Reason::PlatformUnavailable,
            format!("the platform does not answer yet: {reason}"),
            after.unwrap_or_default(),
        ),
        Verdict::Unknown { reason } => (
            Reason::PlatformUnavailable,
            format!("the platform does not answer: {reason}"),
            Duration::ZERO,
        ),
        Verdict::Accepted { .. } => (
            Reason::PlatformUnavailable,
            "the platform's answer is not understood".to_owned(),
            Duration::ZERO,
        ),
    };
    (Hindrance { reason, message }, least)
}

/// Waits until the Secret is another one, and gives that.
async fn change(folder: &Path, before: Option<&Secrets>, every: Duration) -> Option<Secrets> {
    loop {
        tokio::time::sleep(every).await;
        let found = look(folder).await;
        if found.as_ref() != before {
            return found;
        }
    }
}

async fn look(folder: &Path) -> Option<Secrets> {
    let folder = folder.to_owned();
    let looking = tokio::task::spawn_blocking(move || secrets::read(&folder));
    looking.await.unwrap_or_default()
}
