//! Messages, sealed and opened with data keys that are kept only while their leases last.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use jiff::Timestamp;

use crate::cache::{LeaseCache, Leased};
use crate::calls::data_keys::{IssuedKey, UnwrapRequest, UnwrappedKey};
use crate::clock::Clock;
use crate::data_key::DataKey;
use crate::envelope::{self, Context, Envelope, EnvelopeError, MESSAGES_PER_DATA_KEY};
use crate::error::{Error, Problem};
use crate::names::{Conversation, KeyspaceName, Retention, WrappedKey};
use crate::source::KeySource;

/// How often keys whose lease has ended are wiped, used or not.
const SWEEP: Duration = Duration::from_secs(1);
/// Tries with a new key: a key may end between its issue and its use. If that happens twice, the clock
/// is wrong.
const SEAL_ATTEMPTS: u32 = 3;

/// How many data keys are kept. 0 keeps none: every message then asks the service.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CacheLimits {
    /// Number of data keys kept for sealing, one for each conversation.
    pub sealing: usize,
    /// Number of data keys kept for opening.
    pub opening: usize,
}

impl Default for CacheLimits {
    fn default() -> Self {
        Self {
            sealing: 10_000,
            opening: 50_000,
        }
    }
}

/// A message to open.
#[derive(Debug, Clone)]
pub struct Sealed {
    /// The keyspace, conversation and id of the message.
    pub context: Context,
    /// The encrypted message, as it is stored.
    pub envelope: Envelope,
}

