//! The forgetting tree through its API: where pages open, what a puncture does twice, which
//! generation is current.

use aws_lc_rs::rand::{SecureRandom, SystemRandom};
use lethe_core::conversation::ConversationId;
use lethe_core::grid::Generation;
use lethe_core::identity::{DeploymentId, KeyspaceId};
use lethe_core::keyspace::KeyVersion;
use lethe_core::ports::{Entropy, EntropyError};
use lethe_core::secret::Secret32;
use lethe_core::tree::{
    Address, AddressKey, CoverRoot, CurrentGeneration, KeptPages, Lookup, PageError, PageReference,
    PageVersion, Puncture, PunctureError, Punctured, Row, TailId, Tree, TreeId, page_version,
};

const DEPLOYMENT: DeploymentId = DeploymentId::from_bytes([7; 16]);
const TREE: TreeId = TreeId {
    keyspace: KeyspaceId::from_bytes([1; 16]),
    version: KeyVersion::FIRST,
};

struct System;

impl Entropy for System {
    fn fill(&self, bytes: &mut [u8]) -> Result<(), EntropyError> {
        SystemRandom::new().fill(bytes).map_err(|_| EntropyError)
    }
}

struct NoEntropy;

impl Entropy for NoEntropy {
    fn fill(&self, _: &mut [u8]) -> Result<(), EntropyError> {
        Err(EntropyError)
    }
}

fn seed() -> Secret32 {
    Secret32::filled(|bytes| bytes.fill(3))
}

fn puncture_with(entropy: &dyn Entropy) -> Puncture<'_> {
    Puncture {
        deployment: DEPLOYMENT,
        version: PageVersion::new(5),
        next_tail: TailId::new(1),
        entropy,
    }
}

fn tree(root: &CoverRoot) -> Tree<'_> {
    Tree { id: TREE, root }
}

fn punctured(root: &CoverRoot, pages: &KeptPages, leaves: &[u64]) -> Option<Punctured> {
    let leaves: Vec<_> = leaves.iter().copied().map(Address::from_bits).collect();
    let puncture = Puncture {
        // Each id once: enough room for what earlier punctures took.
        next_tail: TailId::new(1 + 100 * root.forgotten()),
        ..puncture_with(&System)
    };
    tree(root).puncture(&leaves, pages, puncture).unwrap()
}

fn missing(root: &CoverRoot, pages: &KeptPages, leaf: u64) -> PageReference {
    match tree(root).lookup(Address::from_bits(leaf), pages) {
        Lookup::Missing(page) => page,
        other => panic!("{other:?}"),
    }
}

#[test]
fn neighbours_that_differ_in_the_last_bit() {
    let (pages, whole) = (KeptPages::default(), CoverRoot::Whole(seed()));
    let done = punctured(&whole, &pages, &[8, 9, 8]).unwrap();
    assert_eq!(done.root.forgotten(), 2);
    assert_eq!(
        (done.pages.len(), done.tails.len()),
        (11, 0),
        "one page each six levels"
    );
    let (root, mut pages) = (CoverRoot::Page(top(&done)), pages);
    pages.apply(TREE, done);
    for leaf in [0, 7, 8, 9, 10, u64::MAX] {
        let address = Address::from_bits(leaf);
        match tree(&root).lookup(address, &pages) {
            Lookup::Leaf(key) => {
                let whole = CoverRoot::Whole(seed());
                let expected = tree(&whole).leaf_of_whole(address).unwrap();
                assert!(key.same_as(&expected), "{leaf}");
            }
            Lookup::Forgotten => assert!([8, 9].contains(&leaf), "{leaf}"),
            Lookup::Missing(page) => panic!("{page:?}"),
        }
    }
}

/// The root of a puncture, without taking it apart.
fn top(done: &Punctured) -> lethe_core::tree::TopPage {
    let CoverRoot::Page(top) = &done.root else {
        panic!("a punctured tree has pages")
    };
    lethe_core::tree::TopPage {
        key: Secret32::filled(|bytes| bytes.copy_from_slice(top.key.expose())),
        forgotten: top.forgotten,
    }
}

#[test]
fn a_forgotten_leaf_cannot_be_forgotten_again() {
    let (mut pages, whole) = (KeptPages::default(), CoverRoot::Whole(seed()));
    let done = punctured(&whole, &pages, &[1 << 63, 1]).unwrap();
    let root = CoverRoot::Page(top(&done));
    pages.apply(TREE, done);
    assert!(punctured(&root, &pages, &[1, 1 << 63, 1]).is_none());
    assert!(punctured(&root, &pages, &[]).is_none());
    let more = punctured(&root, &pages, &[1, 2]).unwrap();
    assert_eq!(more.root.forgotten(), 3);
    assert_eq!(
        more.superseded.len(),
        1,
        "the tail of leaf 1 held a seed above leaf 2"
    );
}

#[test]
fn a_puncture_says_all_that_it_misses() {
    let (mut pages, whole) = (KeptPages::default(), CoverRoot::Whole(seed()));
    let leaves = [0, 1 << 63, 1 << 62, 3 << 62];
    let done = punctured(&whole, &pages, &leaves).unwrap();
    let root = CoverRoot::Page(top(&done));
    let tails: Vec<_> = done.tails.iter().map(|tail| Row::Tail(tail.id)).collect();
    pages.apply(TREE, done);
    pages.drop_tails();
    let neighbours: Vec<_> = leaves
        .iter()
        .map(|leaf| Address::from_bits(leaf | 1))
        .collect();
    let result = tree(&root).puncture(&neighbours, &pages, puncture_with(&System));
    let Err(PunctureError::Missing(missing)) = result else {
        panic!("tails are missing")
    };
    let rows: Vec<_> = missing.iter().map(PageReference::row).collect();
    assert_eq!(rows, tails);
    assert_eq!(rows.len(), leaves.len());
}

