//! What a person gets wrong: one line with field, value and remedy, exit code 1, nothing left behind.
#![allow(clippy::expect_used, clippy::panic, clippy::unwrap_used)] // A test fails by panicking.

use std::io::Write;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

const RESOURCE: &str = "\
apiVersion: chatbot.dev/v1alpha1
kind: ChatBotCluster
metadata:
  name: quickstart
spec:
  channels:
    - name: web
      webChat: {}
  inference:
    contextTokens: 1024
    model:
      source:
        persistentVolumeClaim:
          claimName: models
          path: small.gguf
    nodeCapacity: { cpu: 1, memory: 4Gi }
";

/// The one error line of a command that fails.
fn fails(arguments: &[&str]) -> String {
    let output = Command::new(env!("CARGO_BIN_EXE_chatbot"))
        .args(arguments)
        .env_remove("CHATBOT_LOG")
        .output()
        .unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1), "{arguments:?}: {said}");
    assert!(
        !said.contains("panicked") && !said.contains("backtrace"),
        "{said}"
    );
    let errors: Vec<_> = said
        .lines()
        .filter_map(|line| line.strip_prefix("error: "))
        .collect();
    assert_eq!(errors.len(), 1, "{said}");
    assert_eq!(
        said.lines().last().unwrap(),
        format!("error: {}", errors[0]),
        "the error is the last line"
    );
    errors[0].to_owned()
}

fn run(file: &str, model: &str, more: &[&str]) -> String {
    fails(&[&["run", "-f", file, "--model", model], more].concat())
}

struct Folder(tempfile::TempDir);

impl Folder {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn file(&self, name: &str, content: &[u8]) -> String {
        let path: PathBuf = self.0.path().join(name);
        std::fs::File::create(&path)
            .unwrap()
            .write_all(content)
            .unwrap();
        path.to_str().unwrap().to_owned()
    }
}

/// Asserts that `run` with this file's content says all of `says`.
fn run_says(content: &str, says: &[&str]) {
    let folder = Folder::new();
    let file = folder.file("file.yaml", content.as_bytes());
    let error = run(&file, "/nonexistent/model.gguf", &[]);
    for word in says {
        assert!(error.contains(word), "`{word}` is not in: {error}");
    }
}

#[test]
fn a_file_that_is_no_chatbotcluster_says_what_it_is() {
    run_says(
        "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: x}\n",
        &["file.yaml", "ConfigMap", "ChatBotCluster"],
    );
    run_says("", &["empty"]);
    run_says(
        &format!("{RESOURCE}---\n{RESOURCE}"),
        &["2 documents", "must hold one"],
    );
    run_says("kind: [unclosed\nmetadata: {}\n", &["not YAML", "line 2"]);
    let missing = fails(&["run", "-f", "/nonexistent/file.yaml"]);
    assert!(
        missing.contains("/nonexistent/file.yaml") && missing.contains("--file"),
        "{missing}"
    );
}

#[test]
fn a_file_in_another_encoding_is_told_as_that() {
    let folder = Folder::new();
    let mut bytes = RESOURCE
        .replace("name: web", "name: b\u{fc}ro")
        .into_bytes();
    let place = bytes
        .windows(2)
        .position(|pair| pair == [0xc3, 0xbc])
        .unwrap();
    bytes.splice(place..place + 2, [0xfc]);
    let file = folder.file("file.yaml", &bytes);
    let error = fails(&["run", "-f", &file]);
    assert!(
        error.contains("file.yaml` is not UTF-8 in line 7") && error.contains("save it as UTF-8"),
        "{error}"
    );
    assert!(!error.contains("--file"), "{error}");
}

#[test]
fn tls_is_never_left_out_where_others_can_reach_it() {
    let folder = Folder::new();
    let exposure =
        "spec:\n  exposure: { host: chat.example.com, tls: { secretRef: { name: chat } } }\n";
    let file = folder.file(
        "file.yaml",
        RESOURCE.replace("spec:\n", exposure).as_bytes(),
    );
    let error = run(&file, "any.gguf", &["--address", "0.0.0.0:0"]);
    assert!(
        error.contains("spec.exposure.tls") && error.contains("127.0.0.1"),
        "{error}"
    );
}

