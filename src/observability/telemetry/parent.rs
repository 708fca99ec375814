//! Whose work a request is part of, as its caller says (W3C Trace Context, level 1). `tracestate` and
//! `baggage` are not taken: a caller could put anything in, and it would go out with the traces.

use http::HeaderMap;
use opentelemetry::trace::{SpanContext, SpanId, TraceFlags, TraceId, TraceState};

const TRACEPARENT: &str = "traceparent";
/// Of version 00; later ones may be longer.
const LENGTH: usize = 55;

/// None where the header is absent, malformed, or there twice.
pub(super) fn from_headers(headers: &HeaderMap) -> Option<SpanContext> {
    let mut values = headers.get_all(TRACEPARENT).into_iter();
    let (value, more) = (values.next()?, values.next());
    if more.is_some() {
        return None;
    }
    parse(value.to_str().ok()?)
}

/// `version-trace-parent-flags`, in lower-case hexadecimal.
fn parse(text: &str) -> Option<SpanContext> {
    let (known, rest) = text.split_at_checked(LENGTH)?;
    let mut fields = known.split('-');
    let [version, trace, span, flags] = [2, 32, 16, 2].map(|digits| {
        let field = fields.next()?;
        let hex = |byte: u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
        (field.len() == digits && field.bytes().all(hex)).then_some(field)
    });
    match (version?, rest.as_bytes().first()) {
        ("ff", _) | ("00", Some(_)) => return None,
        (_, None | Some(b'-')) => {}
        _ => return None,
    }
    let flags = u8::from_str_radix(flags?, 16).ok()?;
    let parent = SpanContext::new(
        TraceId::from_hex(trace?).ok()?,
        SpanId::from_hex(span?).ok()?,
        TraceFlags::new(flags) & TraceFlags::SAMPLED,
        true,
        TraceState::NONE,
    );
    parent.is_valid().then_some(parent)
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

    #[test]
    fn a_parent_is_taken_with_its_flag() {
        let parent = parse(GOOD).unwrap();
        let trace = "0af7651916cd43dd8448eb211c80319c";
        assert_eq!(parent.trace_id().to_string(), trace);
        assert_eq!(parent.span_id().to_string(), "b7ad6b7169203331");
        assert!(parent.is_sampled() && parent.is_remote());
        let unsampled = GOOD.replace("-01", "-02");
        assert!(!parse(&unsampled).unwrap().is_sampled());
        // A version to come may say more.
        let later = format!("cc{}-what", &GOOD[2..]);
        assert!(parse(&later).unwrap().is_sampled());
    }

    #[test]
    fn what_is_malformed_is_no_parent() {
        for (from, to) in [
            ("00-0", "ff-0"),
            ("00-0", "0-00"),
            ("00-0", "+1-0"),
            ("0af7", "0AF7"),
            ("0af7", "+af7"),
            ("0af7", "0ag7"),
            ("0af7651916cd43dd8448eb211c80319c", &"0".repeat(32)),
            ("b7ad6b7169203331", &"0".repeat(16)),
            ("-b7ad", "b-7ad"),
            ("-01", "-0"),
            ("-01", "-01-"),
            ("-01", "-01-more"),
            ("-01", "-0x"),
            ("9c-b7", "9cäb7"),
            (GOOD, ""),
        ] {
            let text = GOOD.replacen(from, to, 1);
            assert_ne!(text, GOOD);
            assert!(parse(&text).is_none(), "{text}");
        }
        assert!(parse(&format!("cc{}what", &GOOD[2..])).is_none());
    }

    #[test]
    fn two_parents_are_none() {
        let mut headers = HeaderMap::new();
        assert!(from_headers(&headers).is_none());
        headers.append(TRACEPARENT, GOOD.parse().unwrap());
        assert!(from_headers(&headers).is_some());
        headers.append(TRACEPARENT, GOOD.parse().unwrap());
        assert!(from_headers(&headers).is_none());
    }
}
