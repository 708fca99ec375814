//! `/v1/keyspaces/{ks}/data-keys`

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::batch;
use crate::client::{Client, below};
use crate::data_key::DataKey;
use crate::error::{Error, Problem};
use crate::names::{Conversation, KeyspaceName, Purpose, Retention, WrappedKey};
use crate::transport::Answer;
use crate::wire::{KeyAnswer, required};

/// A new data key and its leases.
#[derive(Debug)]
pub struct IssuedKey {
    /// The plaintext data key.
    pub data_key: DataKey,
    /// The wrapped key, to be stored beside the ciphertext.
    pub wrapped_key: WrappedKey,
    /// The key version that issued it.
    pub version: u32,
    /// Until when the key may encrypt.
    pub use_until: Timestamp,
    /// Until when the plaintext key may be kept.
    pub cache_until: Timestamp,
    /// When the key expires: from then on nobody can unwrap it.
    pub expires_at: Timestamp,
}

/// A data key that was unwrapped.
#[derive(Debug)]
pub struct UnwrappedKey {
    /// The plaintext data key.
    pub data_key: DataKey,
    /// The key version that issued it.
    pub version: u32,
    /// Until when the plaintext key may be kept.
    pub cache_until: Timestamp,
    /// When the key expires: from then on nobody can unwrap it.
    pub expires_at: Timestamp,
}

/// A data key that was wrapped again, with the same expiry.
#[derive(Debug, Clone)]
pub struct RewrappedKey {
    /// The new wrapped key. Store it in place of the old one.
    pub wrapped_key: WrappedKey,
    /// The key version of the new wrapped key: the newest.
    pub version: u32,
    /// When the key expires. A rewrap does not change it.
    pub expires_at: Timestamp,
}

/// One key to unwrap or to rewrap.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct UnwrapRequest {
    /// The conversation that the key is for.
    pub conversation: Conversation,
    /// The wrapped key.
    pub wrapped_key: WrappedKey,
    /// The purpose for the audit record. A rewrap does not use it.
    pub purpose: Option<Purpose>,
}

#[derive(Serialize)]
struct UnwrapBody<'a> {
    conversation: &'a str,
    wrapped_key: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    purpose: Option<&'a str>,
}

impl UnwrapRequest {
    /// A request without a purpose.
    #[must_use]
    pub const fn new(conversation: Conversation, wrapped_key: WrappedKey) -> Self {
        Self {
            conversation,
            wrapped_key,
            purpose: None,
        }
    }

    fn unwrap_body(&self) -> UnwrapBody<'_> {
        UnwrapBody {
            conversation: self.conversation.as_str(),
            wrapped_key: self.wrapped_key.as_str(),
            purpose: self.purpose.as_ref().map(Purpose::as_str),
        }
    }

    fn rewrap_body(&self) -> UnwrapBody<'_> {
        UnwrapBody {
            purpose: None,
            ..self.unwrap_body()
        }
    }
}

type Items<T> = Vec<Result<T, Problem>>;

