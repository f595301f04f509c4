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

    /// The kind that the content of a JSON string names. Nothing is allocated.
    pub(super) fn of_raw(raw: &str) -> Kind {
        if memchr::memchr(b'\\', raw.as_bytes()).is_none() {
            return Kind::of_text(raw);
        }
        let decoded = Unescaped::new(raw).map(|c| c.map(|c| c.to_ascii_lowercase()));
        Kind::find(|word| decoded.clone().eq(word.chars().map(Ok)))
    }

    /// The kind that a text without escapes names.
    pub(super) fn of_text(text: &str) -> Kind {
        Kind::find(|word| text.eq_ignore_ascii_case(word))
    }

    fn find(is: impl Fn(&str) -> bool) -> Kind {
        WORDS.iter().find(|(word, _)| is(word)).map_or(Kind::Other, |(_, kind)| *kind)
    }
}

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
