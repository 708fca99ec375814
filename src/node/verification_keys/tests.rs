use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair};

use super::*;

fn keys() -> Vec<VerificationKey> {
    let key = |byte, purpose| VerificationKey {
        id: HsmKeyId::from_bytes([byte; 16]),
        purpose,
        public_key: [byte; 32],
    };
    vec![
        key(0x51, SigningPurpose::Receipt),
        key(0x52, SigningPurpose::Checkpoint),
    ]
}

/// RFC 8410 section 10.1.
const RFC_8410: &str = "-----BEGIN PUBLIC KEY-----
MCowBQYDK2VwAyEAGb9ECWmEzf6FQbrBZ9w7lshQhqowtrbLDFw4rXAxZuE=
-----END PUBLIC KEY-----
";

#[test]
fn what_is_written_is_read() {
    let text = to_text(&keys());
    let read: VerificationKeys = text.parse().unwrap();
    assert_eq!(read.named, keys());
    let with_cr = text.replace('\n', "\r\n");
    assert_eq!(with_cr.parse::<VerificationKeys>().unwrap().named, keys());
    let apart = format!("\n{}", text.replace("# ", "\n# "));
    assert_eq!(apart.parse::<VerificationKeys>().unwrap().named, keys());
}

/// The same as a key of receipts.
fn named(pem: &str) -> String {
    format!("# receipt {}\n{pem}", "53".repeat(16))
}

#[test]
fn a_key_that_does_not_say_what_it_signs_is_refused() {
    let read: VerificationKeys = named(RFC_8410).parse().unwrap();
    assert_eq!(read.named[0].public_key[..4], [0x19, 0xbf, 0x44, 0x09]);
    assert_eq!(pem(&read.named[0].public_key), RFC_8410);
    let plain = RFC_8410.parse::<VerificationKeys>();
    assert_eq!(plain, Err(InvalidKeys::Unnamed(1)));
    let behind = format!("{}{RFC_8410}", to_text(&keys()));
    let behind = behind.parse::<VerificationKeys>();
    assert_eq!(behind, Err(InvalidKeys::Unnamed(9)));
}

#[test]
fn lines_of_the_key_may_be_shorter() {
    let (head, tail) = RFC_8410.split_at(60);
    assert_eq!(
        named(&format!("{head}\n{tail}")).parse::<VerificationKeys>(),
        named(RFC_8410).parse::<VerificationKeys>()
    );
}

#[test]
fn all_else_is_refused() {
    let text = to_text(&keys());
    let changed = |from: &str, to: &str| {
        assert!(text.contains(from), "{from}");
        text.replacen(from, to, 1)
    };
    let id = "51".repeat(16);
    let refused = [
        (String::new(), InvalidKeys::Empty),
        ("\n \n".into(), InvalidKeys::Empty),
        ("{}".into(), InvalidKeys::Line(1)),
        (changed("# receipt", "#receipt"), InvalidKeys::Comment(1)),
        (changed("# receipt", "# Receipt"), InvalidKeys::Comment(1)),
        (changed("# receipt", "# keys of"), InvalidKeys::Comment(1)),
        (changed(&id, &id[1..]), InvalidKeys::Comment(1)),
        (changed(&id, &"AB".repeat(16)), InvalidKeys::Comment(1)),
        (
            changed(&format!("{id}\n"), &format!("{id}\n\n")),
            InvalidKeys::Comment(1),
        ),
        (
            changed("BEGIN PUBLIC", "BEGIN PRIVATE"),
            InvalidKeys::Comment(1),
        ),
        (RFC_8410.replace("PUBLIC", "PRIVATE"), InvalidKeys::Line(1)),
        (changed("END PUBLIC", "END PRIVATE"), InvalidKeys::Key(2)),
        (changed("-----END", "----END"), InvalidKeys::Key(2)),
        (changed("MCow", "MCox"), InvalidKeys::Key(2)),
        (changed("MCow", "MCo"), InvalidKeys::Key(2)),
        (changed("MCow", "MC*w"), InvalidKeys::Key(2)),
        (named(&RFC_8410.replace("ZuE=", "")), InvalidKeys::Key(2)),
        (
            named(&RFC_8410.replace("-----END PUBLIC KEY-----\n", "")),
            InvalidKeys::Key(2),
        ),
        (changed(&"52".repeat(16), &id), InvalidKeys::Twice(6)),
        (format!("{text}# receipt {id}\n"), InvalidKeys::Comment(9)),
        (format!("{text}more\n"), InvalidKeys::Line(9)),
        (
            named(&format!("{BEGIN}\n{}", "A".repeat(1_000_000))),
            InvalidKeys::Key(2),
        ),
    ];
    for (text, why) in refused {
        assert_eq!(text.parse::<VerificationKeys>(), Err(why), "{text:.300}");
    }
}

proptest::proptest! {
    #[test]
    fn any_text_is_read_or_refused(text in "(# receipt [0-9a-f]{31,32}\n|-----BEGIN PUBLIC KEY-----\n|-----END PUBLIC KEY-----\n|MCow[A-Z]{0,60}\n|.{0,20}\n){0,6}") {
        let _ = text.parse::<VerificationKeys>();
    }
}

/// Two keys of which the second took over from the first.
fn chain() -> Vec<PublishedKey> {
    let key = |byte: u8| {
        let pair = Ed25519KeyPair::from_seed_unchecked(&[byte; 32]).unwrap();
        let key = VerificationKey {
            id: HsmKeyId::from_bytes([byte; 16]),
            purpose: SigningPurpose::Receipt,
            public_key: pair.public_key().as_ref().try_into().unwrap(),
        };
        (pair, key)
    };
    let ((pair, first), (_, second)) = (key(1), key(2));
    let endorsement = pair.sign(&succession::statement(first.id, &second));
    let succession = Some(Succession {
        predecessor: first.id,
        endorsement: endorsement.as_ref().try_into().unwrap(),
    });
    let second = PublishedKey {
        key: second,
        succession,
    };
    vec![first.into(), second]
}

#[test]
fn a_succession_is_read_and_checked() {
    let text = published_text(&chain());
    let read: VerificationKeys = text.parse().unwrap();
    assert_eq!(read.published(), chain());
    let mut other = chain();
    other[1].key.public_key[0] ^= 1;
    let id = other[1].key.id;
    let refused = published_text(&other).parse::<VerificationKeys>();
    let why = InvalidSuccession::NotEndorsed(id);
    assert_eq!(refused, Err(InvalidKeys::Succession(why)));
    let alone = published_text(&chain()[1..]).parse::<VerificationKeys>();
    let why = InvalidSuccession::Missing(id);
    assert_eq!(alone, Err(InvalidKeys::Succession(why)));
    let bad = text.replace("# succeeds 01", "# succeeds 0");
    assert_eq!(
        bad.parse::<VerificationKeys>(),
        Err(InvalidKeys::Comment(6))
    );
}
