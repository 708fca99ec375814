//! Composition root: the only place that names SQLite, PKCS#11 and files.

mod claim;
mod devices;
mod error;
mod lifecycle;
pub mod memory;
pub mod reload;
pub mod takeover;
mod tasks;
mod wiring;

pub use error::AppError;
pub use wiring::{App, init};
