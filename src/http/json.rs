//! JSON in the body of a request: an object, or a batch of items.

use std::marker::PhantomData;

use serde::de::{Error, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;

use super::problem::{Code, Problem};

/// Largest batch.
pub(super) const MOST_ITEMS: usize = 1_000;

/// Parses a JSON object. The type `T` refuses unknown fields.
pub(super) fn parse<'a, T: Deserialize<'a>>(body: &'a [u8]) -> Result<T, Problem> {
    let parsed = serde_json::from_slice(body);
    let parsed = parsed.map_err(|error: serde_json::Error| {
        if error.to_string().starts_with(TOO_MANY) {
            return Problem::new(Code::TooLarge, TOO_MANY);
        }
        invalid_json::<T>(body, &error)
    })?;
    if is_object(body) {
        Ok(parsed)
    } else {
        Err(Problem::invalid("a JSON object is expected"))
    }
}

/// serde also accepts a list of the fields in order for a struct. The API does not.
fn is_object(json: &[u8]) -> bool {
    json.trim_ascii_start().starts_with(b"{")
}

const NOT_WHOLE: &str = "a whole number is expected";

/// Reads a whole number or null. JSON has one kind of number, and some clients write `1.0` for 1.
pub(super) fn whole<'de, D: Deserializer<'de>>(from: D) -> Result<Option<u32>, D::Error> {
    let number = Option::<f64>::deserialize(from)?;
    // An f64 holds every u32 exactly, so no value is rounded.
    let whole = |number: f64| {
        let range = 0.0..=f64::from(u32::MAX);
        (number.fract() == 0.0 && range.contains(&number)).then_some(number as u32)
    };
    let invalid = || D::Error::custom(NOT_WHOLE);
    number.map(|it| whole(it).ok_or_else(invalid)).transpose()
}

/// Says which field is wrong and which type it should have. Values of the request are left out: they may
/// be ids.
fn invalid_json<'a, T: Deserialize<'a>>(body: &'a [u8], error: &serde_json::Error) -> Problem {
    let place = format!("(line {}, column {})", error.line(), error.column());
    if error.classify() != serde_json::error::Category::Data {
        return Problem::invalid(format_args!("the body is not JSON {place}"));
    }
    // Parsing with paths is slower, so the path is looked up only after an error.
    let json = &mut serde_json::Deserializer::from_slice(body);
    let located: Result<T, _> = serde_path_to_error::deserialize(json);
    let path = located.err().map(|error| error.path().to_string());
    let what = reason(&error.to_string());
    match path.filter(|path| path != "." && !path.contains('?')) {
        Some(field) if !what.contains('`') => {
            Problem::invalid(format_args!("field `{field}`: {what} {place}"))
        }
        _ => Problem::invalid(format_args!("{what} {place}")),
    }
}

/// The message of serde without the value that it found.
fn reason(message: &str) -> String {
    let message = message
        .rsplit_once(" at line ")
        .map_or(message, |(it, _)| it);
    let expected = message.rsplit_once(", expected ").map(|(_, it)| it);
    match (message, expected) {
        (it, Some(fields)) if it.starts_with("unknown field") => {
            format!("a field is not known, expected {fields}")
        }
        (it, _) if it.starts_with("missing field") || it.starts_with("duplicate field") => {
            it.into()
        }
        (it, _) if it.ends_with(", expected f64") => "expected a number".into(),
        (it, _) if it.contains(", expected struct ") => "expected an object".into(),
        (_, Some(kind)) => format!("expected {kind}"),
        // Our own message, see `whole`.
        _ if message == NOT_WHOLE => message.into(),
        _ => "a field has a wrong value".into(),
    }
}

/// `{"items": [...]}`
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Batch<'a> {
    #[serde(borrow)]
    items: AtMost<&'a RawValue>,
}

const TOO_MANY: &str = "a batch has at most 1,000 items";

/// A list of at most [`MOST_ITEMS`]. Parsing stops at the first item above that.
#[derive(Debug)]
pub(super) struct AtMost<T>(pub(super) Vec<T>);

impl<'de, T: Deserialize<'de>> Deserialize<'de> for AtMost<T> {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        from.deserialize_seq(Bounded(PhantomData)).map(Self)
    }
}

struct Bounded<T>(PhantomData<T>);

