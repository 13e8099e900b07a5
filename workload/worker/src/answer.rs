//! Answering one message (W6): context, then the model, for as long as it takes.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use chatbot_message::{Message, Outcome, Reply, Trace};
use chatbot_queue::dead_letter::DeadLetter;
use chatbot_store::Turn;
use tokio::time::{Instant, sleep, timeout, timeout_at};
use tracing::{debug, info, warn};

use crate::Shared;
use crate::backoff::Backoff;
use crate::context::{self, Entry};
use crate::inference::Failure;
use crate::metrics::Phase;
use crate::preview::Show;
use crate::view::Link;

/// A message, and what is needed to answer it.
pub(crate) struct Question {
    pub(crate) partition: u32,
    pub(crate) message: Message,
    /// What this owner answered in the same session and the view may not have yet.
    pub(crate) own: Vec<Turn>,
    /// The view must have come this far to know everything else.
    pub(crate) need: u64,
    /// The message's trace.
    pub(crate) trace: Trace,
}

/// How often the model itself may refuse a request.
const REFUSALS: u32 = 3;

/// The reply, sooner or later: while something that is needed is down, it waits.
pub(crate) async fn answer(shared: &Shared, link: &Link, question: Question) -> Reply {
    let Question {
        partition,
        message,
        own,
        need,
        trace,
    } = question;
    let began = Instant::now();
    let turns = if message.synthetic {
        Vec::new()
    } else if let Some(history) = &message.details.history {
        history
            .iter()
            .map(|turn| sent_along(&message, turn))
            .collect()
    } else {
        let session = session(shared, link, partition, &message, need).await;
        shared.metrics.took(Phase::Context, began.elapsed());
        context::merge(session, own)
    };
    let asking = ask_until_settled(shared, &message, trace, &turns);
    let settled = if message.synthetic {
        // Nobody waits for a synthetic conversation that is over.
        let ended = timeout(shared.limits.synthetic_patience, asking).await;
        ended.unwrap_or_else(|_| {
            let last = shared.handle.last_inference_error();
            Err(last.unwrap_or_else(|| "inference did not answer in time".to_owned()))
        })
    } else {
        asking.await
    };
    if !message.synthetic {
        shared
            .metrics
            .answer_seconds
            .observe(began.elapsed().as_secs_f64());
    }
    match settled {
        Ok(answer) => reply(message, answer, Outcome::Answered),
        Err(reason) => give_up(shared, partition, message, &reason).await,
    }
}

/// A turn that the client has kept.
fn sent_along(message: &Message, turn: &chatbot_message::Turn) -> Turn {
    Turn {
        position: 0,
        at: 0,
        message_id: message.id,
        question: turn.question.clone(),
        answer: turn.answer.clone(),
        fallback: false,
    }
}

/// The dead letter, and then the reply with the fallback text: whoever takes over in between writes the same letter.
pub(crate) async fn give_up(
    shared: &Shared,
    partition: u32,
    message: Message,
    reason: &str,
) -> Reply {
    if !message.synthetic {
        let letter = DeadLetter::unanswered(&message, reason, now_ms());
        let mut backoff = Backoff::new(&shared.limits);
        while let Err(error) = letter.append(shared.log.as_ref(), partition).await {
            warn!("a dead letter waits: {error}");
            sleep(backoff.next()).await;
        }
    }
    fallback(shared, message, reason)
}

/// Milliseconds since the epoch.
pub(crate) fn now_ms() -> i64 {
    let since = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}

/// The reply with the fallback text; the log says why. A synthetic conversation is told the reason itself.
fn fallback(shared: &Shared, message: Message, reason: &str) -> Reply {
    let text = if message.synthetic {
        debug!("a synthetic conversation failed: {reason}");
        reason.to_owned()
    } else {
        warn!(
            channel = message.account.channel,
            "sending the fallback text: {reason}"
        );
        shared.config.fallback_message.clone()
    };
    reply(message, text, Outcome::Fallback)
}

pub(crate) fn reply(message: Message, answer: String, outcome: Outcome) -> Reply {
    Reply {
        message_id: message.id,
        account: message.account,
        origin: message.origin,
        question: message.text,
        answer,
        outcome,
        synthetic: message.synthetic,
        kept_by_client: message.details.history.is_some(),
        way: message.way.to,
        effect: None,
    }
}

