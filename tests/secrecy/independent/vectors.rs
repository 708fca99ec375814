//! `tests/vectors/forgetting.json`: what a Python program sealed from `docs/FORMATS.md`, the core opens.

use lethe_core::buckets::bucket_aad;
use lethe_core::conversation::ConversationId;
use lethe_core::deployment_key::Column;
use lethe_core::directory::{Directory, root_aad};
use lethe_core::duration::Span;
use lethe_core::erasure::ErasureNumber;
use lethe_core::identity::{DeploymentId, HsmKeyId, KeyspaceId};
use lethe_core::keyspace::{KeyVersion, Policy};
use lethe_core::ports::{KeyspaceRow, SigningPurpose, VerificationKey, VersionRow};
use lethe_core::receipt::{ErasureId, Opening, Receipt};
use lethe_core::secret::Secret32;
use lethe_core::time::{Expiry, Timestamp};
use lethe_core::tree::{Address, AddressKey, KeptPages, Lookup, PageReference, Row};
use serde_json::Value;

use super::world::open;
use crate::support::independent as program;

fn vectors() -> Value {
    serde_json::from_str(include_str!("../../vectors/forgetting.json")).unwrap()
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap()
}

fn bytes(value: &Value) -> Vec<u8> {
    let digits = text(value).as_bytes().chunks(2);
    let byte = |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16);
    digits.map(byte).collect::<Result<_, _>>().unwrap()
}

fn array<const N: usize>(value: &Value) -> [u8; N] {
    bytes(value).try_into().unwrap()
}

fn secret(value: &Value) -> Secret32 {
    Secret32::filled(|secret| *secret = array(value))
}

fn deployment(vectors: &Value) -> DeploymentId {
    DeploymentId::from_bytes(array(&vectors["deployment"]))
}

/// From the root in the HSM.
fn open_directory(vectors: &Value) -> Directory {
    let meta = &vectors["meta"];
    let (deployment, sequence) = (deployment(vectors), meta["sequence"].as_u64().unwrap());
    let aad = root_aad(
        deployment,
        sequence,
        HsmKeyId::from_bytes(array(&meta["root_id"])),
    );
    let key = open(
        &secret(&meta["root"]),
        array(&meta["iv"]),
        &aad,
        array(&meta["ciphertext"]),
    );
    Directory::open(&bytes(&meta["directory"]), &key, deployment, sequence).unwrap()
}

/// The row that a reference names.
fn row(vectors: &Value, wanted: &PageReference) -> Vec<u8> {
    let is_wanted = |row: &&Value| match wanted.row() {
        Row::Page => row["row_key"].as_i64() == Some(wanted.prefix().row_key().cast_signed()),
        Row::Tail(id) => row["row_id"].as_u64() == Some(id.number()),
    };
    let table = match wanted.row() {
        Row::Page => "pages",
        Row::Tail(_) => "tails",
    };
    let found = vectors[table].as_array().unwrap().iter().find(is_wanted);
    bytes(&found.unwrap()["bytes"])
}

