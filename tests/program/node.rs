//! The Message Node as a process: its first and last line, its metrics, its file.

use std::{
    fs,
    io::{Read, Write},
    net::TcpStream,
    path::PathBuf,
};

use crate::harness::{Program, update};

/// A file of the test's own, gone afterwards.
pub(crate) struct Scratch(pub(crate) PathBuf);

impl Scratch {
    pub(crate) fn new(name: &str, text: &str) -> Scratch {
        let path = std::env::temp_dir().join(format!("hyperty-{}-{name}", std::process::id()));
        fs::write(&path, text).unwrap();
        Scratch(path)
    }

    pub(crate) fn path(&self) -> &str {
        self.0.to_str().unwrap()
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.0);
    }
}

/// One request by HTTP, and all of the response.
fn http(address: &str, request: &str) -> String {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.write_all(request.as_bytes()).unwrap();
    let mut response = String::new();
    stream.read_to_string(&mut response).unwrap();
    response
}

/// Goal: what a node counts can be scraped, and SIGTERM ends it with a last line.
#[test]
fn metrics_are_served_and_sigterm_ends_in_order() {
    let file = Scratch::new(
        "node.toml",
        "domain = \"overridden.org\"\nlisten = \"127.0.0.1:0\"\nmetrics = \"127.0.0.1:0\"\n\
         policy = \"open\"\n[limits]\nmessage_bytes_max = 4096\n",
    );
    let mut node = Program::start(&["node", "--domain", "example.org", "--config", file.path()]);
    let first = node.line();
    assert_eq!((&first["domain"], &first["policy"]), (&"example.org".into(), &"open".into()));
    let url = first["websocket"].as_str().unwrap();
    let metrics = first["metrics"].as_str().unwrap();
    let address = metrics.strip_prefix("http://").unwrap().strip_suffix("/metrics").unwrap();

    let mut alice = Program::runtime("alice", url, &["--p2p", "off"]);
    let mut bob = Program::runtime("bob", url, &["--p2p", "off"]);
    alice.say(update("alice", "bob", 1));
    bob.message();
    let page = http(address, "GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n");
    assert!(page.starts_with("HTTP/1.1 200 OK\r\n"), "{page}");
    assert!(page.contains("text/plain; version=0.0.4"), "{page}");
    assert!(page.contains("\nhyperty_node_sessions 2\n"), "{page}");
    assert!(page.contains("\nhyperty_node_delivered_total 1\n"), "{page}");
    let other = http(address, "GET / HTTP/1.1\r\nHost: x\r\n\r\n");
    assert!(other.starts_with("HTTP/1.1 404"), "{other}");
    let post = http(address, "POST /metrics HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n");
    assert!(post.starts_with("HTTP/1.1 405"), "{post}");

    node.terminate();
    let (rest, status, log) = node.finish();
    assert!(status.success(), "{status}: {log}");
    assert_eq!(rest.last().expect("a last line")["event"], "stopped");
}
