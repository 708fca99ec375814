//! SoftHSM2 as the HSM that a development service moves to.

use std::path::Path;
use std::process::{Command, Output};

use super::{Dev, Role, lethe};

const MODULE: &str = "/usr/lib/softhsm/libsofthsm2.so";
const PIN: &str = "1234";
/// As that of the development service: module and token name a device together.
const TOKEN: &str = "lethe-dev";

fn section(name: &str, extra: &str) -> String {
    format!(
        "[{name}]\nmodule = \"{MODULE}\"\ntoken = \"{TOKEN}\"\npin_file = \"softhsm.pin\"\n\
         environment = {{ SOFTHSM2_CONF = \"./softhsm2.conf\" }}\n{extra}\n"
    )
}

impl Dev {
    /// `ks-0` and so on, of which no two share a bucket: there is a lot to move.
    pub async fn make_keyspaces(&self, count: usize) {
        let operator = self.api(Role::Operator);
        for number in 0..count {
            let retention = format!("{}m", 6_000 + 7 * number);
            let name = format!("ks-{number}");
            operator.set_keyspace(&name, &retention, "1h").await.ok(201);
        }
    }

    /// An empty token. Not running: the service reads the module's variables at its start.
    pub fn make_softhsm(&self) {
        assert!(Path::new(MODULE).exists(), "SoftHSM2 is not installed");
        let tokens = self.dir().join("softhsm");
        std::fs::create_dir(&tokens).unwrap();
        let conf = self.dir().join("softhsm2.conf");
        let text = format!(
            "directories.tokendir = {}\nlog.level = ERROR\n",
            tokens.display()
        );
        std::fs::write(&conf, text).unwrap();
        let pin = self.dir().join("softhsm.pin");
        std::fs::write(&pin, PIN).unwrap();
        let mut mode = std::fs::metadata(&pin).unwrap().permissions();
        std::os::unix::fs::PermissionsExt::set_mode(&mut mode, 0o600);
        std::fs::set_permissions(&pin, mode).unwrap();
        let words = ["--init-token", "--free", "--label", TOKEN];
        let made = Command::new("softhsm2-util")
            .args(words)
            .args(["--so-pin", "12345678", "--pin", PIN])
            .env("SOFTHSM2_CONF", &conf)
            .output()
            .expect("softhsm2-util is not installed");
        assert!(made.status.success(), "{made:?}");
    }

    /// The configuration with `[hsm_next]`, and beside it `next.toml` for afterwards.
    pub fn configure_softhsm(&self, extra: &str) {
        let path = self.dir().join("lethe.toml");
        let text = std::fs::read_to_string(&path).unwrap();
        let (before, rest) = text.split_once("[hsm]\n").unwrap();
        let (hsm, after) = rest.split_once("\n[").unwrap();
        let next = section("hsm_next", extra);
        let both = format!("{before}[hsm]\n{hsm}\n{next}\n[{after}");
        let moved = format!("{before}{}\n[{after}", section("hsm", extra));
        std::fs::write(self.dir().join("before.toml"), &text).unwrap();
        std::fs::write(self.dir().join("next.toml"), moved).unwrap();
        std::fs::write(path, both).unwrap();
    }

    /// `lethe rotate hsm`, until it ends.
    pub fn rotate_hsm(&self, to: &str) -> Output {
        let mut command = lethe(&["rotate", "hsm", "--output", "json", "--to"]);
        command
            .arg(self.dir().join(to))
            .arg("--dir")
            .arg(self.dir());
        command
            .arg("--server")
            .arg(format!("https://{}", self.listen));
        command.output().unwrap()
    }
}

impl super::Api {
    /// A `POST` without a body.
    pub async fn order(&self, path: &str) -> super::api::Answer {
        let sent = self.raw(reqwest::Method::POST, path, None, "").await;
        super::api::Answer::of(sent.unwrap()).await
    }
}
