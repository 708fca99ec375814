//! The parsers of clear pages and tails: no panic on any bytes, one encoding of each.

use proptest::prelude::*;

use super::buffer::{SecretBytes, Writer};
use super::name::Prefix;
use super::page::{Branch, Page, lay_out};
use super::sealed::KeyMark;
use super::shape;
use super::tail::{self, Tail};
use super::{Address, DEPTH};

fn secret(bytes: &[u8]) -> SecretBytes {
    let mut writer = Writer::with_capacity(bytes.len());
    writer.push(bytes);
    writer.finish()
}

fn prefixes() -> impl Strategy<Value = Prefix> {
    (any::<u64>(), 0_u8..11).prop_map(|(bits, level)| {
        let depth = level * 6;
        Prefix::new(bits & !(u64::MAX >> depth), depth).unwrap()
    })
}

fn mark() -> KeyMark {
    KeyMark::from_key(&[0; 32])
}

fn page(prefix: Prefix, bytes: &[u8]) -> Option<Page> {
    Page::parse(prefix, mark(), secret(bytes))
}

/// Bytes that are nearly a page: masks, and about as much behind them as they ask for.
fn nearly_pages() -> impl Strategy<Value = (Prefix, Vec<u8>)> {
    let masks = (any::<u64>(), any::<u64>(), any::<u64>(), 0_u8..8);
    (prefixes(), masks, -9_i32..9).prop_map(|(prefix, (first, second, third, how), off)| {
        let slots = if how & 1 == 0 {
            shape::lowest(1 << prefix.width())
        } else {
            u64::MAX
        };
        let occupied = first & slots & if how & 2 == 0 { second } else { u64::MAX };
        let inner = if prefix.has_children() || how & 4 == 0 {
            third & occupied
        } else {
            third
        };
        let tails = (occupied & !inner).count_ones() as usize;
        let children = 32 * occupied.count_ones() as usize + 8 * tails;
        let children = if prefix.has_children() { children } else { 0 };
        let body = 32 * shape::seeds(occupied, prefix.width()) + children;
        // Half of the time the exact length.
        let body = body.saturating_add_signed(if off > 0 { off as isize } else { 0 });
        let mut bytes = [occupied.to_be_bytes(), inner.to_be_bytes()].concat();
        bytes.extend((0..body).map(|n| n as u8));
        (prefix, bytes)
    })
}

/// What a page says of itself, written down again.
fn again(page: &Page) -> Vec<u8> {
    let occupied = page.occupied();
    lay_out(
        (occupied, page.inner()),
        page.seeds().as_flattened(),
        page.entries(occupied),
    )
    .as_slice()
    .to_vec()
}

fn walk_everywhere(page: &Page, address: u64) {
    let width = page.prefix().width();
    for slot in 0..1_u64 << width {
        let shift = DEPTH - page.prefix().depth() - width;
        let address = address & !(((1 << width) - 1) << shift) | slot << shift;
        let occupied = page.occupied() >> slot & 1 == 1;
        let seed = matches!(
            page.branch(Address::from_bits(address)),
            Branch::Seed { .. }
        );
        assert_ne!(occupied, seed);
    }
}

proptest! {
    #[test]
    fn any_bytes(prefix in prefixes(), bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        if let Some(page) = page(prefix, &bytes) {
            prop_assert_eq!(&again(&page), &bytes);
        }
        let _ = Tail::parse(prefix, mark(), secret(&bytes));
    }

    #[test]
    fn what_is_accepted_is_canonical((prefix, bytes) in nearly_pages(), address: u64) {
        if let Some(page) = page(prefix, &bytes) {
            prop_assert_eq!(&again(&page), &bytes);
            walk_everywhere(&page, address);
        }
    }

    #[test]
    fn a_tail_is_of_its_place_and_length(
        prefix in prefixes(), leaf: u64, inside: bool, off in -1_isize..2, address: u64,
    ) {
        let below = u64::MAX.checked_shr(prefix.depth().into()).unwrap_or(0);
        let leaf = if inside { prefix.bits() | leaf & below } else { leaf };
        let length = 32 * usize::from(DEPTH - prefix.depth());
        let mut bytes = leaf.to_be_bytes().to_vec();
        bytes.resize((tail::ADDRESS + length).saturating_add_signed(off), 7);
        let covered = prefix.covers(Address::from_bits(leaf));
        let valid = off == 0 && covered && prefix != Prefix::TOP;
        let tail = Tail::parse(prefix, mark(), secret(&bytes));
        prop_assert_eq!(tail.is_some(), valid);
        if let Some(tail) = tail {
            let address = Address::from_bits(prefix.bits() | address & below);
            let same = address.bits() == leaf;
            prop_assert_eq!(tail.co_path().seed(address).is_none(), same);
        }
    }
}

#[test]
fn the_generator_makes_pages_that_are_accepted() {
    use proptest::strategy::ValueTree;
    use proptest::test_runner::TestRunner;
    let mut runner = TestRunner::deterministic();
    let accepted = (0..200).filter(|_| {
        let (prefix, bytes) = nearly_pages().new_tree(&mut runner).unwrap().current();
        page(prefix, &bytes).is_some()
    });
    assert!((20..180).contains(&accepted.count()));
}

#[test]
fn strange_pages_are_refused() {
    let below = Prefix::new(0, 6).unwrap();
    let leaves = Prefix::new(0, 60).unwrap();
    let bytes = |occupied: u64, inner: u64, body: usize| {
        let mut bytes = [occupied.to_be_bytes(), inner.to_be_bytes()].concat();
        bytes.resize(16 + body, 1);
        bytes
    };
    let refused =
        |prefix, occupied, inner, body| page(prefix, &bytes(occupied, inner, body)).is_none();
    assert!(page(below, &bytes(3, 2, 5 * 32 + 72)).is_some());
    assert!(refused(below, 0, 0, 32), "nothing forgotten");
    assert!(refused(below, 1, 0, 6 * 32 + 40), "one tail alone");
    assert!(
        page(Prefix::TOP, &bytes(1, 0, 6 * 32 + 40)).is_some(),
        "but at the top"
    );
    assert!(
        refused(below, 3, 4, 5 * 32 + 80),
        "a page behind a slot of the cover"
    );
    assert!(page(leaves, &bytes(3, 0, 3 * 32)).is_some());
    assert!(refused(leaves, 3, 1, 3 * 32), "a page below a leaf");
    assert!(
        refused(leaves, 1 << 16 | 1, 0, 4 * 32),
        "a seventeenth leaf"
    );
}
