//! The one place where errors of sqlx and PostgreSQL become errors of the port.

use lethe_core::ports::StoreError;
use sqlx::error::{DatabaseError, ErrorKind};
use sqlx::migrate::MigrateError;

/// `lock_not_available`
pub(crate) const LOCKED: &str = "55P03";

/// For `map_err`: what was being done stands in the message.
pub(crate) fn during(operation: &'static str) -> impl Fn(sqlx::Error) -> StoreError {
    move |error| match error {
        sqlx::Error::Database(error) => database(operation, error.as_ref()),
        sqlx::Error::ColumnDecode { .. }
        | sqlx::Error::ColumnNotFound(_)
        | sqlx::Error::Decode(_) => StoreError::Corrupt(format!("{operation}: {error}")),
        other => StoreError::Unavailable(format!("{operation}: {other}")),
    }
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
    let message = format!("{operation}: {}", error.message());
    // Classes of <https://www.postgresql.org/docs/current/errcodes-appendix.html>.
    match error.code().as_deref() {
        // No right to it: nothing is wrong with our rows.
        Some("42501") => StoreError::Unavailable(message),
        // A value that cannot be, a constraint, or a table or column that is missing.
        Some(code) if ["22", "23", "42"].iter().any(|it| code.starts_with(it)) => {
            StoreError::Corrupt(message)
        }
        // Data or an index that the server cannot read.
        Some("XX001" | "XX002") => StoreError::Corrupt(message),
        // Locked, full, read-only, stopping, too slow: outside our rows.
        _ => StoreError::Unavailable(message),
    }
}

fn conflict(constraint: Option<&str>) -> &'static str {
    match constraint {
        Some("keyspace_name_key") => "a keyspace of this name exists",
        Some("keyspace_pkey") => "a keyspace of this id exists",
        Some("bucket_share_pkey") => "a bucket of this expiry exists",
        _ => "a row of this key exists",
    }
}
