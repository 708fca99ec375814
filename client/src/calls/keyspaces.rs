//! `/v1/keyspaces`

use serde::{Deserialize, Serialize};

use super::shreds::ShredAnswer;
use crate::client::{Client, below};
use crate::error::Error;
use crate::names::KeyspaceName;
use crate::shred::{Shred, ShredId};

/// A keyspace's policy; durations as in `72h`, `30d`, `500ms`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeyspaceSettings {
    /// How long messages live at least, such as `72h`.
    pub retention: String,
    /// Width of a bucket, such as `1h`: messages live at most so much longer.
    pub granularity: String,
    /// Age at which a key version is replaced, such as `30d`.
    pub rotation: String,
    /// How long a client may keep a plaintext data key, such as `5m`.
    pub cache_ttl: String,
    /// Shorter retentions that an issue may choose, each at least the granularity; at most 8.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub retentions: Vec<String>,
    /// The oldest key version that may still open, if it was set.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub minimum_version: Option<u32>,
}

/// A keyspace as the service shows it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Keyspace {
    /// The keyspace's name.
    pub name: String,
    /// The keyspace's settings.
    #[serde(flatten)]
    pub settings: KeyspaceSettings,
    /// What else the service shows: versions, live buckets.
    #[serde(flatten)]
    pub more: serde_json::Map<String, serde_json::Value>,
}

/// What a `PUT` did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PutKeyspace {
    /// The keyspace is new.
    Created,
    /// The keyspace existed. Its new settings count for keys issued from now on.
    Changed,
}

#[derive(Deserialize)]
struct Page {
    keyspaces: Vec<Keyspace>,
    #[serde(default)]
    next: Option<String>,
}

/// The query of an erase, or of a drop.
fn order(id: ShredId, reason: Option<&str>) -> String {
    let mut query = format!("id={id}");
    let Some(reason) = reason else { return query };
    query += "&reason=";
    for byte in reason.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' => {
                query.push(char::from(byte));
            }
            _ => query += &format!("%{byte:02X}"),
        }
    }
    query
}

impl Client {
    /// All keyspaces that this client may see, page by page.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn keyspaces(&self) -> Result<Vec<Keyspace>, Error> {
        let mut all: Vec<Keyspace> = Vec::new();
        let mut path = "/v1/keyspaces".to_owned();
        loop {
            let page: Page = self.get(path).await?.parse()?;
            all.extend(page.keyspaces);
            let Some(after) = page.next else {
                return Ok(all);
            };
            let after: KeyspaceName = after
                .parse()
                .map_err(|_| Error::unexpected("next is no keyspace name"))?;
            path = format!("/v1/keyspaces?after={}", after.as_str());
        }
    }

    /// One keyspace.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn keyspace(&self, name: &KeyspaceName) -> Result<Keyspace, Error> {
        self.get(below(name, "")).await?.parse()
    }

    /// Makes a keyspace, or changes its policy for keys issued from now on. Role: operator. The client
    /// does not repeat this call: a repetition could undo what someone else set in between.
    ///
    /// # Errors
    /// See [`Error`]. With [`ErrorCode::ApprovalRequired`](crate::ErrorCode::ApprovalRequired) raising
    /// `minimum_version` waits for a second operator.
    pub async fn put_keyspace(
        &self,
        name: &KeyspaceName,
        settings: &KeyspaceSettings,
    ) -> Result<PutKeyspace, Error> {
        let answer = self.put(below(name, ""), settings).await?;
        if answer.status == 202 {
            return Err(answer.parse::<ShredAnswer>()?.waiting()?);
        }
        Ok(match answer.status {
            201 => PutKeyspace::Created,
            _ => PutKeyspace::Changed,
        })
    }
    /// Makes a new key version, to which new keys belong from now on. Older versions only open keys.
    /// Role: operator. The client does not repeat this call: each call makes a version.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn rotate_keyspace(&self, name: &KeyspaceName) -> Result<Keyspace, Error> {
        let answer = self.order(below(name, "/versions")).await?;
        answer.parse()
    }

    /// Drops an old key version: its keys do not open any more, for anyone. Waits up to 10 s and then
    /// returns [`Shred::Accepted`]; follow it with [`Self::wait_until_destroyed`]. A call with the same
    /// id returns the first result. Role: operator.
    ///
    /// # Errors
    /// See [`Error`]. After an error that is not a refusal of the service call again with the same id:
    /// it may have been accepted. With
    /// [`ErrorCode::ApprovalRequired`](crate::ErrorCode::ApprovalRequired) it waits for a second
    /// operator.
    pub async fn drop_version(
        &self,
        name: &KeyspaceName,
        version: u32,
        id: ShredId,
        reason: Option<&str>,
    ) -> Result<Shred, Error> {
        let query = order(id, reason);
        let path = below(name, &format!("/versions/{version}?{query}"));
        self.delete(path).await?.parse::<ShredAnswer>()?.read(id)
    }

    /// Erases a keyspace: nothing that it sealed opens any more, for anyone. Answers as
    /// [`Self::drop_version`] does, also when the name is not known any more.
    /// Role: operator.
    ///
    /// # Errors
    /// As [`Self::drop_version`].
    pub async fn erase_keyspace(
        &self,
        name: &KeyspaceName,
        id: ShredId,
        reason: Option<&str>,
    ) -> Result<Shred, Error> {
        let path = below(name, &format!("?{}", order(id, reason)));
        self.delete(path).await?.parse::<ShredAnswer>()?.read(id)
    }
}
