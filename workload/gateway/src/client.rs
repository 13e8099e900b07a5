//! Requests to platforms: no redirects, a time-out over all of it, a response read up to a bound, the session's token.
//!
//! It knows whether a request may have been seen: one that found no connection was not.

mod address;
mod guard;
mod upgrade;

use std::sync::Arc;
use std::time::Duration;

use chatbot_adapters::{ProtocolAdapter, Request, Response, Scope, Verdict};
use http::header::{AUTHORIZATION, HeaderValue};
use http::{HeaderMap, StatusCode, Uri};
use http_body_util::{BodyExt, LengthLimitError, Limited};
use hyper::body::Bytes;
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use tokio::sync::Mutex;
use tokio::time::{Instant, timeout};

use crate::Limits;
use address::Guarded;
use guard::Guard;
pub(crate) use guard::Right;
pub(crate) use upgrade::{NotOpened, Socket};

/// How long an idle connection is kept: less than most servers keep theirs.
const IDLE: Duration = Duration::from_secs(20);
/// Time between two signs of life on a connection.
const KEEPALIVE: Duration = Duration::from_secs(15);

/// Connections to platforms. Cheap to clone; clones share everything.
#[derive(Clone)]
pub(crate) struct Http {
    client: legacy::Client<HttpsConnector<HttpConnector<Guarded>>, Guard>,
    connector: HttpsConnector<HttpConnector<Guarded>>,
    /// Longest request, response included.
    within: Duration,
    /// Bytes of a response.
    most: usize,
}

/// A response, as far as it was read.
pub(crate) struct Answered {
    status: StatusCode,
    headers: HeaderMap,
    body: Bytes,
    /// Why the body was not read, if it was not.
    unread: Option<String>,
}

impl Answered {
    pub(crate) fn response(&self) -> Response<'_> {
        Response {
            status: self.status,
            headers: &self.headers,
            body: &self.body,
        }
    }

    /// The verdict on it: one that is unknown for want of the body says so.
    pub(crate) fn explained(&self, verdict: Verdict) -> Verdict {
        match (verdict, &self.unread) {
            (Verdict::Unknown { reason }, Some(unread)) => Verdict::Unknown {
                reason: format!("{reason}; {unread}"),
            },
            (verdict, _) => verdict,
        }
    }
}

/// Why there is no response.
#[derive(Debug)]
pub(crate) enum Unanswered {
    /// The platform has not seen the request.
    Unsent(String),
    /// It was not sent, since its right to be sent had ended.
    Lapsed,
    /// Nobody knows whether it has.
    Unknown(String),
}

impl From<Unanswered> for Verdict {
    fn from(unanswered: Unanswered) -> Self {
        match unanswered {
            Unanswered::Unsent(reason) => Self::Later {
                after: None,
                scope: Scope::Channel,
                reason,
            },
            Unanswered::Lapsed => Self::Later {
                after: None,
                scope: Scope::Chat,
                reason: "another gateway may send by now".to_owned(),
            },
            Unanswered::Unknown(reason) => Self::Unknown { reason },
        }
    }
}

impl Http {
    /// Connections with the system's certificates. Where there are none, only plain HTTP works.
    pub(crate) fn new(limits: &Limits) -> Result<Self, rustls::Error> {
        let mut roots = rustls::RootCertStore::empty();
        roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let tls = rustls::ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()?
            .with_root_certificates(roots)
            .with_no_client_auth();
        let mut connector = HttpConnector::new_with_resolver(Guarded::default());
        connector.enforce_http(false);
        connector.set_nodelay(true);
        connector.set_keepalive(Some(KEEPALIVE));
        connector.set_connect_timeout(Some(limits.connect));
        let connector = HttpsConnectorBuilder::new()
            .with_tls_config(tls)
            .https_or_http()
            .enable_http1()
            .wrap_connector(connector);
        let client = legacy::Client::builder(TokioExecutor::new())
            .pool_idle_timeout(IDLE)
            .pool_timer(TokioTimer::new())
            .build(connector.clone());
        Ok(Self {
            client,
            connector,
            within: limits.send,
            most: limits.response,
        })
    }

    /// The same connections, with another longest time and another longest response.
    pub(crate) fn bounded(&self, within: Duration, most: usize) -> Self {
        Self {
            within,
            most,
            ..self.clone()
        }
    }

