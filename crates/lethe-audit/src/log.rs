//! The log on the disk: the segment that is written, the change to the next, recovery.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;

use crate::ahead::Ahead;
use crate::config::AuditConfig;
use crate::folder::Folder;
use crate::repair::repair;
use crate::segment::{self, Segment, Tampered};

/// Size of a short segment, which takes some 20 ms to make. It is used at the start, after a failure,
/// and when the next segment is not ready in time.
const SHORT: u64 = 4 << 20;

pub(crate) struct Log {
    folder: Folder,
    segment_bytes: u64,
    segment: Option<Segment>,
    ahead: Option<Ahead>,
    /// The highest number ever used here: no number is used twice, even if its file is deleted.
    newest: u64,
    /// Whether the newest segment was not closed in order.
    dirty: bool,
}

impl Log {
    /// Repairs what a crash left, and begins a new segment.
    pub(crate) fn open(config: &AuditConfig) -> io::Result<Self> {
        let folder = Folder::open(&config.directory)?;
        let mut log = Self {
            newest: folder.newest()?.unwrap_or(0),
            folder,
            segment_bytes: config.segment_bytes,
            segment: None,
            ahead: None,
            dirty: true,
        };
        log.next_segment(0)?;
        Ok(log)
    }

    /// Makes lines durable. This decides the order of lines.
    pub(crate) fn write(&mut self, lines: &[u8]) -> io::Result<()> {
        let result = self.try_write(lines);
        if let Err(error) = &result {
            self.abandon(error);
        }
        result
    }

    /// It is not known what reached the disk. What somebody else changed stays as it is.
    fn abandon(&mut self, error: &io::Error) {
        self.segment = None;
        self.dirty = !Tampered::is(error);
    }

    fn try_write(&mut self, lines: &[u8]) -> io::Result<()> {
        let fits = |segment: &Segment| segment.fits(lines.len());
        if !self.segment.as_ref().is_some_and(fits) {
            self.next_segment(lines.len())?;
        }
        match &mut self.segment {
            Some(segment) => segment.write(lines),
            None => Err(io::Error::other("no segment")),
        }
    }

    /// Whether a line written now would be kept.
    pub(crate) fn check(&mut self) -> io::Result<()> {
        let checked = self.folder.check();
        let checked = checked.and_then(|()| self.segment.as_ref().map_or(Ok(()), Segment::check));
        if let Err(error) = &checked {
            self.abandon(error);
        }
        checked
    }

    /// After a failure: a new segment, in the same folder or in one that came back.
    pub(crate) fn recover(&mut self) -> io::Result<()> {
        self.ahead = None;
        self.folder.relock()?;
        self.next_segment(0)
    }

    /// Cuts the last segment to its length.
    pub(crate) fn close(mut self) -> io::Result<()> {
        self.ahead = None;
        match self.segment.take() {
            Some(segment) => self.close_segment(segment),
            None => Ok(()),
        }
    }

    fn close_segment(&self, segment: Segment) -> io::Result<()> {
        let path = self.folder.segment(segment.number);
        let empty = segment.is_empty();
        segment.close()?;
        if empty {
            std::fs::remove_file(path)?;
        }
        Ok(())
    }

    fn next_segment(&mut self, length: usize) -> io::Result<()> {
        self.folder.check()?;
        if let Some(old) = self.segment.take() {
            self.close_segment(old)?;
        }
        self.repair_newest()?;
        let number = self.newest.max(self.folder.newest()?.unwrap_or(0)) + 1;
        let (draft, bytes) = self.draft(length as u64)?;
        let segment = Segment::publish(&self.folder, &draft, number, bytes)?;
        self.segment = Some(segment);
        self.newest = number;
        if self.ahead.is_none() {
            let path = self.folder.draft("ahead");
            // Without the thread a short segment bridges the gap.
            self.ahead = Ahead::start(path, self.segment_bytes).ok();
        }
        Ok(())
    }

    /// Only the newest segment can hold torn lines: no other is begun before it is repaired.
    fn repair_newest(&mut self) -> io::Result<()> {
        if self.dirty {
            let path = self.folder.segment(self.newest);
            ignore_missing(repair(&path), &path)?;
            self.dirty = false;
        }
        Ok(())
    }

    /// The file made ahead, or a short one made now.
    fn draft(&mut self, length: u64) -> io::Result<(PathBuf, u64)> {
        if length <= self.segment_bytes
            && let Some(ahead) = self.ahead.take_if(|ahead| ahead.is_done())
            && let Some(path) = ahead.finish()
        {
            return Ok((path, self.segment_bytes));
        }
        let path = self.folder.draft("short");
        let bytes = self.segment_bytes.min(SHORT).max(length);
        segment::draft(&path, bytes, &AtomicBool::new(false))?;
        Ok((path, bytes))
    }
}

/// A segment that was deleted needs no repair.
fn ignore_missing(result: io::Result<()>, path: &Path) -> io::Result<()> {
    match result {
        Err(error) if error.kind() == io::ErrorKind::NotFound && !path.exists() => Ok(()),
        other => other,
    }
}
