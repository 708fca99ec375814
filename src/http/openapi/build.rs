//! Parts of schemas. Each has a description, with units where it has some.

use serde_json::{Value, json};
use utoipa::PartialSchema;

/// Pattern of a keyspace's name.
pub(super) const KEYSPACE: &str = "^[a-z0-9][a-z0-9-]{0,62}$";
/// Pattern of a text without control characters.
pub(super) const NO_CONTROLS: &str = "^[^\\u0000-\\u001f\\u007f-\\u009f]*$";

/// The schema of a type that parses or writes a body.
pub(super) fn schema<T: PartialSchema>() -> Value {
    // A derived schema can always be written as JSON.
    let schema = serde_json::to_value(T::schema()).unwrap_or_default();
    with_int64(schema)
}

/// The schema of a type that flattens another type. It is written as one object, because generators do not
/// agree on `allOf`.
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
        // Generators take int32 for a signed type, which a u32 does not fit into.
        if member["format"] == "int32" {
            member["format"] = "int64".into();
        }
    }
    schema
}

/// An object whose members are all required.
pub(super) fn whole(description: &str, properties: Value) -> Value {
    let names = properties.as_object().into_iter().flat_map(|it| it.keys());
    let required: Vec<_> = names.cloned().collect();
    json!({ "type": "object", "description": description, "required": required, "properties": properties })
}

/// An object with some required members.
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

/// A time, RFC 3339 in UTC.
pub(super) fn time(description: &str) -> Value {
    json!({ "type": "string", "format": "date-time", "description": description })
}

pub(super) fn uuid(description: &str) -> Value {
    json!({ "type": "string", "format": "uuid", "description": description })
}

/// A number of bytes in hexadecimal digits.
pub(super) fn hex(description: &str, bytes: usize) -> Value {
    json!({ "type": "string", "pattern": format!("^[0-9a-f]{{{}}}$", 2 * bytes), "description": description })
}

pub(super) fn number(description: &str, minimum: u64) -> Value {
    json!({ "type": "integer", "format": "int64", "minimum": minimum, "description": description })
}

/// Lists the values of a member.
pub(super) fn words(schema: &mut Value, member: &str, words: &[&str]) {
    schema["properties"][member]["enum"] = words.into();
}
