use std::sync::atomic::{AtomicUsize, Ordering};

use hyper::Request;
use serde_json::{Value, json};

use super::world::{World, request, settings};
use crate::http::routes::Route;

/// A call that does what its operation is for.
pub(super) struct Case<'w> {
    pub(super) world: &'w World,
    /// Who calls.
    pub(super) by: &'static str,
    /// Parameters of the path.
    pub(super) parameters: Vec<(&'static str, String)>,
    pub(super) body: Option<Value>,
    /// Status of its answer.
    pub(super) status: u16,
    /// Members of its answer, among others.
    pub(super) says: Value,
}

impl Case<'_> {
    pub(super) fn path(&self, route: &Route) -> String {
        let mut path = route.path.to_owned();
        for (name, value) in &self.parameters {
            path = path.replace(&format!("{{{name}}}"), value);
        }
        assert!(!path.contains('{'), "{path}");
        path
    }

    pub(super) fn request(&self, route: &Route) -> Request<axum::body::Body> {
        request(&route.method, &self.path(route), self.body.as_ref())
    }
}

/// Deployments for all operations.
pub(super) struct Worlds {
    pub(super) plain: World,
    /// A second operator has to approve.
    pub(super) approving: World,
    /// There is an HSM to move to.
    pub(super) moving: World,
}

impl Worlds {
    pub(super) async fn open() -> Self {
        let second = |config: &mut crate::config::Config| {
            let mut next = config.hsm.clone();
            next.token = "second".into();
            config.hsm_next = Some(next);
        };
        Self {
            plain: World::open().await,
            approving: World::approving().await,
            moving: World::open_with(second).await,
        }
    }

    pub(super) const fn each(&self) -> [&World; 3] {
        [&self.plain, &self.approving, &self.moving]
    }

