//! The API over HTTP. [`road`] is the way of every request; the endpoints only translate.

mod body;
mod call;
mod data_keys;
mod keyspaces;
mod openapi;
pub mod ops;
mod problem;
mod road;
mod router;
mod server;
mod status;
mod times;

pub use openapi::document;
pub use problem::{Code, Problem};
pub use router::router;
pub use server::{Limits, serve};
