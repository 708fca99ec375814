use lethe_core::keyspace::KeyspaceName;
use matchit::Params;
use percent_encoding::percent_decode_str;

use super::problem::Problem;

/// The keyspace's place in a path.
const KEYSPACE: &str = "keyspace";

/// The named parts of a path.
pub(super) struct Path {
    /// None where the endpoint has none in its path.
    pub(super) keyspace: Result<Option<KeyspaceName>, Problem>,
    /// All but the keyspace, which nearly every path has.
    pub(super) parameters: Vec<(String, String)>,
}

impl Path {
    /// Percent signs are resolved in each part by itself.
    pub(super) fn of(params: &Params<'_, '_>) -> Self {
        let mut path = Self {
            keyspace: Ok(None),
            parameters: Vec::new(),
        };
        for (name, text) in params.iter() {
            let Ok(text) = percent_decode_str(text).decode_utf8() else {
                path.keyspace = Err(Problem::invalid("the path is not UTF-8"));
                return path;
            };
            if name == KEYSPACE {
                path.keyspace = text.parse().map(Some).map_err(Problem::invalid);
            } else {
                path.parameters.push((name.to_owned(), text.into_owned()));
            }
        }
        path
    }
}
