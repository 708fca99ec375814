//! Nothing that a collector does, or does not, reaches a request.

use std::collections::BTreeSet;
use std::io::Write;
use std::net::TcpListener;
use std::time::Duration;

use crate::support::collector::{Collector, traced};
use crate::support::{Api, Dev, Role, eventually, free_addresses};
use futures_util::future::join_all;
use reqwest::Method;
use tokio::time::Instant;

const DROPPED: &str = "lethe_telemetry_spans_dropped_total";
const EXPORTED: &str = "lethe_telemetry_spans_exported_total";

/// A request to be traced, its caller says.
async fn ask(api: &Api, trace: &str) {
    let request = api.request(Method::GET, "/v1/keyspaces");
    let parent = format!("00-{trace}-b7ad6b7169203331-01");
    let answer = request.header("traceparent", parent).send().await;
    assert_eq!(answer.unwrap().status(), 200);
}

async fn issue_many(api: &Api, count: usize) {
    for _ in 0..count / 100 {
        let answers = join_all((0..100).map(|_| api.issue("chat", "room"))).await;
        assert!(answers.iter().all(|it| it.status == 201));
    }
}

/// Local ports of the TCP connections that a process has.
fn connections(dev: &Dev) -> BTreeSet<u16> {
    let process = format!("/proc/{}", dev.pid().as_raw_nonzero());
    let open = std::fs::read_dir(format!("{process}/fd")).unwrap();
    let open: BTreeSet<_> = open
        .filter_map(|it| std::fs::read_link(it.unwrap().path()).ok())
        .filter_map(|it| Some(it.to_str()?.strip_prefix("socket:[")?.to_owned()))
        .collect();
    let table = std::fs::read_to_string(format!("{process}/net/tcp")).unwrap();
    let ports = table.lines().skip(1).filter_map(|line| {
        let fields: Vec<_> = line.split_whitespace().collect();
        let ours = open.contains(&format!("{}]", fields[9]));
        let port = fields[1].split(':').nth(1)?;
        ours.then(|| u16::from_str_radix(port, 16).unwrap())
    });
    ports.collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_a_collector_nothing_is_traced_and_nobody_called() {
    let dev =
        Dev::start_with(|text| text.replace("[clock]", "[telemetry]\nsample_ratio = 1\n[clock]"));
    let api = dev.api(Role::MessageServer);
    ask(&api, "0af7651916cd43dd8448eb211c80319c").await;
    issue_many(&api, 100).await;
    api.shred("chat", "room").await.ok(200);
    // Longer than spans are gathered.
    for _ in 0..20 {
        tokio::time::sleep(Duration::from_millis(100)).await;
        let listens = [dev.listen.port(), dev.ops.port()];
        assert_eq!(connections(&dev), BTreeSet::from(listens));
    }
    assert_eq!(dev.metric(EXPORTED).await + dev.metric(DROPPED).await, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_collector_that_is_away_costs_spans_alone() {
    let [address] = free_addresses();
    let mut dev = traced(address, "sample_ratio = 1");
    let api = dev.api(Role::MessageServer);
    issue_many(&api, 100).await;
    eventually("lost spans", async || dev.metric(DROPPED).await > 0).await;
    assert_eq!(dev.metric(EXPORTED).await, 0);
    // Back again.
    let collector = Collector::at(address).await;
    eventually("delivered spans", async || {
        issue_many(&api, 100).await;
        dev.metric(EXPORTED).await > 0
    })
    .await;
    // What waits at the end is delivered.
    let last = "0af7651916cd43dd8448eb211c80319c";
    ask(&api, last).await;
    drop(api);
    dev.stop();
    assert!(!collector.trace(last).is_empty());
    for said in ["traces are not delivered", "traces are delivered again"] {
        assert_eq!(dev.log().matches(said).count(), 1, "{}", dev.log());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_collector_that_hangs_holds_up_neither_requests_nor_the_end() {
    // Takes connections into its backlog, and reads nothing.
    let hangs = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = hangs.local_addr().unwrap();
    let mut dev = traced(address, "sample_ratio = 1\ntimeout = \"60s\"");
    let api = dev.api(Role::MessageServer);
    let begun = Instant::now();
    // Two spans each: more than may wait.
    issue_many(&api, 3_000).await;
    assert!(
        begun.elapsed() < Duration::from_secs(40),
        "{:?}",
        begun.elapsed()
    );
    assert!(dev.metric(DROPPED).await > 0);
    assert_eq!(dev.metric(EXPORTED).await, 0);
    drop(api);
    let begun = Instant::now();
    dev.stop();
    assert!(
        begun.elapsed() < Duration::from_secs(10),
        "{:?}",
        begun.elapsed()
    );
    assert!(dev.log().contains("the last traces were not delivered"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn answers_of_any_kind_cost_spans_alone() {
    for answer in [
        "nonsense\r\n\r\n",
        "HTTP/1.1 500 Oh\r\ncontent-length: 0\r\n\r\n",
        "HTTP/1.1 302 There\r\nlocation: http://127.0.0.1:1/\r\ncontent-length: 0\r\n\r\n",
        "HTTP/1.1 200 OK\r\ncontent-length: 99999999999\r\n\r\n",
        "",
    ] {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        std::thread::spawn(move || {
            for mut stream in listener.incoming().flatten() {
                // Longer than anybody should listen; errors are its end.
                let _ = stream.write_all(answer.as_bytes());
                while answer.contains("99999") && stream.write_all(&[b'x'; 4_096]).is_ok() {}
            }
        });
        let mut dev = traced(address, "sample_ratio = 1\ntimeout = \"1s\"");
        let api = dev.api(Role::MessageServer);
        issue_many(&api, 100).await;
        eventually(answer, async || dev.metric(DROPPED).await > 0).await;
        issue_many(&api, 100).await;
        assert_eq!(dev.metric(EXPORTED).await, 0);
        drop(api);
        dev.stop();
    }
}

#[test]
fn a_configuration_that_cannot_be_kept_is_refused() {
    let mut dev = Dev::start();
    dev.stop();
    dev.edit(|text| {
        let section = "[telemetry]\notlp_endpoint = \"https://collector.example:4318\"\n[clock]";
        text.replace("[clock]", section)
    });
    assert!(!dev.try_run().unwrap_err().success());
    let log = dev.log();
    let line = log.lines().last().unwrap();
    assert!(
        line.contains("telemetry.otlp_endpoint must begin with http://"),
        "{line}"
    );
}
