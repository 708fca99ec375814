use super::*;

fn found(text: &str) -> Result<Vec<Found>, String> {
    let found: Result<_, _> = receipts(text.as_bytes()).collect();
    found.map_err(|error: Unreadable| error.to_string())
}

fn receipt(receipt: &str, opening: Option<&str>) -> Found {
    Found::Receipt {
        receipt: receipt.into(),
        opening: opening.map(Into::into),
    }
}

#[test]
fn every_shape_that_people_have() {
    let bare = r#"{ "format" : "x", "a":1 }"#;
    assert_eq!(found(bare).unwrap(), [receipt(bare, None)]);
    let answer = r#"{"id":"7","receipt":{ "a":1.50 },"opening":{"b":2},"more":[{}]}"#;
    let of_answer = || receipt(r#"{ "a":1.50 }"#, Some(r#"{"b":2}"#));
    assert_eq!(found(answer).unwrap(), [of_answer()]);
    let null = r#"{"receipt":{},"opening":null}"#;
    assert_eq!(found(null).unwrap(), [receipt("{}", None)]);
    let refused = r#"{"error":{"code":"conflict"}}"#;
    let accepted = r#"{"id":"7","state":"accepted"}"#;
    let batch = format!(r#"{{"items":[{answer},{refused},{accepted},{bare}]}}"#);
    let of_batch = || {
        vec![
            of_answer(),
            Found::NoReceipt,
            Found::NoReceipt,
            receipt(bare, None),
        ]
    };
    assert_eq!(found(&batch).unwrap(), of_batch());
    let page = format!(r#"{{"expiries":[{answer}],"next":7}}"#);
    assert_eq!(found(&page).unwrap(), [of_answer()]);
    let lines = format!("{answer}\n\n{batch}\r\n  {bare}");
    let mut expected = vec![of_answer()];
    expected.extend(of_batch());
    expected.push(receipt(bare, None));
    assert_eq!(found(&lines).unwrap(), expected);
    assert_eq!(found(" \n").unwrap(), []);
    assert_eq!(found(r#"{"items":[]}"#).unwrap(), []);
}

#[test]
fn what_is_none_is_refused() {
    for (text, why) in [
        ("receipt", "not JSON"),
        ("{\"format\":", "not JSON"),
        ("[{\"format\":1}]", "value 1 in it holds no answer"),
        ("7", "value 1 in it holds no answer"),
        ("{}", "value 1 in it holds no receipt"),
        (
            r#"{"format":1,"receipt":{}}"#,
            "value 1 in it holds no receipt",
        ),
        (
            r#"{"receipt":{},"receipt":{}}"#,
            "value 1 in it holds no answer",
        ),
        (r#"{"receipt":null}"#, "value 1 in it holds no receipt"),
        (r#"{"state":"destroyed"}"#, "value 1 in it holds no receipt"),
        (
            r#"{"items":[{"items":[]}]}"#,
            "value 1 in it holds no receipt",
        ),
        (r#"{"items":[7]}"#, "value 1 in it holds no answer"),
        ("{\"format\":1}\n{}", "value 2 in it holds no receipt"),
    ] {
        let error = found(text).unwrap_err();
        assert!(error.starts_with(why), "{text}: {error}");
    }
    let nested = "[".repeat(100_000);
    assert!(found(&nested).unwrap_err().starts_with("not JSON"));
}

#[test]
fn nothing_is_read_behind_an_error() {
    let mut read = receipts("{\"format\":1} {} {\"format\":1} x".as_bytes());
    assert!(read.next().unwrap().is_ok());
    assert!(read.next().unwrap().is_err());
    assert!(read.next().is_none());
}

#[test]
fn one_value_does_not_fill_the_memory_and_many_may_be_long() {
    let endless = io::Read::chain(&b"{\"a\":\""[..], io::repeat(b'x'));
    let mut read = receipts_below(10_000, endless);
    let error = read.next().unwrap().unwrap_err();
    assert!(matches!(error, Unreadable::TooLong), "{error}");
    let line = format!("{{\"format\":\"{}\"}}\n", "x".repeat(9_000));
    let lines = line.repeat(9);
    assert_eq!(
        receipts_below(10_000, lines.as_bytes())
            .filter(Result::is_ok)
            .count(),
        9
    );
}

#[test]
fn openings_alone_or_in_answers() {
    let read = |text: &str| openings(text.as_bytes());
    let bare = r#"{"salt":"s"}"#;
    assert_eq!(read(bare).unwrap(), [bare]);
    let answer = format!(r#"{{"receipt":{{}},"opening":{bare}}}"#);
    let batch = format!(r#"{{"items":[{answer},{{"error":{{}}}}]}}"#);
    assert_eq!(read(&format!("{bare}\n{batch}")).unwrap(), [bare, bare]);
    for bad in ["{}", "7", r#"{"opening":null}"#, "x"] {
        assert!(read(bad).is_err(), "{bad}");
    }
}
