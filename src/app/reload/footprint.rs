use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// The state of files, to see changes. Symbolic links are followed: an editor's rename and the swapped
/// link of a mounted Kubernetes volume give another inode, a change in place gives another time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Footprint(Vec<(PathBuf, Option<FileState>)>);

#[derive(Debug, Clone, PartialEq, Eq)]
struct FileState {
    device: u64,
    inode: u64,
    bytes: u64,
    /// The last change of content, owner or permissions. No program can set it back.
    changed: (i64, i64),
}

impl Footprint {
    /// The present state of these files. A missing file is part of it too.
    pub(super) fn from_paths(paths: &[PathBuf]) -> Self {
        let state = |path: &PathBuf| (path.clone(), FileState::from_path(path));
        Self(paths.iter().map(state).collect())
    }
}

impl FileState {
    fn from_path(path: &Path) -> Option<Self> {
        let file = std::fs::metadata(path).ok()?;
        Some(Self {
            device: file.dev(),
            inode: file.ino(),
            bytes: file.size(),
            changed: (file.ctime(), file.ctime_nsec()),
        })
    }
}

#[cfg(test)]
mod tests {
    use std::fs::{rename, write};
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn every_way_to_change_a_file_shows() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("lethe.toml");
        let paths = [path.clone()];
        let mut before = Footprint::from_paths(&paths);
        let mut changed = |how: &str| {
            let now = Footprint::from_paths(&paths);
            assert_ne!(before, now, "{how}");
            assert_eq!(now, Footprint::from_paths(&paths), "{how}");
            before = now;
        };
        write(&path, "a").unwrap();
        changed("made");
        // The kernel's clock of files ticks every few milliseconds.
        std::thread::sleep(std::time::Duration::from_millis(50));
        write(&path, "b").unwrap();
        changed("written over with as many bytes");
        let draft = folder.path().join("draft");
        write(&draft, "c").unwrap();
        rename(&draft, &path).unwrap();
        changed("replaced by rename");
        for version in ["one", "two"] {
            std::fs::create_dir(folder.path().join(version)).unwrap();
            write(folder.path().join(version).join("lethe.toml"), "d").unwrap();
        }
        let (data, swap) = (folder.path().join("data"), folder.path().join("swap"));
        symlink("one", &data).unwrap();
        std::fs::remove_file(&path).unwrap();
        symlink("data/lethe.toml", &path).unwrap();
        changed("a link through a folder's link");
        symlink("two", &swap).unwrap();
        rename(&swap, &data).unwrap();
        changed("the folder's link swapped");
        std::fs::remove_file(&path).unwrap();
        changed("gone");
    }
}
