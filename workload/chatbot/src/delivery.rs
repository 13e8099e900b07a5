//! A delivery of a chat platform out of files, for the commands that look at one.

use std::fs::File;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, anyhow, bail};
use chatbot_adapters::{ALL, Platform, Transport, named};
use clap::Args;
use http::{HeaderMap, HeaderName, HeaderValue};

use crate::resource::shown;

/// Larger than any platform's delivery.
const LARGEST: u64 = 16 << 20;

/// What both commands need to know.
#[derive(Args)]
pub struct Source {
    /// The platform, as the resource writes it, such as `slack` or `whatsApp`
    #[arg(long, value_parser = platform)]
    pub platform: &'static Platform,
    /// The name of the channel; it is part of a message's id
    #[arg(long, default_value = "channel")]
    pub channel: String,
    /// The request's headers, one `Name: value` a line; `-` is standard input
    #[arg(long)]
    pub headers: Option<PathBuf>,
    /// The request's body, byte for byte; `-` is standard input
    pub file: PathBuf,
}

/// A delivery as it was read.
pub struct Read {
    pub headers: HeaderMap,
    pub body: Vec<u8>,
}

impl Source {
    /// Reads headers and body.
    pub fn read(&self) -> Result<Read> {
        let input = Path::new("-");
        if self.headers.as_deref() == Some(input) && self.file == input {
            bail!("--headers: it and the body cannot both be standard input: name a file for one");
        }
        let headers = match &self.headers {
            Some(file) => headers(&bytes(file, "--headers")?)
                .with_context(|| format!("failed to read the headers in `{}`", shown(file)))?,
            None => HeaderMap::new(),
        };
        Ok(Read {
            headers,
            body: bytes(&self.file, "FILE")?,
        })
    }
}

/// The transports that a command can be told of.
#[derive(Clone, Copy, Debug, clap::ValueEnum)]
pub enum Via {
    /// A request of the platform
    Webhook,
    /// A frame of a connection that the gateway opened
    LongConnection,
    /// The response to a request of the gateway
    Polling,
}

impl From<Via> for Transport {
    fn from(via: Via) -> Self {
        match via {
            Via::Webhook => Self::Webhook,
            Via::LongConnection => Self::LongConnection,
            Via::Polling => Self::Polling,
        }
    }
}

fn platform(name: &str) -> Result<&'static Platform, String> {
    named(name).ok_or_else(|| {
        let names: Vec<_> = ALL.iter().map(|platform| platform.name).collect();
        format!("known are {}", names.join(", "))
    })
}

/// A whole file, unless it is larger than any delivery.
pub fn bytes(file: &Path, option: &str) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let outcome = if file == Path::new("-") {
        io::stdin().lock().take(LARGEST + 1).read_to_end(&mut bytes)
    } else {
        File::open(file).and_then(|file| file.take(LARGEST + 1).read_to_end(&mut bytes))
    };
    outcome.with_context(|| format!("{option}: failed to read `{}`", shown(file)))?;
    if bytes.len() as u64 > LARGEST {
        bail!(
            "{option}: `{}` has more than the {LARGEST} bytes that any platform sends",
            shown(file)
        );
    }
    Ok(bytes)
}

/// Headers as `curl -D` and browsers write them: one a line, a status line and empty lines left out.
fn headers(bytes: &[u8]) -> Result<HeaderMap> {
    let text = str::from_utf8(bytes).context("they are not UTF-8")?;
    let mut headers = HeaderMap::new();
    for (index, line) in text.lines().map(str::trim).enumerate() {
        let is_request = line.ends_with("HTTP/1.1") || line.starts_with("HTTP/");
        if line.is_empty() || is_request {
            continue;
        }
        let wrong = || anyhow!("line {}: it must be `Name: value`", index + 1);
        let (name, value) = line.split_once(':').ok_or_else(wrong)?;
        let name: HeaderName = name.trim().parse().map_err(|_| wrong())?;
        headers.append(
            name,
            HeaderValue::from_str(value.trim()).map_err(|_| wrong())?,
        );
    }
    Ok(headers)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_are_read_as_they_are_written_down() {
        let read = headers(b"POST / HTTP/1.1\r\nX-A: 1\r\nx-a: 2:3\r\n\r\n").unwrap();
        let values: Vec<_> = read.get_all("x-a").iter().collect();
        assert_eq!(values, ["1", "2:3"]);
        for wrong in ["no colon", "a b: c", ": d"] {
            let error = headers(wrong.as_bytes()).unwrap_err();
            assert!(error.to_string().starts_with("line 1:"), "{error}");
        }
    }
}
