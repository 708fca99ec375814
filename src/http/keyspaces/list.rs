use hyper::StatusCode;
use serde::Serialize;
use serde_json::json;

use super::view::KeyspaceView;
use crate::http::call::{Call, Endpoint, Outcome};
use crate::http::openapi::Description;
use crate::http::page::Page;
use crate::http::problem::Problem;
use crate::identity::Role;

/// `GET /v1/keyspaces`: lists the keyspaces that are granted to the caller, by name.
pub(crate) struct List;

#[derive(Serialize)]
struct ListAnswer {
    keyspaces: Vec<KeyspaceView>,
    /// Value of `after` for the next page. Absent on the last page.
    #[serde(skip_serializing_if = "Option::is_none")]
    next: Option<String>,
}

impl Endpoint for List {
    const NAME: &'static str = "list_keyspaces";
    const ROLES: &'static [Role] = Role::ANY;
    const BODY: bool = false;

    fn describe() -> Description {
        Description::new(Self::NAME, "keyspaces", "Keyspaces by name")
            .pages(json!({ "type": "string" }))
            .answers(200, "Keyspaces")
    }

    async fn run(call: &Call) -> Result<Outcome, Problem> {
        let page = Page::<String>::from_query(&call.query)?;
        let limit = page.limit as usize;
        let keyring = call.service.node.key_state.keyring();
        let mut names: Vec<_> = keyring
            .keyspaces
            .keys()
            .filter(|name| call.grants(name))
            .collect();
        names.retain(|name| name.as_str() > page.after.as_str());
        names.sort_unstable();
        let more = names.len() > limit;
        names.truncate(limit);
        let next = names.last().filter(|_| more).map(ToString::to_string);
        let view = |name| {
            Some(KeyspaceView::new(
                keyring.keyspaces.get(name)?,
                &keyring,
                call,
            ))
        };
        let keyspaces = names.into_iter().filter_map(view).collect();
        Outcome::json(StatusCode::OK, &ListAnswer { keyspaces, next })
    }
}
