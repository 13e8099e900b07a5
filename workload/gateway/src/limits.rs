//! Bounds of a gateway. Every queue has one.

use std::time::Duration;

/// Bounds of a gateway. Every queue has one.
#[derive(Clone, Debug)]
pub struct Limits {
    /// Sockets open at once; a further one is refused with 503.
    pub sockets: usize,
    /// TCP connections open at once; a further one waits to be accepted.
    pub connections: usize,
    /// Frames that wait for one socket; a socket that is slower is closed, and resumes.
    pub queue: usize,
    /// Bytes of messages that the log has not acknowledged yet; a further message is refused.
    pub unacknowledged: usize,
    /// Message ids remembered, so that a copy costs no write.
    pub known: usize,
    /// Longest time for a request's headers, and for a page's hello.
    pub hello: Duration,
    /// Longest time for the log to acknowledge a message.
    pub append: Duration,
    /// Longest time for one frame to leave.
    pub write: Duration,
    /// How often a quiet socket is tried.
    pub heartbeat: Duration,
    /// A socket that was silent for so long is closed.
    pub silence: Duration,
    /// How long a history waits for the view to catch up.
    pub view: Duration,
    /// How long a shutdown waits for sockets to close.
    pub drain: Duration,
    /// How often the mounted certificate is looked at.
    pub certificate: Duration,
    /// Pause before the first synthetic conversation.
    pub probe_first: Duration,
    /// Pause after a synthetic conversation that failed.
    pub probe_again: Duration,
    /// Pause after a synthetic conversation that succeeded.
    pub probe: Duration,
    /// Longest synthetic conversation.
    pub probe_timeout: Duration,
    /// Longest time for a request's body.
    pub body: Duration,
    /// Bytes of bodies held at once, in all; a further request is refused with 503.
    pub bodies: usize,
    /// How often the channels' Secrets are looked at.
    pub secrets: Duration,
    /// How long a platform may take to let itself be connected to.
    pub connect: Duration,
    /// Longest request to a platform, its response included.
    pub send: Duration,
    /// Bytes read of a platform's response, which may hold all that was sent. A longer one is as none.
    pub response: usize,
    /// Replies of one channel that wait to be sent; at more its part of the journal is read later.
    pub pending: usize,
    /// Of these, sent and not marked in the journal yet.
    pub unmarked: usize,
    /// How often progress in the journal is committed.
    pub commit: Duration,
    /// Pause before a request that failed is sent again; doubles each time.
    pub retry_first: Duration,
    /// Longest such pause.
    pub retry_cap: Duration,
    /// Pause before credentials that were rejected are tried again, unless they change.
    pub credentials: Duration,
    /// A reply that could not be delivered for so long is given up.
    pub expiry: Duration,
    /// What hinders a channel for so long is told of it.
    pub tell: Duration,
    /// How long a platform that is asked for messages may wait for one.
    pub poll: Duration,
    /// A connection to a platform that was up for so long is opened anew at once; one that was not, after a pause.
    pub lasting: Duration,
    /// How long a request stays open for its reply, where the reply is its response.
    pub exchange: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            sockets: 10_000,
            connections: 11_000,
            queue: 256,
            unacknowledged: 4 * 1024 * 1024,
            known: 65_536,
            hello: Duration::from_secs(10),
            append: Duration::from_secs(10),
            write: Duration::from_secs(10),
            heartbeat: Duration::from_secs(15),
            silence: Duration::from_secs(45),
            view: Duration::from_secs(2),
            drain: Duration::from_secs(15),
            certificate: Duration::from_secs(5),
            probe_first: Duration::from_millis(500),
            probe_again: Duration::from_secs(5),
            probe: Duration::from_secs(20),
            probe_timeout: Duration::from_secs(30),
            body: Duration::from_secs(5),
            bodies: 16 * 1024 * 1024,
            secrets: Duration::from_secs(2),
            connect: Duration::from_secs(2),
            send: Duration::from_secs(4),
            response: 1 << 20,
            pending: 10_000,
            unmarked: 64,
            commit: Duration::from_millis(500),
            retry_first: Duration::from_millis(500),
            retry_cap: Duration::from_mins(1),
            credentials: Duration::from_secs(30),
            expiry: Duration::from_hours(24),
            tell: Duration::from_secs(30),
            poll: Duration::from_secs(25),
            lasting: Duration::from_secs(30),
            exchange: Duration::from_mins(2),
        }
    }
}
