//! Makes the file of the next segment, on a thread of its own, while the present one fills.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;

use crate::segment;

/// A file that is being made. If this is dropped, the thread stops and removes the file.
pub(crate) struct Ahead {
    path: PathBuf,
    stop: Arc<AtomicBool>,
    maker: Option<JoinHandle<io::Result<()>>>,
}

impl Ahead {
    pub(crate) fn start(path: PathBuf, bytes: u64) -> io::Result<Self> {
        let stop = Arc::new(AtomicBool::new(false));
        let maker = std::thread::Builder::new()
            .name("audit-ahead".into())
            .spawn({
                let (path, stop) = (path.clone(), Arc::clone(&stop));
                move || segment::draft(&path, bytes, &stop)
            })?;
        Ok(Self {
            path,
            stop,
            maker: Some(maker),
        })
    }

    /// Whether the thread has ended, with success or not. Does not wait.
    pub(crate) fn is_done(&self) -> bool {
        self.maker.as_ref().is_none_or(JoinHandle::is_finished)
    }

    /// The file, if it could be made.
    pub(crate) fn finish(mut self) -> Option<PathBuf> {
        let made = self.maker.take()?.join();
        matches!(made, Ok(Ok(()))).then(|| self.path.clone())
    }
}

impl Drop for Ahead {
    fn drop(&mut self) {
        let Some(maker) = self.maker.take() else {
            return;
        };
        self.stop.store(true, Ordering::Relaxed);
        // The result does not matter any more. A file that stays is removed at the next start.
        let _ = maker.join();
        let _ = std::fs::remove_file(&self.path);
    }
}
