//! The servers that are measured, each in a process of its own.

mod admin;
mod control;
mod hsm_sim;
mod lethe;
mod openbao;
mod process;

pub(crate) use admin::{Answer, Method, ask, call};
pub(crate) use control::start as start_control;
pub(crate) use hsm_sim::HsmSim;
pub(crate) use lethe::{Lethe, Metrics, database_bytes, run_lethe, serve};
pub(crate) use openbao::{OpenBao, find_or_fetch};
pub(crate) use process::Server;
