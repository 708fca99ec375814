//! Keys of rows of the forgetting trees.

use lethe_core::ports::StoreError;
use lethe_core::tree::{Prefix, TailId};

use crate::row::signed;

/// Row ids of tails for each tree.
pub const TAILS: i64 = 1 << 40;

/// As a signed number: the order does not matter, equality does.
#[must_use]
pub const fn prefix_key(prefix: Prefix) -> i64 {
    prefix.row_key().cast_signed()
}

/// The row id of a tail.
///
/// # Errors
/// [`StoreError::Corrupt`] for one that the column cannot hold.
pub fn tail_key(tail: TailId) -> Result<i64, StoreError> {
    signed(tail.number(), "tail.row_id")
}

/// Row ids of a tree's tails, the first free one included, are its own: else it would write over
/// another tree's.
///
/// # Errors
/// [`StoreError::Corrupt`] for another's.
pub fn check_range(number: i64, next: i64) -> Result<(), StoreError> {
    let first = number.checked_mul(TAILS);
    let end = first.and_then(|first| first.checked_add(TAILS));
    match (first, end) {
        (Some(first), Some(end)) if (first..=end).contains(&next) => Ok(()),
        _ => Err(StoreError::Corrupt(format!(
            "tree.next_tail of tree {number} is {next}"
        ))),
    }
}

/// The first free row id of tails of a tree, as its row says.
///
/// # Errors
/// As [`check_range`].
pub fn next_tail(number: i64, next: i64) -> Result<TailId, StoreError> {
    check_range(number, next)?;
    Ok(TailId::new(next.cast_unsigned()))
}
