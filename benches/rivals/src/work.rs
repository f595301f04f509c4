//! The messages that everybody carries, and the check that they arrived: once, in order, the right bytes.

use bytes::{BufMut, Bytes, BytesMut};

/// Bytes of each message.
pub const MESSAGE_BYTES: usize = 400;
/// Frames that raw quinn gathers into one write.
pub const FRAMES_A_WRITE: usize = 64;
/// Bytes of the buffers that messages are cut from.
const BUFFER_BYTES: usize = 64 << 10;

pub const ALICE_RUNTIME: &str = "hyperty-runtime://bench.example.com/3f0c8a52-alice";
pub const BOB_RUNTIME: &str = "hyperty-runtime://bench.example.com/9b1d77e4-bob";
pub const ALICE: &str = "hyperty://bench.example.com/6f3c1f0e-52ab-4d1c-9b61-0d6a3e1f7c24";
pub const BOB: &str = "hyperty://bench.example.com/c2a95e83-7d10-4f5e-8e2b-b1f4a96d0a57";

const DIGITS: usize = 12;

/// Whose message it is; the other one is its receiver.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Author {
    Alice,
    Bob,
}

/// Writes the messages of one author, numbered from 0.
pub struct Writer {
    template: Vec<u8>,
    digits_at: usize,
    next: u64,
    buffer: BytesMut,
}

impl Writer {
    pub fn new(author: Author) -> Self {
        let (template, digits_at) = template(author);
        Writer { template, digits_at, next: 0, buffer: BytesMut::new() }
    }

    /// The next message, cut from a buffer that it shares with those before and after it.
    pub fn message(&mut self) -> Bytes {
        let mut buffer = std::mem::take(&mut self.buffer);
        if buffer.capacity() < MESSAGE_BYTES {
            buffer = BytesMut::with_capacity(BUFFER_BYTES);
        }
        self.append(&mut buffer);
        let message = buffer.split().freeze();
        self.buffer = buffer;
        message
    }

    /// The next message, behind what is in `buffer`.
    pub fn append(&mut self, buffer: &mut BytesMut) {
        let mut number = self.next;
        for digit in self.template[self.digits_at..][..DIGITS].iter_mut().rev() {
            *digit = b'0' + (number % 10) as u8;
            number /= 10;
        }
        self.next += 1;
        buffer.put_slice(&self.template);
    }
}

/// Compares what arrives with what the author wrote.
pub struct Checker {
    writer: Writer,
    expected: BytesMut,
    pub taken: u64,
}

impl Checker {
    pub fn new(author: Author) -> Self {
        let expected = BytesMut::with_capacity(MESSAGE_BYTES);
        Checker { writer: Writer::new(author), expected, taken: 0 }
    }

    /// Takes one message.
    ///
    /// # Panics
    /// If it is not the next one, byte for byte: no figure of such a run counts.
    pub fn check(&mut self, message: &[u8]) {
        self.expected.clear();
        self.writer.append(&mut self.expected);
        assert!(
            message == &self.expected[..],
            "message {} arrived as {:?}",
            self.taken,
            String::from_utf8_lossy(message)
        );
        self.taken += 1;
    }
}

fn template(author: Author) -> (Vec<u8>, usize) {
    let (from, to) = match author {
        Author::Alice => (ALICE, BOB),
        Author::Bob => (BOB, ALICE),
    };
    let digits = "0".repeat(DIGITS);
    let head = format!(
        r#"{{"id":"{digits}","type":"update","from":"{from}","to":"{to}","body":{{"value":""#
    );
    let tail = r#""}}"#;
    let filling = MESSAGE_BYTES - head.len() - tail.len();
    let words = "The quick brown fox jumps over the lazy dog. ";
    let text: String = words.chars().cycle().take(filling).collect();
    (format!("{head}{text}{tail}").into_bytes(), r#"{"id":""#.len())
}
