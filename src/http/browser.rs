//! Recognises requests that a web page makes. A browser may hold a client certificate or reach
//! loopback, and it sends the requests of foreign pages.

use hyper::header::{HOST, HeaderName, ORIGIN};
use hyper::http::uri::Authority;
use hyper::{HeaderMap, Request};

const FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");

/// Whether a web page made the request. A person who types an address into the browser is not a page.
pub(super) fn is_of_a_page(headers: &HeaderMap) -> bool {
    headers.contains_key(ORIGIN)
        || headers
            .get(FETCH_SITE)
            .is_some_and(|site| site.as_bytes() != b"none")
}

/// Whether a request names this host by a loopback name. With DNS rebinding the name of a foreign page
/// resolves to this host, and the browser then takes both for one site.
pub(super) fn names_loopback<B>(request: &Request<B>) -> bool {
    let authority = match request.headers().get(HOST) {
        Some(host) => Authority::try_from(host.as_bytes()).map(Some),
        None => Ok(request.uri().authority().cloned()),
    };
    // A browser always sends a host.
    authority.is_ok_and(|host| host.is_none_or(|host| is_loopback(host.host())))
}

fn is_loopback(host: &str) -> bool {
    let name = host.trim_start_matches('[').trim_end_matches(']');
    let address = name.parse::<std::net::IpAddr>();
    address.map_or_else(
        |_| name.eq_ignore_ascii_case("localhost"),
        |address| address.to_canonical().is_loopback(),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn loopback_has_few_names() {
        let names =
            |host: &str| names_loopback(&Request::builder().header(HOST, host).body(()).unwrap());
        for host in [
            "localhost",
            "LOCALHOST:8444",
            "127.0.0.1:8444",
            "127.1.2.3",
            "[::1]:8444",
        ] {
            assert!(names(host), "{host}");
        }
        for host in [
            "evil.example",
            "localhost.evil.example:8444",
            "10.0.0.1",
            "[::2]",
            "",
        ] {
            assert!(!names(host), "{host}");
        }
        assert!(names_loopback(&Request::new(())));
    }
}
