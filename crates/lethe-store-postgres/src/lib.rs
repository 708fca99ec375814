//! The store in PostgreSQL 14 or newer: one database, which one process serves.
//!
//! What a call begins is carried out to its end by a task of its own, whatever becomes of the caller
//! (`calls.rs`). A COMMIT whose answer was lost has ended before anything else is asked.

mod administer;
mod approvals;
mod authentic;
mod backends;
mod barrier;
mod batch;
mod buckets;
mod calls;
mod clock;
mod connect;
mod deployment;
mod erasures;
mod errors;
mod guard;
mod hsm_moves;
mod key_uses;
mod keyspaces;
mod members;
mod open;
mod place;
mod pool;
mod primary;
mod receipts;
mod session;
mod shred_window;
mod statements;
mod trees;

pub use administer::{Member, MemberRole};
pub use connect::{Connect, Host, Tls};
pub use open::PostgresStore;
