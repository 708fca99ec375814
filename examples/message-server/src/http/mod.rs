//! HTTP in and out; decides nothing.

mod delete_room;
mod list;
mod post;
mod problem;

use std::sync::Arc;

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::routing::{delete, get};

use crate::chat::{Chat, Keys};
use problem::{Code, Problem};

/// A text of 32 KiB, each byte of it escaped, and room for the rest.
const MAX_BODY_BYTES: usize = 256 << 10;

/// All routes.
pub fn router<K: Keys>(chat: Arc<Chat<K>>) -> Router {
    Router::new()
        .route("/healthz", get(|| async { "ok\n" }))
        .route("/rooms/{room}", delete(delete_room::handle::<K>))
        .route(
            "/rooms/{room}/messages",
            get(list::handle::<K>).post(post::handle::<K>),
        )
        .method_not_allowed_fallback(async || Problem::new(Code::MethodNotAllowed, "not here"))
        .fallback(async || Problem::new(Code::NotFound, "there is nothing at this address"))
        .layer(DefaultBodyLimit::max(MAX_BODY_BYTES))
        .with_state(chat)
}
