use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use crate::cli::Failure;
use crate::pki::{beside, create_draft, ensure_replaceable, put_in_place};

/// `--receipts FILE`: JSON lines. The file has another name until it is complete. Only its owner can read it,
/// because openings name conversations.
pub(super) struct Receipts {
    path: PathBuf,
    draft: BufWriter<File>,
}

impl Receipts {
    /// An existing file is replaced only by a run that resumes an earlier one.
    pub(super) fn create(path: &Path, resumed: bool) -> Result<Self, Failure> {
        let named = |error| Failure::new(format!("{}: {error}", path.display()));
        ensure_replaceable(path).map_err(named)?;
        if path.exists() && !resumed {
            return Err(Failure::new(format!("{} exists already", path.display())));
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

    /// Makes the file durable, and gives it its name.
    pub(super) fn finish(self) -> io::Result<()> {
        self.draft.into_inner()?.sync_all()?;
        put_in_place(&beside(&self.path, "part"), &self.path)
    }
}
