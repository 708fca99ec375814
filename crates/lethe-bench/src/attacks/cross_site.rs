use std::time::Instant;

use async_trait::async_trait;
use serde_json::Value;

use super::deployment::{Deployment, OPERATOR};
use super::one_operator::count;
use super::{Attack, Gained};
use crate::error::BenchError;
use crate::peers::{Method, ask};

/// What a foreign page makes the browser of an operator send.
pub(super) struct CrossSite;

const PATHS: [&str; 3] = [
    "/v1/root/rotations",
    "/v1/clock/confirmations",
    "/v1/keyspaces/chat/versions",
];
const HEADERS: [&str; 4] = [
    "origin: https://elsewhere.example\r\n",
    "origin: null\r\ncontent-type: application/x-www-form-urlencoded\r\n",
    "sec-fetch-site: cross-site\r\ncontent-type: text/plain\r\n",
    "sec-fetch-site: same-site\r\n",
];

#[async_trait]
impl Attack for CrossSite {
    fn name(&self) -> &'static str {
        "cross-site"
    }

    fn what(&self) -> &'static str {
        "a foreign page lets a browser with an operator's certificate post forms and text to calls that need no body"
    }

    async fn run(&self, target: &Deployment, _end: Instant) -> Result<Gained, BenchError> {
        let operator = target.client(OPERATOR)?;
        let mut gained = Gained::default();
        for path in PATHS {
            for headers in HEADERS {
                let answer = ask(&operator, Method::Post, path, headers, &Value::Null).await?;
                count(&mut gained, &answer);
                if answer.is_done() {
                    let header = headers.lines().next().unwrap_or_default();
                    gained.reached.push(format!("POST {path} with {header}"));
                }
            }
        }
        Ok(gained)
    }
}
