//! What is said on connections, frame by frame, at moments of the test's own.

use std::time::{Duration, Instant};

use chatbot_adapters::feishu::frames::Envelope;
use chatbot_adapters::{Answer, Ending, Frame, Heard, Link, Parcel, Response, Step};
use http::{HeaderMap, StatusCode};
use prost::Message;
use serde_json::{Value, json};

use crate::samples::adapter;

const SECOND: Duration = Duration::from_secs(1);

fn link(platform: &str, cursor: Option<&str>) -> Box<dyn Link> {
    let secrets = [
        ("botToken", "token"),
        ("appToken", "token"),
        ("appSecret", "secret"),
    ];
    adapter(platform, &secrets).link(cursor, 0.5).unwrap()
}

fn says(link: &mut dyn Link, frame: &Value, now: Instant) -> Vec<Step> {
    link.heard(Heard::Text(&frame.to_string()), now)
}

fn sent(steps: &[Step]) -> Vec<Value> {
    let texts = steps.iter().filter_map(|step| match step {
        Step::Send(Frame::Text(text)) => serde_json::from_str(text).ok(),
        _ => None,
    });
    texts.collect()
}

fn parcel(steps: &[Step]) -> &Parcel {
    steps
        .iter()
        .find_map(|step| match step {
            Step::Take(parcel) => Some(parcel),
            _ => None,
        })
        .unwrap_or_else(|| panic!("no delivery in {steps:?}"))
}

/// Whether it ends, and whether that is forgotten where it would go on.
fn ends(steps: &[Step]) -> Option<bool> {
    steps.iter().find_map(|step| match step {
        Step::Close(Ending::Again { forget, .. }) => Some(*forget),
        _ => None,
    })
}

fn hello() -> Value {
    json!({ "op": 10, "d": { "heartbeat_interval": 40_000 } })
}

fn ready() -> Value {
    let session = json!({ "session_id": "s-1", "resume_gateway_url": "wss://resume.example.com" });
    json!({ "op": 0, "t": "READY", "s": 1, "d": session })
}

#[test]
fn discord_identifies_beats_and_leaves_where_to_resume() {
    let mut link = link("discord", None);
    let start = Instant::now();
    assert_eq!(link.address(), None);
    assert!(link.opened("wss://gateway.example.com", start).is_empty());
    let steps = says(link.as_mut(), &hello(), start);
    let identify = &sent(&steps)[0];
    assert_eq!(identify["op"], 2);
    assert!(identify["d"]["token"].is_string(), "{identify}");
    // The first heartbeat comes within the interval, and the next when it was acknowledged.
    assert_eq!(link.due(), Some(start + 20 * SECOND));
    let steps = says(link.as_mut(), &ready(), start + SECOND);
    assert_eq!(steps[0], Step::Up);
    let kept = parcel(&steps).cursor.clone().unwrap();
    let message = json!({ "op": 0, "t": "MESSAGE_CREATE", "s": 7, "d": {} });
    let later = says(link.as_mut(), &message, start + SECOND);
    assert_ne!(parcel(&later).cursor.as_ref(), Some(&kept));
    let beat = sent(&link.elapsed(start + 20 * SECOND));
    assert_eq!(beat, [json!({ "op": 1, "d": 7 })]);
    assert!(says(link.as_mut(), &json!({ "op": 11 }), start + 21 * SECOND).is_empty());
    let wanted = sent(&says(
        link.as_mut(),
        &json!({ "op": 1 }),
        start + 22 * SECOND,
    ));
    assert_eq!(wanted, [json!({ "op": 1, "d": 7 })]);
    assert_eq!(sent(&link.elapsed(start + 60 * SECOND)).len(), 1);
    // The last one is not acknowledged.
    assert_eq!(ends(&link.elapsed(start + 100 * SECOND)), Some(false));
}