impl<'de, T: Deserialize<'de>> Visitor<'de> for Bounded<T> {
    type Value = Vec<T>;

    fn expecting(&self, to: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        to.write_str("a list of items")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Self::Value, A::Error> {
        let mut items = Vec::new();
        while let Some(item) = list.next_element()? {
            if items.len() == MOST_ITEMS {
                return Err(A::Error::custom(TOO_MANY));
            }
            items.push(item);
        }
        Ok(items)
    }
}

/// Whether the first member is called `items`.
fn looks_like_batch(body: &[u8]) -> bool {
    let rest = body.trim_ascii_start().strip_prefix(b"{");
    rest.is_some_and(|rest| rest.trim_ascii_start().starts_with(b"\"items\""))
}

/// One item, or a batch of them.
#[derive(Debug)]
pub(super) enum Items<T> {
    One(T),
    /// An item that is not valid gets an error of its own.
    Many(Vec<Result<T, Problem>>),
}

impl<T> Items<T> {
    /// Parses an item or a batch. An item has no field `items`, and a batch has no other field.
    pub(super) fn parse<'a>(body: &'a [u8]) -> Result<Self, Problem>
    where
        T: Deserialize<'a>,
    {
        if !looks_like_batch(body) {
            return parse(body).map(Self::One);
        }
        let AtMost(items) = parse::<Batch<'a>>(body)?.items;
        if items.is_empty() {
            return Err(Problem::invalid("a batch has at least 1 item"));
        }
        let item = |raw: &&'a RawValue| parse(raw.get().as_bytes());
        Ok(Self::Many(items.iter().map(item).collect()))
    }
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;

    use super::{Code, Items, MOST_ITEMS, parse, whole};

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    #[allow(dead_code, reason = "what is parsed is not looked at")]
    struct Item {
        conversation: String,
        #[serde(default, deserialize_with = "whole")]
        number: Option<u32>,
        flag: Option<bool>,
    }

    #[test]
    fn an_error_names_the_field_and_the_type_and_no_value() {
        for (json, expected) in [
            (
                r#"{"conversation":"secret","flag":"secret, expected x"}"#,
                "field `flag`: expected a boolean",
            ),
            (
                r#"{"conversation":"secret","number":"secret"}"#,
                "field `number`: expected a number",
            ),
            (
                r#"{"conversation":"secret","number":1.5}"#,
                "field `number`: a whole number is expected",
            ),
            (
                r#"{"conversation":["secret"]}"#,
                "field `conversation`: expected a string",
            ),
            (r#"{"flag":true}"#, "missing field `conversation`"),
            (
                r#"{"conversation":"secret","conversation":"secret"}"#,
                "duplicate field `conversation`",
            ),
            (
                r#"{"conversation":"secret","secret":1}"#,
                "a field is not known, expected one of `conversation`, `number`, `flag`",
            ),
            (r#""secret""#, "expected an object"),
            (r#"{"conversation":"secret""#, "the body is not JSON"),
        ] {
            let problem = parse::<Item>(json.as_bytes()).unwrap_err();
            assert!(
                problem.detail.starts_with(expected),
                "{json}: {}",
                problem.detail
            );
            assert!(
                !problem.detail.contains("secret"),
                "{json}: {}",
                problem.detail
            );
        }
    }

    #[test]
    fn a_batch_is_read_to_the_first_item_that_is_too_much() {
        let batch = |count: usize, end: &str| {
            let items = vec![r#"{"conversation":"c"}"#; count].join(",");
            format!(r#"{{"items":[{items}{end}"#)
        };
        let parsed = Items::<Item>::parse(batch(MOST_ITEMS, "]}").as_bytes()).unwrap();
        let Items::Many(items) = parsed else {
            panic!("a batch");
        };
        assert_eq!(items.len(), MOST_ITEMS);
        // The rest is not parsed, so it need not be JSON.
        for end in ["]}", "###"] {
            let refused = Items::<Item>::parse(batch(MOST_ITEMS + 1, end).as_bytes());
            assert_eq!(refused.unwrap_err().code, Code::TooLarge);
        }
        let unknown = Items::<Item>::parse(br#"{"items":[{}],"more":1}"#).unwrap_err();
        assert_eq!(unknown.code, Code::InvalidRequest);
        assert!(
            unknown
                .detail
                .starts_with("a field is not known, expected `items`")
        );
    }

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
