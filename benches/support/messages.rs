//! The messages of all benches: some 190 bytes of header and a body of the size that the case has in its
//! name.
//!
//! `from` and `to` are names of `workload.rs`, every other `to` an address one to three segments below. Three
//! of four messages are updates and one is a response; the body is chat lines, objects in an array with
//! numbers and texts of any length, every other text with escapes. It fills its size to the byte. No two
//! messages are alike, and all follow from the seed. It posts nothing and times nothing.
#![allow(dead_code)] // Each bench takes what it needs.

use crate::workload::{Names, Random, SEED, SEED_OTHERS, Spread, below};

/// What messages are made by.
#[derive(Clone, Copy)]
pub(crate) struct Recipe {
    /// Who they are for.
    pub(crate) to: Names,
    pub(crate) spread: Spread,
    pub(crate) body_bytes: usize,
    pub(crate) order: Order,
    /// Messages that follow each other from one sender.
    pub(crate) a_sender: usize,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Order {
    HeaderFirst,
    BodyFirst,
}

impl Recipe {
    /// The first `count` messages.
    pub(crate) fn messages(&self, count: usize) -> Vec<String> {
        let mut random = Random::of(SEED + STREAM, 0);
        (0..count).map(|number| self.message(&mut random, number)).collect()
    }

    fn message(&self, random: &mut Random, number: usize) -> String {
        let senders = Names { seed: SEED_OTHERS, ..self.to };
        let from = senders.name(number / self.a_sender);
        let to = self.to.name(self.spread.draw(random, self.to.count));
        let more = if number.is_multiple_of(2) { "" } else { below(random) };
        let (kind, opening) = match random.below(4) {
            0 => ("response", r#"{"code":200,"value":["#),
            _ => ("update", r#"{"attribute":"messages","value":["#),
        };
        let id = random.below(100_000);
        let header = format!(r#""id":{id},"type":"{kind}","from":"{from}","to":"{to}{more}""#);
        let body = body(random, opening, self.body_bytes);
        match self.order {
            Order::HeaderFirst => format!(r#"{{{header},"body":{body}}}"#),
            Order::BodyFirst => format!(r#"{{"body":{body},{header}}}"#),
        }
    }
}

/// Apart from what the queries are made by.
const STREAM: u64 = 0x100;

/// `opening`, lines until it is full, and what closes both: `bytes` in all.
fn body(random: &mut Random, opening: &str, bytes: usize) -> String {
    const CLOSING: &str = "]}";
    let mut body = String::with_capacity(bytes);
    body.push_str(opening);
    for number in 0.. {
        let left = bytes - body.len() - CLOSING.len();
        // The last line is as long as is left, and is left enough.
        if left <= 2 * LINE_BYTES_MAX {
            body.push_str(&line(random, number, left));
            break;
        }
        let bytes = LINE_BYTES_MIN + random.below(LINE_BYTES_SPREAD) as usize;
        body.push_str(&line(random, number, bytes));
        body.push(',');
    }
    body.push_str(CLOSING);
    assert_eq!(body.len(), bytes, "no room for a line");
    body
}

/// Bytes of a line: least, how many lengths there are, and most. A body of 64 bytes has one that is shorter.
const LINE_BYTES_MIN: usize = 72;
const LINE_BYTES_SPREAD: u64 = 60;
const LINE_BYTES_MAX: usize = LINE_BYTES_MIN + LINE_BYTES_SPREAD as usize;

/// A chat line of `bytes` bytes; one that is too short for it has no time and no escapes.
fn line(random: &mut Random, number: usize, bytes: usize) -> String {
    const CLOSING: &str = r#""}"#;
    let (at, is_quote) = (random.below(1 << 40), random.below(2) == 0);
    let mut line = match bytes >= LINE_BYTES_MIN {
        true => format!(r#"{{"n":{number},"at":{at},"text":""#),
        false => format!(r#"{{"n":{number},"text":""#),
    };
    if bytes >= LINE_BYTES_MIN {
        line.push_str(if is_quote { r#"He said \"good morning\", and "# } else { "Went on. " });
    }
    let words = bytes.saturating_sub(line.len() + CLOSING.len());
    line.extend("lorem ipsum dolor ".chars().cycle().take(words));
    line.push_str(CLOSING);
    line
}
