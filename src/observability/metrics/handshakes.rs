use std::time::Duration;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::registry::Registry;
use rustls::NamedGroup;

use super::Metrics;

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct Group {
    group: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct Reason {
    reason: &'static str,
}

const GROUPS: [NamedGroup; 5] = [
    NamedGroup::X25519MLKEM768,
    NamedGroup::secp256r1MLKEM768,
    NamedGroup::X25519,
    NamedGroup::secp256r1,
    NamedGroup::secp384r1,
];

const fn name(group: NamedGroup) -> &'static str {
    match group {
        NamedGroup::X25519MLKEM768 => "X25519MLKEM768",
        NamedGroup::secp256r1MLKEM768 => "SecP256r1MLKEM768",
        NamedGroup::X25519 => "x25519",
        NamedGroup::secp256r1 => "secp256r1",
        NamedGroup::secp384r1 => "secp384r1",
        _ => "other",
    }
}

impl Metrics {
    /// Counts a handshake that succeeded.
    pub fn handshake(&self, group: NamedGroup) {
        let group = name(group);
        self.handshakes.get_or_create(&Group { group }).inc();
    }

    /// Counts a handshake that failed.
    pub fn failed_handshake(&self, reason: &'static str) {
        self.failed_handshakes
            .get_or_create(&Reason { reason })
            .inc();
    }

    /// Counts a connection that was closed without a byte.
    pub fn probe(&self) {
        self.probes.inc();
    }

    /// Adds processor time of handshakes and checks of certificates.
    pub fn handshake_computed(&self, took: Duration) {
        self.handshake_seconds.inc_by(took.as_secs_f64());
    }

    pub(super) fn begin_handshakes(&self) {
        for group in GROUPS {
            let group = name(group);
            self.handshakes.get_or_create_owned(&Group { group });
        }
    }

    /// Shows each reason from the start.
    pub fn begin_failed_handshakes(&self, reasons: impl IntoIterator<Item = &'static str>) {
        for reason in reasons {
            self.failed_handshakes
                .get_or_create_owned(&Reason { reason });
        }
    }

    pub(super) fn register_handshakes(&self, to: &mut Registry) {
        to.register(
            "tls_handshakes",
            "TLS handshakes that were done, by key exchange",
            self.handshakes.clone(),
        );
        to.register(
            "failed_handshakes",
            "TLS handshakes that failed, by reason",
            self.failed_handshakes.clone(),
        );
        to.register(
            "tcp_probes",
            "Connections that were closed without a byte",
            self.probes.clone(),
        );
        to.register(
            "handshake_cpu_seconds",
            "Processor time of handshakes and of checks of certificates",
            self.handshake_seconds.clone(),
        );
    }
}
