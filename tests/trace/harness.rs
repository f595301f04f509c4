//! Runs the program and puts its lines into a short form: `<decision> <via or listeners>` for each target,
//! then ` ! <code>`, then ` > <type> <to>` for each message emitted. `~` stands for the runtime's URL.

use std::{
    io::Write,
    process::{Command, Output, Stdio},
};

use serde_json::{Value, json};

/// The traced runtime.
pub(crate) const OURS: &str = "hyperty-runtime://example.com/alice";
/// Remote runtimes.
pub(crate) const BOB: &str = "hyperty-runtime://b.org/bob";
pub(crate) const CAROL: &str = "hyperty-runtime://c.net/carol";
/// Whom messages come from, unless it matters.
pub(crate) const ME: &str = "hyperty://example.com/me";

/// Feeds `input` to `trace` with `arguments`.
pub(crate) fn run(arguments: &[&str], input: &[u8]) -> Output {
    let mut child = Command::new(env!("CARGO_BIN_EXE_hyperty-router"))
        .arg("trace")
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the program starts");
    let mut stdin = child.stdin.take().expect("a pipe");
    let input = input.to_vec();
    // A program that refuses its arguments reads nothing; then writing fails, as it may.
    let writer = std::thread::spawn(move || drop(stdin.write_all(&input)));
    let output = child.wait_with_output().expect("the program ends");
    writer.join().expect("the writer ends");
    output
}

/// The output lines for `lines`, of which none is blank.
pub(crate) fn trace(arguments: &[&str], lines: &[String]) -> Vec<Value> {
    let output = run(arguments, lines.join("\n").as_bytes());
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout).expect("JSON is UTF-8");
    let lines_out: Vec<Value> =
        text.lines().map(|line| serde_json::from_str(line).expect(line)).collect();
    assert_eq!(lines_out.len(), lines.len(), "one line for each:\n{text}");
    lines_out
}

/// Each line with what must come out for it, in short form, in a runtime where `listen` live.
pub(crate) fn check(listen: &[&str], script: &[(String, &str)]) {
    let arguments: Vec<&str> = listen.iter().flat_map(|url| ["--listen", *url]).collect();
    let lines: Vec<String> = script.iter().map(|(line, _)| line.clone()).collect();
    let found: Vec<String> = trace(&arguments, &lines).iter().map(short).collect();
    for (at, ((line, expected), found)) in script.iter().zip(&found).enumerate() {
        assert_eq!(found, expected, "line {}: {line}", at + 1);
    }
}

/// The short form of an output line.
pub(crate) fn short(line: &Value) -> String {
    let list = |of: &Value| of.as_array().cloned().unwrap_or_default();
    let mut parts = vec![list(&line["targets"]).iter().map(target).collect::<Vec<_>>().join("; ")];
    if !line["error"].is_null() {
        parts.push(format!("! {}", line["error"]["code"]));
    }
    for message in list(&line["emitted"]) {
        let code = match &message["body"]["code"] {
            Value::Null => String::new(),
            code => format!("{code} "),
        };
        let (kind, to) = (text(&message["type"]), text(&message["to"]));
        parts.push(format!("> {kind} {code}{to}"));
    }
    parts.join(" ").trim().replace(OURS, "~")
}

fn target(target: &Value) -> String {
    let listeners = target["listeners"].as_array().expect("a list");
    let mut words = vec![text(&target["decision"])];
    words.extend((!target["via"].is_null()).then(|| text(&target["via"])));
    words.extend(listeners.iter().map(text));
    words.join(" ")
}

fn text(value: &Value) -> String {
    value.as_str().expect("a string").to_owned()
}

/// An update to `to`.
pub(crate) fn to(to: &str) -> String {
    message("update", ME, json!(to), json!({}))
}

/// A message with all that can be chosen.
pub(crate) fn message(kind: &str, from: &str, to: Value, body: Value) -> String {
    json!({ "id": 1, "type": kind, "from": from, "to": to, "body": body }).to_string()
}

/// A status event of the stub `~/<stub>` about `remote`.
pub(crate) fn status(stub: &str, word: &str, remote: &str) -> String {
    let stub = format!("{OURS}/{stub}");
    let kind = if word.starts_with("create") { "create" } else { "update" };
    let body = json!({ "value": word, "resource": remote });
    message(kind, &stub, json!(format!("{stub}/status")), body)
}

/// The events of our Requester stub for Bob's runtime.
pub(crate) fn requester(word: &str) -> String {
    status("p2prequester/1", word, BOB)
}

/// The events of our Handler stub about Bob's runtime.
pub(crate) fn handler(word: &str) -> String {
    status("p2phandler/1", word, BOB)
}

/// Bob's Registry says what lives there.
pub(crate) fn changes(operation: Option<&str>, urls: &[&str]) -> String {
    let mut body = json!({ "value": urls });
    if let Some(operation) = operation {
        body["operation"] = json!(operation);
    }
    let from = format!("{BOB}/registry");
    message("update", &from, json!(format!("{from}/changes")), body)
}

/// What comes out for a status event that reaches the Registry and has it write nothing.
pub(crate) const TAKEN: &str = "local ~/p2prequester/1/status";
/// The same of the Handler stub.
pub(crate) const HANDLED: &str = "local ~/p2phandler/1/status";
/// For our Requester's `live`: the subscription to Bob's Registry.
pub(crate) const LIVE: &str =
    "local ~/p2prequester/1/status > subscribe hyperty-runtime://b.org/bob/registry";
/// For changes that Bob's Registry sends while we listen.
pub(crate) const LEARNT: &str = "local hyperty-runtime://b.org/bob/registry/changes";
/// The ways to Bob.
pub(crate) const BY_NODE: &str = "message-node ~/protostub/b.org";
pub(crate) const BY_REQUESTER: &str = "p2p ~/p2prequester/1";
/// The first message to an address nothing is known of.
pub(crate) const UNKNOWN: &str = "message-node ~/protostub/b.org > read domain://registry.b.org";
