//! Input that nobody means well.

use chatbot_adapters::{ALL, Fault};
use serde_json::{Value, json};

use crate::samples::{fixtures, read};

/// One fixture of each platform with another text in it, where there is one to replace.
fn saying(platform: &str, text: &str) -> Option<Vec<u8>> {
    let (name, field): (&str, &[&str]) = match platform {
        "whatsApp" => (
            "message--text",
            &[
                "entry", "0", "changes", "0", "value", "messages", "0", "text", "body",
            ],
        ),
        "telegram" => ("message--text", &["message", "text"]),
        "slack" => ("message--direct", &["event", "text"]),
        "discord" => ("message--direct", &["d", "content"]),
        "feishu" => {
            let (_, body) = fixtures("feishu")
                .into_iter()
                .find(|(name, _)| name == "message--text")?;
            let mut body: Value = serde_json::from_slice(&body).unwrap();
            body["event"]["message"]["content"] = json!({ "text": text }).to_string().into();
            return Some(body.to_string().into_bytes());
        }
        "webhook" => {
            return Some(
                json!({ "user": "kim", "text": text })
                    .to_string()
                    .into_bytes(),
            );
        }
        "openAI" => {
            let body = json!({ "messages": [{ "role": "user", "content": text }] });
            return Some(body.to_string().into_bytes());
        }
        _ => return None,
    };
    let (_, body) = fixtures(platform)
        .into_iter()
        .find(|(found, _)| found == name)?;
    let mut body: Value = serde_json::from_slice(&body).unwrap();
    *body.pointer_mut(&format!("/{}", field.join("/"))).unwrap() = text.into();
    Some(body.to_string().into_bytes())
}

fn platforms() -> impl Iterator<Item = &'static str> {
    ALL.iter()
        .map(|platform| platform.name)
        .filter(|name| *name != "webChat")
}

#[test]
fn unusual_text_comes_back_as_it_was() {
    let text = "\u{202e}right to left\u{202c} 👩‍👩‍👧 e\u{301}\u{301} \u{feff}x\r\n\ttab";
    for platform in platforms() {
        let parsed = read(platform, &saying(platform, text).unwrap()).unwrap();
        assert_eq!(parsed.messages[0].text, text, "{platform}");
    }
}

#[test]
fn a_nul_is_replaced_since_no_model_can_read_it() {
    for platform in platforms() {
        let parsed = read(platform, &saying(platform, "a\0b").unwrap()).unwrap();
        assert_eq!(parsed.messages[0].text, "a\u{fffd}b", "{platform}");
    }
}

#[test]
fn a_million_combining_marks_are_refused() {
    let text = format!("e{}", "\u{301}".repeat(1_000_000));
    for platform in platforms() {
        match read(platform, &saying(platform, &text).unwrap()) {
            Err(refusal) => assert_eq!(refusal.fault, Fault::TooLong, "{platform}: {refusal}"),
            // One of a batch does not hold up the others: it is told of as an event.
            Ok(parsed) => assert!(
                parsed.messages.is_empty() && !parsed.events.is_empty(),
                "{platform}"
            ),
        }
    }
}

#[test]
fn as_much_is_read_as_the_platform_s_app_lets_a_user_write() {
    let most = |platform| match platform {
        "whatsApp" => 65_536,
        "slack" => 40_000,
        _ => 4_000,
    };
    for platform in platforms() {
        let text = "e".repeat(most(platform));
        let parsed = read(platform, &saying(platform, &text).unwrap()).unwrap();
        assert_eq!(parsed.messages[0].text, text, "{platform}");
    }
}

#[test]
fn what_is_no_unicode_is_refused() {
    for platform in platforms() {
        let body = saying(platform, "REPLACED").unwrap();
        let text = String::from_utf8(body).unwrap();
        for surrogate in [r"\ud800", r"\udc00\ud800"] {
            let refusal = read(platform, text.replace("REPLACED", surrogate).as_bytes());
            assert!(refusal.is_err(), "{platform}: {refusal:?}");
        }
        let bad = [
            text.split("REPLACED").next().unwrap().as_bytes(),
            b"\xff\xfe\"}",
        ]
        .concat();
        assert_eq!(
            read(platform, &bad).unwrap_err().fault,
            Fault::Malformed,
            "{platform}"
        );
    }
}

