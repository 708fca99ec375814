//! What a receipt says, once it is known to be true.

use lethe_core::receipt::{Accepted, Item, Method, Opening, Receipt};
use serde::Serialize;
use serde_json::{Value, json};

use crate::http::Rfc3339;

/// One receipt and what became of its check.
pub(super) enum Report {
    Valid(Box<Valid>),
    Invalid(String),
}

pub(super) struct Valid {
    pub(super) receipt: Receipt,
    /// The opening of the receipt, if the file or `--opening` has it.
    pub(super) opening: Option<Opening>,
}

impl Report {
    pub(super) fn json(&self) -> Value {
        match self {
            Self::Valid(valid) => valid.json(),
            Self::Invalid(why) => json!({ "valid": false, "error": why }),
        }
    }

    /// A block of lines for people.
    pub(super) fn text(&self, number: usize) -> String {
        match self {
            Self::Valid(valid) => format!("receipt {number}: valid\n{}", valid.text()),
            Self::Invalid(why) => format!("receipt {number}: NOT VALID: {why}"),
        }
    }
}

#[derive(Serialize)]
struct Key {
    version: u32,
    generation: u16,
}

impl Valid {
    fn json(&self) -> Value {
        let Receipt { facts, item, .. } = &self.receipt;
        let ids: Vec<_> = facts.destroyed.iter().map(ToString::to_string).collect();
        let mut json = json!({
            "valid": true,
            "kind": kind(item),
            "destroyed_at": Rfc3339(facts.destroyed_at),
            "method": method(facts.method),
            "destroyed": ids,
            "deployment": facts.deployment.to_string(),
            "sequence": facts.sequence,
            "batch": { "size": self.receipt.size, "index": self.receipt.index },
            "signing_key": facts.signing_key.to_string(),
        });
        if let Some(accepted) = accepted(item) {
            json["id"] = json!(accepted.id.to_string());
            json["keyspace"] = json!(accepted.keyspace.to_string());
            json["accepted_at"] = json!(Rfc3339(accepted.accepted_at));
            json["leases_end_at"] = json!(Rfc3339(accepted.leases_end_at));
        }
        match item {
            Item::VersionDrop { version, .. } => json["version"] = json!(version.number()),
            Item::BucketExpiry { key, expiry } => {
                json["key"] = json!(key.to_string());
                json["expired_at"] = json!(Rfc3339(expiry.instant()));
            }
            Item::Shred { .. } | Item::KeyspaceErase { .. } => {}
        }
        if let Some(opening) = &self.opening {
            json["conversation"] = json!(opening.conversation.as_str());
            json["keys"] = json!(keys(opening));
        }
        json
    }

    fn text(&self) -> String {
        let Receipt { facts, item, .. } = &self.receipt;
        let mut lines = vec![("what", what(item))];
        if let Item::Shred { .. } = item {
            lines.push(("conversation", self.conversation()));
        }
        lines.push(("destroyed", Rfc3339(facts.destroyed_at).to_string()));
        if let Some(accepted) = accepted(item) {
            lines.extend([
                ("accepted", Rfc3339(accepted.accepted_at).to_string()),
                ("leases end", Rfc3339(accepted.leases_end_at).to_string()),
                ("keyspace id", accepted.keyspace.to_string()),
                ("request", accepted.id.to_string()),
            ]);
        }
        lines.push(("method", self.method()));
        if facts.method == Method::RootsDestroyed {
            let (place, size) = (u64::from(self.receipt.index) + 1, self.receipt.size);
            let text = format!("{}, item {place} of {size}", facts.sequence);
            lines.push(("batch", text));
        }
        lines.extend([
            ("deployment", facts.deployment.to_string()),
            ("signed by", facts.signing_key.to_string()),
        ]);
        let lines = lines
            .iter()
            .map(|(name, value)| format!("  {name:<13} {value}"));
        lines.collect::<Vec<_>>().join("\n")
    }

    fn conversation(&self) -> String {
        let Some(opening) = &self.opening else {
            return "only the opening says it, and it is not here".into();
        };
        let keys = keys(opening);
        let keys = keys
            .iter()
            .map(|key| format!("{}.{}", key.version, key.generation));
        let keys = keys.collect::<Vec<_>>().join(", ");
        format!(
            "{:?}, version.generation {keys}",
            opening.conversation.as_str()
        )
    }

    fn method(&self) -> String {
        let count = self.receipt.facts.destroyed.len();
        let name = method(self.receipt.facts.method);
        let keys = if count == 1 { "key" } else { "keys" };
        format!("{name}, {count} {keys} in the HSM destroyed")
    }
}

fn keys(opening: &Opening) -> Vec<Key> {
    let keys = opening.keys.iter().map(|key| Key {
        version: key.version.number(),
        generation: key.generation.number(),
    });
    keys.collect()
}

/// As in the receipt.
const fn kind(item: &Item) -> &'static str {
    match item {
        Item::Shred { .. } => "shred",
        Item::KeyspaceErase { .. } => "keyspace_erase",
        Item::VersionDrop { .. } => "version_drop",
        Item::BucketExpiry { .. } => "bucket_expiry",
    }
}

fn what(item: &Item) -> String {
    match item {
        Item::Shred { .. } => "the keys of a conversation".into(),
        Item::KeyspaceErase { .. } => "a keyspace with all its key versions".into(),
        Item::VersionDrop { version, .. } => format!("key version {}", version.number()),
        Item::BucketExpiry { key, expiry } => {
            let expired_at = Rfc3339(expiry.instant());
            format!("all keys that expired at {expired_at}, with HSM key {key}")
        }
    }
}

/// As in the receipt.
const fn method(method: Method) -> &'static str {
    match method {
        Method::RootsDestroyed => "hsm-roots-destroyed",
        Method::BucketKeyDestroyed => "hsm-bucket-key-destroyed",
    }
}

const fn accepted(item: &Item) -> Option<&Accepted> {
    match item {
        Item::Shred { accepted, .. }
        | Item::KeyspaceErase { accepted }
        | Item::VersionDrop { accepted, .. } => Some(accepted),
        Item::BucketExpiry { .. } => None,
    }
}
