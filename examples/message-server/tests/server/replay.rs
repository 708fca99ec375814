//! The replay on keys in memory: it finds what is right, and what is wrong.

use std::fs::File;
use std::io::Write;
use std::path::Path;

use crate::support::{MemoryKeys, Server};
use clap::Parser;
use flate2::{Compression, write::GzEncoder};
use message_server::cli::{Cli, Command, ReplayArguments};
use message_server::replay;
use message_server::replay::input::{self, InputError};

fn recording(dir: &Path, lines: &str) -> String {
    let path = dir.join("recording.jsonl.gz");
    let mut file = GzEncoder::new(std::fs::File::create(&path).unwrap(), Compression::fast());
    file.write_all(lines.as_bytes()).unwrap();
    file.finish().unwrap();
    path.to_str().unwrap().to_owned()
}

/// Five rooms that speak every hour for six days.
fn conversations() -> String {
    let mut lines = String::new();
    for hour in 0..6 * 24 {
        for room in 0..5 {
            let (day, hour) = (10 + hour / 24, hour % 24);
            lines += &format!(
                "{{\"sent_at\": \"2018-04-{day}T{hour:02}:00:0{room}Z\", \"conversation\": \"r{room}\", \
                 \"sender\": \"ann\", \"text\": \"hour {hour} of {day} in {room}\"}}\n"
            );
        }
    }
    lines
}

fn arguments(server: &Server, input: &str, more: &[&str]) -> ReplayArguments {
    let mut line = vec!["message-server", "replay", "--server", &server.address];
    line.extend([
        "--input",
        input,
        "--day-seconds",
        "0.2",
        "--retention",
        "0.4",
    ]);
    line.extend(["--granularity", "0.1", "--sample", "20"]);
    line.extend(more);
    match Cli::parse_from(line).command {
        Command::Replay(arguments) => arguments,
        Command::Serve(_) => unreachable!(),
    }
}

async fn replayed(keys: &MemoryKeys, more: &[&str]) -> bool {
    let server = Server::start(keys).await;
    let input = recording(server.dir.path(), &conversations());
    replay::run(arguments(&server, &input, more)).await.unwrap()
}

#[tokio::test]
async fn every_check_holds_when_keys_live_as_promised() {
    let keys = MemoryKeys::new(400, 100);
    // Both know the same rooms: what one shredded the other would miss.
    let (some, all) = tokio::join!(
        replayed(&keys, &["--days", "4", "--shred-rooms", "0"]),
        replayed(
            &keys,
            &["--days", "0", "--shred-rooms", "0", "--output", "json"]
        ),
    );
    assert!(some && all);
}

#[tokio::test]
async fn shredded_rooms_are_dark_and_that_is_checked() {
    let keys = MemoryKeys::new(400, 100);
    assert!(replayed(&keys, &["--shred-rooms", "2", "--days", "6"]).await);
    assert_eq!(keys.shreds().len(), 2);
}

#[tokio::test]
async fn invented_conversations_are_played_where_no_recording_is_given() {
    let keys = MemoryKeys::new(400, 100);
    let server = Server::start(&keys).await;
    let arguments = ReplayArguments {
        input: None,
        ..arguments(&server, "none.gz", &["--days", "2", "--shred-rooms", "1"])
    };
    assert!(replay::run(arguments).await.unwrap());
    assert_eq!(keys.shreds().len(), 1);
}

#[tokio::test]
async fn keys_that_live_too_long_or_too_short_are_found() {
    let (long, short) = (MemoryKeys::new(60_000, 100), MemoryKeys::new(1, 100));
    let (long, short) = tokio::join!(
        replayed(&long, &["--days", "2"]),
        replayed(&short, &["--days", "2"]),
    );
    assert!(!long && !short);
}

#[tokio::test]
async fn a_server_that_fails_is_no_success() {
    let keys = MemoryKeys::new(400, 100);
    keys.set_down(true);
    assert!(!replayed(&keys, &["--days", "1"]).await);
}

#[tokio::test]
async fn bad_recordings_are_refused_with_their_line() {
    let dir = tempfile::tempdir().unwrap();
    let missing = input::open(&dir.path().join("nothing.gz")).err().unwrap();
    assert!(missing.to_string().contains("nothing.gz"), "{missing}");
    let good = conversations().lines().next().unwrap().to_owned();
    let early = good.replace("2018", "2017");
    for bad in ["{", "{\"sent_at\": \"x\"}", &early, ""] {
        let path = recording(dir.path(), &format!("{good}\n{bad}\n"));
        let mut input = input::open(Path::new(&path)).unwrap();
        assert!(input.next().await.unwrap().is_some());
        let error = input.next().await.unwrap_err();
        assert!(
            matches!(error, InputError::Unreadable { line: 2, .. }),
            "{error}"
        );
    }
    std::fs::write(dir.path().join("plain"), good).unwrap();
    let mut plain = input::open(&dir.path().join("plain")).unwrap();
    assert!(plain.next().await.is_err());
}

#[tokio::test]
async fn senseless_arguments_are_refused() {
    let server = Server::start(&MemoryKeys::lasting()).await;
    let input = recording(server.dir.path(), &conversations());
    let bad: [fn(&mut ReplayArguments); 6] = [
        |arguments| arguments.day_seconds = 0.0,
        |arguments| arguments.day_seconds = f64::NAN,
        |arguments| arguments.retention = -1.0,
        |arguments| arguments.server = "ftp://x".into(),
        |arguments| arguments.server = "http://127.0.0.1:1".into(),
        |arguments| arguments.input = Some("/dev/null".into()),
    ];
    for (index, spoil) in bad.into_iter().enumerate() {
        let mut arguments = arguments(&server, &input, &[]);
        spoil(&mut arguments);
        assert!(replay::run(arguments).await.is_err(), "{index}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn days_that_nobody_reads_end_it_and_do_not_panic() {
    let server = Server::start(&MemoryKeys::lasting()).await;
    let input = recording(server.dir.path(), &conversations());
    let full = || File::options().write(true).open("/dev/full").unwrap();
    let mut replay = std::process::Command::new(env!("CARGO_BIN_EXE_message-server"));
    replay.args(["replay", "--server", &server.address, "--input", &input]);
    replay.args(["--day-seconds", "0.2"]);
    let output = replay.stdout(full()).output().unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.starts_with("message-server: No space left"), "{said}");
    let status = replay.stdout(full()).stderr(full()).status().unwrap();
    assert_eq!(status.code(), Some(1));
}
