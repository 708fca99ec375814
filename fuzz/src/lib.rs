//! The properties that the fuzz targets check: those of `crates/lethe-core/tests/parsers`, which
//! `make test` tries on generated inputs.
#![forbid(unsafe_code)]

#[path = "../../crates/lethe-core/tests/parsers/pages.rs"]
pub mod pages;
#[path = "../../crates/lethe-core/tests/parsers/rows.rs"]
pub mod rows;
#[path = "../../crates/lethe-core/tests/parsers/texts.rs"]
pub mod texts;

// These two files alone: the packages around them are the whole service and the whole simulator,
// and would take minutes to build.
#[path = "../../src/node/verification_keys/mod.rs"]
pub mod verification_keys;
#[path = "../../hsm-sim/src/wire.rs"]
pub mod wire;
