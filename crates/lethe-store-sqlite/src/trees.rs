//! Rows of the forgetting trees.

use std::collections::HashMap;

use async_trait::async_trait;
use lethe_core::ports::{StoreError, TreeChange, TreeStore};
use lethe_core::tree::{Prefix, Row, SealedPage, SealedTail, TailId, TreeId};
use lethe_store_sql::tails::{TAILS, check_range, next_tail, prefix_key, tail_key};
use sqlx::{Row as _, SqliteConnection, SqlitePool};

use crate::chunks::{chunks, in_list, insert};
use crate::errors::during;
use crate::open::SqliteStore;
use crate::statements::execute;

/// Rows of dropped trees that go in one transaction.
const SWEPT_AT_ONCE: i64 = 1_000;
#[async_trait]
impl TreeStore for SqliteStore {
    async fn tree_rows(
        &self,
        tree: TreeId,
        wanted: &[(Prefix, Row)],
    ) -> Result<Vec<Option<Vec<u8>>>, StoreError> {
        let (mut prefixes, mut tails) = (Vec::new(), Vec::new());
        for (prefix, row) in wanted {
            match row {
                Row::Page => prefixes.push(prefix_key(*prefix)),
                Row::Tail(id) => tails.push(tail_key(*id)?),
            }
        }
        let mut pages = pages(&self.reader, tree, &prefixes).await?;
        let mut tails = tail_rows(&self.reader, &tails).await?;
        let row = |(prefix, row): &(Prefix, Row)| match row {
            Row::Page => Ok(pages.remove(&prefix_key(*prefix))),
            Row::Tail(id) => Ok(tails.remove(&tail_key(*id)?)),
        };
        wanted.iter().map(row).collect()
    }

    async fn next_tail(&self, tree: TreeId) -> Result<TailId, StoreError> {
        let row: Option<(i64, i64)> = sqlx::query_as(
            "SELECT number, next_tail FROM tree WHERE keyspace_id = ? AND version = ? AND dropped = 0",
        )
        .bind(tree.keyspace.as_bytes().to_vec())
        .bind(i64::from(tree.version.number()))
        .fetch_optional(&self.reader)
        .await
        .map_err(during("read next tail"))?;
        let (number, next) = row.ok_or(StoreError::Conflict("no such tree"))?;
        next_tail(number, next)
    }

    async fn sweep_dropped_trees(&self) -> Result<bool, StoreError> {
        let mut write = self.write("sweep dropped trees").await?;
        let done = sweep(&mut write.inner).await;
        write.finish(done).await
    }
}

async fn number(connection: &mut SqliteConnection, tree: TreeId) -> Result<i64, StoreError> {
    let number = sqlx::query_scalar(
        "SELECT number FROM tree WHERE keyspace_id = ? AND version = ? AND dropped = 0",
    )
    .bind(tree.keyspace.as_bytes().to_vec())
    .bind(i64::from(tree.version.number()))
    .fetch_optional(connection)
    .await
    .map_err(during("find tree"))?;
    number.ok_or(StoreError::Conflict("no such tree"))
}

pub(crate) async fn change(
    connection: &mut SqliteConnection,
    change: &TreeChange,
) -> Result<(), StoreError> {
    let number = number(connection, change.tree).await?;
    let next_tail = tail_key(change.next_tail)?;
    check_range(number, next_tail)?;
    replace_pages(connection, number, &change.pages).await?;
    append_tails(connection, &change.tails).await?;
    let gone: Vec<i64> = change
        .superseded
        .iter()
        .map(|tail| tail_key(*tail))
        .collect::<Result<_, _>>()?;
    for keys in chunks(&gone) {
        let mut delete = in_list("DELETE FROM tail WHERE row_id IN", keys);
        let deleted = delete.build().execute(&mut *connection);
        deleted.await.map_err(during("delete tails"))?;
    }
    let advance = sqlx::query("UPDATE tree SET next_tail = ? WHERE number = ?")
        .bind(next_tail)
        .bind(number);
    execute(connection, "advance tails", advance)
        .await
        .map(drop)
}

