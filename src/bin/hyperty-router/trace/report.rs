//! The output line: its members and their order. Nothing is decided here.

use hyperty_router::bus::TargetReport;
use simd_json::{OwnedValue, prelude::Writable};

use super::world::Outcome;

/// Writes the line for what became of input line `number`, with its line feed.
pub(super) fn write(out: &mut Vec<u8>, number: u64, outcome: &Outcome) {
    text(out, &format!("{{\"line\":{number},\"targets\":["));
    list(out, &outcome.targets, target);
    text(out, "],\"emitted\":[");
    list(out, &outcome.emitted, |out, message| out.extend_from_slice(message));
    text(out, "],\"error\":");
    match &outcome.error {
        None => text(out, "null"),
        Some(error) => {
            text(out, &format!("{{\"code\":{},\"reason\":", error.code()));
            string(out, &error.to_string());
            text(out, "}");
        }
    }
    text(out, "}\n");
}

fn target(out: &mut Vec<u8>, target: &TargetReport) {
    text(out, "{\"to\":");
    string(out, &target.to);
    text(out, ",\"decision\":");
    string(out, target.decision);
    text(out, ",\"via\":");
    match &target.via {
        None => text(out, "null"),
        Some(via) => string(out, via.as_str()),
    }
    text(out, ",\"listeners\":[");
    list(out, &target.listeners, |out, url| string(out, url.as_str()));
    text(out, "]}");
}

/// The items with commas between them.
fn list<T>(out: &mut Vec<u8>, items: &[T], mut write: impl FnMut(&mut Vec<u8>, &T)) {
    for (at, item) in items.iter().enumerate() {
        if at > 0 {
            out.push(b',');
        }
        write(out, item);
    }
}

fn text(out: &mut Vec<u8>, text: &str) {
    out.extend_from_slice(text.as_bytes());
}

fn string(out: &mut Vec<u8>, text: &str) {
    OwnedValue::from(text).write(out).expect("writing into memory does not fail");
}
