//! The Rust side against `tests/independent/`, a second reader of every format, written from
//! `docs/FORMATS.md` in another language: both must read the same and refuse the same.
#![allow(
    dead_code,
    unreachable_pub,
    clippy::unwrap_used,
    reason = "helpers of tests panic like tests, and are shared"
)]

mod alterations;
mod receipts;
mod rows;
mod signed;
mod trees;
mod vectors;
mod world;