/// In the order of their keys: neighbours stand on the same page of the index.
async fn replace_pages(
    connection: &mut SqliteConnection,
    tree: i64,
    pages: &[SealedPage],
) -> Result<(), StoreError> {
    let mut pages: Vec<&SealedPage> = pages.iter().collect();
    pages.sort_unstable_by_key(|page| prefix_key(page.prefix));
    for rows in chunks(&pages) {
        let head = "INSERT INTO page (tree, prefix, bytes)";
        let mut query = insert(head, rows, |mut row, page| {
            row.push_bind(tree);
            row.push_bind(prefix_key(page.prefix));
            row.push_bind(page.bytes.clone());
        });
        query.push(" ON CONFLICT (tree, prefix) DO UPDATE SET bytes = excluded.bytes");
        let written = query.build().execute(&mut *connection);
        written.await.map_err(during("write pages"))?;
    }
    Ok(())
}

async fn append_tails(
    connection: &mut SqliteConnection,
    tails: &[SealedTail],
) -> Result<(), StoreError> {
    let rows: Vec<(i64, &SealedTail)> = tails
        .iter()
        .map(|tail| Ok((tail_key(tail.id)?, tail)))
        .collect::<Result<_, StoreError>>()?;
    for rows in chunks(&rows) {
        let head = "INSERT INTO tail (row_id, bytes)";
        let mut query = insert(head, rows, |mut row, (key, tail)| {
            row.push_bind(*key);
            row.push_bind(tail.bytes.clone());
        });
        let written = query.build().execute(&mut *connection);
        written.await.map_err(during("append tails"))?;
    }
    Ok(())
}

async fn pages(
    reader: &SqlitePool,
    tree: TreeId,
    prefixes: &[i64],
) -> Result<HashMap<i64, Vec<u8>>, StoreError> {
    let mut found = HashMap::with_capacity(prefixes.len());
    for keys in chunks(prefixes) {
        let mut query = in_list("SELECT prefix, bytes FROM page WHERE prefix IN", keys);
        query.push(" AND tree = (SELECT number FROM tree WHERE dropped = 0 AND keyspace_id = ");
        query.push_bind(tree.keyspace.as_bytes().to_vec());
        query.push(" AND version = ");
        query.push_bind(i64::from(tree.version.number()));
        query.push(")");
        collect(reader, query, &mut found).await?;
    }
    Ok(found)
}

async fn tail_rows(reader: &SqlitePool, ids: &[i64]) -> Result<HashMap<i64, Vec<u8>>, StoreError> {
    let mut found = HashMap::with_capacity(ids.len());
    for keys in chunks(ids) {
        let query = in_list("SELECT row_id, bytes FROM tail WHERE row_id IN", keys);
        collect(reader, query, &mut found).await?;
    }
    Ok(found)
}

async fn collect(
    reader: &SqlitePool,
    mut query: sqlx::QueryBuilder<sqlx::Sqlite>,
    found: &mut HashMap<i64, Vec<u8>>,
) -> Result<(), StoreError> {
    let rows = query.build().fetch_all(reader).await;
    for row in rows.map_err(during("read pages"))? {
        let key = row.try_get(0).map_err(during("read pages"))?;
        found.insert(key, row.try_get(1).map_err(during("read pages"))?);
    }
    Ok(())
}

/// Some rows of the first dropped tree; when none is left, the tree's own.
async fn sweep(connection: &mut SqliteConnection) -> Result<bool, StoreError> {
    let number: Option<i64> =
        sqlx::query_scalar("SELECT number FROM tree WHERE dropped = 1 LIMIT 1")
            .fetch_optional(&mut *connection)
            .await
            .map_err(during("find dropped trees"))?;
    let Some(number) = number else {
        return Ok(false);
    };
    let pages = sqlx::query(
        "DELETE FROM page WHERE row_id IN (SELECT row_id FROM page WHERE tree = ? LIMIT ?)",
    )
    .bind(number)
    .bind(SWEPT_AT_ONCE);
    if execute(connection, "sweep pages", pages).await? > 0 {
        return Ok(true);
    }
    let tails = sqlx::query(
        "DELETE FROM tail WHERE row_id IN
             (SELECT row_id FROM tail WHERE row_id >= ?1 AND row_id < ?2 LIMIT ?3)",
    )
    .bind(number * TAILS)
    .bind((number + 1) * TAILS)
    .bind(SWEPT_AT_ONCE);
    if execute(connection, "sweep tails", tails).await? > 0 {
        return Ok(true);
    }
    let tree = sqlx::query("DELETE FROM tree WHERE number = ?").bind(number);
    execute(connection, "sweep tree", tree).await?;
    Ok(true)
}
