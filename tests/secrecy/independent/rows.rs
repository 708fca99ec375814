//! Receipts and openings out of the rows of a database, by the core and by the program.

use std::collections::BTreeMap;
use std::path::Path;

use lethe_core::batch::Finished;
use lethe_core::buckets::expiry_receipt;
use lethe_core::conversation::ConversationId;
use lethe_core::erasure::{Erasure, ErasureKind, ErasureNumber, ShredLeaf};
use lethe_core::grid::Generation;
use lethe_core::identity::HsmKeyId;
use lethe_core::keyspace::KeyVersion;
use lethe_core::ports::{
    BatchRow, BucketStore, ErasureStore, ExpiryRow, Fulfilled, ReceiptStore, SignedDestruction,
};
use lethe_core::receipt::{
    Batch, BatchReceipts, ErasureId, Facts, Item, Method, Opening, ShreddedKey,
};
use lethe_core::time::{Expiry, Timestamp};
use lethe_core::tree::{Address, AddressKey, TreeId};
use serde_json::{Value, json};

use super::signed::{self, SIGNER};
use super::world::{DEPLOYMENT, World, tree};
use crate::support::independent as program;

const TREES: [TreeId; 2] = [tree(1, 1), tree(1, 2)];

/// A shred in both versions, with its opening.
fn shred(world: &World, number: u64, conversation: &str) -> (Erasure, Opening) {
    let conversation = ConversationId::try_from(conversation).unwrap();
    let generation = Generation::new(number as u16);
    let id = ErasureId::from_bytes([number as u8; 16]);
    let address_key = |tree: TreeId| {
        let entry = world.directory.entry(tree.keyspace, tree.version).unwrap();
        AddressKey::new(&entry.address_key)
    };
    let leaf = |tree: &TreeId| ShredLeaf {
        version: tree.version,
        generation,
        address: address_key(*tree).address(&conversation, generation),
    };
    let key = |tree: &TreeId| ShreddedKey {
        version: tree.version,
        generation,
    };
    let newest = address_key(TREES[1]);
    let opening = Opening {
        salt: newest.commitment_salt(id, &conversation),
        keyspace: TREES[1].keyspace,
        conversation: conversation.clone(),
        keys: TREES.iter().map(key).collect(),
    };
    let kind = ErasureKind::Shred {
        tag: newest.idempotency_tag(id, &conversation),
        commitment: opening.commitment(),
        leaves: TREES.iter().map(leaf).collect(),
    };
    (erasure(number, kind), opening)
}

fn erasure(number: u64, kind: ErasureKind) -> Erasure {
    let accepted = signed::accepted(number);
    Erasure {
        id: ErasureId::from_bytes([number as u8; 16]),
        keyspace: TREES[0].keyspace,
        accepted_at: accepted.accepted_at,
        leases_end_at: accepted.leases_end_at,
        kind,
    }
}

fn signature(facts: Facts, items: Vec<Item>) -> SignedDestruction {
    let destroyed = facts.destroyed.clone();
    let destroyed_at = facts.destroyed_at;
    let statement = BatchReceipts::new(Batch { facts, items })
        .unwrap()
        .statement();
    let signature = signed::pair(SIGNER).sign(&statement);
    SignedDestruction {
        destroyed_at,
        destroyed,
        signing_key: SIGNER,
        signature: signature.as_ref().try_into().unwrap(),
    }
}

/// Accepts and fulfils erasures in one batch, as the service does it.
async fn fulfil(world: &mut World, erasures: &[Erasure]) -> BatchRow {
    let first = world.store.accept(erasures).await.unwrap();
    let fulfilled = Fulfilled {
        first,
        last: ErasureNumber::new(first.number() + erasures.len() as u64 - 1),
        replaced_root: HsmKeyId::from_bytes([3; 16]),
    };
    let mut leaves = BTreeMap::<TreeId, Vec<Address>>::new();
    for leaf in erasures.iter().flat_map(Erasure::leaves) {
        leaves.entry(leaf.tree).or_default().push(leaf.address);
    }
    let leaves: Vec<_> = leaves.into_iter().collect();
    world.forget(&leaves, Some(fulfilled)).await;
    let mut facts = signed::facts(Method::RootsDestroyed);
    facts.sequence = world.batches() as u64;
    let signed = signature(facts, erasures.iter().map(Erasure::item).collect());
    world
        .store
        .sign_batch(world.batches() as u64, &signed)
        .await
        .unwrap();
    world.store.batch_of(first).await.unwrap().unwrap()
}

