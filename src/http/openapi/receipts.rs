//! Schemas of receipts and openings, as docs/FORMATS.md describes them.

use serde_json::{Value, json};

use super::build::{array, hex, number, text, time, uuid, whole, word};
use super::reference;

/// The schemas by name.
pub(super) fn schemas() -> Vec<(&'static str, Value)> {
    let receipt = json!({
        "format": word("The format of receipts", &["lethe/v1/receipt"]),
        "item": { "description": "What was destroyed", "oneOf": KINDS.map(|(_, name)| reference(name)),
            "discriminator": { "propertyName": "kind", "mapping": mapping() } },
        "destroyed_at": time("When it was"),
        "destroyed": array("HSM keys that were destroyed", hex("A key's id", 16)),
        "method": word("How", &["hsm-roots-destroyed", "hsm-bucket-key-destroyed"]),
        "deployment": hex("The deployment", 16),
        "sequence": number("The batch; 0 of an expiry", 0),
        "batch": reference("BatchPlace"),
        "signature": reference("Signature"),
    });
    let place = json!({ "size": number("Items of the batch", 1), "index": number("Which of them, from 0", 0),
        "path": array("From the item up to the root of the batch's Merkle tree", text("A hash: 32 bytes, base64")) });
    let signature = json!({ "algorithm": word("Always the same", &["Ed25519"]),
        "key": hex("Id of the public key that checks it", 16), "value": text("64 bytes, base64") });
    let opening = json!({ "salt": text("32 bytes, base64"), "keyspace": hex("The keyspace's id", 16),
        "conversation": text("The conversation"),
        "keys": array("What was shredded, of each key version that lived", reference("ShreddedKey")) });
    let key = json!({ "version": number("Key version", 1), "generation": number("The conversation's in it", 0) });
    let mut all = vec![
        (
            "Receipt",
            whole("Proof that keys were destroyed, signed in the HSM", receipt),
        ),
        (
            "BatchPlace",
            whole("Where an item stands in its batch", place),
        ),
        ("Signature", whole("Over the batch", signature)),
        (
            "Opening",
            whole(
                "Shows which conversation a receipt speaks of; the caller's to keep",
                opening,
            ),
        ),
        ("ShreddedKey", whole("A key that was shredded", key)),
    ];
    all.extend(items());
    all
}

/// The kinds of a receipt's item.
const KINDS: [(&str, &str); 4] = [
    ("shred", "ShredRecord"),
    ("keyspace_erase", "KeyspaceEraseRecord"),
    ("version_drop", "VersionDropRecord"),
    ("bucket_expiry", "BucketExpiryRecord"),
];

fn mapping() -> Value {
    let pair = |(kind, name): (&str, &str)| (kind.to_owned(), reference(name)["$ref"].clone());
    KINDS
        .into_iter()
        .map(pair)
        .collect::<serde_json::Map<_, _>>()
        .into()
}

fn items() -> [(&'static str, Value); 4] {
    // The members that each request to forget has.
    let request = |kind: &str, more: &[(&str, Value)]| {
        let mut members = json!({ "kind": word("What was asked for", &[kind]), "id": uuid("The request's"),
            "keyspace": hex("The keyspace's id", 16), "accepted_at": time("When it was accepted"),
            "leases_end_at": time("By then every cache_until that was given out before has passed") });
        for (name, schema) in more {
            members[*name] = schema.clone();
        }
        members
    };
    let commitment = text("Hides the conversation, until an opening shows it: 32 bytes, base64");
    let bucket = json!({ "kind": word("What happened", &["bucket_expiry"]), "key": hex("The bucket key's id", 16),
        "label": text("The bucket key's label in the HSM") });
    [
        (
            "ShredRecord",
            whole(
                "A shredded conversation",
                request("shred", &[("commitment", commitment)]),
            ),
        ),
        (
            "KeyspaceEraseRecord",
            whole("An erased keyspace", request("keyspace_erase", &[])),
        ),
        (
            "VersionDropRecord",
            whole(
                "A dropped key version",
                request("version_drop", &[("version", number("Which", 1))]),
            ),
        ),
        ("BucketExpiryRecord", whole("An expired bucket", bucket)),
    ]
}