#[test]
fn discord_resumes_where_the_log_has_everything_and_forgets_a_session_that_is_over() {
    let mut first = link("discord", None);
    let start = Instant::now();
    first.opened("wss://gateway.example.com", start);
    says(first.as_mut(), &hello(), start);
    let cursor = parcel(&says(first.as_mut(), &ready(), start))
        .cursor
        .clone();
    let resumed = || {
        let mut link = link("discord", cursor.as_deref());
        link.opened("wss://resume.example.com", start);
        let steps = says(link.as_mut(), &hello(), start);
        (link, sent(&steps)[0].clone())
    };
    let (mut link, resume) = resumed();
    assert_eq!(
        link.address(),
        Some("wss://resume.example.com/?v=10&encoding=json")
    );
    assert_eq!(resume["op"], 6);
    assert_eq!(
        (&resume["d"]["session_id"], &resume["d"]["seq"]),
        (&json!("s-1"), &json!(1))
    );
    let steps = says(
        link.as_mut(),
        &json!({ "op": 0, "t": "RESUMED", "s": 9, "d": {} }),
        start,
    );
    assert_eq!(steps[0], Step::Up);
    let again = says(link.as_mut(), &json!({ "op": 7, "d": null }), start);
    assert_eq!(ends(&again), Some(false));
    for (frame, forgets) in [
        (json!({ "op": 9, "d": true }), false),
        (json!({ "op": 9, "d": false }), true),
    ] {
        let (mut link, _) = resumed();
        let steps = says(link.as_mut(), &frame, start);
        assert_eq!(ends(&steps), Some(forgets), "{frame}");
        let Step::Close(Ending::Again { after, .. }) = &steps[0] else {
            panic!("{steps:?}");
        };
        assert!(*after >= SECOND && *after <= 5 * SECOND, "{after:?}");
    }
}

#[test]
fn discord_tells_an_end_that_a_person_must_see_from_one_that_passes() {
    let link = link("discord", None);
    let is_rejected = |code| matches!(link.closed(Some(code), "why"), Ending::Rejected { reason } if reason.contains("why"));
    for code in [4004, 4010, 4011, 4012, 4013, 4014] {
        assert!(is_rejected(code), "{code}");
    }
    for (code, forgets) in [(1000, false), (4000, false), (4007, true), (4009, true)] {
        let ending = link.closed(Some(code), "");
        assert!(
            matches!(ending, Ending::Again { forget, .. } if forget == forgets),
            "{code}"
        );
    }
}

#[test]
fn discord_gives_up_a_platform_that_says_nothing_or_not_what_it_should() {
    let start = Instant::now();
    let mut silent = link("discord", None);
    silent.opened("wss://gateway.example.com", start);
    assert_eq!(ends(&silent.elapsed(silent.due().unwrap())), Some(false));
    // Hello, and nothing behind it.
    let mut slow = link("discord", None);
    slow.opened("wss://gateway.example.com", start);
    says(slow.as_mut(), &hello(), start);
    assert_eq!(sent(&slow.elapsed(start + 20 * SECOND)).len(), 1);
    assert_eq!(ends(&slow.elapsed(start + 30 * SECOND)), Some(false));
    for garbage in ["", "{", "[]x", "\u{0}"] {
        let mut link = link("discord", None);
        assert!(
            ends(&link.heard(Heard::Text(garbage), start)).is_some(),
            "{garbage}"
        );
        assert!(ends(&link.heard(Heard::Binary(b"\x78\x9c"), start)).is_some());
    }
    let nothing = json!({ "op": 10, "d": {} });
    assert!(ends(&says(link("discord", None).as_mut(), &nothing, start)).is_some());
}

