//! The operations by path.

use serde_json::{Value, json};

use super::operation::Described;
use super::reference;
use crate::http::problem::Code;

/// An operation under its path and method.
pub(super) type Placed = (&'static str, &'static str, Described);

/// All of them.
pub(super) fn operations() -> Vec<Placed> {
    let keys = "/v1/keyspaces/{keyspace}/data-keys";
    let keyspace = "/v1/keyspaces/{keyspace}";
    vec![
        (keys, "post", issue()),
        (
            "/v1/keyspaces/{keyspace}/data-keys/unwrap",
            "post",
            unwrap(),
        ),
        (
            "/v1/keyspaces/{keyspace}/data-keys/rewrap",
            "post",
            rewrap(),
        ),
        ("/v1/keyspaces/{keyspace}/shreds", "post", shred()),
        ("/v1/shreds", "post", shred_across()),
        ("/v1/keyspaces/{keyspace}/shreds/{id}", "get", show_shred()),
        (
            "/v1/keyspaces/{keyspace}/versions",
            "post",
            rotate_keyspace(),
        ),
        (
            "/v1/keyspaces/{keyspace}/versions/{version}",
            "delete",
            drop_version(),
        ),
        ("/v1/keyspaces", "get", list_keyspaces()),
        (keyspace, "get", show_keyspace()),
        (keyspace, "put", put_keyspace()),
        (keyspace, "delete", erase_keyspace()),
        ("/v1/root/rotations", "post", rotate_root()),
        ("/v1/hsm/moves", "get", show_hsm_move()),
        ("/v1/hsm/moves", "post", move_hsm()),
        ("/v1/approvals", "get", list_approvals()),
        ("/v1/approvals", "post", approve_many()),
        ("/v1/approvals/{id}", "get", show_approval()),
        ("/v1/approvals/{id}", "post", approve()),
        ("/v1/approvals/{id}", "delete", withdraw_approval()),
        ("/v1/clock/confirmations", "post", confirm_clock()),
        ("/v1/expiries", "get", list_expiries()),
        ("/v1/status", "get", status()),
        ("/v1/verification-keys", "get", verification_keys()),
        ("/v1/openapi.json", "get", openapi()),
    ]
}

fn status() -> Described {
    Described::new("status", "looking", "What a seizure now would find").answers(200, "Status")
}

fn verification_keys() -> Described {
    let summary = "Public keys of receipts and checkpoints";
    Described::new("verification_keys", "looking", summary).answers(200, "VerificationKeys")
}

fn openapi() -> Described {
    Described::new("openapi", "looking", "This document").answers(200, "Document")
}

fn issue() -> Described {
    Described::new("issue", "data keys", "A new data key")
        .keyspace()
        .body(items("Issue"))
        .answers(201, "IssueAnswer")
        .answers(200, "IssueAnswers")
        .refuses(&[Code::Conflict, Code::Shredded, Code::Expired])
        .refuses(&[Code::QuotaExceeded, Code::HsmUnavailable])
        .refuses(&[Code::StoreUnavailable, Code::ClockSuspect])
}

fn unwrap() -> Described {
    Described::new("unwrap", "data keys", "The data key of a wrapped key")
        .keyspace()
        .body(items("Unwrap"))
        .answers(200, "UnwrapAnswer")
        .answers(200, "UnwrapAnswers")
        .refuses(&[Code::InvalidWrappedKey, Code::Shredded, Code::Expired])
        .refuses(&[Code::VersionRetired, Code::QuotaExceeded])
        .refuses(&[Code::StoreUnavailable, Code::ClockSuspect])
}

fn rewrap() -> Described {
    let summary = "The same data key under the newest version, same expiry";
    Described::new("rewrap", "data keys", summary)
        .keyspace()
        .body(items("Rewrap"))
        .answers(200, "RewrapAnswer")
        .answers(200, "RewrapAnswers")
        .refuses(&[Code::InvalidWrappedKey, Code::Conflict])
        .refuses(&[Code::Shredded, Code::Expired, Code::VersionRetired])
        .refuses(&[Code::QuotaExceeded, Code::StoreUnavailable])
        .refuses(&[Code::ClockSuspect])
}

