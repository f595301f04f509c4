//! The specification of the envelope as a program: a byte-at-a-time scanner with neither tricks nor speed.
//!
//! It first cuts the text into tokens and then walks over them, so it shares no way of working with the
//! scan that it judges. It says yes or no and what the routing members are, not where an error stands.

use std::collections::BTreeMap;

/// The routing members of a message: raw text by name. `None` if the bytes are no message.
pub(crate) fn naive_envelope(
    bytes: &[u8],
    bytes_max: usize,
    depth_max: usize,
) -> Option<BTreeMap<&'static str, String>> {
    let text = std::str::from_utf8(bytes).ok()?;
    if bytes.len() - hop_len(text) > bytes_max {
        return None;
    }
    let tokens = tokens(text)?;
    if !balanced(&tokens, depth_max) {
        return None;
    }
    let members = members(text, &tokens)?;
    ["type", "from", "to"].iter().all(|name| members.contains_key(name)).then_some(members)
}

/// What a string means, its quotes given too. `Err(true)` if all that is wrong is a lone surrogate.
pub(crate) fn naive_unescape(quoted: &str) -> Result<String, bool> {
    let units = utf16_units(quoted).ok_or(false)?;
    String::from_utf16(&units).map_err(|_| true)
}

#[derive(Clone, Copy, PartialEq, Debug)]
enum Token {
    /// A bracket, colon or comma.
    Mark(char),
    String,
    /// A run of anything else but white space.
    Other,
}

type Placed = (Token, usize, usize);

fn tokens(text: &str) -> Option<Vec<Placed>> {
    let bytes = text.as_bytes();
    let (mut tokens, mut at) = (Vec::new(), 0);
    while at < bytes.len() {
        let start = at;
        at += 1;
        match bytes[start] {
            b' ' | b'\t' | b'\n' | b'\r' => {}
            mark @ (b'{' | b'}' | b'[' | b']' | b':' | b',') => {
                tokens.push((Token::Mark(mark as char), start, at));
            }
            b'"' => {
                while *bytes.get(at)? != b'"' {
                    if bytes[at] == b'\\' {
                        at += 1;
                    }
                    if *bytes.get(at)? < 0x20 {
                        return None;
                    }
                    at += 1;
                }
                at += 1;
                tokens.push((Token::String, start, at));
            }
            _ => {
                while at < bytes.len() && !b" \t\n\r{}[]:,\"".contains(&bytes[at]) {
                    at += 1;
                }
                tokens.push((Token::Other, start, at));
            }
        }
    }
    Some(tokens)
}

/// One value in brackets that match, from the first token to the last, no deeper than `depth_max`.
fn balanced(tokens: &[Placed], depth_max: usize) -> bool {
    let mut open = Vec::new();
    for (i, (token, ..)) in tokens.iter().enumerate() {
        match token {
            Token::Mark(bracket @ ('{' | '[')) => open.push(*bracket),
            Token::Mark('}') if open.pop() != Some('{') => return false,
            Token::Mark(']') if open.pop() != Some('[') => return false,
            _ => {}
        }
        if open.len() > depth_max || open.is_empty() != (i + 1 == tokens.len()) {
            return false;
        }
    }
    tokens.first().is_some_and(|(token, ..)| *token == Token::Mark('{'))
}

fn members(text: &str, tokens: &[Placed]) -> Option<BTreeMap<&'static str, String>> {
    let mut found = BTreeMap::new();
    let mut rest = &tokens[1..tokens.len() - 1];
    while !rest.is_empty() {
        let (Token::String, start, end) = rest[0] else { return None };
        let name = naive_unescape(&text[start..end]).ok()?;
        if rest.get(1)?.0 != Token::Mark(':') {
            return None;
        }
        let value_len = value_len(&rest[2..])?;
        let value = &rest[2..2 + value_len];
        if let Some(name) = routing_name(&name) {
            let raw = &text[value[0].1..value[value_len - 1].2];
            if !is_of_type(name, text, value) || found.insert(name, raw.to_owned()).is_some() {
                return None;
            }
        } else if !is_plain_value(text, value) {
            return None;
        }
        rest = &rest[2 + value_len..];
        if let Some((comma, ..)) = rest.first() {
            if *comma != Token::Mark(',') || rest.len() == 1 {
                return None;
            }
            rest = &rest[1..];
        }
    }
    Some(found)
}

