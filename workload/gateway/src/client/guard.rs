//! A body that is given away only while the request has the right to be sent: the last look before the socket is
//! written to, after the connection was made, however long that took or the process stood still.

use std::convert::Infallible;
use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use chatbot_queue::lease::Lease;
use hyper::body::{Body, Bytes, Frame, SizeHint};

/// The right to send, which ends with a lease.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Right {
    pub(crate) lease: Lease,
    /// How long the request may take from the moment it is written.
    pub(crate) margin: Duration,
}

impl Right {
    pub(crate) fn lasts(&self) -> bool {
        self.lease.lasts(self.margin)
    }
}

pub(super) struct Guard {
    data: Option<Bytes>,
    right: Option<Right>,
    lapsed: Lapsed,
}

/// Whether the right had ended when it was looked at.
#[derive(Clone, Default)]
pub(super) struct Lapsed(Arc<AtomicBool>);

impl Lapsed {
    pub(super) fn is_true(&self) -> bool {
        self.0.load(Ordering::Acquire)
    }
}

/// Ends the connection before anything of the request has left.
#[derive(Debug)]
pub(super) struct NoRight;

impl fmt::Display for NoRight {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("the right to send has ended")
    }
}

impl std::error::Error for NoRight {}

impl From<Infallible> for NoRight {
    fn from(never: Infallible) -> Self {
        match never {}
    }
}

impl Guard {
    pub(super) fn new(data: Bytes, right: Option<Right>) -> (Self, Lapsed) {
        let lapsed = Lapsed::default();
        let guard = Self {
            data: (!data.is_empty()).then_some(data),
            right,
            lapsed: lapsed.clone(),
        };
        (guard, lapsed)
    }
}

impl Body for Guard {
    type Data = Bytes;
    type Error = NoRight;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, NoRight>>> {
        let Some(data) = self.data.take() else {
            return Poll::Ready(None);
        };
        if self.right.is_some_and(|right| !right.lasts()) {
            self.lapsed.0.store(true, Ordering::Release);
            return Poll::Ready(Some(Err(NoRight)));
        }
        Poll::Ready(Some(Ok(Frame::data(data))))
    }

    fn is_end_stream(&self) -> bool {
        self.data.is_none()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.data.as_ref().map_or(0, |data| data.len() as u64))
    }
}
