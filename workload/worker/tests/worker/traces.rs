//! One trace through the worker, and no word of a conversation in any line of the log.

use std::io::{self, Write};
use std::sync::{Arc, Mutex};

use chatbot_message::Trace;
use chatbot_queue::journal::{Checkpoint, Entry, Reader};
use chatbot_telemetry::log;
use serde_json::Value;
use tracing::Dispatch;
use tracing_subscriber::EnvFilter;

use crate::bench::{Bench, message};
use crate::model::Behaviour::{Busy, CutOff, Refuse, Say};

const GIVEN: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

#[tokio::test]
async fn a_message_s_trace_goes_to_the_model_and_with_the_reply() {
    let bench = Bench::new(1).await;
    bench.model.will([Busy]);
    let worker = bench.worker();
    let given: Trace = GIVEN.parse().unwrap();
    bench.put_traced(message("alice", "one"), Some(given)).await;
    bench.replies(1).await;
    let own = bench.ask("bob", "two").await;
    bench.replies(2).await;
    let asked: Vec<Trace> = bench
        .model
        .traces()
        .iter()
        .map(|trace| trace.parse().unwrap())
        .collect();
    let expected = [given, given, Trace::of(own)];
    assert_eq!(
        asked.iter().map(Trace::id).collect::<Vec<_>>(),
        expected.map(|trace| trace.id())
    );
    assert_eq!(asked[0], asked[1], "asking again is the same span");
    assert!(asked[0] != given, "and another one than the sender's");

    let mut reader = Reader::new(bench.log.as_ref(), 0, Checkpoint::default());
    let mut replied = Vec::new();
    while replied.len() < 2 {
        let step = reader.next().await.unwrap();
        if let Some(Entry::Reply { .. }) = step.entry {
            replied.push(step.trace.unwrap().id());
        }
    }
    assert_eq!(replied, [given.id(), Trace::of(own).id()]);
    worker.end().await.unwrap();
}

#[derive(Clone, Default)]
struct Kept(Arc<Mutex<Vec<u8>>>);

impl Write for Kept {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[tokio::test]
async fn no_word_of_a_conversation_is_in_a_log_and_every_line_of_a_message_has_its_ids() {
    let kept = Kept::default();
    let writer = kept.clone();
    // While there is but one, what another test's thread meets first is switched off for all threads.
    let _second = Dispatch::new(log::json(EnvFilter::new("trace"), io::sink));
    // The test's tasks all run in its own thread.
    let _logs = tracing::subscriber::set_default(log::json(EnvFilter::new("trace"), move || {
        writer.clone()
    }));
    let bench = Bench::new(1).await;
    let worker = bench.worker();
    bench.model.will([Busy, CutOff, Say(vec!["walrus"])]);
    let first = bench.ask("alice", "zeppelin").await;
    bench.replies(1).await;
    bench.model.will([Refuse, Refuse, Refuse]);
    let second = bench.ask("alice", "zeppelin again").await;
    bench.replies(2).await;
    worker.end().await.unwrap();

    let text = String::from_utf8(kept.0.lock().unwrap().clone()).unwrap();
    for word in ["zeppelin", "walrus", "sorry"] {
        assert!(!text.contains(word), "{word}: {text}");
    }
    let lines = text.lines().map(|line| serde_json::from_str(line).unwrap());
    let lines: Vec<Value> = lines.collect();
    for message in [first, second] {
        let of_it = lines
            .iter()
            .filter(|line| line["event.id"] == message.to_string());
        let of_it: Vec<_> = of_it.collect();
        let trace = Trace::of(message).id();
        assert!(of_it.iter().all(|line| line["trace.id"] == trace.as_str()));
        let says = |words: &str| {
            let mut told = of_it.iter().filter_map(|line| line["message"].as_str());
            told.any(|told| told.contains(words))
        };
        assert!(
            says("asking again") && says("a message is answered"),
            "{text}"
        );
    }
}
