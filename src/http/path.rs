use axum::extract::RawPathParams;
use axum::extract::rejection::RawPathParamsRejection;
use lethe_core::keyspace::KeyspaceName;

use super::problem::Problem;

/// Name of the keyspace's parameter in paths.
const KEYSPACE: &str = "keyspace";

/// The parameters of a path.
pub(super) struct Path {
    /// The keyspace, if the path has one.
    pub(super) keyspace: Result<Option<KeyspaceName>, Problem>,
    /// All other parameters.
    pub(super) parameters: Vec<(String, String)>,
}

impl Path {
    /// axum has decoded the percent signs of each parameter.
    pub(super) fn new(found: Result<RawPathParams, RawPathParamsRejection>) -> Self {
        let mut path = Self {
            keyspace: Ok(None),
            parameters: Vec::new(),
        };
        let Ok(found) = found else {
            path.keyspace = Err(Problem::invalid("the path is not UTF-8"));
            return path;
        };
        for (name, text) in &found {
            if name == KEYSPACE {
                path.keyspace = text.parse().map(Some).map_err(Problem::invalid);
            } else {
                path.parameters.push((name.to_owned(), text.to_owned()));
            }
        }
        path
    }
}