#[test]
fn a_wrong_field_is_named_with_its_place() {
    run_says(
        &RESOURCE.replace("contextTokens", "contextToken"),
        &["spec.inference.contextToken", "contextTokens"],
    );
    run_says(
        &RESOURCE.replace(" 1024", " 12"),
        &["spec.inference.contextTokens", "12"],
    );
}

#[test]
fn what_only_a_cluster_has_is_refused_and_not_ignored() {
    let folder = Folder::new();
    let file = folder.file("file.yaml", RESOURCE.as_bytes());
    let error = fails(&["run", "-f", &file]);
    assert!(
        error.contains("small.gguf") && error.contains("--model"),
        "{error}"
    );
    let prompt = "spec:\n  conversation:\n    systemPromptFrom: { configMapKeyRef: { name: persona, key: prompt } }\n";
    run_says(
        &RESOURCE.replace("spec:\n", prompt),
        &["systemPromptFrom", "spec.conversation.systemPrompt"],
    );
    for (strategy, word) in [("Paused", "Always"), ("Halted", "Always")] {
        run_says(
            &RESOURCE.replace("spec:\n", &format!("spec:\n  runStrategy: {strategy}\n")),
            &["spec.runStrategy", strategy, word],
        );
    }
    run_says(
        &RESOURCE.replace(
            "inference:\n",
            "inference:\n    engine: { image: server }\n",
        ),
        &["spec.inference.engine", "built-in"],
    );
}

#[test]
fn a_model_that_is_missing_cut_or_none_is_refused() {
    let folder = Folder::new();
    let file = folder.file("file.yaml", RESOURCE.as_bytes());
    let run = |model: &str| run(&file, model, &["--address", "127.0.0.1:0"]);
    let missing = run("/nonexistent/model.gguf");
    assert!(
        missing.starts_with("--model: no model at `/nonexistent/model.gguf`"),
        "{missing}"
    );
    let cut = run(&folder.file("cut.gguf", b"GGUF\x03\0\0\0"));
    assert!(
        cut.contains("cut.gguf` is truncated: it ends after 8 bytes, within its header")
            && cut.contains("fetch it again"),
        "{cut}"
    );
    for (name, bytes) in [
        ("zeros.gguf", [0; 100]),
        (
            "header.gguf",
            std::array::from_fn(|at| b"GGUF\x03".get(at).copied().unwrap_or(0)),
        ),
        (
            "begun.gguf",
            std::array::from_fn(|at| *b"GGUF\x03\0\0\0\x01".get(at).unwrap_or(&1)),
        ),
    ] {
        let small = run(&folder.file(name, &bytes));
        for word in [name, "100 bytes", ": "] {
            assert!(small.contains(word), "{word} is not in {small}");
        }
        assert!(
            small.contains("fetch it again") || small.contains("convert the model"),
            "{small}"
        );
    }
    let none = run(&file);
    assert!(none.contains("is not a GGUF file"), "{none}");
}

#[test]
fn a_file_that_cannot_be_a_resource_says_what_it_is() {
    let folder = Folder::new();
    let run = |content: &[u8]| fails(&["run", "-f", &folder.file("file", content)]);
    let model = run(b"GGUF\x03\0\0\0");
    assert!(
        model.contains("is a model (GGUF)") && model.contains("--model"),
        "{model}"
    );
    let binary = run(b"\x7fELF\x02\0");
    assert!(
        binary.contains("binary") && binary.contains("--file"),
        "{binary}"
    );
    // Nothing reads without end.
    let endless = fails(&["run", "-f", "/dev/zero"]);
    assert!(endless.contains("`/dev/zero` is a binary"), "{endless}");
    let large = run(&vec![b'#'; (3 << 20) + 1]);
    assert!(
        large.contains("3145728 bytes") && large.contains("--file"),
        "{large}"
    );
}