impl Client {
    /// A new data key. Role: message-server.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn issue(
        &self,
        keyspace: &KeyspaceName,
        conversation: &Conversation,
    ) -> Result<IssuedKey, Error> {
        let body = json!({"conversation": conversation.as_str()});
        let answer = self.post(below(keyspace, "/data-keys"), &body).await?;
        issued(answer.parse()?, conversation)
    }

    /// A new data key whose messages live for one of the shorter retentions that the keyspace offers.
    /// Role: message-server.
    ///
    /// # Errors
    /// See [`Error`]; [`crate::ErrorCode::InvalidRequest`] where the keyspace does not offer it.
    pub async fn issue_for(
        &self,
        keyspace: &KeyspaceName,
        conversation: &Conversation,
        retention: &Retention,
    ) -> Result<IssuedKey, Error> {
        let body = json!({
            "conversation": conversation.as_str(),
            "retention": retention.as_str(),
        });
        let answer = self.post(below(keyspace, "/data-keys"), &body).await?;
        issued(answer.parse()?, conversation)
    }

    /// A new data key for each conversation, in order; any number of them.
    ///
    /// # Errors
    /// See [`Error`]; one item's refusal stands in its place.
    pub async fn issue_batch(
        &self,
        keyspace: &KeyspaceName,
        conversations: &[Conversation],
    ) -> Result<Items<IssuedKey>, Error> {
        let bodies = conversations
            .iter()
            .map(|conversation| json!({"conversation": conversation.as_str()}));
        let path = below(keyspace, "/data-keys");
        self.key_batch(path, bodies, |answer, index| {
            issued(answer, &conversations[index])
        })
        .await
    }

    /// Unwraps a wrapped key. Role: message-server.
    ///
    /// # Errors
    /// See [`Error`]; [`crate::ErrorCode::Expired`] and [`crate::ErrorCode::Shredded`] are final.
    pub async fn unwrap(
        &self,
        keyspace: &KeyspaceName,
        request: &UnwrapRequest,
    ) -> Result<UnwrappedKey, Error> {
        let path = below(keyspace, "/data-keys/unwrap");
        let answer = self.post(path, &request.unwrap_body()).await?;
        unwrapped(answer.parse()?, &request.conversation)
    }

    /// Unwraps any number of wrapped keys, in order.
    ///
    /// # Errors
    /// See [`Error`]; one item's refusal stands in its place.
    pub async fn unwrap_batch(
        &self,
        keyspace: &KeyspaceName,
        requests: &[UnwrapRequest],
    ) -> Result<Items<UnwrappedKey>, Error> {
        let bodies = requests.iter().map(UnwrapRequest::unwrap_body);
        let path = below(keyspace, "/data-keys/unwrap");
        self.key_batch(path, bodies, |answer, index| {
            unwrapped(answer, &requests[index].conversation)
        })
        .await
    }

    /// Wraps a key with the newest version. Its expiry stays. Role: message-server or operator.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn rewrap(
        &self,
        keyspace: &KeyspaceName,
        request: &UnwrapRequest,
    ) -> Result<RewrappedKey, Error> {
        let path = below(keyspace, "/data-keys/rewrap");
        let answer = self.post(path, &request.rewrap_body()).await?;
        rewrapped(answer.parse()?, &request.conversation)
    }

    /// Wraps any number of keys with the newest version, in order.
    ///
    /// # Errors
    /// See [`Error`]; one item's refusal stands in its place.
    pub async fn rewrap_batch(
        &self,
        keyspace: &KeyspaceName,
        requests: &[UnwrapRequest],
    ) -> Result<Items<RewrappedKey>, Error> {
        let bodies = requests.iter().map(UnwrapRequest::rewrap_body);
        let path = below(keyspace, "/data-keys/rewrap");
        self.key_batch(path, bodies, |answer, index| {
            rewrapped(answer, &requests[index].conversation)
        })
        .await
    }

    async fn key_batch<B: Serialize, T>(
        &self,
        path: String,
        bodies: impl IntoIterator<Item = B>,
        read: impl Fn(KeyAnswer, usize) -> Result<T, Error>,
    ) -> Result<Items<T>, Error> {
        let chunks = batch::chunks(bodies).map_err(|error| Error::unexpected(error.to_string()))?;
        let mut results = Vec::new();
        for chunk in chunks {
            let answer = self.post_bytes(path.clone(), chunk.body).await?;
            for item in items(&answer, chunk.items)? {
                let index = results.len();
                results.push(item_result(item, |item| read(item, index))?);
            }
        }
        Ok(results)
    }
}

#[derive(Deserialize)]
struct ItemsAnswer {
    items: Vec<KeyAnswer>,
}

fn items(answer: &Answer, expected: usize) -> Result<Vec<KeyAnswer>, Error> {
    let items = answer.parse::<ItemsAnswer>()?.items;
    if items.len() == expected {
        Ok(items)
    } else {
        Err(Error::unexpected(format!(
            "{} items for {expected}",
            items.len()
        )))
    }
}

/// The result of one item: its error, or the item. An item that cannot be read fails the call.
fn item_result<T>(
    mut item: KeyAnswer,
    read: impl FnOnce(KeyAnswer) -> Result<T, Error>,
) -> Result<Result<T, Problem>, Error> {
    match item.error.take() {
        Some(error) => Ok(Err(error.into())),
        None => read(item).map(Ok),
    }
}

fn issued(answer: KeyAnswer, conversation: &Conversation) -> Result<IssuedKey, Error> {
    belongs(&answer, conversation)?;
    Ok(IssuedKey {
        data_key: required(answer.data_key, "data_key")?,
        wrapped_key: wrapped_key(answer.wrapped_key)?,
        version: required(answer.version, "version")?,
        use_until: required(answer.use_until, "use_until")?,
        cache_until: required(answer.cache_until, "cache_until")?,
        expires_at: required(answer.expires_at, "expires_at")?,
    })
}

fn unwrapped(answer: KeyAnswer, conversation: &Conversation) -> Result<UnwrappedKey, Error> {
    belongs(&answer, conversation)?;
    Ok(UnwrappedKey {
        data_key: required(answer.data_key, "data_key")?,
        version: required(answer.version, "version")?,
        cache_until: required(answer.cache_until, "cache_until")?,
        expires_at: required(answer.expires_at, "expires_at")?,
    })
}

fn rewrapped(answer: KeyAnswer, conversation: &Conversation) -> Result<RewrappedKey, Error> {
    belongs(&answer, conversation)?;
    Ok(RewrappedKey {
        wrapped_key: wrapped_key(answer.wrapped_key)?,
        version: required(answer.version, "version")?,
        expires_at: required(answer.expires_at, "expires_at")?,
    })
}

/// An answer that belongs to another conversation must never be used: answers in the wrong order
/// would seal messages under foreign keys.
fn belongs(answer: &KeyAnswer, conversation: &Conversation) -> Result<(), Error> {
    if answer.conversation.as_deref() == Some(conversation.as_str()) {
        Ok(())
    } else {
        Err(Error::unexpected("it is for another conversation"))
    }
}

fn wrapped_key(text: Option<String>) -> Result<WrappedKey, Error> {
    required(text, "wrapped_key")?
        .parse()
        .map_err(|_| Error::unexpected("wrapped_key is no wrapped key"))
}
