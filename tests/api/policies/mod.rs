//! What a change of policy means. Policies that cannot be are tested in `src/http/tests/keyspaces.rs`.

mod retentions;

use crate::support::{Dev, Role};
use serde_json::{Value, json};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_change_counts_for_new_keys_only() {
    let mut dev = Dev::start();
    let (api, operator) = (dev.api(Role::MessageServer), dev.api(Role::Operator));
    operator.set_keyspace("mail", "100h", "1h").await.ok(201);
    let old = api.issue("mail", "room").await.ok(201);
    let wrapped = old["wrapped_key"].as_str().unwrap();
    let changed = operator.set_keyspace("mail", "48h", "2h").await.ok(200);
    assert_eq!(
        (&changed["retention"], &changed["granularity"]),
        (&json!("48h"), &json!("2h"))
    );
    let new = api.issue("mail", "room").await.ok(201);
    assert!(time(&new["expires_at"]) < time(&old["expires_at"]));
    for restarted in [false, true] {
        if restarted {
            dev.stop();
            dev.run();
        }
        let api = dev.api(Role::MessageServer);
        let opened = api.unwrap("mail", "room", wrapped).await.ok(200);
        assert_eq!(opened["expires_at"], old["expires_at"]);
        assert_eq!(opened["data_key"], old["data_key"]);
        // A longer retention does not stretch it either.
        let operator = dev.api(Role::Operator);
        operator.set_keyspace("mail", "200h", "1h").await.ok(200);
        let opened = api.unwrap("mail", "room", wrapped).await.ok(200);
        assert_eq!(opened["expires_at"], old["expires_at"]);
    }
}

fn time(value: &Value) -> jiff::Timestamp {
    value.as_str().unwrap().parse().unwrap()
}
