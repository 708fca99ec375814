//! HSM, database and audit log fail under a running service, or are not right at its start.

use std::os::unix::fs::PermissionsExt;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::support::{Api, Dev, Role, eventually, lethe, refused};
use sqlx::Connection;

/// Short, so that a hung device is noticed soon.
fn impatient(text: String) -> String {
    text.replace("token =", "call_timeout = \"1s\"\ntoken =")
}

/// Issue and unwrap of a keyspace that is there go on.
async fn serves(api: &Api, times: usize) {
    for round in 0..times {
        let room = format!("room-{round}");
        let issued = api.issue("chat", &room).await.ok(201);
        let wrapped = issued["wrapped_key"].as_str().unwrap();
        let opened = api.unwrap("chat", &room, wrapped).await.ok(200);
        assert_eq!(opened["data_key"], issued["data_key"]);
    }
}

#[allow(
    clippy::disallowed_methods,
    reason = "the hour on the wall, where buckets are made"
)]
fn hour() -> u64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap()
        .as_secs()
        / 3_600
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn warm_seeds_need_neither_database_nor_hsm() {
    let dev = Dev::start();
    let api = dev.api(Role::MessageServer);
    // At the hour a bucket is made ahead, which is no call of a request.
    loop {
        let begun = hour();
        let before = dev.metric("lethe_hsm_calls_total").await;
        assert!(before > 0);
        serves(&api, 100).await;
        let after = dev.metric("lethe_hsm_calls_total").await;
        if begun == hour() {
            assert_eq!(before, after);
            break;
        }
    }
    let mut other = dev.database().await;
    sqlx::raw_sql("BEGIN EXCLUSIVE")
        .execute(&mut other)
        .await
        .unwrap();
    serves(&api, 100).await;
    sqlx::raw_sql("ROLLBACK").execute(&mut other).await.unwrap();
    other.close().await.unwrap();
    dev.api(Role::Operator)
        .set_keyspace("new", "48h", "1h")
        .await
        .ok(201);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_store_that_is_locked_refuses_changes_and_comes_back() {
    let dev = Dev::start();
    let operator = dev.api(Role::Operator);
    let mut other = dev.database().await;
    sqlx::raw_sql("BEGIN EXCLUSIVE")
        .execute(&mut other)
        .await
        .unwrap();
    let put = operator.set_keyspace("new", "48h", "1h").await;
    refused(&put, 503, "store_unavailable");
    serves(&dev.api(Role::MessageServer), 3).await;
    sqlx::raw_sql("ROLLBACK").execute(&mut other).await.unwrap();
    eventually("the store is back", async || {
        operator.set_keyspace("new", "48h", "1h").await.status < 300
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_hsm_that_hangs_is_full_or_is_killed_stops_no_key() {
    let mut dev = Dev::start_with(impatient);
    let (api, operator) = (dev.api(Role::MessageServer), dev.api(Role::Operator));

    dev.hsm_sim(&["fault", "set", "hang"]);
    refused(
        &operator.set_keyspace("a", "48h", "1h").await,
        503,
        "hsm_unavailable",
    );
    serves(&api, 20).await;
    dev.hsm_sim(&["fault", "clear", "--all"]);
    back(&operator, "a", "48h").await;

    dev.hsm_sim(&["fault", "set", "full"]);
    refused(
        &operator.set_keyspace("b", "47h", "7m").await,
        409,
        "too_many_buckets",
    );
    serves(&api, 20).await;
    dev.hsm_sim(&["fault", "clear", "--all"]);
    back(&operator, "b", "47h").await;

    dev.take_device();
    refused(
        &operator.set_keyspace("c", "46h", "7m").await,
        503,
        "hsm_unavailable",
    );
    serves(&api, 20).await;
    dev.return_device();
    back(&operator, "c", "46h").await;
    serves(&api, 20).await;

    let wrapped = api.issue("chat", "kept").await.text("wrapped_key");
    dev.stop();
    dev.run();
    let api = dev.api(Role::MessageServer);
    api.unwrap("chat", "kept", &wrapped).await.ok(200);
    for name in ["a", "b", "c"] {
        api.issue(name, "room").await.ok(201);
    }
}

async fn back(operator: &Api, name: &str, retention: &str) {
    eventually("the HSM is back", async || {
        operator.set_keyspace(name, retention, "7m").await.status < 300
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_tampered_hsm_stops_no_warm_key_and_no_start_pretends() {
    let mut dev = Dev::start_with(impatient);
    let (api, operator) = (dev.api(Role::MessageServer), dev.api(Role::Operator));
    serves(&api, 1).await;
    dev.hsm_sim(&["tamper"]);
    refused(
        &operator.set_keyspace("a", "48h", "7m").await,
        503,
        "hsm_unavailable",
    );
    serves(&api, 20).await;
    dev.kill();
    let status = dev.try_run().unwrap_err();
    assert!(status.code().is_some_and(|code| code != 0), "{status}");
    assert!(!dev.log().contains("panicked"), "{}", dev.log());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_wrong_pin_is_said_and_the_right_one_works_again() {
    let mut dev = Dev::start();
    dev.stop();
    let path = dev.dir().join("hsm.pin");
    let right = std::fs::read_to_string(&path).unwrap();
    std::fs::write(&path, "0000").unwrap();
    let status = dev.try_run().unwrap_err();
    // Not to be started again by itself: each try brings the token nearer to its lock.
    assert_eq!(status.code(), Some(4));
    assert!(dev.log().to_lowercase().contains("pin"), "{}", dev.log());
    std::fs::write(&path, right).unwrap();
    dev.run();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_database_that_is_not_right_is_refused() {
    let mut dev = Dev::start();
    let serve = |dev: &Dev| {
        let config = dev.dir().join("lethe.toml");
        let mut command = lethe(&["serve", "--config"]);
        command.arg(config);
        command
    };
    let refusal = |mut command: std::process::Command, reason: &str| {
        let output = command.output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(1), "{said}");
        assert!(said.lines().last().unwrap().contains(reason), "{said}");
    };
    // A second process on the same database, whatever its listeners.
    refusal(serve(&dev), "another process");
    serves(&dev.api(Role::MessageServer), 1).await;
    dev.stop();

    let database = dev.dir().join("lethe.db");
    let aside = dev.dir().join("aside.db");
    std::fs::rename(&database, &aside).unwrap();
    refusal(serve(&dev), "no database at");
    assert!(!database.exists());
    std::fs::rename(&aside, &database).unwrap();

    refusal(read_only(&dev, serve(&dev)), "readonly");
    std::fs::set_permissions(&database, PermissionsExt::from_mode(0o600)).unwrap();

    let later = "INSERT INTO _sqlx_migrations VALUES (99, 'later', 0, 1, x'00', 0)";
    alter(&dev, later).await;
    refusal(serve(&dev), "newer");
    alter(&dev, "DELETE FROM _sqlx_migrations WHERE version = 99").await;
    dev.run();
    serves(&dev.api(Role::MessageServer), 1).await;
}

async fn alter(dev: &Dev, statement: &'static str) {
    let mut database = dev.database().await;
    sqlx::raw_sql(statement)
        .execute(&mut database)
        .await
        .unwrap();
    database.close().await.unwrap();
}

/// The same command, for which the database may only be read. Root is bound by a file's mode without one of its rights;
/// as another user it could not even run the program in root's home.
fn read_only(dev: &Dev, command: std::process::Command) -> std::process::Command {
    let database = dev.dir().join("lethe.db");
    std::fs::set_permissions(database, PermissionsExt::from_mode(0o444)).unwrap();
    if !rustix::process::geteuid().is_root() {
        return command;
    }
    let mut bound = std::process::Command::new("setpriv");
    bound.args(["--bounding-set", "-dac_override"]);
    bound.arg(command.get_program()).args(command.get_args());
    bound
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_key_leaves_without_its_record() {
    let mut dev = Dev::start();
    let api = dev.api(Role::MessageServer);
    let wrapped = api.issue("chat", "room").await.text("wrapped_key");
    let audit = dev.dir().join("audit");
    std::fs::remove_dir_all(&audit).unwrap();
    for _ in 0..3 {
        let issued = api.issue("chat", "room").await;
        refused(&issued, 503, "audit_unavailable");
        let opened = api.unwrap("chat", "room", &wrapped).await;
        refused(&opened, 503, "audit_unavailable");
        assert!(!(issued.body.to_string() + &opened.body.to_string()).contains("key\""));
    }
    assert_eq!(dev.ops("/readyz").await.0, 503);
    std::fs::create_dir(&audit).unwrap();
    eventually("the audit log is back", async || {
        api.issue("chat", "room").await.status == 201
    })
    .await;
    let opened = api.unwrap("chat", "room", &wrapped).await;
    opened.clone().ok(200);
    assert!(dev.audit().contains(&opened.request_id));
    eventually("ready again", async || dev.ops("/readyz").await.0 == 200).await;
    dev.stop();
    dev.run();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_expiry_while_the_hsm_hangs_counts_at_its_instant() {
    let dev = Dev::start_with(impatient);
    let (api, operator) = (dev.api(Role::MessageServer), dev.api(Role::Operator));
    operator.set_keyspace("short", "3s", "1s").await.ok(201);
    let issued = api.issue("short", "room").await.ok(201);
    let wrapped = issued["wrapped_key"].as_str().unwrap();
    let expiry: jiff::Timestamp = issued["expires_at"].as_str().unwrap().parse().unwrap();
    dev.hsm_sim(&["fault", "set", "hang"]);
    let before = dev.objects();
    while jiff::Timestamp::now() < expiry {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    refused(&api.unwrap("short", "room", wrapped).await, 410, "expired");
    eventually("the lag is measured", async || {
        dev.metric("lethe_expiry_lag_seconds").await > 0
            && dev.metric("lethe_failed_destroys_total").await > 0
    })
    .await;
    eventually("readiness warns", async || {
        dev.ops("/readyz").await.1.contains("not destroyed yet")
    })
    .await;
    serves(&api, 5).await;
    let bucket = |objects: &[(String, String)]| {
        let text = expiry.as_second().to_string();
        objects.iter().any(|(label, _)| label.contains(&text))
    };
    assert!(bucket(&before), "{before:?}");
    assert!(bucket(&dev.objects()));
    dev.hsm_sim(&["fault", "clear", "--all"]);
    eventually("it is destroyed", async || !bucket(&dev.objects())).await;
    eventually("no lag is left", async || {
        dev.metric("lethe_expiry_lag_seconds").await == 0
    })
    .await;
    refused(&api.unwrap("short", "room", wrapped).await, 410, "expired");
}

/// An outage of the HSM is none of the keys, unless somebody wants it so: see ADR 0006.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn keys_are_served_without_the_hsm_for_as_long_as_the_configuration_says() {
    let forever = Dev::start_with(impatient);
    let bounded = |text| impatient(text).replace("token =", "max_outage = \"1s\"\ntoken =");
    let bounded = Dev::start_with(bounded);
    let apis = [&forever, &bounded].map(|dev| dev.api(Role::MessageServer));
    for dev in [&forever, &bounded] {
        dev.hsm_sim(&["fault", "set", "device-removed"]);
    }
    eventually("the bounded one stops", async || {
        let answer = apis[1].issue("chat", "room").await;
        answer.status == 503 && answer.code() == "lease_lost"
    })
    .await;
    let (status, said) = bounded.ops("/readyz").await;
    assert!(status == 503 && said.contains("claim"), "{said}");
    // Far beyond what a lease without a look would be.
    serves(&apis[0], 10).await;
    assert_eq!(forever.ops("/readyz").await.0, 200);
    bounded.hsm_sim(&["fault", "clear", "--all"]);
    eventually("it serves again", async || {
        apis[1].issue("chat", "room").await.status == 201
    })
    .await;
}
