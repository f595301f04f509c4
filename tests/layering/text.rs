//! Rust source as tokens, without comments and literals. Not a compiler's lexer: numbers and
//! operators come out in pieces, which the laws do not mind.

/// One identifier (`r#` taken off), `::`, or other single character, and its line from 1.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Token<'a> {
    pub(crate) text: &'a str,
    pub(crate) line: usize,
}

impl Token<'_> {
    pub(crate) fn is_ident(&self) -> bool {
        self.text.starts_with(|c: char| c == '_' || c.is_alphabetic())
    }
}

/// `source` with every comment and literal turned into spaces; lines stay where they are.
pub(crate) fn strip(source: &str) -> String {
    let mut out = String::with_capacity(source.len());
    let mut rest = source;
    while let Some(first) = rest.chars().next() {
        let (length, kept) = piece(rest, first);
        if kept {
            out.push_str(&rest[..length]);
        } else {
            out.extend(rest[..length].chars().map(|c| if c == '\n' { '\n' } else { ' ' }));
        }
        rest = &rest[length..];
    }
    out
}

/// The tokens of a stripped source.
pub(crate) fn tokens(stripped: &str) -> Vec<Token<'_>> {
    let mut tokens = Vec::new();
    let (mut rest, mut line) = (stripped, 1);
    while let Some(first) = rest.chars().next() {
        let length = if is_word(first) {
            word_length(rest)
        } else if rest.starts_with("::") {
            2
        } else {
            first.len_utf8()
        };
        if first == '\n' {
            line += 1;
        } else if !first.is_whitespace() {
            tokens.push(Token { text: &rest[..length], line });
        }
        rest = &rest[length..];
    }
    join_raw(&mut tokens);
    tokens
}

/// The index after the group that opens at `open`, which is a `{`, `(` or `[`.
pub(crate) fn group_end(tokens: &[Token<'_>], open: usize) -> usize {
    let mut depth = 0_usize;
    for (index, token) in tokens.iter().enumerate().skip(open) {
        match token.text {
            "{" | "(" | "[" => depth += 1,
            "}" | ")" | "]" => depth = depth.saturating_sub(1),
            _ => {}
        }
        if depth == 0 {
            return index + 1;
        }
    }
    tokens.len()
}

/// The length of the piece that `rest` starts with, and whether it is code.
fn piece(rest: &str, first: char) -> (usize, bool) {
    match first {
        '/' if rest.starts_with("//") => (rest.find('\n').unwrap_or(rest.len()), false),
        '/' if rest.starts_with("/*") => (block_comment_length(rest), false),
        '"' => (quoted_length(rest, '"'), false),
        '\'' => match char_literal_length(rest) {
            Some(length) => (length, false),
            None => (1, true),
        },
        c if is_word(c) => {
            let word = word_length(rest);
            match raw_string_length(&rest[..word], &rest[word..]) {
                Some(length) => (word + length, false),
                None => (word, true),
            }
        }
        c => (c.len_utf8(), true),
    }
}

fn is_word(c: char) -> bool {
    c == '_' || c.is_alphanumeric()
}

fn word_length(rest: &str) -> usize {
    rest.find(|c| !is_word(c)).unwrap_or(rest.len())
}

/// Block comments nest.
fn block_comment_length(rest: &str) -> usize {
    let (mut depth, mut at) = (0_usize, 0);
    while at < rest.len() {
        let tail = &rest.as_bytes()[at..];
        if tail.starts_with(b"/*") {
            depth += 1;
            at += 2;
        } else if tail.starts_with(b"*/") {
            depth -= 1;
            at += 2;
            if depth == 0 {
                return at;
            }
        } else {
            at += 1;
        }
    }
    rest.len()
}

fn quoted_length(rest: &str, quote: char) -> usize {
    let mut escaped = false;
    for (at, c) in rest.char_indices().skip(1) {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            c if c == quote => return at + c.len_utf8(),
            _ => {}
        }
    }
    rest.len()
}

/// A character literal, or `None` where the `'` begins a lifetime or a label.
fn char_literal_length(rest: &str) -> Option<usize> {
    let mut chars = rest.char_indices().skip(1);
    let (_, content) = chars.next()?;
    if content == '\\' {
        return Some(quoted_length(rest, '\''));
    }
    let (at, end) = chars.next()?;
    (end == '\'').then_some(at + 1)
}

/// The length of what follows the prefix `word` if both make a raw string.
fn raw_string_length(word: &str, after: &str) -> Option<usize> {
    if !["r", "br", "cr"].contains(&word) {
        return None;
    }
    let hashes = after.len() - after.trim_start_matches('#').len();
    let body = after[hashes..].strip_prefix('"')?;
    let end = format!("\"{}", "#".repeat(hashes));
    let length = body.find(&end).map_or(body.len(), |at| at + end.len());
    Some(hashes + 1 + length)
}

/// `r#name` is `name`.
fn join_raw(tokens: &mut Vec<Token<'_>>) {
    let mut at = 0;
    while at + 2 < tokens.len() {
        if tokens[at].text == "r" && tokens[at + 1].text == "#" && tokens[at + 2].is_ident() {
            tokens.drain(at..at + 2);
        }
        at += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(source: &str) -> Vec<String> {
        tokens(&strip(source)).iter().map(|token| token.text.to_owned()).collect()
    }

    #[test]
    fn comments_and_literals_vanish_and_code_stays() {
        for (source, wanted) in [
            ("a // b\nc", "a c"),
            ("a /* b /* c */ d */ e", "a e"),
            ("a \"b \\\" c\" d", "a d"),
            ("a r\"b\\\" c", "a c"),
            ("a r#\"b \" c\"# d", "a d"),
            ("a br##\"b \"# c\"## d", "a d"),
            ("f('\"') + g", "f ( ) + g"),
            ("'\\'' a '\\u{e9}' b 'é' c", "a b c"),
            ("&'a str; 'b: loop", "& ' a str ; ' b : loop"),
            ("r#type::r#x", "type :: x"),
            ("\"https://x\" a", "a"),
            ("/* a \" */ b /* \" */ c", "b c"),
        ] {
            assert_eq!(words(source).join(" "), wanted, "{source}");
        }
    }

    #[test]
    fn lines_are_kept() {
        let stripped = strip("/* a\nb */ \"c\nd\" e\nf");
        let lines: Vec<_> = tokens(&stripped).iter().map(|t| (t.text, t.line)).collect();
        assert_eq!(lines, [("e", 3), ("f", 4)]);
    }
}
