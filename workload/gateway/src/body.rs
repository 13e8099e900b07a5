//! A request's body: as much as was agreed to, within a time, out of a store of bytes that all requests share. What its
//! head says of its length is believed only where it says that it is too long.

use axum::body::Body;
use axum::http::{HeaderMap, StatusCode, header};
use http_body_util::BodyExt;
use thiserror::Error;
use tokio::sync::{Semaphore, SemaphorePermit};
use tokio::time::timeout;

use crate::Limits;

/// Why a body was not read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub(crate) enum Unread {
    #[error("Content-Encoding: the body must not be compressed")]
    Compressed,
    #[error("the body may have {0} bytes at most")]
    TooLong(usize),
    #[error("the body did not come in time")]
    TooSlow,
    #[error("the body broke off")]
    Broken,
    #[error("too many requests are being read; try again soon")]
    NoRoom,
}

impl Unread {
    pub(crate) fn status(self) -> StatusCode {
        match self {
            Self::Compressed => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            Self::TooLong(_) => StatusCode::PAYLOAD_TOO_LARGE,
            Self::TooSlow => StatusCode::REQUEST_TIMEOUT,
            Self::Broken => StatusCode::BAD_REQUEST,
            Self::NoRoom => StatusCode::SERVICE_UNAVAILABLE,
        }
    }

    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Compressed => "compressed",
            Self::TooLong(_) => "too_long",
            Self::TooSlow => "too_slow",
            Self::Broken => "broken",
            Self::NoRoom => "overload",
        }
    }
}

/// A body, and its share of the store.
pub(crate) struct Read<'a> {
    pub(crate) bytes: Vec<u8>,
    _held: Option<SemaphorePermit<'a>>,
}

/// Reads at most `most` bytes.
pub(crate) async fn read<'a>(
    headers: &HeaderMap,
    body: Body,
    most: usize,
    store: &'a Semaphore,
    limits: &Limits,
) -> Result<Read<'a>, Unread> {
    let plain =
        |encoding: &header::HeaderValue| encoding.as_bytes().eq_ignore_ascii_case(b"identity");
    if !headers.get_all(header::CONTENT_ENCODING).iter().all(plain) {
        return Err(Unread::Compressed);
    }
    let announced = headers
        .get(header::CONTENT_LENGTH)
        .and_then(|length| length.to_str().ok()?.parse::<u64>().ok());
    if announced.is_some_and(|length| length > most as u64) {
        return Err(Unread::TooLong(most));
    }
    timeout(limits.body, collect(body, most, store))
        .await
        .unwrap_or(Err(Unread::TooSlow))
}

async fn collect(mut body: Body, most: usize, store: &Semaphore) -> Result<Read<'_>, Unread> {
    let mut bytes = Vec::new();
    let mut held: Option<SemaphorePermit<'_>> = None;
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|_| Unread::Broken)?;
        let Ok(data) = frame.into_data() else {
            continue;
        };
        if bytes.len() + data.len() > most {
            return Err(Unread::TooLong(most));
        }
        let room = u32::try_from(data.len())
            .ok()
            .and_then(|length| store.try_acquire_many(length).ok());
        match (&mut held, room) {
            (_, None) => return Err(Unread::NoRoom),
            (Some(held), Some(more)) => held.merge(more),
            (held @ None, more) => *held = more,
        }
        bytes.extend_from_slice(&data);
    }
    Ok(Read { bytes, _held: held })
}
