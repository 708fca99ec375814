use rustix::process::{Signal, kill_process};

use crate::support::line::{Line, Protocol};
use crate::support::{Dev, Role, eventually};

/// The entry of the message server.
fn entry(role: &str, keyspaces: &str) -> String {
    format!(
        "spiffe_id = \"spiffe://lethe.dev/message-server\"\nrole = \"{role}\"\nkeyspaces = [{keyspaces}]\n"
    )
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn grants_come_and_go_on_open_connections() {
    let dev = Dev::start();
    let operator = dev.api(Role::Operator);
    operator.set_keyspace("team-a", "72h", "1h").await.ok(201);
    for protocol in Protocol::BOTH {
        let certificate = dev.certificate(Role::MessageServer);
        let mut line = Line::open(&dev, &certificate, protocol).await;
        assert_eq!(line.issue("team-a").await, Some(201));
        let steps = [
            (
                entry("message-server", "\"*\""),
                entry("message-server", "\"chat\""),
            ),
            (
                entry("message-server", "\"chat\""),
                entry("message-server", "\"team-*\""),
            ),
            (
                entry("message-server", "\"team-*\""),
                entry("auditor", "\"*\""),
            ),
            (
                entry("auditor", "\"*\""),
                String::from(
                    "spiffe_id = \"spiffe://lethe.dev/other\"\nrole = \"auditor\"\nkeyspaces = []\n",
                ),
            ),
        ];
        let mut seen = Vec::new();
        for (from, to) in &steps {
            dev.reload(|| dev.configure(|text| text.replace(from, to)))
                .await;
            let status = line.get("/v1/status").await.unwrap().0;
            seen.push((
                line.issue("team-a").await.unwrap(),
                line.issue("chat").await.unwrap(),
                status,
            ));
        }
        let expected = [
            (403, 201, 403),
            (201, 403, 403),
            (403, 403, 200),
            (403, 403, 403),
        ];
        assert_eq!(seen, expected, "{protocol:?}");
        // And back, on the same connection.
        let (first, last) = (&steps[0].0, &steps[3].1);
        dev.reload(|| dev.configure(|text| text.replace(last, first)))
            .await;
        assert_eq!(line.issue("team-a").await, Some(201));
        assert!(line.is_open());
    }
    assert_eq!(dev.metric("lethe_connections_cut_off_total").await, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_signal_reads_at_once_and_nothing_is_read_without_reason() {
    let dev = Dev::start();
    tokio::time::sleep(std::time::Duration::from_secs(3)).await;
    assert_eq!(dev.reloads().await, (0, 0), "{}", dev.log());
    for count in 1..=3 {
        kill_process(dev.pid(), Signal::HUP).unwrap();
        eventually("a reload", async || dev.reloads().await == (count, 0)).await;
    }
    dev.api(Role::MessageServer)
        .issue("chat", "a")
        .await
        .ok(201);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_needs_a_restart_is_said_and_the_rest_is_taken() {
    let dev = Dev::start();
    let mut line = Line::open(&dev, &dev.certificate(Role::MessageServer), Protocol::Http2).await;
    let from = entry("message-server", "\"*\"");
    dev.reload(|| {
        dev.configure(|text| {
            let text = text.replace(&from, &entry("auditor", "\"*\""));
            text.replace("[store]", "max_connections = 7\n\n[store]")
                + "\n[log]\nlevel = \"warn\"\n"
        });
    })
    .await;
    assert_eq!(line.issue("chat").await, Some(403));
    let said = "changes need a restart: server, log";
    let (status, ready) = dev.ops("/readyz").await;
    assert!(status == 200 && ready.contains(said), "{ready}");
    assert!(
        dev.log()
            .contains("need a restart sections=\"server, log\""),
        "{}",
        dev.log()
    );
    dev.reload(|| {
        dev.configure(|text| {
            let text = text.replace("max_connections = 7\n", "");
            text.replace("\n[log]\nlevel = \"warn\"\n", "")
        });
    })
    .await;
    assert!(!dev.ops("/readyz").await.1.contains("restart"));
}
