//! A page or tail of any bytes, at any level: where (18 bytes), then the clear row. A flag pads or
//! cuts it to the length that its masks ask for, which would else be found by luck alone.
#![no_main]

use lethe_fuzz::pages::{Place, check};
use lethe_fuzz::rows;
use libfuzzer_sys::{Corpus, fuzz_target};

fuzz_target!(|data: &[u8]| -> Corpus {
    let Some((address, rest)) = data.split_first_chunk() else {
        return Corpus::Reject;
    };
    let Some((choice, rest)) = rest.split_first_chunk() else {
        return Corpus::Reject;
    };
    let Some(([level, flags], bytes)) = rest.split_first_chunk() else {
        return Corpus::Reject;
    };
    let level = level % 11;
    let place = Place {
        address: u64::from_be_bytes(*address),
        level,
        tail: flags & 1 == 1 && level > 0,
        choice: u64::from_be_bytes(*choice),
    };
    if flags & 2 == 0 || bytes.len() < 16 {
        check(place, bytes);
    } else {
        check(place, &fitted(place, bytes));
    }
    Corpus::Keep
});

/// A row of the right length that begins with `bytes`.
fn fitted(place: Place, bytes: &[u8]) -> Vec<u8> {
    let mut row = if place.tail {
        rows::tail(place.prefix(), place.address)
    } else {
        let (occupied, inner) = rows::masks(bytes);
        rows::page(occupied, inner, rows::width(place.prefix()), |slot| {
            99 + slot
        })
    };
    let length = row.len().min(bytes.len());
    row[..length].copy_from_slice(&bytes[..length]);
    row
}
