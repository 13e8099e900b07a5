//! What a platform's format has to say.

use std::time::Duration;

use chatbot_message::Reply;

use crate::{
    Admission, Delivery, Fault, Head, Limits, Link, Me, Parsed, Polled, Refusal, Request, Response,
    Session, Transport, Verdict,
};

/// The format of one platform.
pub trait ProtocolAdapter: Send + Sync {
    /// How its bytes travel, with this configuration; the first is the one that messages come by.
    fn transports(&self) -> &'static [Transport];

    /// The keys of the channel's Secret that this configuration needs. A channel that lacks one does not start.
    fn secrets(&self) -> &'static [&'static str] {
        &[]
    }

    /// The largest delivery, in bytes; a transport refuses a larger one unread.
    fn max_body(&self) -> usize;

    /// What the platform takes, for pacing.
    fn limits(&self) -> Limits {
        Limits::default()
    }

    /// Looks at a request's head, before its body is read: what cannot be authentic is refused here, and what has no
    /// body is answered here.
    fn check_headers(&self, _head: &Head) -> Result<Admission, Refusal> {
        Err(Refusal::new(
            Fault::NotFound,
            "this platform sends no requests",
        ))
    }

    /// Whether a delivery is from whom it claims to be. A secret that is missing refuses it.
    fn verify(&self, delivery: &Delivery) -> Result<(), Refusal>;

    /// Reads the messages of a delivery that was verified. Their ids are made of the platform's id of the event, so that
    /// the same event delivered again has the same id.
    fn read(&self, delivery: &Delivery) -> Result<Parsed, Refusal>;

    /// Verifies a delivery and reads its messages.
    fn parse_message(&self, delivery: &Delivery) -> Result<Parsed, Refusal> {
        self.verify(delivery)?;
        self.read(delivery)
    }

    /// The parts of a reply, in order, each within the platform's limits. `position` is the reply's place in the journal.
    /// The same reply gives the same parts, since their numbers are part of idempotency keys.
    fn format_response(&self, reply: &Reply, position: u64) -> Vec<Request>;

    /// The request as it is sent at `now` (milliseconds since the epoch), with whatever of it holds the time. To be called
    /// anew before every attempt.
    fn signed(&self, request: Request, _now: i64) -> Request {
        request
    }

    /// Tells the chat of an origin that an answer is being written; absent where the platform has no such thing.
    fn typing(&self, _origin: &str) -> Option<Request> {
        None
    }

    /// What the platform said to a request of [`Self::format_response`].
    fn classify(&self, response: &Response) -> Verdict {
        Verdict::of_status(response)
    }

    /// Another request for the same part of a reply to `origin`, where the platform has refused one for good as it was, and
    /// says or lets see how it takes the part. It is asked for once, and keeps the key. What was refused had no effect: after
    /// a crash in between both are sent again.
    fn instead(&self, _origin: &str, _refused: &Request, _response: &Response) -> Option<Request> {
        None
    }

    /// The chat within an origin: what stays in order, and what the rate per chat is counted by.
    fn chat<'o>(&self, origin: &'o str) -> &'o str {
        origin
    }

    /// Whether a chat is a group, where [`Limits::group`] holds.
    fn is_group(&self, _origin: &str) -> bool {
        false
    }

    /// Asks the platform who the bot is: the first request of a channel, which also tries its credentials.
    fn identify(&self) -> Option<Request> {
        None
    }

    /// Who the bot is, from the response to [`Self::identify`].
    fn identified(&self, response: &Response) -> Result<Me, Verdict> {
        Err(self.classify(response))
    }

    /// Asks for the token that requests marked with [`Request::session`] carry.
    fn session(&self) -> Option<Request> {
        None
    }

    /// The token, from the response to [`Self::session`].
    fn session_of(&self, response: &Response) -> Result<Session, Verdict> {
        Err(self.classify(response))
    }

    /// Tells the platform where its webhooks go, or, without an address, that there are none; absent where a person does
    /// so on the platform's own pages.
    fn subscribe(&self, _url: Option<&str>) -> Option<Request> {
        None
    }

    /// Asks for what is new since `cursor`, on [`Transport::Polling`]; the platform waits up to `patience` for something.
    fn poll(&self, _cursor: Option<&str>, _patience: Duration) -> Option<Request> {
        None
    }

    /// What the response to [`Self::poll`] is.
    fn polled(&self, response: &Response) -> Polled {
        match self.classify(response) {
            Verdict::Accepted { .. } => Polled::Delivery,
            verdict => Polled::Failed(verdict),
        }
    }

    /// Asks for the address of a connection, on [`Transport::LongConnection`].
    fn connect(&self) -> Option<Request> {
        None
    }

    /// A connection to be opened, on [`Transport::LongConnection`], which goes on at `cursor`; `share`, between 0 and 1 and
    /// chosen at random, keeps those apart that begin together.
    fn link(&self, _cursor: Option<&str>, _share: f64) -> Option<Box<dyn Link>> {
        None
    }

    /// The address (`wss://…`), from the response to [`Self::connect`].
    fn address(&self, response: &Response) -> Result<String, Verdict> {
        Err(self.classify(response))
    }
}
