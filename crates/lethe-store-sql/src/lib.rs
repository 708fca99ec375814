//! What the stores in SQL share: rows into types, types into columns, and the MACs of rows. Each store has
//! its own schema, statements and errors.

pub mod authentic;
pub mod clock;
pub mod decode;
pub mod encode;
pub mod place;
pub mod row;
pub mod tails;
