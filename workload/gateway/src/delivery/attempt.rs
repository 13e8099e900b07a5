//! One reply, sent until its fate is known (S3 and S4 of the message guarantee).

use std::borrow::Cow;
use std::time::Duration;

use chatbot_adapters::{Request, Scope, Verdict};
use chatbot_queue::dead_letter::DeadLetter;
use chatbot_queue::journal::{self, Delivery, Entry};
use chatbot_queue::lease::{Lease, Moment};
use chatbot_queue::{Error, Offset};
use chatbot_telemetry::log;
use tokio::sync::{AcquireError, SemaphorePermit};
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;
use tracing::{Instrument, debug, warn};

use super::Place;
use super::doubt::Doubt;
use super::lanes::Waiting;
use crate::backoff::Backoff;
use crate::channel::{Hindrance, Reason, Running};
use crate::client::{Answered, Right, Unanswered};
use crate::metrics::Phase;
use crate::now_ms;

/// What an acquisition of a partition sends with.
pub(super) struct Sender<'a> {
    pub(super) place: &'a Place,
    pub(super) running: &'a Running,
    /// The lease's term when the partition was acquired.
    pub(super) term: u64,
    /// Nothing new is sent once it is cancelled.
    pub(super) stop: &'a CancellationToken,
}

/// How a reply's turn ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ended {
    /// All of it is marked.
    Done,
    /// The acquisition has ended; what is not marked is for the next one.
    Stopped,
    /// Nobody vouches any more that no other gateway sends.
    Lapsed,
}

/// What has become of a part.
enum Fate {
    Marked,
    Refused,
    Ended(Ended),
}

