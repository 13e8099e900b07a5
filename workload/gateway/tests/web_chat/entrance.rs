//! What does not get in.

use chatbot_adapters::web_chat::{Code, Frame, MAX_CHARACTERS, MAX_FRAME};
use chatbot_queue::Topic;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::Error;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;

use crate::answerer::Answerer;
use crate::hub::{Backing, Hub, PATIENCE, channel, config, limits};
use crate::page::{Page, open, random_id};

fn status(opened: Result<crate::page::Socket, Error>) -> u16 {
    match opened {
        Ok(_) => 101,
        Err(Error::Http(response)) => response.status().as_u16(),
        Err(error) => panic!("{error}"),
    }
}

/// A plain HTTP request; the whole answer.
async fn get(hub: &Hub, path: &str, headers: &str) -> String {
    let mut stream = TcpStream::connect(hub.address).await.unwrap();
    let request = format!(
        "GET {path} HTTP/1.1\r\nhost: {}\r\nconnection: close\r\n{headers}\r\n",
        hub.address
    );
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    answer
}

async fn enqueued(backing: &Backing) -> u64 {
    let mut records = 0;
    for partition in 0..backing.log.partitions() {
        records += backing.log.end(Topic::Inbound, partition).await.unwrap();
    }
    records
}

#[tokio::test]
async fn a_page_of_another_origin_is_refused() {
    let backing = Backing::new();
    let mut config = config();
    config.channels = vec![channel("web", &["https://shop.example.com"])];
    let hub = Hub::with(config, limits(), &backing).await;
    let own = format!("http://{}", hub.address);
    assert_eq!(status(open(hub.address, Some(&own)).await), 101);
    assert_eq!(
        status(open(hub.address, Some("https://shop.example.com")).await),
        101
    );
    assert_eq!(
        status(open(hub.address, Some("https://evil.example")).await),
        403
    );
    assert_eq!(status(open(hub.address, Some("null")).await), 403);
    assert_eq!(status(open(hub.address, None).await), 403);
}

#[tokio::test]
async fn an_oversized_frame_is_refused_and_reaches_no_queue() {
    let backing = Backing::new();
    let _answerer = Answerer::start(&backing).await;
    let hub = Hub::start(&backing).await;
    let mut page = Page::connected(hub.address).await;
    page.send("x".repeat(MAX_FRAME + 1)).await;
    let (told, close) = page.closed().await;
    assert_eq!((told, close), (Some(Code::TooLong), Some(CloseCode::Size)));
    assert_eq!(enqueued(&backing).await, 0);
    page.connect(hub.address).await;
    page.ask("hello").await;
    assert_eq!(page.answered().await, "answer to hello");
}

#[tokio::test]
async fn what_cannot_be_read_is_answered_plainly_and_the_conversation_goes_on() {
    let backing = Backing::new();
    let _answerer = Answerer::start(&backing).await;
    let hub = Hub::start(&backing).await;
    let mut page = Page::connected(hub.address).await;
    for frame in [
        "{",
        "[]",
        "null",
        r#"{"type":"nothing"}"#,
        &"[".repeat(5_000),
    ] {
        page.send(frame).await;
        let (id, code, message, retry_after) = page.refused().await;
        assert_eq!((id, code, retry_after), (None, Code::Malformed, None));
        assert!(message.starts_with("the frame is no question"), "{message}");
    }
    let id = page.ask(&"x".repeat(MAX_CHARACTERS + 1)).await;
    let (refused, code, message, _) = page.refused().await;
    assert_eq!((refused, code), (Some(id.clone()), Code::TooLong));
    assert!(
        message.contains("4001") && message.contains("4000"),
        "{message}"
    );
    page.unanswered.remove(&id);
    assert_eq!(enqueued(&backing).await, 0);
    page.ask("hello").await;
    assert_eq!(page.answered().await, "answer to hello");
}

#[tokio::test]
async fn a_page_that_sends_nothing_readable_is_closed() {
    let backing = Backing::new();
    let hub = Hub::start(&backing).await;
    let mut page = Page::connected(hub.address).await;
    for _ in 0..21 {
        page.send("{").await;
    }
    let (told, close) = page.closed().await;
    assert_eq!(
        (told, close),
        (Some(Code::Malformed), Some(CloseCode::Policy))
    );
}

#[tokio::test]
async fn a_hello_that_is_wrong_is_answered_with_the_reason() {
    let backing = Backing::new();
    let hub = Hub::start(&backing).await;
    let hellos = [
        (
            serde_json::json!({ "type": "hello", "version": 1, "user": "short" }),
            Code::Malformed,
        ),
        (
            serde_json::json!({ "type": "hello", "version": 1, "user": random_id(), "x": 1 }),
            Code::Malformed,
        ),
        (
            serde_json::json!({ "type": "ask", "id": random_id(), "text": "hello" }),
            Code::Malformed,
        ),
        (
            serde_json::json!({ "type": "hello", "version": 2, "surprise": true }),
            Code::Version,
        ),
    ];
    for (hello, code) in hellos {
        let mut page = Page::new();
        page.open(hub.address).await;
        page.send(hello.to_string()).await;
        assert_eq!(page.closed().await.0, Some(code), "{hello}");
    }
}

