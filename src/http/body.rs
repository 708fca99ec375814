use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, LengthLimitError, Limited};
use hyper::body::{Body, Incoming};
use hyper::{HeaderMap, header};
use serde::de::Error;
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;

use super::problem::{Code, Problem};

/// Largest body.
pub(super) const MOST_BYTES: usize = 1 << 20;
/// A body that is cheaper to copy than to keep.
const SMALL: usize = 4_096;
/// How much of a body that is refused is read and thrown away.
const DISCARD_BYTES: u64 = 64 << 20;
/// For how long.
const DISCARD_TIME: Duration = Duration::from_secs(5);
/// Largest batch.
pub(super) const MOST_ITEMS: usize = 1_000;

/// Reads a JSON body of at most [`MOST_BYTES`].
pub(super) async fn read(headers: &HeaderMap, body: &mut Incoming) -> Result<Bytes, Problem> {
    let media_type = headers
        .get(header::CONTENT_TYPE)
        .and_then(|value| value.to_str().ok());
    let essence = media_type
        .and_then(|value| value.split(';').next())
        .map(str::trim);
    if !essence.is_some_and(|essence| essence.eq_ignore_ascii_case("application/json")) {
        return Err(Problem::new(
            Code::UnsupportedMediaType,
            "the body must be application/json",
        ));
    }
    if body.size_hint().lower() > MOST_BYTES as u64 {
        return Err(too_large());
    }
    match Limited::new(body, MOST_BYTES).collect().await {
        Ok(collected) => Ok(own(collected.to_bytes())),
        Err(error) if error.is::<LengthLimitError>() => Err(too_large()),
        Err(_) => Err(Problem::invalid("the body ended early")),
    }
}

fn too_large() -> Problem {
    Problem::new(Code::TooLarge, "the body is larger than 1 MiB")
}

/// Reads what is left of a body that is refused, within bounds, and throws it away: many clients send
/// all of it before they look at the answer, and take a connection that is closed meanwhile for a
/// failure. Who waits for `100 Continue` sends nothing.
pub(super) async fn discard(headers: &HeaderMap, body: &mut Incoming) {
    if headers.contains_key(header::EXPECT) || body.size_hint().lower() > DISCARD_BYTES {
        return;
    }
    let mut left = DISCARD_BYTES;
    let all = async {
        while let Some(Ok(frame)) = body.frame().await {
            let read = frame.data_ref().map_or(0, Bytes::len);
            left = left.saturating_sub(read as u64);
            if left == 0 {
                break;
            }
        }
    };
    let _ = tokio::time::timeout(DISCARD_TIME, all).await;
}

/// A small body is copied: while a request holds on to a piece of the connection's buffer, hyper makes
/// and wipes a new one of 8 KiB for what may come next.
fn own(body: Bytes) -> Bytes {
    if body.len() <= SMALL {
        Bytes::copy_from_slice(&body)
    } else {
        body
    }
}

/// Parses an object; unknown fields are refused by the type.
pub(super) fn parse<'a, T: Deserialize<'a>>(body: &'a [u8]) -> Result<T, Problem> {
    let parsed = serde_json::from_slice(body).map_err(|error| invalid_json(&error))?;
    if is_object(body) {
        Ok(parsed)
    } else {
        Err(Problem::invalid("a JSON object is expected"))
    }
}

/// serde also takes a list for a struct, its fields in order; the API does not.
fn is_object(json: &[u8]) -> bool {
    json.trim_ascii_start().starts_with(b"{")
}

/// A whole number or null. JSON knows one kind of number, and some clients write `1.0` for 1.
pub(super) fn whole<'de, D: Deserializer<'de>>(from: D) -> Result<Option<u32>, D::Error> {
    let number = Option::<f64>::deserialize(from)?;
    // Every u32 is exact in an f64, so nothing is rounded to one.
    let whole = |number: f64| {
        let range = 0.0..=f64::from(u32::MAX);
        (number.fract() == 0.0 && range.contains(&number)).then_some(number as u32)
    };
    let invalid = || D::Error::custom("a whole number is expected");
    number.map(|it| whole(it).ok_or_else(invalid)).transpose()
}

/// The reason without the values of the request: those may be ids.
fn invalid_json(error: &serde_json::Error) -> Problem {
    let what = match error.classify() {
        serde_json::error::Category::Data => "a field is missing, unknown or of the wrong type",
        _ => "the body is not JSON",
    };
    Problem::invalid(format_args!(
        "{what} (line {}, column {})",
        error.line(),
        error.column()
    ))
}

/// `{"items": [...]}`
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Batch<'a> {
    #[serde(borrow)]
    items: Vec<&'a RawValue>,
}

/// Whether the first name is `items`, as it is usually written.
fn looks_like_batch(body: &[u8]) -> bool {
    let rest = body.trim_ascii_start().strip_prefix(b"{");
    rest.is_some_and(|rest| rest.trim_ascii_start().starts_with(b"\"items\""))
}

/// One item, or a batch of them.
pub(super) enum Items<T> {
    One(T),
    /// A bad item is an answer of its own.
    Many(Vec<Result<T, Problem>>),
}

impl<T> Items<T> {
    pub(super) fn parse<'a>(body: &'a [u8]) -> Result<Self, Problem>
    where
        T: Deserialize<'a>,
    {
        // An item parses as no batch and a batch as no item, so the likelier one is tried first.
        if !looks_like_batch(body)
            && let Ok(one) = parse(body)
        {
            return Ok(Self::One(one));
        }
        let Ok(batch) = parse::<Batch<'a>>(body) else {
            return parse(body).map(Self::One);
        };
        match batch.items.len() {
            1..=MOST_ITEMS => {}
            0 => return Err(Problem::invalid("a batch has at least 1 item")),
            _ => {
                return Err(Problem::new(
                    Code::TooLarge,
                    "a batch has at most 1,000 items",
                ));
            }
        }
        let item = |raw: &&'a RawValue| parse(raw.get().as_bytes());
        Ok(Self::Many(batch.items.iter().map(item).collect()))
    }
}

#[cfg(test)]
mod tests {
    use super::whole;

    #[test]
    fn numbers_are_whole_however_they_are_written() {
        let read = |json: &str| whole(&mut serde_json::Deserializer::from_str(json)).ok();
        for (json, number) in [
            ("1", 1),
            ("1.0", 1),
            ("2e2", 200),
            ("4294967295", u32::MAX),
            ("4294967295.0", u32::MAX),
        ] {
            assert_eq!(read(json), Some(Some(number)), "{json}");
        }
        assert_eq!(read("null"), Some(None));
        for json in [
            "1.5",
            "-1",
            "4294967296",
            "1e300",
            "1e-9",
            "\"1\"",
            "true",
            "[1]",
        ] {
            assert_eq!(read(json), None, "{json}");
        }
    }
}