/// The session, once the view is far enough; without history when that takes too long: count and order do not depend on
/// it.
async fn session(
    shared: &Shared,
    link: &Link,
    partition: u32,
    message: &Message,
    need: u64,
) -> Vec<Turn> {
    let deadline = Instant::now() + shared.limits.context_wait;
    let mut at = link.at.subscribe();
    loop {
        let asked = shared.view.session(partition, message.person());
        match timeout_at(deadline, asked).await {
            Ok(Ok(session)) if session.at >= need => return session.turns,
            Ok(Ok(_)) => link.look.notify_one(),
            Ok(Err(error)) => debug!(partition, "{error}"),
            Err(_) => debug!(partition, "the session store says nothing"),
        }
        if Instant::now() >= deadline {
            shared.metrics.without_history.inc();
            warn!(
                partition,
                "answering without history: the session store is behind"
            );
            return Vec::new();
        }
        let pause = shared.limits.context_wait / 20;
        let _moved = timeout(pause.max(Duration::from_millis(1)), at.changed()).await;
    }
}

/// The model's answer, or why the fallback text is to be sent.
async fn ask_until_settled(
    shared: &Shared,
    message: &Message,
    trace: Trace,
    turns: &[Turn],
) -> Result<String, String> {
    let system_prompt = shared.prompt.borrow().clone();
    let mut backoff = Backoff::new(&shared.limits);
    let mut refusals = 0;
    // How much of its own conversation a client sends is the client's to say.
    let mut history = match message.details.history {
        Some(_) => usize::MAX,
        None => usize::try_from(shared.config.history_turns).unwrap_or(usize::MAX),
    };
    loop {
        let entries = context::entries(
            &shared.config,
            &system_prompt,
            turns,
            history,
            &message.text,
        );
        let key = shared.known.key(&entries).filter(|_| !message.synthetic);
        if let Some(key) = &key
            && let Some(answer) = shared.known.get(key, &shared.metrics).await
        {
            return Ok(answer);
        }
        let pause = match ask(shared, message, trace, &entries).await {
            // One token may be blank, or no text at all: that it came is the answer.
            Ok(answer) if message.synthetic => return Ok(answer.trim().to_owned()),
            Ok(answer) if answer.trim().is_empty() => {
                return Err("the model's answer is empty".to_owned());
            }
            Ok(answer) => {
                let answer = answer.trim();
                if let Some(key) = &key {
                    shared.known.put(key, answer).await;
                }
                return Ok(answer.to_owned());
            }
            Err(failure @ Failure::Refused(_)) => {
                refusals += 1;
                if refusals == REFUSALS {
                    return Err(failure.to_string());
                }
                // Most often there was more history than the estimate said: half of it, then none.
                history = if refusals == 1 {
                    context::turns(&entries) / 2
                } else {
                    0
                };
                info!("asking again with less history: {failure}");
                backoff.next()
            }
            Err(Failure::Busy { retry_after }) => {
                let asked = retry_after
                    .unwrap_or_default()
                    .min(shared.limits.retry_after_cap);
                backoff.next().max(asked)
            }
            Err(failure @ (Failure::Unusable(_) | Failure::Away(_))) => {
                info!("asking again: {failure}");
                backoff.next()
            }
        };
        shared.metrics.retries.inc();
        sleep(pause).await;
    }
}

/// Asks once. Real conversations share a bounded number of places; a place is given back while waiting to ask again.
async fn ask(
    shared: &Shared,
    message: &Message,
    trace: Trace,
    entries: &[Entry],
) -> Result<String, Failure> {
    let (_place, max_tokens) = if message.synthetic {
        (None, 1)
    } else {
        let waiting = Instant::now();
        let place = shared.places.acquire().await;
        shared.metrics.took(Phase::Place, waiting.elapsed());
        (Some(place), shared.config.max_answer_tokens)
    };
    let show = Some(Show::new(shared, message));
    let asking = shared.inference.ask(entries, max_tokens, trace, show);
    let began = Instant::now();
    let answer = asking.await;
    if !message.synthetic {
        shared.metrics.took(Phase::Model, began.elapsed());
    }
    noted(shared, answer)
}

fn noted(shared: &Shared, result: Result<String, Failure>) -> Result<String, Failure> {
    let error = match &result {
        Ok(_) | Err(Failure::Refused(_)) => None,
        Err(failure) => Some(failure.to_string()),
    };
    shared.handle.set_inference_error(error);
    result
}
