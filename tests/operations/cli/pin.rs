//! A wrong PIN must not lock the HSM, whoever starts the service how often.

use std::os::unix::fs::PermissionsExt;
use std::process::Output;

use crate::support::{Dev, lethe};

const WRONG: &str = "wrong-pin";

impl Dev {
    fn set_pin(&self, pin: &str) {
        let path = self.dir().join("hsm.pin");
        std::fs::write(&path, pin).unwrap();
        let mode = std::fs::Permissions::from_mode(0o600);
        std::fs::set_permissions(path, mode).unwrap();
    }

    /// `CKF_USER_PIN_*` of the token: 1 a wrong try, 2 one try left, 4 locked.
    fn pin_flags(&self) -> u64 {
        let status = self.hsm_sim(&["status", "--output", "json"]);
        let status: serde_json::Value = serde_json::from_str(&status).unwrap();
        status["flags"].as_u64().unwrap() >> 16 & 7
    }

    fn with_config(&self, words: &[&str]) -> Output {
        let mut command = lethe(words);
        command.arg("--config").arg(self.dir().join("lethe.toml"));
        command.output().unwrap()
    }
}

/// Exit code 4, in one line that says why.
#[track_caller]
fn refused(output: &Output, why: &str) {
    let text = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(4), "{text}");
    let said: Vec<_> = text
        .lines()
        .filter(|line| line.starts_with("lethe: ") && !line.contains("warning"))
        .collect();
    assert_eq!(said.len(), 1, "{text}");
    assert!(said[0].contains("the HSM refuses the PIN"), "{text}");
    assert!(said[0].contains(why), "{text}");
}

#[test]
fn a_wrong_pin_is_tried_until_one_try_is_left_and_the_right_one_goes_on() {
    let mut dev = Dev::start();
    let right = std::fs::read_to_string(dev.dir().join("hsm.pin")).unwrap();
    dev.stop();
    dev.set_pin(WRONG);
    // `lethe dev` starts the device itself, and so spends one try more.
    let ended = dev.try_run().unwrap_err();
    assert_eq!(ended.code(), Some(4), "{}", dev.log());

    let device = dev.serve_device();
    assert_eq!(dev.pin_flags(), 1, "one start, one try");
    for command in ["init", "takeover", "serve"] {
        refused(&dev.with_config(&[command]), "PinIncorrect");
    }
    for _ in 0..10 {
        refused(&dev.with_config(&["serve"]), "");
    }
    assert_eq!(dev.pin_flags(), 3, "one try is left");
    refused(&dev.with_config(&["serve"]), "--last-pin-try");

    dev.set_pin(&right);
    refused(&dev.with_config(&["serve"]), "--last-pin-try");
    let init = dev.with_config(&["init", "--last-pin-try"]);
    assert!(init.status.success(), "{init:?}");
    assert_eq!(dev.pin_flags(), 0);
    drop(device);
    dev.run();
}

#[test]
fn the_shipped_unit_does_not_start_what_a_restart_makes_worse() {
    let unit = include_str!("../../../packaging/systemd/lethe.service");
    assert!(unit.contains("\nRestartPreventExitStatus=3 4\n"));
}
