//! Previews by publish and subscribe: lossy by design, since a reply follows whatever becomes of them.

use std::time::Duration;

use async_trait::async_trait;
use chatbot_message::Preview;
use chatbot_queue::Previews;
use futures::StreamExt;
use futures::stream::BoxStream;
use tokio::sync::{broadcast, mpsc};
use tokio::task::JoinSet;
use tokio::time::timeout;
use tokio_stream::wrappers::BroadcastStream;
use tracing::debug;

use super::connect;
use super::connection::{Connection, Pauses};

/// Previews to and from every process with the same prefix. Plain channels, in a Cluster too: any node passes on what
/// any other was given.
pub struct RedisPreviews {
    to_publish: mpsc::Sender<Preview>,
    received: broadcast::Sender<Preview>,
    /// End with the handle.
    _tasks: JoinSet<()>,
}

/// Previews that wait to be published, at most, and that a slow reader may be behind; further ones are lost.
const BEHIND: usize = 256;

impl RedisPreviews {
    /// Publishes on this connection, and listens on one of its own. Must be called within a tokio runtime.
    #[must_use]
    pub fn new(connection: &Connection) -> Self {
        let (to_publish, mut publishing) = mpsc::channel::<Preview>(BEHIND);
        let received = broadcast::Sender::new(BEHIND);
        let mut tasks = JoinSet::new();
        let publisher = connection.clone();
        tasks.spawn(async move {
            while let Some(preview) = publishing.recv().await {
                publish(&publisher, &preview).await;
            }
        });
        let (listener, to) = (connection.clone(), received.clone());
        tasks.spawn(async move { listen(&listener, &to).await });
        Self {
            to_publish,
            received,
            _tasks: tasks,
        }
    }
}

#[async_trait]
impl Previews for RedisPreviews {
    async fn publish(&self, preview: Preview) {
        // Whoever answers never waits for Redis.
        let _taken = self.to_publish.try_send(preview);
    }

    fn subscribe(&self) -> BoxStream<'static, Preview> {
        BroadcastStream::new(self.received.subscribe())
            .filter_map(|preview| std::future::ready(preview.ok()))
            .boxed()
    }
}

async fn publish(connection: &Connection, preview: &Preview) {
    let Ok(json) = serde_json::to_string(preview) else {
        return;
    };
    let mut command = ::redis::cmd("PUBLISH");
    command.arg(connection.keys().previews()).arg(json);
    let patience = connection.options().timeouts.read;
    // How many received it; that nobody did is no fault, and why it was lost is told by the connection's state.
    let _lost = connection.ask::<i64>(&command, patience).await;
}

/// Listens for ever.
async fn listen(connection: &Connection, to: &broadcast::Sender<Preview>) {
    let timeouts = connection.options().timeouts;
    let mut pauses = Pauses::new(timeouts.retry_first, timeouts.retry_cap);
    loop {
        let ended = listen_once(connection, to, &mut pauses).await;
        debug!("previews are not received: {ended}, trying again");
        tokio::time::sleep(pauses.next()).await;
    }
}

/// Listens until the connection breaks; says why.
async fn listen_once(
    connection: &Connection,
    to: &broadcast::Sender<Preview>,
    pauses: &mut Pauses,
) -> String {
    let options = connection.options();
    let channel = connection.keys().previews();
    let subscribing = async {
        let mut listening = connect::listen(options)
            .await
            .map_err(|state| state.message)?;
        let subscribed = listening.subscribe(&channel).await;
        subscribed.map_err(|error| error.to_string())?;
        Ok::<_, String>(listening.split())
    };
    let (mut sink, mut messages) = match timeout(options.timeouts.connect, subscribing).await {
        Ok(Ok(listening)) => listening,
        Ok(Err(reason)) => return reason,
        Err(_) => return "no answer in time".to_owned(),
    };
    pauses.reset();
    let mut look = tokio::time::interval(options.timeouts.check);
    loop {
        tokio::select! {
            message = messages.next() => {
                let Some(message) = message else {
                    return "the connection was closed".to_owned();
                };
                // One that is no preview is of another release, or another's.
                if let Ok(preview) = serde_json::from_slice(message.get_payload_bytes()) {
                    // Nobody watching is no fault.
                    let _watching = to.send(preview);
                }
            }
            _ = look.tick() => {
                // A server that hangs keeps the connection open.
                if let Err(reason) = ping(&mut sink, options.timeouts.check).await {
                    return reason;
                }
            }
        }
    }
}

async fn ping(sink: &mut ::redis::aio::PubSubSink, patience: Duration) -> Result<(), String> {
    match timeout(patience, sink.ping::<::redis::Value>()).await {
        Ok(Ok(_)) => Ok(()),
        Ok(Err(error)) => Err(error.to_string()),
        Err(_) => Err("no answer in time".to_owned()),
    }
}
