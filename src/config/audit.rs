use std::path::PathBuf;

use lethe_audit::AuditConfig;
use serde::Deserialize;

/// `[audit]`
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AuditSection {
    /// The folder of the audit log. It must exist, and is for the log alone.
    pub directory: PathBuf,
    /// Size in bytes at which a new segment file is begun.
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

    /// The settings for the adapter of the audit log.
    #[must_use]
    pub fn sink(&self) -> AuditConfig {
        AuditConfig {
            directory: self.directory.clone(),
            segment_bytes: self.segment_bytes,
        }
    }
}
