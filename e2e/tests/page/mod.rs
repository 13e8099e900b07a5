//! The web chat in a real browser, step by step as a person takes them: headless Chromium, driven by chromedriver.
//!
//! Every step waits for what it needs and fails with what the page showed instead.

#![allow(dead_code)] // Each test takes the steps it needs.

mod browser;

use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use fantoccini::Locator;
use fantoccini::wd::WindowHandle;
use serde_json::{Value, json};

pub use browser::Browser;

/// One tab with the chat open. Tabs of one browser share what it keeps, as a person's do.
pub struct Page<'a> {
    browser: &'a Browser,
    window: WindowHandle,
}

/// One question and its answer, as shown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Turn {
    /// What was asked.
    pub question: String,
    /// The finished answer, if there is one.
    pub answer: Option<String>,
    /// The answer under way, if one is shown.
    pub preview: Option<String>,
    /// The small text below the question.
    pub state: String,
}

impl<'a> Page<'a> {
    /// Opens the chat at `address` in a new tab, and waits until it is connected.
    pub fn open(browser: &'a Browser, address: &str, limit: Duration) -> Result<Self> {
        let window = browser.wait(async |client| Ok(client.new_window(true).await?.handle))?;
        let page = Self { browser, window };
        page.go_to(address)?;
        page.wait_for_connection("Connected", limit)?;
        Ok(page)
    }

    fn go_to(&self, address: &str) -> Result<()> {
        self.in_tab(async |client| Ok(client.goto(address).await?))
            .with_context(|| format!("failed to open {address}"))
    }

    /// Goes to the field, types a question and Enter.
    pub fn ask(&self, question: &str) -> Result<()> {
        self.click("question")?;
        self.type_keys(&format!("{question}\u{e007}"))
    }

    /// Presses keys where the focus is.
    pub fn type_keys(&self, keys: &str) -> Result<()> {
        self.in_tab(async |client| Ok(client.active_element().await?.send_keys(keys).await?))
            .context("failed to type")
    }

    /// Everything that is shown of the conversation.
    pub fn turns(&self) -> Result<Vec<Turn>> {
        let script = r#"
            const text = (element) => element ? element.innerText.trim() : null;
            return [...document.querySelectorAll(".turn")].map((turn) => ({
                question: text(turn.querySelector(".question .text")),
                answer: text(turn.querySelector(".answer:not([aria-busy]) .text")),
                preview: text(turn.querySelector(".answer[aria-busy] .text")),
                state: text(turn.querySelector(".state")),
            }));"#;
        let Value::Array(turns) = self.run(script)? else {
            bail!("the page showed no list of turns");
        };
        let text = |turn: &Value, name: &str| turn[name].as_str().map(str::to_owned);
        Ok(turns
            .iter()
            .map(|turn| Turn {
                question: text(turn, "question").unwrap_or_default(),
                answer: text(turn, "answer"),
                preview: text(turn, "preview"),
                state: text(turn, "state").unwrap_or_default(),
            })
            .collect())
    }

    /// Waits until the question asked last has a finished answer.
    pub fn wait_for_answer(&self, limit: Duration) -> Result<String> {
        let turns = self.wait_for_turns("an answer", limit, |turns| {
            turns.last().is_some_and(|turn| turn.answer.is_some())
        })?;
        Ok(turns
            .last()
            .and_then(|turn| turn.answer.clone())
            .unwrap_or_default())
    }

    /// Waits until the answer to the last question is under way, and gives what is shown of it.
    pub fn wait_for_preview(&self, limit: Duration) -> Result<String> {
        let preview = |turns: &[Turn]| {
            turns
                .last()?
                .preview
                .clone()
                .filter(|text| !text.is_empty())
        };
        let turns = self.wait_for_turns("an answer under way", limit, |turns| {
            preview(turns).is_some()
        })?;
        Ok(preview(&turns).unwrap_or_default())
    }

    /// Waits until the conversation is as wanted.
    pub fn wait_for_turns(
        &self,
        what: &str,
        limit: Duration,
        wanted: impl Fn(&[Turn]) -> bool,
    ) -> Result<Vec<Turn>> {
        wait_for(what, limit, || {
            let turns = self.turns()?;
            Ok(if wanted(&turns) {
                Ok(turns)
            } else {
                Err(turns)
            })
        })
    }

    /// What the page says of its connection.
    pub fn connection(&self) -> Result<String> {
        let said = self.run("return document.getElementById('connection').textContent")?;
        Ok(said.as_str().unwrap_or_default().to_owned())
    }

