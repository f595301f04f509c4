//! The body of the fuzz target `envelope`, a plain function, so that the ordinary tests replay its corpus.
//!
//! Whoever includes this file has the oracle as `crate::naive_envelope`.

use bytes::Bytes;
use hyperty_router::message::{
    HOP_BYTES_MAX, Message, ParseError, ParseLimits, ScanPath, To, respond, response_code, salvage,
    write_hop,
};

use serde_json::Value;

use crate::naive_envelope::{naive_envelope, naive_unescape};

/// Scans `data` and holds all that can be asked of the message against the oracle.
///
/// # Panics
/// If they differ.
pub(crate) fn envelope(data: &[u8]) {
    let limits = ParseLimits::default();
    let scanned = Message::parse_with(Bytes::copy_from_slice(data), &limits);
    for path in ScanPath::available() {
        let by_path = Message::parse_by(path, Bytes::copy_from_slice(data), &limits);
        assert_eq!(seen(&by_path), seen(&scanned), "{}", path.name());
    }
    let expected = naive_envelope(data, limits.bytes_max, limits.depth_max);
    let salvaged = salvage(data);
    match (scanned, expected) {
        (Ok(message), Some(expected)) => {
            assert_eq!(message.id(), expected.get("id").map(String::as_str));
            assert_eq!(message.body(), expected.get("body").map(String::as_str));
            assert_eq!(message.hop(), expected.get("hop").map(String::as_str));
            let text = |name| naive_unescape(&expected[name]).unwrap();
            assert_eq!(message.kind_text(), text("type"));
            assert_eq!(message.from(), text("from"));
            match message.to() {
                To::One(url) => assert_eq!(url, text("to")),
                To::Many(urls) => {
                    let array: Vec<String> = serde_json::from_str(&expected["to"]).unwrap();
                    assert_eq!(urls, array);
                }
            }
            assert_eq!(salvaged.is_some(), message.id().is_some());
            derived(&message);
        }
        (Err(error), None) => assert!(error.offset <= data.len(), "{error}"),
        (scanned, expected) => panic!("the scan says {scanned:?}, the oracle {expected:?}"),
    }
}

/// All that a scan says of a message: its kind, the text of each routing member, and whether an escape was
/// seen in one, by what reading it gives.
fn seen(
    scanned: &Result<Message, ParseError>,
) -> Result<impl PartialEq + std::fmt::Debug, ParseError> {
    scanned.as_ref().map_err(|error| *error).map(|message| {
        let raw = (message.id(), message.body(), message.hop());
        (raw, message.kind(), message.kind_text(), message.from(), message.to())
    })
}

/// What is made from a message is a message again, and the parts of it are the same.
fn derived(message: &Message) {
    if let Some(value) = message.body_value() {
        assert!(message.body().is_some());
        drop(value);
    }
    body_members(message);
    message.body_member(&["value", "a"]);
    message.body_text(&["code"]);
    response_code(message);
    let valid = message.validate().is_ok();
    // Numbers beyond `f64` are within the grammar, and serde_json counts depth differently.
    if serde_json::from_slice::<serde::de::IgnoredAny>(message.bytes()).is_ok() {
        assert!(valid, "{message:?}");
    }
    let reply = reparsed(&respond(message, "a://b/\"c", 200, None));
    assert_eq!(reply.to(), To::One(message.from()));
    assert_eq!(reply.id(), message.id());
    let one = reparsed(&message.with_to("x://y/\n\u{1F600}"));
    assert_eq!(one.to(), To::One("x://y/\n\u{1F600}".into()));
    assert_eq!((one.from(), one.body()), (message.from(), message.body()));
    match message.clone().split_hop() {
        Ok((hop, rest)) => {
            reparsed(&rest);
            let mut bytes = Vec::with_capacity(HOP_BYTES_MAX);
            write_hop(hop, &mut bytes);
            bytes.extend_from_slice(&rest.members());
            assert_eq!(bytes[..], message.bytes()[..]);
        }
        Err(same) => assert_eq!(same.bytes(), message.bytes()),
    }
}

/// Members of the body that are read on demand are those of its tree.
fn body_members(message: &Message) {
    let Some(body) = message.body() else { return };
    let Ok(tree) = serde_json::from_str::<serde_json::Map<String, Value>>(body) else { return };
    for (name, value) in &tree {
        let raw = message.body_member(&[name]).expect("a member of the tree");
        assert_eq!(&serde_json::from_str::<Value>(raw).unwrap(), value);
    }
}

/// The spans that `message` claims are those that a scan of its bytes finds.
fn reparsed(message: &Message) -> Message {
    let limits = ParseLimits { bytes_max: usize::MAX, ..ParseLimits::default() };
    let again = Message::parse_with(message.bytes().clone(), &limits).unwrap();
    assert_eq!(again.kind(), message.kind());
    assert_eq!(again.from(), message.from());
    assert_eq!(again.to(), message.to());
    assert_eq!(again.id(), message.id());
    assert_eq!(again.body(), message.body());
    assert_eq!(again.hop(), message.hop());
    again
}
