use super::*;

/// Version 3, generation 1.
fn wrapped() -> String {
    use base64ct::{Base64UrlUnpadded, Encoding};
    let mut bytes = [0_u8; 54];
    bytes[3] = 3;
    bytes[5] = 1;
    format!("lethe:v1:{}", Base64UrlUnpadded::encode_string(&bytes))
}

fn batches(text: &[u8], most: usize) -> Vec<Batch> {
    let mut reader = Reader::new(text, 0);
    std::iter::from_fn(|| reader.batch(most).unwrap()).collect()
}

fn replaced(line: &str) -> String {
    let batch = batches(line.as_bytes(), 9).remove(0);
    let Content::Key(key) = &batch.lines[0].content else {
        panic!("{:?}", batch.lines[0]);
    };
    assert_eq!(key.version, 3);
    let pieces = batch.rewrapped(&batch.lines[0], key, "NEW");
    String::from_utf8(pieces.concat()).unwrap()
}

#[test]
fn everything_but_the_key_stays_byte_for_byte() {
    let key = wrapped();
    let escaped = key.replace("lethe", "l\\u0065the");
    for line in [
        "{\"conversation\":\"c\",\"wrapped_key\":\"KEY\"}\n",
        "{\"conversation\":\"c\",\"wrapped_key\":\"KEY\"}",
        "\u{feff}{\"conversation\":\"c\",\"wrapped_key\":\"KEY\"}\r\n",
        " { \"z\" : 1.50 , \"wrapped_key\" : \"KEY\" , \"a\":[{\"wrapped_key\":\"KEY2\"}],\t\
         \"conversation\" : \"r\\u00e9\\\"\\ud83d\\ude00\", \"z\":2, \"n\":12345678901234567890123 } \n",
    ] {
        let expected = line.replacen("\"KEY\"", "\"NEW\"", 1);
        assert_eq!(replaced(&line.replacen("KEY", &key, 1)), expected);
        assert_eq!(replaced(&line.replacen("KEY", &escaped, 1)), expected);
    }
}

#[test]
fn escapes_of_a_conversation_are_read() {
    let line = format!(
        r#"{{"conversation":"r\u00e9\"","wrapped_key":"{}"}}"#,
        wrapped()
    );
    let batch = batches(line.as_bytes(), 1).remove(0);
    assert_eq!(batch.requests[0].conversation.as_str(), "ré\"");
    assert_eq!(batch.requests[0].wrapped_key.as_str(), wrapped());
}

#[test]
fn bad_lines_are_told_apart_and_quoted_by_nothing() {
    let key = wrapped();
    let with = |text: &str| text.replace("KEY", &key).into_bytes();
    let cases = [
        (b"secret".to_vec(), "invalid_json"),
        (b"\xff\xfe".to_vec(), "invalid_json"),
        (
            b"{\"conversation\":\"secret\xff\"}".to_vec(),
            "invalid_json",
        ),
        (b"{\"conversation\":\"secret".to_vec(), "invalid_json"),
        (with("[\"secret\",\"KEY\"]"), "invalid_json"),
        (
            with("{\"conversation\":\"secret\",\"wrapped_key\":\"KEY\"} x"),
            "invalid_json",
        ),
        (
            with("{\"conversation\":\"a\",\"wrapped_key\":\"KEY\",\"wrapped_key\":\"KEY\"}"),
            "invalid_json",
        ),
        (b"{}".to_vec(), "missing_field"),
        (b"{\"conversation\":\"secret\"}".to_vec(), "missing_field"),
        (with("{\"wrapped_key\":\"KEY\"}"), "missing_field"),
        (
            with("{\"conversation\":null,\"wrapped_key\":\"KEY\"}"),
            "missing_field",
        ),
        (
            with("{\"conversation\":7,\"wrapped_key\":\"KEY\"}"),
            "invalid_conversation",
        ),
        (
            with("{\"conversation\":\"\",\"wrapped_key\":\"KEY\"}"),
            "invalid_conversation",
        ),
        (
            with("{\"conversation\":\"secret\\n\",\"wrapped_key\":\"KEY\"}"),
            "invalid_conversation",
        ),
        (
            with("{\"conversation\":\"c\",\"wrapped_key\":\"KEYsecret\"}"),
            "invalid_wrapped_key",
        ),
        (
            b"{\"conversation\":\"c\",\"wrapped_key\":\"secret\"}".to_vec(),
            "invalid_wrapped_key",
        ),
        (
            b"{\"conversation\":\"c\",\"wrapped_key\":{}}".to_vec(),
            "invalid_wrapped_key",
        ),
    ];
    for (line, code) in cases {
        let shown = String::from_utf8_lossy(&line).into_owned();
        let batch = batches(&line, 1).remove(0);
        let Content::Bad(bad) = &batch.lines[0].content else {
            panic!("{shown} is not bad");
        };
        assert_eq!(bad.code, code, "{shown}");
        assert!(!bad.detail.contains("secret"), "{}", bad.detail);
        assert_eq!(batch.text_of(&batch.lines[0]), line);
        assert!(batch.requests.is_empty());
    }
}

