//! What kind of message: `type`, read in any ASCII case, and nothing about what a kind leads to.

use super::text::Unescaped;

/// `type` of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Kind {
    /// `create`
    Create,
    /// `read`
    Read,
    /// `update`
    Update,
    /// `delete`
    Delete,
    /// `subscribe`
    Subscribe,
    /// `unsubscribe`
    Unsubscribe,
    /// `execute`
    Execute,
    /// `response`
    Response,
    /// `forward`, `open`, `close`, … : whatever else
    Other,
}

impl Kind {
    /// The word for it, lower case; `None` for [`Kind::Other`].
    pub fn word(self) -> Option<&'static str> {
        WORDS.iter().find(|(_, kind)| *kind == self).map(|(word, _)| *word)
    }

    /// True for the kinds that ask for a response, and so draw one if they fail. Updates and responses never
    /// do.
    pub fn is_request(self) -> bool {
        matches!(
            self,
            Kind::Create
                | Kind::Read
                | Kind::Delete
                | Kind::Subscribe
                | Kind::Unsubscribe
                | Kind::Execute
        )
    }

    /// The kind that the content of a JSON string names. Nothing is allocated.
    pub(super) fn of_raw(raw: &str) -> Kind {
        if memchr::memchr(b'\\', raw.as_bytes()).is_none() {
            return Kind::of_text(raw);
        }
        let decoded = Unescaped::new(raw).map(|c| c.map(|c| c.to_ascii_lowercase()));
        let is = |word: &str| decoded.clone().eq(word.chars().map(Ok));
        WORDS.iter().find(|(word, _)| is(word)).map_or(Kind::Other, |(_, kind)| *kind)
    }

    /// The kind that a text without escapes names.
    pub(super) fn of_text(text: &str) -> Kind {
        Kind::of_bytes(text.as_bytes())
    }

    /// The kind that the bytes of a text without escapes name.
    #[inline(always)]
    pub(super) fn of_bytes(text: &[u8]) -> Kind {
        // Length and the two ends leave one word to compare with.
        let candidate = match (text.len(), ends(text)) {
            (4, READ) => return Kind::Read,
            (6, CREATE) => return Kind::Create,
            (6, DELETE) => return Kind::Delete,
            (6, UPDATE) => return Kind::Update,
            (7, EXECUTE) => return Kind::Execute,
            (8, RESPONSE) => return Kind::Response,
            (9, _) => ("subscribe", Kind::Subscribe),
            (11, _) => ("unsubscribe", Kind::Unsubscribe),
            _ => return Kind::Other,
        };
        if text.eq_ignore_ascii_case(candidate.0.as_bytes()) { candidate.1 } else { Kind::Other }
    }
}

/// The first four bytes and the last four, which overlap in a short text, letters in lower case: all there is
/// of up to eight. 0 for less than four.
#[inline]
const fn ends(text: &[u8]) -> u64 {
    let (Some(first), Some(last)) = (text.first_chunk::<4>(), text.last_chunk::<4>()) else {
        return 0;
    };
    let ends = (u32::from_le_bytes(*first) as u64) << 32 | u32::from_le_bytes(*last) as u64;
    // Nothing but a letter becomes a letter by this.
    ends | 0x2020_2020_2020_2020
}

const READ: u64 = ends(b"read");
const CREATE: u64 = ends(b"create");
const DELETE: u64 = ends(b"delete");
const UPDATE: u64 = ends(b"update");
const EXECUTE: u64 = ends(b"execute");
const RESPONSE: u64 = ends(b"response");

const WORDS: [(&str, Kind); 8] = [
    ("create", Kind::Create),
    ("read", Kind::Read),
    ("update", Kind::Update),
    ("delete", Kind::Delete),
    ("subscribe", Kind::Subscribe),
    ("unsubscribe", Kind::Unsubscribe),
    ("execute", Kind::Execute),
    ("response", Kind::Response),
];
