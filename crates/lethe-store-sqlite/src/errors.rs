//! The one place where errors of sqlx and SQLite become errors of the port.

use lethe_core::ports::StoreError;
use sqlx::error::{DatabaseError, ErrorKind};
use sqlx::migrate::MigrateError;

// Primary result codes of SQLite, <https://sqlite.org/rescode.html>.
const BUSY: i32 = 5;
const LOCKED: i32 = 6;
const CORRUPT: i32 = 11;
const CONSTRAINT: i32 = 19;
const MISMATCH: i32 = 20;
const NOT_A_DATABASE: i32 = 26;
/// `SQLITE_ERROR`: with statements fixed at compile time, a table or column that is missing.
const GENERIC: i32 = 1;

/// For `map_err`: the message says what was being done.
pub(crate) fn during(operation: &'static str) -> impl Fn(sqlx::Error) -> StoreError {
    move |error| match error {
        sqlx::Error::Database(error) => database(operation, error.as_ref()),
        sqlx::Error::ColumnDecode { .. }
        | sqlx::Error::ColumnNotFound(_)
        | sqlx::Error::Decode(_) => StoreError::Corrupt(format!("{operation}: {error}")),
        other => StoreError::Unavailable(format!("{operation}: {other}")),
    }
}

/// True when the same call may succeed a moment later.
pub(crate) fn is_busy(error: &sqlx::Error) -> bool {
    error
        .as_database_error()
        .and_then(primary_code)
        .is_some_and(|code| code == BUSY || code == LOCKED)
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
        return StoreError::Conflict(conflict(error.message()));
    }
    let message = format!("{operation}: {}", error.message());
    match primary_code(error) {
        Some(CORRUPT | CONSTRAINT | MISMATCH | NOT_A_DATABASE | GENERIC) => {
            StoreError::Corrupt(message)
        }
        // Busy, full, read-only, I/O, cannot open, out of memory: outside our rows.
        _ => StoreError::Unavailable(message),
    }
}

fn conflict(message: &str) -> &'static str {
    // SQLite names the columns: "UNIQUE constraint failed: keyspace.name".
    match message.rsplit(' ').next() {
        Some("keyspace.name") => "a keyspace of this name exists",
        Some("keyspace.id") => "a keyspace of this id exists",
        Some("bucket.expiry_s") => "a bucket of this expiry exists",
        _ => "a row of this key exists",
    }
}

/// sqlx reports extended codes; the low byte is the primary one.
fn primary_code(error: &dyn DatabaseError) -> Option<i32> {
    error.code()?.parse::<i32>().ok().map(|code| code & 0xff)
}
