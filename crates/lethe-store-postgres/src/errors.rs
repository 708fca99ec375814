//! The one place where errors of sqlx and PostgreSQL become errors of the port.

use std::future::Future;
use std::io::ErrorKind as IoKind;
use std::time::Duration;

use lethe_core::ports::StoreError;
use sqlx::error::{DatabaseError, ErrorKind};
use sqlx::migrate::MigrateError;

/// Also of a database that is, when the store is opened.
pub(crate) const READ_ONLY: &str =
    "PostgreSQL is read-only: it is a standby, or default_transaction_read_only is on";

/// For `map_err`: what was being done stands in the message.
pub(crate) fn during(operation: &'static str) -> impl Fn(sqlx::Error) -> StoreError {
    move |error| match error {
        sqlx::Error::Database(error) => database(operation, error.as_ref()),
        sqlx::Error::ColumnDecode { .. }
        | sqlx::Error::ColumnNotFound(_)
        | sqlx::Error::Decode(_) => StoreError::Corrupt(format!("{operation}: {error}")),
        // What rustls refuses.
        sqlx::Error::Io(error) if error.kind() == IoKind::InvalidData => {
            failed(operation, &format!("no TLS with PostgreSQL: {error}"))
        }
        sqlx::Error::Tls(error) => failed(operation, &format!("no TLS with PostgreSQL: {error}")),
        sqlx::Error::Io(error) => {
            failed(operation, &format!("no connection to PostgreSQL: {error}"))
        }
        other => failed(operation, &other.to_string()),
    }
}

pub(crate) fn failed(operation: &str, why: &str) -> StoreError {
    StoreError::Unavailable(format!("{operation}: {why}"))
}

/// The database has no tables of a store.
pub(crate) fn no_store(database: &str) -> StoreError {
    StoreError::Unavailable(format!(
        "no store in the database {database}: lethe init makes one"
    ))
}

/// What waits for a server has an end.
pub(crate) async fn within<T>(
    limit: Duration,
    operation: &str,
    work: impl Future<Output = Result<T, StoreError>>,
) -> Result<T, StoreError> {
    let done = tokio::time::timeout(limit, work).await;
    done.unwrap_or_else(|_| Err(failed(operation, "PostgreSQL does not answer")))
}

/// For the migrations at start.
pub(crate) fn migration(error: MigrateError) -> StoreError {
    match error {
        MigrateError::Execute(error) | MigrateError::ExecuteMigration(error, _) => {
            during("migrate")(error)
        }
        other => StoreError::Corrupt(other.to_string()),
    }
}

fn database(operation: &str, error: &dyn DatabaseError) -> StoreError {
    if error.kind() == ErrorKind::UniqueViolation {
        return StoreError::Conflict(conflict(error.constraint()));
    }
    let code = error.code().unwrap_or_default();
    let message = match cause(&code) {
        Some(cause) => format!("{operation}: {cause} ({})", error.message()),
        None => format!("{operation}: {}", error.message()),
    };
    match &*code {
        // No right to it, or no schema: nothing is wrong with our rows.
        "42501" | "3F000" => StoreError::Unavailable(message),
        // A value that cannot be, a constraint, or a table or column that is missing.
        code if ["22", "23", "42"].iter().any(|it| code.starts_with(it)) => {
            StoreError::Corrupt(message)
        }
        // Data or an index that the server cannot read.
        "XX001" | "XX002" => StoreError::Corrupt(message),
        // Locked, full, read-only, stopping, too slow: outside our rows.
        _ => StoreError::Unavailable(message),
    }
}

/// What an operator has to know: the server's own messages depend on its release and language. The codes are
/// those of <https://www.postgresql.org/docs/current/errcodes-appendix.html>.
fn cause(code: &str) -> Option<&'static str> {
    Some(match code {
        "28000" | "28P01" => {
            "PostgreSQL does not let the role in: look at its password or certificate, and at pg_hba.conf"
        }
        "3D000" => "PostgreSQL has no such database",
        "3F000" => "the database has no schema public",
        "42501" => "the database role lacks a right: the database has to belong to it",
        "25006" => READ_ONLY,
        "53100" => "the disk of PostgreSQL is full",
        "53200" => "PostgreSQL has no memory left",
        "53300" => "PostgreSQL takes no more connections",
        "55P03" => "another session holds a lock",
        "57014" => "the statement took too long",
        "57P01" | "57P02" | "57P03" => "PostgreSQL stops, starts, or has ended the session",
        _ => return None,
    })
}

fn conflict(constraint: Option<&str>) -> &'static str {
    match constraint {
        Some("keyspace_name_key") => "a keyspace of this name exists",
        Some("keyspace_pkey") => "a keyspace of this id exists",
        Some("bucket_share_pkey") => "a bucket of this expiry exists",
        _ => "a row of this key exists",
    }
}
