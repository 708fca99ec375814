//! Certificates as operators make them, with `lethe pki`.

use std::path::{Path, PathBuf};

use super::{Dev, lethe};

fn pki(words: &[&str]) {
    let output = lethe(&[&["pki"], words].concat()).output().unwrap();
    assert!(output.status.success(), "{words:?}: {output:?}");
}

/// A CA in a folder of its own.
pub fn authority(folder: &Path, name: &str) {
    pki(&["ca", "--name", name, "--out", folder.to_str().unwrap()]);
}

/// A client certificate; the path without extension.
pub fn client(ca: &Path, out: &Path, role: &str) -> PathBuf {
    let id = format!("spiffe://lethe.dev/{role}");
    let (ca, path) = (ca.to_str().unwrap(), out.to_str().unwrap());
    pki(&["issue", "--ca", ca, "--out", path, "--spiffe-id", &id]);
    out.to_owned()
}

pub fn server(ca: &Path, out: &Path) {
    let (ca, out) = (ca.to_str().unwrap(), out.to_str().unwrap());
    pki(&[
        "issue",
        "--ca",
        ca,
        "--out",
        out,
        "--server",
        "localhost",
        "127.0.0.1",
    ]);
}

/// Names certificates, paths without extension, in the CA's `ca.crl`.
pub fn revoke(ca: &Path, certificates: &[&Path]) {
    let files = certificates.iter().map(|path| path.with_extension("crt"));
    let files: Vec<String> = files.map(|it| it.to_str().unwrap().to_owned()).collect();
    let mut words = vec!["revoke", "--ca", ca.to_str().unwrap()];
    words.extend(files.iter().map(String::as_str));
    pki(&words);
}

/// Replaces a file as editors do.
pub fn put(path: &Path, text: &[u8]) {
    let draft = path.with_extension("draft");
    std::fs::write(&draft, text).unwrap();
    if let Ok(present) = std::fs::metadata(path) {
        std::fs::set_permissions(&draft, present.permissions()).unwrap();
    }
    std::fs::rename(draft, path).unwrap();
}

impl Dev {
    pub fn pki(&self) -> PathBuf {
        self.dir().join("pki")
    }

    /// The path without extension of a development client's certificate.
    pub fn certificate(&self, role: super::Role) -> PathBuf {
        self.pki().join(role.name())
    }

    /// The configuration with `client_crls`.
    pub fn names_crl(text: &str) -> String {
        let ca = "client_ca = \"pki/ca.crt\"\n";
        assert!(text.contains(ca));
        text.replace(ca, &format!("{ca}client_crls = [\"pki/ca.crl\"]\n"))
    }

    /// A running service that knows an empty revocation list of the development CA.
    pub fn start_with_crl() -> Self {
        let mut dev = Self::start();
        dev.stop();
        revoke(&dev.pki(), &[]);
        dev.edit(|text| Self::names_crl(&text));
        dev.run();
        dev
    }

    /// Readings of the configuration that were taken, and that were refused.
    pub async fn reloads(&self) -> (i64, i64) {
        let (_, text) = self.ops("/metrics").await;
        let count = |result: &str| {
            let key = format!("lethe_reloads_total{{result=\"{result}\"}} ");
            let line = text.lines().find_map(|line| line.strip_prefix(&key));
            line.map_or(0, |count| count.parse().unwrap())
        };
        (count("ok"), count("refused"))
    }

    /// Changes files, and waits until that is in force, without a signal.
    pub async fn reload(&self, change: impl FnOnce()) {
        let (ok, refused) = self.reloads().await;
        change();
        super::eventually("a reload", async || self.reloads().await.0 > ok).await;
        assert_eq!(self.reloads().await.1, refused, "{}", self.log());
    }

    /// Changes files, and waits until that is refused; the log since then.
    pub async fn refuses(&self, change: impl FnOnce()) -> String {
        let (ok, refused) = self.reloads().await;
        let before = self.log().len();
        change();
        super::eventually("a refusal", async || self.reloads().await.1 > refused).await;
        assert_eq!(self.reloads().await.0, ok, "{}", self.log());
        self.log()[before..].to_owned()
    }

    /// Replaces the configuration as editors do.
    pub fn configure(&self, edit: impl Fn(String) -> String) {
        let path = self.dir().join("lethe.toml");
        let before = std::fs::read_to_string(&path).unwrap();
        let after = edit(before.clone());
        assert_ne!(before, after, "the edit changed nothing");
        put(&path, after.as_bytes());
    }
}
