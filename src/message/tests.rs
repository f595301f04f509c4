//! Goal: what is read from a message and made out of one is what the docs say. That the scan is right is
//! shown in `tests/envelope.rs`. Method: examples, and made messages parsed again.

use simd_json::json;
use simd_json::prelude::*;

use super::*;
use crate::limits::MESSAGE_DEPTH_MAX;

fn parse(text: &str) -> Message {
    Message::parse(Bytes::copy_from_slice(text.as_bytes())).unwrap()
}

fn with_body(body: &str) -> Message {
    parse(&format!(r#"{{"id":1,"type":"response","from":"a://b","to":"c://d","body":{body}}}"#))
}

const HOP: &str = r#"{"hop":["00112233445566778899aabbccddeeff",18446744073709551615],"#;
const REST: &str =
    r#""type":"UpDate","to":["a://b"],"from":"c://\u0064","body":{"a":"b"},"id":"x"}"#;

#[test]
fn reads_the_members() {
    let message =
        parse(r#" {"body":{ },"id":-1e3,"type":"re\u0041d","to":["a:\/\/b","c"],"from":"é"}"#);
    assert_eq!(message.id(), Some("-1e3"));
    assert_eq!((message.kind(), &*message.kind_text()), (Kind::Read, "reAd"));
    assert!(matches!(message.from(), Cow::Borrowed("é")));
    assert_eq!(message.to(), To::Many(vec!["a://b".into(), "c".into()]));
    assert_eq!(message.body(), Some("{ }"));
    assert_eq!(message.hop(), None);
    assert_eq!(message.clone().bytes().as_ptr(), message.bytes().as_ptr(), "a clone shares");
    assert_eq!(parse(r#"{"type":"t","from":"f","to":[]}"#).to(), To::Many(vec![]));
}

#[test]
fn kinds_are_read_in_any_case() {
    for (word, kind) in
        [("create", Kind::Create), ("UNSUBSCRIBE", Kind::Unsubscribe), ("open", Kind::Other)]
    {
        let message = parse(&format!(r#"{{"type":"{word}","from":"f","to":"t"}}"#));
        assert_eq!(message.kind(), kind);
    }
    // U+212A lower-cases to `k` and U+017F upper-cases to `S` outside ASCII only.
    assert_eq!(
        parse("{\"type\":\"re\u{17f}ponse\",\"from\":\"f\",\"to\":\"t\"}").kind(),
        Kind::Other
    );
    assert_eq!(Kind::Response.word(), Some("response"));
    assert_eq!(Kind::Other.word(), None);
}

#[test]
fn body_members_are_read_on_demand() {
    let message =
        with_body(r#"{"a" : {"b\u0063":[1, {"x":"}"}] , "d":"\u00e9\"" },"a2":null,"n":-0.5}"#);
    assert_eq!(message.body_member(&["a", "bc"]), Some(r#"[1, {"x":"}"}]"#));
    assert_eq!(message.body_text(&["a", "d"]).as_deref(), Some("é\""));
    assert_eq!(message.body_member(&["n"]), Some("-0.5"));
    assert_eq!(message.body_member(&[]), message.body());
    for path in [&["b"][..], &["a", "x"], &["a2", "x"], &["n", "x"], &["a", "bc", "x"]] {
        assert_eq!(message.body_member(path), None, "{path:?}");
    }
    assert_eq!(message.body_text(&["n"]), None);
    assert_eq!(with_body(r#"{"a":tru,"b":1}"#).body_member(&["b"]), None);
    assert_eq!(with_body(r#"{"a":"\ud800"}"#).body_text(&["a"]), None);
}

/// Long values are stepped over in blocks.
#[test]
fn body_members_behind_long_values_are_found() {
    for lines in 0..40 {
        let list = vec![r#"{"text":"a \"}\" é","n":[1,[]]}"#; lines].join(", ");
        let message = with_body(&format!(r#"{{"a":[{list}],"b":{{"c":[{list}]}},"via":"x://y"}}"#));
        assert_eq!(message.body_text(&["via"]).as_deref(), Some("x://y"));
        assert_eq!(message.body_member(&["b", "c"]), Some(&*format!("[{list}]")));
    }
}

/// A JavaScript listener sees the last of two members, so a policy that looked at the first would be fooled.
#[test]
fn the_last_of_two_body_members_counts_however_it_is_read() {
    let message = with_body(r#"{"source":"a","x":[{"y":1,"\u0079":2}],"s\u006furce":"b"}"#);
    assert_eq!(message.body_text(&["source"]).as_deref(), Some("b"));
    let value = message.body_value().unwrap();
    assert_eq!(value, json!({"source": "b", "x": [{"y": 2}]}));
    assert_eq!(value.get("source").unwrap(), "b");
}

#[test]
fn a_hop_is_taken_off_in_place() {
    let bytes = Bytes::from(format!("{HOP}{REST}").into_bytes());
    let comma = &bytes[HOP.len() - 1] as *const u8;
    let (hop, rest) = Message::parse(bytes).unwrap().split_hop().unwrap();
    assert_eq!(hop, Hop { stream: 0x00112233445566778899aabbccddeeff, number: u64::MAX });
    assert_eq!(rest.bytes(), &format!("{{{REST}"));
    assert_eq!(rest.bytes().as_ptr(), comma, "nothing was copied");
    assert_eq!(rest.envelope, parse(&format!("{{{REST}")).envelope);

    let mut out = Vec::new();
    write_hop(hop, &mut out);
    assert_eq!((&out[..], out.len()), (HOP.as_bytes(), HOP_BYTES_MAX));
}

#[test]
fn a_hop_of_shared_bytes_leaves_the_others_alone() {
    let message = parse(&format!("{HOP}{REST}"));
    let shared = message.clone();
    let (_, rest) = message.split_hop().unwrap();
    assert_eq!(rest.bytes(), &format!("{{{REST}"));
    assert_eq!(shared.bytes(), &format!("{HOP}{REST}"));
}

#[test]
fn only_the_exact_hop_is_taken_off() {
    let stream = "00112233445566778899aabbccddeeff";
    for hop in [
        format!(r#" {{"hop":["{stream}",1],"#),
        format!(r#"{{ "hop":["{stream}",1],"#),
        format!(r#"{{"hop":["{stream}", 1],"#),
        format!(r#"{{"hop":["{stream}",1] ,"#),
        format!(r#"{{"hop":["{stream}",0],"#),
        format!(r#"{{"hop":["{stream}",01],"#),
        format!(r#"{{"hop":["{stream}",1.0],"#),
        format!(r#"{{"hop":["{stream}",18446744073709551616],"#),
        format!(r#"{{"hop":["{stream}",1,2],"#),
        format!(r#"{{"hop":["{}",1],"#, stream.to_uppercase()),
        format!(r#"{{"hop":["{}",1],"#, &stream[1..]),
        r#"{"hop":[],"#.to_owned(),
    ] {
        let message = parse(&format!("{hop}{REST}"));
        assert!(message.hop().is_some());
        let same = message.split_hop().unwrap_err();
        assert_eq!(same.bytes(), &format!("{hop}{REST}"));
    }
}

#[test]
fn one_string_takes_the_place_of_a_list() {
    let message = parse(r#" {"x":1,"to":["a","b\n"],"from":"f","type":"read","id":7} "#);
    let copy = message.with_to("x://\"y\"");
    assert_eq!(copy.bytes(), r#" {"x":1,"to":"x://\"y\"","from":"f","type":"read","id":7} "#);
    assert_eq!(copy.to(), To::One("x://\"y\"".into()));
    assert_eq!(copy.envelope, parse(std::str::from_utf8(copy.bytes()).unwrap()).envelope);
}

#[test]
fn composes_in_order() {
    let body = json!({"z": 1, "a": ["\u{1}\"", null], "m": {"b": 1.5}});
    let message = compose("\"i\\u0064\"", "Create", "a://\"", "c://\n\u{1f}é", Some(&body));
    assert_eq!(
        std::str::from_utf8(message.bytes()).unwrap(),
        r#"{"id":"i\u0064","type":"Create","from":"a://\"","to":"c://\n\u001fé","#.to_owned()
            + r#""body":{"z":1,"a":["\u0001\"",null],"m":{"b":1.5}}}"#
    );
    assert_eq!(message.envelope, parse(std::str::from_utf8(message.bytes()).unwrap()).envelope);
    assert_eq!(message.validate(), Ok(()));
    assert_eq!((message.kind(), message.to()), (Kind::Create, To::One("c://\n\u{1f}é".into())));
    let bare = compose("", "open", "a", "b", None);
    assert_eq!(bare.bytes(), r#"{"type":"open","from":"a","to":"b"}"#);
    for (id, token) in
        [("a\"b", r#""a\"b""#), ("1,", "\"1,\""), ("\"", r#""\"""#), ("-0.1", "-0.1")]
    {
        let message = compose(id, "open", "a", "b", None);
        assert_eq!(message.id(), Some(token));
        assert_eq!(message.envelope, parse(std::str::from_utf8(message.bytes()).unwrap()).envelope);
    }
}

#[test]
fn responds_with_the_same_id() {
    let request = parse(r#"{"id":"7","type":"READ","from":"a:\/\/b","to":["c://d","e://f"]}"#);
    let response = respond(&request, "e://f", 404, Some(json!({"why": "no", "code": 1})));
    assert_eq!(
        response.bytes(),
        r#"{"id":"7","type":"response","from":"e://f","to":"a://b","body":{"code":404,"why":"no"}}"#
    );
    assert_eq!(response_code(&response), Some(404));
    let silent = parse(r#"{"type":"read","from":"a","to":"b"}"#);
    let response = respond(&silent, "b", 200, None);
    assert_eq!(response.bytes(), r#"{"type":"response","from":"b","to":"a","body":{"code":200}}"#);
}

#[test]
fn codes_are_read_in_three_forms() {
    let code = |body: &str| response_code(&with_body(body));
    for (body, expected) in [
        (r#"{"code":200}"#, Some(200)),
        (r#"{"code":"404"}"#, Some(404)),
        (r#"{"code":"2XX"}"#, Some(200)),
        (r#"{"value":{"code":200}}"#, None),
        (r#"{"code":2.0}"#, None),
        (r#"{"code":-1}"#, None),
        (r#"{"code":"+1"}"#, None),
        (r#"{"code":""}"#, None),
        (r#"{"code":"XX"}"#, None),
        (r#"{"code":65536}"#, None),
        (r#"{"code":null}"#, None),
    ] {
        assert_eq!(code(body), expected, "{body}");
    }
    assert_eq!(response_code(&parse(r#"{"type":"response","from":"a","to":"b"}"#)), None);
}

#[test]
fn salvages_what_an_answer_needs() {
    let saved = |id: &str, from: &str| Some((id.to_owned(), from.to_owned()));
    for (text, expected) in [
        (r#"{"id":7,"from":"a:\/\/b"}"#, saved("7", "a://b")),
        (r#"{"from":"a","id":"x\n","to":1,"type":null}"#, saved(r#""x\n""#, "a")),
        (r#"{"id":7,"from":"a","to":"b","to":"c"}"#, saved("7", "a")),
        (r#"{"id":7,"from":"a","body":{"a":tru}} "#, saved("7", "a")),
        (r#"{"id":7,"id":7,"from":"a"}"#, None),
        (r#"{"id":7,"from":"a","fr\u006fm":"b"}"#, None),
        (r#"{"id":null,"from":"a"}"#, None),
        (r#"{"id":7,"from":"\ud800"}"#, None),
        (r#"{"id":7,"from":["a"]}"#, None),
        (r#"{"id":7}"#, None),
        (r#"{"id":7,"from":"a""#, saved("7", "a")),
        (r#"{"id":7,"from":"a"}}"#, saved("7", "a")),
        (r#"{"id":7,"from":"a","body":{"a":[}"#, saved("7", "a")),
        (r#"{"id":7,"from":"a"#, None),
        (r#"[{"id":7,"from":"a"}]"#, None),
        ("", None),
    ] {
        assert_eq!(salvage(text.as_bytes()), expected, "{text}");
    }
    assert_eq!(salvage(b"{\"id\":7,\"from\":\"a\",\"x\":\"\xff\"}"), saved("7", "a"));
}

/// The exact scan would hide it if the fast one declined what messages are made of.
#[test]
fn the_fast_way_takes_what_is_usual() {
    let long = "x".repeat(300);
    for text in [
        format!("{HOP}{REST}"),
        format!(r#"{{"id":7,"type":"read","from":"a://b/{long}","to":"c://d/e","body":{{}}}}"#),
        format!(
            "\t{{ \"body\" : {{\"a\":[\"\\\"{long}é\\\\\"]}} ,\"type\":\"t\",\"from\":\"é\",\"to\":[] }} \n"
        ),
        format!(
            r#"{{"x":[1,{{}}],"y":-1.5e3,"z":null,"type":"{long}","from":"a:\/\/b","to":["\u0061","b"]}}"#
        ),
        format!(
            r#"{{"u":"\ud800","type":"r\u0065ad","from":"{long}\\","to":"b","id":"\"{long}"}}"#
        ),
    ] {
        let exact = exact::envelope(text.as_bytes(), MESSAGE_DEPTH_MAX);
        for path in ScanPath::available().filter(|path| path.name() != "exact") {
            assert_eq!(
                scan::fast_alone(path, text.as_bytes()),
                exact.ok(),
                "{}: {text}",
                path.name()
            );
        }
    }
}

/// Small enough for Miri, which can play a processor that this machine is not:
/// `RUSTFLAGS=-Ctarget-feature=+avx512f,+avx512bw,… cargo +nightly miri test --lib the_fast_ways_agree`.
#[test]
fn the_fast_ways_agree() {
    let paths: Vec<_> = ScanPath::available().filter(|path| path.name() != "exact").collect();
    for value in [
        r#"{"a":"\\\"}"}"#,
        r#"{"a":[{},[]],"b":{"c":"]"}}"#,
        r#"{"a":[}}"#,
        "{\"a\":\"\u{1f}\"}",
        "{\"a\":\"é\\\\\"}",
    ] {
        for padding in (0..130).step_by(9) {
            let body = format!(r#"{{"p":"{}","q":{value}}}"#, "x".repeat(padding));
            let text = format!(r#"{{"body":{body},"to":"a","from":"b","type":"t"}}"#);
            let scanned = |path| scan::fast_alone(path, text.as_bytes());
            assert!(paths.iter().all(|path| scanned(*path) == scanned(paths[0])), "{text}");
        }
    }
}

/// What is in a body is never said not to be, and what a router looks for in most of them is nearly free to
/// miss.
///
/// Goal: `body_may_name` is false only where there is no such name, however it is written. Method: every
/// path, a name at every place of two blocks, after strings that end in backslashes and quotes; then a body
/// that has neither `\u` nor strings of three bytes.
#[test]
fn names_in_a_body_are_not_missed() {
    let limits = ParseLimits::default();
    let parse = |path, body: &str| {
        let text = format!(r#"{{"type":"t","from":"a://b/c","to":"d://e/f","body":{body}}}"#);
        Message::parse_by(path, text.into(), &limits).expect("a message")
    };
    for path in ScanPath::available() {
        // Over the ends of blocks, and of the first and second batch of them.
        for padding in (0..=130).chain(250..330).chain(1_270..1_350) {
            for (before, name, is_there) in [
                ("", "via", true),
                ("\\\"", "via", true),
                ("\\\\", "v\\u0069a", true),
                ("\\n", "vib", false),
                ("", "vi", false),
            ] {
                let pad = "x".repeat(padding);
                let body = format!(r#"{{"{pad}":"{before}","{name}":"g://h/i","{pad}":1}}"#);
                let message = parse(path, &body);
                assert_eq!(message.body_text(&["via"]).is_some(), is_there, "{body}");
                let may = message.body_may_name("\"via\"");
                assert!(may || !is_there, "{}: {body}", path.name());
                assert!(!may || is_there || body.contains(r"\u"), "{}: {body}", path.name());
            }
        }
        let fast = path.name() != "exact";
        let message = parse(
            path,
            r#"{"attribute":"messages","value":[{"at":17,"text":"Good \"morning\"."}]}"#,
        );
        assert_eq!(message.envelope.body_lacks.triples(), fast);
        assert_eq!(message.envelope.body_lacks.unicode(), fast);
        assert!(!message.body_may_name("\"via\""));
    }
}
