//! The bytes of an output line.

use std::fs;

use serde_json::json;

use crate::harness::{BOB, ME, OURS, changes, handler, message, requester, run, to};

/// "`{"line":n,"targets":[{"to":…,"decision":"local|p2p|message-node|unreachable","via":URL or
/// null,"listeners":[…]}],` `"emitted":[messages],"error":null or {"code":…,"reason":…}}`", in this order,
/// messages byte for byte.
#[test]
fn the_members_of_a_line_and_their_order() {
    let subscribe = r#"{"to":["hyperty://b.org/\u0022","URL/none"],"id":"a\"b","type":"read","from":"hyperty://example.com/me"}"#;
    let input = subscribe.replace("URL", OURS);
    let output = run(&["--listen", ME], input.as_bytes());
    let expected = concat!(
        r#"{"line":1,"targets":["#,
        r#"{"to":"hyperty://b.org/\"","decision":"message-node","via":"URL/protostub/b.org","listeners":[]},"#,
        r#"{"to":"URL/none","decision":"unreachable","via":null,"listeners":[]}],"emitted":["#,
        r#"{"id":"a\"b","type":"response","from":"URL/none","to":"hyperty://example.com/me","#,
        r#""body":{"code":404,"desc":"the address is ours and nobody listens there"}},"#,
        r#"{"id":1,"type":"read","from":"URL/registry","to":"domain://registry.b.org","#,
        r#""body":{"resource":"hyperty://b.org/\""}}],"#,
        r#""error":{"code":404,"reason":"the address is ours and nobody listens there"}}"#,
        "\n"
    );
    assert_eq!(String::from_utf8(output.stdout).unwrap(), expected.replace("URL", OURS));
}

/// What the runtime writes when a Handler's connection is live, in the order in which it writes it.
#[test]
fn the_messages_of_a_handlers_live() {
    let input = [handler("created"), handler("live")].join("\n");
    let output = run(&[], input.as_bytes());
    let expected = concat!(
        r#"{"id":1,"type":"subscribe","from":"URL/registry","to":"URL/p2phandler/1","#,
        r#""body":{"subscribe":["URL/p2phandler/1/1"],"source":"URL/p2phandler/1"}},"#,
        r#"{"id":1,"type":"response","from":"URL/p2phandler/1","to":"URL/registry","body":{"code":200}},"#,
        r#"{"id":2,"type":"subscribe","from":"URL/registry","to":"BOB/registry","#,
        r#""body":{"subscribe":["BOB/registry/changes"]}}"#,
    );
    let expected = expected.replace("URL", OURS).replace("BOB", BOB);
    let text = String::from_utf8(output.stdout).unwrap();
    let emitted = text.lines().nth(1).unwrap();
    let emitted =
        emitted.split_once(r#""emitted":["#).unwrap().1.split_once(r#"],"error""#).unwrap();
    assert_eq!(emitted.0, expected);
}

/// A blank line is a line too: it gives an error. The last line needs no line feed; white space around a
/// message is no matter.
#[test]
fn blank_lines_are_told() {
    let input = format!("\n  \t\r\n {} \r\n\n{}", to("global://x"), to("global://y"));
    let output = run(&[], input.as_bytes());
    let text = String::from_utf8(output.stdout).unwrap();
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(lines.len(), 5, "{text}");
    for (at, line) in lines.iter().enumerate() {
        assert!(line.starts_with(&format!(r#"{{"line":{},"#, at + 1)), "{line}");
        let is_blank = matches!(at, 0 | 1 | 3);
        assert_eq!(line.contains(r#""error":{"code":400,"#), is_blank, "{line}");
    }
    assert_eq!(run(&[], b"").stdout, b"");
}

/// The same input gives the same output, from a file as from standard input, whatever the time.
#[test]
fn the_same_input_gives_the_same_output() {
    let mut lines = vec![
        requester("created"),
        requester("live"),
        changes(None, &["hyperty://b.org/x"]),
        handler("created"),
        handler("live"),
        message("read", ME, json!(["hyperty://b.org/x", OURS, "hyperty://c.net/z"]), json!({})),
        requester("disconnected"),
        "rubbish".to_owned(),
    ];
    lines.extend((0..500).map(|n| to(&format!("hyperty://domain-{n}.net/{n}"))));
    let input = lines.join("\n");
    let first = run(&[], input.as_bytes());
    let file = concat!(env!("CARGO_TARGET_TMPDIR"), "/trace-input.jsonl");
    fs::write(file, &input).unwrap();
    let second = run(&[file], b"");
    assert_eq!(first.stdout, second.stdout);
    assert_eq!(first.stdout.iter().filter(|byte| **byte == b'\n').count(), lines.len());
}