    /// Sends a request once, as long as it has the right to be sent.
    async fn send(&self, request: Request, right: Option<Right>) -> Result<Answered, Unanswered> {
        let (body, lapsed) = Guard::new(Bytes::from(request.body.clone()), right);
        let request = prepared(request, body).map_err(Unanswered::Unsent)?;
        let sending = async {
            let response = self.client.request(request).await.map_err(|error| {
                let reason = with_causes(&error);
                if lapsed.is_true() {
                    Unanswered::Lapsed
                } else if error.is_connect() {
                    Unanswered::Unsent(reason)
                } else {
                    Unanswered::Unknown(reason)
                }
            })?;
            let (head, body) = response.into_parts();
            let body = Limited::new(body, self.most).collect().await;
            let (body, unread) = match body {
                Ok(body) => (body.to_bytes(), None),
                Err(error) => (Bytes::new(), Some(self.unread(error.as_ref()))),
            };
            Ok(Answered {
                status: head.status,
                headers: head.headers,
                body,
                unread,
            })
        };
        timeout(self.within, sending).await.unwrap_or_else(|_| {
            Err(Unanswered::Unknown(format!(
                "there was no answer within {} s",
                self.within.as_secs_f32()
            )))
        })
    }

    fn unread(&self, error: &(dyn std::error::Error + 'static)) -> String {
        if error.is::<LengthLimitError>() {
            format!("its answer has more than {} bytes", self.most)
        } else {
            format!("its answer broke off: {}", with_causes(error))
        }
    }
}

fn prepared(request: Request, body: Guard) -> Result<http::Request<Guard>, String> {
    let uri: Uri = request
        .url
        .parse()
        .map_err(|error| format!("the platform's address cannot be used: {error}"))?;
    address::allowed(&uri)?;
    let mut prepared = http::Request::new(body);
    *prepared.method_mut() = request.method;
    *prepared.uri_mut() = uri;
    *prepared.headers_mut() = request.headers;
    Ok(prepared)
}

/// An error and what led to it. The address is in none of it, since some hold a secret.
fn with_causes(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text
}

/// A platform, by the credentials of one channel.
pub(crate) struct Client {
    http: Http,
    adapter: Arc<dyn ProtocolAdapter>,
    token: Mutex<Option<Token>>,
}

/// A session's token, and when it is to be renewed.
struct Token {
    value: HeaderValue,
    until: Instant,
}

impl Client {
    pub(crate) fn new(http: Http, adapter: Arc<dyn ProtocolAdapter>) -> Self {
        Self {
            http,
            adapter,
            token: Mutex::default(),
        }
    }

    /// The request with the session's token where it wants one, which may have to be asked for first. Done before the
    /// request's own time begins.
    pub(crate) async fn ready(&self, mut request: Request) -> Result<Request, Verdict> {
        if request.session {
            let token = self.token().await?;
            request.headers.insert(AUTHORIZATION, token);
        }
        Ok(request)
    }

    /// Sends a request that is ready, once; none of it is written when its right has ended before.
    pub(crate) async fn send(
        &self,
        request: Request,
        right: Option<Right>,
    ) -> Result<Answered, Unanswered> {
        self.http.send(request, right).await
    }

    /// Asks the platform something, and reads its answer. A token that it no longer takes is renewed once.
    pub(crate) async fn ask<T>(
        &self,
        request: Request,
        read: impl Fn(&Response) -> Result<T, Verdict>,
    ) -> Result<T, Verdict> {
        let mut fresh = !request.session;
        loop {
            let ready = self.ready(request.clone()).await?;
            let answered = self.send(ready, None).await?;
            let told = read(&answered.response());
            match told.map_err(|verdict| answered.explained(verdict)) {
                Err(Verdict::Credentials { .. }) if !fresh => {
                    self.forget_token().await;
                    fresh = true;
                }
                told => return told,
            }
        }
    }

    /// The platform no longer takes the token: the next request asks for another.
    pub(crate) async fn forget_token(&self) {
        *self.token.lock().await = None;
    }

    /// The token; asked for by one at a time.
    async fn token(&self) -> Result<HeaderValue, Verdict> {
        let mut token = self.token.lock().await;
        if let Some(token) = token.as_ref().filter(|token| Instant::now() < token.until) {
            return Ok(token.value.clone());
        }
        let Some(request) = self.adapter.session() else {
            return Err(Verdict::Refused {
                reason: "the platform gives no session".to_owned(),
            });
        };
        // As if it had lasted since before the question.
        let asked = Instant::now();
        let answered = self.http.send(request, None).await?;
        let session = self.adapter.session_of(&answered.response())?;
        let mut value =
            HeaderValue::from_str(&format!("Bearer {}", session.token)).map_err(|_| {
                Verdict::Credentials {
                    reason: "the platform's token cannot be written into a header".to_owned(),
                }
            })?;
        value.set_sensitive(true);
        *token = Some(Token {
            value: value.clone(),
            until: asked + session.lasts,
        });
        Ok(value)
    }
}
