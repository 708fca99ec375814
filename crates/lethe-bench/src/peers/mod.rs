//! The servers that are measured, each in a process of its own.

mod admin;
mod control;
mod lethe;
mod openbao;
mod process;

pub(crate) use admin::{Method, call};
pub(crate) use control::start as start_control;
pub(crate) use lethe::{Lethe, Metrics};
pub(crate) use openbao::{OpenBao, find_or_fetch};
pub(crate) use process::Server;
