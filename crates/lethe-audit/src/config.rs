use std::path::PathBuf;

/// The folder of the log, and the size of its segments.
#[derive(Debug, Clone)]
pub struct AuditConfig {
    /// An existing folder of the log's own, on a disk that honours flushes.
    pub directory: PathBuf,
    /// Bytes of a segment; a larger commit gets a segment of its size.
    pub segment_bytes: u64,
}

impl AuditConfig {
    /// 64 MiB: some 250,000 records of one key.
    pub const DEFAULT_SEGMENT_BYTES: u64 = 64 << 20;
}
