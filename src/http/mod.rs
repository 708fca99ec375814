//! The API over HTTP. Every request runs through [`pipeline`]; an endpoint only translates.

mod answer;
mod approvals;
mod authorize;
mod body;
mod browser;
mod call;
mod clock;
mod connection;
mod data_keys;
mod expiries;
mod hsm_moves;
mod json;
mod keyspaces;
mod openapi;
pub mod ops;
mod page;
mod path;
mod pipeline;
mod problem;
mod query;
mod reason;
mod record;
mod request;
mod request_id;
mod root;
mod routes;
mod server;
mod shreds;
mod socket;
mod state;
mod status;
#[cfg(test)]
mod tests;
mod time_limit;
mod times;
mod verification_keys;
mod versions;

pub use openapi::{document, outcomes};
pub use problem::{Code, Problem};
pub use routes::{Route, routes};
pub use server::{Timeouts, serve};
pub use state::ApiState;
pub(crate) use times::Rfc3339;
