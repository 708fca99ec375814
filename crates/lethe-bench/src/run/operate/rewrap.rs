//! `lethe rewrap` over a file, as an operator runs it.

use std::fs::File;
use std::io::{BufRead, BufReader, BufWriter, Write};
use std::path::Path;

use serde_json::Value;

use super::super::keys::{BATCH, Issued, Keys, issue_all, name, opened, parse, unwrap_item, write};
use crate::clock;
use crate::error::BenchError;
use crate::load::Connection;
use crate::peers::{Lethe, Method, call, run_lethe};

pub(super) const KEYSPACE: &str = "bench-rewrap";
/// Conversations of the keys.
const CONVERSATIONS: u64 = 100_000;
/// One rewrapped key in so many is unwrapped.
const SAMPLE: usize = 1_000;

/// Keys a second, from the start of the program to its end.
pub(super) async fn measure(lethe: &Lethe, folder: &Path, count: u64) -> Result<f64, BenchError> {
    let endpoint = &lethe.server.endpoint;
    let count = count.next_multiple_of(BATCH);
    let issued = issue_all(endpoint, KEYSPACE, count, 0, CONVERSATIONS).await?;
    let path = format!("/v1/keyspaces/{KEYSPACE}/versions");
    call(&lethe.operator, Method::Post, &path, "", &Value::Null).await?;
    let (old, new) = (folder.join("old.jsonl"), folder.join("new.jsonl"));
    save(&old, &issued).map_err(BenchError::io("the keys' file"))?;
    let begun = clock::now();
    let arguments = ["rewrap", KEYSPACE, "--output", "json"];
    let server = format!("https://{}", endpoint.address);
    let mut command = run_lethe()?;
    command.args(arguments).arg("--dir").arg(folder);
    command.args(["--server", &server]);
    command.arg("--in").arg(&old).arg("--out").arg(&new);
    command.stdout(std::process::Stdio::null());
    let ended = tokio::task::spawn_blocking(move || command.status()).await;
    let ended = ended.map_err(|error| BenchError::Server(error.to_string()))?;
    let ended = ended.map_err(BenchError::io("lethe rewrap"))?;
    let took = clock::now() - begun;
    if !ended.success() {
        return Err(BenchError::Server(format!("lethe rewrap: {ended}")));
    }
    verify(lethe, &new, &issued).await?;
    Ok(issued.len() as f64 / took.as_secs_f64())
}

fn save(path: &Path, issued: &[Issued]) -> std::io::Result<()> {
    let mut file = BufWriter::new(File::create(path)?);
    for key in issued {
        writeln!(file, "{}", unwrap_item(key))?;
    }
    file.flush()
}

/// As many lines in the same order, none as it was, and a sample opens to what was issued.
async fn verify(lethe: &Lethe, path: &Path, issued: &[Issued]) -> Result<(), BenchError> {
    let endpoint = &lethe.server.endpoint;
    let unwrap = Keys::for_keyspace(endpoint.address, KEYSPACE).unwrap;
    let mut connection = Connection::open(endpoint).await?;
    let file = File::open(path).map_err(BenchError::io("the rewrapped keys"))?;
    let mut lines = 0;
    for line in BufReader::new(file).lines() {
        let line = line.map_err(BenchError::io("the rewrapped keys"))?;
        let item = parse(line.as_bytes())?;
        let rewrapped = issued.get(lines).filter(|key| {
            item["conversation"] == name(key.conversation)
                && item["wrapped_key"] != *key.wrapped_key
        });
        let key = rewrapped.ok_or_else(|| BenchError::WrongAnswer("not rewrapped".into()))?;
        lines += 1;
        if lines % SAMPLE == 0 {
            let mut request = Vec::new();
            write(&unwrap, &line, &mut request);
            let answer = connection.exchange(&request).await;
            let answer = answer.map_err(BenchError::io("unwrapping a rewrapped key"))?;
            opened(&parse(&answer.body)?, key)?;
        }
    }
    if lines == issued.len() {
        Ok(())
    } else {
        Err(BenchError::WrongAnswer(format!(
            "{lines} lines of {} keys",
            issued.len()
        )))
    }
}
