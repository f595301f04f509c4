//! What can still be read of a text that is no message, so that its sender can be told.

use super::cursor::{Cursor, Depth};
use super::envelope::Member;
use super::text::unescape;
use crate::limits::MESSAGE_DEPTH_MAX;

/// The `id`, as the JSON token it is, and the `from`, unescaped, of a text that is no message: what a 400
/// needs. O(length), on a constant stack.
///
/// `None` unless the text is one JSON object at its top level and has each of the two once and of a
/// fitting type. What else is wrong with it does not matter: a missing `to`, another member given twice or
/// of the wrong type, rubbish in the body within brackets that match.
pub fn salvage(bytes: &[u8]) -> Option<(String, String)> {
    let text = std::str::from_utf8(bytes).ok()?;
    let mut cursor = Cursor::new(text);
    cursor.enter_object().ok()?;
    let depth = Depth { outer: 1, max: MESSAGE_DEPTH_MAX };
    let (mut id, mut from, mut first) = (None, None, true);
    while let Some(name) = cursor.next_member(first).ok()? {
        let (member, start) = (Member::named(&name), cursor.at());
        cursor.skip_value(depth).ok()?;
        let value = &text[start..cursor.at()];
        let twice = match member {
            Some(Member::Id) => id.replace(value).is_some(),
            Some(Member::From) => from.replace(value).is_some(),
            _ => false,
        };
        if twice {
            return None;
        }
        first = false;
    }
    cursor.end().ok()?;
    let from = string(from?)?;
    let id = id.filter(|id| is_id(id))?;
    Some((id.to_owned(), from))
}

/// True for a JSON number, or a JSON string whose escapes all have a meaning.
pub(super) fn is_id(token: &str) -> bool {
    let mut cursor = Cursor::new(token);
    let read = match cursor.peek() {
        Some(b'"') => cursor.string("a string").is_ok() && string(token).is_some(),
        _ => cursor.number().is_ok(),
    };
    read && cursor.at() == token.len()
}

fn string(value: &str) -> Option<String> {
    let raw = value.strip_prefix('"')?.strip_suffix('"')?;
    unescape(raw).ok().map(|text| text.into_owned())
}
