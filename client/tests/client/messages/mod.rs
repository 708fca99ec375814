//! Messages and the leases of their keys, on a key source and a clock that the test moves.

mod keys;

use std::sync::Arc;

use lethe_client::{
    CacheLimits, Clock, Context, Conversation, Envelope, EnvelopeError, ErrorCode, MessageError,
    Messages, Retention, Sealed, Timestamp,
};

use keys::{Keys, at};

fn place(conversation: &str, id: &str) -> Context {
    Context {
        keyspace: "chat".parse().unwrap(),
        conversation: conversation.parse().unwrap(),
        message_id: id.parse().unwrap(),
    }
}

fn code(error: &MessageError) -> Option<&ErrorCode> {
    match error {
        MessageError::Key(error) => error.code(),
        MessageError::Envelope(_) => None,
    }
}

async fn sealed(messages: &Messages<Keys>, conversation: &str, id: &str) -> Sealed {
    let context = place(conversation, id);
    let envelope = messages.seal(&context, id.as_bytes()).await.unwrap();
    Sealed { context, envelope }
}

async fn open(messages: &Messages<Keys>, sealed: &Sealed) -> Result<Vec<u8>, MessageError> {
    messages.open(&sealed.context, &sealed.envelope).await
}

#[tokio::test]
async fn each_retention_has_a_data_key_of_its_own() {
    let messages = Keys::caching(10).messages();
    let short: Retention = "1m".parse().unwrap();
    let seal = async |retention| {
        let context = place("c", "1");
        let sealed = messages.seal_for(&context, retention, b"text").await;
        sealed.unwrap().wrapped_key
    };
    let (long, brief) = (seal(None).await, seal(Some(&short)).await);
    assert_ne!(long, brief);
    assert_eq!((seal(None).await, seal(Some(&short)).await), (long, brief));
    for bad in ["", "h", "1", "1w", "-1h", "1.5h", "1 h", "1hh"] {
        assert!(bad.parse::<Retention>().is_err(), "{bad}");
    }
}

#[tokio::test]
async fn one_key_seals_until_its_lease_or_its_use_ends() {
    let keys = Keys::caching(10);
    let messages = keys.messages();
    let first = sealed(&messages, "c", "1").await;
    keys.set(9);
    assert_eq!(
        sealed(&messages, "c", "2").await.envelope.wrapped_key,
        first.envelope.wrapped_key
    );
    assert_ne!(
        sealed(&messages, "d", "3").await.envelope.wrapped_key,
        first.envelope.wrapped_key
    );
    keys.set(10);
    assert_ne!(
        sealed(&messages, "c", "4").await.envelope.wrapped_key,
        first.envelope.wrapped_key
    );
    assert_eq!(keys.counts(), (3, 0));

    let keys = Keys::caching(1_000);
    let messages = keys.messages();
    sealed(&messages, "c", "1").await;
    keys.set(59);
    sealed(&messages, "c", "2").await;
    assert_eq!(keys.counts().0, 1);
    keys.set(60);
    sealed(&messages, "c", "3").await;
    assert_eq!(keys.counts().0, 2, "use_until has come");
}

#[tokio::test]
async fn a_kept_key_opens_until_its_lease_ends_and_never_past_its_expiry() {
    let keys = Keys::caching(10);
    let messages = keys.messages();
    let message = sealed(&messages, "c", "1").await;
    assert_eq!(open(&messages, &message).await.unwrap(), b"1");
    assert_eq!(keys.counts(), (1, 0), "the key that sealed it is kept");
    keys.set(10);
    open(&messages, &message).await.unwrap();
    open(&messages, &message).await.unwrap();
    assert_eq!(keys.counts(), (1, 1));
    keys.set(95);
    open(&messages, &message).await.unwrap();
    keys.set(99);
    open(&messages, &message).await.unwrap();
    assert_eq!(keys.counts(), (1, 2));
    keys.set(100);
    let error = open(&messages, &message).await.unwrap_err();
    assert_eq!(code(&error), Some(&ErrorCode::Expired));
    assert_eq!(
        keys.counts(),
        (1, 3),
        "the lease of 105 did not outlive the expiry of 100"
    );
}

#[tokio::test]
async fn a_key_that_may_not_be_kept_is_used_once() {
    let keys = Keys::caching(0);
    let messages = keys.messages();
    let message = sealed(&messages, "c", "1").await;
    sealed(&messages, "c", "2").await;
    open(&messages, &message).await.unwrap();
    open(&messages, &message).await.unwrap();
    assert_eq!(keys.counts(), (2, 2));
}

#[tokio::test]
async fn without_a_cache_every_reading_asks() {
    let keys = Keys::caching(10);
    let writer = keys.messages();
    let message = sealed(&writer, "c", "1").await;
    let none = CacheLimits {
        sealing: 0,
        opening: 0,
    };
    let reader = keys.messages_with(none);
    open(&reader, &message).await.unwrap();
    open(&reader, &message).await.unwrap();
    assert_eq!(keys.counts(), (1, 2));
}

