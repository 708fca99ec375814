use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use crate::cli::Failure;
use crate::pki::{beside, create_draft, ensure_replaceable, put_in_place};

/// `--receipts FILE`: JSON lines, under another name until they are all there. Openings tell
/// conversations, so it is its owner's alone.
pub(super) struct Receipts {
    path: PathBuf,
    draft: BufWriter<File>,
}

impl Receipts {
    /// A file that is there is replaced only by the run that goes on with its work.
    pub(super) fn create(path: &Path, resumed: bool) -> Result<Self, Failure> {
        let named = |error| Failure::new(format!("{}: {error}", path.display()));
        ensure_replaceable(path).map_err(named)?;
        if path.exists() && !resumed {
            return Err(Failure::new(format!("{} is there already", path.display())));
        }
        let draft = create_draft(&beside(path, "part"), 0o600).map_err(named)?;
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
        put_in_place(&beside(&self.path, "part"), &self.path)
    }
}
