//! One segment: a file filled with line ends before use, so that a line reader sees empty lines
//! behind the last record, and a write changes no metadata: `O_DSYNC` then costs one disk write.

use std::fs::{File, Metadata, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{FileExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

use rustix::fs::OFlags;

use crate::folder::{Folder, MODE};

/// Size of a piece of a new file. Pieces are flushed one by one, so that commits of the present segment
/// get in between.
const CHUNK: usize = 256 << 10;

/// Somebody else has changed the log. What is there now is not repaired.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(crate) struct Tampered(&'static str);

impl Tampered {
    pub(crate) fn error(what: &'static str) -> io::Error {
        io::Error::other(Self(what))
    }

    pub(crate) fn is(error: &io::Error) -> bool {
        error.get_ref().is_some_and(|inner| inner.is::<Self>())
    }
}

/// The segment that is written.
pub(crate) struct Segment {
    pub(crate) number: u64,
    path: PathBuf,
    file: File,
    end: u64,
    bytes: u64,
    /// When this process wrote it last.
    written: (i64, i64),
}

impl Segment {
    /// Begins to use a draft of `bytes` bytes with this number.
    pub(crate) fn publish(
        folder: &Folder,
        draft: &Path,
        number: u64,
        bytes: u64,
    ) -> io::Result<Self> {
        let path = folder.publish(draft, number)?;
        let file = OpenOptions::new()
            .write(true)
            .custom_flags(OFlags::DSYNC.bits().cast_signed())
            .open(&path)?;
        let written = written_at(&file.metadata()?);
        Ok(Self {
            number,
            path,
            file,
            end: 0,
            bytes,
            written,
        })
    }

    pub(crate) const fn is_empty(&self) -> bool {
        self.end == 0
    }

    pub(crate) const fn fits(&self, length: usize) -> bool {
        self.end + length as u64 <= self.bytes
    }

    /// One durable write behind the last line.
    pub(crate) fn write(&mut self, lines: &[u8]) -> io::Result<()> {
        self.check_content()?;
        self.file.write_all_at(lines, self.end)?;
        self.written = written_at(&self.file.metadata()?);
        self.check()?;
        self.end += lines.len() as u64;
        Ok(())
    }

    /// Whether the file is still the one at its path, and is unchanged.
    pub(crate) fn check(&self) -> io::Result<()> {
        self.check_content()?;
        let ours = self.file.metadata()?;
        match self.path.symlink_metadata() {
            Ok(there) if (there.dev(), there.ino()) == (ours.dev(), ours.ino()) => Ok(()),
            Ok(_) => Err(Tampered::error("another file is in the segment's place")),
            Err(_) => Err(Tampered::error("the segment was moved")),
        }
    }

    fn check_content(&self) -> io::Result<()> {
        let file = self.file.metadata()?;
        // A deleted file still accepts writes, which are lost.
        if file.nlink() == 0 {
            return Err(Tampered::error("the segment was deleted"));
        }
        if file.len() != self.bytes {
            return Err(Tampered::error("the segment was cut or extended"));
        }
        if written_at(&file) != self.written {
            return Err(Tampered::error("the segment was written by somebody else"));
        }
        Ok(())
    }

    /// Cuts off what was not used.
    pub(crate) fn close(self) -> io::Result<()> {
        self.file.set_len(self.end)
    }
}

fn written_at(file: &Metadata) -> (i64, i64) {
    (file.mtime(), file.mtime_nsec())
}

/// Makes the file of a segment, full of line ends, and makes it durable. This is slow. Fails early if
/// `stop` is set.
pub(crate) fn draft(path: &Path, bytes: u64, stop: &AtomicBool) -> io::Result<()> {
    // The file is new and not truncated: if the name still leads to a segment, its lines stay.
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut file = OpenOptions::new()
        .create_new(true)
        .write(true)
        .mode(MODE)
        .open(path)?;
    let chunk = vec![b'\n'; CHUNK];
    let mut left = bytes;
    while left > 0 {
        if stop.load(Ordering::Relaxed) {
            return Err(io::ErrorKind::Interrupted.into());
        }
        let part = left.min(CHUNK as u64) as usize;
        file.write_all(&chunk[..part])?;
        file.sync_data()?;
        left -= part as u64;
    }
    file.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// No test can pull the plug; that each write waits for the disk is a flag of the file.
    #[test]
    fn writes_wait_for_the_disk() {
        let directory = tempfile::tempdir().unwrap();
        let folder = Folder::open(directory.path()).unwrap();
        let path = folder.draft("next");
        draft(&path, 4_096, &AtomicBool::new(false)).unwrap();
        let segment = Segment::publish(&folder, &path, 1, 4_096).unwrap();
        let flags = rustix::fs::fcntl_getfl(&segment.file).unwrap();
        assert!(flags.contains(OFlags::DSYNC), "{flags:?}");
    }

    #[test]
    fn a_draft_that_is_not_wanted_any_more_stops() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("draft");
        assert!(draft(&path, 4_096, &AtomicBool::new(true)).is_err());
    }
}
