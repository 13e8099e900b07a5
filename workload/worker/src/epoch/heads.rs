//! The heads of an owner's lanes: answered (W6), written (W7), and what follows from the reply done.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use chatbot_message::{Effect, Message, Outcome, Reply, Trace};
use chatbot_queue::Offset;
use chatbot_queue::identity::Link as AccountLink;
use chatbot_queue::journal::Entry;
use chatbot_store::Turn;
use chatbot_telemetry::log;
use futures::FutureExt;
use tokio::time::sleep;
use tracing::{Instrument, Span, debug};
use uuid::Uuid;

use super::{Epoch, Lane, Queued};
use crate::answer::{self, Question};
use crate::metrics::InFlight;
use crate::ways::Next;
use crate::{effects, linking};

/// Owners in a row that died at a message before it gets the fallback text.
const DEATHS_FALLBACK: u32 = 4;

/// A message under way.
pub(super) struct Head {
    lane: Lane,
    offset: Offset,
    message: Message,
    trace: Trace,
}

impl Head {
    /// For what is logged of it.
    fn span(&self) -> Span {
        log::message(self.trace.id(), self.message.id)
    }
}

/// What has become of it.
pub(super) enum Ended {
    Answered(Head, Reply),
    /// What follows from its reply is done; with the link that it led to.
    Performed(Head, Option<AccountLink>),
    /// It has not come back in time.
    Away(Lane, Uuid),
}

impl Epoch {
    pub(super) fn begin_head(&mut self, lane: Lane, queued: Queued) {
        let Queued {
            offset,
            message,
            trace,
            owed,
        } = queued;
        let head = Head {
            lane,
            offset,
            message,
            trace,
        };
        match owed {
            Some(effect) => self.perform(head, effect),
            None => self.answer(head),
        }
    }

    /// W6, in a task of its own.
    fn answer(&mut self, head: Head) {
        let shared = Arc::clone(&self.shared);
        let link = Arc::clone(&self.link);
        let partition = self.partition;
        let next = self.ways.next(&head.message);
        let is_deadly = |(suspect, deaths)| suspect == head.offset && deaths >= DEATHS_FALLBACK;
        // Nobody dies of sending one on, and its reply must not overtake those of before.
        let deadly = next == Next::Here && self.suspect.is_some_and(is_deadly);
        let channels = self.ways.channels(&head.message);
        let question = Question {
            partition,
            own: self.own.of(head.message.person()),
            need: self.own.need(),
            message: head.message.clone(),
            trace: head.trace,
        };
        let span = head.span();
        let answering = async move {
            let _in_flight = InFlight::new(&shared.metrics);
            let message = || head.message.clone();
            let reply = if deadly {
                answer::give_up(&shared, partition, message(), "workers die at this message").await
            } else {
                let replying = linking::reply(&shared, &link, question, next, &channels);
                match AssertUnwindSafe(replying).catch_unwind().await {
                    Ok(reply) => reply,
                    Err(_panic) => {
                        let reason = "answering it panicked";
                        answer::give_up(&shared, partition, message(), reason).await
                    }
                }
            };
            debug!(outcome = ?reply.outcome, "a message is answered");
            Ended::Answered(head, reply)
        };
        self.under_way.spawn(answering.instrument(span));
    }

    /// W7: to the one writer, in order.
    pub(super) fn write(&mut self, head: Head, reply: Reply) {
        let Some((head, mut reply)) = self.wait(head, reply) else {
            return;
        };
        self.shared.metrics.replied(&reply);
        if reply.is_turn() {
            let turn = Turn {
                position: 0,
                at: 0,
                message_id: reply.message_id,
                question: reply.question.clone(),
                answer: reply.answer.clone(),
                fallback: reply.outcome == Outcome::Fallback,
            };
            self.own.add(reply.person(), turn);
        }
        if reply.effect.is_none() && self.ways.joins(reply.person(), &reply.account) {
            reply.effect = Some(Box::new(Effect::Join));
        }
        let lane = if reply.effect.is_none() {
            Some(head.lane.clone())
        } else {
            None
        };
        let entry = Entry::Reply {
            epoch: self.began,
            seq: self.seq,
            inbound: head.offset,
            reply,
        };
        let trace = head.trace;
        if lane.is_none() {
            self.owing.insert(head.offset, head);
        }
        self.seq += 1;
        self.unread += 1;
        // The writer ends only after it has said that an outcome is unknown, and that ends this epoch.
        let _ended = self.writes.send((lane, entry, trace));
    }

    /// Does what follows from a reply that counts, in a task of its own.
    pub(super) fn perform(&mut self, head: Head, effect: Effect) {
        let shared = Arc::clone(&self.shared);
        let partition = self.partition;
        let link = self.ways.link(&head.message, head.offset, &effect);
        if self.ways.is_leaving(&head.message) {
            self.sending.insert(head.lane.clone(), head.message.id);
        }
        let span = head.span();
        let performing = async move {
            let Head { message, trace, .. } = &head;
            effects::perform(
                &shared,
                partition,
                (message, *trace),
                &effect,
                link.as_ref(),
            )
            .await;
            Ended::Performed(head, link)
        };
        self.under_way.spawn(performing.instrument(span));
    }

    pub(super) fn performed(&mut self, head: Head, link: Option<AccountLink>) {
        if let Some(link) = link {
            self.ways.take_in(link);
        }
        self.settled.settle(head.offset);
        self.sending.remove(&head.lane);
        if self.ways.is_leaving(&head.message) {
            match self.back.remove(&head.message.id) {
                Some(queued) => self.begin_head(head.lane, queued),
                None => self.hold(head.lane, head.message.id),
            }
        } else {
            self.next_of(Some(&head.lane));
        }
    }

    /// Whoever asks to be apart is answered nothing else before that: what follows waits until the message has come back,
    /// and if that takes too long, the message goes round once more.
    fn hold(&mut self, lane: Lane, message: Uuid) {
        let wait = 2 * self.shared.limits.delivery_wait;
        self.held.insert(lane.clone(), message);
        self.under_way.spawn(async move {
            sleep(wait).await;
            Ended::Away(lane, message)
        });
    }

    /// Whether a lane was held for this message; it is no more.
    pub(super) fn let_go(&mut self, lane: &Lane, message: Uuid) -> bool {
        let is_held = self.held.get(lane) == Some(&message);
        if is_held {
            self.held.remove(lane);
        }
        is_held
    }

    pub(super) fn next_of(&mut self, lane: Option<&Lane>) {
        if let Some(lane) = lane
            && let Some(next) = self.lanes.done(lane)
        {
            self.begin_head(lane.clone(), next);
        }
    }
}
