//! What must hold for any text, and for any clear bytes of a directory.

use lethe_core::directory::{Directory, Entry};
use lethe_core::duration::Span;
use lethe_core::receipt::{Opening, Receipt};
use lethe_core::secret::Secret32;
use lethe_core::wrapped_key::WrappedKey;
use serde_json::Value;

use super::rows::{DEPLOYMENT, seal_once};

const SEQUENCE: u64 = 5;

/// Each of these is false when the text is refused. A wrapped key has one spelling.
pub fn wrapped_key(text: &str) -> bool {
    let Ok(key) = text.parse::<WrappedKey>() else {
        return false;
    };
    assert_eq!(key.to_string(), text);
    let other = Secret32::filled(|bytes| bytes.fill(1));
    // Nothing in it was made for this key.
    assert!(key.unwrap(&other).is_err());
    true
}

/// A receipt says the same JSON again, and nothing in it makes the verifier panic.
pub fn receipt(text: &str) -> bool {
    let Ok(receipt) = Receipt::from_json(text) else {
        return false;
    };
    let again = receipt.to_json();
    assert_eq!(value(&again), value(text));
    assert_eq!(Receipt::from_json(&again).as_ref(), Ok(&receipt));
    let signer = lethe_core::ports::VerificationKey {
        id: receipt.facts.signing_key,
        purpose: lethe_core::ports::SigningPurpose::Receipt,
        public_key: [9; 32],
    };
    assert!(receipt.verify(&[signer]).is_err());
    true
}

/// The opening of a receipt says the same JSON again.
pub fn opening(text: &str) -> bool {
    let Ok(opening) = Opening::from_json(text) else {
        return false;
    };
    let again = opening.to_json();
    assert_eq!(value(&again), value(text));
    let read = Opening::from_json(&again).expect("what was just written");
    assert_eq!(read.commitment(), opening.commitment());
    true
}

/// Up to white space, the order of fields and the spelling of strings.
fn value(text: &str) -> Value {
    serde_json::from_str(text).expect("it was read as JSON")
}

/// A duration is shown so that it reads as the same.
pub fn duration(text: &str) -> bool {
    let Ok(span) = text.parse::<Span>() else {
        return false;
    };
    assert_eq!(span.to_string().parse(), Ok(span));
    true
}

/// A directory has one encoding, entries ascending.
pub fn directory(clear: &[u8]) -> bool {
    let secret = Secret32::filled(|bytes| bytes.fill(0xd1));
    let data = [
        b"lethe/v1/directory".as_slice(),
        DEPLOYMENT.as_bytes(),
        &SEQUENCE.to_be_bytes(),
    ];
    let open = |sealed: &[u8]| Directory::open(sealed, &secret, DEPLOYMENT, SEQUENCE);
    assert!(open(clear).is_err(), "never sealed");
    let sealed = seal_once(secret.expose(), &data.concat(), clear);
    let Ok(directory) = open(&sealed) else {
        return false;
    };
    assert_eq!(directory.seal(&secret, DEPLOYMENT, SEQUENCE), sealed);
    let ascending = |pair: &[Entry]| pair[0].tree_id() < pair[1].tree_id();
    assert!(directory.entries().windows(2).all(ascending));
    for entry in directory.entries() {
        let found = directory.entry(entry.keyspace, entry.version);
        assert!(found.is_some_and(|found| found.tree_id() == entry.tree_id()));
    }
    true
}
