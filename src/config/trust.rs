//! Who else may change what the service relies on: its configuration, the code that it loads and what that
//! reads, who is let in, its secrets, its store and audit log, and every folder on the way to them.

use std::collections::BTreeSet;
use std::fs::Metadata;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use super::{Config, ConfigError, HsmSection, StoreSection};

const WRITABLE_BY_ALL: u32 = 0o002;
const WRITABLE_BY_GROUP: u32 = 0o020;
/// The sticky bit: in such a folder only the owner of an entry may rename or remove it.
const STICKY: u32 = 0o1000;

/// The user of this process.
struct Us {
    user: u32,
    group: u32,
}

impl Config {
    /// Checks who may write the configuration at `path`, the files that it names, and the folders on
    /// the way. Returns warnings about what another user or group may write.
    ///
    /// # Errors
    /// [`ConfigError::Invalid`] when everybody may.
    pub fn writers(&self, path: &Path) -> Result<Vec<String>, ConfigError> {
        let us = Us {
            user: rustix::process::geteuid().as_raw(),
            group: rustix::process::getegid().as_raw(),
        };
        let mut warnings = Vec::new();
        let relied = places(&relied_upon(self, path));
        let data = places(&data(self));
        for place in relied.union(&data) {
            // A missing file is reported by the code that needs it. The targets of links are checked
            // too.
            let Ok(metadata) = place.symlink_metadata() else {
                continue;
            };
            // The mode of a socket says who may connect.
            if !metadata.is_file() && !metadata.is_dir() {
                continue;
            }
            if may_all_write(&metadata) && relied.contains(place) {
                return Err(ConfigError::Invalid {
                    path: place.clone(),
                    reason: "every user may change it, and so what this service does: chmod o-w it"
                        .into(),
                });
            }
            let who = others(&metadata, &us);
            warnings.extend(who.map(|who| format!("{} may be changed by {who}", place.display())));
        }
        Ok(warnings)
    }
}

/// What everybody's right to write is refused for.
fn relied_upon<'a>(config: &'a Config, path: &'a Path) -> Vec<&'a Path> {
    let server = &config.server;
    let mut files = vec![path, &server.certificate, &server.key, &server.client_ca];
    files.extend(server.client_crls.iter().map(PathBuf::as_path));
    if let StoreSection::Postgres(postgres) = &config.store {
        files.extend(postgres.files());
    }
    for hsm in hsms(config) {
        files.extend([hsm.module.as_path(), hsm.pin_file.as_path()]);
    }
    files
}

/// What everybody's right to write is warned of: volumes of containers often have it, and nobody else there.
fn data(config: &Config) -> Vec<&Path> {
    let mut files = vec![config.audit.directory.as_path()];
    match &config.store {
        StoreSection::Sqlite(database) => files.push(database),
        StoreSection::Postgres(postgres) => files.push(&postgres.state),
    }
    files.extend(config.server.crl_marks.as_deref());
    for hsm in hsms(config) {
        // Of the module's variables, those that name a file.
        let values = hsm.environment.values().map(Path::new);
        files.extend(values.filter(|it| it.is_absolute()));
    }
    files
}

fn hsms(config: &Config) -> impl Iterator<Item = &HsmSection> {
    std::iter::once(&config.hsm).chain(&config.hsm_next)
}

/// All of these paths, their folders, and the targets of links.
fn places(files: &[&Path]) -> BTreeSet<PathBuf> {
    let mut places = BTreeSet::new();
    for file in files {
        let named = std::path::absolute(file).ok();
        let real = file.canonicalize().ok();
        for path in named.iter().chain(&real) {
            places.extend(path.ancestors().map(Path::to_owned));
        }
    }
    places
}

fn may_all_write(metadata: &Metadata) -> bool {
    metadata.mode() & WRITABLE_BY_ALL != 0 && !keeps_entries(metadata)
}

fn keeps_entries(metadata: &Metadata) -> bool {
    metadata.is_dir() && metadata.mode() & STICKY != 0
}