impl Sender<'_> {
    /// Sends what is not marked of a reply, part by part.
    pub(super) async fn deliver(
        &self,
        position: Offset,
        waiting: &Waiting,
    ) -> Result<Ended, Error> {
        let span = log::message(waiting.trace.id(), waiting.reply.message_id);
        self.deliver_parts(position, waiting).instrument(span).await
    }

    async fn deliver_parts(&self, position: Offset, waiting: &Waiting) -> Result<Ended, Error> {
        let parts = self
            .running
            .adapter
            .format_response(&waiting.reply, position);
        let metrics = &self.place.channel.metrics;
        let sent = usize::try_from(waiting.sent).unwrap_or(usize::MAX);
        let last = parts.len().saturating_sub(1);
        for (number, request) in parts.into_iter().enumerate().skip(sent) {
            let part = Part {
                position,
                number: u32::try_from(number).unwrap_or(u32::MAX),
                is_last: number == last,
                key_lasts: self.key_lasts(&request),
                waiting,
            };
            match self.send(&part, &request).await? {
                Fate::Marked => {}
                Fate::Refused => {
                    metrics.given_up();
                    return Ok(Ended::Done);
                }
                Fate::Ended(ended) => return Ok(ended),
            }
        }
        metrics.delivered();
        debug!(channel = self.place.channel.name, "a reply is delivered");
        Ok(Ended::Done)
    }

    /// Sends a part until the platform has taken or refused it, and marks it.
    async fn send(&self, part: &Part<'_>, request: &Request) -> Result<Fate, Error> {
        let (channel, limits) = (&self.place.channel, &self.place.gateway.limits);
        let mut backoff = Backoff::new(limits.retry_first, limits.retry_cap);
        let mut doubt = Doubt::new(part.key_lasts);
        let mut request = Cow::Borrowed(request);
        let mut tokens = 0;
        let mut last = "it was not sent".to_owned();
        loop {
            if let Some(reason) = part.is_expired(limits.expiry, &last) {
                return self.give_up(part, reason).await;
            }
            let turn = self.turn(part, &request);
            // Its permit is held until the part is marked, or known not to be.
            let Some((permit, ready)) = self.stop.run_until_cancelled(turn).await else {
                return Ok(Fate::Ended(Ended::Stopped));
            };
            if let Some(reason) = part.is_expired(limits.expiry, &last) {
                return self.give_up(part, reason).await;
            }
            let (verdict, answered) = match ready {
                Ok(ready) => match self.attempt(part, ready, &mut doubt).await {
                    Some(told) => told,
                    None => return Ok(Fate::Ended(Ended::Lapsed)),
                },
                // Nothing was sent yet, so nothing is in doubt.
                Err(Verdict::Unknown { reason }) => (later(reason), None),
                Err(verdict) => (verdict, None),
            };
            channel.metrics.attempted(&verdict);
            if let Verdict::Accepted { id } = verdict {
                let delivery = Delivery::Accepted { platform_id: id };
                self.mark(part, delivery).await?;
                self.doubt_if_late(part);
                channel.standing.unhindered();
                channel.pace.went_well();
                return Ok(Fate::Marked);
            }
            drop(permit);
            let scope = match &verdict {
                Verdict::Refused { reason } => {
                    channel.standing.unhindered();
                    if let (Cow::Borrowed(own), Some(answered)) = (&request, &answered)
                        && let Some(other) = self.instead(part, own, answered)
                    {
                        debug!(channel = channel.name, "sent in another way: {reason}");
                        request = Cow::Owned(other);
                        continue;
                    }
                    return self.give_up(part, reason.clone()).await;
                }
                // A session's token may have been withdrawn: a new one first.
                Verdict::Credentials { .. } if request.session && tokens == 0 => {
                    tokens += 1;
                    self.running.client.forget_token().await;
                    continue;
                }
                Verdict::Later { scope, .. } => *scope,
                Verdict::Credentials { .. } => Scope::Channel,
                _ => Scope::Chat,
            };
            tokens = 0;
            last = self.hold(part, &verdict, scope, &mut backoff);
        }
    }

    /// Waits until the platform's limits let a part be sent, and there is a place for it.
    async fn turn(
        &self,
        part: &Part<'_>,
        request: &Request,
    ) -> (
        Result<SemaphorePermit<'_>, AcquireError>,
        Result<Request, Verdict>,
    ) {
        let (channel, chat) = (&self.place.channel, &part.waiting.chat);
        channel.pace.chat(chat).await;
        let permit = channel.unmarked.acquire().await;
        let is_group = self.running.adapter.is_group(&part.waiting.reply.origin);
        channel.pace.turn(chat, is_group).await;
        (permit, self.running.client.ready(request.clone()).await)
    }

    /// Sends once, and gives what that came to, and the answer if there was one; none when another gateway may send by now.
    async fn attempt(
        &self,
        part: &Part<'_>,
        request: Request,
        doubt: &mut Doubt,
    ) -> Option<(Verdict, Option<Answered>)> {
        let right = self.right(part);
        if right.is_some_and(|right| !right.lasts()) {
            return None;
        }
        let (adapter, metrics) = (&self.running.adapter, &self.place.channel.metrics);
        let begun = Moment::now();
        let signed = adapter.signed(request, now_ms());
        let sent = Instant::now();
        let answered = self.running.client.send(signed, right).await;
        metrics.took(Phase::Send, sent.elapsed());
        let (verdict, answered) = match answered {
            Ok(answered) => {
                let verdict = answered.explained(adapter.classify(&answered.response()));
                (verdict, Some(answered))
            }
            Err(Unanswered::Lapsed) => return None,
            Err(unsent @ Unanswered::Unsent(_)) => return Some((unsent.into(), None)),
            Err(unknown @ Unanswered::Unknown(_)) => (unknown.into(), None),
        };
        let beside_earlier = doubt.sent(begun);
        let is_unknown = matches!(verdict, Verdict::Unknown { .. });
        if beside_earlier | (is_unknown && doubt.unknown(begun)) {
            metrics.in_doubt();
        }
        Some((verdict, answered))
    }

    /// What is sent in place of a part's own request, once, after the platform has refused that one.
    fn instead(&self, part: &Part<'_>, refused: &Request, answered: &Answered) -> Option<Request> {
        let origin = &part.waiting.reply.origin;
        let adapter = &self.running.adapter;
        adapter.instead(origin, refused, &answered.response())
    }

    /// For how long the platform knows a request's key; none where it has none.
    fn key_lasts(&self, request: &Request) -> Option<Duration> {
        request.key.as_ref()?;
        self.place.channel.adapter.limits().keys
    }

    /// Until when no other gateway sends the same. Of what has a key it does not matter.
    fn right(&self, part: &Part<'_>) -> Option<Right> {
        if part.key_lasts.is_some() {
            return None;
        }
        Some(Right {
            lease: of_term(self.place.member.lease(), self.term),
            margin: self.place.gateway.limits.send,
        })
    }

    /// Whoever stood still between a send and its mark may have been given up, and the same sent by another.
    fn doubt_if_late(&self, part: &Part<'_>) {
        let late = self
            .right(part)
            .is_some_and(|right| !right.lease.lasts(Duration::ZERO));
        if late {
            self.place.channel.metrics.in_doubt();
        }
    }

    /// Makes the chat or the channel wait as long as the platform wants, and says why.
    fn hold(
        &self,
        part: &Part<'_>,
        verdict: &Verdict,
        scope: Scope,
        backoff: &mut Backoff,
    ) -> String {
        let (channel, limits) = (&self.place.channel, &self.place.gateway.limits);
        let (kind, reason, told, least) = match verdict {
            Verdict::Later { after, reason, .. } if after.is_some() => {
                (Reason::RateLimited, reason, *after, Duration::ZERO)
            }
            Verdict::Credentials { reason } => (
                Reason::CredentialsRejected,
                reason,
                None,
                limits.credentials,
            ),
            Verdict::Later { reason, .. }
            | Verdict::Unknown { reason }
            | Verdict::Refused { reason } => {
                (Reason::PlatformUnavailable, reason, None, Duration::ZERO)
            }
            Verdict::Accepted { .. } => return String::new(),
        };
        match scope {
            Scope::Chat => {
                let pause = told.unwrap_or_else(|| backoff.next());
                channel.pace.pause_chat(&part.waiting.chat, pause);
            }
            Scope::Channel => channel.pace.pause_channel(told, least),
        }
        let news = channel.standing.hindered(Hindrance {
            reason: kind,
            message: format!("replies wait: {reason}"),
        });
        let why = kind.as_str();
        if news {
            warn!(channel = channel.name, why, "replies wait: {reason}");
        } else {
            debug!(channel = channel.name, why, "a reply waits: {reason}");
        }
        reason.clone()
    }

    /// To the dead letters first, then marked: what a crash between the two writes twice has the same id.
    async fn give_up(&self, part: &Part<'_>, reason: String) -> Result<Fate, Error> {
        let Place {
            gateway, channel, ..
        } = self.place;
        let reply = &part.waiting.reply;
        warn!(
            channel = channel.name,
            part = part.number,
            "a reply is given up: {reason}"
        );
        let letter = DeadLetter::undelivered(reply, part.number, &reason, now_ms());
        letter
            .append(gateway.log.as_ref(), self.place.partition())
            .await?;
        self.mark(part, Delivery::Refused { reason }).await?;
        Ok(Fate::Refused)
    }

    /// Marks a part, however long it takes: what is sent and has no mark would be sent again. When the acquisition ends it
    /// is tried a few times more, since a mark is true whoever writes it, however late.
    async fn mark(&self, part: &Part<'_>, delivery: Delivery) -> Result<(), Error> {
        let accepted = matches!(delivery, Delivery::Accepted { .. });
        let entry = Entry::Delivered {
            position: part.position,
            part: part.number,
            // A reply that was refused once is given up as a whole.
            last: part.is_last || !accepted,
            delivery,
        };
        let (to, trace) = (self.place.gateway.log.as_ref(), Some(part.waiting.trace));
        let mut backoff = Backoff::new(self.place.gateway.limits.retry_first, MARK_AGAIN);
        let mut last_tries = LAST_TRIES;
        loop {
            let marking = journal::append_traced(to, self.place.partition(), &entry, trace);
            let Err(error) = marking.await else {
                return Ok(());
            };
            debug!(channel = self.place.channel.name, %error, "a mark waits");
            if self.stop.is_cancelled() {
                last_tries -= 1;
                if last_tries == 0 {
                    if accepted && self.right(part).is_some() {
                        self.place.channel.metrics.in_doubt();
                    }
                    return Err(error);
                }
            }
            sleep(backoff.next()).await;
        }
    }
}

