use std::time::Instant;

use async_trait::async_trait;
use serde_json::json;

use super::deployment::{Deployment, MESSAGE_SERVER, OPERATOR, OTHER_SERVER};
use super::{APPROVALS, Attack, Gained, Settings};
use crate::error::BenchError;
use crate::identity::Endpoint;
use crate::peers::{Answer, Method, ask};

/// One message server's shreds take what needs no approval from all.
pub(super) struct ShredWindow;

const PATH: &str = "/v1/keyspaces/chat/shreds";
/// Several times what needs no approval.
const SHREDS: u32 = 12;

#[async_trait]
impl Attack for ShredWindow {
    fn name(&self) -> &'static str {
        "shred-window"
    }

    fn what(&self) -> &'static str {
        "one message server shreds until its shreds wait for approval, and goes on asking, so that another one's shreds and an operator's calls wait or are refused too"
    }

    fn settings(&self) -> Settings {
        APPROVALS
    }

    async fn prepare(&self, target: &Deployment) -> Result<(), BenchError> {
        target.grant_other_server().await
    }

    async fn run(&self, target: &Deployment, _end: Instant) -> Result<Gained, BenchError> {
        let (attacker, good) = (target.client(OTHER_SERVER)?, target.client(MESSAGE_SERVER)?);
        let mut gained = Gained::default();
        for number in 0..SHREDS {
            let answer = shred(&attacker, &format!("foreign-{number}")).await?;
            match (answer.status, answer.text("state")) {
                (202, "approval_required") => gained.count("shreds that wait"),
                (200 | 202, _) => gained.count("shreds"),
                _ => gained.count("shreds refused"),
            }
        }
        let answer = shred(&good, "own").await?;
        let waits = answer.text("state") == "approval_required";
        if waits || answer.status >= 400 {
            let text = format!(
                "another message server's shred: {} {}",
                answer.status,
                answer.text("code")
            );
            gained.reached.push(text);
        }
        target.set_keyspace("operators-own", "72h", "1h").await?;
        let operator = target.client(OPERATOR)?;
        let path = "/v1/keyspaces/operators-own";
        let answer = ask(
            &operator,
            Method::Delete,
            path,
            "",
            &serde_json::Value::Null,
        )
        .await?;
        if answer.status != 202 {
            let text = format!(
                "an operator's erase: {} {}",
                answer.status,
                answer.text("code")
            );
            gained.reached.push(text);
        }
        Ok(gained)
    }
}

async fn shred(client: &Endpoint, conversation: &str) -> Result<Answer, BenchError> {
    let body = json!({"conversation": conversation});
    let json = "content-type: application/json\r\n";
    ask(client, Method::Post, PATH, json, &body).await
}