async fn by_core(world: &World, batch: &BatchRow) -> Vec<Value> {
    let Fulfilled { first, last, .. } = batch.fulfilled;
    let erasures = world.store.erasures(first, last).await.unwrap();
    let finished = Finished::from_rows(DEPLOYMENT, batch, erasures.clone()).unwrap();
    let receipt = |number| finished.receipt(number).unwrap().to_json();
    let receipts = erasures.iter().map(|accepted| receipt(accepted.number));
    receipts
        .map(|text| serde_json::from_str(&text).unwrap())
        .collect()
}

async fn expire(world: &World, seconds: u64, key: HsmKeyId) -> Value {
    let mut facts = signed::facts(Method::BucketKeyDestroyed);
    facts.destroyed = vec![key];
    let expiry = Expiry::from_seconds(seconds);
    let item = Item::BucketExpiry { key, expiry };
    let row = ExpiryRow {
        expiry,
        signed: signature(facts, vec![item]),
    };
    world.store.finish_bucket(&row).await.unwrap();
    let receipt = expiry_receipt(DEPLOYMENT, &row).unwrap();
    serde_json::from_str(&receipt.to_json()).unwrap()
}

fn verify(folder: &Path, receipts: &[Value]) {
    let (keys, lines) = (folder.join("verify.pub"), folder.join("receipts.jsonl"));
    signed::write_keys(&keys);
    program::write_lines(&lines, receipts);
    let words = ["verify".into(), "--keys".into(), keys.into(), lines.into()];
    assert_eq!(program::lines("receipts.py", words).len(), receipts.len());
}

#[tokio::test]
async fn receipts_and_openings_come_out_of_the_rows() {
    let mut world = World::new().await;
    world.create(&TREES).await;
    let names = ["room 1", "\u{1f30a}", "room 3"];
    let shreds = (0..)
        .zip(names)
        .map(|(number, name)| shred(&world, number, name));
    let (mut erasures, openings): (Vec<_>, Vec<_>) = shreds.unzip();
    let version = KeyVersion::new(9).unwrap();
    erasures.push(erasure(3, ErasureKind::DropVersion(version)));
    erasures.push(erasure(
        4,
        ErasureKind::EraseKeyspace("gone".parse().unwrap()),
    ));

    let (alone, together) = erasures.split_first().unwrap();
    let mut expected = Vec::new();
    for batch in [std::slice::from_ref(alone), together] {
        let row = fulfil(&mut world, batch).await;
        expected.extend(by_core(&world, &row).await);
    }
    // Not signed yet: no receipt.
    world
        .store
        .accept(&[erasure(5, ErasureKind::DropVersion(version))])
        .await
        .unwrap();
    let last_instant = Timestamp::from_millis(u64::MAX >> 1);
    let beyond = Erasure {
        leases_end_at: last_instant,
        ..erasure(6, ErasureKind::DropVersion(version))
    };
    world.store.accept(&[beyond]).await.unwrap();
    for (seconds, key) in [(10, 1), (10, 2), (9, 3)] {
        expected.push(expire(&world, seconds, HsmKeyId::from_bytes([key; 16])).await);
    }
    let last = expected.pop().unwrap();
    expected.insert(erasures.len(), last);

    let copy = world.copy("copy");
    let rebuilt = program::lines("receipts.py", ["rebuild".into(), copy.clone().into()]);
    assert_eq!(rebuilt, expected);
    verify(world.folder.path(), &rebuilt);

    let guesses = world.folder.path().join("guesses.jsonl");
    program::write_lines(
        &guesses,
        ["room 1", "room 2", "\u{1f30a}", "room 3"].map(|name| json!(name)),
    );
    let dump = world.dump(world.batches());
    let words = [
        "--dump".into(),
        dump.into(),
        "--guesses".into(),
        guesses.into(),
        copy.into(),
    ];
    let found = program::lines("guess.py", words);
    let known = openings.iter().zip(&erasures).map(|(opening, request)| {
        let opening: Value = serde_json::from_str(&opening.to_json()).unwrap();
        json!({ "id": request.id.to_string(), "opening": opening })
    });
    assert_eq!(found, known.collect::<Vec<_>>());
}
