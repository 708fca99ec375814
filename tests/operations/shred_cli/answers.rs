//! What the scripted service says, and what it was asked.

use serde_json::{Value, json};

use crate::scripted::{Asked, Say};

pub(crate) fn keyspace() -> Say {
    Say::Json(
        200,
        json!({"name": "chat", "retention": "72h", "granularity": "1h", "rotation": "30d",
            "cache_ttl": "5m", "versions": [{"version": 1}, {"version": 2}], "live_buckets": 3}),
    )
}

pub(crate) fn destroyed(id: &Value) -> Value {
    json!({"id": id, "state": "destroyed", "accepted_at": "2026-01-01T00:00:00.000Z",
        "destroyed_at": "2026-01-01T00:00:00.012Z", "leases_end_at": "2026-01-01T00:05:00.000Z",
        "receipt": {"of": id}, "opening": {"salt": id}})
}

pub(crate) fn accepted(id: &Value) -> Value {
    json!({"id": id, "state": "accepted", "accepted_at": "2026-01-01T00:00:00.000Z",
        "opening": {"salt": id}})
}

pub(crate) fn each(asked: &Asked, answer: fn(&Value) -> Value) -> (u16, Value) {
    let items = asked.body["items"].as_array().unwrap().iter();
    let items: Vec<_> = items.map(|item| answer(&item["id"])).collect();
    (200, json!({ "items": items }))
}

/// Destroys all of a batch.
pub(crate) fn destroys() -> Say {
    Say::With(|asked| each(asked, destroyed))
}

/// Accepts all of a batch.
pub(crate) fn accepts() -> Say {
    Say::With(|asked| each(asked, accepted))
}

/// Answers a question after a shred: by its id alone the opening is not known.
pub(crate) fn status() -> Say {
    Say::With(|asked| {
        let id = asked.line.rsplit('/').next().unwrap();
        let mut answer = destroyed(&json!(id));
        answer.as_object_mut().unwrap().remove("opening");
        (200, answer)
    })
}

/// Ids and conversations of a call.
pub(crate) fn sent(asked: &Asked) -> Vec<(String, String)> {
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let items = asked.body["items"].as_array().unwrap().iter();
    items
        .map(|item| (text(&item["id"]), text(&item["conversation"])))
        .collect()
}
