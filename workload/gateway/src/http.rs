//! The HTTP entrance of users' traffic: the page, and the socket it opens.

use std::sync::Arc;

use axum::Router;
use axum::extract::ws::WebSocketUpgrade;
use axum::extract::ws::rejection::WebSocketUpgradeRejection;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Redirect, Response};
use axum::routing::get;
use chatbot_adapters::Transport;

use crate::{Channel, Gateway, origin, page, socket};

type Shared = State<Arc<Gateway>>;

/// The routes.
pub(crate) fn router(gateway: &Arc<Gateway>) -> Router {
    Router::new()
        .route("/", get(entrance))
        .route("/channels/{channel}", get(with_slash))
        .route("/channels/{channel}/", get(chat))
        .route("/channels/{channel}/socket", get(open_socket))
        .route("/channels/{channel}/{asset}", get(asset))
        .fallback(not_found)
        .with_state(Arc::clone(gateway))
}

impl Gateway {
    /// The channels that have a page.
    pub(crate) fn pages(&self) -> impl Iterator<Item = &Arc<Channel>> {
        self.channels
            .values()
            .filter(|channel| channel.adapter.transports().contains(&Transport::Socket))
    }

    fn page_of(&self, name: &str) -> Option<&Arc<Channel>> {
        self.pages().find(|channel| channel.name == name)
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

async fn with_slash(Path(channel): Path<String>, State(gateway): Shared) -> Response {
    match gateway.page_of(&channel) {
        Some(channel) => {
            Redirect::temporary(&format!("/channels/{}/", channel.name)).into_response()
        }
        None => not_found().await,
    }
}

async fn chat(Path(channel): Path<String>, State(gateway): Shared, headers: HeaderMap) -> Response {
    match gateway.page_of(&channel) {
        Some(_) => page::chat(&gateway.cluster, &headers),
        None => not_found().await,
    }
}

async fn asset(
    Path((channel, asset)): Path<(String, String)>,
    State(gateway): Shared,
    headers: HeaderMap,
) -> Response {
    let found = gateway
        .page_of(&channel)
        .and_then(|_| page::asset(&asset, &headers));
    match found {
        Some(asset) => asset,
        None => not_found().await,
    }
}

async fn not_found() -> Response {
    (StatusCode::NOT_FOUND, "There is nothing here.\n").into_response()
}

async fn open_socket(
    Path(channel): Path<String>,
    State(gateway): Shared,
    headers: HeaderMap,
    upgrade: Result<WebSocketUpgrade, WebSocketUpgradeRejection>,
) -> Response {
    let Some(channel) = gateway.page_of(&channel).map(Arc::clone) else {
        return not_found().await;
    };
    if !origin::is_allowed(&headers, &channel.allowed_origins) {
        gateway.metrics.rejected("origin");
        let why = "Origin: pages of this origin may not open the chat; list it in the channel's webChat.allowedOrigins.\n";
        return (StatusCode::FORBIDDEN, why).into_response();
    }
    let upgrade = match upgrade {
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
