//! The members: the copies of the database that could ever be promoted. Before something is destroyed all of
//! them must have what replaces it, so the barrier asks each.

use std::time::Duration;

use lethe_core::ports::StoreError;
use sqlx::{Executor, PgConnection, Row};
use tokio::time::Instant;

use crate::connect::Host;
use crate::errors::{during, failed};
use crate::statements::{column, rows};

/// Longest wait for copies. A copy that has gone may still look as if it were there for a while: what it has
/// flushed counts only when it is seen soon after it was written.
const LIMIT: Duration = Duration::from_secs(4);
/// In milliseconds, from one look at the copies to the next.
const LOOKS: [u64; 6] = [1, 2, 4, 8, 16, 32];

/// On how many copies something has to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum On {
    /// On so many members, the primary among them.
    Members(u32),
    /// On all members. A copy that is no member must not follow.
    All,
}

/// A member, a copy that follows the primary, or both.
#[derive(Debug)]
pub(crate) struct Copy {
    pub(crate) member: Option<String>,
    /// The name and the address of what follows.
    follows: Option<(String, String)>,
    /// How many bytes of the WAL it has still to flush; none if it does not follow, or has not said.
    pub(crate) behind: Option<u64>,
}

impl Copy {
    fn flushed(&self) -> bool {
        self.behind == Some(0)
    }
}

/// Waits until what this session has committed is flushed by so many copies.
///
/// # Errors
/// As [`wait`].
pub(crate) async fn wait_for_commit(
    connection: &mut PgConnection,
    here: &str,
    on: On,
) -> Result<(), StoreError> {
    if on == On::Members(1) {
        return Ok(());
    }
    let place = flushed_here(connection).await?;
    wait(connection, here, &place, on).await
}

/// Up to where the primary has flushed the WAL.
pub(crate) async fn flushed_here(connection: &mut PgConnection) -> Result<String, StoreError> {
    let place = sqlx::query_scalar("SELECT pg_current_wal_flush_lsn()::text");
    let place = place.fetch_one(connection).await;
    place.map_err(during("flush"))
}

/// Waits until what was written up to a place of the WAL is flushed by so many copies.
///
/// # Errors
/// [`StoreError::Unavailable`]: which copy is missing, or must not be there.
pub(crate) async fn wait(
    connection: &mut PgConnection,
    here: &str,
    place: &str,
    on: On,
) -> Result<(), StoreError> {
    if on == On::Members(1) {
        return Ok(());
    }
    let (begun, mut pauses) = (
        Instant::now(),
        LOOKS.into_iter().chain(std::iter::repeat(50)),
    );
    loop {
        let copies = look(connection, place).await?;
        let missing = match on {
            On::All => missing_of_all(&copies, here)?,
            On::Members(number) => missing_of(&copies, here, number),
        };
        let Some(missing) = missing else {
            return Ok(());
        };
        if begun.elapsed() > LIMIT {
            return Err(StoreError::Unavailable(missing));
        }
        let pause = pauses.next().unwrap_or_default();
        tokio::time::sleep(Duration::from_millis(pause)).await;
    }
}

/// Logical replicas get rows, and never become this database. What writes a backup is let pass: nobody can do
/// without backups, and whoever starts one is stopped by the claim in the HSM.
pub(crate) async fn look(
    connection: &mut PgConnection,
    place: &str,
) -> Result<Vec<Copy>, StoreError> {
    let name = "look at the copies";
    let copies = sqlx::query(
        "SELECT m.name, r.name, r.address, r.behind
         FROM member m FULL JOIN (
             SELECT r.application_name AS name, coalesce(r.client_addr::text, 'a socket') AS address,
                    CASE WHEN r.flush_lsn IS NOT NULL
                         THEN greatest($1::text::pg_lsn - r.flush_lsn, 0)::bigint END AS behind,
                    r.backend_start AS began
             FROM pg_stat_replication r LEFT JOIN pg_replication_slots s ON s.active_pid = r.pid
             WHERE s.slot_type IS DISTINCT FROM 'logical'
                   AND r.application_name NOT IN ('pg_basebackup', 'pg_receivewal')
         ) r ON r.name = m.name
         ORDER BY coalesce(m.name, r.name), r.began DESC",
    );
    let copies = rows(connection, name, copies.bind(place.to_owned())).await?;
    let copy = |row: &sqlx::postgres::PgRow| -> Result<Copy, sqlx::Error> {
        let follows: (Option<String>, Option<String>) = (row.try_get(1)?, row.try_get(2)?);
        Ok(Copy {
            member: row.try_get(0)?,
            follows: follows.0.zip(follows.1),
            behind: row.try_get::<Option<i64>, _>(3)?.map(i64::unsigned_abs),
        })
    };
    let copies: Result<Vec<Copy>, _> = copies.iter().map(copy).collect();
    copies.map_err(during(name))
}

