//! What is sent to Slack, and what it says.

use std::time::Duration;

use chatbot_message::Reply;
use serde_json::{Value, json};

use super::{LONGEST, Slack, mrkdwn};
use crate::outbound::reason;
use crate::split::{Measure, split};
use crate::{Limits, Rate, Request, Response, Scope, Verdict, json};

/// What Slack advises for a text.
const ADVISED: usize = 4_000;
/// Where the addresses lie that a slash command is answered at.
const HOOKS: &str = "https://hooks.slack.com/";
/// How often such an address can be used, within 30 minutes (docs.slack.dev/interactivity/handling-user-interaction).
const USES: usize = 5;
/// Lengths of a part where fewer of them are needed; what is longer than the last one Slack cuts.
const LONGER: [usize; 3] = [8_000, 16_000, LONGEST];

/// Those of docs.slack.dev/apis/web-api/rate-limits: one message a second and channel. There is a limit for the whole
/// workspace as well, which is not told.
pub(super) const LIMITS: Limits = Limits {
    chat: Some(Rate::per_second(1)),
    group: None,
    channel: None,
    typing: None,
    keys: None,
    acknowledgement: Some(Duration::from_secs(3)),
};

/// `<channel>`, or `<channel>/<ts of the thread>`.
pub(super) fn origin(channel: &str, thread: Option<&str>) -> String {
    match thread {
        Some(thread) => format!("{channel}/{thread}"),
        None => channel.to_owned(),
    }
}

/// `<channel>|<address>`: the bot need not be a member where it is called by a command, so that the answer goes to the
/// address that came with it. What that one refuses, since it is used up or too old, goes to the channel.
pub(super) fn origin_of_command(channel: &str, address: Option<&str>) -> String {
    match address {
        Some(address) => format!("{channel}|{address}"),
        None => channel.to_owned(),
    }
}

pub(super) fn chat(origin: &str) -> &str {
    origin.split(['/', '|']).next().unwrap_or_default()
}

/// What an origin says.
struct Place<'o> {
    channel: &'o str,
    thread: Option<&'o str>,
    address: Option<&'o str>,
}

impl<'o> Place<'o> {
    fn of(origin: &'o str) -> Self {
        let apart = |text: &'o str, mark: char| {
            text.split_once(mark)
                .map_or((text, None), |(first, rest)| (first, Some(rest)))
        };
        let (place, address) = apart(origin, '|');
        let (channel, thread) = apart(place, '/');
        Self {
            channel,
            thread,
            address,
        }
    }
}

impl Slack {
    /// A call of the Web API, with one of the tokens.
    pub(super) fn call(&self, method: &str, token: &str, body: &Value) -> Request {
        Request::post(format!("{}/{method}", self.base), body)
            .authorized("Bearer", self.secrets.or_empty(token))
    }

    pub(super) fn messages(&self, reply: &Reply) -> Vec<Request> {
        let place = Place::of(&reply.origin);
        let address = place.address.filter(|address| self.is_slack(address));
        let most = if address.is_some() { USES } else { usize::MAX };
        parts(&reply.answer, most)
            .into_iter()
            .map(|text| {
                let text = mrkdwn::escaped(&text);
                match address {
                    Some(address) => Request::post(
                        address.to_owned(),
                        &json!({ "response_type": "in_channel", "text": text }),
                    ),
                    None => self.message(&place, &text),
                }
            })
            .collect()
    }

    /// A message of its own, in the place of what the address of a command has refused.
    pub(super) fn in_channel(&self, origin: &str, refused: &Request) -> Option<Request> {
        let place = Place::of(origin);
        let body = refused.json();
        let text =
            json::text(&body, "/text").filter(|_| place.address == Some(refused.url.as_str()))?;
        Some(self.message(&place, text))
    }

    fn message(&self, place: &Place, text: &str) -> Request {
        let mut body = json!({ "channel": place.channel, "text": text });
        if let Some(thread) = place.thread {
            body["thread_ts"] = thread.into();
        }
        body["unfurl_links"] = false.into();
        body["unfurl_media"] = false.into();
        self.call("chat.postMessage", "botToken", &body)
    }

    /// Whether an address is where the channel's own API is: a verified command names no other, and whatever else were
    /// named would be asked from inside the cluster.
    fn is_slack(&self, address: &str) -> bool {
        let origin = |text: &str| url::Url::parse(text).ok().map(|url| url.origin());
        let named = origin(address);
        named.is_some() && (named == origin(HOOKS) || named == origin(&self.base))
    }
}

/// A text in parts of the advised length, or in longer ones where that makes no more than `most` of them.
fn parts(text: &str, most: usize) -> Vec<String> {
    let of = |longest| {
        let measure = Measure {
            most: longest,
            cost: mrkdwn::cost,
        };
        split(text, measure)
    };
    let mut parts = of(ADVISED);
    for longest in LONGER {
        if parts.len() <= most {
            break;
        }
        parts = of(longest);
    }
    parts
}

pub(super) fn classify(response: &Response) -> Verdict {
    let verdict = Verdict::of_status(response);
    let Verdict::Accepted { .. } = verdict else {
        return verdict;
    };
    let body = response.json();
    if json::flag(&body, "/ok") {
        return Verdict::Accepted {
            id: json::owned(&body, "/ts"),
        };
    }
    // An address of a command answers in words.
    if response.body.trim_ascii() == b"ok" {
        return Verdict::Accepted { id: None };
    }
    let reason = reason(response);
    match json::text(&body, "/error").unwrap_or_default() {
        "ratelimited"
        | "rate_limited"
        | "message_limit_exceeded"
        | "service_unavailable"
        | "team_added_to_org" => Verdict::Later {
            after: response.retry_after(),
            scope: Scope::Channel,
            reason,
        },
        "invalid_auth"
        | "not_authed"
        | "account_inactive"
        | "token_revoked"
        | "token_expired"
        | "missing_scope"
        | "not_allowed_token_type"
        | "org_login_required" => Verdict::Credentials { reason },
        // Of these Slack itself says that some of it may have been done.
        "" | "fatal_error" | "internal_error" | "request_timeout" => Verdict::Unknown { reason },
        _ => Verdict::Refused { reason },
    }
}
