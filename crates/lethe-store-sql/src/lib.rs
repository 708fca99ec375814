//! What the stores in SQL share: rows into types, types into columns, the MACs of rows, and the statements that
//! both databases take. Each store has its own schema, errors, and statements of many rows.

pub mod authentic;
pub mod clock;
pub mod decode;
pub mod deployment;
pub mod encode;
pub mod hsm_moves;
pub mod keyspaces;
pub mod place;
pub mod receipts;
pub mod row;
pub mod statements;
pub mod tails;
