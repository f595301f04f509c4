//! What can still be read of a text that is no message, so that its sender can be told.

use super::cursor::{Cursor, Depth};
use super::envelope::Member;
use super::text::unescape;
use crate::limits::MESSAGE_DEPTH_MAX;

/// The `id`, as the JSON token it is, and the `from`, unescaped, of a text that is no message: what a 400
/// needs. O(length), on a constant stack.
///
/// `None` unless the text begins as a JSON object and has each of the two once and of a fitting type before
/// whatever breaks it. What that is does not matter: a missing `to`, another member given twice or of the
/// wrong type, rubbish in the body, a missing end, bytes behind it.
pub fn salvage(bytes: &[u8]) -> Option<(String, String)> {
    let text = match std::str::from_utf8(bytes) {
        Ok(text) => text,
        Err(error) => std::str::from_utf8(&bytes[..error.valid_up_to()]).ok()?,
    };
    let mut cursor = Cursor::new(text);
    cursor.enter_object().ok()?;
    let depth = Depth { outer: 1, max: MESSAGE_DEPTH_MAX };
    let (mut id, mut from, mut first) = (None, None, true);
    while let Ok(Some(name)) = cursor.next_member(first) {
        let (member, start) = (Member::named(&name), cursor.at());
        if cursor.skip_value(depth).is_err() {
            break;
        }
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
