//! Lines that are refused: one clear error each, and the program goes on.

use serde_json::{Value, json};

use crate::harness::{ME, OURS, check, message, run, to, trace};

/// "An array `to` means one copy for each URL, with a string `to`; empty → 400."
#[test]
fn an_empty_array_is_refused() {
    check(
        &[],
        &[
            (message("read", ME, json!([]), json!({})), "! 400"),
            (
                message(
                    "update",
                    ME,
                    json!([format!("{OURS}/a"), "no address", "global://x"]),
                    json!({}),
                ),
                "unreachable; unreachable; message-node ~/protostub/example.com ! 404",
            ),
        ],
    );
}

/// "a message whose `via` names our own stub is dropped."
#[test]
fn what_went_round_is_dropped() {
    let via = |via: &str| message("read", ME, json!("global://x"), json!({ "via": via }));
    let taken = "message-node ~/protostub/example.com";
    check(
        &[],
        &[
            (via(&format!("{OURS}/protostub/b.org")), "! 400"),
            (via(&format!("{OURS}/p2phandler/1")), "! 400"),
            (via(&format!("{OURS}/p2prequester/3")), "! 400"),
            (via("hyperty-runtime://b.org/bob/protostub/b.org"), taken),
            (via("anything"), taken),
        ],
    );
}

/// "A posted message that has `hop` is refused."
#[test]
fn a_posted_hop_is_refused() {
    let with = |hop: Value| {
        json!({ "hop": hop, "type": "update", "from": ME, "to": "global://x" }).to_string()
    };
    check(
        &[],
        &[
            (with(json!(["0123456789abcdef0123456789abcdef", 1])), "! 400"),
            (with(json!([])), "! 400"),
            (with(json!(7)), "! 400"),
        ],
    );
}

/// "each line of rubbish … gets one clear error that names what is wrong and where, and the program goes on".
#[test]
fn each_line_of_rubbish_gets_an_error_that_says_what_and_where() {
    let rubbish = [
        ("rubbish", "no JSON object at byte 0"),
        ("7", "no JSON object at byte 0"),
        ("[]", "no JSON object at byte 0"),
        ("{", "text ends within the JSON object at byte 1"),
        ("{}", "missing member \"type\" at byte 1"),
        (r#"{"type":"read"}"#, "missing member \"from\" at byte 14"),
        (r#"{"type":"read","from":"a://b"}"#, "missing member \"to\""),
        (r#"{"type":7,"from":"a://b","to":"a://b"}"#, "member \"type\" is not a string"),
        (r#"{"type":"read","from":"a://b","to":7}"#, "member \"to\" is not a string or an array"),
        (r#"{"type":"read","from":"a://b","to":["a://b",7]}"#, "member \"to\""),
        (
            r#"{"type":"read","from":"a://b","to":"a://b","body":7}"#,
            "member \"body\" is not an object",
        ),
        (
            r#"{"type":"read","from":"a://b","to":"a://b","t\u006f":"c://d"}"#,
            "duplicate member \"to\"",
        ),
        (
            r#"{"type":"read","from":"a://b","to":"a://b"} x"#,
            "something behind the JSON object at byte 44",
        ),
        (r#"{"type":"read","from":"a://b","to":"\ud800"}"#, "lone surrogate escape"),
        (r#"{"type":"read","from":"a://b","to":"b"}"#, "`to`: no `://` in the URL"),
    ];
    let lines: Vec<String> = rubbish.iter().map(|(line, _)| (*line).to_owned()).collect();
    let out = trace(&[], &lines);
    for ((line, reason), out) in rubbish.iter().zip(out) {
        let found = out["error"]["reason"].as_str().unwrap();
        assert!(found.contains(reason), "{found:?} for {line}");
        assert_eq!(out["error"]["code"], 400, "{line}");
        assert_eq!((&out["targets"], &out["emitted"]), (&json!([]), &json!([])), "{line}");
    }
}

/// Bytes that are no UTF-8 are rubbish like any other, and the next line is read.
#[test]
fn invalid_utf8_is_rubbish() {
    let mut input = b"{\"type\":\"\xff\"}\n\xef\xbb\xbf{}\n\0\n".to_vec();
    input.extend(to("global://x").into_bytes());
    let output = run(&[], &input);
    let text = String::from_utf8(output.stdout).unwrap();
    let lines: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let codes: Vec<&Value> = lines.iter().map(|line| &line["error"]["code"]).collect();
    assert_eq!(codes, [&json!(400), &json!(400), &json!(400), &Value::Null]);
    assert!(output.status.success());
}

/// "A message over the limit is refused with its size and the limit."
#[test]
fn a_message_over_the_limit_is_refused_with_its_size_and_the_limit() {
    let of_size = |bytes: usize| {
        let around = message("update", ME, json!("global://x"), json!({ "value": "" })).len();
        let value = "v".repeat(bytes - around);
        message("update", ME, json!("global://x"), json!({ "value": value }))
    };
    const LIMIT: usize = 1 << 20;
    let lines = [LIMIT, LIMIT + 1, LIMIT + 5_000, 5 * LIMIT, 300].map(of_size);
    let out = trace(&[], &lines);
    assert_eq!(out[0]["error"], Value::Null);
    for (at, bytes) in [(1, LIMIT + 1), (2, LIMIT + 5_000), (3, 5 * LIMIT)] {
        let reason = format!("message of {bytes} bytes, at most {LIMIT} are allowed");
        assert_eq!(out[at]["error"], json!({ "code": 413, "reason": reason }));
        assert_eq!(out[at]["targets"], json!([]));
    }
    assert_eq!(out[4]["error"], Value::Null);
}

/// "a wrong flag … is one line on stderr and a non-zero exit."
#[test]
fn wrong_use_is_one_line_and_a_failure() {
    let wrong: [&[&str]; 8] = [
        &["--nonsense"],
        &["--runtime"],
        &["--runtime", "alice"],
        &["--runtime", "hyperty://example.com/alice"],
        &["--runtime", "hyperty-runtime://example.com"],
        &["--listen", "nothing"],
        &["--listen", "hyperty://example.com"],
        &["no/such/file"],
    ];
    for arguments in wrong {
        let output = run(arguments, b"");
        let told = String::from_utf8(output.stderr).unwrap();
        assert!(!output.status.success(), "{arguments:?}");
        assert_eq!(told.lines().count(), 1, "{arguments:?}: {told}");
        assert!(told.starts_with("hyperty-router: "), "{told}");
        assert_eq!(output.stdout, b"", "{arguments:?}");
    }
}
