//! Errors in `OpenAI`'s shape.

use axum::Json;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};
use thiserror::Error;

/// Why a request is not answered.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum ApiError {
    /// The request is wrong.
    #[error("{field}: {problem}")]
    Invalid {
        /// The field, as a path such as `messages[2].role`.
        field: String,
        /// Value and remedy.
        problem: String,
    },
    /// The body is no request at all.
    #[error("{0}")]
    Body(String),
    /// The body is too large.
    #[error("the body has more than {limit} bytes: send fewer or shorter messages")]
    TooLarge {
        /// The most that is read.
        limit: usize,
    },
    /// The model is another one.
    #[error("model: `{asked}` is not served here; use `{served}`")]
    UnknownModel {
        /// What was asked for.
        asked: String,
        /// What there is.
        served: String,
    },
    /// The path is not part of the API.
    #[error("{0} is not part of this API: use POST /v1/chat/completions or GET /v1/models")]
    NotFound(String),
    /// Everything is taken.
    #[error(
        "{running} requests are being answered and {waiting} wait, which is the most: try again in {retry_after} s"
    )]
    Busy {
        /// Requests being answered.
        running: u32,
        /// Requests waiting.
        waiting: u32,
        /// Seconds after which a place is likely to be free.
        retry_after: u64,
    },
    /// The model is not loaded yet.
    #[error("the model is being loaded: try again in 1 s")]
    Loading,
    /// The engine failed.
    #[error("{0}")]
    Engine(String),
}

impl ApiError {
    /// A wrong field.
    pub(crate) fn invalid(field: impl Into<String>, problem: impl Into<String>) -> Self {
        Self::Invalid {
            field: field.into(),
            problem: problem.into(),
        }
    }

    /// The error as the API writes it.
    #[must_use]
    pub fn body(&self) -> Value {
        let (kind, code) = match self {
            Self::Invalid { .. } | Self::Body(_) => ("invalid_request_error", Value::Null),
            Self::TooLarge { .. } => ("invalid_request_error", json!("request_too_large")),
            Self::UnknownModel { .. } => ("invalid_request_error", json!("model_not_found")),
            Self::NotFound(_) => ("invalid_request_error", json!("unknown_url")),
            Self::Busy { .. } => ("rate_limit_error", json!("rate_limit_exceeded")),
            Self::Loading => ("server_error", json!("model_loading")),
            Self::Engine(_) => ("server_error", Value::Null),
        };
        let field = match self {
            Self::Invalid { field, .. } => json!(field),
            Self::UnknownModel { .. } => json!("model"),
            _ => Value::Null,
        };
        json!({ "error": { "message": self.to_string(), "type": kind, "param": field, "code": code } })
    }

    fn status(&self) -> StatusCode {
        match self {
            Self::Invalid { .. } | Self::Body(_) => StatusCode::BAD_REQUEST,
            Self::TooLarge { .. } => StatusCode::PAYLOAD_TOO_LARGE,
            Self::UnknownModel { .. } | Self::NotFound(_) => StatusCode::NOT_FOUND,
            Self::Busy { .. } => StatusCode::TOO_MANY_REQUESTS,
            Self::Loading => StatusCode::SERVICE_UNAVAILABLE,
            Self::Engine(_) => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let mut response = (self.status(), Json(self.body())).into_response();
        let retry_after = match self {
            Self::Busy { retry_after, .. } => Some(retry_after),
            Self::Loading => Some(1),
            _ => None,
        };
        if let Some(seconds) = retry_after {
            response
                .headers_mut()
                .insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        response
    }
}
