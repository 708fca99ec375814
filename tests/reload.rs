//! Configuration, certificates and revocation lists change while connections are open.
#![allow(clippy::unwrap_used, reason = "tests")]

mod support;

#[path = "reload/expiry.rs"]
mod expiry;
#[path = "reload/grants.rs"]
mod grants;
#[path = "reload/refused.rs"]
mod refused;
#[path = "reload/renewal.rs"]
mod renewal;
#[path = "reload/revocation.rs"]
mod revocation;
