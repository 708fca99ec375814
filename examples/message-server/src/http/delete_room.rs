//! `DELETE /rooms/{room}`: no row goes, the keys do.

use std::sync::Arc;

use axum::Json;
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use jiff::Timestamp;
use lethe_client::Shred;
use serde_json::{Value, json};

use super::problem::Problem;
use crate::chat::{Chat, Keys};

pub(super) async fn handle<K: Keys>(
    State(chat): State<Arc<Chat<K>>>,
    room: Result<Path<String>, PathRejection>,
) -> Result<(StatusCode, Json<Value>), Problem> {
    let room = room?.0.parse()?;
    let shred = match chat.shred(&room, Timestamp::now()).await {
        // The wish is kept, and sent until it is done.
        Err(error) if error.waits_for_approval() => {
            let waits = json!({"state": "approval_required"});
            return Ok((StatusCode::ACCEPTED, Json(waits)));
        }
        shred => shred?,
    };
    Ok(match shred {
        Shred::Accepted { id, .. } => (
            StatusCode::ACCEPTED,
            Json(json!({"id": id, "state": "accepted"})),
        ),
        Shred::Destroyed(done) => (
            StatusCode::OK,
            Json(json!({
                "id": done.id, "state": "destroyed",
                "destroyed_at": format!("{:.3}", done.destroyed_at), "receipt": done.receipt,
            })),
        ),
    })
}
