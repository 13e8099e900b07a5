//! What is found in deliveries as the platforms describe them.

use serde_json::{Value, json};

use crate::samples::{FOREIGN, fixtures, read};

#[test]
fn every_fixture_is_a_message_an_event_or_refused_as_its_name_says() {
    for platform in FOREIGN {
        for (name, body) in fixtures(platform) {
            let outcome = match read(platform, &body) {
                Ok(parsed) if !parsed.messages.is_empty() => "message",
                Ok(parsed) if platform == "telegram" && parsed.events.is_empty() => "event",
                Ok(parsed) => {
                    assert!(
                        !parsed.events.is_empty(),
                        "{platform}/{name}: nothing is in it"
                    );
                    "event"
                }
                Err(_) => "refused",
            };
            assert!(name.starts_with(outcome), "{platform}/{name} is: {outcome}");
        }
    }
}

#[test]
fn the_same_delivery_again_is_the_same_messages() {
    for platform in FOREIGN {
        for (name, body) in fixtures(platform) {
            assert_eq!(read(platform, &body), read(platform, &body), "{name}");
        }
    }
}

#[test]
fn a_mention_that_arrives_twice_is_one_message() {
    let id = |wanted: &str| {
        let all = fixtures("slack");
        let (_, body) = all.iter().find(|(name, _)| name == wanted).unwrap();
        read("slack", body).unwrap().messages[0].id
    };
    assert_eq!(id("message--mention"), id("message--mention-as-message"));
    assert_eq!(
        id("message--edited-into-a-mention"),
        id("message--edited-into-a-mention-as-change")
    );
}

/// A snapshot says what is in every fixture: text, who, where to, and the rest.
#[test]
fn everything_that_a_fixture_says_is_read() {
    for platform in FOREIGN {
        let read: serde_json::Map<String, Value> = fixtures(platform)
            .into_iter()
            .map(|(name, body)| {
                let shown = match read(platform, &body) {
                    Ok(parsed) => {
                        let acknowledgement =
                            String::from_utf8(parsed.acknowledgement.body).unwrap();
                        let mut shown = json!({});
                        if !parsed.messages.is_empty() {
                            shown["messages"] = json!(parsed.messages);
                        }
                        if !parsed.events.is_empty() {
                            shown["events"] = json!(parsed.events);
                        }
                        if !acknowledgement.is_empty() {
                            shown["acknowledgement"] = acknowledgement.into();
                        }
                        if let Some(cursor) = parsed.cursor {
                            shown["cursor"] = cursor.into();
                        }
                        if !parsed.requests.is_empty() {
                            let urls: Vec<_> = parsed.requests.iter().map(|one| &one.url).collect();
                            shown["requests"] = json!(urls);
                        }
                        shown
                    }
                    Err(refusal) => json!({ "refused": refusal.message }),
                };
                (name, shown)
            })
            .collect();
        insta::assert_yaml_snapshot!(platform, read);
    }
}

#[test]
fn a_command_among_several_people_is_not_of_a_private_conversation() {
    let account = |wanted: &str| {
        let all = fixtures("discord");
        let (_, body) = all.iter().find(|(name, _)| name == wanted).unwrap();
        read("discord", body).unwrap().messages[0].account.clone()
    };
    let account = account("message--slash-command-among-several");
    assert_eq!(account.user, "120000000000000001@130000000000000001");
}
