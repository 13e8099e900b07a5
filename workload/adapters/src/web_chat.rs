//! The web chat: the protocol between the page and the gateway.
//!
//! One WebSocket per page, text frames of one JSON object each, told apart by `type`. Version 1.
//!
//! # Opening the socket
//! `GET /channels/<channel>/socket`, a WebSocket handshake. It must carry exactly one `Origin`: that of the page itself
//! (its host is that of `Host`), the channel's `allowedOrigins`, or the host of `exposure`. Anything else, and none at
//! all, is answered by 403, since a browser would let any page in the world open the socket with its user's network.
//! Browsers send it by themselves; a client that is no browser has to set it:
//! ```text
//! websocat --origin https://chat.example.com wss://chat.example.com/channels/web/socket
//! ```
//!
//! # States
//! ```text
//! connected ──hello──▶ resuming ──ready──▶ live ──▶ closed
//! ```
//! - **connected**: the page sends `hello` within 10 s; anything else is answered by `error` and a close.
//! - **resuming**: the gateway sends `welcome`; `history` if it was asked for; each `reply` that follows the page's
//!   cursor; then `ready`.
//! - **live**: the page sends `ask`, first for each question that has no answer yet, with its first `id`. The gateway
//!   sends what happens, also what happens in other pages of the same user.
//! - **closed**: the page connects again, with growing pauses and its last cursor, except after an `error` whose
//!   `reload` is true.
//!
//! # Frames of the page
//! | `type` | fields | meaning |
//! |---|---|---|
//! | `hello` | `version`, `user`, `cursor?`, `history` | who it is, what it has seen, whether it wants the history |
//! | `ask` | `id`, `text`, `age?` | a question; `age` is the milliseconds since it was asked first |
//!
//! `user` and `id` are 32 lower-case hexadecimal digits of randomness made by the page. `user` is a bearer secret: who
//! has it reads the conversation. `cursor` is what the gateway last sent, unread.
//!
//! # Frames of the gateway
//! | `type` | fields | meaning |
//! |---|---|---|
//! | `welcome` | `version`, `cluster`, `maxCharacters` | the hello was understood |
//! | `history` | `turns`, `complete` | the conversation so far, oldest first; `complete` is false when it cannot be read now |
//! | `ready` | `cursor` | all that followed the cursor has been sent |
//! | `ack` | `id`, `message` | the question is in the queue and will be answered; `message` is its id there |
//! | `refused` | `id?`, `code`, `message`, `retryAfterMs?` | the question was not taken; with `retryAfterMs`, try again then |
//! | `question` | `id`, `message`, `text` | asked in another page of the same user |
//! | `preview` | `message`, `text` | the answer so far, whole |
//! | `reply` | `id`, `message`, `position`, `question`, `answer`, `fallback` | the answer; drop it when `message` is known |
//! | `cursor` | `cursor` | everything up to here has been sent; to be kept for the next hello |
//! | `alive` | | nothing happened |
//! | `error` | `code`, `message`, `reload` | the connection will be closed; `reload`: this page is of no use any more |
//!
//! # Codes
//! `Malformed`, `TooLong`, `TooManyMessages`, `Unavailable`, `Overloaded` in `refused`; `Malformed`, `Version`,
//! `TooSlow`, `Restarting` in `error`.
//!
//! # Exactly one answer
//! A question counts once its `ack` was sent, which is after the queue has it. Without an `ack` the page asks again
//! with the same `id`, for ever; the copy is recognised. A reply can come twice, and has the same `message` then.

mod frames;

pub use frames::{Ask, AskKind, Code, Frame, Hello, HelloKind, PastTurn};

use std::sync::Arc;

use chatbot_crds::config::PlatformConfig;
use chatbot_message::{Account, Details, Message, Outcome, Reply, Way, message_id};

use crate::{
    Answer, Delivery, Fault, Parsed, Platform, ProtocolAdapter, Refusal, Request, Transport,
};

/// The entry in the list of platforms.
pub const PLATFORM: Platform = Platform {
    name: "webChat",
    example: || PlatformConfig::WebChat {
        allowed_origins: Vec::new(),
    },
    adapter: |config, _| match config {
        PlatformConfig::WebChat { .. } => Some(Arc::new(WebChat)),
        _ => None,
    },
};

/// The version of the protocol.
pub const VERSION: u32 = 1;
/// The longest question, in Unicode characters.
pub const MAX_CHARACTERS: usize = 4_000;
/// The largest frame of a page: the longest question, each character escaped.
pub const MAX_FRAME: usize = 64 * 1024;
/// The longest age of a question that is believed: 7 days.
const MAX_AGE: i64 = 7 * 24 * 60 * 60 * 1_000;

/// The format of the web chat.
struct WebChat;

