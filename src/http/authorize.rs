//! Who sends a request, and whether that client may call the endpoint.

use hyper::HeaderMap;
use lethe_core::keyspace::KeyspaceName;
use lethe_core::ports::Clock;

use super::browser::is_of_a_page;
use super::call::Endpoint;
use super::connection::ConnectionContext;
use super::problem::{Code, Problem};
use super::state::ApiState;
use crate::identity::{Grant, Rules, SpiffeId};
use crate::node::clock::HandshakeClock;

/// The client of a connection: the SPIFFE id of its certificate, while the certificate is valid.
pub(super) fn identify(connection: &ConnectionContext, rules: &Rules) -> Result<SpiffeId, Problem> {
    let client = connection.session.client(rules, HandshakeClock.now());
    client
        .cloned()
        .map_err(|nobody| Problem::new(Code::Forbidden, nobody.to_string()))
}

/// Whether a client may call an endpoint with a keyspace. A client that has got or lost its grant since
/// its last request is counted among the others of its kind from now on.
pub(super) fn authorize<E: Endpoint>(
    service: &ApiState,
    connection: &ConnectionContext,
    rules: &Rules,
    client: &SpiffeId,
    headers: &HeaderMap,
    keyspace: &Result<Option<KeyspaceName>, Problem>,
) -> Result<(), Problem> {
    let grant = rules.access().grant(client);
    if grant.is_some() != connection.account().client().is_some() {
        connection.change_account(&service.admission, client, rules.access());
    }
    check_grant::<E>(grant, headers, keyspace)
}

fn check_grant<E: Endpoint>(
    grant: Option<&Grant>,
    headers: &HeaderMap,
    keyspace: &Result<Option<KeyspaceName>, Problem>,
) -> Result<(), Problem> {
    let forbidden = |why| Problem::new(Code::Forbidden, why);
    let grant = grant.ok_or_else(|| forbidden("this client is not known"))?;
    if is_of_a_page(headers) {
        return Err(forbidden("a request of a web page is not taken"));
    }
    if !E::ROLES.contains(&grant.role) {
        return Err(forbidden("this role may not do that"));
    }
    if E::WHOLE_DEPLOYMENT && !grant.allows_all() {
        let why = "this concerns the whole deployment: a grant of all keyspaces (*) is needed";
        return Err(forbidden(why));
    }
    match keyspace {
        Ok(Some(keyspace)) if !grant.allows(keyspace) => {
            Err(forbidden("this keyspace is not granted"))
        }
        Ok(_) => Ok(()),
        Err(problem) => Err(problem.clone()),
    }
}
