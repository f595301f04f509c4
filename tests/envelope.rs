//! Goal: the scan keeps the envelope rules of design section 4, and its law: no conforming JSON parser that
//! accepts a message sees other routing members than we do.
//! Method: tables for each rule; generated messages, whole and mutilated, against a byte-at-a-time oracle
//! and against serde_json; the fuzz corpus replayed.

#[path = "../fuzz/bodies/envelope.rs"]
mod fuzz_body;
#[path = "support/messages.rs"]
mod messages;
#[path = "support/naive_envelope.rs"]
mod naive_envelope;

use std::fmt;

use bytes::Bytes;
use hyperty_router::message::{
    Hop, Message, ParseError, ParseErrorKind, ParseLimits, To, write_hop,
};
use proptest::prelude::*;
use serde::de::{MapAccess, Visitor};
use serde_json::Value;

fn parse(text: &str) -> Result<Message, ParseError> {
    Message::parse(Bytes::copy_from_slice(text.as_bytes()))
}

/// A message whose head is fine and whose last member is `tail`.
fn with_tail(tail: &str) -> String {
    format!(r#"{{"type":"read","from":"c://d","to":"a://b",{tail}}}"#)
}

#[test]
fn names_what_is_wrong_and_where() {
    use ParseErrorKind::*;
    let head = with_tail("").len() - 1;
    let whole = r#"{"type":"read","from":"c://d","to":"a://b"}"#;
    for (text, kind, offset) in [
        ("".to_owned(), NotAnObject, 0),
        (" []".to_owned(), NotAnObject, 1),
        (format!("\u{feff}{whole}"), NotAnObject, 0),
        ("{".to_owned(), Truncated, 1),
        ("{}".to_owned(), Missing("type"), 1),
        (r#"{"type":"read"}"#.to_owned(), Missing("from"), 14),
        (r#"{"type":"read","from":"a"} "#.to_owned(), Missing("to"), 25),
        (format!("{whole}}}"), TrailingBytes, 43),
        (format!("{whole} {{}}"), TrailingBytes, 44),
        (format!("{whole}\0"), TrailingBytes, 43),
        (with_tail(r#""t\u006f":"e://f""#), DuplicateMember("to"), head),
        (with_tail(r#""body":{},"body":{}"#), DuplicateMember("body"), head + 10),
        (with_tail(r#""hop":[],"h\u006Fp":[]"#), DuplicateMember("hop"), head + 9),
        (with_tail(r#""id":null"#), WrongType("id"), head + 5),
        (with_tail(r#""body":[]"#), WrongType("body"), head + 7),
        (with_tail(r#""hop":{}"#), WrongType("hop"), head + 6),
        (r#"{"type":1}"#.to_owned(), WrongType("type"), 8),
        (r#"{"from":["a"]}"#.to_owned(), WrongType("from"), 8),
        (r#"{"to":{}}"#.to_owned(), WrongType("to"), 6),
        (r#"{"to":["a",1]}"#.to_owned(), WrongType("to"), 11),
        (r#"{"to":["a",]}"#.to_owned(), Unbalanced, 11),
        (with_tail(r#""body":{"a":[}]}"#), Unbalanced, head + 13),
        (with_tail(r#""body":{]"#), Unbalanced, head + 8),
        (with_tail(r#""x":1]"#), Unbalanced, head + 5),
        (with_tail(""), Syntax { expected: "a member's name" }, head),
        (with_tail(r#""x" 1"#), Syntax { expected: "`:`" }, head + 4),
        (with_tail(r#""x":1 "y":2"#), Syntax { expected: "`,` or `}`" }, head + 6),
        (with_tail(r#""x":tru"#), Syntax { expected: "a value" }, head + 4),
        (with_tail(r#""id":01"#), Syntax { expected: "`,` or `}`" }, head + 6),
        (with_tail("x:1"), Syntax { expected: "a member's name" }, head),
        (with_tail("\"a\tb\":1"), ControlCharacter, head + 2),
        (with_tail("\"body\":{\"a\":\"\\\u{1}\"}"), ControlCharacter, head + 14),
        (with_tail("\"body\":{\"a\":\"\\\u{1f}\"}"), ControlCharacter, head + 14),
        (with_tail("\"body\":{\"a\":\"12345678\u{1f}\"}"), ControlCharacter, head + 21),
        (with_tail(r#""\ud83d":1"#), LoneSurrogate, head + 1),
        (with_tail(r#""id":"\ud83d\u0041""#), LoneSurrogate, head + 6),
        (r#"{"to":["\udc00\ud83d"]}"#.to_owned(), LoneSurrogate, 8),
        (with_tail(r#""hop":[{"a":"\ud83d"}]"#), LoneSurrogate, head + 13),
        (with_tail(r#""x":"\q""#), InvalidEscape, head + 5),
        (r#"{"\u00g0":1}"#.to_owned(), InvalidEscape, 2),
        (r#"{"to":"a://b","body":{"a":"b"#.to_owned(), Truncated, 28),
        (r#"{"to":"a\"#.to_owned(), Truncated, 9),
        (r#"{"to":"a","from""#.to_owned(), Truncated, 16),
    ] {
        assert_eq!(parse(&text).map(drop), Err(ParseError { kind, offset }), "{text:?}");
    }
    let broken = [whole.as_bytes(), b"\xff"].concat();
    let error = Message::parse(Bytes::from(broken)).unwrap_err();
    assert_eq!(error.to_string(), "invalid UTF-8 at byte 43");
}

#[test]
fn the_body_is_not_parsed() {
    for body in [r#"{"a":tru}"#, r#"{"a" 1,,}"#, r#"{"a":"\q\ud800"}"#, r#"{:["a"{}]}"#] {
        let text = with_tail(&format!(r#""body":{body}"#));
        let message = parse(&text).unwrap();
        assert_eq!(message.body(), Some(body));
        assert_eq!(message.validate().is_ok(), body.contains("ud800") && !body.contains("\\q"));
    }
    assert_eq!(parse(&with_tail(r#""x":"\ud800""#)).unwrap().validate(), Ok(()));
}

#[test]
fn bounds_are_exact_and_do_not_count_the_hop() {
    let nested =
        |n: usize| with_tail(&format!(r#""body":{{"a":{}{}}}"#, "[".repeat(n), "]".repeat(n)));
    assert!(parse(&nested(126)).is_ok());
    let error = parse(&nested(127)).unwrap_err();
    assert_eq!(error.kind, ParseErrorKind::TooDeep { depth_max: 128 });

    let plain = with_tail(r#""id":1"#);
    let mut numbered = Vec::new();
    write_hop(Hop { stream: u128::MAX, number: u64::MAX }, &mut numbered);
    numbered.extend_from_slice(&plain.as_bytes()[1..]);
    let limits = |bytes_max| ParseLimits { bytes_max, ..ParseLimits::default() };
    for text in [plain.as_bytes(), &numbered] {
        let parse =
            |bytes_max| Message::parse_with(Bytes::copy_from_slice(text), &limits(bytes_max));
        assert!(parse(plain.len()).is_ok());
        let (bytes, bytes_max) = (plain.len(), plain.len() - 1);
        assert_eq!(
            parse(bytes_max).unwrap_err().kind,
            ParseErrorKind::TooLong { bytes, bytes_max }
        );
    }
    let shallow = ParseLimits { depth_max: 1, ..ParseLimits::default() };
    let refused =
        |text: &str| Message::parse_with(Bytes::copy_from_slice(text.as_bytes()), &shallow);
    assert!(refused(&plain).is_ok());
    for text in [with_tail(r#""body":{}"#), with_tail(r#""x":[]"#), r#"{"to":[]}"#.to_owned()] {
        let error = refused(&text).unwrap_err();
        assert_eq!(error.kind, ParseErrorKind::TooDeep { depth_max: 1 }, "{text}");
    }
}

/// A million brackets on a stack of 64 KiB: neither the scan, nor the reading of bodies, nor validation
/// recurses.
#[test]
fn nesting_costs_no_stack() {
    let deep = || {
        let limits = ParseLimits { bytes_max: 1 << 24, depth_max: usize::MAX };
        for member in ["body\":{\"a", "x", "hop"] {
            for brackets in ["[", "{\"a\":"] {
                let text = with_tail(&format!("\"{member}\":[{}", brackets.repeat(1_000_000)));
                let error = Message::parse_with(Bytes::from(text), &limits).unwrap_err();
                assert_eq!(error.kind, ParseErrorKind::TooDeep { depth_max: 128 });
            }
        }
        let text = with_tail(&format!("\"body\":{{\"a\":{}{}}}", "[".repeat(126), "]".repeat(126)));
        let message = parse(&text).unwrap();
        assert_eq!(message.validate(), Ok(()));
        assert_eq!(message.body_member(&["a"]).unwrap().len(), 252);
    };
    let thread = std::thread::Builder::new().stack_size(64 << 10).spawn(deep).unwrap();
    thread.join().unwrap();
}

/// The interesting bytes at every place relative to the blocks of 64 bytes, and to the batches of 4 and then
/// 16 blocks that nested values are read in: all paths, the oracle, and errors alike.
#[test]
fn what_counts_straddles_blocks_at_every_offset() {
    let pieces = [
        r#"{"a":"\\\"}"}"#,
        r#"{"a":"\\\\\\\\"}"#,
        r#"{"a":"\\\\\\\"}"}"#,
        r#"{"a":[{},[]],"b":{"c":"]"}}"#,
        r#"{"a":[}}"#,
        r#"{"a":\"x"}"#,
        "{\"a\":\"\u{1f}\"}",
        "{\"a\":\"\\\u{1f}\"}",
        "{\"a\":\"é€\u{1F600}\"}",
        "{\n\t\"a\" : 1\r\n}",
        r#"{"a":"\"#,
        r#"{"a":"Y_y"}"#,
    ];
    for piece in pieces {
        for padding in (0..200).chain(215..260).chain(1_240..1_290) {
            let padding = "x".repeat(padding);
            for text in [
                with_tail(&format!(r#""p":"{padding}","body":{piece}"#)),
                with_tail(&format!(r#""body":{{"p":"{padding}","q":{piece}}}"#)),
                with_tail(&format!(r#""body":{{"p":"{padding}{piece}"}}"#)),
                format!(
                    r#"{{"body":{{"p":"{padding}"}},"x":{piece},"to":"a","from":"b","type":"t"}}"#
                ),
                format!(
                    r#"{{"type":"t{padding}","to":["a{padding}","\/"],"from":"{padding}é","x":{piece}}}"#
                ),
            ] {
                fuzz_body::envelope(text.as_bytes());
            }
        }
    }
}

/// A broken character, and a control character, at every place of a long message.
#[test]
fn no_byte_of_a_long_message_escapes_the_scan() {
    let body = r#""body":{"attribute":"é","value":[{"text":"said \"so\", and"},{"n":[1,2]}]}"#;
    let text = with_tail(&format!(r#""id":"i\u0064","x":["{}"],{body}"#, "y".repeat(70)));
    for at in 0..text.len() {
        for byte in [0xff, 0x80, 0x00, b'"', b'\\', b'}', b']', b'{', b'['] {
            let mut bytes = text.clone().into_bytes();
            bytes[at] = byte;
            fuzz_body::envelope(&bytes);
        }
        fuzz_body::envelope(&text.as_bytes()[..at]);
        fuzz_body::envelope(&text.as_bytes()[at..]);
    }
}

#[test]
fn the_fuzz_corpus_replays() {
    let corpus = concat!(env!("CARGO_MANIFEST_DIR"), "/fuzz/corpus/envelope");
    let Ok(files) = std::fs::read_dir(corpus) else {
        return; // A published package has no corpus.
    };
    let mut replayed = 0;
    for file in files {
        fuzz_body::envelope(&std::fs::read(file.unwrap().path()).unwrap());
        replayed += 1;
    }
    assert!(replayed >= 14, "the seeds are committed");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1_000))]

    #[test]
    fn well_formed_messages_are_read_as_written(written in messages::message()) {
        let message = parse(&written.text).unwrap();
        prop_assert_eq!(message.from(), written.from.as_str());
        match message.to() {
            To::One(url) => prop_assert_eq!(vec![url.into_owned()], written.to),
            To::Many(urls) => prop_assert_eq!(urls, written.to),
        }
        prop_assert_eq!(message.validate(), Ok(()));
        fuzz_body::envelope(written.text.as_bytes());
    }

    #[test]
    fn mutilated_messages_agree_with_the_oracle(
        written in messages::message(),
        cuts in prop::collection::vec(messages::mutation(), 1..4),
    ) {
        let mut bytes = written.text.into_bytes();
        for cut in &cuts {
            cut.apply(&mut bytes);
        }
        fuzz_body::envelope(&bytes);
        agrees_with_serde_json(&bytes);
    }

    #[test]
    fn brackets_agree_with_the_oracle(body in messages::brackets()) {
        fuzz_body::envelope(with_tail(&format!("\"body\":{body}")).as_bytes());
        fuzz_body::envelope(format!(r#"{{"x":{body},"to":"a","from":"b","type":"t"}}"#).as_bytes());
    }

    #[test]
    fn rubbish_agrees_with_the_oracle(bytes in messages::rubbish()) {
        fuzz_body::envelope(&bytes);
        agrees_with_serde_json(&bytes);
    }
}

/// What serde_json accepts and we accept has the same members; what serde_json accepts and we do not has a
/// reason that serde_json does not know.
fn agrees_with_serde_json(bytes: &[u8]) {
    let Ok(Members(members)) = serde_json::from_slice(bytes) else { return };
    let all =
        |name: &str| members.iter().filter(|(n, _)| n == name).map(|(_, v)| v).collect::<Vec<_>>();
    let is_url_list = |v: &Value| v.as_array().is_some_and(|a| a.iter().all(Value::is_string));
    let fine = ["id", "body", "hop", "type", "from", "to"].iter().all(|name| {
        match (*name, &all(name)[..]) {
            ("id" | "body" | "hop", []) => true,
            ("id", [value]) => value.is_number() || value.is_string(),
            ("body", [value]) => value.is_object(),
            ("hop", [value]) => value.is_array(),
            ("type" | "from", [value]) => value.is_string(),
            ("to", [value]) => value.is_string() || is_url_list(value),
            _ => false,
        }
    });
    let message = Message::parse(Bytes::copy_from_slice(bytes));
    assert_eq!(message.is_ok(), fine, "{:?}", String::from_utf8_lossy(bytes));
    let Ok(message) = message else { return };
    let to = match message.to() {
        To::One(url) => Value::from(url),
        To::Many(urls) => Value::from_iter(urls.iter().map(|url| url.as_ref())),
    };
    let raw = |text: &str| serde_json::from_str::<Value>(text).unwrap();
    assert_eq!(all("to"), [&to]);
    assert_eq!(all("from"), [&Value::from(message.from())]);
    assert_eq!(all("type"), [&Value::from(message.kind_text())]);
    assert_eq!(all("id"), message.id().map(raw).iter().collect::<Vec<_>>());
    assert_eq!(all("body"), message.body().map(raw).iter().collect::<Vec<_>>());
    assert_eq!(message.validate(), Ok(()));
}

/// The top-level members of an object as serde_json reads them, in order, each one that is there twice twice.
struct Members(Vec<(String, Value)>);

impl<'de> serde::Deserialize<'de> for Members {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(MembersVisitor)
    }
}

struct MembersVisitor;

impl<'de> Visitor<'de> for MembersVisitor {
    type Value = Members;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Members, A::Error> {
        let mut members = Vec::new();
        while let Some(member) = map.next_entry()? {
            members.push(member);
        }
        Ok(Members(members))
    }
}
