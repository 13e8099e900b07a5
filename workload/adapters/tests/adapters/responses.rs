//! What a platform's response means.

use std::time::Duration;

use chatbot_adapters::{Response, Scope, Verdict};
use http::{HeaderMap, StatusCode};

use crate::samples::{adapter, headers};

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
    ("discord", 400, NONE, r#"{"code":40060}"#, Accepted(None)),
    ("discord", 404, NONE, r#"{"code":10062}"#, Refused),
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
