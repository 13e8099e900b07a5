//! What is sent.

use chatbot_adapters::{Delivery, Request, Transport};
use chatbot_message::{Account, Outcome, Reply, message_id};
use serde_json::Value;

use crate::samples::{adapter, read};

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
fn a_long_answer_to_a_command_has_no_more_parts_than_its_address_takes() {
    let address = "C0GARDEN|https://hooks.slack.com/commands/T0/1/abc";
    for (words, parts) in [(3_000, 4), (10_000, 4), (13_000, 5), (30_000, 4)] {
        let sent = sent("slack", address, &"word ".repeat(words));
        assert_eq!(sent.len(), parts, "{words} words");
        assert!(
            sent.iter()
                .all(|one| one.url.starts_with("https://hooks.slack.com/"))
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
