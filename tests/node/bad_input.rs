//! Frames of rubbish: each gets one clear error that names what is wrong and where, and the node
//! goes on.

use hyperty_router::node::{DropReason, FrameEnd};
use serde_json::{Value, json};

use crate::harness::{Net, message};

/// "A frame that is no message gets a 400 when `from` and `id` can be read."
#[test]
fn rubbish_with_id_and_from_gets_a_400_that_says_where() {
    let net = Net::new();
    let a = net.client("1");
    let frames = [
        (r#"{"id":7,"from":"hyperty-runtime://a.com/1","type":"read"}"#, "to"),
        (r#"{"id":7,"from":"hyperty-runtime://a.com/1","to":"x://y/z","type":1}"#, "type"),
        (
            r#"{"id":7,"from":"hyperty-runtime://a.com/1","to":"x://y/z","type":"read","hop":1}"#,
            "hop",
        ),
        (r#"{"id":7,"from":"hyperty-runtime://a.com/1","to":"a://b","to":"c://d"}"#, "duplicate"),
    ];
    for (frame, word) in frames {
        assert_eq!(net.frame(&a, frame), FrameEnd::Continue);
        let got = a.take();
        assert_eq!(got.len(), 1, "{frame}");
        let desc = got[0]["body"]["desc"].as_str().unwrap();
        assert!(desc.contains(word) && desc.contains("at byte"), "{desc}");
        let expected = json!({
            "id": 7, "type": "response", "from": "domain://msg-node.a.com",
            "to": "hyperty-runtime://a.com/1", "body": { "code": 400, "desc": desc },
        });
        assert_eq!(got[0], expected);
    }
    assert_eq!(net.node.metrics().dropped(DropReason::BadFrame), 4);
}

/// … and is counted when they can't; with or without a session the node goes on.
#[test]
fn rubbish_that_names_nobody_is_counted() {
    let net = Net::new();
    for client in [net.client("1"), net.socket()] {
        for frame in
            [&b""[..], b"null", b"[]", b"{", b"\xff\xfe", b"{\"id\":7}", b"{\"from\":\"a://b/c\"}"]
        {
            assert_eq!(net.frame(&client, frame), FrameEnd::Continue);
            assert_eq!(client.take(), Vec::<Value>::new());
        }
    }
    assert_eq!(net.node.metrics().dropped(DropReason::BadFrame), 14);
    net.client("2");
}

/// Replies to a socket that reads none are bounded.
#[test]
fn replies_to_a_socket_without_a_session_are_bounded() {
    let net = Net::new();
    let stranger = net.socket();
    for _ in 0..100 {
        net.send(&stranger, message(1, "read", "a://b/c", "d://e/f", json!({})));
    }
    assert_eq!(stranger.take().len(), hyperty_router::limits::SOCKET_REPLIES_MAX);
    assert_eq!(net.node.metrics().dropped(DropReason::ReplyLost), 36);
}

/// "A message over the limit is refused with its size and the limit"; "size limits are measured
/// without `hop`".
#[test]
fn a_message_over_the_limit_is_refused_with_its_size() {
    let net = Net::with(|config| config.limits.message.bytes_max = 400);
    let [a, b] = ["1", "2"].map(|name| net.client(name));
    let filled = |bytes: usize| {
        let empty = message(9, "update", &a.url, &b.url, json!({ "x": "" })).to_string();
        let x = "x".repeat(bytes - empty.len());
        message(9, "update", &a.url, &b.url, json!({ "x": x })).to_string()
    };
    assert_eq!(net.frame(&a, filled(400)), FrameEnd::Continue);
    let hop = filled(400).replacen('{', r#"{"hop":["0123456789abcdef0123456789abcdef",7],"#, 1);
    assert_eq!(net.frame(&a, hop.clone()), FrameEnd::Continue);
    assert_eq!(b.take_bytes(), [filled(400), hop]);
    assert_eq!(net.frame(&a, filled(401)), FrameEnd::Continue);
    let got = a.take();
    assert_eq!(got[0]["body"]["code"], 413);
    let desc = got[0]["body"]["desc"].as_str().unwrap();
    assert!(desc.contains("401") && desc.contains("400"), "{desc}");
    assert_eq!(net.node.metrics().dropped(DropReason::TooLong), 1);
    assert_eq!(b.take().len(), 0);
}

/// `from` or `to` that is no URL: a 400 that says which, why and where.
#[test]
fn what_is_no_url_is_named() {
    let net = Net::new();
    let a = net.client("1");
    for (from, to, word) in [
        (a.url.as_str(), "nowhere", "`to`: no `://`"),
        (a.url.as_str(), "x://y//z", "`to`: empty path segment at byte 6"),
        (a.url.as_str(), "mn:/other", "`to`: no `://`"),
        ("me", "x://y/z", "`from`: no `://`"),
        ("me", "domain://msg-node.a.com/address-allocation", "`from`"),
    ] {
        let body = json!({ "resource": "k" });
        let reply = net.ask(&a, message(9, "delete", from, to, body));
        assert_eq!(reply["body"]["code"], 400);
        let desc = reply["body"]["desc"].as_str().unwrap();
        assert!(desc.contains(word), "{desc}");
        net.send(&a, message(9, "update", from, to, json!({})));
        assert_eq!(a.take().len(), 0);
    }
}
