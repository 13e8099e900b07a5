//! One connection to a platform, from its address to its end.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use chatbot_adapters::{Answer, Ending, Frame, Heard, Link, Parcel, Response, Step};
use futures::{SinkExt, StreamExt};
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until, timeout};
use tokio_tungstenite::tungstenite::{Error, Message};
use tracing::{debug, info};
use uuid::Uuid;

use super::News;
use crate::channel::{Hindrance, Reason, hindrance};
use crate::client::{NotOpened, Socket};
use crate::hold::Holding;

/// A delivery on its way to the log.
pub(super) struct Item {
    pub(super) parcel: Parcel,
    pub(super) at: Instant,
    /// How often where to go on had been forgotten when its connection was opened.
    pub(super) age: u64,
    pub(super) taken: mpsc::UnboundedSender<Taken>,
}

/// A delivery of which the log has every message.
pub(super) struct Taken {
    pub(super) receipt: Vec<u8>,
    pub(super) answer: Answer,
    pub(super) took: Duration,
}

/// How a connection ended.
pub(super) struct Ended {
    /// Another is opened no earlier.
    pub(super) least: Duration,
    /// Where to go on is of no use any more.
    pub(super) forget: bool,
}

pub(super) struct Session<'a> {
    pub(super) holding: &'a Holding<'a>,
    pub(super) inbox: mpsc::Sender<Item>,
    pub(super) age: u64,
    pub(super) tell: mpsc::UnboundedSender<(u64, News)>,
    pub(super) number: u64,
}

/// An end, and what is told of it.
type End = (Hindrance, Ended);

impl Session<'_> {
    pub(super) async fn serve(self) -> Ended {
        let adapter = Arc::clone(&self.holding.running().adapter);
        let cursor = self.holding.cursor();
        let Some(mut link) = adapter.link(cursor.as_deref(), share()) else {
            std::future::pending().await
        };
        let (address, socket) = match self.open(link.as_mut()).await {
            Ok(opened) => opened,
            Err((hindrance, ended)) => {
                self.tell(News::Down(hindrance));
                return ended;
            }
        };
        let (taken, acknowledges) = mpsc::unbounded_channel();
        let connection = Connection {
            session: &self,
            link: link.as_mut(),
            socket,
            waiting: VecDeque::new(),
            bytes: 0,
            taken,
        };
        let (waiting, (hindrance, ended)) = connection.run(&address, acknowledges).await;
        self.tell(News::Down(hindrance));
        // What was brought is taken, since it may not come again.
        for item in waiting {
            let _stopped = self.inbox.send(item).await;
        }
        ended
    }

    fn tell(&self, news: News) {
        // Nobody hears when the channel is no longer held.
        let _unheard = self.tell.send((self.number, news));
    }

    /// Opens the connection: where the session goes on, or else where the platform says.
    async fn open(&self, link: &mut dyn Link) -> Result<(String, Socket), End> {
        let (gateway, running) = (self.holding.gateway(), self.holding.running());
        let channel = &self.holding.channel().name;
        if let Some(address) = link.address() {
            match gateway.http.upgrade(address, link.largest()).await {
                Ok(socket) => return Ok((address.to_owned(), socket)),
                Err(error) => debug!(channel, ?error, "the session is resumed elsewhere"),
            }
        }
        let Some(request) = running.adapter.connect() else {
            std::future::pending().await
        };
        let reading = |response: &Response| running.adapter.address(response);
        let address = match running.client.ask(request, reading).await {
            Ok(address) => address,
            Err(verdict) => {
                let (hindrance, least) = hindrance(verdict, gateway.limits.credentials);
                let forget = false;
                return Err((hindrance, Ended { least, forget }));
            }
        };
        match gateway.http.upgrade(&address, link.largest()).await {
            Ok(socket) => Ok((address, socket)),
            Err(NotOpened::Refused(response)) => Err(self.end(link.refused(&Response {
                status: response.status(),
                headers: response.headers(),
                body: response.body().as_deref().unwrap_or_default(),
            }))),
            Err(NotOpened::Failed(reason)) => Err(self.end(Ending::again(reason))),
        }
    }

    fn end(&self, ending: Ending) -> End {
        match ending {
            Ending::Again {
                reason,
                after,
                forget,
            } => {
                let hindrance = Hindrance {
                    reason: Reason::Disconnected,
                    message: format!("the connection to the platform is down: {reason}"),
                };
                let least = after;
                (hindrance, Ended { least, forget })
            }
            Ending::Rejected { reason } => {
                let hindrance = Hindrance {
                    reason: Reason::CredentialsRejected,
                    message: format!("the platform rejects the connection: {reason}"),
                };
                let least = self.holding.gateway().limits.credentials;
                let forget = true;
                (hindrance, Ended { least, forget })
            }
        }
    }
}