/// Why a message is not sealed or opened.
#[derive(Debug, Clone, thiserror::Error)]
pub enum MessageError {
    /// There is no key: [`crate::ErrorCode::Expired`] and [`crate::ErrorCode::Shredded`] mean that
    /// nobody will ever read it again.
    #[error(transparent)]
    Key(#[from] Error),
    /// The key could be unwrapped, but the message does not open with it.
    #[error(transparent)]
    Envelope(#[from] EnvelopeError),
}

/// Seals and opens messages.
pub struct Messages<S> {
    source: S,
    clock: Arc<dyn Clock>,
    caches: Arc<Caches>,
}

type Row = (KeyspaceName, Conversation, Option<Retention>);
/// The key of the cache has the conversation, because a kept key must not open for another one what the
/// service would refuse.
type Cell = (KeyspaceName, Conversation, WrappedKey);

struct Caches {
    sealing: LeaseCache<Row, SealingLease>,
    opening: LeaseCache<Cell, OpeningLease>,
}

struct SealingLease {
    key: Arc<DataKey>,
    wrapped_key: WrappedKey,
    use_until: Timestamp,
    cache_until: Timestamp,
    messages_left: AtomicU32,
}

struct OpeningLease {
    key: Arc<DataKey>,
    cache_until: Timestamp,
    expires_at: Timestamp,
}

impl Leased for SealingLease {
    fn usable(&self, now: Timestamp) -> bool {
        now < self.cache_until
            && now < self.use_until
            && self.messages_left.load(Ordering::Relaxed) > 0
    }
}

impl Leased for OpeningLease {
    fn usable(&self, now: Timestamp) -> bool {
        now < self.cache_until && now < self.expires_at
    }
}

impl SealingLease {
    fn new(issued: IssuedKey) -> (Self, OpeningLease) {
        let key = Arc::new(issued.data_key);
        let opening = OpeningLease {
            key: Arc::clone(&key),
            cache_until: issued.cache_until,
            expires_at: issued.expires_at,
        };
        let sealing = Self {
            key,
            wrapped_key: issued.wrapped_key,
            use_until: issued.use_until.min(issued.expires_at),
            cache_until: issued.cache_until,
            messages_left: AtomicU32::new(MESSAGES_PER_DATA_KEY),
        };
        (sealing, opening)
    }

    /// Takes the right to seal one message. A key that came just now may be used once even if it
    /// may not be kept at all, so `cache_until` does not count here.
    fn take(&self, now: Timestamp) -> bool {
        let less = |left: u32| left.checked_sub(1);
        now < self.use_until
            && self
                .messages_left
                .fetch_update(Ordering::Relaxed, Ordering::Relaxed, less)
                .is_ok()
    }
}

impl From<UnwrappedKey> for OpeningLease {
    fn from(unwrapped: UnwrappedKey) -> Self {
        Self {
            key: Arc::new(unwrapped.data_key),
            cache_until: unwrapped.cache_until,
            expires_at: unwrapped.expires_at,
        }
    }
}

impl<S: KeySource> Messages<S> {
    /// With the clock of its source. Inside a Tokio runtime, keys whose lease has ended are wiped
    /// every second; outside call [`Self::purge`].
    #[must_use]
    pub fn new(source: S, limits: CacheLimits) -> Self {
        let clock = source.clock();
        Self::with_clock(source, limits, clock)
    }

    /// With another clock.
    #[must_use]
    pub fn with_clock(source: S, limits: CacheLimits, clock: Arc<dyn Clock>) -> Self {
        let caches = Arc::new(Caches {
            sealing: LeaseCache::new(limits.sealing),
            opening: LeaseCache::new(limits.opening),
        });
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            runtime.spawn(sweep(Arc::downgrade(&caches), Arc::clone(&clock)));
        }
        Self {
            source,
            clock,
            caches,
        }
    }

    /// The client that is used.
    pub const fn source(&self) -> &S {
        &self.source
    }

    /// Seals a message for its place.
    ///
    /// # Errors
    /// See [`MessageError`].
    pub async fn seal(
        &self,
        context: &Context,
        plaintext: &[u8],
    ) -> Result<Envelope, MessageError> {
        self.seal_for(context, None, plaintext).await
    }

    /// Seals a message that lives for a shorter retention, one that the keyspace offers.
    ///
    /// # Errors
    /// See [`MessageError`].
    pub async fn seal_for(
        &self,
        context: &Context,
        retention: Option<&Retention>,
        plaintext: &[u8],
    ) -> Result<Envelope, MessageError> {
        let row = (
            context.keyspace.clone(),
            context.conversation.clone(),
            retention.cloned(),
        );
        for _ in 0..SEAL_ATTEMPTS {
            let now = self.clock.now();
            let sealing = &self.caches.sealing;
            let lease = sealing.get_or_fetch(&row, now, self.issue(&row)).await?;
            if lease.take(self.clock.now()) {
                return Ok(Envelope {
                    wrapped_key: lease.wrapped_key.clone(),
                    bytes: envelope::seal(&lease.key, context, plaintext)?,
                });
            }
            sealing.discard(&row, &lease);
        }
        Err(Error::unexpected("new data keys have already ended; compare the clocks").into())
    }

    /// Opens a message.
    ///
    /// # Errors
    /// See [`MessageError`].
    pub async fn open(
        &self,
        context: &Context,
        envelope: &Envelope,
    ) -> Result<Vec<u8>, MessageError> {
        let cell = cell(context, envelope);
        let fetch = async {
            let request = UnwrapRequest::new(cell.1.clone(), cell.2.clone());
            let unwrapped = self.source.unwrap(&cell.0, &request).await?;
            Ok(OpeningLease::from(unwrapped))
        };
        let now = self.clock.now();
        let lease = self.caches.opening.get_or_fetch(&cell, now, fetch).await?;
        Ok(envelope::open(&lease.key, context, &envelope.bytes)?)
    }

    /// Opens many messages, in order, with one call for each keyspace and thousand data keys.
    ///
    /// # Errors
    /// Of the whole call; one message's failure stands in its place.
    pub async fn open_batch(
        &self,
        messages: &[Sealed],
    ) -> Result<Vec<Result<Vec<u8>, MessageError>>, Error> {
        let keys = self.keys(messages).await?;
        let open = |message: &Sealed| {
            let key = keys[&cell(&message.context, &message.envelope)].as_ref();
            let key = key.map_err(|problem| Error::Service(problem.clone()))?;
            Ok(envelope::open(
                key,
                &message.context,
                &message.envelope.bytes,
            )?)
        };
        Ok(messages.iter().map(open).collect())
    }

    /// Drops and wipes the keys of a conversation, also those that are being fetched. Call it when the
    /// conversation was shredded.
    pub fn forget(&self, keyspace: &KeyspaceName, conversation: &Conversation) {
        let row =
            |one: &KeyspaceName, other: &Conversation| one == keyspace && other == conversation;
        self.caches.sealing.forget(|key| row(&key.0, &key.1));
        self.caches.opening.forget(|key| row(&key.0, &key.1));
    }

    /// Drops and wipes all keys whose lease has ended.
    pub fn purge(&self) {
        self.caches.purge(self.clock.now());
    }

    async fn issue(&self, row: &Row) -> Result<SealingLease, Error> {
        let began = self.caches.opening.epoch();
        let issued = self.source.issue(&row.0, &row.1, row.2.as_ref()).await?;
        let (sealing, opening) = SealingLease::new(issued);
        let cell = (row.0.clone(), row.1.clone(), sealing.wrapped_key.clone());
        self.caches.opening.insert(cell, opening, began);
        Ok(sealing)
    }

    /// The data keys of messages, each asked for once.
    async fn keys(
        &self,
        messages: &[Sealed],
    ) -> Result<HashMap<Cell, Result<Arc<DataKey>, Problem>>, Error> {
        let now = self.clock.now();
        let began = self.caches.opening.epoch();
        let mut keys = HashMap::new();
        let mut missing: BTreeMap<KeyspaceName, Vec<UnwrapRequest>> = BTreeMap::new();
        let mut asked = std::collections::HashSet::new();
        for message in messages {
            let cell = cell(&message.context, &message.envelope);
            if !asked.insert(cell.clone()) {
                continue;
            }
            match self.caches.opening.get(&cell, now) {
                Some(lease) => drop(keys.insert(cell, Ok(Arc::clone(&lease.key)))),
                None => missing
                    .entry(cell.0)
                    .or_default()
                    .push(UnwrapRequest::new(cell.1, cell.2)),
            }
        }
        for (keyspace, requests) in missing {
            let results = self.source.unwrap_batch(&keyspace, &requests).await?;
            for (request, result) in requests.into_iter().zip(results) {
                let cell = (keyspace.clone(), request.conversation, request.wrapped_key);
                let key = result.map(|unwrapped| {
                    let lease = OpeningLease::from(unwrapped);
                    let key = Arc::clone(&lease.key);
                    self.caches.opening.insert(cell.clone(), lease, began);
                    key
                });
                keys.insert(cell, key);
            }
        }
        Ok(keys)
    }
}

impl Caches {
    fn purge(&self, now: Timestamp) {
        self.sealing.purge(now);
        self.opening.purge(now);
    }
}

fn cell(context: &Context, envelope: &Envelope) -> Cell {
    (
        context.keyspace.clone(),
        context.conversation.clone(),
        envelope.wrapped_key.clone(),
    )
}

/// Ends with the last owner of the caches.
async fn sweep(caches: std::sync::Weak<Caches>, clock: Arc<dyn Clock>) {
    let mut ticks = tokio::time::interval(SWEEP);
    loop {
        ticks.tick().await;
        let Some(caches) = caches.upgrade() else {
            return;
        };
        caches.purge(clock.now());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    #[test]
    fn a_key_seals_so_many_messages_and_no_more() {
        let issued = IssuedKey {
            data_key: DataKey::filled::<()>(|_| Ok(())).unwrap(),
            wrapped_key: "lethe:v1:A".parse().unwrap(),
            version: 1,
            use_until: at(10),
            cache_until: at(10),
            expires_at: at(10),
        };
        let (lease, _) = SealingLease::new(issued);
        assert!((0..MESSAGES_PER_DATA_KEY).all(|_| lease.take(at(0))));
        assert!(!lease.usable(at(0)));
        assert!(!lease.take(at(0)));
    }
}
