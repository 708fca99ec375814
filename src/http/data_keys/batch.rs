use axum::http::StatusCode;
use lethe_core::audit::KeyEvent;
use serde::{Deserialize, Serialize};

use crate::http::body::Items;
use crate::http::call::Done;
use crate::http::problem::Problem;

/// Items between two chances for other tasks.
const STRIDE: usize = 32;

#[derive(Serialize)]
struct Refusal<'a> {
    error: Reason<'a>,
}

#[derive(Serialize)]
struct Reason<'a> {
    code: &'static str,
    detail: &'a str,
}

/// Runs one item or a batch. `run` writes its answer into the buffer, whose size is fixed ahead so
/// that no growing leaves copies of keys behind, and says which key leaves.
pub(super) async fn run<'a, T: Deserialize<'a>>(
    body: &'a [u8],
    one: StatusCode,
    bytes_each: usize,
    run: impl Fn(T, &mut Vec<u8>) -> Result<KeyEvent, Problem>,
) -> Result<Done, Problem> {
    let items = match Items::parse(body)? {
        Items::One(item) => {
            let mut body = Vec::with_capacity(bytes_each);
            let key = run(item, &mut body)?;
            return Ok(Done {
                status: one,
                body,
                keys: vec![key],
                refused: 0,
            });
        }
        Items::Many(items) => items,
    };
    let mut done = Done {
        status: StatusCode::OK,
        body: Vec::with_capacity(32 + items.len() * bytes_each),
        keys: Vec::with_capacity(items.len()),
        refused: 0,
    };
    done.body.extend_from_slice(br#"{"items":["#);
    for (index, item) in items.into_iter().enumerate() {
        if index > 0 {
            done.body.push(b',');
        }
        if index % STRIDE == STRIDE - 1 {
            tokio::task::yield_now().await;
        }
        let begun = done.body.len();
        match item.and_then(|item| run(item, &mut done.body)) {
            Ok(key) => done.keys.push(key),
            Err(problem) => {
                done.body.truncate(begun);
                refuse(&mut done, &problem)?;
            }
        }
    }
    done.body.extend_from_slice(b"]}");
    Ok(done)
}

fn refuse(done: &mut Done, problem: &Problem) -> Result<(), Problem> {
    done.refused += 1;
    let error = Reason {
        code: problem.code.name(),
        detail: &problem.detail,
    };
    serde_json::to_writer(&mut done.body, &Refusal { error }).map_err(Problem::invalid)
}