/// What is missing still, in words; none if nothing is. Of one member's sessions the newest counts, which
/// stands first.
fn missing_of_all(copies: &[Copy], here: &str) -> Result<Option<String>, StoreError> {
    let refuse = |why: String| Err(StoreError::Unavailable(why));
    let mut missing = None;
    let mut last: Option<&Copy> = None;
    for copy in copies {
        let Some(member) = &copy.member else {
            let (name, address) = copy.follows.clone().unwrap_or_default();
            return refuse(format!(
                "a copy of the database that is no member follows it ({name} at {address}): \
                 take it away, or make it a member"
            ));
        };
        let address = |it: &Copy| it.follows.as_ref().map(|(_, address)| address.clone());
        if let Some(newer) = last.filter(|it| it.member == copy.member) {
            if address(newer) != address(copy) {
                return refuse(format!("two copies of the database follow it as {member}"));
            }
            continue;
        }
        last = Some(copy);
        if member != here && copy.follows.is_none() {
            missing = Some(format!(
                "the copy {member} does not follow the primary {here}"
            ));
        } else if member != here && !copy.flushed() {
            missing = Some(format!("the copy {member} is behind the primary {here}"));
        }
    }
    Ok(missing)
}

fn missing_of(copies: &[Copy], here: &str, number: u32) -> Option<String> {
    let others = copies
        .iter()
        .filter_map(|it| it.member.as_deref().filter(|_| it.flushed()));
    let mut others: Vec<&str> = others.filter(|it| *it != here).collect();
    others.dedup();
    let on = others.len() + 1;
    (on < number as usize).then(|| {
        format!("it is on {on} of the {number} copies of the database on which it has to be")
    })
}

/// Writes down the copies of the configuration that are no members yet: all of them when the store is made.
/// Those that the configuration does not name stay members.
///
/// # Errors
/// [`StoreError::Unavailable`] when a member has another address there: this may be a clone.
pub(crate) async fn add(connection: &mut PgConnection, hosts: &[Host]) -> Result<(), StoreError> {
    let name = "write down the copies";
    let insert = sqlx::query(
        "INSERT INTO member (name, host, port) SELECT * FROM unnest($1::text[], $2::text[], $3::bigint[])
         ON CONFLICT (name) DO NOTHING",
    );
    let insert = insert
        .bind(column(hosts, |it| it.name.clone()))
        .bind(column(hosts, |it| it.host.clone()))
        .bind(column(hosts, |it| i64::from(it.port)));
    connection.execute(insert).await.map_err(during(name))?;
    for member in list(connection).await? {
        let named = hosts.iter().find(|it| it.name == member.name);
        if let Some(named) = named.filter(|it| **it != member) {
            return Err(failed(
                "the copies",
                &format!(
                    "{} is at {named} in the configuration and at {member} in the database: \
                     `lethe members set {}=...` says that it has moved",
                    named.name, named.name
                ),
            ));
        }
    }
    Ok(())
}

/// All members, by name.
pub(crate) async fn list(connection: &mut PgConnection) -> Result<Vec<Host>, StoreError> {
    let name = "read the copies";
    let all = sqlx::query("SELECT name, host, port FROM member ORDER BY name");
    let all = rows(connection, name, all).await?;
    let host = |row: &sqlx::postgres::PgRow| -> Result<Host, sqlx::Error> {
        Ok(Host {
            name: row.try_get(0)?,
            host: row.try_get(1)?,
            port: u16::try_from(row.try_get::<i64, _>(2)?).unwrap_or_default(),
        })
    };
    let all: Result<Vec<Host>, _> = all.iter().map(host).collect();
    all.map_err(during(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn copy(member: &str, follows: Option<(&str, &str)>, flushed: bool) -> Copy {
        Copy {
            member: (!member.is_empty()).then(|| member.to_owned()),
            follows: follows.map(|(name, address)| (name.into(), address.into())),
            behind: follows.map(|_| u64::from(!flushed)),
        }
    }

    #[test]
    fn all_members_have_to_have_it_and_nobody_else() {
        let (a, b) = (copy("a", None, false), copy("b", Some(("b", "1")), true));
        let missing =
            |copies: &[Copy]| missing_of_all(copies, "a").map(|it| it.unwrap_or_default());
        let why = |copies: &[Copy]| missing_of_all(copies, "a").unwrap_err().to_string();
        assert_eq!(missing(&[a, b]), Ok(String::new()));
        let a = || copy("a", None, false);
        let behind = copy("b", Some(("b", "1")), false);
        assert!(missing(&[a(), behind]).unwrap().contains("b is behind"));
        let away = copy("b", None, false);
        assert!(missing(&[a(), away]).unwrap().contains("b does not follow"));
        // An earlier session of the same copy, and another copy under its name.
        let twice = |address| {
            [
                a(),
                copy("b", Some(("b", "1")), true),
                copy("b", Some(("b", address)), false),
            ]
        };
        assert_eq!(missing(&twice("1")), Ok(String::new()));
        assert!(why(&twice("2")).contains("two copies"));
        let stranger = copy("", Some(("walreceiver", "3")), true);
        assert!(why(&[a(), stranger]).contains("walreceiver at 3"));
    }

    #[test]
    fn enough_members_have_to_have_it() {
        let copies = [
            copy("a", None, false),
            copy("b", Some(("b", "1")), true),
            copy("b", Some(("b", "2")), true),
            copy("c", None, false),
            copy("", Some(("d", "3")), true),
        ];
        assert_eq!(missing_of(&copies, "a", 2), None);
        assert!(
            missing_of(&copies, "a", 3)
                .unwrap()
                .contains("on 2 of the 3")
        );
    }
}
