//! Rows of the forgetting trees.

use std::collections::HashMap;

use async_trait::async_trait;
use lethe_core::ports::{StoreError, TreeChange, TreeStore};
use lethe_core::tree::{Prefix, Row, SealedPage, SealedTail, TailId, TreeId};
use lethe_store_sql::tails::{TAILS, check_range, next_tail, prefix_key, tail_key};
use sqlx::PgConnection;

use crate::errors::during;
use crate::open::PostgresStore;
use crate::statements::{column, execute};

/// Rows of dropped trees that go in one transaction.
const SWEPT_AT_ONCE: i64 = 1_000;

#[async_trait]
impl TreeStore for PostgresStore {
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
        let (mut pages, mut tails) = self
            .calls
            .read("read pages", move |connection| {
                Box::pin(tree_rows(connection, tree, prefixes, tails))
            })
            .await?;
        let row = |(prefix, row): &(Prefix, Row)| match row {
            Row::Page => Ok(pages.remove(&prefix_key(*prefix))),
            Row::Tail(id) => Ok(tails.remove(&tail_key(*id)?)),
        };
        wanted.iter().map(row).collect()
    }

    async fn next_tail(&self, tree: TreeId) -> Result<TailId, StoreError> {
        let row = self.calls.read("read next tail", move |connection| {
            Box::pin(live_tree(connection, tree))
        });
        let (number, next) = row.await?;
        next_tail(number, next)
    }

    async fn sweep_dropped_trees(&self) -> Result<bool, StoreError> {
        self.calls
            .write("sweep dropped trees", |connection| {
                Box::pin(sweep(connection))
            })
            .await
    }
}

async fn advance(
    connection: &mut PgConnection,
    number: i64,
    next_tail: i64,
) -> Result<(), StoreError> {
    let advance = sqlx::query("UPDATE tree SET next_tail = $1 WHERE number = $2");
    let advance = advance.bind(next_tail).bind(number);
    execute(connection, "advance tails", advance)
        .await
        .map(drop)
}

/// The number of a live tree, and its `next_tail`.
async fn live_tree(connection: &mut PgConnection, tree: TreeId) -> Result<(i64, i64), StoreError> {
    let row = sqlx::query_as(
        "SELECT number, next_tail FROM tree WHERE keyspace_id = $1 AND version = $2 AND dropped = 0",
    )
    .bind(tree.keyspace.as_bytes().as_slice())
    .bind(i64::from(tree.version.number()))
    .fetch_optional(connection)
    .await
    .map_err(during("find tree"))?;
    row.ok_or(StoreError::Conflict("no such tree"))
}

pub(crate) async fn change(
    connection: &mut PgConnection,
    change: &TreeChange,
) -> Result<(), StoreError> {
    let (number, _) = live_tree(connection, change.tree).await?;
    let next_tail = tail_key(change.next_tail)?;
    check_range(number, next_tail)?;
    replace_pages(connection, number, &change.pages).await?;
    append_tails(connection, &change.tails).await?;
    let gone = change.superseded.iter().map(|tail| tail_key(*tail));
    let gone: Vec<i64> = gone.collect::<Result<_, _>>()?;
    let delete = sqlx::query("DELETE FROM tail WHERE row_id = ANY($1)").bind(gone);
    execute(connection, "delete tails", delete).await?;
    advance(connection, number, next_tail).await
}

/// In the order of their keys: neighbours stand on the same page of the index.
async fn replace_pages(
    connection: &mut PgConnection,
    tree: i64,
    pages: &[SealedPage],
) -> Result<(), StoreError> {
    let mut pages: Vec<&SealedPage> = pages.iter().collect();
    pages.sort_unstable_by_key(|page| prefix_key(page.prefix));
    let replace = sqlx::query(
        "INSERT INTO page (tree, prefix, bytes)
         SELECT $1, prefix, bytes FROM unnest($2::bigint[], $3::bytea[]) AS new (prefix, bytes)
         ON CONFLICT (tree, prefix) DO UPDATE SET bytes = excluded.bytes",
    )
    .bind(tree)
    .bind(column(&pages, |page| prefix_key(page.prefix)))
    .bind(column(&pages, |page| page.bytes.as_slice()));
    execute(connection, "write pages", replace).await.map(drop)
}

async fn append_tails(
    connection: &mut PgConnection,
    tails: &[SealedTail],
) -> Result<(), StoreError> {
    let keys = tails.iter().map(|tail| tail_key(tail.id));
    let keys: Vec<i64> = keys.collect::<Result<_, _>>()?;
    let append = sqlx::query(
        "INSERT INTO tail (row_id, bytes)
         SELECT row_id, bytes FROM unnest($1::bigint[], $2::bytea[]) AS new (row_id, bytes)",
    )
    .bind(keys)
    .bind(column(tails, |tail| tail.bytes.as_slice()));
    execute(connection, "append tails", append).await.map(drop)
}

/// Rows by their keys.
type Found = HashMap<i64, Vec<u8>>;

async fn tree_rows(
    connection: &mut PgConnection,
    tree: TreeId,
    prefixes: Vec<i64>,
    tails: Vec<i64>,
) -> Result<(Found, Found), StoreError> {
    let mut found = (HashMap::new(), HashMap::new());
    if !prefixes.is_empty() {
        let pages: Vec<(i64, Vec<u8>)> = sqlx::query_as(
            "SELECT prefix, bytes FROM page WHERE prefix = ANY($1) AND tree =
                 (SELECT number FROM tree WHERE dropped = 0 AND keyspace_id = $2 AND version = $3)",
        )
        .bind(prefixes)
        .bind(tree.keyspace.as_bytes().as_slice())
        .bind(i64::from(tree.version.number()))
        .fetch_all(&mut *connection)
        .await
        .map_err(during("read pages"))?;
        found.0 = pages.into_iter().collect();
    }
    if !tails.is_empty() {
        let tails: Vec<(i64, Vec<u8>)> =
            sqlx::query_as("SELECT row_id, bytes FROM tail WHERE row_id = ANY($1)")
                .bind(tails)
                .fetch_all(connection)
                .await
                .map_err(during("read pages"))?;
        found.1 = tails.into_iter().collect();
    }
    Ok(found)
}

/// Some rows of the first dropped tree; when none is left, the tree's own.
async fn sweep(connection: &mut PgConnection) -> Result<bool, StoreError> {
    let number: Option<i64> =
        sqlx::query_scalar("SELECT number FROM tree WHERE dropped = 1 LIMIT 1")
            .fetch_optional(&mut *connection)
            .await
            .map_err(during("find dropped trees"))?;
    let Some(number) = number else {
        return Ok(false);
    };
    let pages = sqlx::query(
        "DELETE FROM page WHERE tree = $1 AND prefix IN
             (SELECT prefix FROM page WHERE tree = $1 LIMIT $2)",
    );
    let pages = pages.bind(number).bind(SWEPT_AT_ONCE);
    if execute(connection, "sweep pages", pages).await? > 0 {
        return Ok(true);
    }
    let tails = sqlx::query(
        "DELETE FROM tail WHERE row_id IN
             (SELECT row_id FROM tail WHERE row_id >= $1 AND row_id < $2 LIMIT $3)",
    )
    .bind(number * TAILS)
    .bind((number + 1) * TAILS)
    .bind(SWEPT_AT_ONCE);
    if execute(connection, "sweep tails", tails).await? > 0 {
        return Ok(true);
    }
    let tree = sqlx::query("DELETE FROM tree WHERE number = $1").bind(number);
    execute(connection, "sweep tree", tree).await?;
    Ok(true)
}
