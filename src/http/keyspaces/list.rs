use axum::http::StatusCode;
use serde::{Deserialize, Serialize};

use super::view::KeyspaceView;
use crate::access::Role;
use crate::http::call::{Call, Done, Operation};
use crate::http::problem::Problem;

/// `GET /v1/keyspaces`: those granted, by name, in pages.
pub(crate) struct List;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Page {
    #[serde(default = "most")]
    limit: usize,
    #[serde(default)]
    after: String,
}

const fn most() -> usize {
    100
}

#[derive(Serialize)]
struct ListAnswer {
    keyspaces: Vec<KeyspaceView>,
    /// For `after` of the next page; none on the last.
    #[serde(skip_serializing_if = "Option::is_none")]
    next: Option<String>,
}

impl Operation for List {
    const NAME: &'static str = "list_keyspaces";
    const ROLES: &'static [Role] = Role::ANY;
    const BODY: bool = false;

    async fn run(call: &Call) -> Result<Done, Problem> {
        let page: Page = serde_urlencoded::from_str(&call.query)
            .map_err(|_| Problem::invalid("the query takes limit and after"))?;
        if !(1..=1_000).contains(&page.limit) {
            return Err(Problem::invalid("limit must be 1 to 1000"));
        }
        let keyring = call.service.live.keyring();
        let mut names: Vec<_> = keyring
            .keyspaces
            .keys()
            .filter(|name| call.grants(name))
            .collect();
        names.retain(|name| name.as_str() > page.after.as_str());
        names.sort_unstable();
        let more = names.len() > page.limit;
        names.truncate(page.limit);
        let next = names.last().filter(|_| more).map(ToString::to_string);
        let view = |name| {
            Some(KeyspaceView::new(
                keyring.keyspaces.get(name)?,
                &keyring,
                call.now,
            ))
        };
        let keyspaces = names.into_iter().filter_map(view).collect();
        Done::json(StatusCode::OK, &ListAnswer { keyspaces, next })
    }
}