/// Of what is gone for good.
fn forgets(described: Described) -> Described {
    described
        .prefer()
        .answers(200, "ForgetAnswer")
        .answers(202, "ForgetAnswer")
        .answers(202, "ApprovalRequired")
        .refuses(&[Code::Conflict, Code::TooManyApprovals])
        .refuses(&[Code::StoreUnavailable])
}

fn shred() -> Described {
    let described = Described::new(
        "shred",
        "forgetting",
        "All keys of a conversation, gone for good",
    )
    .keyspace()
    .body(items("Shred"))
    .answers(200, "ShredAnswers")
    .refuses(&[Code::QuotaExceeded]);
    forgets(described)
}

fn shred_across() -> Described {
    let summary = "Conversations of several keyspaces, gone for good; all of them granted, or nothing is done";
    Described::new("shred_across", "forgetting", summary)
        .body(reference("ShredAcross"))
        .prefer()
        .answers(200, "ShredAnswers")
        .refuses(&[Code::UnknownKeyspace, Code::QuotaExceeded])
        .refuses(&[Code::StoreUnavailable])
}

fn drop_version() -> Described {
    let number = json!({ "type": "integer", "minimum": 1, "maximum": u32::MAX });
    let summary = "All keys of an old version, gone for good";
    let described = Described::new("drop_version", "forgetting", summary)
        .keyspace()
        .path("version", "The key version's number", number)
        .query(
            "id",
            "The caller's: sent again, it returns the first result",
            uuid(),
        )
        .query("reason", "Why, in at most 256 characters", reason())
        .refuses(&[Code::NotFound]);
    forgets(described)
}

fn erase_keyspace() -> Described {
    let described = Described::new(
        "erase_keyspace",
        "forgetting",
        "All of a keyspace, gone for good",
    )
    .keyspace()
    .query(
        "id",
        "The caller's: sent again, it returns the first result",
        uuid(),
    )
    .query("reason", "Why, in at most 256 characters", reason());
    forgets(described)
}

fn show_shred() -> Described {
    Described::new("show_shred", "forgetting", "How far a request to forget is")
        .keyspace()
        .path("id", "The request's", uuid())
        .answers(200, "ForgetAnswer")
        .answers(200, "WaitingAnswer")
        .refuses(&[Code::NotFound, Code::StoreUnavailable])
}

fn rotate_keyspace() -> Described {
    Described::new(
        "rotate_keyspace",
        "keyspaces",
        "New issues use a new key version",
    )
    .keyspace()
    .answers(201, "Keyspace")
    .refuses(&[Code::Conflict, Code::TooManyBuckets])
    .refuses(&[Code::HsmUnavailable, Code::StoreUnavailable])
}

fn list_keyspaces() -> Described {
    Described::new("list_keyspaces", "keyspaces", "Keyspaces by name")
        .pages(json!({ "type": "string" }))
        .answers(200, "Keyspaces")
}

fn show_keyspace() -> Described {
    Described::new(
        "show_keyspace",
        "keyspaces",
        "Settings, versions, live buckets",
    )
    .keyspace()
    .answers(200, "Keyspace")
}

fn put_keyspace() -> Described {
    Described::new(
        "put_keyspace",
        "keyspaces",
        "Makes a keyspace or replaces its settings",
    )
    .keyspace()
    .body(reference("PutKeyspace"))
    .answers(200, "Keyspace")
    .answers(201, "Keyspace")
    .answers(202, "ApprovalRequired")
    .refuses(&[Code::Conflict, Code::TooManyBuckets, Code::TooManyApprovals])
    .refuses(&[Code::HsmUnavailable, Code::StoreUnavailable])
}

