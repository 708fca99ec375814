//! Pieces of schemas. Each says what it means, and units where there are some.

use serde_json::{Value, json};
use utoipa::PartialSchema;

/// A keyspace's name.
pub(super) const KEYSPACE: &str = "^[a-z0-9][a-z0-9-]{0,62}$";
/// Text without control characters.
pub(super) const NO_CONTROLS: &str = "^[^\\u0000-\\u001f\\u007f-\\u009f]*$";

/// Of a type that parses or writes a body.
pub(super) fn schema<T: PartialSchema>() -> Value {
    // What a derived schema holds can always be written.
    let schema = serde_json::to_value(T::schema()).unwrap_or_default();
    with_int64(schema)
}

/// Of a type that has the members of another one among its own, said as one: generators do not agree on allOf.
pub(super) fn flat<T: PartialSchema, U: PartialSchema>() -> Value {
    let derived = serde_json::to_value(T::schema()).unwrap_or_default();
    let mut flat = json!({ "type": "object", "description": derived["description"],
        "required": [], "properties": {} });
    let parts = derived["allOf"].as_array().into_iter().flatten();
    for part in parts
        .chain([&schema::<U>()])
        .filter(|it| it["$ref"].is_null())
    {
        for (name, member) in part["properties"].as_object().into_iter().flatten() {
            flat["properties"][name] = member.clone();
        }
        let names = part["required"].as_array().into_iter().flatten().cloned();
        if let Some(required) = flat["required"].as_array_mut() {
            required.extend(names);
        }
    }
    with_int64(flat)
}

fn with_int64(mut schema: Value) -> Value {
    for (_, member) in schema["properties"].as_object_mut().into_iter().flatten() {
        // A u32 does not fit into what generators take for an int32.
        if member["format"] == "int32" {
            member["format"] = "int64".into();
        }
    }
    schema
}

/// An object, all of whose members are always there.
pub(super) fn whole(description: &str, properties: Value) -> Value {
    let names = properties.as_object().into_iter().flat_map(|it| it.keys());
    let required: Vec<_> = names.cloned().collect();
    json!({ "type": "object", "description": description, "required": required, "properties": properties })
}

/// An object, some of whose members are always there.
pub(super) fn object(description: &str, required: &[&str], properties: Value) -> Value {
    json!({ "type": "object", "description": description, "required": required, "properties": properties })
}

pub(super) fn array(description: &str, items: Value) -> Value {
    json!({ "type": "array", "description": description, "items": items })
}

pub(super) fn text(description: &str) -> Value {
    json!({ "type": "string", "description": description })
}

pub(super) fn word(description: &str, words: &[&str]) -> Value {
    json!({ "type": "string", "description": description, "enum": words })
}

/// RFC 3339, UTC.
pub(super) fn time(description: &str) -> Value {
    json!({ "type": "string", "format": "date-time", "description": description })
}

pub(super) fn uuid(description: &str) -> Value {
    json!({ "type": "string", "format": "uuid", "description": description })
}

/// So many bytes in hex.
pub(super) fn hex(description: &str, bytes: usize) -> Value {
    json!({ "type": "string", "pattern": format!("^[0-9a-f]{{{}}}$", 2 * bytes), "description": description })
}

pub(super) fn number(description: &str, minimum: u64) -> Value {
    json!({ "type": "integer", "format": "int64", "minimum": minimum, "description": description })
}

/// Says which words a member can be.
pub(super) fn words(schema: &mut Value, member: &str, words: &[&str]) {
    schema["properties"][member]["enum"] = words.into();
}
