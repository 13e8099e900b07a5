//! The HTTP entrance of users' traffic: the page, and the socket it opens.

use std::sync::Arc;

use axum::Router;
use axum::extract::ws::WebSocketUpgrade;
use axum::extract::{FromRequestParts, Path, Request, State};
use axum::http::{HeaderMap, Method, StatusCode, header};
use axum::response::{IntoResponse, Redirect, Response};
use axum::routing::{any, get};
use chatbot_adapters::Transport;

use crate::channel::{Channel, Kind};
use crate::{Gateway, exchange, origin, page, socket, webhook};

type Shared = State<Arc<Gateway>>;

/// The routes.
pub(crate) fn router(gateway: &Arc<Gateway>) -> Router {
    Router::new()
        .route("/", get(entrance))
        .route("/channels/{channel}", any(at_channel))
        .route("/channels/{channel}/", any(at_channel))
        .route("/channels/{channel}/{*rest}", any(below_channel))
        .fallback(not_found)
        .with_state(Arc::clone(gateway))
}

impl Gateway {
    /// The channels that have a page.
    pub(crate) fn pages(&self) -> impl Iterator<Item = &Arc<Channel>> {
        self.channels
            .values()
            .filter(|channel| channel.kind == Kind::Page)
    }
}

async fn entrance(State(gateway): Shared, headers: HeaderMap) -> Response {
    let names: Vec<_> = gateway
        .pages()
        .map(|channel| channel.name.as_str())
        .collect();
    match names.as_slice() {
        [] => not_found().await,
        [only] => Redirect::temporary(&format!("/channels/{only}/")).into_response(),
        _ => page::list(&gateway.cluster, &names, &headers),
    }
}

async fn at_channel(
    Path(channel): Path<String>,
    State(gateway): Shared,
    request: Request,
) -> Response {
    let Some(channel) = gateway.channel(&channel, request.headers()).map(Arc::clone) else {
        return not_found().await;
    };
    if channel.kind != Kind::Page {
        return platform(gateway, channel, "", request).await;
    }
    match *request.method() {
        Method::GET | Method::HEAD if request.uri().path().ends_with('/') => {
            page::chat(&gateway.cluster, request.headers())
        }
        Method::GET | Method::HEAD => {
            Redirect::temporary(&format!("/channels/{}/", channel.name)).into_response()
        }
        _ => StatusCode::METHOD_NOT_ALLOWED.into_response(),
    }
}

async fn below_channel(
    Path((channel, rest)): Path<(String, String)>,
    State(gateway): Shared,
    request: Request,
) -> Response {
    let Some(channel) = gateway.channel(&channel, request.headers()).map(Arc::clone) else {
        return not_found().await;
    };
    if channel.kind != Kind::Page {
        return platform(gateway, channel, &format!("/{rest}"), request).await;
    }
    if !matches!(*request.method(), Method::GET | Method::HEAD) {
        return StatusCode::METHOD_NOT_ALLOWED.into_response();
    }
    if rest == "socket" {
        return open_socket(gateway, channel, request).await;
    }
    match page::asset(&rest, request.headers()) {
        Some(asset) => asset,
        None => not_found().await,
    }
}

async fn platform(
    gateway: Arc<Gateway>,
    channel: Arc<Channel>,
    path: &str,
    request: Request,
) -> Response {
    if channel.takes(Transport::Webhook) {
        webhook::answer(gateway, channel, path, request).await
    } else if channel.kind == Kind::Exchange {
        exchange::answer(gateway, channel, path, request).await
    } else {
        not_found().await
    }
}

async fn not_found() -> Response {
    (StatusCode::NOT_FOUND, "There is nothing here.\n").into_response()
}

async fn open_socket(gateway: Arc<Gateway>, channel: Arc<Channel>, request: Request) -> Response {
    let headers = request.headers().clone();
    if !origin::is_allowed(&headers, &channel.allowed_origins) {
        gateway.metrics.rejected("origin");
        let why = "Origin: pages of this origin may not open the chat; list it in the channel's webChat.allowedOrigins.\n";
        return (StatusCode::FORBIDDEN, why).into_response();
    }
    let (mut parts, _) = request.into_parts();
    let upgrade = match WebSocketUpgrade::from_request_parts(&mut parts, &()).await {
        Ok(upgrade) => upgrade,
        Err(rejection) => return rejection.into_response(),
    };
    let Ok(permit) = Arc::clone(&gateway.open).try_acquire_owned() else {
        gateway.metrics.rejected("sockets");
        let why = "Too many conversations are open; try again soon.\n";
        return (
            StatusCode::SERVICE_UNAVAILABLE,
            [(header::RETRY_AFTER, "5")],
            why,
        )
            .into_response();
    };
    let bytes = channel.adapter.max_body();
    upgrade
        .max_message_size(bytes)
        .max_frame_size(bytes)
        .on_upgrade(move |stream| {
            let sockets = gateway.sockets.clone();
            sockets.track_future(async move {
                socket::serve(gateway, channel, headers, stream).await;
                drop(permit);
            })
        })
}
