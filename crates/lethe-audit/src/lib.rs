//! The audit sink: JSON lines in preallocated segments, durable by group commit (ADR 0002).
//!
//! Callers append to the commit that is filling ([`queue`]); one thread ([`writer`]) takes it, puts
//! it into the [`log`] with one `O_DSYNC` write and answers all of them ([`commit`]). While it
//! writes, the next commit fills.
//!
//! The hash chain and its signed checkpoints belong into [`log`]: there, and only there, are the
//! order of lines and the borders of segments fixed.

mod ahead;
mod commit;
mod config;
mod folder;
mod log;
mod queue;
mod repair;
mod segment;
mod sink;
mod writer;

pub use config::AuditConfig;
pub use sink::FileAuditSink;
