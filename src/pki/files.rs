use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

/// Writes a file that everybody may read, completely or not at all.
///
/// # Errors
/// Those of the file system.
pub fn write_public(path: &Path, text: &str) -> io::Result<()> {
    write(path, text, 0o644)
}

/// Writes a file that only its owner may read, completely or not at all.
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
    ensure_replaceable(path)?;
    let draft = beside(path, "new");
    let mut file = create_draft(&draft, mode)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()?;
    put_in_place(&draft, path)
}

/// A new file of these permissions. One that a crash left, or somebody put there, goes first: it
/// could have other permissions, or be a link to elsewhere.
///
/// # Errors
/// Those of the file system.
pub fn create_draft(path: &Path, mode: u32) -> io::Result<File> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    OpenOptions::new()
        .create_new(true)
        .write(true)
        .mode(mode)
        .open(path)
}

/// Gives a draft its final name, durably.
///
/// # Errors
/// Those of the file system, and as [`ensure_replaceable`].
pub fn put_in_place(draft: &Path, path: &Path) -> io::Result<()> {
    ensure_replaceable(path)?;
    std::fs::rename(draft, path)?;
    File::open(folder_of(path))?.sync_all()
}

/// Refuses to replace a link, a device or a pipe by a file.
///
/// # Errors
/// If something else than a file is there.
pub fn ensure_replaceable(path: &Path) -> io::Result<()> {
    match path.symlink_metadata() {
        Ok(there) if there.is_symlink() => Err(io::Error::other(
            "it is a symbolic link: name the file that it leads to",
        )),
        Ok(there) if !there.is_file() => Err(io::Error::other(
            "it is no file, and must not be replaced by one",
        )),
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
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
    fn links_pipes_and_folders_are_not_replaced() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        std::fs::write(at("target"), "old").unwrap();
        std::os::unix::fs::symlink(at("target"), at("link")).unwrap();
        std::os::unix::fs::symlink(at("nowhere"), at("dangling")).unwrap();
        std::fs::create_dir(at("folder")).unwrap();
        let kind = rustix::fs::FileType::Fifo;
        rustix::fs::mknodat(rustix::fs::CWD, at("pipe"), kind, 0o600.into(), 0).unwrap();
        for name in ["link", "dangling", "folder", "pipe"] {
            let before = at(name).symlink_metadata().unwrap().file_type();
            write_public(&at(name), "new").unwrap_err();
            assert_eq!(at(name).symlink_metadata().unwrap().file_type(), before);
            assert!(!beside(&at(name), "new").exists());
        }
        assert_eq!(std::fs::read_to_string(at("target")).unwrap(), "old");
        assert!(!at("nowhere").exists());
        // The name of a draft is no link.
        std::os::unix::fs::symlink(at("target"), at("file.new")).unwrap();
        write_private(&at("file"), "new").unwrap();
        assert_eq!(std::fs::read_to_string(at("target")).unwrap(), "old");
    }

    #[test]
    fn bare_names_and_dots() {
        assert_eq!(folder_of(Path::new("a.key")), Path::new("."));
        assert_eq!(folder_of(Path::new("pki/a.key")), Path::new("pki"));
        let dotted = beside(Path::new("pki/db.example.org"), "key");
        assert_eq!(dotted, Path::new("pki/db.example.org.key"));
    }
}