#[test]
fn depth_is_refused_and_not_followed() {
    for platform in platforms() {
        for deep in [
            "[".repeat(200_000),
            r#"{"a":"#.repeat(100_000),
            format!(r#"{{"message":{}"#, "[".repeat(500)),
        ] {
            assert_eq!(
                read(platform, deep.as_bytes()).unwrap_err().fault,
                Fault::Malformed,
                "{platform}"
            );
        }
    }
}

#[test]
fn numbers_out_of_all_range_are_no_fault() {
    for platform in platforms() {
        for (_, body) in fixtures_of(platform) {
            let text = String::from_utf8(body).unwrap();
            for number in [
                "9223372036854775807",
                "-9223372036854775808",
                "1e400",
                "18446744073709551616",
                "0.5",
            ] {
                // Whatever comes of it, nothing overflows.
                let _outcome = read(platform, text.replace("1760000000", number).as_bytes());
                let _outcome = read(
                    platform,
                    text.replace(": 0", &format!(": {number}")).as_bytes(),
                );
            }
        }
    }
}

fn fixtures_of(platform: &str) -> Vec<(String, Vec<u8>)> {
    if matches!(platform, "webhook" | "openAI") {
        return vec![(String::new(), saying(platform, "hi").unwrap())];
    }
    fixtures(platform)
}

#[test]
fn a_program_of_the_user_s_own_is_told_what_is_wrong() {
    for (body, says) in [
        ("nothing", "the body is no message"),
        (r#"{"text":"hi"}"#, "missing field `user`"),
        (
            r#"{"user":"","text":"hi"}"#,
            "user: it must have 1 to 255 characters",
        ),
        (r#"{"user":"a\nb","text":"hi"}"#, "user: it must have"),
        (r#"{"user":"kim","text":" "}"#, "text: it is empty"),
        (
            r#"{"user":"kim","text":"hi","colour":"red"}"#,
            "unknown field `colour`",
        ),
    ] {
        let refusal = read("webhook", body.as_bytes()).unwrap_err();
        assert!(refusal.message.contains(says), "{body}: {refusal}");
        assert_eq!(refusal.event.as_deref(), Some("q-1"));
    }
}

#[test]
fn a_client_of_the_open_ai_api_is_told_what_is_wrong() {
    let user = r#"{"role":"user","content":"hi"}"#;
    for (body, says) in [
        ("[]".to_owned(), "the body must be a JSON object"),
        ("{}".to_owned(), "messages: it must be a list"),
        (r#"{"messages":[]}"#.to_owned(), "messages: there are 0"),
        (
            r#"{"messages":[{"role":"assistant","content":"hi"}]}"#.to_owned(),
            "the last one must be the user's",
        ),
        (
            r#"{"messages":[{"role":"system","content":"be rude"}]}"#.to_owned(),
            "spec.conversation.systemPrompt",
        ),
        (
            r#"{"messages":[{"role":"user","content":[{"type":"image_url"}]}]}"#.to_owned(),
            "only `text` is understood",
        ),
        (
            format!(r#"{{"messages":[{user}],"tools":[{{"type":"function"}}]}}"#),
            "tools: it is not understood",
        ),
        (
            format!(r#"{{"messages":[{user}],"n":2}}"#),
            "n: it is not understood",
        ),
        (
            format!(r#"{{"messages":[{user}],"user":7}}"#),
            "user: it must be a text",
        ),
    ] {
        let refusal = read("openAI", body.as_bytes()).unwrap_err();
        assert!(refusal.message.contains(says), "{body}: {refusal}");
        let told: Value =
            serde_json::from_slice(&chatbot_adapters::open_ai::error(&refusal).body).unwrap();
        assert_eq!(told["error"]["message"], refusal.message);
    }
}

#[test]
fn the_whole_conversation_of_an_open_ai_client_is_its_context_and_nobody_else_s() {
    let body = json!({ "n": 1.0, "temperature": 1, "tools": [], "stop": null, "messages": [
        { "role": "assistant", "content": "Welcome." },
        { "role": "user", "content": "My name is Kim." },
        { "role": "assistant", "content": "Hello Kim." },
        { "role": "user", "content": [{ "type": "text", "text": "What is" }, { "type": "text", "text": "my name?" }] },
    ] });
    let message = read("openAI", body.to_string().as_bytes())
        .unwrap()
        .messages
        .remove(0);
    assert_eq!(message.text, "What is\nmy name?");
    let history = message.details.history.as_ref().unwrap();
    assert_eq!(history.len(), 1);
    assert_eq!(history[0].answer, "Hello Kim.");
    // Without `user` no request shares a session, or an order, with another.
    assert!(
        message.account.user.contains("r-1"),
        "{}",
        message.account.user
    );
}