#[test]
fn a_hyphen_is_standard_input() {
    let mut child = Command::new(env!("CARGO_BIN_EXE_chatbot"))
        .args(["run", "-f", "-"])
        .stdin(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let wrong = RESOURCE.replace(" 1024", " 12");
    let mut input = child.stdin.take().unwrap();
    input.write_all(wrong.as_bytes()).unwrap();
    drop(input);
    let output = child.wait_with_output().unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(
        said.starts_with("error: standard input: spec.inference.contextTokens: "),
        "{said}"
    );
}

#[test]
fn where_nobody_can_listen_is_told_with_the_option() {
    let folder = Folder::new();
    let file = folder.file("file.yaml", RESOURCE.as_bytes());
    let run = |more: &[&str]| run(&file, "any.gguf", more);
    // 192.0.2.0/24 is for documents, and nobody's.
    let foreign = run(&["--address", "192.0.2.1:8080"]);
    assert!(
        foreign.starts_with(
            "--address: failed to listen on 192.0.2.1:8080: it is no address of this machine"
        ),
        "{foreign}"
    );
    let twice = run(&["--address", "127.0.0.1:9", "--admin-port", "9"]);
    assert!(
        twice.starts_with("--admin-port: 9 is the port of --address, too"),
        "{twice}"
    );
    let config = folder.file(
        "config.yaml",
        b"modelPath: x\nmodelName: y\ncontextTokens: 1\nmaxConcurrentRequests: 1\nthreads: 1\n",
    );
    let pod = [
        "inference",
        "--config",
        &config,
        "--port",
        "9",
        "--admin-port",
        "9",
    ];
    let twice = fails(&pod);
    assert!(
        twice.starts_with("--admin-port: 9 is the port of --port, too"),
        "{twice}"
    );
    let output = Command::new(env!("CARGO_BIN_EXE_chatbot"))
        .args(["run", "-f", &file, "--address", "localhost:8080"])
        .output()
        .unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(2), "{said}");
    assert!(said.contains("such as 127.0.0.1:8080"), "{said}");
}

#[test]
fn a_configuration_written_by_hand_that_answers_nobody_is_refused() {
    let folder = Folder::new();
    let whole = "modelPath: /nonexistent/x.gguf\nmodelName: y\ncontextTokens: 512\nmaxConcurrentRequests: 2\nthreads: 1\n";
    for (right, wrong, remedy) in [
        ("contextTokens: 512", "contextTokens: 0", "1 or more"),
        (
            "maxConcurrentRequests: 2",
            "maxConcurrentRequests: 0",
            "1 or more",
        ),
        ("threads: 1", "threads: 0", "1 or more"),
        ("threads: 1", "threads: 257", "256 or less"),
    ] {
        let config = folder.file("config.yaml", whole.replace(right, wrong).as_bytes());
        let error = fails(&["inference", "--config", &config]);
        assert!(
            error.starts_with(&format!("{config}: {wrong} ")) && error.contains(remedy),
            "{error}"
        );
    }
    let config = folder.file("config.yaml", whole.as_bytes());
    let free = TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap();
    let port = free.port().to_string();
    let error = fails(&[
        "inference",
        "--config",
        &config,
        "--port",
        "0",
        "--admin-port",
        &port,
    ]);
    assert!(
        error.starts_with(&format!(
            "{config}: modelPath: no model at `/nonexistent/x.gguf`"
        )),
        "{error}"
    );
}

#[test]
fn a_taken_port_names_itself_and_the_option() {
    let folder = Folder::new();
    let file = folder.file("file.yaml", RESOURCE.as_bytes());
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let error = run(&file, "any.gguf", &["--address", &address]);
    assert!(
        error.contains(&address) && error.contains("--address") && error.contains("in use"),
        "{error}"
    );
}

#[test]
fn a_pod_refuses_a_configuration_of_another_release() {
    let folder = Folder::new();
    let config = folder.file("config.yaml", b"modelPath: x\nmodelName: y\nnewField: 1\n");
    let error = fails(&["inference", "--config", &config]);
    assert!(
        error.contains("newField") && error.contains("config.yaml"),
        "{error}"
    );
    let error = fails(&["gateway", "--config", "/nonexistent/config.yaml"]);
    assert!(error.contains("--config"), "{error}");
}

#[test]
fn a_conversion_that_cannot_be_done_leaves_nothing_behind() {
    let folder = Folder::new();
    let cut = folder.file("cut.gguf", b"GGUF\x03\0\0\0");
    let out = folder.0.path().join("out.gguf");
    let error = fails(&["quantize", "--from", &cut, "--to", out.to_str().unwrap()]);
    assert!(error.contains("truncated"), "{error}");
    let entries = std::fs::read_dir(Path::new(&cut).parent().unwrap())
        .unwrap()
        .count();
    assert_eq!(entries, 1);
}
