//! What the database opens to with the inside of the HSM, now: `docs/FORMATS.md`.

use std::collections::HashMap;

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use aws_lc_rs::{digest, hmac};
use serde_json::Value;
use sqlx::{Connection, Row, SqliteConnection};

use super::Dev;

/// Bytes before the cover in a directory's entry: keyspace id, version, address key.
const ENTRY_HEAD: usize = 16 + 4 + 32;

pub struct Seized {
    /// Values of the HSM's keys by id.
    inside: HashMap<Vec<u8>, Vec<u8>>,
    deployment: Vec<u8>,
    database: SqliteConnection,
}

impl Seized {
    pub async fn take(dev: &Dev) -> Self {
        let dump = dev.hsm_sim(&["dump", "--output", "json"]);
        let dump: Value = serde_json::from_str(&dump).unwrap();
        let objects = dump["objects"].as_array().unwrap().iter();
        let keys = objects.filter(|object| object["class"] == "secret-key");
        let inside = keys.map(|key| (hex(&key["id"]), hex(&key["value"])));
        let mut database = dev.database().await;
        let deployment = sqlx::query_scalar("SELECT id FROM deployment");
        Self {
            inside: inside.collect(),
            deployment: deployment.fetch_one(&mut database).await.unwrap(),
            database,
        }
    }

    /// Expiry in seconds and bucket key, of each bucket whose HSM key is there.
    pub async fn buckets(mut self) -> Vec<(u64, Vec<u8>)> {
        let rows = sqlx::query("SELECT expiry_s, hsm_key_id, iv, ciphertext FROM bucket")
            .fetch_all(&mut self.database)
            .await
            .unwrap();
        let mut buckets = Vec::new();
        for row in &rows {
            let expiry = u64::try_from(row.get::<i64, _>(0)).unwrap();
            let id: Vec<u8> = row.get(1);
            let Some(key) = self.inside.get(&id) else {
                continue;
            };
            let name = [b"lethe/v1/bucket", &*self.deployment].concat();
            let aad = [&name, expiry.to_be_bytes().as_slice(), &id].concat();
            buckets.push((expiry, open(key, row.get(2), &aad, row.get(3))));
        }
        self.database.close().await.unwrap();
        buckets
    }

    /// Where each tree begins: its seed or the key of its top page.
    pub async fn tops(self) -> Vec<Vec<u8>> {
        let directory = self.directory().await;
        let mut tops = Vec::new();
        let (count, mut rest) = directory.split_first_chunk().unwrap();
        for _ in 0..u32::from_be_bytes(*count) {
            let (kind, cover) = rest[ENTRY_HEAD..].split_first().unwrap();
            tops.push(cover[..32].to_vec());
            // A paged one counts its leaves behind the key.
            rest = &cover[if *kind == 0 { 32 } else { 40 }..];
        }
        tops
    }

    /// The first tree, of which nothing may be shredded yet.
    pub async fn whole_tree(self) -> WholeTree {
        let directory = self.directory().await;
        let (head, rest) = directory[4..].split_at(ENTRY_HEAD);
        let (kind, cover) = rest.split_first().unwrap();
        assert_eq!(*kind, 0, "it is whole");
        WholeTree {
            address_key: head[ENTRY_HEAD - 32..].to_vec(),
            seed: cover[..32].try_into().unwrap(),
        }
    }

    async fn directory(mut self) -> Vec<u8> {
        let meta = sqlx::query("SELECT sequence, root_id, iv, ciphertext, directory FROM meta")
            .fetch_one(&mut self.database)
            .await
            .unwrap();
        let sequence = meta.get::<i64, _>(0).to_be_bytes();
        let root: Vec<u8> = meta.get(1);
        let of_it = [&*self.deployment, &sequence].concat();
        let aad = [b"lethe/v1/meta", &*of_it, &root].concat();
        let key = open(&self.inside[&root], meta.get(2), &aad, meta.get(3));
        let aad = [b"lethe/v1/directory", &*of_it].concat();
        let directory = open(&key, vec![0; 12], &aad, meta.get(4));
        self.database.close().await.unwrap();
        directory
    }
}

/// A tree with its secrets.
pub struct WholeTree {
    address_key: Vec<u8>,
    seed: [u8; 32],
}

impl WholeTree {
    /// The key of a conversation in its first generation.
    pub fn conversation_key(&self, conversation: &str) -> Vec<u8> {
        let length = u16::try_from(conversation.len()).unwrap().to_be_bytes();
        let named = [
            b"lethe/v1/address",
            &length[..],
            conversation.as_bytes(),
            &[0, 0],
        ]
        .concat();
        let key = hmac::Key::new(hmac::HMAC_SHA256, &self.address_key);
        let tag = hmac::sign(&key, &named);
        let address = u64::from_be_bytes(tag.as_ref()[..8].try_into().unwrap());
        (0..64).rev().fold(self.seed.to_vec(), |seed, level| {
            let bit = [(address >> level & 1) as u8];
            let step = [b"lethe/v1/tree", &bit[..], &seed].concat();
            digest::digest(&digest::SHA256, &step).as_ref().to_vec()
        })
    }
}

fn hex(text: &Value) -> Vec<u8> {
    let text = text.as_str().unwrap();
    let byte = |at| u8::from_str_radix(&text[at..at + 2], 16).unwrap();
    (0..text.len()).step_by(2).map(byte).collect()
}

fn open(key: &[u8], iv: Vec<u8>, aad: &[u8], mut sealed: Vec<u8>) -> Vec<u8> {
    let key = LessSafeKey::new(UnboundKey::new(&AES_256_GCM, key).unwrap());
    let nonce = Nonce::try_assume_unique_for_key(&iv).unwrap();
    let clear = key.open_in_place(nonce, Aad::from(aad), &mut sealed);
    clear.unwrap().to_vec()
}