#[tokio::test]
async fn together_they_ask_once() {
    let keys = Keys::caching(10);
    let messages = Arc::new(keys.messages());
    let seal = |id: usize| {
        let messages = Arc::clone(&messages);
        tokio::spawn(async move { sealed(&messages, "c", &id.to_string()).await })
    };
    let all: Vec<_> = (0..50).map(seal).collect();
    let mut nonces = std::collections::HashSet::new();
    for one in all {
        nonces.insert(one.await.unwrap().envelope.bytes[1..13].to_vec());
    }
    assert_eq!(keys.counts(), (1, 0));
    assert_eq!(nonces.len(), 50, "each with a nonce of its own");
}

#[tokio::test]
async fn a_clock_far_ahead_is_named() {
    let keys = Keys::caching(10);
    struct Ahead;
    impl Clock for Ahead {
        fn now(&self) -> Timestamp {
            at(1_000)
        }
    }
    let messages = Messages::with_clock(keys.clone(), CacheLimits::default(), Arc::new(Ahead));
    let error = messages.seal(&place("c", "1"), b"").await.unwrap_err();
    assert!(error.to_string().contains("clock"), "{error}");
    assert_eq!(keys.counts().0, 3);
}

#[tokio::test]
async fn forgetting_is_for_one_conversation_and_for_both_sides() {
    let keys = Keys::caching(10);
    let messages = keys.messages();
    let gone = sealed(&messages, "c", "1").await;
    let stays = sealed(&messages, "d", "2").await;
    let shredded: Conversation = "c".parse().unwrap();
    keys.shred(shredded.clone());
    assert!(open(&messages, &gone).await.is_ok(), "the lease still runs");
    messages.forget(&"chat".parse().unwrap(), &shredded);
    let error = open(&messages, &gone).await.unwrap_err();
    assert_eq!(code(&error), Some(&ErrorCode::Shredded));
    assert!(open(&messages, &stays).await.is_ok());
    assert_eq!(keys.counts(), (2, 1));
    let next = sealed(&messages, "c", "3").await;
    assert_ne!(next.envelope.wrapped_key, gone.envelope.wrapped_key);
}

#[tokio::test]
async fn purged_keys_are_gone_also_unused() {
    let keys = Keys::caching(10);
    let messages = keys.messages();
    let message = sealed(&messages, "c", "1").await;
    keys.set(10);
    messages.purge();
    keys.set(0); // a kept key would be used again
    open(&messages, &message).await.unwrap();
    assert_eq!(keys.counts(), (1, 1));
}

#[tokio::test]
async fn they_are_purged_without_being_asked() {
    let keys = Keys::caching(10);
    let messages = keys.messages();
    let message = sealed(&messages, "c", "1").await;
    for _ in 0..100 {
        keys.set(10);
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
        keys.set(0); // a kept key would be used again
        open(&messages, &message).await.unwrap();
        if keys.counts() == (1, 1) {
            return;
        }
    }
    panic!("the key is still kept");
}

#[tokio::test]
async fn a_kept_key_opens_for_its_own_conversation_only() {
    let keys = Keys::caching(10);
    let messages = keys.messages();
    let mut message = sealed(&messages, "c", "1").await;
    message.context = place("d", "1");
    let error = open(&messages, &message).await.unwrap_err();
    assert_eq!(code(&error), Some(&ErrorCode::InvalidWrappedKey));
}

#[tokio::test]
async fn a_batch_asks_once_for_each_key_and_keeps_the_order() {
    let keys = Keys::caching(10);
    let messages = keys.messages();
    let mut batch = Vec::new();
    for (conversation, id) in [("c", "1"), ("d", "2"), ("c", "3")] {
        batch.push(sealed(&messages, conversation, id).await);
    }
    keys.set(50); // the leases have ended
    batch.push(sealed(&messages, "e", "4").await);
    keys.shred("d".parse().unwrap());
    let mut altered = batch[0].clone();
    altered.envelope.bytes[20] ^= 1;
    batch.push(altered);
    let foreign = Envelope {
        wrapped_key: "lethe:v1:unknown".parse().unwrap(),
        bytes: batch[0].envelope.bytes.clone(),
    };
    batch.push(Sealed {
        context: place("c", "1"),
        envelope: foreign,
    });

    let opened = messages.open_batch(&batch).await.unwrap();
    assert_eq!(opened[0].as_ref().unwrap(), b"1");
    assert_eq!(
        code(opened[1].as_ref().unwrap_err()),
        Some(&ErrorCode::Shredded)
    );
    assert_eq!(opened[2].as_ref().unwrap(), b"3");
    assert_eq!(opened[3].as_ref().unwrap(), b"4");
    assert!(matches!(
        opened[4],
        Err(MessageError::Envelope(EnvelopeError::Altered))
    ));
    let last = opened[5].as_ref().unwrap_err();
    assert_eq!(code(last), Some(&ErrorCode::InvalidWrappedKey));
    // c's, d's and the unknown one; e's is kept from the sealing.
    assert_eq!((keys.counts().1, keys.batches()), (3, 1));

    messages.open_batch(&batch).await.unwrap();
    assert_eq!(keys.counts().1, 5, "c's key is kept, refusals are not");
}