#[test]
fn the_file_is_what_its_program_computes() {
    let output = program::run("../vectors/generate_forgetting.py", []);
    let file = include_bytes!("../../vectors/forgetting.json");
    assert!(
        output.stdout == file,
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
}

#[test]
fn from_the_root_to_every_leaf() {
    let vectors = vectors();
    let directory = open_directory(&vectors);
    let [paged, _whole] = directory.entries() else {
        panic!("two entries");
    };
    let commitments = directory.commitments().unwrap();
    assert_eq!(commitments.fulfilled, ErasureNumber::new(41));
    let (sequence, batch) = commitments.batch.unwrap();
    let written = vectors["meta"]["sequence"].as_u64().unwrap();
    assert_eq!(sequence, written - 1);
    assert_eq!(batch.first, ErasureNumber::new(40));
    assert_eq!(commitments.time, Timestamp::from_millis(1_523_642_400_013));
    let since = commitments.changing_since.unwrap();
    assert_eq!(since, Timestamp::from_millis(1_523_642_400_000));
    assert!(directory.agrees_with(&keyspaces()));
    assert_eq!(paged.keyspace.to_string(), text(&vectors["keyspace"]));
    assert_eq!(
        u64::from(paged.version.number()),
        vectors["version"].as_u64().unwrap()
    );
    let (mut pages, mut loaded) = (KeptPages::default(), 0);
    for leaf in vectors["leaves"].as_array().unwrap() {
        let address = u64::from_str_radix(text(&leaf["address"]), 16).unwrap();
        let found = loop {
            match paged.tree().lookup(Address::from_bits(address), &pages) {
                Lookup::Leaf(leaf) => break Some(*leaf.expose()),
                Lookup::Forgotten => break None,
                Lookup::Missing(wanted) => {
                    let row = row(&vectors, &wanted);
                    pages.insert(wanted.open(deployment(&vectors), &row).unwrap());
                    loaded += 1;
                }
            }
        };
        let expected = (!leaf["leaf"].is_null()).then(|| array(&leaf["leaf"]));
        assert_eq!(found, expected, "{leaf}");
    }
    let rows = |table: &str| vectors[table].as_array().unwrap().len();
    assert_eq!(
        loaded,
        rows("pages") + rows("tails"),
        "every row was needed"
    );
}

/// In no order.
fn keyspaces() -> [KeyspaceRow; 2] {
    let version = |number, created_at| VersionRow {
        version: KeyVersion::new(number).unwrap(),
        created_at: Timestamp::from_millis(created_at),
    };
    let [hour, minute, day] = [3_600, 60, 86_400].map(Span::from_seconds);
    let (three_days, month) = (Span::from_seconds(259_200), Span::from_seconds(2_592_000));
    let (five_minutes, none) = (Span::from_seconds(300), Span::from_millis(0));
    let vectors = vectors();
    let newest = u32::try_from(vectors["version"].as_u64().unwrap()).unwrap();
    let first = KeyspaceRow {
        id: text(&vectors["keyspace"]).parse().unwrap(),
        name: "chat".parse().unwrap(),
        policy: Policy::new(three_days, hour, month, five_minutes)
            .and_then(|policy| policy.with_shorter_retentions(&[day, hour]))
            .unwrap(),
        leases_until: Timestamp::from_millis(7),
        expiries_until: Timestamp::from_millis(8),
        minimum_version: KeyVersion::new(3).unwrap(),
        versions: vec![version(newest, 5), version(newest + 1, 6)],
    };
    let second = KeyspaceRow {
        id: KeyspaceId::from_bytes([0xff; 16]),
        name: "b".parse().unwrap(),
        policy: Policy::new(hour, minute, day, none).unwrap(),
        leases_until: Timestamp::from_millis(0),
        expiries_until: Timestamp::from_millis(0),
        minimum_version: KeyVersion::FIRST,
        versions: vec![version(1, 9)],
    };
    [second, first]
}

#[test]
fn the_bucket_opens() {
    let vectors = vectors();
    let bucket = &vectors["bucket"];
    let expiry = Expiry::from_seconds(bucket["expiry"].as_u64().unwrap());
    let key = HsmKeyId::from_bytes(array(&bucket["hsm_key_id"]));
    let aad = bucket_aad(deployment(&vectors), expiry, key);
    let hsm_key = secret(&bucket["hsm_key"]);
    let opened = open(
        &hsm_key,
        array(&bucket["iv"]),
        &aad,
        array(&bucket["ciphertext"]),
    );
    assert!(opened.same_as(&secret(&bucket["bucket_key"])));
}

#[test]
fn what_an_address_key_derives() {
    let derived = &vectors()["derived"];
    let key = AddressKey::new(&secret(&derived["address_key"]));
    let conversation = ConversationId::try_from(text(&derived["conversation"])).unwrap();
    let request = ErasureId::from_bytes(array(&derived["request"]));
    let tag = key.idempotency_tag(request, &conversation);
    assert_eq!(*tag.as_bytes(), array(&derived["tag"]));
    let salt = key.commitment_salt(request, &conversation);
    assert!(salt.same_as(&secret(&derived["salt"])));
    let day = u32::try_from(derived["day"].as_u64().unwrap()).unwrap();
    let pseudonym = key.pseudonym(&conversation, day);
    assert_eq!(pseudonym.to_string(), text(&derived["pseudonym"]));
}

/// The directory's key makes the MACs of rows.
#[test]
fn rows_are_authentic() {
    let vectors = vectors();
    let directory = open_directory(&vectors);
    let key = directory.commitments().unwrap().key();
    for row in vectors["rows"].as_array().unwrap() {
        let values = row["columns"].as_array().unwrap();
        let blob = |value: &Value| value["hex"].as_str().map(|_| bytes(&value["hex"]));
        let blobs: Vec<Option<Vec<u8>>> = values.iter().map(blob).collect();
        let mut columns = Vec::new();
        for (value, blob) in values.iter().zip(&blobs) {
            columns.push(match (value, blob) {
                (_, Some(blob)) => Column::Blob(blob),
                (Value::String(text), _) => Column::Text(text),
                (Value::Number(number), _) => Column::Integer(number.as_i64().unwrap()),
                _ => Column::Null,
            });
        }
        let table = text(&row["table"]);
        assert_eq!(key.row_mac(table, &columns), array(&row["mac"]), "{table}");
    }
}

#[test]
fn receipts_verify() {
    let signed = &vectors()["signed"];
    let key = VerificationKey {
        id: HsmKeyId::from_bytes(array(&signed["key"])),
        purpose: SigningPurpose::Receipt,
        public_key: array(&signed["public_key"]),
    };
    let receipts = signed["receipts"].as_array().unwrap();
    let read = |receipt: &Value| Receipt::from_json(&receipt.to_string()).unwrap();
    let read: Vec<Receipt> = receipts.iter().map(read).collect();
    assert_eq!(read.len(), 4);
    for (receipt, written) in read.iter().zip(receipts) {
        assert_eq!(receipt.verify(std::slice::from_ref(&key)), Ok(()));
        let again: Value = serde_json::from_str(&receipt.to_json()).unwrap();
        assert_eq!(again, *written);
    }
    let opening = Opening::from_json(&signed["opening_of_the_first"].to_string()).unwrap();
    assert_eq!(read[0].opens_with(&opening), Ok(()));
}
