//! The port's contract on the file log.

use std::path::PathBuf;
use std::sync::Arc;

use lethe_audit::FileAuditSink;
use lethe_testkit::audit_contract::Fixture;

/// So small that every clause goes over many segments.
const SEGMENT: u64 = 4_096;

struct Files {
    parent: tempfile::TempDir,
    sink: Arc<FileAuditSink>,
}

impl Files {
    fn folder(&self) -> PathBuf {
        self.parent.path().join("audit")
    }
}

impl Fixture for Files {
    type Sink = FileAuditSink;

    async fn new() -> Self {
        let parent = tempfile::tempdir().unwrap();
        let folder = parent.path().join("audit");
        std::fs::create_dir(&folder).unwrap();
        let sink = Arc::new(crate::common::open(&folder, SEGMENT));
        Self { parent, sink }
    }

    fn sink(&self) -> Arc<FileAuditSink> {
        Arc::clone(&self.sink)
    }

    async fn reopen(&mut self) {
        self.sink.close().await.unwrap();
        self.sink = Arc::new(crate::common::open(&self.folder(), SEGMENT));
    }

    /// Under another name first: a segment may be in the making.
    fn break_down(&self) {
        let gone = self.parent.path().join("gone");
        std::fs::rename(self.folder(), &gone).unwrap();
        std::fs::remove_dir_all(gone).unwrap();
    }

    fn repair(&self) {
        std::fs::create_dir(self.folder()).unwrap();
    }

    fn lines(&self) -> Vec<String> {
        crate::common::lines(&self.folder())
    }
}

lethe_testkit::audit_contract!(Files);