fn routing_name(name: &str) -> Option<&'static str> {
    ["id", "type", "from", "to", "body", "hop"].into_iter().find(|known| *known == name)
}

/// Tokens of the value that starts here.
fn value_len(tokens: &[Placed]) -> Option<usize> {
    match tokens.first()?.0 {
        Token::Mark('{' | '[') => {}
        Token::Mark(_) => return None,
        _ => return Some(1),
    }
    let mut depth = 0;
    for (i, (token, ..)) in tokens.iter().enumerate() {
        match token {
            Token::Mark('{' | '[') => depth += 1,
            Token::Mark('}' | ']') => depth -= 1,
            _ => {}
        }
        if depth == 0 {
            return Some(i + 1);
        }
    }
    None
}

fn is_of_type(name: &str, text: &str, value: &[Placed]) -> bool {
    let is_string = |(token, start, end): &Placed| {
        *token == Token::String && naive_unescape(&text[*start..*end]).is_ok()
    };
    let (first, start, end) = value[0];
    match name {
        "id" if first == Token::Other => is_number(&text[start..end]),
        "id" | "type" | "from" => is_string(&value[0]),
        "to" if first == Token::Mark('[') => {
            let inner = &value[1..value.len() - 1];
            inner.is_empty()
                || inner.len() % 2 == 1
                    && inner.iter().step_by(2).all(is_string)
                    && inner.iter().skip(1).step_by(2).all(|(t, ..)| *t == Token::Mark(','))
        }
        "to" => is_string(&value[0]),
        "body" => first == Token::Mark('{'),
        // Unlike in a body, every string of it has to be readable.
        "hop" => {
            let strings = value.iter().filter(|(token, ..)| *token == Token::String);
            first == Token::Mark('[') && strings.clone().all(is_string)
        }
        _ => false,
    }
}

/// A value of a member that routing does not know: what lies in brackets is not looked at.
fn is_plain_value(text: &str, value: &[Placed]) -> bool {
    let (first, start, end) = value[0];
    let raw = &text[start..end];
    match first {
        Token::Mark(_) => true,
        Token::String => naive_unescape(raw) != Err(false),
        Token::Other => ["true", "false", "null"].contains(&raw) || is_number(raw),
    }
}

fn is_number(raw: &str) -> bool {
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    let (mantissa, exponent) = match raw.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, Some(exponent)),
        None => (raw, None),
    };
    let (integer, fraction) = match mantissa.split_once('.') {
        Some((integer, fraction)) => (integer, Some(fraction)),
        None => (mantissa, None),
    };
    let integer = integer.strip_prefix('-').unwrap_or(integer);
    digits(integer)
        && (integer == "0" || !integer.starts_with('0'))
        && fraction.is_none_or(digits)
        && exponent.is_none_or(|e| digits(e.strip_prefix(['+', '-']).unwrap_or(e)))
}

/// A string as UTF-16, where a surrogate may stand alone; `None` for an escape that is none.
fn utf16_units(quoted: &str) -> Option<Vec<u16>> {
    let mut chars = quoted[1..quoted.len() - 1].chars();
    let mut units = Vec::new();
    while let Some(char) = chars.next() {
        if char != '\\' {
            units.extend(char.encode_utf16(&mut [0; 2]).iter());
            continue;
        }
        units.push(match chars.next()? {
            char @ ('"' | '\\' | '/') => char as u16,
            'b' => 8,
            't' => 9,
            'n' => 10,
            'f' => 12,
            'r' => 13,
            'u' => {
                let digits: String = chars.by_ref().take(4).collect();
                let hex = digits.len() == 4 && digits.bytes().all(|b| b.is_ascii_hexdigit());
                hex.then(|| u16::from_str_radix(&digits, 16).unwrap())?
            }
            _ => return None,
        });
    }
    Some(units)
}

/// Bytes that taking the hop off would save.
fn hop_len(text: &str) -> usize {
    let saved = || {
        let rest = text.strip_prefix("{\"hop\":[\"")?;
        let (stream, rest) = rest.split_once("\",")?;
        let (number, rest) = rest.split_once("],")?;
        let lower = |b: u8| b.is_ascii_digit() || (b'a'..=b'f').contains(&b);
        let fine = stream.len() == 32
            && stream.bytes().all(lower)
            && number.bytes().all(|b| b.is_ascii_digit())
            && !number.starts_with('0')
            && number.parse::<u64>().is_ok();
        fine.then_some(text.len() - rest.len() - 1)
    };
    saved().unwrap_or(0)
}
