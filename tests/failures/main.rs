//! What fails, stops, dies or moves: nothing is lost, and what was forgotten stays so.
#![allow(clippy::unwrap_used, reason = "tests")]

#[path = "../support/mod.rs"]
mod support;

mod clock;
mod forget_kill;
mod forget_outages;
mod forget_restore;
mod hsm_move;
mod hsm_move_kill;
mod hsm_move_refused;
mod hsm_move_takeover;
mod kill;
mod nodes;
mod outages;
mod takeover;
