//! Processes that die at each step of the guarantee, before it and after it, on a real broker and a real store: each
//! message is answered once, in order, in the right context, and each answer is given to the platform as one.
#![allow(clippy::unwrap_used)] // A step of a scenario fails as the scenario does.

#[path = "kills/death.rs"]
mod death;
#[path = "kills/platform.rs"]
mod platform;
#[path = "kills/service.rs"]
mod service;
#[path = "kills/victim.rs"]
mod victim;

use std::sync::Arc;
use std::time::Duration;

use chatbot_e2e::kafka::Broker;
use chatbot_e2e::redis::Server;
use chatbot_message::{Account, Details, Message, Way, message_id};
use chatbot_queue::journal::{Checkpoint, Entry, Reader};
use chatbot_queue::{Log, Topic};
use chatbot_queue_contract::within;
use futures::StreamExt;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use death::{Death, STEPS, Step};
use platform::{Platform, model};
use service::{CHANNEL, KEY, Service, listen};
use victim::{Told, Victim};

const WORKERS: &str = "a_worker_may_die_at_any_step";
const GATEWAYS: &str = "a_gateway_may_die_at_any_step";
/// Deaths at a time.
const BESIDE: usize = 6;
/// Who asks.
const USERS: [&str; 2] = ["ada", "bob"];
const PAUSE: Duration = Duration::from_millis(20);

/// What all deaths of a test share.
struct Ground {
    broker: Broker,
    store: Server,
    model: String,
    secrets: tempfile::TempDir,
    _serving: JoinSet<()>,
}

impl Ground {
    async fn begin() -> Self {
        let (listener, address) = listen().await;
        let mut serving = JoinSet::new();
        serving.spawn(async move { axum::serve(listener, model()).await.unwrap() });
        let secrets = tempfile::tempdir().unwrap();
        let folder = secrets.path().join(CHANNEL);
        std::fs::create_dir(&folder).unwrap();
        std::fs::write(folder.join("signingKey"), KEY).unwrap();
        Self {
            broker: Broker::start().unwrap(),
            store: Server::start().unwrap(),
            model: format!("http://{address}"),
            secrets,
            _serving: serving,
        }
    }

    fn service(&self, name: &str, platform: &str) -> Service {
        Service {
            broker: self.broker.address(),
            store: self.store.address(),
            name: name.to_owned(),
            model: self.model.clone(),
            platform: platform.to_owned(),
            secrets: self.secrets.path().to_owned(),
        }
    }
}

/// Before and after each of these steps.
fn deaths(of: impl Fn(&Step) -> bool) -> Vec<Death> {
    let steps = STEPS.into_iter().filter(of);
    steps
        .flat_map(|step| [false, true].map(|after| Death { step, after }))
        .collect()
}

async fn ask(log: &dyn Log, number: usize) {
    for user in USERS {
        let message = Message {
            id: message_id(CHANNEL, &format!("{user}/{number}")),
            account: Account {
                channel: CHANNEL.to_owned(),
                user: user.to_owned(),
            },
            origin: String::new(),
            text: number.to_string(),
            sent_at: None,
            synthetic: false,
            details: Details::default(),
            way: Way::default(),
        };
        let value = serde_json::to_vec(&message).unwrap();
        log.append(Topic::Inbound, 0, value).await.unwrap();
    }
}

/// The answers of a user that count, in order.
async fn answers(log: &dyn Log, user: &str) -> Vec<String> {
    let end = log.end(Topic::Response, 0).await.unwrap();
    let mut reader = Reader::new(log, 0, Checkpoint::default());
    let mut answers = Vec::new();
    while reader.checkpoint().position < end {
        let step = reader.next().await.unwrap();
        if let (true, Some(Entry::Reply { reply, .. })) = (step.counts, step.entry)
            && reply.account.user == user
        {
            answers.push(reply.answer);
        }
    }
    answers
}

/// Waits until each user has so many answers, and sees that each was made knowing all those before it.
async fn answered(log: &dyn Log, count: usize, what: &str) {
    for user in USERS {
        let answers = within(what, async {
            loop {
                let answers = answers(log, user).await;
                if answers.len() >= count {
                    return answers;
                }
                tokio::time::sleep(PAUSE).await;
            }
        })
        .await;
        let questions: Vec<String> = (1..=count).map(|number| number.to_string()).collect();
        let expected: Vec<String> = (1..=count)
            .map(|last| questions[..last].join(" "))
            .collect();
        assert_eq!(answers, expected, "{what}: {user}");
    }
}

