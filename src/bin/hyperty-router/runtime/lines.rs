//! Lines from stdin, each of bounded length, on a thread of their own: reading a pipe blocks.

use std::{
    io::{self, BufRead, stdin},
    thread,
};

use bytes::Bytes;
use tokio::sync::mpsc;

/// One line.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Line {
    /// Counted from 1.
    pub(super) number: u64,
    pub(super) text: Text,
}

#[derive(Debug, PartialEq, Eq)]
pub(super) enum Text {
    /// Without its line end.
    Whole(Bytes),
    /// Longer than allowed: so many bytes, and nothing of it kept.
    TooLong(usize),
    /// The input cannot be read any further.
    Failed(String),
}

/// Reads until the input ends or nobody wants more.
pub(super) fn start(lines: mpsc::Sender<Line>, bytes_max: usize) -> io::Result<()> {
    let read = move || {
        let mut input = stdin().lock();
        let mut number = 0;
        while let Some(text) = next(&mut input, bytes_max) {
            number += 1;
            let failed = matches!(text, Text::Failed(_));
            if lines.blocking_send(Line { number, text }).is_err() || failed {
                return;
            }
        }
    };
    thread::Builder::new().name("stdin".into()).spawn(read).map(|_| ())
}

/// The next line; `None` at the end of the input. Never holds more than `bytes_max` bytes of it.
fn next(input: &mut impl BufRead, bytes_max: usize) -> Option<Text> {
    let mut line = Vec::new();
    let mut length = 0;
    loop {
        let chunk = match input.fill_buf() {
            Ok(chunk) => chunk,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Some(Text::Failed(error.to_string())),
        };
        if chunk.is_empty() {
            return (length > 0).then(|| whole(line, length, bytes_max));
        }
        let end = memchr::memchr(b'\n', chunk);
        let part = &chunk[..end.unwrap_or(chunk.len())];
        length += part.len();
        // One more than allowed, for a carriage return.
        match length <= bytes_max + 1 {
            true => line.extend_from_slice(part),
            false => line = Vec::new(),
        }
        let used = end.map_or(chunk.len(), |end| end + 1);
        input.consume(used);
        if end.is_some() {
            return Some(whole(line, length, bytes_max));
        }
    }
}

fn whole(mut line: Vec<u8>, mut length: usize, bytes_max: usize) -> Text {
    if line.last() == Some(&b'\r') {
        line.pop();
        length -= 1;
    }
    match length <= bytes_max {
        true => Text::Whole(line.into()),
        false => Text::TooLong(length),
    }
}

#[cfg(test)]
mod tests {
    use std::io::BufReader;

    use super::*;

    /// Splits with a small buffer, so that lines span chunks.
    fn split(input: &[u8], bytes_max: usize) -> Vec<Text> {
        let mut input = BufReader::with_capacity(3, input);
        std::iter::from_fn(|| next(&mut input, bytes_max)).collect()
    }

    fn text(text: &'static str) -> Text {
        Text::Whole(Bytes::from_static(text.as_bytes()))
    }

    #[test]
    fn lines_end_where_they_end() {
        assert_eq!(split(b"", 8), []);
        assert_eq!(split(b"ab\n\ncd\r\nef", 8), [text("ab"), text(""), text("cd"), text("ef")]);
    }

    #[test]
    fn a_line_over_the_bound_is_counted_and_the_next_one_is_whole() {
        let found = split(b"12345678\n123456789\n12345678\r\n1234567890123\nok\n", 8);
        let expected =
            [text("12345678"), Text::TooLong(9), text("12345678"), Text::TooLong(13), text("ok")];
        assert_eq!(found, expected);
    }
}
