//! `GET /rooms/{room}/messages?since=&limit=`

use std::sync::Arc;

use axum::Json;
use axum::extract::rejection::{PathRejection, QueryRejection};
use axum::extract::{Path, Query, State};
use serde::Deserialize;
use serde_json::{Value, json};

use super::problem::{Code, Problem};
use crate::chat::{Chat, Keys};
use crate::message::{Position, State as Readable, StoredMessage};

const MAX_LIMIT: u32 = 1_000;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Page {
    /// The position of the last message that the device has.
    #[serde(default = "beginning")]
    since: Position,
    #[serde(default = "default_limit")]
    limit: u32,
}

const fn beginning() -> Position {
    Position(0)
}

const fn default_limit() -> u32 {
    100
}

pub(super) async fn handle<K: Keys>(
    State(chat): State<Arc<Chat<K>>>,
    room: Result<Path<String>, PathRejection>,
    page: Result<Query<Page>, QueryRejection>,
) -> Result<Json<Value>, Problem> {
    let room = room?.0.parse()?;
    let Query(page) = page?;
    if !(1..=MAX_LIMIT).contains(&page.limit) || page.since.0 < 0 {
        let detail = format!("limit is 1 to {MAX_LIMIT}, since a position");
        return Err(Problem::new(Code::InvalidRequest, detail));
    }
    let messages = chat.read(&room, page.since, page.limit).await?;
    let next = messages
        .last()
        .map_or(page.since, |(message, _)| message.position);
    let messages: Vec<_> = messages.iter().map(json_of).collect();
    Ok(Json(json!({"messages": messages, "next": next})))
}

fn json_of((message, state): &(StoredMessage, Readable)) -> Value {
    let mut json = json!({
        "id": message.id.as_str(),
        "sent_at": format!("{:.3}", message.sent_at),
        "position": message.position,
    });
    match state {
        Readable::Open(content) => {
            json["sender"] = content.sender.as_str().into();
            json["text"] = content.text.as_str().into();
        }
        Readable::Expired => json["state"] = "expired".into(),
        Readable::Shredded => json["state"] = "shredded".into(),
        Readable::Damaged => json["state"] = "damaged".into(),
    }
    json
}
