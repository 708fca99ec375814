//! A wrapped key opens for exactly what it was wrapped for.

use lethe_core::conversation::ConversationId;
use lethe_core::grid::{Binding, Generation, wrapping_key};
use lethe_core::identity::KeyspaceId;
use lethe_core::keyspace::KeyVersion;
use lethe_core::secret::Secret32;
use lethe_core::time::Expiry;
use lethe_core::wrapped_key::{Header, WrappedKey};
use proptest::prelude::*;

#[derive(Debug, Clone, PartialEq)]
struct Place {
    keyspace: [u8; 16],
    version: u32,
    conversation: String,
    generation: u16,
    expiry: u64,
}

fn places() -> impl Strategy<Value = Place> {
    (
        any::<[u8; 16]>(),
        1_u32..,
        "[a-z0-9é☃-]{1,40}",
        any::<u16>(),
        any::<u64>(),
    )
        .prop_map(
            |(keyspace, version, conversation, generation, expiry)| Place {
                keyspace,
                version,
                conversation,
                generation,
                expiry,
            },
        )
}

fn secret(byte: u8) -> Secret32 {
    Secret32::filled(|bytes| bytes.fill(byte))
}

/// The wrapping key that Lethe derives when `header` is offered for `place`.
fn key_for(place: &Place, header: Header) -> Secret32 {
    let conversation = ConversationId::try_from(place.conversation.as_str()).unwrap();
    let binding = Binding {
        keyspace: KeyspaceId::from_bytes(place.keyspace),
        version: header.version,
        conversation: &conversation,
        generation: header.generation,
        expiry: header.expiry,
    };
    wrapping_key(&secret(1), &secret(2), &binding)
}

fn header(place: &Place) -> Header {
    Header {
        version: KeyVersion::new(place.version).unwrap(),
        generation: Generation::new(place.generation),
        expiry: Expiry::from_seconds(place.expiry),
    }
}

fn wrap(place: &Place) -> WrappedKey {
    WrappedKey::wrap(header(place), &key_for(place, header(place)), &secret(3))
}

/// Parses and unwraps as the service does: with the header that the text bears.
fn opens(text: &str, place: &Place) -> bool {
    text.parse::<WrappedKey>()
        .is_ok_and(|key| key.unwrap(&key_for(place, key.header())).is_ok())
}

proptest! {
    #[test]
    fn opens_at_home(place in places()) {
        prop_assert!(opens(&wrap(&place).to_string(), &place));
    }

    #[test]
    fn any_changed_bit_fails(place in places(), position in 0_usize..81, bit in 0_u8..7) {
        let mut text = wrap(&place).to_string().into_bytes();
        text[position] ^= 1 << bit;
        prop_assert!(!opens(&String::from_utf8(text).unwrap(), &place));
    }

    #[test]
    fn truncated_or_extended_fails(place in places(), length in 0_usize..81) {
        let text = wrap(&place).to_string();
        prop_assert!(!opens(&text[..length], &place));
        prop_assert!(!opens(&[text.as_str(), "A"].concat(), &place));
        prop_assert!(!opens(&[text.as_str(), "="].concat(), &place));
    }

    #[test]
    fn any_other_place_fails(place in places(), other in places(), field in 0..5) {
        let mut moved = place.clone();
        match field {
            0 => moved.keyspace = other.keyspace,
            1 => moved.version = other.version,
            2 => moved.conversation = other.conversation,
            3 => moved.generation = other.generation,
            _ => moved.expiry = other.expiry,
        }
        prop_assume!(moved != place);
        prop_assert!(wrap(&place).unwrap(&key_for(&moved, header(&moved))).is_err());
    }

    #[test]
    fn no_text_panics(text in ".{0,120}") {
        let _ = text.parse::<WrappedKey>();
        let _ = ["lethe:v1:", text.as_str()].concat().parse::<WrappedKey>();
    }
}