#[test]
fn slack_says_hello_hands_over_envelopes_and_warns_before_it_closes() {
    let mut link = link("slack", None);
    let start = Instant::now();
    link.opened("wss://slack.example.com", start);
    let hello = json!({ "type": "hello", "num_connections": 1 });
    assert_eq!(says(link.as_mut(), &hello, start), [Step::Up]);
    let envelope = json!({ "type": "events_api", "envelope_id": "e-1", "payload": {} });
    let steps = says(link.as_mut(), &envelope, start);
    let parcel = parcel(&steps);
    assert_eq!(parcel.body, envelope.to_string().into_bytes());
    let told = Answer {
        body: b"{\"envelope_id\":\"e-1\"}".to_vec(),
        ..Answer::default()
    };
    let acknowledged = link.acknowledge(&parcel.receipt, &told, SECOND);
    assert_eq!(
        acknowledged,
        Some(Frame::Text("{\"envelope_id\":\"e-1\"}".to_owned()))
    );
    assert_eq!(link.acknowledge(&[], &Answer::default(), SECOND), None);
    for reason in ["warning", "refresh_requested"] {
        let leaving = json!({ "type": "disconnect", "reason": reason });
        assert_eq!(says(link.as_mut(), &leaving, start), [Step::Replace]);
    }
    let off = json!({ "type": "disconnect", "reason": "link_disabled" });
    let steps = says(link.as_mut(), &off, start);
    assert!(
        matches!(&steps[0], Step::Close(Ending::Rejected { .. })),
        "{steps:?}"
    );
}

#[test]
fn slack_is_asked_when_it_is_quiet_and_given_up_when_it_stays_so() {
    let mut link = link("slack", None);
    let start = Instant::now();
    link.opened("wss://slack.example.com", start);
    says(link.as_mut(), &json!({ "type": "hello" }), start);
    assert_eq!(link.elapsed(start + 15 * SECOND), [Step::Send(Frame::Ping)]);
    assert!(link.heard(Heard::Sign, start + 16 * SECOND).is_empty());
    assert_eq!(link.elapsed(start + 45 * SECOND), [Step::Send(Frame::Ping)]);
    assert_eq!(ends(&link.elapsed(start + 61 * SECOND)), Some(false));
    let mut rude = self::link("slack", None);
    rude.opened("wss://slack.example.com", start);
    assert_eq!(ends(&rude.elapsed(start + 30 * SECOND)), Some(false));
}

fn event(id: &str, sum: usize, seq: usize, payload: &[u8]) -> Envelope {
    Envelope {
        sequence: 3,
        log: 4,
        service: 9,
        method: 1,
        payload: payload.to_vec(),
        ..Envelope::default()
    }
    .with("type", "event")
    .with("message_id", id)
    .with("sum", sum.to_string())
    .with("seq", seq.to_string())
}

fn comes(link: &mut dyn Link, envelope: &Envelope, now: Instant) -> Vec<Step> {
    link.heard(Heard::Binary(&envelope.encode_to_vec()), now)
}

fn decoded(frame: &Frame) -> Envelope {
    let Frame::Binary(bytes) = frame else {
        panic!("{frame:?}");
    };
    Envelope::decode(bytes.as_slice()).unwrap()
}

