//! The grid against vectors that Python computed from `docs/FORMATS.md`.

use lethe_core::conversation::ConversationId;
use lethe_core::grid::{Binding, Generation, wrapping_key};
use lethe_core::identity::KeyspaceId;
use lethe_core::keyspace::KeyVersion;
use lethe_core::secret::Secret32;
use lethe_core::time::Expiry;
use lethe_core::tree::{AddressKey, CoverRoot, Tree, TreeId};
use lethe_core::wrapped_key::{Header, WrappedKey};

#[derive(serde::Deserialize)]
struct Vector {
    keyspace: String,
    conversation: String,
    version: u32,
    generation: u16,
    expiry: u64,
    tree_seed: String,
    address_key: String,
    bucket_key: String,
    data_key: String,
    address: String,
    conversation_key: String,
    wrapping_key: String,
    wrapped_key: String,
}

fn secret(hex: &str) -> Secret32 {
    Secret32::filled(|bytes| {
        for (index, byte) in bytes.iter_mut().enumerate() {
            *byte = u8::from_str_radix(&hex[index * 2..index * 2 + 2], 16).unwrap();
        }
    })
}

#[test]
fn every_step_agrees() {
    let vectors: Vec<Vector> =
        serde_json::from_str(include_str!("../../../../tests/vectors/grid.json")).unwrap();
    assert!(vectors.len() >= 5);
    for vector in vectors {
        agrees(&vector);
    }
}

fn agrees(vector: &Vector) {
    let conversation = ConversationId::try_from(vector.conversation.as_str()).unwrap();
    let header = Header {
        version: KeyVersion::new(vector.version).unwrap(),
        generation: Generation::new(vector.generation),
        expiry: Expiry::from_seconds(vector.expiry),
    };
    let address =
        AddressKey::new(&secret(&vector.address_key)).address(&conversation, header.generation);
    assert_eq!(format!("{:016x}", address.bits()), vector.address);
    let tree = Tree {
        id: TreeId {
            keyspace: vector.keyspace.parse().unwrap(),
            version: header.version,
        },
        root: &CoverRoot::Whole(secret(&vector.tree_seed)),
    };
    let conversation_key = tree.leaf_of_whole(address).unwrap();
    assert!(conversation_key.same_as(&secret(&vector.conversation_key)));
    let binding = Binding {
        keyspace: vector.keyspace.parse::<KeyspaceId>().unwrap(),
        version: header.version,
        conversation: &conversation,
        generation: header.generation,
        expiry: header.expiry,
    };
    let wrapping = wrapping_key(&conversation_key, &secret(&vector.bucket_key), &binding);
    assert!(wrapping.same_as(&secret(&vector.wrapping_key)));
    let wrapped = WrappedKey::wrap(header, &wrapping, &secret(&vector.data_key));
    assert_eq!(wrapped.to_string(), vector.wrapped_key);
    let parsed: WrappedKey = vector.wrapped_key.parse().unwrap();
    assert_eq!(parsed.header(), header);
    assert!(
        parsed
            .unwrap(&wrapping)
            .unwrap()
            .same_as(&secret(&vector.data_key))
    );
}
