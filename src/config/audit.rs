use std::path::PathBuf;

use lethe_audit::AuditConfig;
use serde::Deserialize;

/// `[audit]`
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AuditSection {
    /// An existing folder of its own.
    pub directory: PathBuf,
    /// Bytes of a segment.
    #[serde(default = "segment_bytes")]
    pub segment_bytes: u64,
}

const fn segment_bytes() -> u64 {
    AuditConfig::DEFAULT_SEGMENT_BYTES
}

impl AuditSection {
    pub(super) fn check(&self) -> Result<(), String> {
        if (64 << 10..=1 << 30).contains(&self.segment_bytes) {
            Ok(())
        } else {
            Err("audit.segment_bytes must be 65536 to 1073741824".into())
        }
    }

    /// For the adapter.
    #[must_use]
    pub fn sink(&self) -> AuditConfig {
        AuditConfig {
            directory: self.directory.clone(),
            segment_bytes: self.segment_bytes,
        }
    }
}