impl ProtocolAdapter for WebChat {
    fn transports(&self) -> &'static [Transport] {
        &[Transport::Socket]
    }

    fn max_body(&self) -> usize {
        MAX_FRAME
    }

    fn verify(&self, delivery: &Delivery) -> Result<(), Refusal> {
        // The gateway has checked the handshake's origin; what is left is that the page said hello.
        match delivery.peer {
            Some(user) if is_id(user) => Ok(()),
            _ => Err(Refusal {
                event: event_in(delivery.body),
                ..Refusal::unauthenticated("the connection has not said whose it is")
            }),
        }
    }

    fn read(&self, delivery: &Delivery) -> Result<Parsed, Refusal> {
        let ask: Ask = serde_json::from_slice(delivery.body).map_err(|error| Refusal {
            fault: Fault::Malformed,
            message: format!("the frame is no question: {error}"),
            event: event_in(delivery.body),
        })?;
        let refuse = |fault, message: String| Refusal {
            fault,
            message,
            event: Some(ask.id.clone()),
        };
        let user = delivery.peer.unwrap_or_default();
        if !is_id(&ask.id) {
            return Err(Refusal {
                fault: Fault::Malformed,
                message: "id: it must be 32 lower-case hexadecimal digits".to_owned(),
                event: None,
            });
        }
        let characters = ask.text.chars().count();
        if characters > MAX_CHARACTERS {
            return Err(refuse(
                Fault::TooLong,
                format!(
                    "text: it has {characters} characters, at most {MAX_CHARACTERS} can be sent"
                ),
            ));
        }
        if ask.text.trim().is_empty() {
            return Err(refuse(Fault::Malformed, "text: it is empty".to_owned()));
        }
        if ask.text.contains('\0') {
            return Err(refuse(
                Fault::Malformed,
                "text: it holds a NUL character, which no model can read".to_owned(),
            ));
        }
        let message = Message {
            // The user is part of the event: nobody can take the id of somebody else's question.
            id: message_id(delivery.channel, &format!("{user}/{}", ask.id)),
            account: Account {
                channel: delivery.channel.to_owned(),
                user: user.to_owned(),
            },
            // A user has one chat, so what tells chats apart elsewhere tells the page which question was answered.
            origin: ask.id.clone(),
            text: ask.text,
            sent_at: Some(delivery.received_at - ask.age.clamp(0, MAX_AGE)),
            synthetic: false,
            details: Details::default(),
            way: Way::default(),
        };
        let acknowledgement = Frame::Ack {
            id: ask.id,
            message: message.id,
        };
        Ok(Parsed {
            messages: vec![message],
            acknowledgement: Answer {
                body: acknowledgement.encode().into_bytes(),
                ..Answer::default()
            },
            ..Parsed::default()
        })
    }

    fn format_response(&self, reply: &Reply, position: u64) -> Vec<Request> {
        let frame = Frame::Reply {
            id: reply.origin.clone(),
            message: reply.message_id,
            position,
            question: reply.question.clone(),
            answer: reply.answer.clone(),
            fallback: reply.outcome == Outcome::Fallback,
        };
        vec![Request::frame(frame.encode().into_bytes())]
    }
}

/// Whether `text` is 128 bits of randomness as the page writes them.
#[must_use]
pub fn is_id(text: &str) -> bool {
    text.len() == 32
        && text
            .bytes()
            .all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}

/// The id in a frame that is otherwise wrong, so that the page learns which question was refused.
fn event_in(body: &[u8]) -> Option<String> {
    let frame: serde_json::Value = serde_json::from_slice(body).ok()?;
    let id = frame.get("id")?.as_str()?;
    is_id(id).then(|| id.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderMap;

    const USER: &str = "0123456789abcdef0123456789abcdef";
    const ID: &str = "ffffffffffffffffffffffffffffffff";

    fn parse(user: &str, body: &str) -> Result<Parsed, Refusal> {
        WebChat.parse_message(&Delivery {
            via: Transport::Socket,
            peer: Some(user),
            received_at: 1_000_000,
            ..Delivery::of("web", &HeaderMap::new(), body.as_bytes())
        })
    }

    fn ask(text: &str) -> String {
        serde_json::json!({ "type": "ask", "id": ID, "text": text, "age": 400 }).to_string()
    }

    #[test]
    fn a_question_becomes_a_message_and_its_copy_has_the_same_id() {
        let first = parse(USER, &ask("hello")).unwrap();
        let copy = parse(USER, &ask("hello")).unwrap();
        assert_eq!(first, copy);
        let message = &first.messages[0];
        assert_eq!(message.text, "hello");
        assert_eq!(message.origin, ID);
        assert_eq!(message.sent_at, Some(999_600));
        let acknowledgement = String::from_utf8(first.acknowledgement.body).unwrap();
        assert!(acknowledgement.contains(&message.id.to_string()));
    }

    #[test]
    fn nobody_can_take_the_id_of_another_user_s_question() {
        let mine = parse(USER, &ask("hello")).unwrap();
        let other = parse(&USER.replace('0', "1"), &ask("hello")).unwrap();
        assert_ne!(mine.messages[0].id, other.messages[0].id);
    }

    #[test]
    fn a_refusal_says_what_is_wrong_and_with_which_question() {
        for (body, fault) in [
            ("nothing", Fault::Malformed),
            (r#"{"type":"ask"}"#, Fault::Malformed),
            (r#"{"type":"hello","version":1}"#, Fault::Malformed),
            (&ask("  \n"), Fault::Malformed),
            (&ask("a\0b"), Fault::Malformed),
            (&ask(&"e\u{301}".repeat(MAX_CHARACTERS)), Fault::TooLong),
            (&ask("hi").replace(ID, "short"), Fault::Malformed),
            (&ask("hi").replace("hi", "\\ud800"), Fault::Malformed),
            (&"[".repeat(60_000), Fault::Malformed),
        ] {
            let refusal = parse(USER, body).unwrap_err();
            assert_eq!(refusal.fault, fault, "{refusal}");
            assert_eq!(
                refusal.event.is_some(),
                body.contains(ID) && !body.contains("ud800")
            );
        }
    }

    #[test]
    fn a_connection_that_has_not_said_whose_it_is_is_refused() {
        let refusal = parse("", &ask("hello")).unwrap_err();
        assert_eq!(refusal.fault, Fault::Unauthenticated);
    }

    #[test]
    fn unusual_text_comes_back_as_it_was() {
        let text = "\u{202e}right to left\u{202c} 👩‍👩‍👧 e\u{301}\u{301} \u{feff}\r\n\ttab";
        let parsed = parse(USER, &ask(text)).unwrap();
        assert_eq!(parsed.messages[0].text, text);
    }
}
