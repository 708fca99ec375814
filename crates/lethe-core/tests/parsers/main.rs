//! The parsers of what comes from outside, on arbitrary bytes and on valid ones that were spoiled.
//! `fuzz/` searches the same properties for longer, with coverage to guide it.
#![allow(clippy::unwrap_used)] // a test fails by panicking, its helpers too
#![allow(unreachable_pub)] // `fuzz/` takes some of these files in, as a library

mod pages;
mod rows;
mod spoil;
mod texts;
mod valid;

use pages::{Place, check};
use proptest::prelude::*;
use spoil::{Spoil, spoils};
use valid::{any_page, any_tail, ascending, directory, entries, opening, receipt, wrapped_key};

fn places() -> impl Strategy<Value = Place> {
    (any::<u64>(), 0_u8..11, any::<bool>(), any::<u64>()).prop_map(
        |(address, level, tail, choice)| Place {
            address,
            level,
            tail: tail && level > 0,
            choice,
        },
    )
}

/// Bytes, and whether they came through unspoiled.
fn spoiled(valid: impl Strategy<Value = Vec<u8>>) -> impl Strategy<Value = (Vec<u8>, bool)> {
    (valid, spoils()).prop_map(|(valid, spoils)| {
        let bytes = Spoil::all(&spoils, &valid);
        let same = bytes == valid;
        (bytes, same)
    })
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// Valid and spoiled pages and tails, each with its place.
fn rows_in_place() -> impl Strategy<Value = (Place, Vec<u8>, bool)> {
    places().prop_flat_map(|place| {
        let valid = if place.tail {
            any_tail(place).boxed()
        } else {
            any_page(place.level).boxed()
        };
        (Just(place), spoiled(valid)).prop_map(|(place, (bytes, same))| (place, bytes, same))
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1024))]

    #[test]
    fn receipts((bytes, same) in spoiled(receipt())) {
        prop_assert!(texts::receipt(&text(&bytes)) || !same);
    }

    #[test]
    fn pages_and_tails((place, bytes, same) in rows_in_place()) {
        prop_assert!(check(place, &bytes) || !same);
    }
}

proptest! {
    #[test]
    fn arbitrary_bytes(place in places(), bytes in prop::collection::vec(any::<u8>(), 0..400)) {
        check(place, &bytes);
        texts::directory(&bytes);
        let text = text(&bytes);
        prop_assert!(!texts::wrapped_key(&text) && !texts::receipt(&text) && !texts::opening(&text));
        texts::duration(&text);
    }

    #[test]
    fn directories_ascend(entries in entries()) {
        let ascending = entries.windows(2).all(|pair| pair[0].0 < pair[1].0);
        prop_assert_eq!(texts::directory(&directory(&entries)), ascending);
    }

    #[test]
    fn directories((bytes, same) in spoiled(ascending().prop_map(|entries| directory(&entries)))) {
        prop_assert!(texts::directory(&bytes) || !same);
    }

    #[test]
    fn wrapped_keys((bytes, same) in spoiled(wrapped_key())) {
        prop_assert!(texts::wrapped_key(&text(&bytes)) || !same);
    }

    #[test]
    fn openings((bytes, same) in spoiled(opening())) {
        prop_assert!(texts::opening(&text(&bytes)) || !same);
    }

    #[test]
    fn durations(span in "[0-9]{1,20}(ms|s|m|h|d)?", spoils in spoils()) {
        texts::duration(&span);
        texts::duration(&text(&Spoil::all(&spoils, span.as_bytes())));
    }
}
