use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use crate::cli::Failure;
use crate::pki::beside;

/// `--receipts FILE`: JSON lines, under another name until they are all there. Openings tell
/// conversations, so it is its owner's alone.
pub(super) struct Receipts {
    path: PathBuf,
    draft: BufWriter<File>,
}

impl Receipts {
    /// A file that is there is replaced only by the run that goes on with its work.
    pub(super) fn create(path: &Path, resumed: bool) -> Result<Self, Failure> {
        if path.exists() && !resumed {
            return Err(Failure::new(format!("{} is there already", path.display())));
        }
        let draft = File::options()
            .create(true)
            .write(true)
            .truncate(true)
            .mode(0o600)
            .open(beside(path, "part"))
            .map_err(|error| Failure::new(format!("{}: {error}", path.display())))?;
        Ok(Self {
            path: path.to_owned(),
            draft: BufWriter::new(draft),
        })
    }

    pub(super) fn add(&mut self, line: &str) -> io::Result<()> {
        writeln!(self.draft, "{line}")
    }

    /// Durable from here on.
    pub(super) fn finish(self) -> io::Result<()> {
        self.draft.into_inner()?.sync_all()?;
        std::fs::rename(beside(&self.path, "part"), &self.path)?;
        let folder = self.path.parent().filter(|path| *path != Path::new(""));
        File::open(folder.unwrap_or(Path::new(".")))?.sync_all()
    }
}