fn others(metadata: &Metadata, us: &Us) -> Option<String> {
    if may_all_write(metadata) {
        return Some("every user".into());
    }
    let (user, group) = (metadata.uid(), metadata.gid());
    if user != 0 && user != us.user {
        return Some(format!("user {user}"));
    }
    let by_group = metadata.mode() & WRITABLE_BY_GROUP != 0 && !keeps_entries(metadata);
    (by_group && group != 0 && group != us.group).then(|| format!("group {group}"))
}

#[cfg(test)]
mod tests {
    use std::fs::{Permissions, create_dir, set_permissions, write};
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn chmod(path: &Path, mode: u32) {
        set_permissions(path, Permissions::from_mode(mode)).unwrap();
    }

    #[test]
    fn what_everybody_may_change_is_refused_by_its_path() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        for name in ["etc", "lib", "etc/pki", "data", "audit"] {
            create_dir(at(name)).unwrap();
            chmod(&at(name), 0o755);
        }
        for name in [
            "etc/lethe.toml",
            "lib/module.so",
            "etc/pki/ca.crt",
            "etc/pin",
            "etc/crl-marks.json",
            "etc/module.conf",
            "data/lethe.db",
        ] {
            write(at(name), "").unwrap();
            chmod(&at(name), 0o600);
        }
        std::os::unix::fs::symlink(at("lib/module.so"), at("etc/module.so")).unwrap();
        let sample = include_str!("../../config/lethe.toml");
        let sample = sample.replace("\"libhsm_sim_pkcs11.so\"", "\"module.so\"");
        let mut config = Config::parse(&sample).unwrap();
        config.resolve(&at("etc"), None).unwrap();
        config.store = StoreSection::Sqlite(at("data/lethe.db"));
        config.audit.directory = at("audit");
        config.server.crl_marks = Some(at("etc/crl-marks.json"));
        let variable = (
            "MODULE_CONF".to_owned(),
            at("etc/module.conf").display().to_string(),
        );
        config.hsm.environment.extend([variable]);
        let writers = || config.writers(&at("etc/lethe.toml"));
        assert!(writers().is_ok());
        for name in [
            "etc/crl-marks.json",
            "etc/module.conf",
            "data",
            "data/lethe.db",
            "audit",
        ] {
            let mode = at(name).metadata().unwrap().mode() & 0o7777;
            chmod(&at(name), mode | 0o002);
            let warned = writers().unwrap().concat();
            assert!(warned.contains("every user"), "{name}: {warned}");
            chmod(&at(name), mode);
        }
        for name in [
            "etc",
            "lib",
            "etc/pki",
            "etc/lethe.toml",
            "lib/module.so",
            "etc/pki/ca.crt",
            "etc/pin",
        ] {
            let mode = at(name).metadata().unwrap().mode() & 0o7777;
            chmod(&at(name), mode | 0o002);
            let refused = writers().unwrap_err().to_string();
            let path = at(name).canonicalize().unwrap();
            assert!(
                refused.starts_with(&format!("{}: ", path.display())),
                "{refused}"
            );
            chmod(&at(name), mode);
        }
        // A folder like /tmp.
        chmod(&at("etc"), 0o1777);
        assert!(writers().is_ok());
    }

    #[test]
    fn other_users_and_groups_deserve_a_warning() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("file");
        write(&file, "").unwrap();
        chmod(&file, 0o660);
        let metadata = file.metadata().unwrap();
        let (user, group) = (metadata.uid(), metadata.gid());
        let us = |user, group| Us { user, group };
        assert_eq!(others(&metadata, &us(user, group)), None);
        if group != 0 {
            let warned = others(&metadata, &us(user, group + 1));
            assert_eq!(warned, Some(format!("group {group}")));
        }
        if user != 0 {
            let warned = others(&metadata, &us(user + 1, group));
            assert_eq!(warned, Some(format!("user {user}")));
        }
    }
}
