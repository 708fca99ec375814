//! The Rust side against `tests/independent/`, a second reader of every format, written from
//! `docs/FORMATS.md` in another language: both must read the same and refuse the same.
#![allow(
    dead_code,
    unreachable_pub,
    clippy::unwrap_used,
    reason = "helpers of tests panic like tests, and are shared"
)]

#[path = "independent/agreement/alterations.rs"]
mod alterations;
#[path = "independent/program.rs"]
mod program;
#[path = "independent/agreement/receipts.rs"]
mod receipts;
#[path = "independent/agreement/rows.rs"]
mod rows;
#[path = "independent/agreement/signed.rs"]
mod signed;
#[path = "independent/agreement/trees.rs"]
mod trees;
#[path = "independent/agreement/vectors.rs"]
mod vectors;
#[path = "independent/agreement/world.rs"]
mod world;