#[test]
fn feishu_puts_parts_together_and_acknowledges_an_event_by_its_own_frame() {
    let mut link = link("feishu", None);
    let start = Instant::now();
    let steps = link.opened("wss://x.example.com/ws?device_id=d&service_id=9", start);
    assert_eq!(steps[0], Step::Up);
    let Step::Send(ping) = &steps[1] else {
        panic!("{steps:?}");
    };
    // Fields 1 to 4 are there though two of them are 0.
    assert_eq!(
        *ping,
        Frame::Binary(b"\x08\0\x10\0\x18\x09\x20\0\x2a\x0c\x0a\x04type\x12\x04ping".to_vec())
    );
    let ping = decoded(ping);
    assert_eq!(
        (ping.service, ping.method, ping.header("type")),
        (9, 0, Some("ping"))
    );

    assert!(comes(link.as_mut(), &event("m-1", 3, 2, b"three"), start).is_empty());
    assert!(comes(link.as_mut(), &event("m-1", 3, 0, b"one"), start).is_empty());
    let whole = comes(link.as_mut(), &event("m-2", 1, 0, b"whole"), start);
    assert_eq!(parcel(&whole).body, b"whole");
    let steps = comes(link.as_mut(), &event("m-1", 3, 1, b"two"), start);
    assert_eq!(parcel(&steps).body, b"onetwothree");
    let receipt = &parcel(&steps).receipt;
    let told = link
        .acknowledge(receipt, &Answer::default(), 7 * SECOND)
        .unwrap();
    let told = decoded(&told);
    assert_eq!((told.sequence, told.log, told.method), (3, 4, 1));
    assert_eq!(told.header("message_id"), Some("m-1"));
    assert_eq!(told.header("biz_rt"), Some("7000"));
    let payload: Value = serde_json::from_slice(&told.payload).unwrap();
    assert_eq!(payload["code"], 200);
}

#[test]
fn feishu_is_asked_as_often_as_it_wants() {
    let mut link = link("feishu", None);
    let start = Instant::now();
    link.opened("wss://x.example.com/ws?service_id=9", start);
    assert_eq!(link.due(), Some(start + 120 * SECOND));
    let pong = Envelope {
        payload: b"{\"PingInterval\":10}".to_vec(),
        ..Envelope::default()
    }
    .with("type", "pong");
    assert!(comes(link.as_mut(), &pong, start).is_empty());
    assert_eq!(link.due(), Some(start + 10 * SECOND));
    assert_eq!(link.elapsed(start + 10 * SECOND).len(), 1);
    assert_eq!(ends(&link.elapsed(start + 30 * SECOND)), Some(false));
}

#[test]
fn feishu_keeps_only_so_many_parts_and_refuses_what_is_no_frame() {
    let mut link = link("feishu", None);
    let start = Instant::now();
    link.opened("wss://x.example.com/ws", start);
    for number in 0..100 {
        let part = event(&format!("m-{number}"), 2, 0, b"half");
        assert!(comes(link.as_mut(), &part, start).is_empty());
    }
    // The first is forgotten, the last is not.
    assert!(comes(link.as_mut(), &event("m-0", 2, 1, b"half"), start).is_empty());
    assert_eq!(
        comes(link.as_mut(), &event("m-99", 2, 1, b"half"), start).len(),
        1
    );
    for (sum, seq) in [(100_000, 1), (2, 2), (2, 9)] {
        assert!(comes(link.as_mut(), &event("m", sum, seq, b"x"), start).is_empty());
    }
    assert_eq!(
        ends(&link.heard(Heard::Binary(b"\xff\xff"), start)),
        Some(false)
    );
    assert_eq!(ends(&link.heard(Heard::Text("{}"), start)), Some(false));
}

#[test]
fn feishu_tells_an_app_that_may_not_connect_from_one_with_too_many_connections() {
    let link = link("feishu", None);
    let refused = |headers: &[(&'static str, &'static str)]| {
        let headers: HeaderMap = headers
            .iter()
            .map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap()))
            .collect();
        link.refused(&Response {
            status: StatusCode::BAD_REQUEST,
            headers: &headers,
            body: b"",
        })
    };
    let forbidden = refused(&[
        ("handshake-status", "403"),
        ("handshake-msg", "not enabled"),
    ]);
    assert!(
        matches!(&forbidden, Ending::Rejected { reason } if reason.contains("not enabled")),
        "{forbidden:?}"
    );
    let unknown = refused(&[("handshake-status", "514")]);
    assert!(matches!(unknown, Ending::Rejected { .. }));
    let many = refused(&[
        ("handshake-status", "514"),
        ("handshake-autherrcode", "1000040350"),
    ]);
    assert!(matches!(many, Ending::Again { .. }));
    assert!(matches!(refused(&[]), Ending::Again { .. }));
}
