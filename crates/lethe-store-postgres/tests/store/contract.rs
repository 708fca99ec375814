//! The store contract on PostgreSQL.

use std::sync::Arc;

use lethe_store_postgres::PostgresStore;
use lethe_testkit::postgres::Server;
use lethe_testkit::store_contract::Fixture;

use crate::site::Site;

struct InServer {
    site: Site<'static>,
    store: Option<Arc<PostgresStore>>,
}

impl Fixture for InServer {
    type Store = PostgresStore;

    async fn new() -> Self {
        let site = Site::new(Server::shared());
        let store = Some(Arc::new(site.create().await));
        Self { site, store }
    }

    fn store(&self) -> Arc<PostgresStore> {
        self.store.clone().unwrap()
    }

    async fn reopen(&mut self) {
        Arc::into_inner(self.store.take().unwrap())
            .expect("the only owner")
            .close()
            .await;
        self.store = Some(Arc::new(self.site.open().await));
    }

    async fn alter(&self, statements: &str) -> Result<u64, String> {
        let site = &self.site;
        let done = site.server.try_sql(&site.database, statements)?;
        let rows = done.rsplit(' ').next();
        Ok(rows.and_then(|rows| rows.parse().ok()).unwrap_or(0))
    }

    async fn authenticated(&self) -> Vec<(String, Vec<(String, String)>)> {
        let tables = "SELECT table_name FROM information_schema.columns WHERE column_name = 'mac'";
        let tables = self.site.sql(tables);
        let of = |table: &str| {
            let columns = self.site.sql(&format!(
                "SELECT column_name, data_type FROM information_schema.columns
                 WHERE table_name = '{table}'"
            ));
            let columns = columns.lines().map(|line| {
                let (column, kind) = line.split_once('|').unwrap();
                let other = match kind {
                    "bigint" => format!("{column} + 1"),
                    "bytea" => format!("set_byte({column}, 0, get_byte({column}, 0) # 1)"),
                    _ => format!("{column} || 'x'"),
                };
                (column.to_owned(), other)
            });
            (table.to_owned(), columns.collect())
        };
        tables.lines().map(of).collect()
    }
}

lethe_testkit::store_contract!(InServer);
