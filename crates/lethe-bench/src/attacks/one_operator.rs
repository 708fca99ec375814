//! What one operator must not do alone, and what an operator of some keyspaces must not do to all.

use std::time::Instant;

use async_trait::async_trait;
use serde_json::{Value, json};

use super::deployment::{Deployment, MESSAGE_SERVER, OPERATOR};
use super::{Attack, Gained, Settings};
use crate::error::BenchError;
use crate::peers::{Answer, Method, ask, call};

const JSON: &str = "content-type: application/json\r\n";

/// Makes older keys unreadable.
pub(super) struct MinimumVersion;

#[async_trait]
impl Attack for MinimumVersion {
    fn name(&self) -> &'static str {
        "minimum-version"
    }

    fn what(&self) -> &'static str {
        "one operator makes a new version and raises the minimum to it, so that no older key of the keyspace opens any more"
    }

    fn settings(&self) -> Settings {
        super::APPROVALS
    }

    async fn run(&self, target: &Deployment, _end: Instant) -> Result<Gained, BenchError> {
        let (operator, client) = (target.client(OPERATOR)?, target.client(MESSAGE_SERVER)?);
        target.set_keyspace("old", "72h", "1h").await?;
        let path = "/v1/keyspaces/old";
        let room = json!({"conversation": "room"});
        let keys = format!("{path}/data-keys");
        let key = call(&client, Method::Post, &keys, "", &room).await?;
        let versions = format!("{path}/versions");
        call(&operator, Method::Post, &versions, "", &Value::Null).await?;
        let mut gained = Gained::default();
        let raised = json!({
            "retention": "72h", "granularity": "1h", "rotation": "30d", "cache_ttl": "1s", "minimum_version": 2,
        });
        let answer = ask(&operator, Method::Put, path, JSON, &raised).await?;
        count(&mut gained, &answer);
        let unwrap = json!({"conversation": "room", "wrapped_key": key["wrapped_key"]});
        let opened = ask(
            &client,
            Method::Post,
            &format!("{keys}/unwrap"),
            JSON,
            &unwrap,
        )
        .await?;
        if opened.status != 200 {
            let why = opened.text("code");
            gained
                .reached
                .push(format!("older keys do not open: {why}"));
        }
        Ok(gained)
    }
}

/// Calls that count for the whole deployment, by an operator of some keyspaces.
pub(super) struct ForeignCalls;

const TEAM: &str = "team-operator";

#[async_trait]
impl Attack for ForeignCalls {
    fn name(&self) -> &'static str {
        "foreign-calls"
    }

    fn what(&self) -> &'static str {
        "an operator of the keyspaces team-* confirms the clock, rotates the root and moves the HSM of all"
    }

    async fn prepare(&self, target: &Deployment) -> Result<(), BenchError> {
        target.grant(TEAM, OPERATOR, "team-*")?;
        target.until_granted(TEAM).await
    }

    async fn run(&self, target: &Deployment, _end: Instant) -> Result<Gained, BenchError> {
        let operator = target.client(TEAM)?;
        let mut gained = Gained::default();
        for path in [
            "/v1/clock/confirmations",
            "/v1/root/rotations",
            "/v1/hsm/moves",
        ] {
            let answer = ask(&operator, Method::Post, path, "", &Value::Null).await?;
            count(&mut gained, &answer);
            if answer.status != 403 {
                let status = answer.status;
                gained.reached.push(format!("POST {path}: {status}"));
            }
        }
        Ok(gained)
    }
}

/// Lets keys and leases live longer.
pub(super) struct LongerLife;

#[async_trait]
impl Attack for LongerLife {
    fn name(&self) -> &'static str {
        "longer-life"
    }

    fn what(&self) -> &'static str {
        "one operator stretches a keyspace's retention to 200 days, and its leases to all of their keys' lives"
    }

    fn settings(&self) -> Settings {
        super::APPROVALS
    }

    async fn run(&self, target: &Deployment, _end: Instant) -> Result<Gained, BenchError> {
        let operator = target.client(OPERATOR)?;
        let mut gained = Gained::default();
        let policy = |retention, cache_ttl| {
            json!({
                "retention": retention, "granularity": "1d", "rotation": "30d", "cache_ttl": cache_ttl,
            })
        };
        for (what, longer) in [
            ("a retention of 200 days", policy("200d", "5m")),
            ("a lease of three days", policy("72h", "72h")),
        ] {
            let answer = ask(&operator, Method::Put, "/v1/keyspaces/chat", JSON, &longer).await?;
            count(&mut gained, &answer);
            if answer.is_done() {
                gained.reached.push(what.into());
            }
        }
        Ok(gained)
    }
}

/// What became of a call.
pub(super) fn count(gained: &mut Gained, answer: &Answer) {
    gained.count(match answer.status {
        202 => "calls that wait for a second operator",
        200 | 201 => "calls carried out",
        _ => "calls refused",
    });
}
