//! `hsm-sim dump`: every object in the clear, from the files alone.

use std::io;
use std::path::Path;

use serde_json::{Value, json};

use crate::constants::*;
use crate::storage;
use crate::token::hex;
use crate::token::object::Object;

/// Prints the objects as JSON.
pub(super) fn run(dir: &Path) -> io::Result<()> {
    let state = storage::read(dir)?;
    let objects: Vec<Value> = state
        .objects
        .iter()
        .map(|(handle, object)| show(*handle, object))
        .collect();
    let all =
        json!({ "label": state.header.label, "serial": state.header.serial, "objects": objects });
    println!(
        "{}",
        serde_json::to_string_pretty(&all).map_err(io::Error::other)?
    );
    Ok(())
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
