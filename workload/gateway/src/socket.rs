//! One page's connection, as `chatbot_adapters::web_chat` describes it.

use std::sync::Arc;

use axum::extract::ws::{Message as Ws, Utf8Bytes, WebSocket, close_code};
use axum::http::HeaderMap;
use chatbot_adapters::web_chat::{self, Code, Frame, Hello, VERSION};
use chatbot_adapters::{Delivery, Fault, Refusal, Transport};
use chatbot_message::{Account, Message};
use chatbot_queue::Offset;
use chatbot_queue::journal::Checkpoint;
use tokio::time::{Duration, Instant};

use crate::channel::Channel;
use crate::intake::Accepted;
use crate::line::{End, Ending, Line, malformed, restarting, unavailable};
use crate::resume::{self, Cursor};
use crate::rooms::{Push, Seat, Taken};
use crate::{Gateway, now_ms, probe};

/// Pause between two previews of an answer.
const PREVIEW_EVERY: Duration = Duration::from_millis(60);
/// Frames that cannot be read before a connection is given up.
const MAX_FAULTS: u32 = 20;
/// Serves one connection until it ends.
pub(crate) async fn serve(
    gateway: Arc<Gateway>,
    channel: Arc<Channel>,
    headers: HeaderMap,
    socket: WebSocket,
) {
    gateway.metrics.sockets.inc();
    let mut line = Line::new(&gateway.limits, socket);
    let Err(end) = serve_until_end(&gateway, &channel, &headers, &mut line).await;
    line.end(end).await;
    gateway.metrics.sockets.dec();
}

async fn serve_until_end(
    gateway: &Gateway,
    channel: &Channel,
    headers: &HeaderMap,
    line: &mut Line<'_>,
) -> Ending<std::convert::Infallible> {
    let hello = line.hello().await?;
    let account = Account {
        channel: channel.name.clone(),
        user: hello.user.clone(),
    };
    let taken = gateway.rooms.enter(account.clone(), gateway.limits.queue);
    let mut session = Session {
        gateway,
        channel,
        headers,
        partition: account.partition(gateway.log.partitions()),
        account,
        synthetic: channel.name == probe::CHANNEL,
        taken,
        replayed: 0,
        faults: 0,
    };
    let resuming = session.resume(line, hello);
    match gateway.stop.run_until_cancelled(resuming).await {
        Some(resumed) => resumed?,
        None => return Err(restarting()),
    }
    session.live(line).await
}

/// What is known of a page that has said hello.
struct Session<'a> {
    gateway: &'a Gateway,
    channel: &'a Channel,
    headers: &'a HeaderMap,
    account: Account,
    partition: u32,
    synthetic: bool,
    taken: Taken<'a>,
    /// Replies before this position were sent by the replay.
    replayed: Offset,
    faults: u32,
}

