//! What holds whatever comes.

use chatbot_adapters::{ALL, Delivery, Transport};
use http::{HeaderMap, HeaderValue};
use proptest::prelude::*;
use serde_json::Value;

use crate::outbound::{ORIGINS, secrets, sent, text};
use crate::samples::{FOREIGN, NOW, adapter, fixtures, me, read};

/// Values that may stand anywhere in a broken delivery.
fn value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        "\\PC{0,12}".prop_map(Value::from),
        Just(Value::from("/@\u{301}\0 <@U0BOT> ")),
    ];
    leaf.prop_recursive(3, 12, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::hash_map("[a-z_]{1,8}", inner, 0..4)
                .prop_map(|fields| fields.into_iter().collect()),
        ]
    })
}

/// Puts `with` in the place of the node that is the `at`-th, in order; returns how many nodes were passed.
fn replace(node: &mut Value, at: usize, with: &Value) -> usize {
    if at == 0 {
        *node = with.clone();
        return 1;
    }
    let mut passed = 1;
    let children: Vec<&mut Value> = match node {
        Value::Array(items) => items.iter_mut().collect(),
        Value::Object(fields) => fields.iter_mut().map(|(_, value)| value).collect(),
        _ => Vec::new(),
    };
    for child in children {
        if passed > at {
            break;
        }
        passed += replace(child, at - passed, with);
    }
    passed
}

fn json_fixtures() -> Vec<(&'static str, Value)> {
    let all = FOREIGN.into_iter().flat_map(|platform| {
        let bodies = fixtures(platform).into_iter();
        bodies.filter_map(move |(_, body)| Some((platform, serde_json::from_slice(&body).ok()?)))
    });
    all.collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn no_bytes_bring_a_parser_down(body in prop::collection::vec(any::<u8>(), 0..512), form in "[ -~]{0,200}") {
        for platform in ALL {
            let _outcome = read(platform.name, &body);
            let _outcome = read(platform.name, form.as_bytes());
        }
    }

    #[test]
    fn no_json_brings_a_parser_down(body in value()) {
        for platform in ALL {
            let _outcome = read(platform.name, body.to_string().as_bytes());
        }
    }

    #[test]
    fn a_delivery_in_which_something_is_something_else_is_read_or_refused(
        which in any::<prop::sample::Index>(),
        at in 0_usize..60,
        with in value(),
    ) {
        let all = json_fixtures();
        let (platform, mut body) = all[which.index(all.len())].clone();
        replace(&mut body, at, &with);
        let body = body.to_string();
        if let Ok(parsed) = read(platform, body.as_bytes()) {
            for message in &parsed.messages {
                prop_assert!(!message.text.trim().is_empty() && !message.text.contains('\0'));
                prop_assert!(!message.account.user.is_empty());
            }
            prop_assert_eq!(read(platform, body.as_bytes()), Ok(parsed));
        }
    }

    #[test]
    fn nothing_is_authentic_by_chance(
        body in prop::collection::vec(any::<u8>(), 0..64),
        value in "[ -~]{0,100}",
        which in 0_usize..8,
    ) {
        let names = [
            "x-hub-signature-256", "x-telegram-bot-api-secret-token", "x-slack-signature", "x-slack-request-timestamp",
            "x-signature-ed25519", "x-lark-signature", "webhook-signature", "authorization",
        ];
        let mut headers = HeaderMap::new();
        headers.insert(names[which], HeaderValue::from_str(&value).unwrap());
        let key = "ab".repeat(32);
        let secrets: Vec<_> = [
            "appSecret", "webhookSecret", "signingSecret", "interactionsPublicKey", "encryptKey", "verificationToken", "signingKey",
        ].into_iter().map(|name| (name, key.as_str())).collect();
        for platform in ALL {
            let via = if platform.name == "openAI" { Transport::Exchange } else { Transport::Webhook };
            let verified = adapter(platform.name, &secrets).verify(&Delivery {
                via,
                received_at: NOW,
                ..Delivery::of("garden", &headers, &body)
            });
            prop_assert!(verified.is_err(), "{}", platform.name);
        }
    }

    #[test]
    fn no_response_and_no_origin_bring_a_sender_down(
        status in 100_u16..600,
        body in prop::collection::vec(any::<u8>(), 0..200),
        json in value(),
        origin in "[ -~]{0,60}",
    ) {
        let headers = HeaderMap::new();
        for platform in ALL {
            let adapter = adapter(platform.name, &secrets());
            for body in [body.as_slice(), json.to_string().as_bytes()] {
                let response = chatbot_adapters::Response {
                    status: http::StatusCode::from_u16(status).unwrap(),
                    headers: &headers,
                    body,
                };
                let _verdict = adapter.classify(&response);
                let first = sent(platform.name, &origin, "hi").remove(0);
                let _other = adapter.instead(&origin, &first, &response);
                let _outcome = (adapter.identified(&response), adapter.session_of(&response), adapter.address(&response));
            }
            prop_assert!(!sent(platform.name, &origin, "hi").is_empty());
            let _typing = (adapter.typing(&origin), adapter.poll(Some(&origin), std::time::Duration::ZERO), adapter.chat(&origin).len());
            let _me = me(platform.name);
        }
    }
}

proptest! {
    // Each case is long: every platform, and answers of many parts.
    #![proptest_config(ProptestConfig::with_cases(32))]

    #[test]
    fn no_part_of_an_answer_is_longer_than_its_platform_takes(
        words in prop::collection::vec("(\\PC{1,8}|[&<>\"\\\\\n]{1,6}|```|\u{301}{1,40}|👩‍👩‍👧)", 0..120),
        times in 1_usize..120,
    ) {
        let answer = words.join(" ").repeat(times);
        for (platform, origin) in ORIGINS {
            for part in sent(platform, origin, &answer) {
                let text = text(platform, &part);
                let (units, bytes) = (text.encode_utf16().count(), part.body.len());
                let holds = match platform {
                    "whatsApp" | "telegram" => units <= 4_096,
                    "slack" if origin.contains('|') => units <= 40_000,
                    "slack" => units <= 4_000,
                    "discord" => units <= 2_000,
                    "feishu" => bytes <= 150 * 1_024,
                    _ => units <= 16_000,
                };
                prop_assert!(holds, "{platform}: {units} units, {bytes} bytes");
                prop_assert!(!text.trim().is_empty());
            }
        }
    }
}
