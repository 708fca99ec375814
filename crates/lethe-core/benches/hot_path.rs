//! What an issue and an unwrap compute, step by step: `cargo bench -p lethe-core`.
#![allow(clippy::unwrap_used)] // a benchmark fails by panicking
#![allow(missing_docs)] // divan makes functions public

use aws_lc_rs::rand;
use divan::{Bencher, black_box};
use lethe_core::conversation::ConversationId;
use lethe_core::directory::{Directory, Entry};
use lethe_core::grid::{self, Binding, Generation};
use lethe_core::identity::{DeploymentId, KeyspaceId};
use lethe_core::keyspace::KeyVersion;
use lethe_core::secret::Secret32;
use lethe_core::time::Expiry;
use lethe_core::tree::{Address, AddressKey, CoverRoot, Tree, TreeId};
use lethe_core::wrapped_key::{Header, WrappedKey};

fn main() {
    divan::main();
}

/// One live key version and one live bucket.
struct World {
    address_key: AddressKey,
    root: CoverRoot,
    bucket_key: Secret32,
    conversation: ConversationId,
}

const HEADER: Header = Header {
    version: KeyVersion::FIRST,
    generation: Generation::FIRST,
    expiry: Expiry::from_seconds(1_900_000_000),
};

impl World {
    fn new() -> Self {
        Self {
            address_key: AddressKey::new(&secret(1)),
            root: CoverRoot::Whole(secret(2)),
            bucket_key: secret(3),
            conversation: ConversationId::try_from("room-0000000000").unwrap(),
        }
    }

    fn conversation_key(&self) -> Secret32 {
        let address = self
            .address_key
            .address(&self.conversation, HEADER.generation);
        tree(&self.root).leaf_of_whole(address).unwrap()
    }

    fn wrapping_key(&self, conversation_key: &Secret32) -> Secret32 {
        let binding = Binding {
            keyspace: KeyspaceId::from_bytes([4; 16]),
            version: HEADER.version,
            conversation: &self.conversation,
            generation: HEADER.generation,
            expiry: HEADER.expiry,
        };
        grid::wrapping_key(conversation_key, &self.bucket_key, &binding)
    }

    fn issue(&self) -> String {
        let data_key = Secret32::filled(|bytes| rand::fill(bytes).unwrap());
        let wrapping_key = self.wrapping_key(&self.conversation_key());
        WrappedKey::wrap(HEADER, &wrapping_key, &data_key).to_string()
    }

    fn unwrap(&self, text: &str) -> Secret32 {
        let wrapped: WrappedKey = text.parse().unwrap();
        let wrapping_key = self.wrapping_key(&self.conversation_key());
        wrapped.unwrap(&wrapping_key).unwrap()
    }
}

const fn tree(root: &CoverRoot) -> Tree<'_> {
    let id = TreeId {
        keyspace: KeyspaceId::from_bytes([4; 16]),
        version: KeyVersion::FIRST,
    };
    Tree { id, root }
}

fn secret(byte: u8) -> Secret32 {
    Secret32::filled(|bytes| bytes.fill(byte))
}

#[divan::bench]
fn address(bencher: Bencher<'_, '_>) {
    let world = World::new();
    bencher.bench_local(|| {
        world
            .address_key
            .address(black_box(&world.conversation), Generation::FIRST)
    });
}

#[divan::bench]
fn leaf(bencher: Bencher<'_, '_>) {
    let root = CoverRoot::Whole(secret(2));
    let address = Address::from_bits(0x0123_4567_89ab_cdef);
    bencher.bench_local(|| tree(&root).leaf_of_whole(black_box(address)));
}

#[divan::bench]
fn wrapping_key(bencher: Bencher<'_, '_>) {
    let world = World::new();
    let conversation_key = world.conversation_key();
    bencher.bench_local(|| world.wrapping_key(black_box(&conversation_key)));
}

#[divan::bench]
fn wrap(bencher: Bencher<'_, '_>) {
    let (wrapping_key, data_key) = (secret(5), secret(6));
    bencher.bench_local(|| WrappedKey::wrap(HEADER, black_box(&wrapping_key), &data_key));
}

#[divan::bench]
fn unwrap(bencher: Bencher<'_, '_>) {
    let wrapping_key = secret(5);
    let wrapped = WrappedKey::wrap(HEADER, &wrapping_key, &secret(6));
    bencher.bench_local(|| black_box(&wrapped).unwrap(&wrapping_key).unwrap());
}

#[divan::bench]
fn text_of_wrapped_key(bencher: Bencher<'_, '_>) {
    let wrapped = WrappedKey::wrap(HEADER, &secret(5), &secret(6));
    bencher.bench_local(|| black_box(&wrapped).to_string());
}

#[divan::bench]
fn whole_issue_cold(bencher: Bencher<'_, '_>) {
    let world = World::new();
    bencher.bench_local(|| black_box(&world).issue());
}

#[divan::bench]
fn whole_unwrap_cold(bencher: Bencher<'_, '_>) {
    let world = World::new();
    let text = world.issue();
    bencher.bench_local(|| world.unwrap(black_box(&text)));
}

const DEPLOYMENT: DeploymentId = DeploymentId::from_bytes([9; 16]);

fn directory(entries: u16) -> Directory {
    let mut directory = Directory::default();
    for number in 0..entries {
        let mut keyspace = [0; 16];
        keyspace[..2].copy_from_slice(&number.to_be_bytes());
        directory.insert(Entry {
            keyspace: KeyspaceId::from_bytes(keyspace),
            version: KeyVersion::FIRST,
            address_key: secret(1),
            root: CoverRoot::Whole(secret(2)),
        });
    }
    directory
}

#[divan::bench(args = [1, 100, 10_000])]
fn directory_seal(bencher: Bencher<'_, '_>, entries: u16) {
    let (directory, key) = (directory(entries), secret(7));
    bencher.bench_local(|| directory.seal(black_box(&key), DEPLOYMENT, 1));
}

#[divan::bench(args = [1, 100, 10_000])]
fn directory_open(bencher: Bencher<'_, '_>, entries: u16) {
    let key = secret(7);
    let sealed = directory(entries).seal(&key, DEPLOYMENT, 1);
    bencher.bench_local(|| Directory::open(black_box(&sealed), &key, DEPLOYMENT, 1).unwrap());
}
