use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

/// Writes a file that everybody may read, whole or not at all.
///
/// # Errors
/// Those of the file system.
pub fn write_public(path: &Path, text: &str) -> io::Result<()> {
    write(path, text, 0o644)
}

/// Writes a file that its owner alone may read, whole or not at all.
///
/// # Errors
/// Those of the file system.
pub fn write_private(path: &Path, text: &str) -> io::Result<()> {
    write(path, text, 0o600)
}

/// `<prefix>.<extension>`; unlike [`Path::with_extension`] it keeps the dots of `db.example.org`.
#[must_use]
pub fn beside(prefix: &Path, extension: &str) -> PathBuf {
    let mut name = prefix.as_os_str().to_owned();
    name.push(".");
    name.push(extension);
    name.into()
}

fn write(path: &Path, text: &str, mode: u32) -> io::Result<()> {
    let draft = beside(path, "new");
    // One that a crash left could have other permissions.
    let _ = std::fs::remove_file(&draft);
    let mut file = OpenOptions::new()
        .create_new(true)
        .write(true)
        .mode(mode)
        .open(&draft)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()?;
    std::fs::rename(&draft, path)?;
    File::open(folder_of(path))?.sync_all()
}

/// The parent of a bare name is empty, and means the current folder.
fn folder_of(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if parent != Path::new("") => parent,
        _ => Path::new("."),
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn keys_are_private_even_over_a_draft_and_a_file_that_were_not() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.key");
        std::fs::write(&path, "old").unwrap();
        std::fs::write(beside(&path, "new"), "half").unwrap();
        write_private(&path, "secret").unwrap();
        let mode = std::fs::metadata(&path).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "secret");
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[test]
    fn bare_names_and_dots() {
        assert_eq!(folder_of(Path::new("a.key")), Path::new("."));
        assert_eq!(folder_of(Path::new("pki/a.key")), Path::new("pki"));
        let dotted = beside(Path::new("pki/db.example.org"), "key");
        assert_eq!(dotted, Path::new("pki/db.example.org.key"));
    }
}
