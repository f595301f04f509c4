//! Lines of a stream, none of which can cost more memory than its bound. What a line says is not looked at.

use std::io::{self, BufRead, BufReader, Read};

use bytes::Bytes;

/// Reads lines and counts them.
pub(super) struct Lines<R> {
    input: BufReader<R>,
    bytes_max: usize,
    number: u64,
}

/// One line, without its line feed.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Line {
    /// Counted from 1.
    pub(super) number: u64,
    /// What it says.
    pub(super) text: Text,
}

/// The text of a line.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Text {
    /// All of it.
    Whole(Bytes),
    /// It has so many bytes, more than the bound, and was not kept.
    TooLong {
        /// Bytes, without the line feed.
        bytes: usize,
    },
}

impl<R: Read> Lines<R> {
    /// Lines of at most `bytes_max` bytes are kept.
    pub(super) fn new(input: BufReader<R>, bytes_max: usize) -> Self {
        Lines { input, bytes_max, number: 0 }
    }

    /// The next line; `None` at the end. The last one needs no line feed.
    ///
    /// # Errors
    /// What reading gives.
    pub(super) fn next_line(&mut self) -> io::Result<Option<Line>> {
        let mut kept = Vec::new();
        let mut bytes = 0;
        loop {
            let read = match self.input.fill_buf() {
                Ok(read) => read,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(error),
            };
            if read.is_empty() && bytes == 0 {
                return Ok(None);
            }
            let end = memchr(b'\n', read);
            let part = &read[..end.unwrap_or(read.len())];
            bytes += part.len();
            if bytes <= self.bytes_max {
                kept.extend_from_slice(part);
            } else {
                kept = Vec::new();
            }
            let is_last = end.is_some() || read.is_empty();
            let used = part.len() + usize::from(end.is_some());
            self.input.consume(used);
            if is_last {
                self.number += 1;
                let text = match bytes <= self.bytes_max {
                    true => Text::Whole(kept.into()),
                    false => Text::TooLong { bytes },
                };
                return Ok(Some(Line { number: self.number, text }));
            }
        }
    }

    /// True if something was read already that no line has been made of.
    pub(super) fn has_more_at_hand(&self) -> bool {
        !self.input.buffer().is_empty()
    }
}

fn memchr(byte: u8, text: &[u8]) -> Option<usize> {
    text.iter().position(|each| *each == byte)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(input: &[u8], buffer: usize) -> Vec<Line> {
        let mut lines = Lines::new(BufReader::with_capacity(buffer, input), 4);
        std::iter::from_fn(|| lines.next_line().unwrap()).collect()
    }

    #[test]
    fn each_line_once_whatever_the_buffer_holds() {
        for buffer in 1..12 {
            let found = lines(b"ab\n\nabcde\nabcd\n \r\nz", buffer);
            let text = |text: &'static [u8]| Text::Whole(Bytes::from_static(text));
            let expected = [
                text(b"ab"),
                text(b""),
                Text::TooLong { bytes: 5 },
                text(b"abcd"),
                text(b" \r"),
                text(b"z"),
            ];
            let numbers: Vec<u64> = found.iter().map(|line| line.number).collect();
            assert_eq!(numbers, [1, 2, 3, 4, 5, 6]);
            assert!(found.into_iter().map(|line| line.text).eq(expected), "buffer of {buffer}");
        }
        assert_eq!(lines(b"", 8), []);
    }
}
