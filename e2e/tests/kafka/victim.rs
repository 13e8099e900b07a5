//! A member of a group in a process of its own, which can be stopped where it stands: this program again.
//!
//! It is asked line by line, and answers each with a line that begins with `@`.

use std::collections::BTreeSet;
use std::env;
use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use async_trait::async_trait;
use chatbot_queue::kafka::Options;
use chatbot_queue::{Commit, Error, Log, Member, Topic};
use chatbot_queue_contract::{Victim, release_at_once, suggested};
use rustix::process::{Pid, Signal, kill_process};

use crate::bench::{connect, options};

/// Address, prefix, partitions, group and topic, apart by spaces.
const VARIABLE: &str = "CHATBOT_E2E_KAFKA_MEMBER";
/// The test that asks first whether it is to be a member.
const TEST: &str = "the_logs_on_a_broker_keep_every_promise";

pub fn is_this_process() -> bool {
    env::var_os(VARIABLE).is_some()
}

/// Answers until its input ends, and ends the process.
pub async fn serve() -> ! {
    let told = env::var(VARIABLE).unwrap();
    let words: Vec<&str> = told.split(' ').collect();
    let prefix = words[1].trim_end_matches('.');
    let log = connect(options(words[0], prefix, words[2].parse().unwrap())).await;
    let topic = match words[4] {
        "Inbound" => Topic::Inbound,
        "Cursor" => Topic::Cursor,
        _ => Topic::Response,
    };
    let member: std::sync::Arc<dyn Member> = log.join(words[3], topic).await.unwrap().into();
    let releasing = std::sync::Arc::clone(&member);
    tokio::spawn(async move { release_at_once(releasing.as_ref()).await });
    for line in std::io::stdin().lines() {
        let answer = answer(member.as_ref(), &line.unwrap()).await;
        println!("\n@{answer}");
    }
    std::process::exit(0)
}

async fn answer(member: &dyn Member, line: &str) -> String {
    let words: Vec<&str> = line.splitn(5, ' ').collect();
    match words[0] {
        "suggested" => {
            let count = words[1].parse().unwrap();
            let partitions = suggested(&mut member.suggested(), count).await;
            let partitions: Vec<_> = partitions.iter().map(u32::to_string).collect();
            partitions.join(",")
        }
        "commit" => {
            let partition = words[2].parse().unwrap();
            let commit = Commit {
                offset: words[3].parse().unwrap(),
                metadata: words[4].to_owned(),
            };
            let committed = match words[1].parse() {
                Ok(term) => member.commit_within(term, partition, commit).await,
                Err(_) => member.commit(partition, commit).await,
            };
            match committed {
                Ok(()) => "ok".to_owned(),
                Err(Error::Refused { reason }) => format!("refused {reason}"),
                Err(error) => error.to_string(),
            }
        }
        _ => member.lease().term.to_string(),
    }
}

pub struct KafkaVictim {
    child: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
}

impl KafkaVictim {
    pub fn start(options: &Options, group: &str, topic: Topic) -> Self {
        let address = options.bootstrap_servers.join(",");
        let Options {
            topic_prefix: prefix,
            partitions,
            ..
        } = options;
        let told = format!("{address} {prefix} {partitions} {group} {topic:?}");
        let mut child = Command::new(env::current_exe().unwrap())
            .args(["--exact", TEST, "--ignored", "--nocapture"])
            .env(VARIABLE, told)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        Self {
            input: child.stdin.take().unwrap(),
            output: BufReader::new(child.stdout.take().unwrap()),
            child,
        }
    }

    /// Waits in this thread: the test has others.
    fn ask(&mut self, line: &str) -> String {
        tokio::task::block_in_place(|| {
            writeln!(self.input, "{line}").unwrap();
            let mut answer = String::new();
            loop {
                answer.clear();
                assert!(
                    self.output.read_line(&mut answer).unwrap() > 0,
                    "the member has ended"
                );
                if let Some(answer) = answer.strip_prefix('@') {
                    return answer.trim_end().to_owned();
                }
            }
        })
    }

    fn signal(&self, signal: Signal) {
        let pid = Pid::from_raw(i32::try_from(self.child.id()).unwrap()).unwrap();
        kill_process(pid, signal).unwrap();
    }
}

#[async_trait]
impl Victim for KafkaVictim {
    async fn suggested(&mut self, count: usize) -> BTreeSet<u32> {
        let answer = self.ask(&format!("suggested {count}"));
        answer
            .split(',')
            .map(|partition| partition.parse().unwrap())
            .collect()
    }

    async fn commit(&mut self, partition: u32, commit: Commit) -> Result<(), Error> {
        self.commits("any", partition, &commit)
    }

    async fn commit_within(
        &mut self,
        term: u64,
        partition: u32,
        commit: Commit,
    ) -> Result<(), Error> {
        self.commits(&term.to_string(), partition, &commit)
    }

    async fn term(&mut self) -> u64 {
        self.ask("term").parse().unwrap()
    }

    async fn freeze(&mut self) {
        self.signal(Signal::STOP);
    }

    async fn thaw(&mut self) {
        self.signal(Signal::CONT);
    }
}

impl KafkaVictim {
    fn commits(&mut self, term: &str, partition: u32, commit: &Commit) -> Result<(), Error> {
        let Commit { offset, metadata } = commit;
        let answer = self.ask(&format!("commit {term} {partition} {offset} {metadata}"));
        match answer.split_once(' ') {
            None => Ok(()),
            Some(("refused", reason)) => Err(Error::Refused {
                reason: reason.to_owned(),
            }),
            Some(_) => Err(Error::OutcomeUnknown { reason: answer }),
        }
    }
}

impl Drop for KafkaVictim {
    fn drop(&mut self) {
        let _ = self.child.kill(); // it may have ended by itself
        let _ = self.child.wait();
    }
}