#[test]
fn pages_open_in_their_place_only() {
    let (mut pages, whole) = (KeptPages::default(), CoverRoot::Whole(seed()));
    let done = punctured(&whole, &pages, &[4, 5, 1 << 63]).unwrap();
    let other = punctured(&whole, &pages, &[4, 5, 1 << 63]).unwrap();
    let root = CoverRoot::Page(top(&done));
    let top = missing(&root, &pages, 4);
    let row_of = |done: &Punctured, reference: &PageReference| match reference.row() {
        Row::Page => done
            .pages
            .iter()
            .find(|page| page.prefix == reference.prefix())
            .unwrap()
            .bytes
            .clone(),
        Row::Tail(id) => done
            .tails
            .iter()
            .find(|tail| tail.id == id)
            .unwrap()
            .bytes
            .clone(),
    };
    let row = row_of(&done, &top);
    assert_eq!(page_version(&row), Some(PageVersion::new(5)));
    pages.insert(top.open(DEPLOYMENT, &row).unwrap());
    let (inner, tail) = (
        missing(&root, &pages, 6),
        missing(&root, &pages, 1 << 63 | 1),
    );
    assert!(matches!(
        (inner.row(), tail.row()),
        (Row::Page, Row::Tail(_))
    ));
    for reference in [&top, &inner, &tail] {
        let row = row_of(&done, reference);
        assert!(reference.open(DEPLOYMENT, &row).is_ok());
        let elsewhere = DeploymentId::from_bytes([8; 16]);
        let refused =
            |row: &[u8]| matches!(reference.open(DEPLOYMENT, row), Err(PageError::DoesNotOpen));
        assert!(
            reference.open(elsewhere, &row).is_err(),
            "another deployment"
        );
        assert!(
            refused(&row_of(&other, reference)),
            "the same page under another key"
        );
        assert!(
            (0..row.len()).all(|length| refused(&row[..length])),
            "cut short"
        );
        for at in 0..row.len() {
            let mut altered = row.clone();
            altered[at] ^= 1;
            assert!(refused(&altered), "byte {at} altered");
        }
    }
}

#[test]
fn a_page_of_an_older_root_counts_as_missing() {
    let (mut pages, whole) = (KeptPages::default(), CoverRoot::Whole(seed()));
    let first = punctured(&whole, &pages, &[4]).unwrap();
    let old_root = CoverRoot::Page(top(&first));
    pages.apply(TREE, first);
    let second = punctured(&old_root, &pages, &[1 << 63]).unwrap();
    let page = missing(&second.root, &pages, 1 << 63);
    assert_eq!(page.row(), Row::Page);
}

#[test]
fn nothing_is_sealed_without_randomness() {
    let (pages, whole) = (KeptPages::default(), CoverRoot::Whole(seed()));
    let leaf = [Address::from_bits(1)];
    let result = tree(&whole).puncture(&leaf, &pages, puncture_with(&NoEntropy));
    assert!(matches!(result, Err(PunctureError::Entropy(EntropyError))));
}

#[test]
fn tails_go_on_from_no_row_id_that_a_store_made_up() {
    let (pages, whole) = (KeptPages::default(), CoverRoot::Whole(seed()));
    let leaves = [1, 1 << 62].map(Address::from_bits);
    for number in [u64::MAX, u64::MAX - 20, 1 << 63, i64::MAX as u64] {
        let next_tail = TailId::new(number);
        let puncture = Puncture {
            next_tail,
            ..puncture_with(&System)
        };
        let result = tree(&whole).puncture(&leaves, &pages, puncture);
        assert!(matches!(result, Err(PunctureError::TailIds(it)) if it == next_tail));
    }
}

#[test]
fn the_current_generation_counts_shredded_and_accepted() {
    let conversation = ConversationId::try_from("c1").unwrap();
    let address_key = AddressKey::new(&seed());
    let address = |number| address_key.address(&conversation, Generation::new(number));
    let (mut pages, mut root) = (KeptPages::default(), CoverRoot::Whole(seed()));
    for shredded in 0..20_u16 {
        for accepted in [0, 1, 3] {
            let waiting: Vec<_> = (shredded..shredded + accepted).map(address).collect();
            let found = tree(&root).current_generation(
                |generation| address(generation.number()),
                |address| waiting.contains(&address),
                &pages,
            );
            let expected = Generation::new(shredded + accepted);
            assert!(matches!(found, CurrentGeneration::Found(found) if found == expected));
        }
        let next = punctured(&root, &pages, &[address(shredded).bits()]).unwrap();
        root = CoverRoot::Page(top(&next));
        pages.apply(TREE, next);
    }
    let used_up = tree(&root).current_generation(|_| address(0), |_| false, &pages);
    assert!(matches!(used_up, CurrentGeneration::UsedUp));
    let cold = KeptPages::default();
    let unknown = tree(&root).current_generation(|_| address(0), |_| false, &cold);
    assert!(matches!(unknown, CurrentGeneration::Missing(_)));
}
