//! Stands in for what runs in the pods. KWOK's pods have addresses and run nothing; in this network namespace every
//! address of theirs is this machine's, so one listener answers for all of them, as a pod that is well does.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::process::Command;
use std::thread;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result};
use serde_json::json;

use crate::command;

/// The pods' addresses.
pub const NETWORK: &str = "10.32.0.0/11";
/// The port at which a pod tells its state.
const PORT: u16 = 9090;
/// Seconds between two synthetic conversations.
const PROBE_SECONDS: u64 = 20;
/// Threads that answer.
const ANSWERING: u8 = 4;

/// Makes the pods' addresses this machine's, and answers at all of them for as long as this process lives.
pub fn answer() -> Result<()> {
    for arguments in [
        vec!["link", "set", "lo", "up"],
        vec!["route", "add", "local", NETWORK, "dev", "lo"],
    ] {
        command::output(Command::new("ip").args(&arguments))?;
    }
    let listener = TcpListener::bind((Ipv4Addr::UNSPECIFIED, PORT))
        .context("failed to listen for the pods")?;
    for _ in 0..ANSWERING {
        let listener = listener.try_clone().context("failed to share a listener")?;
        thread::spawn(move || {
            for connection in listener.incoming().flatten() {
                // One that is broken is asked again by the operator.
                let _ = answer_one(connection);
            }
        });
    }
    Ok(())
}

fn answer_one(mut connection: TcpStream) -> std::io::Result<()> {
    connection.set_read_timeout(Some(Duration::from_secs(1)))?;
    let mut request = Vec::new();
    let mut part = [0; 1024];
    while !request.windows(4).any(|end| end == b"\r\n\r\n") {
        let read = connection.read(&mut part)?;
        if read == 0 {
            return Ok(());
        }
        request.extend_from_slice(&part[..read]);
    }
    let state = state(SystemTime::now());
    write!(
        connection,
        "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{state}",
        state.len()
    )
}

/// What a pod tells that is well, of either component.
fn state(now: SystemTime) -> String {
    let seconds = now
        .duration_since(UNIX_EPOCH)
        .map_or(0, |time| time.as_secs());
    json!({
        "channels": [
            { "name": "web", "ready": true, "reason": "Listening", "message": "accepts connections" },
        ],
        "probe": { "at": seconds / PROBE_SECONDS * PROBE_SECONDS, "failedHop": null, "message": "" },
        "model": {
            "name": "stand-in", "format": "Q8_0", "bytes": 144_811_456_u64, "parameters": 134_515_008_u64,
        },
        "counters": { "requests": seconds, "errors": 0 },
    })
    .to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_conversation_is_told_anew_every_twenty_seconds() {
        let at = |seconds| {
            let told = state(UNIX_EPOCH + Duration::from_secs(seconds));
            let told: serde_json::Value = serde_json::from_str(&told).unwrap();
            told["probe"]["at"].as_u64().unwrap()
        };
        assert_eq!((at(100), at(119), at(120)), (100, 100, 120));
    }
}
