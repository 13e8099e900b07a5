//! What is sent, and what a platform's response means.

use std::time::Duration;

use chatbot_adapters::{Delivery, Request, Response, Scope, Transport, Verdict};
use chatbot_message::{Account, Outcome, Reply, message_id};
use http::{HeaderMap, StatusCode};
use serde_json::Value;

use crate::samples::{adapter, headers, read};

/// Every platform that is sent requests, and an origin of each kind.
pub const ORIGINS: [(&str, &str); 14] = [
    ("whatsApp", "4915112345678/wamid.A/B=="),
    ("whatsApp", "grp.77/wamid.A/B==/group"),
    ("telegram", "4711/101"),
    ("telegram", "-1001234567890/101/7"),
    ("slack", "D0KIM"),
    ("slack", "C0GARDEN/1760000000.000001"),
    (
        "slack",
        "C0GARDEN|https://hooks.slack.com/commands/T0/1/abc",
    ),
    ("discord", "130000000000000001/140000000000000001"),
    ("discord", "130000000000000001/140000000000000001/guild"),
    (
        "discord",
        "130000000000000001/interaction/110000000000000001/token",
    ),
    ("feishu", "oc_kim"),
    ("feishu", "oc_garden/om_1"),
    ("feishu", "oc_garden/om_1/thread"),
    ("webhook", r#"["q-1","kim","desk"]"#),
];

pub fn reply(platform: &str, origin: &str, answer: &str) -> Reply {
    Reply {
        message_id: message_id(platform, "event"),
        account: Account {
            channel: "garden".to_owned(),
            user: "kim".to_owned(),
        },
        origin: origin.to_owned(),
        question: "How deep?".to_owned(),
        answer: answer.to_owned(),
        outcome: Outcome::Answered,
        synthetic: false,
        way: Vec::new(),
        kept_by_client: false,
        effect: None,
    }
}

pub fn secrets() -> [(&'static str, &'static str); 5] {
    [
        ("botToken", "42:secret"),
        ("accessToken", "secret"),
        ("appToken", "secret"),
        ("signingKey", "a signing key"),
        ("appSecret", "secret"),
    ]
}

pub fn sent(platform: &str, origin: &str, answer: &str) -> Vec<Request> {
    adapter(platform, &secrets()).format_response(&reply(platform, origin, answer), 7)
}

/// The text that a request carries.
pub fn text(platform: &str, request: &Request) -> String {
    let body: Value = serde_json::from_slice(&request.body).unwrap();
    let text = match platform {
        "whatsApp" => body["text"]["body"].clone(),
        "discord" => body["content"].clone(),
        "feishu" => {
            let content: Value = serde_json::from_str(body["content"].as_str().unwrap()).unwrap();
            content["text"].clone()
        }
        _ => body["text"].clone(),
    };
    text.as_str().unwrap().to_owned()
}

#[test]
fn every_kind_of_reply_is_sent_as_the_platform_wants_it() {
    let shown: Vec<_> = ORIGINS
        .into_iter()
        .map(|(platform, origin)| {
            let [request] =
                <[Request; 1]>::try_from(sent(platform, origin, "Twice the bulb's height."))
                    .unwrap();
            let body: Value = serde_json::from_slice(&request.body).unwrap();
            serde_json::json!({
                "to": format!("{} {}", request.method, request.url),
                "body": body,
                "session": request.session,
                "authorization": request.headers.get("authorization").is_some(),
            })
        })
        .collect();
    insta::assert_yaml_snapshot!("sent", shown);
}

#[test]
fn an_answer_calls_nobody() {
    let answer = r#"<!channel> <@U1> @everyone <at user_id="all">all</at>"#;
    for (platform, origin) in ORIGINS {
        let request = &sent(platform, origin, answer)[0];
        let (text, body) = (
            text(platform, request),
            String::from_utf8_lossy(&request.body).into_owned(),
        );
        match platform {
            "slack" => assert!(!text.contains('<'), "{text}"),
            "discord" => assert!(body.contains(r#""allowed_mentions":{"parse":[]"#), "{body}"),
            "feishu" => assert!(!text.contains("<at "), "{text}"),
            _ => {}
        }
    }
}

#[test]
fn the_parts_of_a_reply_have_keys_of_their_own_and_always_the_same() {
    let answer = "word ".repeat(40_000);
    for (platform, origin) in ORIGINS {
        let parts = sent(platform, origin, &answer);
        assert!(parts.len() > 1, "{platform}");
        assert_eq!(parts, sent(platform, origin, &answer));
        let keys: Vec<_> = parts.iter().filter_map(|part| part.key.clone()).collect();
        let distinct: std::collections::BTreeSet<_> = keys.iter().collect();
        assert_eq!(distinct.len(), keys.len(), "{platform}");
        match platform {
            "discord" if origin.contains("interaction") => assert_eq!(keys.len(), 1),
            "discord" | "feishu" | "webhook" => {
                assert_eq!(keys.len(), parts.len());
                assert!(keys.iter().all(|key| key.len() == 22));
            }
            _ => assert!(keys.is_empty(), "{platform}"),
        }
    }
}

#[test]
fn a_reply_to_an_address_that_is_not_slack_s_goes_to_the_channel() {
    for address in [
        "https://hooks.slack.com.evil.example/x",
        "http://169.254.169.254/",
        "http://hooks.slack.com/x",
        "x",
    ] {
        let request = &sent("slack", &format!("C0GARDEN|{address}"), "hi")[0];
        assert_eq!(
            request.url, "https://slack.com/api/chat.postMessage",
            "{address}"
        );
    }
}

#[test]
fn no_secret_is_shown() {
    for (platform, origin) in ORIGINS {
        let adapter = adapter(platform, &secrets());
        let mut requests = sent(platform, origin, "hello");
        requests.extend(adapter.typing(origin));
        requests.extend(adapter.identify());
        requests.extend(adapter.session());
        requests.extend(adapter.connect());
        for request in requests {
            let shown = format!("{request:?} {:?}", request.headers);
            assert!(
                !shown.contains("secret") && !shown.contains("hello"),
                "{shown}"
            );
        }
    }
}

#[test]
fn a_request_to_a_program_of_the_user_s_own_is_signed_when_it_is_sent() {
    let adapter = adapter("webhook", &secrets());
    let [request] = <[Request; 1]>::try_from(sent("webhook", r#"["q-1","kim",""]"#, "hi")).unwrap();
    assert!(!request.headers.contains_key("webhook-signature"));
    let now = 1_760_000_000_000;
    let request = adapter.signed(request, now);
    // What it sends it takes as well: the signature is the same both ways.
    let delivery = Delivery {
        received_at: now + 1_000,
        ..Delivery::of("garden", &request.headers, &request.body)
    };
    assert_eq!(adapter.verify(&delivery), Ok(()));
    let later = adapter.signed(request.clone(), now + 600_000);
    assert_eq!(later.headers["webhook-id"], request.headers["webhook-id"]);
    assert_ne!(
        later.headers["webhook-signature"],
        request.headers["webhook-signature"]
    );
}

#[test]
fn an_exchange_is_answered_as_it_was_asked() {
    let asked = |stream: bool| {
        let body = serde_json::json!({
            "model": "any",
            "messages": [{ "role": "user", "content": "How deep?" }],
            "stream": stream,
        });
        read("openAI", body.to_string().as_bytes())
            .unwrap()
            .messages
            .remove(0)
    };
    let (streamed, whole) = (asked(true), asked(false));
    let answer = |origin: &str| {
        let [frame] = <[Request; 1]>::try_from(sent("openAI", origin, "Deep.")).unwrap();
        String::from_utf8(frame.body).unwrap()
    };
    let stream = answer(&streamed.origin);
    assert!(
        stream.contains(r#""delta":{"role":"assistant","content":"Deep."}"#),
        "{stream}"
    );
    assert!(stream.ends_with("data: [DONE]\n\n"));
    let whole: Value = serde_json::from_str(&answer(&whole.origin)).unwrap();
    assert_eq!(whole["choices"][0]["message"]["content"], "Deep.");
    assert_eq!(whole["created"], 1_760_000_060);
    assert_eq!(
        chatbot_adapters::open_ai::request_of(&streamed.origin),
        Some("r-1")
    );
}

/// Platform, status, headers, body, and what it says.
type Case = (
    &'static str,
    u16,
    &'static [(&'static str, &'static str)],
    &'static str,
    Says,
);

enum Says {
    Accepted(Option<&'static str>),
    Later(Option<u64>, Scope),
    Refused,
    Credentials,
    Unknown,
}

const RETRY: &[(&str, &str)] = &[("retry-after", "7")];
const NONE: &[(&str, &str)] = &[];

use Says::{Accepted, Credentials, Later, Refused, Unknown};
use Scope::{Channel, Chat};

const CASES: &[Case] = &[
    (
        "whatsApp",
        200,
        NONE,
        r#"{"messages":[{"id":"wamid.X"}]}"#,
        Accepted(Some("wamid.X")),
    ),
    (
        "whatsApp",
        400,
        NONE,
        r#"{"error":{"code":131056}}"#,
        Later(Some(6), Chat),
    ),
    (
        "whatsApp",
        429,
        RETRY,
        r#"{"error":{"code":130429}}"#,
        Later(Some(7), Channel),
    ),
    (
        "whatsApp",
        400,
        NONE,
        r#"{"error":{"code":131047}}"#,
        Refused,
    ),
    (
        "whatsApp",
        401,
        NONE,
        r#"{"error":{"code":190}}"#,
        Credentials,
    ),
    (
        "whatsApp",
        500,
        NONE,
        r#"{"error":{"code":131000}}"#,
        Unknown,
    ),
    ("whatsApp", 502, NONE, "<html>", Unknown),
    (
        "telegram",
        200,
        NONE,
        r#"{"ok":true,"result":{"message_id":5}}"#,
        Accepted(Some("5")),
    ),
    (
        "telegram",
        429,
        NONE,
        r#"{"ok":false,"error_code":429,"parameters":{"retry_after":5}}"#,
        Later(Some(5), Chat),
    ),
    (
        "telegram",
        403,
        NONE,
        r#"{"ok":false,"description":"bot was blocked by the user"}"#,
        Refused,
    ),
    ("telegram", 401, NONE, r#"{"ok":false}"#, Credentials),
    ("telegram", 404, NONE, r#"{"ok":false}"#, Credentials),
    ("telegram", 502, NONE, "", Unknown),
    ("telegram", 200, NONE, "a proxy's page", Unknown),
    (
        "slack",
        200,
        NONE,
        r#"{"ok":true,"ts":"1.2"}"#,
        Accepted(Some("1.2")),
    ),
    ("slack", 200, NONE, "ok", Accepted(None)),
    (
        "slack",
        429,
        RETRY,
        r#"{"ok":false,"error":"ratelimited"}"#,
        Later(Some(7), Channel),
    ),
    (
        "slack",
        200,
        RETRY,
        r#"{"ok":false,"error":"ratelimited"}"#,
        Later(Some(7), Channel),
    ),
    (
        "slack",
        200,
        NONE,
        r#"{"ok":false,"error":"channel_not_found"}"#,
        Refused,
    ),
    (
        "slack",
        200,
        NONE,
        r#"{"ok":false,"error":"invalid_auth"}"#,
        Credentials,
    ),
    (
        "slack",
        200,
        NONE,
        r#"{"ok":false,"error":"fatal_error"}"#,
        Unknown,
    ),
    ("discord", 200, NONE, r#"{"id":"9"}"#, Accepted(Some("9"))),
    (
        "discord",
        429,
        RETRY,
        r#"{"retry_after":0.5,"global":false}"#,
        Later(Some(0), Chat),
    ),
    (
        "discord",
        429,
        RETRY,
        r#"{"global":true}"#,
        Later(Some(7), Channel),
    ),
    ("discord", 403, NONE, r#"{"code":50007}"#, Refused),
    ("discord", 401, NONE, r#"{"code":50027}"#, Refused),
    (
        "discord",
        404,
        NONE,
        r#"{"code":10015}"#,
        Later(Some(1), Chat),
    ),
    (
        "slack",
        200,
        NONE,
        r#"{"ok":false,"error":"no_permission"}"#,
        Refused,
    ),
    (
        "whatsApp",
        400,
        NONE,
        r#"{"error":{"code":133010}}"#,
        Credentials,
    ),
    ("discord", 401, NONE, r#"{"code":0}"#, Credentials),
    ("discord", 500, NONE, "", Unknown),
    (
        "feishu",
        200,
        NONE,
        r#"{"code":0,"data":{"message_id":"om_9"}}"#,
        Accepted(Some("om_9")),
    ),
    ("feishu", 400, NONE, r#"{"code":230020}"#, Later(None, Chat)),
    (
        "feishu",
        429,
        &[("x-ogw-ratelimit-reset", "3")],
        r#"{"code":99991400}"#,
        Later(Some(3), Channel),
    ),
    ("feishu", 400, NONE, r#"{"code":230002}"#, Refused),
    ("feishu", 400, NONE, r#"{"code":99991663}"#, Credentials),
    ("feishu", 504, NONE, "", Unknown),
    ("webhook", 204, NONE, "", Accepted(None)),
    ("webhook", 409, NONE, "", Accepted(None)),
    ("webhook", 503, RETRY, "", Later(Some(7), Channel)),
    ("webhook", 422, NONE, "", Refused),
    (
        "webhook",
        301,
        &[("location", "http://169.254.169.254/")],
        "",
        Refused,
    ),
    ("webhook", 403, NONE, "", Credentials),
    ("webhook", 500, NONE, "", Unknown),
];

#[test]
fn what_a_platform_says_is_understood() {
    for (platform, status, given, body, says) in CASES {
        let verdict = adapter(platform, &[]).classify(&Response {
            status: StatusCode::from_u16(*status).unwrap(),
            headers: &headers(given),
            body: body.as_bytes(),
        });
        let holds = match (&verdict, says) {
            (Verdict::Accepted { id }, Accepted(wanted)) => id.as_deref() == *wanted,
            (Verdict::Later { after, scope, .. }, Later(seconds, wanted)) => {
                after.map(|after| after.as_secs()) == *seconds && scope == wanted
            }
            (Verdict::Refused { .. }, Refused)
            | (Verdict::Credentials { .. }, Credentials)
            | (Verdict::Unknown { .. }, Unknown) => true,
            _ => false,
        };
        assert!(holds, "{platform} {status} {body}: {verdict:?}");
    }
}

#[test]
fn a_pause_is_never_absurd() {
    for value in ["1e308", "-1", "NaN", "inf", "soon", "9999999999999999999"] {
        let verdict = adapter("slack", &[]).classify(&Response {
            status: StatusCode::TOO_MANY_REQUESTS,
            headers: &headers(&[("retry-after", value)]),
            body: b"",
        });
        let Verdict::Later { after, .. } = verdict else {
            panic!("{value}: {verdict:?}");
        };
        assert!(
            after.is_none_or(|after| after <= Duration::from_hours(24)),
            "{value}: {after:?}"
        );
    }
}

#[test]
fn who_the_bot_is_and_where_to_connect_is_read_from_the_platform() {
    let ok = |body: &'static str| Response {
        status: StatusCode::OK,
        headers: Box::leak(Box::new(HeaderMap::new())),
        body: body.as_bytes(),
    };
    let me = |platform: &str, body| adapter(platform, &[]).identified(&ok(body)).unwrap();
    assert_eq!(
        me(
            "telegram",
            r#"{"ok":true,"result":{"id":42,"username":"garden_bot"}}"#
        )
        .name
        .unwrap(),
        "garden_bot"
    );
    assert_eq!(me("slack", r#"{"ok":true,"user_id":"U0BOT"}"#).id, "U0BOT");
    assert_eq!(me("discord", r#"{"id":"11"}"#).id, "11");
    assert_eq!(
        me(
            "feishu",
            r#"{"code":0,"bot":{"open_id":"ou_bot","app_name":"Garden"}}"#
        )
        .id,
        "ou_bot"
    );
    assert_eq!(
        me("whatsApp", r#"{"id":"5","display_phone_number":"+49"}"#).id,
        "5"
    );
    let session = adapter("feishu", &[])
        .session_of(&ok(
            r#"{"code":0,"tenant_access_token":"t-1","expire":7200}"#,
        ))
        .unwrap();
    assert_eq!(session.lasts, Duration::from_mins(115));
    let refused =
        adapter("feishu", &[]).session_of(&ok(r#"{"code":10014,"msg":"app secret invalid"}"#));
    assert!(
        matches!(refused, Err(Verdict::Credentials { .. })),
        "{refused:?}"
    );
    let address = |platform: &str, body| adapter(platform, &[]).address(&ok(body)).unwrap();
    assert_eq!(
        address("slack", r#"{"ok":true,"url":"wss://a.example/"}"#),
        "wss://a.example/"
    );
    assert_eq!(
        address("discord", r#"{"url":"wss://b.example/"}"#),
        "wss://b.example/?v=10&encoding=json"
    );
    assert_eq!(
        address("feishu", r#"{"code":0,"data":{"URL":"wss://c.example/"}}"#),
        "wss://c.example/"
    );
    let closed = adapter("slack", &[]).address(&ok(r#"{"ok":false,"error":"invalid_auth"}"#));
    assert!(
        matches!(closed, Err(Verdict::Credentials { .. })),
        "{closed:?}"
    );
}

#[test]
fn one_chat_s_replies_stay_in_one_lane() {
    let chat = |platform: &str, origin: &str| adapter(platform, &[]).chat(origin).to_owned();
    assert_eq!(chat("telegram", "-100/5/7"), chat("telegram", "-100/6"));
    assert_eq!(
        chat("slack", "C1/1.2"),
        chat("slack", "C1|https://hooks.slack.com/x")
    );
    assert_eq!(chat("whatsApp", "49/wamid.A/B"), "49");
    assert_eq!(chat("discord", "1/interaction/2/t"), "1");
    assert_eq!(chat("feishu", "oc_1/om_2/thread"), "oc_1");
    for (platform, origin) in ORIGINS {
        let adapter = adapter(platform, &[]);
        assert!(origin.contains(adapter.chat(origin)));
        assert!(!adapter.transports().contains(&Transport::Socket));
    }
}