async fn worker_dies(ground: &Ground, number: usize, death: Death) {
    let what = format!("a worker dies {death}");
    let service = ground.service(&format!("worker{number}"), "http://127.0.0.1:9/");
    let log = service.log().await;
    ask(&log, 1).await;
    ask(&log, 2).await;
    let told = Told {
        service: service.clone(),
        death: Some(death.to_string()),
        gateway: None,
    };
    let mut victim = Victim::start(WORKERS, &told);
    if death.step == Step::Release {
        answered(&log, 2, &what).await;
        victim.leave();
    }
    victim.dies(&what).await;
    let end = CancellationToken::new();
    let (survivor, ending) = (service, end.clone());
    let working = tokio::spawn(async move { survivor.work(None, ending).await });
    ask(&log, 3).await;
    answered(&log, 3, &what).await;
    end.cancel();
    within(&what, working).await.unwrap();
    answered(&log, 3, &what).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a broker and a store: cargo e2e test"]
async fn a_worker_may_die_at_any_step() {
    if let Some(told) = victim::told() {
        victim::be(told).await;
    }
    let ground = Ground::begin().await;
    let steps = deaths(|step| !matches!(step, Step::Enqueue | Step::Mark));
    let dying = steps.into_iter().enumerate();
    futures::stream::iter(dying)
        .for_each_concurrent(BESIDE, |(number, death)| {
            worker_dies(&ground, number, death)
        })
        .await;
}

/// How a gateway ends.
#[derive(Clone, Copy)]
enum End {
    At(Death),
    /// S4: killed while the platform has its request.
    Sending,
}

async fn gateway_dies(ground: &Ground, number: usize, end: End) {
    let what = match end {
        End::At(death) => format!("a gateway dies {death}"),
        End::Sending => "a gateway dies while the platform has its request".to_owned(),
    };
    let platform = Arc::new(Platform::start(matches!(end, End::Sending)).await);
    let service = ground.service(&format!("gateway{number}"), &platform.url());
    let stop = CancellationToken::new();
    let (worker, ending) = (service.clone(), stop.clone());
    let _made = service.log().await;
    let working = tokio::spawn(async move { worker.work(None, ending).await });

    let (listener, entrance) = listen().await;
    drop(listener); // The victim listens there.
    let death = match end {
        End::At(death) => Some(death.to_string()),
        End::Sending => None,
    };
    let told = Told {
        service: service.clone(),
        death,
        gateway: Some(entrance),
    };
    let mut victim = Victim::start(GATEWAYS, &told);
    // A platform sends its questions until they are acknowledged.
    let asking = async {
        for question in 1..=3 {
            while !platform.ask(entrance, question).await {
                tokio::time::sleep(PAUSE).await;
            }
        }
    };
    let dying = async {
        if matches!(end, End::Sending) {
            within(&what, platform.has_a_request()).await;
            victim.kill();
        }
        victim.dies(&what).await;
    };
    tokio::select! {
        () = dying => {}
        () = async { asking.await; std::future::pending().await } => {}
    }
    platform.recover();

    let (listener, entrance) = listen().await;
    let (survivor, ending) = (service, stop.clone());
    let serving = tokio::spawn(async move { survivor.serve(listener, None, ending).await });
    // What was acknowledged comes again, too.
    for question in 1..=3 {
        let asked = async {
            while !platform.ask(entrance, question).await {
                tokio::time::sleep(PAUSE).await;
            }
        };
        within(&what, asked).await;
    }
    within(&what, platform.has_shown(3)).await;
    stop.cancel();
    within(&what, serving).await.unwrap();
    within(&what, working).await.unwrap();
    assert_eq!(platform.shown(), ["1", "1 2", "1 2 3"], "{what}");
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a broker and a store: cargo e2e test"]
async fn a_gateway_may_die_at_any_step() {
    if let Some(told) = victim::told() {
        victim::be(told).await;
    }
    let ground = Ground::begin().await;
    let steps = deaths(|step| {
        use Step::{Commit, Enqueue, Fetch, Mark, ReadJournal};
        matches!(step, Enqueue | Fetch | ReadJournal | Mark | Commit)
    });
    let ends = steps.into_iter().map(End::At).chain([End::Sending]);
    futures::stream::iter(ends.enumerate())
        .for_each_concurrent(BESIDE, |(number, end)| gateway_dies(&ground, number, end))
        .await;
}
