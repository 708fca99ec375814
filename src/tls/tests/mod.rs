//! Real handshakes in memory, with certificates made for each test.

mod configuration;
mod handshake;
mod identity;
mod parties;
