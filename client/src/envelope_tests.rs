//! The envelope against vectors that Python computed, and against changes of every kind.

use proptest::prelude::*;

use super::*;

#[derive(serde::Deserialize)]
struct Vector {
    keyspace: String,
    conversation: String,
    message_id: String,
    data_key: String,
    nonce: String,
    plaintext: String,
    associated_data: String,
    envelope: String,
}

fn bytes(hex: &str) -> Vec<u8> {
    (0..hex.len() / 2)
        .map(|index| u8::from_str_radix(&hex[index * 2..index * 2 + 2], 16).unwrap())
        .collect()
}

fn key(bytes: &[u8]) -> DataKey {
    DataKey::filled::<()>(|key| {
        key.copy_from_slice(bytes);
        Ok(())
    })
    .unwrap()
}

fn context(keyspace: &str, conversation: &str, message_id: &str) -> Context {
    Context {
        keyspace: keyspace.parse().unwrap(),
        conversation: conversation.parse().unwrap(),
        message_id: message_id.parse().unwrap(),
    }
}

#[test]
fn agrees_with_an_independent_computation() {
    let vectors: Vec<Vector> =
        serde_json::from_str(include_str!("../../tests/vectors/envelope.json")).unwrap();
    assert!(vectors.len() >= 4);
    for vector in vectors {
        let context = context(&vector.keyspace, &vector.conversation, &vector.message_id);
        let (key, plaintext) = (key(&bytes(&vector.data_key)), bytes(&vector.plaintext));
        assert_eq!(context.associated_data(), bytes(&vector.associated_data));
        let nonce = bytes(&vector.nonce).try_into().unwrap();
        let sealed = seal_with_nonce(&key, &context, &plaintext, nonce).unwrap();
        assert_eq!(sealed, bytes(&vector.envelope));
        assert_eq!(open(&key, &context, &sealed), Ok(plaintext));
    }
}

#[test]
fn the_parser_tells_what_is_wrong() {
    let (key, context) = (key(&[7; 32]), context("chat", "c", "m"));
    let sealed = seal(&key, &context, b"").unwrap();
    assert_eq!(sealed.len(), 29);
    for length in 0..29 {
        assert_eq!(
            open(&key, &context, &sealed[..length]),
            Err(EnvelopeError::Truncated)
        );
    }
    for version in [0, 2, 255] {
        let mut foreign = sealed.clone();
        foreign[0] = version;
        assert_eq!(
            open(&key, &context, &foreign),
            Err(EnvelopeError::UnknownVersion(version))
        );
    }
    let long = [&sealed[..], &[0]].concat();
    assert_eq!(open(&key, &context, &long), Err(EnvelopeError::Altered));
}

#[test]
fn the_longest_message_and_one_byte_more() {
    let (key, context) = (key(&[7; 32]), context("chat", "c", "m"));
    let message = vec![1; MAX_PLAINTEXT_BYTES + 1];
    assert_eq!(seal(&key, &context, &message), Err(EnvelopeError::TooLong));
    let sealed = seal(&key, &context, &message[1..]).unwrap();
    assert_eq!(open(&key, &context, &sealed).unwrap(), message[1..]);
}

#[test]
fn fields_cannot_flow_into_each_other() {
    let (key, plaintext) = (key(&[7; 32]), b"hello");
    let sealed = seal(&key, &context("a", "bc", "d"), plaintext).unwrap();
    for other in [
        context("ab", "c", "d"),
        context("a", "b", "cd"),
        context("a", "bcd", "d"),
    ] {
        assert_eq!(open(&key, &other, &sealed), Err(EnvelopeError::Altered));
    }
}

proptest! {
    #[test]
    fn opens_only_as_it_was_sealed(
        secret in any::<[u8; 32]>(), plaintext in prop::collection::vec(any::<u8>(), 0..200),
        names in ("[a-z0-9]{1,63}", "[a-z]{1,20}", "[a-z]{1,20}"),
        bit in any::<prop::sample::Index>(),
    ) {
        let (keyspace, conversation, id) = (names.0.as_str(), names.1.as_str(), names.2.as_str());
        let (key, here) = (key(&secret), context(keyspace, conversation, id));
        let sealed = seal(&key, &here, &plaintext).unwrap();
        prop_assert_eq!(open(&key, &here, &sealed).unwrap(), plaintext);

        let mut altered = sealed.clone();
        let bit = bit.index(altered.len() * 8);
        altered[bit / 8] ^= 1 << (bit % 8);
        prop_assert!(open(&key, &here, &altered).is_err());

        let longer = |text: &str| format!("{}0", &text[..text.len().min(62)]);
        for other in [
            context(&longer(keyspace), conversation, id),
            context(keyspace, &longer(conversation), id),
            context(keyspace, conversation, &longer(id)),
        ] {
            if other != here {
                prop_assert_eq!(open(&key, &other, &sealed), Err(EnvelopeError::Altered));
            }
        }
        let mut other_key = secret;
        other_key[bit % 32] ^= 1;
        let other_key = self::key(&other_key);
        prop_assert_eq!(open(&other_key, &here, &sealed), Err(EnvelopeError::Altered));
    }

    #[test]
    fn foreign_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..100)) {
        prop_assert!(open(&key(&[7; 32]), &context("chat", "c", "m"), &bytes).is_err());
    }
}
