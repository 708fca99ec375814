//! What an operator sees of the members, and changes: beside the process that serves the store.

use lethe_core::ports::StoreError;
use sqlx::{Executor, PgConnection};

use crate::connect::{Connect, Host};
use crate::errors::{during, failed, no_store};
use crate::members::{On, flushed_here, list, look, wait_for_commit};
use crate::primary::{Primary, find};
use crate::statements::execute;

/// By which others know the session of an operator's command.
const APPLICATION: &str = "lethe members";

/// A member, as the primary sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Member {
    /// Its name and address.
    pub host: Host,
    /// What it does.
    pub role: MemberRole,
}

/// What a member does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MemberRole {
    /// It is written to.
    Primary,
    /// It follows the primary, and lacks so many bytes of the WAL on its disk.
    Follows(u64),
    /// It does not follow the primary.
    Away,
}

impl Connect {
    /// All members, by name.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] when no copy can be written, or the database holds no store.
    pub async fn members(&self) -> Result<Vec<Member>, StoreError> {
        let (primary, mut connection) = self.administer().await?;
        let place = flushed_here(&mut connection).await?;
        let copies = look(&mut connection, &place).await?;
        let members = list(&mut connection).await?.into_iter();
        let behind = |host: &Host| {
            let copy = copies
                .iter()
                .find(|it| it.member.as_deref() == Some(&host.name));
            copy.and_then(|it| it.behind)
        };
        let role = |host: &Host| match behind(host) {
            _ if host.name == primary.host.name => MemberRole::Primary,
            Some(bytes) => MemberRole::Follows(bytes),
            None => MemberRole::Away,
        };
        let member = |host: Host| Member {
            role: role(&host),
            host,
        };
        Ok(members.map(member).collect())
    }

    /// Makes copies members, or gives members other addresses, and takes members off: those are stopped for good.
    /// The barrier heeds it from its next look on.
    ///
    /// # Errors
    /// As [`Self::members`]; also when a copy that is taken off is no member, or is the primary: then nothing
    /// was changed. When too few copies have it, the text says that it is done.
    pub async fn set_members(&self, set: &[Host], off: &[String]) -> Result<(), StoreError> {
        let name = "change the members";
        let (primary, mut connection) = self.administer().await?;
        if off.contains(&primary.host.name) {
            let why = format!(
                "{} is the primary: promote another one first",
                primary.host.name
            );
            return Err(failed(name, &why));
        }
        connection.execute("BEGIN").await.map_err(during(name))?;
        for host in set {
            let insert = sqlx::query(
                "INSERT INTO member (name, host, port) VALUES ($1, $2, $3)
                 ON CONFLICT (name) DO UPDATE SET host = EXCLUDED.host, port = EXCLUDED.port",
            );
            let insert = insert.bind(&host.name).bind(&host.host);
            execute(&mut connection, name, insert.bind(i64::from(host.port))).await?;
        }
        for member in off {
            let delete = sqlx::query("DELETE FROM member WHERE name = $1").bind(member);
            if execute(&mut connection, name, delete).await? == 0 {
                // The transaction goes with the connection.
                return Err(failed(name, &format!("{member} is no member")));
            }
        }
        connection.execute("COMMIT").await.map_err(during(name))?;
        // A failover would forget it.
        let on = On::Members(self.durable_on);
        let flushed = wait_for_commit(&mut connection, &primary.host.name, on).await;
        flushed.map_err(|error| failed(name, &format!("it is done, but {error}")))
    }

    async fn administer(&self) -> Result<(Primary, PgConnection), StoreError> {
        self.check()?;
        let (primary, mut connection) = find(self, APPLICATION).await?;
        let there = sqlx::query_scalar("SELECT to_regclass('member') IS NOT NULL");
        let there: Result<bool, _> = there.fetch_one(&mut connection).await;
        if !there.map_err(during("look for the store"))? {
            return Err(no_store(&self.database));
        }
        Ok((primary, connection))
    }
}
