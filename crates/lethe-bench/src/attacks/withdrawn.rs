use std::time::Instant;

use async_trait::async_trait;
use serde_json::Value;

use super::deployment::{Deployment, OPERATOR};
use super::one_operator::count;
use super::{APPROVALS, Attack, Gained, Settings};
use crate::error::BenchError;
use crate::peers::{Method, ask};

/// What a client asked for outlives its grant.
pub(super) struct WithdrawnGrant;

const FORMER: &str = "former-operator";

#[async_trait]
impl Attack for WithdrawnGrant {
    fn name(&self) -> &'static str {
        "withdrawn-grant"
    }

    fn what(&self) -> &'static str {
        "an operator asks for the erase of a keyspace, loses his grant, and another operator approves what he finds waiting"
    }

    fn settings(&self) -> Settings {
        APPROVALS
    }

    async fn prepare(&self, target: &Deployment) -> Result<(), BenchError> {
        target.set_keyspace("erased", "72h", "1h").await?;
        target.grant(FORMER, OPERATOR, "*")?;
        target.until_granted(FORMER).await
    }

    async fn run(&self, target: &Deployment, _end: Instant) -> Result<Gained, BenchError> {
        let former = target.client(FORMER)?;
        let mut gained = Gained::default();
        let path = "/v1/keyspaces/erased";
        let asked = ask(&former, Method::Delete, path, "", &Value::Null).await?;
        count(&mut gained, &asked);
        target.withdraw(FORMER, OPERATOR, "*")?;
        target.until_withdrawn(FORMER).await?;
        let path = format!("/v1/approvals/{}", asked.text("id"));
        let operator = target.client(OPERATOR)?;
        let answer = ask(&operator, Method::Post, &path, "", &Value::Null).await?;
        count(&mut gained, &answer);
        if answer.status < 300 {
            gained.reached.push("a keyspace erased for nobody".into());
        }
        Ok(gained)
    }
}
