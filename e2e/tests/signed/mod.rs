//! A client of the channel `webhook`, as a program of the user's own is one.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use ring::hmac;

/// Posts a message to a channel, signed with a key; gives the status.
pub fn post(to: SocketAddr, channel: &str, key: &str, id: &str, body: &str) -> Result<u16> {
    let now = SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs();
    let key = hmac::Key::new(hmac::HMAC_SHA256, key.as_bytes());
    let tag = hmac::sign(&key, format!("{id}.{now}.{body}").as_bytes());
    let request = format!(
        "POST /channels/{channel} HTTP/1.1\r\nhost: x\r\nwebhook-id: {id}\r\nwebhook-timestamp: {now}\r\n\
         webhook-signature: v1,{}\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}",
        STANDARD.encode(tag.as_ref()),
        body.len()
    );
    let mut stream = TcpStream::connect_timeout(&to, Duration::from_secs(2))?;
    stream.set_read_timeout(Some(Duration::from_secs(15)))?;
    stream.write_all(request.as_bytes())?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    let status = answer.split(' ').nth(1).context("no status")?;
    Ok(status.parse()?)
}
