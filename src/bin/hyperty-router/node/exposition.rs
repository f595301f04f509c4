//! A Message Node's counters as Prometheus text (exposition format 0.0.4). It opens nothing.

use std::{
    fmt::{Display, Write},
    sync::atomic::{AtomicU64, Ordering},
};

use hyperty_router::{
    node::serve::ServeCounters,
    node::{DropReason, Metrics},
    transport::websocket::ServerCounters,
};

/// All of them.
pub(super) fn text(node: &Metrics, ended: &ServeCounters, server: &ServerCounters) -> String {
    let mut page = Page(String::with_capacity(4_096));
    page.counter("frames_total", "Frames that came in.", node.frames);
    page.counter("delivered_total", "Copies put into a session's queue.", node.delivered);
    page.counter("served_total", "Requests that the node carried out.", node.served);
    page.counter("refused_total", "Error responses sent.", node.refused);
    let dropped = DropReason::ALL.map(|reason| (reason.word(), node.dropped(reason)));
    page.family("dropped_total", "What went nowhere, by reason.", ("counter", "reason"), dropped);
    page.gauge("sockets", "Sockets open now.", node.sockets);
    page.gauge("sessions", "Sessions now, those that wait for a socket too.", node.sessions);
    page.gauge("subscriptions", "Subscriptions now.", node.subscriptions);
    page.gauge("registry_entries", "Domain registry entries now.", node.registry_entries);
    page.gauge("queue_messages", "Messages in all sessions' queues now.", node.queue_items);
    page.gauge("queue_bytes", "Bytes in all sessions' queues now.", node.queue_bytes);
    let ends = [
        ("closed", &ended.closed),
        ("protocol", &ended.protocol),
        ("silent", &ended.silent),
        ("lost", &ended.lost),
        ("no_room", &ended.no_room),
        ("unopened", &ended.unopened),
    ];
    let ends = ends.map(|(how, count)| (how, read(count)));
    page.family("sockets_ended_total", "Sockets that ended, by how.", ("counter", "how"), ends);
    let refused = [
        ("not_found", &server.not_found),
        ("no_room", &server.no_room),
        ("bad_handshake", &server.bad_handshake),
    ];
    let refused = refused.map(|(why, count)| (why, read(count)));
    let help = "Connections that did not become a socket, by why.";
    page.family("connections_refused_total", help, ("counter", "why"), refused);
    page.0
}

fn read(counter: &AtomicU64) -> u64 {
    counter.load(Ordering::Relaxed)
}

/// What every name begins with.
const PREFIX: &str = "hyperty_node_";

struct Page(String);

impl Page {
    fn counter(&mut self, name: &str, help: &str, value: u64) {
        self.head(name, help, "counter");
        self.line(format_args!("{name} {value}"));
    }

    fn gauge(&mut self, name: &str, help: &str, value: usize) {
        self.head(name, help, "gauge");
        self.line(format_args!("{name} {value}"));
    }

    /// One value for each word of a label.
    fn family<'a>(
        &mut self,
        name: &str,
        help: &str,
        (kind, label): (&str, &str),
        values: impl IntoIterator<Item = (&'a str, u64)>,
    ) {
        self.head(name, help, kind);
        for (word, value) in values {
            self.line(format_args!("{name}{{{label}=\"{word}\"}} {value}"));
        }
    }

    fn head(&mut self, name: &str, help: &str, kind: &str) {
        // Writing to a string cannot fail.
        let _ = write!(self.0, "# HELP {PREFIX}{name} {help}\n# TYPE {PREFIX}{name} {kind}\n");
    }

    fn line(&mut self, sample: impl Display) {
        let _ = writeln!(self.0, "{PREFIX}{sample}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_sample_has_its_head_and_value() {
        let mut metrics = Metrics { frames: 7, ..Metrics::default() };
        metrics.dropped[DropReason::QueueFull as usize] = 3;
        let server = ServerCounters::default();
        server.not_found.store(2, Ordering::Relaxed);
        let text = text(&metrics, &ServeCounters::default(), &server);
        for line in [
            "# TYPE hyperty_node_frames_total counter",
            "hyperty_node_frames_total 7",
            "hyperty_node_dropped_total{reason=\"queue_full\"} 3",
            "hyperty_node_connections_refused_total{why=\"not_found\"} 2",
        ] {
            assert!(text.lines().any(|found| found == line), "{line} in\n{text}");
        }
        assert!(text.ends_with('\n'));
    }
}
