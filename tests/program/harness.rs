//! One process of the program with its lines, and what tests say to it. It asserts nothing about routing.

use std::{
    io::{BufRead, BufReader, Read, Write},
    process::{Child, ChildStdin, Command, ExitStatus, Stdio},
    sync::mpsc::{Receiver, RecvTimeoutError, channel},
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use serde_json::{Value, json};

/// For anything that has to happen, on a machine that has other things to do.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);
/// Between two tries of something that may be lost.
pub(crate) const AGAIN: Duration = Duration::from_millis(250);

/// A process of the program.
pub(crate) struct Program {
    child: Child,
    stdin: Option<ChildStdin>,
    lines: Receiver<String>,
    stderr: Option<JoinHandle<String>>,
    /// What was read so far, for the failure's message.
    seen: Vec<String>,
}

impl Program {
    pub(crate) fn start(arguments: &[&str]) -> Program {
        let mut child = command(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the program starts");
        let stdout = BufReader::new(child.stdout.take().expect("a pipe"));
        let mut stderr = child.stderr.take().expect("a pipe");
        let (sender, lines) = channel();
        thread::spawn(move || {
            for line in stdout.lines().map_while(Result::ok) {
                if sender.send(line).is_err() {
                    return;
                }
            }
        });
        let stderr = thread::spawn(move || {
            let mut text = String::new();
            let _ = stderr.read_to_string(&mut text);
            text
        });
        let stdin = child.stdin.take();
        Program { child, stdin, lines, stderr: Some(stderr), seen: Vec::new() }
    }

    /// A Message Node for example.org on `port`, and its WebSocket URL.
    pub(crate) fn node(port: u16) -> (Program, String) {
        let listen = format!("127.0.0.1:{port}");
        let mut node = Program::start(&["node", "--domain", "example.org", "--listen", &listen]);
        let first = node.line();
        assert_eq!(first["event"], "listening");
        let url = first["websocket"].as_str().expect("a URL").to_owned();
        (node, url)
    }

    /// The runtime of `name` with its Hyperty, when it is ready.
    pub(crate) fn runtime(name: &str, node: &str, more: &[&str]) -> Program {
        let (runtime, hyperty) = (runtime_url(name), hyperty(name));
        let mut arguments =
            vec!["runtime", "--runtime", &runtime, "--node", node, "--hyperty", &hyperty];
        arguments.extend(more);
        let mut program = Program::start(&arguments);
        program.until("ready", |event| event["event"] == "ready");
        program
    }

    /// Writes one line to its stdin.
    pub(crate) fn say(&mut self, line: impl ToString) {
        let stdin = self.stdin.as_mut().expect("stdin is open");
        writeln!(stdin, "{}", line.to_string()).expect("the program reads");
    }

    /// Ends its input.
    pub(crate) fn end_input(&mut self) {
        self.stdin = None;
    }

    /// The next line.
    pub(crate) fn line(&mut self) -> Value {
        self.line_within(PATIENCE).unwrap_or_else(|| self.fail("a line"))
    }

    /// The next line, if one comes within `within`.
    pub(crate) fn line_within(&mut self, within: Duration) -> Option<Value> {
        match self.lines.recv_timeout(within) {
            Ok(line) => {
                let value = serde_json::from_str(&line)
                    .unwrap_or_else(|error| panic!("no JSON ({error}): {line}"));
                self.seen.push(line);
                Some(value)
            }
            Err(RecvTimeoutError::Timeout) => None,
            Err(RecvTimeoutError::Disconnected) => self.fail("more lines"),
        }
    }

    /// Skips lines until one that is wanted.
    pub(crate) fn until(&mut self, what: &str, wanted: impl Fn(&Value) -> bool) -> Value {
        self.until_within(PATIENCE, what, wanted)
    }

    pub(crate) fn until_within(
        &mut self,
        within: Duration,
        what: &str,
        wanted: impl Fn(&Value) -> bool,
    ) -> Value {
        let deadline = Instant::now() + within;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            match self.line_within(left) {
                Some(event) if wanted(&event) => return event,
                Some(_) => {}
                None => self.fail(what),
            }
        }
    }

    /// The next message, other lines skipped.
    pub(crate) fn message(&mut self) -> Value {
        self.until("a message", |event| event["event"] == "message")
    }

    /// The next refusal, other lines skipped.
    pub(crate) fn refused(&mut self) -> Value {
        self.until("a refusal", |event| event["event"] == "refused")
    }

    /// All lines that are left, and how it ended.
    pub(crate) fn finish(mut self) -> (Vec<Value>, ExitStatus, String) {
        let deadline = Instant::now() + PATIENCE;
        let mut rest = Vec::new();
        loop {
            match self.lines.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
                Ok(line) => rest.push(serde_json::from_str(&line).expect("JSON")),
                Err(RecvTimeoutError::Disconnected) => break,
                Err(RecvTimeoutError::Timeout) => self.fail("its end"),
            }
        }
        // Its stdout is closed, so it is gone or goes at once.
        let status = self.child.wait().expect("it ends");
        let stderr = self.stderr.take().expect("read once").join().expect("the reader");
        (rest, status, stderr)
    }

    /// SIGKILL.
    pub(crate) fn kill(&mut self) {
        self.child.kill().expect("it is ours");
        self.child.wait().expect("it ends");
    }

    /// SIGTERM.
    pub(crate) fn terminate(&self) {
        let process = self.child.id().to_string();
        let sent = Command::new("kill").args(["-TERM", &process]).status().expect("kill runs");
        assert!(sent.success());
    }

    /// Fails the test with what is known.
    pub(crate) fn fail(&mut self, what: &str) -> ! {
        let _ = self.child.kill();
        let stderr = self.stderr.take().and_then(|reader| reader.join().ok()).unwrap_or_default();
        let last = self.seen.len().saturating_sub(20);
        panic!("waited for {what}; seen last:\n{}\nlog:\n{stderr}", self.seen[last..].join("\n"));
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

pub(crate) fn command(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_hyperty-router"));
    command.args(arguments).env_remove("RUST_LOG");
    command
}

pub(crate) fn runtime_url(name: &str) -> String {
    format!("hyperty-runtime://example.org/{name}")
}

pub(crate) fn hyperty(name: &str) -> String {
    format!("hyperty://example.org/{name}-chat")
}

/// An update with a number.
pub(crate) fn update(from: &str, to: &str, number: u64) -> Value {
    json!({ "id": number, "type": "update", "from": hyperty(from), "to": hyperty(to),
            "body": { "value": number } })
}

/// Sends updates from `from` to `to`, the first numbered `number`, one after the other until one arrives by
/// `path`. Those that are lost meanwhile are left behind. Returns the next number.
pub(crate) fn send_until(
    (from, sender): (&str, &mut Program),
    (to, receiver): (&str, &mut Program),
    mut number: u64,
    path: &str,
) -> u64 {
    let deadline = Instant::now() + PATIENCE;
    while Instant::now() < deadline {
        sender.say(update(from, to, number));
        number += 1;
        while let Some(event) = receiver.line_within(AGAIN) {
            if event["event"] != "message" {
                continue;
            }
            let sent = event["message"]["body"]["value"].as_u64().expect("a number");
            if sent + 1 == number {
                if event["path"] == path {
                    return number;
                }
                break;
            }
        }
    }
    receiver.fail(&format!("a message by {path}"))
}
