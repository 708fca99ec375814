//! `hsm-sim dump`: every object in the clear, from the files alone.

use std::io::{self, Write};
use std::path::Path;

use serde_json::{Value, json};

use crate::constants::*;
use crate::storage;
use crate::token::hex;
use crate::token::object::Object;

/// Prints the objects as JSON. Records that do not open are listed in it, and are a failure at the end.
pub(super) fn run(dir: &Path) -> io::Result<()> {
    let seen = storage::read(dir)?;
    let objects: Vec<Value> = seen
        .objects
        .iter()
        .map(|(handle, object)| show(*handle, object))
        .collect();
    let header = seen.header.as_ref();
    let mut all = json!({ "label": header.map(|it| &it.label), "serial": header.map(|it| &it.serial),
        "objects": objects });
    if !seen.unreadable.is_empty() {
        all["unreadable"] = json!(seen.unreadable);
    }
    let text = serde_json::to_string_pretty(&all).map_err(io::Error::other)?;
    writeln!(io::stdout(), "{text}")?;
    match (seen.unreadable.len(), header) {
        (0, Some(_)) => Ok(()),
        (0, None) => Err(io::Error::other("the cell holds no key of a token")),
        (some, _) => Err(io::Error::other(format!(
            "{some} records do not open; all others are shown"
        ))),
    }
}

fn show(handle: u64, object: &Object) -> Value {
    let attributes: serde_json::Map<String, Value> = object
        .attributes()
        .map(|(kind, value)| (format!("{kind:#x}"), hex(value).into()))
        .collect();
    json!({
        "handle": handle,
        "class": class(object),
        "id": hex(object.raw(CKA_ID).unwrap_or_default()),
        "label": String::from_utf8_lossy(object.raw(CKA_LABEL).unwrap_or_default()),
        "value": object.raw(CKA_VALUE).map(hex),
        "attributes": attributes,
    })
}

fn class(object: &Object) -> &'static str {
    match object.number(CKA_CLASS) {
        Some(CKO_DATA) => "data",
        Some(CKO_PUBLIC_KEY) => "public-key",
        Some(CKO_PRIVATE_KEY) => "private-key",
        Some(CKO_SECRET_KEY) => "secret-key",
        _ => "unknown",
    }
}
