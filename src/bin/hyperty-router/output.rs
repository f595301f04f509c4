//! Single lines on stdout.

use std::io::{Write, stdout};

/// One line on stdout, at once. A reader that went away is no failure.
pub(crate) fn say(line: &str) {
    let mut out = stdout().lock();
    let _ = writeln!(out, "{line}").and_then(|()| out.flush());
}
