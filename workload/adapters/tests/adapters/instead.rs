//! What is sent in place of a request that the platform has refused.

use chatbot_adapters::{Request, Response, Verdict};
use http::{HeaderMap, StatusCode};
use serde_json::{Value, json};

use crate::outbound::{secrets, sent};
use crate::samples::adapter;

const COMMAND: &str = "C0GARDEN|https://hooks.slack.com/commands/T0/1/abc";

/// What follows the first part of a reply, when the platform says this to it.
fn after(platform: &str, origin: &str, status: u16, says: &Value) -> (Request, Option<Request>) {
    let first = sent(platform, origin, "Deep & <wide>.").remove(0);
    let instead = instead(platform, origin, &first, status, says);
    (first, instead)
}

fn instead(
    platform: &str,
    origin: &str,
    request: &Request,
    status: u16,
    says: &Value,
) -> Option<Request> {
    let (headers, body) = (HeaderMap::new(), says.to_string());
    let response = Response {
        status: StatusCode::from_u16(status).unwrap(),
        headers: &headers,
        body: body.as_bytes(),
    };
    let adapter = adapter(platform, &secrets());
    let verdict = adapter.classify(&response);
    assert!(
        matches!(verdict, Verdict::Refused { .. }),
        "nobody asks for another way: {verdict:?}"
    );
    adapter.instead(origin, request, &response)
}

fn body(request: &Request) -> Value {
    serde_json::from_slice(&request.body).unwrap()
}

#[test]
fn what_goes_to_a_group_that_became_a_supergroup_goes_there_and_answers_no_number() {
    let says = json!({
        "ok": false,
        "error_code": 400,
        "description": "Bad Request: group chat was upgraded to a supergroup chat",
        "parameters": { "migrate_to_chat_id": -1_001_234_567_890_i64 },
    });
    let (first, other) = after("telegram", "-5551234/101", 400, &says);
    let other = other.unwrap();
    assert_eq!(body(&first)["reply_parameters"]["message_id"], 101);
    assert_eq!((&other.url, &other.method), (&first.url, &first.method));
    let wanted = json!({
        "chat_id": -1_001_234_567_890_i64,
        "text": "Deep & <wide>.",
        "link_preview_options": { "is_disabled": true },
    });
    assert_eq!(body(&other), wanted);
}

#[test]
fn what_the_address_of_a_command_refuses_goes_to_the_channel() {
    for error in ["used_url", "expired_url"] {
        let (_, other) = after(
            "slack",
            COMMAND,
            404,
            &json!({ "ok": false, "error": error }),
        );
        let other = other.unwrap();
        assert_eq!(other.url, "https://slack.com/api/chat.postMessage");
        assert!(other.headers.contains_key("authorization"));
        let wanted = json!({
            "channel": "C0GARDEN",
            "text": "Deep &amp; &lt;wide&gt;.",
            "unfurl_links": false,
            "unfurl_media": false,
        });
        assert_eq!(body(&other), wanted);
        // What the channel refuses has no other way.
        let says = json!({ "ok": false, "error": "not_in_channel" });
        assert_eq!(instead("slack", COMMAND, &other, 200, &says), None);
    }
}

#[test]
fn an_answer_that_may_not_refer_to_its_question_is_sent_without_and_keeps_its_key() {
    let origin = "130000000000000001/140000000000000001/guild";
    let says = json!({ "code": 160_002 });
    let (first, other) = after("discord", origin, 403, &says);
    let other = other.unwrap();
    assert_eq!((&other.url, &other.key), (&first.url, &first.key));
    let mut wanted = body(&first);
    let reference = wanted.as_object_mut().unwrap().remove("message_reference");
    assert!(reference.is_some());
    assert_eq!(body(&other), wanted);
    let again = instead("discord", origin, &other, 403, &says);
    assert_eq!(again, None);
}

#[test]
fn what_is_refused_for_another_reason_has_no_other_way() {
    let cases = [
        (
            "whatsApp",
            "4915112345678/wamid.A",
            json!({ "error": { "code": 131_047 } }),
        ),
        (
            "telegram",
            "-5551234/101",
            json!({ "ok": false, "description": "not enough rights" }),
        ),
        (
            "slack",
            "C0GARDEN/1760000000.000001",
            json!({ "ok": false, "error": "is_archived" }),
        ),
        ("discord", "13/14/guild", json!({ "code": 50_007 })),
        ("feishu", "oc_garden/om_1", json!({ "code": 230_002 })),
        ("webhook", r#"["q-1","kim","desk"]"#, json!({})),
    ];
    for (platform, origin, says) in cases {
        let status = if platform == "webhook" { 422 } else { 400 };
        assert_eq!(after(platform, origin, status, &says).1, None, "{platform}");
    }
}
