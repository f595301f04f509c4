//! What the demo shows: statuses as they happen, progress, a table at the end; or JSON Lines.

use std::{
    io::{IsTerminal, Write},
    time::{Duration, Instant},
};

use hyperty_router::{address::Url, status::Status};
use simd_json::{json, prelude::Writable};

/// Where the demo shows what happens.
#[derive(Debug)]
pub(super) struct Screen {
    json: bool,
    progress: bool,
    began: Instant,
    shown_at: Option<Instant>,
    closed: bool,
}

impl Screen {
    pub(super) fn new(json: bool) -> Self {
        let progress = !json && std::io::stderr().is_terminal();
        Screen { json, progress, began: Instant::now(), shown_at: None, closed: false }
    }

    pub(super) fn phase(&mut self, what: &str) {
        self.line(what);
    }

    /// Shows nothing more of what happens.
    pub(super) fn close(&mut self) {
        self.closed = true;
    }

    pub(super) fn status(&mut self, who: &str, stub: &Url, value: Status, desc: Option<&str>) {
        if self.closed {
            return;
        }
        if self.json {
            let event = json!({ "event": "status", "runtime": who, "stub": stub.as_str(),
                                "value": value.word(), "desc": desc });
            say(&event.encode());
        } else {
            let why = desc.map_or_else(String::new, |desc| format!(" ({desc})"));
            self.line(&format!("    {who}: P2P connection {value}{why}"));
        }
    }

    /// Rewrites the progress line, at most ten times a second.
    pub(super) fn progress(&mut self, sent: u64, delivered: u64, by_p2p: u64) {
        let due = self.shown_at.is_none_or(|at| at.elapsed() > Duration::from_millis(100));
        if self.progress && due {
            self.shown_at = Some(Instant::now());
            eprint!("\r\x1b[K    {sent} sent, {delivered} delivered, {by_p2p} of them directly");
        }
    }

    fn line(&mut self, text: &str) {
        if self.json {
            return;
        }
        if self.progress {
            eprint!("\r\x1b[K");
        }
        say(&format!("{:>8.3} s  {text}", self.began.elapsed().as_secs_f64()));
    }
}

/// The result.
#[derive(Debug)]
pub(super) struct Report {
    pub(super) sent: u64,
    pub(super) delivered: u64,
    pub(super) duplicated: u64,
    pub(super) reordered: u64,
    pub(super) by_node: u64,
    pub(super) by_p2p: u64,
    pub(super) undelivered: u64,
    pub(super) longest_pause: Duration,
    pub(super) statuses: Vec<&'static str>,
}

impl Report {
    pub(super) fn is_clean(&self) -> bool {
        self.lost() == 0 && self.duplicated == 0 && self.reordered == 0
    }

    pub(super) fn print(&self, json: bool) {
        match json {
            true => say(&self.json()),
            false => say(&self.table()),
        }
    }

    fn lost(&self) -> u64 {
        self.sent - self.delivered
    }

    fn json(&self) -> String {
        json!({
            "sent": self.sent,
            "delivered": self.delivered,
            "lost": self.lost(),
            "duplicated": self.duplicated,
            "reordered": self.reordered,
            "by_path": { "message-node": self.by_node, "p2p": self.by_p2p },
            "statuses": self.statuses.clone(),
            "longest_pause_ms": self.longest_pause.as_millis() as u64,
        })
        .encode()
    }

    fn table(&self) -> String {
        let rows = [
            ("sent by Alice", self.sent),
            ("delivered to Bob", self.delivered),
            ("  by the Message Node", self.by_node),
            ("  by the direct connection", self.by_p2p),
            ("lost", self.lost()),
            ("duplicated", self.duplicated),
            ("out of order", self.reordered),
            ("told to Alice as not delivered", self.undelivered),
            ("longest pause, ms", self.longest_pause.as_millis() as u64),
        ];
        let mut table = String::from("\n");
        for (name, value) in rows {
            table.push_str(&format!("  {name:<32}{value:>12}\n"));
        }
        table.push_str(&format!("  statuses: {}", self.statuses.join(", ")));
        table
    }
}

/// One line on stdout. A reader that went away is no failure of the demo's.
fn say(line: &str) {
    let mut out = std::io::stdout().lock();
    let _ = writeln!(out, "{line}").and_then(|()| out.flush());
}
