//! The chat as `chatbot run` starts it, with a real model.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

/// `chatbot run` on a free port; it ends when this is dropped.
pub struct Process {
    child: Child,
    pub address: String,
}

impl Process {
    /// Starts it with the quick sample and the model that `CHATBOT_TEST_MODEL` names, and waits until it says where to
    /// chat with it.
    pub fn start() -> Self {
        let model = std::env::var_os("CHATBOT_TEST_MODEL")
            .expect("CHATBOT_TEST_MODEL: the path of a small model's file, GGUF");
        let sample = Path::new(env!("CARGO_MANIFEST_DIR")).join("samples/quickstart.yaml");
        let mut child = Command::new(program())
            .args(["run", "--address", "127.0.0.1:0", "--model"])
            .arg(model)
            .arg("--file")
            .arg(sample)
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("target/debug/chatbot can be started: cargo build -p chatbot");
        let said = BufReader::new(child.stdout.take().unwrap());
        let mut lines = said.lines().map_while(Result::ok);
        let mut before = vec![];
        let address = lines.by_ref().find_map(|line| {
            let address = line.split("chat with it: ").nth(1).map(str::to_owned);
            before.push(line);
            address
        });
        let Some(address) = address else {
            let _ = child.wait();
            panic!("chatbot ended without saying an address: {before:?}");
        };
        // Whatever it says later must not block it.
        std::thread::spawn(move || lines.for_each(drop));
        Self { child, address }
    }
}

/// The program beside the tests, as the same build made it.
fn program() -> PathBuf {
    let test = std::env::current_exe().unwrap();
    test.ancestors().nth(2).unwrap().join("chatbot")
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
