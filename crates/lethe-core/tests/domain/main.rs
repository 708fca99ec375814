//! Rules of the domain that need no model and no attacker.
#![allow(clippy::unwrap_used)] // a test fails by panicking, its helpers too

mod binding;
mod clock_across_stops;
mod receipt;
mod tree;
mod vectors;