    /// The call of an operation, after what it needs was made. An operation that is not here fails the test.
    pub(super) async fn case(&self, operation: &str) -> Case<'_> {
        match operation {
            "issue" | "unwrap" | "rewrap" => self.data_keys(operation).await,
            "shred" | "shred_across" | "show_shred" => self.shreds(operation).await,
            "list_approvals" | "approve_many" | "show_approval" | "approve"
            | "withdraw_approval" => self.approvals(operation).await,
            "list_keyspaces" | "show_keyspace" | "put_keyspace" | "erase_keyspace"
            | "rotate_keyspace" | "drop_version" => self.keyspaces(operation).await,
            "rotate_root" | "move_hsm" | "show_hsm_move" | "confirm_clock" => {
                self.deployment(operation)
            }
            "list_expiries" | "status" | "verification_keys" | "openapi" => self.looks(operation),
            _ => panic!("say here how {operation} is called"),
        }
    }

    fn plain(&self, by: &'static str, status: u16, says: Value) -> Case<'_> {
        Case {
            world: &self.plain,
            by,
            parameters: Vec::new(),
            body: None,
            status,
            says,
        }
    }

    async fn data_keys(&self, operation: &str) -> Case<'_> {
        let chat = vec![("keyspace", "chat".to_owned())];
        if operation == "issue" {
            return Case {
                parameters: chat,
                body: Some(json!({ "conversation": "room", "plaintext": true })),
                ..self.plain("message-server", 201, json!({ "version": 1 }))
            };
        }
        let issued = self.plain.client("message-server");
        let issued = issued.issue("chat", "room").await.ok(201);
        let says = match operation {
            "unwrap" => json!({ "data_key": issued["data_key"] }),
            _ => json!({ "expires_at": issued["expires_at"] }),
        };
        let wrapped = &issued["wrapped_key"];
        Case {
            parameters: chat,
            body: Some(json!({ "conversation": "room", "wrapped_key": wrapped })),
            ..self.plain("message-server", 200, says)
        }
    }

    async fn shreds(&self, operation: &str) -> Case<'_> {
        let (room, client) = (unique("room"), self.plain.client("message-server"));
        let destroyed = self.plain("message-server", 200, json!({ "state": "destroyed" }));
        let chat = ("keyspace", "chat".to_owned());
        match operation {
            "shred" => Case {
                parameters: vec![chat],
                body: Some(json!({ "conversation": room, "reason": "asked for" })),
                ..destroyed
            },
            "show_shred" => {
                let id = client.shred("chat", &room).await.text("id");
                Case {
                    parameters: vec![chat, ("id", id)],
                    by: "auditor",
                    ..destroyed
                }
            }
            _ => Case {
                body: Some(json!({ "items": [{ "keyspace": "chat", "conversation": room }] })),
                ..self.plain("message-server", 200, json!({}))
            },
        }
    }

    async fn approvals(&self, operation: &str) -> Case<'_> {
        let (world, keyspace) = (&self.approving, unique("doomed"));
        let operator = world.client("operator");
        operator.set_keyspace(&keyspace, "1h", "1h").await.ok(201);
        let asked = operator.delete(&format!("/v1/keyspaces/{keyspace}")).await;
        let asked = asked.ok(202)["id"].as_str().unwrap().to_owned();
        let says = match operation {
            "show_approval" => json!({ "state": "approval_required" }),
            "withdraw_approval" => json!({ "state": "withdrawn" }),
            "approve" => json!({ "state": "destroyed" }),
            _ => json!({}),
        };
        let mut case = Case {
            world,
            ..self.plain("second-operator", 200, says)
        };
        match operation {
            "list_approvals" => {}
            "approve_many" => case.body = Some(json!({ "ids": [asked] })),
            _ => case.parameters = vec![("id", asked)],
        }
        case
    }

    async fn keyspaces(&self, operation: &str) -> Case<'_> {
        let (name, operator) = (unique("own"), self.plain.client("operator"));
        let named = json!({ "name": name });
        let own = vec![("keyspace", name.clone())];
        if operation == "put_keyspace" {
            return Case {
                parameters: own,
                body: Some(settings("48h", "1h")),
                ..self.plain("operator", 201, named)
            };
        }
        operator.set_keyspace(&name, "48h", "1h").await.ok(201);
        let destroyed = json!({ "state": "destroyed" });
        match operation {
            "list_keyspaces" => self.plain("auditor", 200, json!({})),
            "show_keyspace" => Case {
                parameters: own,
                ..self.plain("auditor", 200, named)
            },
            "rotate_keyspace" => Case {
                parameters: own,
                ..self.plain("operator", 201, named)
            },
            "erase_keyspace" => Case {
                parameters: own,
                ..self.plain("operator", 200, destroyed)
            },
            _ => {
                let rotated = request_of_versions(&name);
                operator.send(rotated).await.ok(201);
                Case {
                    parameters: vec![("keyspace", name), ("version", "1".into())],
                    ..self.plain("operator", 200, destroyed)
                }
            }
        }
    }

    fn deployment(&self, operation: &str) -> Case<'_> {
        match operation {
            "rotate_root" => self.plain("operator", 200, json!({})),
            "confirm_clock" => self.plain("operator", 200, json!({ "was": "trusted" })),
            "show_hsm_move" => self.plain("operator", 200, json!({ "state": "unconfigured" })),
            _ => Case {
                world: &self.moving,
                ..self.plain("operator", 202, json!({ "from": { "token": "memory" } }))
            },
        }
    }

    fn looks(&self, operation: &str) -> Case<'_> {
        let says = match operation {
            "list_expiries" => json!({ "expiries": [] }),
            "status" => json!({ "hsm": "ok", "store": "ok", "audit": "ok", "clock": "ok" }),
            "openapi" => json!({ "openapi": "3.1.0" }),
            _ => json!({}),
        };
        self.plain("auditor", 200, says)
    }
}

fn request_of_versions(keyspace: &str) -> Request<axum::body::Body> {
    let path = format!("/v1/keyspaces/{keyspace}/versions");
    request(&hyper::Method::POST, &path, None)
}

/// A name that nothing has yet.
pub(super) fn unique(what: &str) -> String {
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    format!("{what}-{}", NEXT.fetch_add(1, Ordering::Relaxed))
}
