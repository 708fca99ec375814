//! Composition root: the only place that names SQLite, PKCS#11 and files.

mod adapters;
mod claim;
mod devices;
mod error;
mod lifecycle;
pub mod memory;
mod ops_listener;
pub mod reload;
mod stores;
pub mod takeover;
mod tasks;
#[cfg(test)]
pub(crate) mod tests;
mod wiring;

pub use adapters::init;
pub use error::AppError;
pub use lifecycle::App;