impl Session<'_> {
    async fn resume(&mut self, line: &mut Line<'_>, hello: Hello) -> Ending<()> {
        let gateway = self.gateway;
        line.send(&Frame::Welcome {
            version: VERSION,
            cluster: gateway.cluster.clone(),
            max_characters: web_chat::MAX_CHARACTERS,
        })
        .await?;
        let seen = self
            .channel
            .consumers
            .get(self.partition as usize)
            .map_or_else(Checkpoint::default, |consumer| consumer.seen());
        if hello.history {
            let history = resume::history(gateway, &self.account, seen.position).await;
            line.send(&history).await?;
        }
        let from = resume::begin(gateway, self.partition, hello.cursor, seen)
            .await
            .map_err(|error| unavailable(&error))?;
        let (to, next) = self.replay(line, from).await?;
        self.replayed = to.position;
        let cursor = Cursor::new(gateway.log.as_ref(), next).value();
        line.send(&Frame::Ready { cursor }).await
    }

    /// Sends what a page has missed; gives up to where, and from where the page is to begin next time.
    async fn replay(
        &self,
        line: &mut Line<'_>,
        from: Checkpoint,
    ) -> Ending<(Checkpoint, Checkpoint)> {
        let log = self.gateway.log.as_ref();
        let mut replay = resume::Replay::begin(self.gateway, &self.account, from)
            .await
            .map_err(|error| unavailable(&error))?;
        loop {
            let batch = replay.batch().await;
            let batch = batch.map_err(|error| unavailable(&error))?;
            if batch.is_empty() {
                return Ok((replay.at(), replay.next_time()));
            }
            for found in batch {
                self.send_reply(line, found.position, &found.reply).await?;
                if let Some(after) = found.after {
                    let cursor = Cursor::new(log, after).frame();
                    line.send_text(&*cursor).await?;
                }
            }
        }
    }

    async fn send_reply(
        &self,
        line: &mut Line<'_>,
        position: Offset,
        reply: &chatbot_message::Reply,
    ) -> Ending<()> {
        for part in self.channel.adapter.format_response(reply, position) {
            line.send_text(String::from_utf8_lossy(&part.body).as_ref())
                .await?;
        }
        Ok(())
    }

    /// Forwards in both directions, for ever.
    async fn live(&mut self, line: &mut Line<'_>) -> Ending<std::convert::Infallible> {
        let limits = &self.gateway.limits;
        let stop = &self.gateway.stop;
        let seat = Arc::clone(&self.taken.seat);
        let mut heartbeat = tokio::time::interval(limits.heartbeat);
        heartbeat.reset();
        let mut previews_at: Option<Instant> = None;
        loop {
            tokio::select! {
                biased;
                () = stop.cancelled() => return Err(restarting()),
                () = seat.too_slow.cancelled() => return Err(self.too_slow()),
                push = self.taken.pushes.recv() => self.forward(line, push).await?,
                text = line.text() => self.receive(line, &text?).await?,
                () = seat.grown.notified(), if previews_at.is_none() => {
                    previews_at = Some(Instant::now() + PREVIEW_EVERY);
                }
                () = until(previews_at) => {
                    previews_at = None;
                    send_previews(line, &seat).await?;
                }
                _ = heartbeat.tick() => {
                    if line.heard.elapsed() > limits.silence {
                        return Err(End::Gone);
                    }
                    line.send_raw(Ws::Ping(Vec::new().into())).await?;
                    line.send(&Frame::Alive).await?;
                }
            }
        }
    }

    async fn forward(&mut self, line: &mut Line<'_>, push: Option<Push>) -> Ending<()> {
        match push.ok_or(End::Gone)? {
            // Of a linked account: the page's cursor is one of its own partition.
            Push::Reply {
                partition, frame, ..
            } if partition != self.partition => line.send_text(&*frame).await,
            Push::Reply { position, .. } if position < self.replayed => Ok(()),
            Push::Reply { frame, cursor, .. } => {
                line.send_text(&*frame).await?;
                line.send_text(&*cursor).await
            }
            Push::Frame(frame) => line.send_text(&*frame).await,
        }
    }

    async fn receive(&mut self, line: &mut Line<'_>, text: &Utf8Bytes) -> Ending<()> {
        let parsed = self.channel.adapter.parse_message(&Delivery {
            via: Transport::Socket,
            peer: Some(&self.account.user),
            received_at: now_ms(),
            ..Delivery::of(&self.channel.name, self.headers, text.as_bytes())
        });
        let parsed = match parsed {
            Ok(parsed) => parsed,
            Err(refusal) => return self.refuse(line, refusal).await,
        };
        for mut message in parsed.messages {
            message.synthetic = self.synthetic;
            match self.gateway.intake.accept(&message, None).await {
                Ok(accepted) => {
                    line.send_text(String::from_utf8_lossy(&parsed.acknowledgement.body).as_ref())
                        .await?;
                    self.after_accepting(line, &message, accepted).await?;
                }
                Err(rejected) => {
                    let again = rejected.retry_after();
                    line.send(&Frame::Refused {
                        id: Some(message.origin),
                        code: rejected.code(),
                        message: rejected.to_string(),
                        retry_after_ms: again
                            .and_then(|again| u64::try_from(again.as_millis()).ok()),
                    })
                    .await?;
                }
            }
        }
        Ok(())
    }

    /// Shows a new question in the user's other pages, and an old one's reply to a page that asks for it again.
    async fn after_accepting(
        &self,
        line: &mut Line<'_>,
        message: &Message,
        accepted: Accepted,
    ) -> Ending<()> {
        match accepted {
            Accepted::Now => {
                let question = Frame::Question {
                    id: message.origin.clone(),
                    message: message.id,
                    text: message.text.clone(),
                };
                let push = Push::Frame(question.encode().into());
                self.gateway
                    .rooms
                    .push(&self.account, &push, Some(&self.taken.seat));
                Ok(())
            }
            Accepted::Before { reply: None } => Ok(()),
            Accepted::Before {
                reply: Some((partition, position)),
            } => {
                let reply = resume::reply_at(self.gateway, partition, position)
                    .await
                    .map_err(|error| unavailable(&error))?;
                match reply {
                    Some(reply) => self.send_reply(line, position, &reply).await,
                    None => Ok(()),
                }
            }
        }
    }

    async fn refuse(&mut self, line: &mut Line<'_>, refusal: Refusal) -> Ending<()> {
        self.gateway.metrics.rejected("malformed");
        self.faults += 1;
        if self.faults > MAX_FAULTS {
            return Err(malformed(&refusal.message));
        }
        line.send(&Frame::Refused {
            id: refusal.event,
            code: match refusal.fault {
                Fault::TooLong => Code::TooLong,
                _ => Code::Malformed,
            },
            message: refusal.message,
            retry_after_ms: None,
        })
        .await
    }

    fn too_slow(&self) -> End {
        self.gateway.metrics.slow_sockets.inc();
        End::Told {
            close: close_code::AGAIN,
            code: Code::TooSlow,
            message: "the page reads too slowly; it connects again and goes on where it was"
                .to_owned(),
        }
    }
}

async fn send_previews(line: &mut Line<'_>, seat: &Seat) -> Ending<()> {
    for (message, text) in seat.take_previews() {
        line.send(&Frame::Preview { message, text }).await?;
    }
    Ok(())
}

async fn until(at: Option<Instant>) {
    match at {
        Some(at) => tokio::time::sleep_until(at).await,
        None => std::future::pending().await,
    }
}
