//! The whole grammar of RFC 8259, for those who want to know more of a message than that it can be routed.
//!
//! Says yes or no; builds nothing. Lone surrogate escapes are within the grammar.

use super::cursor::{Brackets, Cursor, Step};
use super::error::ParseErrorKind;
use super::text::LoneSurrogates;
use crate::limits::MESSAGE_DEPTH_MAX;

/// Checks that `text` is one JSON object and nothing else. O(length), on a constant stack.
pub(super) fn validate(text: &str) -> Step<()> {
    let mut cursor = Cursor::new(text);
    let mut open = Brackets::default();
    cursor.enter_object()?;
    open.push(b'{');
    let mut first = true;
    while open.len() > 0 {
        first = if step_to_value(&mut cursor, &open, first)? {
            value(&mut cursor, &mut open)?
        } else {
            let bracket = if open.in_object() { b'}' } else { b']' };
            open.pop(bracket);
            false
        };
    }
    cursor.end()
}

/// To the next value of the innermost object or array; false behind its end.
fn step_to_value(cursor: &mut Cursor<'_>, open: &Brackets, first: bool) -> Step<bool> {
    if !open.in_object() {
        return cursor.next_element(first);
    }
    match cursor.next_member(first)? {
        Some(name) => name.check_escapes(LoneSurrogates::Allow).map(|()| true),
        None => Ok(false),
    }
}

/// Over a scalar, or into an object or array; true if into one.
fn value(cursor: &mut Cursor<'_>, open: &mut Brackets) -> Step<bool> {
    match cursor.peek() {
        Some(bracket @ (b'{' | b'[')) => {
            if open.len() == MESSAGE_DEPTH_MAX {
                return cursor.fail(ParseErrorKind::TooDeep { depth_max: MESSAGE_DEPTH_MAX });
            }
            open.push(bracket);
            cursor.take(bracket);
            Ok(true)
        }
        Some(b'"') => {
            cursor.string("a string")?.check_escapes(LoneSurrogates::Allow).map(|()| false)
        }
        _ => cursor.scalar().map(|()| false),
    }
}
