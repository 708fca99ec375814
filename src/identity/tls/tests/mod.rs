//! Real handshakes in memory, with certificates made for each test.

mod accept;
mod clients;
mod configuration;
mod handshake;
mod identity;
mod lists;
mod parties;
mod server_certificate;
mod session;
