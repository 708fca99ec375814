//! Many rows in few statements: cut into powers of two, so that few different statements are
//! ever prepared.

use sqlx::{QueryBuilder, Sqlite};

/// Rows of one statement, at most; far below SQLite's limit of 32,766 parameters.
const MOST: usize = 128;

/// Cuts rows into pieces of 128, 64, 32, ... 1.
pub(crate) fn chunks<T>(rows: &[T]) -> impl Iterator<Item = &[T]> {
    let mut rest = rows;
    std::iter::from_fn(move || {
        let length = MOST.min(1 << rest.len().checked_ilog2()?);
        let (chunk, behind) = rest.split_at(length);
        rest = behind;
        Some(chunk)
    })
}

/// `head` and `(?, ?, ...)` for each of `rows`, bound by `bind`.
pub(crate) fn insert<'q, T>(
    head: &'static str,
    rows: &'q [T],
    mut bind: impl FnMut(sqlx::query_builder::Separated<'_, Sqlite, &'static str>, &'q T),
) -> QueryBuilder<Sqlite> {
    let mut query = QueryBuilder::new(head);
    query.push(" VALUES ");
    for (index, row) in rows.iter().enumerate() {
        query.push(if index == 0 { "(" } else { ", (" });
        bind(query.separated(", "), row);
        query.push(")");
    }
    query
}

/// `head` and `(?, ?, ...)` for a list of keys.
pub(crate) fn in_list<K>(head: &'static str, keys: &[K]) -> QueryBuilder<Sqlite>
where
    K: Clone + for<'q> sqlx::Encode<'q, Sqlite> + sqlx::Type<Sqlite> + 'static,
{
    let mut query = QueryBuilder::new(head);
    query.push(" (");
    let mut list = query.separated(", ");
    for key in keys {
        list.push_bind(key.clone());
    }
    query.push(")");
    query
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_row_once_and_in_order() {
        for length in [0, 1, 2, 3, 127, 128, 129, 1_000] {
            let rows: Vec<usize> = (0..length).collect();
            let cut: Vec<usize> = chunks(&rows).flatten().copied().collect();
            assert_eq!(cut, rows);
            assert!(chunks(&rows).all(|chunk| chunk.len().is_power_of_two()));
        }
    }
}
