use std::sync::Arc;

use rustls::NamedGroup;
use rustls::crypto::aws_lc_rs::{default_provider, kx_group};
use rustls::crypto::{CryptoProvider, SupportedKxGroup};
use serde::Deserialize;

/// Which key exchanges are accepted. A hybrid of a classical exchange and ML-KEM protects a recorded
/// session as long as one of the two is not broken.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum KeyExchange {
    /// A hybrid key exchange if the peer can, and else a classical one.
    #[default]
    HybridPreferred,
    /// A hybrid key exchange is required. Otherwise there is no session.
    HybridRequired,
}

const HYBRID: [&dyn SupportedKxGroup; 2] = [kx_group::X25519MLKEM768, kx_group::SECP256R1MLKEM768];
const CLASSICAL: [&dyn SupportedKxGroup; 3] =
    [kx_group::X25519, kx_group::SECP256R1, kx_group::SECP384R1];

/// The cryptography provider of TLS: `aws-lc-rs`, with key exchanges in this order.
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
