//! What the server does: seal and keep, read and open, shred.

use std::future::Future;

use jiff::Timestamp;
use lethe_client::{
    CacheLimits, Client, Context, Error, ErrorCode, KeySource, KeyspaceName, MessageError,
    MessageId, Messages, Sealed, Shred, ShredRequest,
};

use crate::message::{Content, NewMessage, Position, Room, State, StoredMessage};
use crate::store::{Inserted, Store, StoreError};

/// What the server needs of Lethe: a [`Client`], or a stand-in for tests without network.
pub trait Keys: KeySource + Clone {
    /// See [`Client::shred`].
    fn shred(
        &self,
        keyspace: &KeyspaceName,
        request: &ShredRequest,
    ) -> impl Future<Output = Result<Shred, Error>> + Send;
}

impl Keys for Client {
    async fn shred(&self, keyspace: &KeyspaceName, request: &ShredRequest) -> Result<Shred, Error> {
        Self::shred(self, keyspace, request).await
    }
}

/// The server without its HTTP.
pub struct Chat<K> {
    store: Store,
    keyspace: KeyspaceName,
    writing: Messages<K>,
    /// Apart from [`Self::writing`], so that what one device wrote opens for another only through
    /// Lethe.
    reading: Messages<K>,
}

/// Why something was not done.
#[derive(Debug, thiserror::Error)]
pub enum ChatError {
    /// Nothing was ever said there.
    #[error("there is no such room")]
    UnknownRoom,
    /// A message of this id is there already, perhaps this very one sent again.
    #[error("the room has a message of this id")]
    Duplicate,
    /// Lethe gives no keys now.
    #[error("keys: {0}")]
    Keys(#[from] Error),
    /// The message cannot be sealed.
    #[error("seal: {0}")]
    Seal(MessageError),
    /// The database fails.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl ChatError {
    /// Whether a shred waits for a second operator of the service.
    #[must_use]
    pub fn waits_for_approval(&self) -> bool {
        let code = match self {
            Self::Keys(error) => error.code(),
            _ => None,
        };
        code == Some(&ErrorCode::ApprovalRequired)
    }
}

impl From<MessageError> for ChatError {
    fn from(error: MessageError) -> Self {
        match error {
            MessageError::Key(error) => Self::Keys(error),
            sealing @ MessageError::Envelope(_) => Self::Seal(sealing),
        }
    }
}

impl<K: Keys> Chat<K> {
    /// `writer` and `reader` may be two clients; `reading_cache` is how many data keys the reader
    /// keeps.
    #[must_use]
    pub fn new(
        store: Store,
        keyspace: KeyspaceName,
        writer: K,
        reader: K,
        reading_cache: usize,
    ) -> Self {
        let limits = CacheLimits {
            sealing: 0,
            opening: reading_cache,
        };
        let writing = CacheLimits {
            opening: 0,
            ..CacheLimits::default()
        };
        Self {
            store,
            keyspace,
            writing: Messages::new(writer, writing),
            reading: Messages::new(reader, limits),
        }
    }

    /// Seals and keeps a message.
    ///
    /// # Errors
    /// See [`ChatError`].
    pub async fn post(
        &self,
        room: &Room,
        id: MessageId,
        sent_at: Timestamp,
        content: &Content,
    ) -> Result<Position, ChatError> {
        let plaintext = serde_json::to_vec(content).map_err(|_| StoreError::Corrupt("content"))?;
        let context = self.context(room, &id);
        let envelope = self.writing.seal(&context, &plaintext).await?;
        let message = NewMessage {
            room: room.clone(),
            id,
            sent_at,
            envelope,
        };
        match self.store.insert(message).await? {
            Inserted::At(position) => Ok(position),
            Inserted::Duplicate => Err(ChatError::Duplicate),
        }
    }

    /// A room's messages behind `since`, each as far as it still opens.
    ///
    /// # Errors
    /// See [`ChatError`].
    pub async fn read(
        &self,
        room: &Room,
        since: Position,
        limit: u32,
    ) -> Result<Vec<(StoredMessage, State)>, ChatError> {
        let stored = self.store.messages(room, since, limit).await?;
        let stored = stored.ok_or(ChatError::UnknownRoom)?;
        let sealed: Vec<_> = stored
            .iter()
            .map(|message| Sealed {
                context: self.context(room, &message.id),
                envelope: message.envelope.clone(),
            })
            .collect();
        let opened = self.reading.open_batch(&sealed).await?;
        stored
            .into_iter()
            .zip(opened)
            .map(|(message, opened)| Ok((message, state(opened)?)))
            .collect()
    }

    /// Makes all that was said in a room unreadable; the room goes on.
    ///
    /// # Errors
    /// See [`ChatError`]. The wish is kept and sent again by [`Self::resume_shreds`].
    pub async fn shred(&self, room: &Room, now: Timestamp) -> Result<Shred, ChatError> {
        if !self.store.has_room(room).await? {
            return Err(ChatError::UnknownRoom);
        }
        let request = ShredRequest::new(room.clone());
        self.store.keep_shred(&request, now).await?;
        self.send_shred(&request).await
    }

    /// Sends wishes again that have no receipt: those that failed, that were only accepted, or
    /// whose answer a crash swallowed. One that Lethe has is not carried out twice.
    ///
    /// # Errors
    /// See [`ChatError`].
    pub async fn resume_shreds(&self) -> Result<usize, ChatError> {
        let open = self.store.open_shreds().await?;
        for request in &open {
            match self.send_shred(request).await {
                // It comes with the next ones again, and holds up none of them.
                Err(error) if error.waits_for_approval() => {}
                sent => drop(sent?),
            }
        }
        Ok(open.len())
    }

    async fn send_shred(&self, request: &ShredRequest) -> Result<Shred, ChatError> {
        let shred = self.writing.source().shred(&self.keyspace, request).await?;
        // Else the next message would be sealed with a key that no longer opens.
        self.writing.forget(&self.keyspace, request.conversation());
        self.reading.forget(&self.keyspace, request.conversation());
        if let Shred::Destroyed(done) = &shred {
            let receipt = done.receipt.to_string();
            self.store.finish_shred(done.id, &receipt).await?;
        }
        Ok(shred)
    }

    fn context(&self, room: &Room, id: &MessageId) -> Context {
        Context {
            keyspace: self.keyspace.clone(),
            conversation: room.clone(),
            message_id: id.clone(),
        }
    }
}

/// A refusal that is about this message is its state; any other fails the reading.
fn state(opened: Result<Vec<u8>, MessageError>) -> Result<State, Error> {
    match opened {
        Ok(plaintext) => Ok(serde_json::from_slice(&plaintext).map_or(State::Damaged, State::Open)),
        Err(MessageError::Envelope(_)) => Ok(State::Damaged),
        Err(MessageError::Key(error)) => match error.code() {
            Some(ErrorCode::Expired) => Ok(State::Expired),
            // A version that was dropped early took its rows with it, as a shred does.
            Some(ErrorCode::Shredded | ErrorCode::VersionRetired) => Ok(State::Shredded),
            Some(ErrorCode::InvalidWrappedKey) => Ok(State::Damaged),
            _ => Err(error),
        },
    }
}