#[tokio::test]
async fn a_cursor_that_cannot_be_read_means_the_beginning() {
    let backing = Backing::new();
    let _answerer = Answerer::start(&backing).await;
    let hub = Hub::start(&backing).await;
    let mut page = Page::connected(hub.address).await;
    page.ask("hello").await;
    page.answered().await;
    page.until(|frame| matches!(frame, Frame::Cursor { .. }).then_some(()))
        .await;
    let believed = page.cursor.clone().unwrap();
    let (mut beyond, mut another) = (believed.clone(), believed);
    beyond["at"]["position"] = u64::MAX.into();
    another["log"] = "another".into();
    let cursors = [serde_json::json!("nonsense"), beyond, another];
    for cursor in cursors {
        let mut other = Page::of(&page.user);
        other.cursor = Some(cursor);
        other.hello(hub.address, false).await;
        assert_eq!(other.answered().await, "answer to hello");
    }
}

#[tokio::test]
async fn nobody_passes_for_the_synthetic_conversation() {
    let backing = Backing::new();
    let hub = Hub::start(&backing).await;
    let mut page = Page::new();
    page.open(hub.address).await;
    let hello =
        serde_json::json!({ "type": "hello", "version": 1, "user": page.user, "probe": "guessed" });
    page.send(hello.to_string()).await;
    let (told, close) = page.closed().await;
    assert_eq!(
        (told, close),
        (Some(Code::Malformed), Some(CloseCode::Policy))
    );
}

#[tokio::test]
async fn only_so_many_sockets_are_open() {
    let backing = Backing::new();
    let mut limits = limits();
    limits.sockets = 1;
    let hub = Hub::with(config(), limits, &backing).await;
    let own = format!("http://{}", hub.address);
    let first = Page::connected(hub.address).await;
    assert_eq!(status(open(hub.address, Some(&own)).await), 503);
    drop(first);
    let again = async {
        while status(open(hub.address, Some(&own)).await) != 101 {
            tokio::time::sleep(std::time::Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(PATIENCE, again).await.unwrap();
}

#[tokio::test]
async fn a_request_whose_headers_never_end_is_let_go() {
    let backing = Backing::new();
    let mut limits = limits();
    limits.hello = std::time::Duration::from_millis(200);
    let hub = Hub::with(config(), limits, &backing).await;
    let mut stream = TcpStream::connect(hub.address).await.unwrap();
    stream
        .write_all(b"GET / HTTP/1.1\r\nhost: x\r\nx: ")
        .await
        .unwrap();
    let mut rest = vec![];
    let read = tokio::time::timeout(PATIENCE, stream.read_to_end(&mut rest)).await;
    assert!(read.is_ok(), "the connection was closed");
}

#[tokio::test]
async fn the_page_is_served_with_a_strict_policy() {
    let backing = Backing::new();
    let hub = Hub::start(&backing).await;
    let entrance = get(&hub, "/", "").await;
    assert!(entrance.starts_with("HTTP/1.1 307"), "{entrance}");
    assert!(
        entrance.contains("location: /channels/web/\r\n"),
        "{entrance}"
    );
    let page = get(&hub, "/channels/web/", "").await;
    assert!(page.contains("<title>support</title>"), "{page}");
    assert!(
        page.contains("default-src 'none'; script-src 'self'"),
        "{page}"
    );
    for asset in ["chat.css", "chat.js", "kept.js", "turns.js", "icon.svg"] {
        let asset = get(&hub, &format!("/channels/web/{asset}"), "").await;
        assert!(asset.starts_with("HTTP/1.1 200"), "{asset}");
        let tag = asset
            .lines()
            .find_map(|line| line.strip_prefix("etag: "))
            .unwrap();
        let again = get(
            &hub,
            "/channels/web/chat.css",
            &format!("if-none-match: {tag}\r\n"),
        )
        .await;
        assert_eq!(
            again.starts_with("HTTP/1.1 304"),
            asset.contains("text/css")
        );
    }
    assert!(
        get(&hub, "/channels/other/", "")
            .await
            .starts_with("HTTP/1.1 404")
    );
    assert!(
        get(&hub, "/channels/web/..%2fchat.js", "")
            .await
            .starts_with("HTTP/1.1 404")
    );
}

#[tokio::test]
async fn the_entrance_lists_the_chats_when_there_are_several() {
    let backing = Backing::new();
    let mut config = config();
    config.channels.push(channel("sales", &[]));
    let hub = Hub::with(config, limits(), &backing).await;
    let entrance = get(&hub, "/", "").await;
    assert!(entrance.contains("href=\"/channels/sales/\""), "{entrance}");
    assert!(entrance.contains("href=\"/channels/web/\""), "{entrance}");
}
