use std::sync::Arc;

use rustls::NamedGroup;
use rustls::crypto::aws_lc_rs::{default_provider, kx_group};
use rustls::crypto::{CryptoProvider, SupportedKxGroup};
use serde::Deserialize;

/// What a session recorded today stays closed to: a hybrid of a classical exchange and ML-KEM does
/// so as long as either of them holds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum KeyExchange {
    /// A hybrid with everybody who can, a classical one with others.
    #[default]
    HybridPreferred,
    /// A hybrid, or no session.
    HybridRequired,
}

const HYBRID: [&dyn SupportedKxGroup; 2] = [kx_group::X25519MLKEM768, kx_group::SECP256R1MLKEM768];
const CLASSICAL: [&dyn SupportedKxGroup; 3] =
    [kx_group::X25519, kx_group::SECP256R1, kx_group::SECP384R1];

/// The cryptography of all our TLS: that of `aws-lc-rs`, its key exchanges in our order.
#[must_use]
pub fn provider(wanted: KeyExchange) -> Arc<CryptoProvider> {
    let mut kx_groups = HYBRID.to_vec();
    if wanted == KeyExchange::HybridPreferred {
        kx_groups.extend(CLASSICAL);
    }
    Arc::new(CryptoProvider {
        kx_groups,
        ..default_provider()
    })
}

/// Whether a group is a hybrid that [`provider`] knows.
#[must_use]
pub fn is_hybrid(group: NamedGroup) -> bool {
    HYBRID.iter().any(|known| known.name() == group)
}
