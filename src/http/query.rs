//! The query of a URL.

use percent_encoding::percent_decode_str;
use serde::de::DeserializeOwned;

use super::problem::Problem;

/// Parses a query. `takes` says what it may hold.
pub(super) fn parse<T: DeserializeOwned>(query: &str, takes: &str) -> Result<T, Problem> {
    // serde_urlencoded replaces bytes that are not UTF-8.
    if percent_decode_str(query).decode_utf8().is_err() {
        return Err(Problem::invalid("the query is not UTF-8"));
    }
    serde_urlencoded::from_str(query).map_err(|_| Problem::invalid(takes))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_replaced() {
        let parsed = |query| parse::<Vec<(String, String)>>(query, "anything");
        assert_eq!(
            parsed("reason=%c3%a4"),
            Ok(vec![("reason".into(), "ä".into())])
        );
        assert_eq!(
            parsed("reason=%ff"),
            Err(Problem::invalid("the query is not UTF-8"))
        );
    }
}
