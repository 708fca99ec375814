//! `POST /rooms/{room}/messages`

use std::sync::Arc;

use axum::Json;
use axum::extract::rejection::{JsonRejection, PathRejection};
use axum::extract::{Path, State};
use axum::http::StatusCode;
use jiff::Timestamp;
use serde::Deserialize;
use serde_json::{Value, json};
use uuid::Uuid;

use super::problem::{Code, Problem};
use crate::chat::{Chat, Keys};
use crate::message::Content;

const MAX_TEXT_BYTES: usize = 32 << 10;
const MAX_SENDER_BYTES: usize = 256;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Body {
    sender: String,
    text: String,
    id: Option<String>,
    sent_at: Option<String>,
}

pub(super) async fn handle<K: Keys>(
    State(chat): State<Arc<Chat<K>>>,
    room: Result<Path<String>, PathRejection>,
    body: Result<Json<Body>, JsonRejection>,
) -> Result<(StatusCode, Json<Value>), Problem> {
    let room = room?.0.parse()?;
    let Json(body) = body?;
    let id = body.id.unwrap_or_else(|| Uuid::new_v4().to_string());
    let sent_at = sent_at(body.sent_at.as_deref())?;
    let content = Content {
        sender: sender(body.sender)?,
        text: within("text", body.text, MAX_TEXT_BYTES)?,
    };
    let position = chat.post(&room, id.parse()?, sent_at, &content).await?;
    let answer = json!({"id": id, "sent_at": format!("{sent_at:.3}"), "position": position});
    Ok((StatusCode::CREATED, Json(answer)))
}

/// Now, if the sender does not say.
fn sent_at(text: Option<&str>) -> Result<Timestamp, Problem> {
    let refuse = || Problem::new(Code::InvalidRequest, "sent_at is no RFC 3339 time");
    text.map_or_else(
        || Ok(Timestamp::now()),
        |text| text.parse().map_err(|_| refuse()),
    )
}

fn within(name: &str, text: String, most: usize) -> Result<String, Problem> {
    if text.len() <= most {
        return Ok(text);
    }
    let detail = format!("{name} has at most {most} bytes");
    Err(Problem::new(Code::TooLarge, detail))
}

/// A text may be empty, its sender may not.
fn sender(sender: String) -> Result<String, Problem> {
    if sender.is_empty() {
        return Err(Problem::new(Code::InvalidRequest, "sender is empty"));
    }
    within("sender", sender, MAX_SENDER_BYTES)
}