#[test]
fn batches_hold_every_byte_once_and_lines_have_their_numbers() {
    let good = format!(
        "{{\"conversation\":\"c\",\"wrapped_key\":\"{}\"}}\n",
        wrapped()
    );
    let text = format!("{good}\n{good}x\n \r\n{good}{}", good.trim_end());
    let batches = batches(text.as_bytes(), 2);
    let joined: Vec<u8> = batches
        .iter()
        .flat_map(|batch| batch.text.clone())
        .collect();
    assert_eq!(joined, text.as_bytes());
    let lines: Vec<_> = batches.iter().flat_map(|batch| &batch.lines).collect();
    let numbers: Vec<_> = lines.iter().map(|line| line.number).collect();
    assert_eq!(numbers, [1, 2, 3, 4, 5, 6, 7]);
    let blank = lines.iter().filter(|line| line.content == Content::Blank);
    assert_eq!(blank.count(), 2);
    let requests: usize = batches.iter().map(|batch| batch.requests.len()).sum();
    assert_eq!((batches.len(), requests), (4, 4));
    assert!(batches.iter().all(|batch| batch.whole));
    assert!(Reader::new(&b""[..], 0).batch(9).unwrap().is_none());
}

#[test]
fn a_line_without_end_goes_through_in_pieces() {
    let long = "x".repeat(2 * LONGEST_LINE + 10);
    let text = format!("{{}}\n{long}\n{{}}\n");
    let batches = batches(text.as_bytes(), 1_000);
    let joined: Vec<u8> = batches
        .iter()
        .flat_map(|batch| batch.text.clone())
        .collect();
    assert!(joined == text.as_bytes());
    assert!(
        batches
            .iter()
            .all(|batch| batch.text.len() < LONGEST_LINE + MOST_BYTES)
    );
    let lines: Vec<_> = batches.iter().flat_map(|batch| &batch.lines).collect();
    let numbers: Vec<_> = lines.iter().map(|line| line.number).collect();
    assert_eq!(numbers, [1, 2, 2, 2, 3]);
    assert!(matches!(&lines[1].content, Content::Bad(bad) if bad.code == "too_long"));
    assert_eq!([&lines[2].content, &lines[3].content], [&Content::Rest; 2]);
    let whole: Vec<_> = batches.iter().map(|batch| batch.whole).collect();
    assert_eq!(whole, [false, false, true]);
}

#[test]
fn a_line_may_end_just_there() {
    let text = "x".repeat(LONGEST_LINE);
    for end in ["", "\n"] {
        let text = format!("{text}{end}");
        let batches = batches(text.as_bytes(), 1_000);
        let joined: Vec<u8> = batches
            .iter()
            .flat_map(|batch| batch.text.clone())
            .collect();
        assert!(joined == text.as_bytes());
        let lines: Vec<_> = batches.iter().flat_map(|batch| &batch.lines).collect();
        assert!(lines.iter().all(|line| line.number == 1));
        assert!(matches!(lines[0].content, Content::Bad(_)));
    }
}