    /// Waits until the page says that of its connection.
    pub fn wait_for_connection(&self, beginning: &str, limit: Duration) -> Result<String> {
        wait_for(beginning, limit, || {
            let said = self.connection()?;
            Ok(if said.starts_with(beginning) {
                Ok(said)
            } else {
                Err(said)
            })
        })
    }

    /// Loads the page again.
    pub fn reload(&self) -> Result<()> {
        self.in_tab(async |client| Ok(client.refresh().await?))
            .context("failed to reload")
    }

    /// Makes the window so large, in CSS pixels, and light or dark.
    pub fn show_as(&self, width: u32, height: u32, dark: bool) -> Result<()> {
        let phone = width < 500;
        let metrics =
            json!({ "width": width, "height": height, "deviceScaleFactor": 2, "mobile": phone });
        self.devtools("Emulation.setDeviceMetricsOverride", &metrics)?;
        let scheme = if dark { "dark" } else { "light" };
        let features = json!([{ "name": "prefers-color-scheme", "value": scheme }]);
        self.devtools(
            "Emulation.setEmulatedMedia",
            &json!({ "features": features }),
        )?;
        Ok(())
    }

    /// Keeps a picture of what is shown where `CHATBOT_TEST_PICTURES` says, for a person to look at.
    pub fn keep_picture(&self, name: &str) -> Result<()> {
        let Some(folder) = std::env::var_os("CHATBOT_TEST_PICTURES") else {
            return Ok(());
        };
        let picture = self.in_tab(async |client| Ok(client.screenshot().await?))?;
        let file = std::path::Path::new(&folder).join(format!("{name}.png"));
        std::fs::write(&file, picture)
            .with_context(|| format!("failed to write {}", file.display()))
    }

    /// How much wider the content is than the window: 0 when nothing scrolls sideways.
    pub fn overflow(&self) -> Result<i64> {
        let script = "return document.scrollingElement.scrollWidth - innerWidth";
        Ok(self.run(script)?.as_i64().unwrap_or(i64::MAX))
    }

    /// Role and accessible name of everything a screen reader meets, ignored things left out.
    pub fn accessible(&self) -> Result<Vec<(String, String)>> {
        let tree = self.devtools("Accessibility.getFullAXTree", &json!({}))?;
        let nodes = tree["nodes"]
            .as_array()
            .context("there is no accessibility tree")?;
        let text = |node: &Value, field: &str| {
            node[field]["value"].as_str().unwrap_or_default().to_owned()
        };
        Ok(nodes
            .iter()
            .filter(|node| node["ignored"] != true)
            .map(|node| (text(node, "role"), text(node, "name")))
            .collect())
    }

    /// The id of what has the focus.
    pub fn focused(&self) -> Result<String> {
        let id = self.run("return document.activeElement.id")?;
        Ok(id.as_str().unwrap_or_default().to_owned())
    }

    /// Clicks what has this id.
    pub fn click(&self, id: &str) -> Result<()> {
        self.in_tab(async |client| {
            client.find(Locator::Id(id)).await?.click().await?;
            Ok(())
        })
        .with_context(|| format!("failed to click {id}"))
    }

    /// Runs a script in the page.
    pub fn run(&self, script: &str) -> Result<Value> {
        self.in_tab(async |client| Ok(client.execute(script, vec![]).await?))
            .context("failed to run a script in the page")
    }

    fn devtools(&self, command: &'static str, parameters: &Value) -> Result<Value> {
        self.in_tab(async |client| {
            Ok(client
                .issue_cmd(browser::Devtools::new(command, parameters))
                .await?)
        })
        .with_context(|| format!("failed to run {command}"))
    }

    fn in_tab<T>(&self, step: impl AsyncFnOnce(&fantoccini::Client) -> Result<T>) -> Result<T> {
        self.browser.wait(async |client| {
            client.switch_to_window(self.window.clone()).await?;
            step(client).await
        })
    }
}

/// Looks again and again until a look succeeds; a failure tells what was seen last.
fn wait_for<T, S: std::fmt::Debug>(
    what: &str,
    limit: Duration,
    look: impl Fn() -> Result<std::result::Result<T, S>>,
) -> Result<T> {
    let deadline = Instant::now() + limit;
    loop {
        match look()? {
            Ok(found) => return Ok(found),
            Err(seen) if Instant::now() > deadline => {
                bail!(
                    "waited {} s for: {what}; the page shows {seen:?}",
                    limit.as_secs()
                );
            }
            Err(_) => std::thread::sleep(Duration::from_millis(30)),
        }
    }
}
