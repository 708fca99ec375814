//! Real handshakes in memory, with certificates made for each test.

mod clients;
mod configuration;
mod handshake;
mod identity;
mod parties;
mod session;
