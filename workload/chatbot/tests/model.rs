//! The processes with a real model, named by `CHATBOT_TEST_MODEL`.
#![allow(clippy::expect_used, clippy::panic, clippy::unwrap_used)] // A test fails by panicking.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

const PATIENCE: Duration = Duration::from_mins(2);
const RESOURCE: &str = "\
apiVersion: chatbot.dev/v1alpha1
kind: ChatBotCluster
metadata: { name: quickstart }
spec:
  channels: [{ name: web, webChat: {} }]
  inference:
    contextTokens: 1024
    maxConcurrentRequests: 2
    model: { source: { persistentVolumeClaim: { claimName: models, path: small.gguf } } }
    nodeCapacity: { cpu: 1, memory: 4Gi }
";

fn model() -> String {
    std::env::var("CHATBOT_TEST_MODEL").expect("CHATBOT_TEST_MODEL names a GGUF file")
}

/// A process that does not outlive its test.
struct Process(Child);

impl Process {
    fn start(arguments: &[&str]) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_chatbot"));
        Self(
            command
                .args(arguments)
                .stdout(Stdio::piped())
                .spawn()
                .unwrap(),
        )
    }

    fn signal(&self, signal: &str) {
        let killed = Command::new("kill")
            .args([signal, &self.0.id().to_string()])
            .status()
            .unwrap();
        assert!(killed.success());
    }

    fn exit_code(&mut self) -> Option<i32> {
        let since = Instant::now();
        loop {
            if let Some(status) = self.0.try_wait().unwrap() {
                return status.code();
            }
            assert!(since.elapsed() < PATIENCE, "the process does not end");
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn free_port() -> u16 {
    std::net::TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
        .port()
}

/// A request whose connection ends with its response.
fn send(address: &str, head: &str, body: &str) -> std::io::Result<TcpStream> {
    let mut stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    let length = body.len();
    write!(
        stream,
        "{head} HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\ncontent-type: application/json\r\ncontent-length: {length}\r\n\r\n{body}"
    )?;
    Ok(stream)
}

fn get(address: &str, path: &str) -> std::io::Result<String> {
    let mut response = String::new();
    send(address, &format!("GET {path}"), "")?.read_to_string(&mut response)?;
    Ok(response)
}

fn wait_until_ready(admin: &str) {
    let since = Instant::now();
    while !get(admin, "/readyz").is_ok_and(|response| response.starts_with("HTTP/1.1 200")) {
        assert!(since.elapsed() < PATIENCE, "not ready");
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[test]
#[ignore = "needs a model: cargo e2e test"]
fn a_resource_runs_in_one_process_and_its_synthetic_conversation_is_answered() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("file.yaml");
    std::fs::write(&file, RESOURCE).unwrap();
    let (address, admin) = (format!("127.0.0.1:{}", free_port()), free_port());
    let mut process = Process::start(&[
        "run",
        "-f",
        file.to_str().unwrap(),
        "--model",
        &model(),
        "--address",
        &address,
        "--threads",
        "1",
        "--admin-port",
        &admin.to_string(),
    ]);
    let mut line = String::new();
    BufReader::new(process.0.stdout.take().unwrap())
        .read_line(&mut line)
        .unwrap();
    assert_eq!(
        line,
        format!("chat with it: http://{address}/channels/web/\n")
    );
    assert!(
        get(&address, "/channels/web/")
            .unwrap()
            .starts_with("HTTP/1.1 200")
    );

    let admin = format!("127.0.0.1:{admin}");
    let since = Instant::now();
    let answered =
        |state: &str| state.contains("\"probe\":{") && state.contains("\"failedHop\":null");
    while !answered(&get(&admin, "/state").unwrap()) {
        assert!(
            since.elapsed() < PATIENCE,
            "{}",
            get(&admin, "/state").unwrap()
        );
        std::thread::sleep(Duration::from_millis(50));
    }
    process.signal("-INT");
    assert_eq!(process.exit_code(), Some(0));
}

#[test]
#[ignore = "needs a model: cargo e2e test"]
fn an_answer_under_way_at_sigterm_is_finished_and_the_process_ends_well() {
    let folder = tempfile::tempdir().unwrap();
    let config = folder.path().join("config.yaml");
    let model = model();
    std::fs::write(
        &config,
        format!("modelPath: {model}\nmodelName: small\ncontextTokens: 512\nmaxConcurrentRequests: 2\nthreads: 1\n"),
    )
    .unwrap();
    let (port, admin) = (free_port(), free_port());
    let mut process = Process::start(&[
        "inference",
        "--config",
        config.to_str().unwrap(),
        "--port",
        &port.to_string(),
        "--admin-port",
        &admin.to_string(),
    ]);
    let (address, admin) = (format!("127.0.0.1:{port}"), format!("127.0.0.1:{admin}"));
    wait_until_ready(&admin);

    let body = r#"{"model":"small","stream":true,"temperature":0,"max_tokens":150,
        "messages":[{"role":"user","content":"Tell me a long story about a ship."}]}"#;
    let mut response = BufReader::new(send(&address, "POST /v1/chat/completions", body).unwrap());
    let mut text = String::new();
    while !text.contains("\"content\":\" ") {
        assert_ne!(response.read_line(&mut text).unwrap(), 0, "{text}");
    }
    process.signal("-TERM");
    let since = Instant::now();
    while !get(&admin, "/readyz").is_ok_and(|response| response.contains("draining")) {
        assert!(since.elapsed() < PATIENCE);
    }
    response.read_to_string(&mut text).unwrap();
    assert!(text.contains("data: [DONE]"), "{text}");
    assert_eq!(process.exit_code(), Some(0));
}
