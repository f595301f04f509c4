//! What is refused: lines, frames, flags, files, ports. Nothing of it may end who should go on.

use std::{
    io::{Read, Write},
    net::{TcpListener, TcpStream},
};

use serde_json::{Value, json};

use crate::{
    harness::{Program, hyperty, runtime_url, update},
    node::Scratch,
};

/// Goal: each bad line is refused once, saying what is wrong and where; good lines around it go on.
#[test]
fn bad_lines_are_refused_one_by_one() {
    let (_node, url) = Program::node(0);
    let mut alice = Program::runtime("alice", &url, &[]);
    let (me, there) = (hyperty("alice"), runtime_url("alice") + "/nobody");
    let long = format!(r#"{{"id":"long","x":"{}"}}"#, "x".repeat(1 << 20));
    let refused: &[(String, Value, u64, &str)] = &[
        ("rubbish".into(), Value::Null, 400, "byte 0"),
        (format!(r#"{{"id":7,"from":"{me}"}}"#), json!(7), 400, "\"type\""),
        (r#"{"command":"add"}"#.into(), Value::Null, 400, "hyperty"),
        (r#"{"command":"remove","hyperty":"hyperty://x/y"}"#.into(), Value::Null, 404, "not live"),
        (long, Value::Null, 413, "1048576"),
        (
            format!(r#"{{"id":"e","type":"update","from":"{me}","to":[]}}"#),
            json!("e"),
            400,
            "empty",
        ),
        (
            format!(r#"{{"id":"h","hop":["0",1],"type":"update","from":"{me}","to":"{me}"}}"#),
            json!("h"),
            400,
            "hop",
        ),
        (
            format!(r#"{{"id":8,"type":"update","from":"{me}","to":"{there}"}}"#),
            json!(8),
            404,
            "nobody",
        ),
    ];
    for (line, ..) in refused {
        alice.say(line);
    }
    for (at, (line, id, code, word)) in refused.iter().enumerate() {
        let event = alice.refused();
        let start = &line[..line.len().min(80)];
        assert_eq!((&event["id"], &event["code"]), (id, &json!(code)), "{start}: {event}");
        assert!(event["reason"].as_str().unwrap().contains(word), "{start}: {event}");
        assert_eq!(event["line"], at as u64 + 1, "{start}: {event}");
    }
    alice.say(update("alice", "alice", 9));
    let event = alice.message();
    assert_eq!((&event["path"], &event["message"]["id"]), (&"local".into(), &json!(9)));
}

/// Goal: of an array, the targets that fail are refused, each by its name; the others get their copy.
#[test]
fn targets_of_an_array_fail_one_by_one() {
    let (_node, url) = Program::node(0);
    let mut alice = Program::runtime("alice", &url, &[]);
    let [one, two] = ["nobody/1", "nobody/2"].map(|name| runtime_url("alice") + "/" + name);
    let to = json!([one, hyperty("alice"), two]);
    alice.say(json!({ "id": "all", "type": "update", "from": hyperty("alice"), "to": to }));
    let mut events = [alice.line(), alice.line(), alice.line()];
    events.sort_by_key(|event| event["event"].to_string());
    assert_eq!(events[0]["message"]["to"], hyperty("alice"));
    for (event, to) in events[1..].iter().zip([one, two]) {
        let expected = (&json!("all"), &json!(404), &json!(to));
        assert_eq!((&event["id"], &event["code"], &event["to"]), expected);
    }
}

/// Goal: without a Message Node what was posted comes back as refused at the end of the input, and nothing
/// else does: what the runtime itself wanted to say is not its user's.
#[test]
fn what_never_left_is_refused_at_the_end() {
    let closed = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let (url, me) = (format!("ws://{closed}/ws"), hyperty("alice"));
    let alice = runtime_url("alice");
    let mut alice =
        Program::start(&["runtime", "--runtime", &alice, "--node", &url, "--hyperty", &me]);
    alice.say(update("alice", "bob", 1));
    alice.end_input();
    let (lines, status, log) = alice.finish();
    assert!(status.success(), "{status}: {log}");
    let [refused] = &lines[..] else { panic!("{lines:?}") };
    assert_eq!((&refused["event"], &refused["code"]), (&json!("refused"), &json!(503)));
    assert_eq!((&refused["id"], &refused["to"]), (&json!(1), &json!(hyperty("bob"))));
}

/// Goal: Hyperties come and go by commands.
#[test]
fn commands_add_and_remove() {
    let (_node, url) = Program::node(0);
    let mut alice = Program::runtime("alice", &url, &["--p2p", "off"]);
    alice.say(json!({ "command": "add", "hyperty": hyperty("second") }));
    alice.say(update("alice", "second", 1));
    assert_eq!(alice.message()["message"]["id"], 1);
    alice.say(json!({ "command": "remove", "hyperty": hyperty("second") }));
    alice.say(json!({ "command": "remove", "hyperty": hyperty("second") }));
    assert_eq!(alice.refused()["code"], 404);
}

/// Goal: what speaks no WebSocket, or rubbish, at a node's port harms nobody else.
#[test]
fn rubbish_at_the_port_is_survived() {
    let (_node, url) = Program::node(0);
    let address = url.strip_prefix("ws://").unwrap().strip_suffix("/ws").unwrap();
    for rubbish in
        [&b"\x00\xff\x16\x03\x01"[..], b"GET /elsewhere HTTP/1.1\r\n\r\n", b"GET /ws\r\n\r\n"]
    {
        let mut stream = TcpStream::connect(address).unwrap();
        stream.write_all(rubbish).unwrap();
        stream.shutdown(std::net::Shutdown::Write).unwrap();
        // Its answer, or a reset.
        let _ = stream.read_to_end(&mut Vec::new());
    }
    let mut alice = Program::runtime("alice", &url, &[]);
    alice.say(update("alice", "alice", 1));
    alice.message();
}

/// Goal: a wrong use is one line on stderr that names it, nothing on stdout, and a failure.
#[test]
fn wrong_uses_are_one_line_each() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let taken = taken.local_addr().map(|address| (taken, address.to_string())).unwrap();
    let file = Scratch::new("bad.toml", "domain = \"example.org\"\nlisten_on = \"127.0.0.1:0\"\n");
    let node = ["node", "--domain", "example.org", "--listen"];
    let runtime = ["runtime", "--runtime", "hyperty-runtime://example.org/a", "--node"];
    let uses: &[(&[&str], &[&str], &str)] = &[
        (&node, &[&taken.1], &taken.1),
        (&node, &["0.0.0.0:0"], "--insecure"),
        (&node, &["nowhere"], "nowhere"),
        (&node, &["127.0.0.1:0", "--metrics", "0.0.0.0:0"], "--metrics"),
        (&node, &["127.0.0.1:0", "--metrics", &taken.1], &taken.1),
        (&node, &["127.0.0.1:0", "--config", "/no/such/file"], "/no/such/file"),
        (&node, &["127.0.0.1:0", "--config", file.path()], "line 2: unknown field `listen_on`"),
        (&node, &["127.0.0.1:0", "--polcy", "open"], "--polcy"),
        (&["node", "--listen", "127.0.0.1:0"], &[], "--domain"),
        (&["node", "--domain", "a b/c", "--listen", "127.0.0.1:0"], &[], "a b/c"),
        (&runtime, &["ws://127.0.0.1:1/ws", "--p2p", "webrtc"], "WebRTC"),
        (&runtime, &["http://127.0.0.1:1/ws"], "http://127.0.0.1:1/ws"),
        (&runtime, &["other.org=ws://127.0.0.1:1/ws"], "example.org"),
        (&runtime, &["ws://127.0.0.1:1/ws", "--hyperty", "hyperty://x"], "hyperty://x"),
        (&runtime, &["ws://127.0.0.1:1/ws", "--hyperty", "nothing"], "nothing"),
        (&["runtime", "--runtime", "hyperty://a/b", "--node", "ws://h/ws"], &[], "hyperty://a/b"),
        (&["runtime", "--node", "ws://h/ws"], &[], "--runtime"),
    ];
    for (common, more, word) in uses {
        let arguments = [*common, *more].concat();
        let mut program = Program::start(&arguments);
        program.end_input();
        let (lines, status, error) = program.finish();
        assert!(!status.success() && lines.is_empty(), "{arguments:?}: {lines:?}");
        assert_eq!(error.lines().count(), 1, "{arguments:?}: {error}");
        assert!(error.contains(word), "{arguments:?}: {error}");
    }
}