/// The verdict when nothing could be sent.
fn later(reason: String) -> Verdict {
    Verdict::Later {
        after: None,
        scope: Scope::Channel,
        reason,
    }
}

/// A lease as far as it is worth something to an acquisition that began under `term`: of another term it is no right of it.
pub(super) fn of_term(lease: Lease, term: u64) -> Lease {
    if lease.term == term {
        lease
    } else {
        Lease::default()
    }
}

/// Longest pause before a mark is tried again: it holds up a chat.
const MARK_AGAIN: Duration = Duration::from_secs(2);
/// Attempts to write a mark after the acquisition has ended.
const LAST_TRIES: u32 = 3;

/// A part of a reply.
struct Part<'a> {
    position: Offset,
    number: u32,
    /// Nothing of the reply follows it.
    is_last: bool,
    /// For how long the platform knows its key; none where it has none.
    key_lasts: Option<Duration>,
    waiting: &'a Waiting,
}

impl Part<'_> {
    /// Why it is given up, if it is older than that; `last` is what it was told last.
    fn is_expired(&self, limit: Duration, last: &str) -> Option<String> {
        let age = now_ms().saturating_sub(self.waiting.appended_at);
        let expired = u128::try_from(age).is_ok_and(|age| age > limit.as_millis());
        expired.then(|| {
            let hours = limit.as_secs() / 3_600;
            format!("it could not be delivered within {hours} hours: {last}")
        })
    }
}
