//! Members of a body, read on demand from its text without a tree, and the tree for those who want one.
//!
//! A member given twice means its last, as `JSON.parse` has it; both ways of reading agree on that.

use std::borrow::Cow;
use std::collections::HashSet;

use simd_json::OwnedValue;

use super::cursor::{Cursor, Depth, Quoted};
use super::scan::nested_end;
use super::text::unescape;

/// The raw text of what `path` leads to within the JSON object `text`, from member to member; the whole
/// text for an empty path. `None` if something on the way is missing, no object, or no JSON.
///
/// O(length of `text`) for each step of the path, on a constant stack, nothing allocated.
pub(super) fn member<'a>(text: &'a str, path: &[&str]) -> Option<&'a str> {
    path.iter().try_fold(text, |object, name| find(object, name))
}

/// A raw JSON value as an unescaped string; `None` if it is no string or has an escape without a meaning.
pub(super) fn string(raw: &str) -> Option<Cow<'_, str>> {
    unescape(raw.strip_prefix('"')?.strip_suffix('"')?).ok()
}

/// `text` parsed into a tree with simd-json, which takes a copy of it. `None` if it is no JSON, or holds what
/// simd-json refuses: numbers beyond `f64` and 64 bits, lone surrogates.
pub(super) fn value(text: &str) -> Option<OwnedValue> {
    let mut value = simd_json::to_owned_value(&mut text.as_bytes().to_vec()).ok()?;
    keep_last_members(&mut value);
    Some(value)
}

fn find<'a>(object: &'a str, name: &str) -> Option<&'a str> {
    let mut cursor = Cursor::new(object);
    cursor.enter_object().ok()?;
    let (mut found, mut first) = (None, true);
    while let Some(here) = cursor.next_member(first).ok()? {
        let start = cursor.at();
        skip_value(&mut cursor, object)?;
        if is_named(&here, name) {
            found = Some(&object[start..cursor.at()]);
        }
        first = false;
    }
    found
}

/// What nests is stepped over in blocks if there may be much of it.
fn skip_value(cursor: &mut Cursor<'_>, object: &str) -> Option<()> {
    let nests = matches!(cursor.peek(), Some(b'{' | b'['));
    if nests
        && object.len() - cursor.at() >= BLOCKWISE_BYTES_MIN
        && let Some(end) = nested_end(object.as_bytes(), cursor.at())
    {
        cursor.jump(end);
        return Some(());
    }
    cursor.skip_value(Depth::SCANNED).ok()
}

/// Bytes that remain of an object where stepping over a value in blocks begins to pay: as many as are read at
/// first.
const BLOCKWISE_BYTES_MIN: usize = 256;

fn is_named(name: &Quoted<'_>, wanted: &str) -> bool {
    if name.escaped { unescape(name.raw).is_ok_and(|n| n == wanted) } else { name.raw == wanted }
}

/// simd-json keeps every one of several members with the same name in a small object, and finds the first.
/// Recurses; the depth of a scanned body is bounded.
fn keep_last_members(value: &mut OwnedValue) {
    match value {
        OwnedValue::Array(elements) => elements.iter_mut().for_each(keep_last_members),
        OwnedValue::Object(members) => {
            let mut names = HashSet::new();
            if !members.keys().all(|name| names.insert(name.as_str())) {
                let all = std::mem::take(&mut **members);
                for (name, value) in all {
                    members.insert(name, value);
                }
            }
            members.values_mut().for_each(keep_last_members);
        }
        _ => {}
    }
}