/// A connection that is open.
struct Connection<'a> {
    session: &'a Session<'a>,
    link: &'a mut dyn Link,
    socket: Socket,
    /// Deliveries that are not on their way yet, and their bytes: with too many of them nothing more is read.
    waiting: VecDeque<Item>,
    bytes: usize,
    taken: mpsc::UnboundedSender<Taken>,
}

impl Connection<'_> {
    /// Goes on until the end; gives what is still to be taken.
    async fn run(
        mut self,
        address: &str,
        mut acknowledges: mpsc::UnboundedReceiver<Taken>,
    ) -> (VecDeque<Item>, End) {
        let mut steps = self.link.opened(address, now());
        loop {
            if let Err(ending) = self.perform(steps).await {
                return (self.waiting, self.session.end(ending));
            }
            let due = self.link.due().map(Instant::from_std);
            let reads = self.bytes <= self.link.largest();
            steps = tokio::select! {
                permit = self.session.inbox.reserve(), if !self.waiting.is_empty() => {
                    if let (Ok(permit), Some(item)) = (permit, self.waiting.pop_front()) {
                        self.bytes -= item.parcel.body.len();
                        permit.send(item);
                    }
                    Vec::new()
                }
                Some(Taken { receipt, answer, took }) = acknowledges.recv() => {
                    let frame = self.link.acknowledge(&receipt, &answer, took);
                    frame.into_iter().map(Step::Send).collect()
                }
                () = sleep_until(due.unwrap_or_else(Instant::now)), if due.is_some() => {
                    self.link.elapsed(now())
                }
                message = self.socket.next(), if reads => self.read(message),
            };
        }
    }

    fn read(&mut self, message: Option<Result<Message, Error>>) -> Vec<Step> {
        let ending = match message {
            Some(Ok(Message::Text(text))) => {
                return self.link.heard(Heard::Text(&text), now());
            }
            Some(Ok(Message::Binary(bytes))) => {
                return self.link.heard(Heard::Binary(&bytes), now());
            }
            Some(Ok(Message::Close(frame))) => {
                let code = frame.as_ref().map(|frame| u16::from(frame.code));
                let reason = frame.as_ref().map_or("", |frame| frame.reason.as_str());
                self.link.closed(code, reason)
            }
            Some(Ok(_)) => return self.link.heard(Heard::Sign, now()),
            // Whoever resumes would be sent the same once more.
            Some(Err(Error::Capacity(error))) => Ending::Again {
                reason: format!("a message is larger than any of this platform: {error}"),
                after: Duration::ZERO,
                forget: true,
            },
            Some(Err(error)) => Ending::again(error.to_string()),
            None => self.link.closed(None, ""),
        };
        vec![Step::Close(ending)]
    }

    async fn perform(&mut self, steps: Vec<Step>) -> Result<(), Ending> {
        let session = self.session;
        for step in steps {
            match step {
                Step::Send(frame) => self.send(frame).await?,
                Step::Take(parcel) => {
                    self.bytes += parcel.body.len();
                    self.waiting.push_back(Item {
                        parcel,
                        at: Instant::now(),
                        age: session.age,
                        taken: self.taken.clone(),
                    });
                }
                Step::Up => {
                    let channel = &session.holding.channel().name;
                    info!(channel, "the connection to the platform is up");
                    session.tell(News::Up);
                }
                Step::Replace => session.tell(News::Replace),
                Step::Close(ending) => return Err(ending),
            }
        }
        Ok(())
    }

    async fn send(&mut self, frame: Frame) -> Result<(), Ending> {
        let message = match frame {
            Frame::Text(text) => Message::text(text),
            Frame::Binary(bytes) => Message::binary(bytes),
            Frame::Ping => Message::Ping(Vec::new().into()),
        };
        let within = self.session.holding.gateway().limits.write;
        match timeout(within, self.socket.send(message)).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(error)) => Err(Ending::again(error.to_string())),
            Err(_) => Err(Ending::again("a frame did not leave in time")),
        }
    }
}

fn now() -> std::time::Instant {
    Instant::now().into_std()
}

/// At random, between 0 and 1.
fn share() -> f64 {
    let [high, low, ..] = Uuid::new_v4().into_bytes();
    f64::from(u16::from_be_bytes([high, low])) / f64::from(u16::MAX)
}
