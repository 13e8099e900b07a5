//! Chromium and chromedriver, from start to end.

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};

use anyhow::{Context, Result};
use fantoccini::wd::WebDriverCompatibleCommand;
use fantoccini::{Client, ClientBuilder};
use hyper_util::client::legacy::connect::HttpConnector;
use serde_json::{Value, json};
use tokio::runtime::Runtime;

/// What a browser in a test needs none of, and what root and a machine without a graphics card ask for.
const FLAGS: [&str; 9] = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-dev-shm-usage",
];

/// A browser with nothing kept from before; it ends when it is dropped.
pub struct Browser {
    // In the order in which they are to be dropped.
    client: Client,
    runtime: Runtime,
    driver: Child,
    _profile: tempfile::TempDir,
}

impl Browser {
    /// Starts one.
    pub fn start() -> Result<Self> {
        let profile = tempfile::tempdir().context("failed to make a folder for the browser")?;
        let (driver, port) = start_driver()?;
        let runtime = Runtime::new().context("failed to start a runtime")?;
        let mut flags: Vec<_> = FLAGS.iter().map(ToString::to_string).collect();
        flags.push(format!("--user-data-dir={}", profile.path().display()));
        let mut capabilities = serde_json::Map::new();
        capabilities.insert("goog:chromeOptions".to_owned(), json!({ "args": flags }));
        let client = runtime
            .block_on(async {
                ClientBuilder::new(HttpConnector::new())
                    .capabilities(capabilities)
                    .connect(&format!("http://127.0.0.1:{port}"))
                    .await
            })
            .context("failed to start chromium through chromedriver")?;
        Ok(Self {
            client,
            runtime,
            driver,
            _profile: profile,
        })
    }

    pub(super) fn wait<T>(&self, step: impl AsyncFnOnce(&Client) -> Result<T>) -> Result<T> {
        self.runtime.block_on(step(&self.client))
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        // Closes chromium; chromedriver alone would leave it.
        let _ = self.runtime.block_on(self.client.clone().close());
        let _ = self.driver.kill();
        let _ = self.driver.wait();
    }
}

/// Starts chromedriver on a port of its choice.
fn start_driver() -> Result<(Child, u16)> {
    let mut driver = Command::new("chromedriver")
        .args(["--port=0", "--log-level=WARNING"])
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .context(
            "failed to start chromedriver: install the packages chromium and chromium-driver",
        )?;
    let said = driver.stdout.take().context("chromedriver has no output")?;
    let port = BufReader::new(said)
        .lines()
        .map_while(std::result::Result::ok)
        .find_map(|line| {
            let after = line.split("started successfully on port ").nth(1)?;
            after.trim_end_matches('.').parse().ok()
        });
    if let Some(port) = port {
        return Ok((driver, port));
    }
    let _ = driver.kill();
    let _ = driver.wait();
    anyhow::bail!("chromedriver ended without saying its port")
}

/// A command of the browser's developer tools: what the `WebDriver` protocol has no word for.
#[derive(Debug)]
pub(super) struct Devtools {
    body: String,
}

impl Devtools {
    pub(super) fn new(command: &str, parameters: &Value) -> Self {
        Self {
            body: json!({ "cmd": command, "params": parameters }).to_string(),
        }
    }
}

impl WebDriverCompatibleCommand for Devtools {
    fn endpoint(
        &self,
        base_url: &url::Url,
        session_id: Option<&str>,
    ) -> std::result::Result<url::Url, url::ParseError> {
        let session = session_id.unwrap_or_default();
        base_url.join(&format!("session/{session}/goog/cdp/execute"))
    }

    fn method_and_body(&self, _: &url::Url) -> (http::Method, Option<String>) {
        (http::Method::POST, Some(self.body.clone()))
    }
}