fn rotate_root() -> Described {
    Described::new("rotate_root", "deployment", "A new root in the HSM, now")
        .answers(200, "Rotation")
        .refuses(&[Code::TooManyBuckets])
        .refuses(&[Code::HsmUnavailable, Code::StoreUnavailable])
}

fn show_hsm_move() -> Described {
    Described::new(
        "show_hsm_move",
        "deployment",
        "How far the move to another HSM is",
    )
    .answers(200, "HsmMove")
}

fn move_hsm() -> Described {
    let summary = "Everything moves to the HSM of [hsm_next]; answered when that has begun";
    Described::new("move_hsm", "deployment", summary)
        .answers(202, "HsmMove")
        .answers(202, "ApprovalRequired")
        .refuses(&[Code::Conflict, Code::TooManyBuckets, Code::TooManyApprovals])
        .refuses(&[Code::HsmUnavailable, Code::StoreUnavailable])
}

fn list_approvals() -> Described {
    let summary = "What waits for a second operator, oldest first";
    Described::new("list_approvals", "approvals", summary)
        .pages(uuid())
        .answers(200, "Approvals")
        .refuses(&[Code::StoreUnavailable])
}

fn show_approval() -> Described {
    let summary = "How far it is; to operators and to who asked";
    Described::new("show_approval", "approvals", summary)
        .path("id", "The approval's", uuid())
        .answers(200, "Approval")
        .refuses(&[Code::NotFound, Code::StoreUnavailable])
}

fn approve() -> Described {
    let summary = "A second operator approves; answered as the call that asked would have been";
    Described::new("approve", "approvals", summary)
        .path("id", "The approval's", uuid())
        .prefer()
        .answers(200, "ForgetAnswer")
        .answers(200, "ShredAnswers")
        .answers(200, "Keyspace")
        .answers(200, "ClockConfirmation")
        .answers(202, "ForgetAnswer")
        .answers(202, "HsmMove")
        .refuses(&[Code::UnknownKeyspace, Code::NotFound, Code::Conflict])
        .refuses(&[Code::TooManyBuckets, Code::HsmUnavailable])
        .refuses(&[Code::StoreUnavailable])
}

fn approve_many() -> Described {
    let summary = "A second operator approves several; each is answered as by itself, in order";
    Described::new("approve_many", "approvals", summary)
        .body(reference("ApproveMany"))
        .prefer()
        .answers(200, "ApproveAnswers")
        .refuses(&[Code::StoreUnavailable])
}

fn withdraw_approval() -> Described {
    let summary = "What waits is taken back, by who asked or by an operator";
    Described::new("withdraw_approval", "approvals", summary)
        .path("id", "The approval's", uuid())
        .answers(200, "Approval")
        .refuses(&[Code::NotFound, Code::Conflict])
        .refuses(&[Code::StoreUnavailable])
}

fn confirm_clock() -> Described {
    let summary = "The wall clock is right, though it jumped";
    Described::new("confirm_clock", "deployment", summary)
        .answers(200, "ClockConfirmation")
        .answers(202, "ApprovalRequired")
        .refuses(&[Code::Conflict, Code::TooManyApprovals])
        .refuses(&[Code::HsmUnavailable, Code::StoreUnavailable])
}

fn list_expiries() -> Described {
    let after = json!({ "type": "integer", "minimum": 0, "maximum": i64::MAX });
    let summary = "Receipts of expired buckets, oldest first";
    Described::new("list_expiries", "forgetting", summary)
        .pages(after)
        .answers(200, "Expiries")
        .refuses(&[Code::StoreUnavailable])
}

fn reason() -> Value {
    json!({ "type": "string", "maxLength": 256 })
}

fn uuid() -> Value {
    // The format alone lets the spelling without hyphens through.
    json!({ "type": "string", "format": "uuid", "pattern": "^[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}$" })
}

/// One, or a batch.
fn items(name: &str) -> Value {
    json!({ "oneOf": [reference(name), reference(&format!("{name}Batch"))] })
}
