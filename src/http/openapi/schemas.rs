//! The schemas of bodies. They come from the types that parse and write the bodies, or are written by
//! hand where the types do not say all. Every schema has a name, which generators of clients use.

use serde_json::{Map, Value, json};

use super::build::{self, array, number, object, text, time, uuid, whole, word};
use super::reference;
use crate::http::approvals::{ApprovalView, ApproveManyBody, SettingsView};
use crate::http::data_keys::{IssueItem, RewrapItem, UnwrapItem};
use crate::http::keyspaces::{KeyspaceView, PutBody, UsesView, VersionView};
use crate::http::shreds::{ShredAcross, ShredAcrossItem, ShredItem};
use crate::http::status::{
    BucketsStatus, ClientUses, HsmDeviceStatus, KeyVersionStatus, KeyspaceStatus, NodeStatus,
    StatusAnswer,
};
use crate::http::verification_keys::VerificationKeyView;

/// A schema under its name.
type Named = (&'static str, Value);

/// All schemas. `codes` are the codes of problems.
pub(super) fn schemas(codes: &[&'static str]) -> Value {
    let parts = [
        problems(codes),
        data_keys(),
        shreds(),
        super::receipts::schemas(),
        approvals(),
        keyspaces(),
        deployment(),
        status(),
    ];
    let mut schemas = Map::new();
    for (name, mut schema) in parts.into_iter().flatten() {
        schema["title"] = name.into();
        schemas.insert(name.to_owned(), schema);
    }
    schemas.into()
}

fn problems(codes: &[&'static str]) -> Vec<Named> {
    let problem = json!({
        "type": text("Always about:blank: the code tells which problem it is"),
        "title": text("The status in words"),
        "status": number("The HTTP status", 400),
        "code": reference("Code"),
        "detail": text("For people; may change"),
    });
    let example = json!({ "type": "about:blank", "title": "Gone", "status": 410, "code": "expired",
        "detail": "the key has expired" });
    let reason = json!({ "code": reference("Code"), "detail": text("For people; may change") });
    let refused = json!({ "error": reference("ItemReason") });
    vec![
        ("Code", word("What programs look at; stable", codes)),
        (
            "Problem",
            with_example(whole("Why a call was refused (RFC 9457)", problem), example),
        ),
        ("ItemReason", whole("Why an item was refused", reason)),
        (
            "ItemError",
            whole("An item of a batch that was refused", refused),
        ),
    ]
}

fn data_keys() -> Vec<Named> {
    let conversation = || text("As it was asked for");
    let data_key = || text("The plaintext data key: 32 bytes, base64");
    let wrapped = || text("To be kept beside the ciphertext: lethe:v1: and base64url");
    let version = || number("The key version that it belongs to", 1);
    let cache_until = || time("From then on the plaintext data key must be forgotten");
    let expires_at = || time("From then on the wrapped key does not open any more");
    let issued = object(
        "A data key. Without data_key where plaintext was false",
        &[
            "conversation",
            "wrapped_key",
            "version",
            "use_until",
            "cache_until",
            "expires_at",
        ],
        json!({ "conversation": conversation(), "data_key": data_key(), "wrapped_key": wrapped(),
            "version": version(), "use_until": time("From then on it must not encrypt any more"),
            "cache_until": cache_until(), "expires_at": expires_at() }),
    );
    let unwrapped = json!({ "conversation": conversation(), "data_key": data_key(), "version": version(),
        "cache_until": cache_until(), "expires_at": expires_at() });
    let rewrapped = json!({ "conversation": conversation(), "wrapped_key": wrapped(), "version": version(),
        "expires_at": expires_at() });
    let example = json!({ "conversation": "room 1" });
    vec![
        (
            "Issue",
            with_example(build::schema::<IssueItem<'_>>(), example),
        ),
        ("IssueBatch", batch("Issue")),
        ("IssueAnswer", issued),
        ("IssueAnswers", answers(&["IssueAnswer"])),
        ("Unwrap", build::schema::<UnwrapItem<'_>>()),
        ("UnwrapBatch", batch("Unwrap")),
        (
            "UnwrapAnswer",
            whole("The data key of a wrapped key", unwrapped),
        ),
        ("UnwrapAnswers", answers(&["UnwrapAnswer"])),
        ("Rewrap", build::schema::<RewrapItem<'_>>()),
        ("RewrapBatch", batch("Rewrap")),
        (
            "RewrapAnswer",
            whole(
                "The same data key under the newest version, with the same expiry",
                rewrapped,
            ),
        ),
        ("RewrapAnswers", answers(&["RewrapAnswer"])),
    ]
}

fn shreds() -> Vec<Named> {
    let forgotten = object(
        "How far a request to forget is. A receipt and destroyed_at stand there from its end on, the opening where \
         the caller named the conversation",
        &["id", "state", "accepted_at", "leases_end_at"],
        json!({ "id": uuid("The request's"), "state": word("How far it is", &["accepted", "destroyed"]),
            "accepted_at": time("From then on it is not given up, whatever happens"),
            "destroyed_at": time("From then on no wrapped key that it was about opens, from whatever copy"),
            "leases_end_at": time("By then every cache_until that was given out before has passed"),
            "receipt": reference("Receipt"), "opening": reference("Opening") }),
    );
    let waits = json!({ "id": uuid("The request's"), "state": word("It waits", &["approval_required"]),
        "approval": uuid("What it waits for") });
    let example = json!({ "conversation": "room 1", "id": "01932c7a-5c1e-7b3a-9d52-6f1f4c8e2a10" });
    let mut across = build::schema::<ShredAcross<'_>>();
    across["properties"]["keyspaces"]["items"]["pattern"] = build::KEYSPACE.into();
    let mut across_item = build::schema::<ShredAcrossItem<'_>>();
    across_item["properties"]["keyspace"]["pattern"] = build::KEYSPACE.into();
    for (schema, member) in [
        (&mut across, "conversation"),
        (&mut across_item, "conversation"),
    ] {
        schema["properties"][member]["pattern"] = build::NO_CONTROLS.into();
    }
    vec![
        (
            "Shred",
            with_example(build::schema::<ShredItem<'_>>(), example),
        ),
        ("ShredBatch", batch("Shred")),
        ("ForgetAnswer", forgotten),
        (
            "WaitingAnswer",
            whole(
                "A request to forget that waits for a second operator",
                waits,
            ),
        ),
        ("ShredAnswers", answers(&["ForgetAnswer", "WaitingAnswer"])),
        ("ShredAcross", across),
        ("ShredAcrossItem", across_item),
    ]
}

fn approvals() -> Vec<Named> {
    let mut approval = build::schema::<ApprovalView>();
    let states = [
        "approval_required",
        "approved",
        "expired",
        "withdrawn",
        "void",
    ];
    build::words(&mut approval, "state", &states);
    let kinds = [
        "shred",
        "keyspace_erase",
        "version_drop",
        "minimum_version",
        "keyspace_settings",
        "clock_confirmation",
        "hsm_move",
    ];
    build::words(&mut approval, "kind", &kinds);
    build::words(
        &mut approval,
        "why_void",
        &["keyspace_gone", "asker_gone", "outdated"],
    );
    // Makes a member optional. It is absent or has a value, and is never null.
    for name in ["settings", "settings_before"] {
        approval["properties"][name] = reference("SettingsView");
    }
    let mut approve_many = build::schema::<ApproveManyBody>();
    approve_many["properties"]["ids"]["items"]["format"] = "uuid".into();
    // The schema with more members. It is written as one object, because generators do not agree on
    // allOf.
    let mut required = approval.clone();
    required["description"] = "The call waits for a second operator".into();
    let answer = json!({ "oneOf": [reference("ForgetAnswer"), reference("WaitingAnswer"), reference("ItemError")] });
    for (name, schema, must) in [
        (
            "code",
            word("Always the same", &["approval_required"]),
            true,
        ),
        (
            "requests",
            array(
                "The requests that wait, to ask for when they are approved",
                uuid("A request's"),
            ),
            true,
        ),
        (
            "items",
            array("Of a batch: what became of each item, in order", answer),
            false,
        ),
    ] {
        required["properties"][name] = schema;
        if let (true, Some(names)) = (must, required["required"].as_array_mut()) {
            names.push(name.into());
        }
    }
    let list = object(
        "A page of what waits for a second operator",
        &["approvals"],
        json!({ "approvals": array("Oldest first", reference("Approval")),
            "next": uuid("For after of the next page; absent on the last") }),
    );
    vec![
        ("Approval", approval),
        ("Approvals", list),
        ("ApprovalRequired", required),
        ("SettingsView", build::schema::<SettingsView>()),
        ("ApproveMany", approve_many),
        (
            "ApproveAnswers",
            answers(&[
                "ForgetAnswer",
                "ShredAnswers",
                "Keyspace",
                "ClockConfirmation",
                "HsmMove",
            ]),
        ),
    ]
}

fn keyspaces() -> Vec<Named> {
    let list = object(
        "A page of keyspaces",
        &["keyspaces"],
        json!({ "keyspaces": array("By name", reference("Keyspace")),
            "next": text("For after of the next page; absent on the last") }),
    );
    let mut put = build::schema::<PutBody>();
    put["properties"]["retentions"]["items"]["pattern"] = "^[0-9]+(ms|s|m|h|d)$".into();
    let example =
        json!({ "retention": "72h", "granularity": "1h", "rotation": "30d", "cache_ttl": "5m" });
    vec![
        ("PutKeyspace", with_example(put, example)),
        ("Keyspace", build::schema::<KeyspaceView>()),
        ("VersionView", build::flat::<VersionView, UsesView>()),
        ("Keyspaces", list),
    ]
}

fn deployment() -> Vec<Named> {
    let rotation = json!({ "sequence": number("Batches so far", 0) });
    let confirmation = json!({
        "was": word("Why the clock was doubted; trusted where it was not", &["ahead", "behind", "rebooted", "trusted"]),
        "now": time("The service's time from now on"),
        "wall_clock": time("The wall clock, which the service's time never runs behind") });
    let expiry = json!({ "expired_at": time("When the bucket expired"),
        "destroyed_at": time("When its key was destroyed in the HSM"), "receipt": reference("Receipt") });
    let expiries = object(
        "A page of receipts of expired buckets",
        &["expiries"],
        json!({ "expiries": array("Oldest first", reference("Expiry")),
            "next": number("For after of the next page, in seconds since the Unix epoch; absent on the last", 0) }),
    );
    let device = object(
        "An HSM of the configuration",
        &["module", "token"],
        json!({ "module": text("Path of the PKCS#11 module"), "token": text("The token's label"),
            "serial": text("The token's serial number, where the configuration names it"),
            "slot": number("Its slot, where the configuration names it", 0) }),
    );
    let hsm_move = object(
        "How far a move to another HSM is",
        &["state", "from", "buckets", "moved_buckets"],
        json!({ "state": word("How far it is", &["unconfigured", "ready", "moving", "moved"]),
            "from": reference("HsmDevice"), "to": reference("HsmDevice"),
            "buckets": number("Live buckets", 0), "moved_buckets": number("Those of them that have moved", 0),
            "trouble": text("Why it does not go on, until it does") }),
    );
    let mut key = build::schema::<VerificationKeyView>();
    build::words(&mut key, "purpose", &["receipt", "checkpoint"]);
    build::words(&mut key, "algorithm", &["Ed25519"]);
    let keys = json!({ "keys": array("Each behind the one that it took over from", reference("VerificationKey")) });
    let document =
        json!({ "type": "object", "description": "OpenAPI 3.1", "additionalProperties": true });
    vec![
        ("Rotation", whole("The root was rotated", rotation)),
        (
            "ClockConfirmation",
            whole("The wall clock is believed", confirmation),
        ),
        ("Expiry", whole("An expired bucket", expiry)),
        ("Expiries", expiries),
        ("HsmDevice", device),
        ("HsmMove", hsm_move),
        ("VerificationKey", key),
        (
            "VerificationKeys",
            whole("Public keys of receipts and checkpoints", keys),
        ),
        ("Document", document),
    ]
}

fn status() -> Vec<Named> {
    let mut status = build::schema::<StatusAnswer>();
    let clock_states = ["trusted", "ahead", "behind", "rebooted"];
    build::words(&mut status, "clock_state", &clock_states);
    vec![
        ("Status", status),
        ("HsmDeviceStatus", build::schema::<HsmDeviceStatus>()),
        ("NodeStatus", build::schema::<NodeStatus>()),
        ("KeyspaceStatus", build::schema::<KeyspaceStatus>()),
        ("ClientUses", build::flat::<ClientUses, UsesView>()),
        ("BucketsStatus", build::schema::<BucketsStatus>()),
        ("KeyVersionStatus", build::schema::<KeyVersionStatus>()),
    ]
}

/// The schema of a batch of such items.
fn batch(item: &str) -> Value {
    let items = json!({ "type": "array", "description": "Answered in this order", "minItems": 1, "maxItems": 1000,
        "items": reference(item) });
    let mut batch = whole("Many of them in one call", json!({ "items": items }));
    batch["additionalProperties"] = false.into();
    batch
}

/// The schema of the answer of a batch. Each item is one of these, or an error.
fn answers(each: &[&str]) -> Value {
    let mut each: Vec<_> = each.iter().map(|name| reference(name)).collect();
    each.push(reference("ItemError"));
    let items = array(
        "In the order of the items asked for",
        json!({ "oneOf": each }),
    );
    whole("The answer of a batch", json!({ "items": items }))
}

fn with_example(mut schema: Value, example: Value) -> Value {
    schema["examples"] = json!([example]);
    schema
}
