//! A file that is written in place.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

use aws_lc_rs::rand;

/// What is overwritten at once.
pub(super) const BLOCK: usize = 4096;

/// A file of the state directory.
pub(super) struct Disk(File);

impl Disk {
    pub(super) fn new(file: File) -> Self {
        Self(file)
    }

    /// Its length in units of `size` bytes; an incomplete one at the end does not count.
    pub(super) fn units(&self, size: usize) -> io::Result<u32> {
        u32::try_from(self.0.metadata()?.len() / size as u64).map_err(io::Error::other)
    }

    /// Writes, durable only after [`Self::sync`].
    pub(super) fn write(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        #[cfg(test)]
        super::tests::journal(&self.0, bytes, offset);
        self.0.write_all_at(bytes, offset)
    }

    /// Flushes what was written in place.
    pub(super) fn sync(&self) -> io::Result<()> {
        self.0.sync_data()
    }

    /// Appends written zeros: later writes then change no structure of the file system, which is
    /// what makes their flush fast.
    pub(super) fn extend(&self, bytes: usize, offset: u64) -> io::Result<()> {
        self.write(&vec![0; bytes], offset)?;
        self.0.sync_all()
    }

    pub(super) fn read(&self, bytes: &mut [u8], offset: u64) -> io::Result<()> {
        self.0.read_exact_at(bytes, offset)
    }

    /// Overwrites the whole file with noise, durably.
    pub(super) fn overwrite(&self) -> io::Result<()> {
        let length = self.0.metadata()?.len();
        let mut noise = vec![0; BLOCK];
        for start in (0..length).step_by(BLOCK) {
            fill(&mut noise)?;
            let rest = usize::try_from(length - start).unwrap_or(BLOCK);
            self.write(&noise[..rest.min(BLOCK)], start)?;
        }
        self.sync()
    }
}

pub(super) fn fill(bytes: &mut [u8]) -> io::Result<()> {
    rand::fill(bytes).map_err(|_| io::Error::other("no randomness"))
}
