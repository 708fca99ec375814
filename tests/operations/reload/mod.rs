//! Configuration, certificates and revocation lists change while connections are open.

mod expiry;
mod grants;
mod refused;
mod renewal;
mod revocation;
