//! The store is moved to another place while the deployment is between two HSMs.

use std::process::Output;

use crate::support::{Dev, Role, eventually, lethe, refused};

/// More buckets than a few steps move.
const KEYSPACES: usize = 8;

async fn rows(dev: &Dev, statement: &'static str) -> i64 {
    let mut database = dev.database().await;
    sqlx::query_scalar(statement)
        .fetch_one(&mut database)
        .await
        .unwrap()
}

fn takeover(dev: &Dev, config: &str) -> Output {
    let mut command = lethe(&["takeover", "--yes", "--output", "json", "--config"]);
    command.arg(dev.dir().join(config)).output().unwrap()
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// The configuration, with and without the other HSM, for the store's new place.
fn place(dev: &Dev, from: &str, to: &str) {
    for name in ["lethe.toml", "before.toml", "next.toml"] {
        let path = dev.dir().join(name);
        let text = std::fs::read_to_string(&path).unwrap();
        assert!(text.contains(from), "{text}");
        std::fs::write(path, text.replace(from, to)).unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_store_that_moves_between_two_hsms_takes_over_both() {
    let mut dev = Dev::start();
    dev.make_keyspaces(KEYSPACES).await;
    dev.stop();
    dev.make_softhsm();
    dev.configure_softhsm("");
    dev.run();
    let api = dev.api(Role::MessageServer);
    let kept = api.issue("chat", "kept").await.text("wrapped_key");
    let gone = api.issue("chat", "gone").await.text("wrapped_key");
    api.shred("chat", "gone").await.ok(200);
    // So that it is stopped half way.
    dev.hsm_sim(&["fault", "set", "latency-ms", "10"]);
    dev.api(Role::Operator).order("/v1/hsm/moves").await.ok(202);
    dev.stop();
    assert_eq!(rows(&dev, "SELECT count(*) FROM hsm_move").await, 1);

    let old = dev.dir().join("lethe.db");
    std::fs::create_dir(dev.dir().join("new")).unwrap();
    std::fs::rename(&old, dev.dir().join("new/lethe.db")).unwrap();
    place(&dev, "\"lethe.db\"", "\"new/lethe.db\"");
    let status = dev.try_run().unwrap_err();
    assert_eq!(status.code(), Some(3), "{}", dev.log());
    assert!(dev.log().contains("claimed by another store"));

    let device = dev.serve_device();
    dev.hsm_sim(&["fault", "clear", "--all"]);
    let before = dev.objects();
    for one_of_two in ["before.toml", "next.toml"] {
        let refused = takeover(&dev, one_of_two);
        assert_eq!(refused.status.code(), Some(3), "{}", said(&refused));
        let text = said(&refused);
        assert!(
            text.contains("a move to another HSM is under way"),
            "{text}"
        );
        assert_eq!(dev.objects(), before);
    }
    let taken = takeover(&dev, "lethe.toml");
    assert!(taken.status.success(), "{}", said(&taken));
    let told: serde_json::Value = serde_json::from_slice(&taken.stdout).unwrap();
    assert_eq!(told["taken_over"], true);
    let again = takeover(&dev, "lethe.toml");
    let told: serde_json::Value = serde_json::from_slice(&again.stdout).unwrap();
    assert_eq!(told["taken_over"], false);
    drop(device);

    dev.run();
    let operator = dev.api(Role::Operator);
    eventually("the move is done", async || {
        operator.get("/v1/hsm/moves").await.ok(200)["state"] == "moved"
    })
    .await;
    assert_eq!(dev.objects(), [], "the old HSM is empty");
    let api = dev.api(Role::MessageServer);
    api.unwrap("chat", "kept", &kept).await.ok(200);
    refused(&api.unwrap("chat", "gone", &gone).await, 410, "shredded");
    api.shred("chat", "kept").await.ok(200);
}
