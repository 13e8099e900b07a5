//! Stands in for what runs in the pods. KWOK's pods have addresses and run nothing; in this network namespace every
//! address of theirs is this machine's, so one listener answers for all of them, as a pod that is well does.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::process::Command;
use std::thread;
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result};
use serde_json::json;

use crate::command;

/// The pods' addresses.
pub const NETWORK: &str = "10.32.0.0/11";
/// The port at which a pod tells its state.
const PORT: u16 = 9090;
/// Seconds between two synthetic conversations: a new pod converses often.
const PROBE_SECONDS: u64 = 2;
/// What a thread needs that only answers.
const STACK: usize = 64 * 1024;

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
    thread::spawn(move || {
        for connection in listener.incoming().flatten() {
            // A connection is kept, as a pod keeps it: there are as many as pods. Without a thread it is closed, and
            // the operator asks again.
            let thread = thread::Builder::new().stack_size(STACK);
            let _ = thread.spawn(move || serve(connection));
        }
    });
    Ok(())
}

/// Answers on one connection until it is closed.
fn serve(mut connection: TcpStream) -> std::io::Result<()> {
    let mut asked = Vec::new();
    let mut part = [0; 1024];
    loop {
        let read = connection.read(&mut part)?;
        if read == 0 {
            return Ok(());
        }
        asked.extend_from_slice(&part[..read]);
        if asked.ends_with(b"\r\n\r\n") {
            asked.clear();
            let state = state(SystemTime::now());
            let head = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length:";
            // In one piece: the second of two would wait for the first one's acknowledgement.
            let answer = format!("{head} {}\r\n\r\n{state}", state.len());
            connection.write_all(answer.as_bytes())?;
        }
    }
}

/// What a pod tells that is well, of whichever component.
fn state(now: SystemTime) -> String {
    let seconds = now
        .duration_since(UNIX_EPOCH)
        .map_or(0, |time| time.as_secs());
    json!({
        "channels": [
            { "name": "web", "ready": true, "reason": "Listening", "message": "accepts connections" },
        ],
        "probe": { "at": seconds / PROBE_SECONDS * PROBE_SECONDS, "failedHop": null, "message": "" },
        "broker": { "usable": true, "reason": "BrokerReady", "message": "" },
        "store": { "usable": true, "reason": "StoreReady", "message": "" },
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
    use std::time::Duration;

    #[test]
    fn a_conversation_is_told_anew_every_two_seconds() {
        let at = |seconds| {
            let told = state(UNIX_EPOCH + Duration::from_secs(seconds));
            let told: serde_json::Value = serde_json::from_str(&told).unwrap();
            told["probe"]["at"].as_u64().unwrap()
        };
        assert_eq!((at(100), at(101), at(102)), (100, 100, 102));
    }
}
