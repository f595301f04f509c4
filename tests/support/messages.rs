//! Messages for property tests: well formed ones of every shape, and ways to spoil them.
//!
//! The strings are written here, escape by escape, so that what they mean is known without a parser.

use proptest::prelude::*;

/// A message and what its routing members mean.
#[derive(Clone, Debug)]
pub(crate) struct Written {
    pub(crate) text: String,
    pub(crate) from: String,
    pub(crate) to: Vec<String>,
}

/// Messages with members in any order, any white space and any spelling of their strings.
pub(crate) fn message() -> impl Strategy<Value = Written> {
    let head = (spelled("type"), string(), prop::collection::vec(string(), 0..3), any::<bool>());
    let tail = (id(), body(), prop::collection::vec(other_member(), 0..3));
    let (from, to_name) = ((spelled("from"), string()), spelled("to"));
    let hop = prop::option::weighted(0.2, (any::<u128>(), 1..u64::MAX));
    (head, tail, from, to_name, space(), any::<u64>(), hop).prop_map(
        |(head, tail, (from_name, from), to_name, space, seed, hop)| {
            let ((type_name, kind, to, one), (id, body, others)) = (head, tail);
            let meanings: Vec<String> = to.iter().map(|s| s.1.clone()).collect();
            let urls: Vec<String> = to.iter().map(|s| s.0.clone()).collect();
            let one = one && urls.len() == 1;
            let to = if one { urls[0].clone() } else { format!("[{}]", urls.join(",")) };
            let mut members = vec![
                format!("{type_name}{space}:{}", kind.0),
                format!("{from_name}:{space}{}", from.0),
                format!("{to_name}:{to}{space}"),
            ];
            members.extend(id.into_iter().chain(body).chain(others));
            shuffle(&mut members, seed);
            let opening = match hop {
                Some((stream, number)) => format!("{{\"hop\":[\"{stream:032x}\",{number}],"),
                None => format!("{space}{{"),
            };
            let members = members.join(&format!(",{space}"));
            let text = format!("{opening}{space}{members}}}{space}");
            Written { text, from: from.1, to: meanings }
        },
    )
}

/// One way to spoil a text; positions are taken modulo its length.
#[derive(Clone, Debug)]
pub(crate) enum Mutation {
    Replace(usize, u8),
    Insert(usize, Vec<u8>),
    Remove(usize, usize),
    Truncate(usize),
    Repeat(usize, usize),
}

pub(crate) fn mutation() -> impl Strategy<Value = Mutation> {
    let byte = prop_oneof![4 => prop::sample::select(MARKS.to_vec()), 1 => any::<u8>()];
    let piece = prop::sample::select(PIECES.to_vec()).prop_map(|piece| piece.as_bytes().to_vec());
    prop_oneof![
        3 => (any::<usize>(), byte).prop_map(|(at, byte)| Mutation::Replace(at, byte)),
        3 => (any::<usize>(), piece).prop_map(|(at, piece)| Mutation::Insert(at, piece)),
        2 => (any::<usize>(), 1_usize..4).prop_map(|(at, len)| Mutation::Remove(at, len)),
        1 => any::<usize>().prop_map(Mutation::Truncate),
        2 => (any::<usize>(), 1_usize..40).prop_map(|(at, len)| Mutation::Repeat(at, len)),
    ]
}

impl Mutation {
    pub(crate) fn apply(&self, bytes: &mut Vec<u8>) {
        let len = bytes.len().max(1);
        let end = |at: usize, count: usize| (at % len + count).min(bytes.len());
        match self {
            Mutation::Replace(at, byte) => {
                bytes.iter_mut().skip(at % len).take(1).for_each(|b| *b = *byte)
            }
            Mutation::Insert(at, piece) => {
                let at = end(*at, 0);
                bytes.splice(at..at, piece.iter().copied());
            }
            Mutation::Remove(at, count) => {
                let end = end(*at, *count);
                bytes.drain((at % len).min(end)..end);
            }
            Mutation::Truncate(at) => bytes.truncate(at % len),
            Mutation::Repeat(at, count) => {
                let end = end(*at, *count);
                let piece = bytes[(at % len).min(end)..end].to_vec();
                bytes.splice(end..end, piece);
            }
        }
    }
}

/// Objects of nested brackets, deep or many, with strings between; sometimes one byte that counts is another.
pub(crate) fn brackets() -> impl Strategy<Value = String> {
    let fillings = [
        "",
        "",
        ",",
        "\"}]{[\"",
        "\"\\\"\"",
        "\"\\\\\"",
        "\"é{\"",
        " \n",
        "\"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\"",
    ];
    let step = (0..5_u8, prop::sample::select(fillings.to_vec()), any::<bool>());
    (prop::collection::vec(step, 0..700), 1..130_usize, prop::option::weighted(0.3, any::<u16>()))
        .prop_map(|(steps, depth_max, wrong)| {
            let (mut text, mut open) = ("{".to_owned(), vec!['}']);
            for (choice, filling, curly) in steps {
                text.push_str(filling);
                if choice < 3 && open.len() < depth_max {
                    text.push(if curly { '{' } else { '[' });
                    open.push(if curly { '}' } else { ']' });
                } else if open.len() > 1 {
                    text.extend(open.pop());
                }
            }
            text.extend(open.into_iter().rev());
            let places: Vec<_> = text
                .char_indices()
                .filter(|(_, c)| "{}[]\"".contains(*c))
                .map(|(at, _)| at)
                .collect();
            if let Some(wrong) = wrong {
                let at = places[wrong as usize % places.len()];
                text.replace_range(at..=at, ["{", "}", "[", "]", "", "\\"][wrong as usize % 6]);
            }
            text
        })
}

/// Texts put together out of what messages are made of.
pub(crate) fn rubbish() -> impl Strategy<Value = Vec<u8>> {
    let piece = prop::sample::select(PIECES.to_vec());
    prop::collection::vec(piece, 0..24)
        .prop_map(|pieces| format!("{{{}", pieces.concat()).into_bytes())
}

const MARKS: &[u8] = b"{}[]:,\"\\ \x00\x1f\x7f\xc3\xa9u0dt";

const PIECES: &[&str] = &[
    "{",
    "}",
    "[",
    "]",
    ":",
    ",",
    "\"",
    "\\",
    " ",
    "\n",
    "\"to\":",
    "\"t\\u006f\":",
    "\"from\":\"a://b\",",
    "\"type\":\"Read\",",
    "\"to\":\"c://d\",",
    "\"to\":[\"e://f\",\"\"],",
    "\"body\":{},",
    "\"id\":7,",
    "\"body\":{\"a\":[1,{}]}",
    "\"hop\":[],",
    "\"hop\":[\"00112233445566778899aabbccddeeff\",5],",
    "\"x\":null,",
    "\"x\":1",
    "\"\\ud83d\\ude00\"",
    "\\ud83d",
    "\\udc00",
    "\\q",
    "\\\"",
    "0",
    "-",
    "1e5",
    "true",
    "null",
    "\u{1}",
    "é",
    "\u{feff}",
    "}}",
    "\"a\"",
];

/// A JSON string and what it means.
fn string() -> impl Strategy<Value = (String, String)> {
    let char = prop_oneof![
        8 => prop::char::range('a', 'e'),
        2 => prop::sample::select(vec!['"', '\\', '/', ':', '{', '}', '[', ']', ',']),
        1 => prop::sample::select(vec!['\n', '\t', '\u{1f}', '\u{7f}', 'é', '€', '\u{1F600}']),
    ];
    let spelling = prop_oneof![6 => Just(0_u8), 1 => Just(1), 1 => Just(2)];
    prop::collection::vec((char, spelling), 0..24).prop_map(|chars| {
        let written: String = chars.iter().map(|(char, how)| spell(*char, *how)).collect();
        (format!("\"{written}\""), chars.iter().map(|(char, _)| char).collect())
    })
}

/// A name with some of its letters escaped.
fn spelled(name: &'static str) -> impl Strategy<Value = String> {
    let how = prop_oneof![9 => Just(0_u8), 1 => Just(1)];
    prop::collection::vec(how, name.len()).prop_map(move |hows| {
        let written: String = name.chars().zip(hows).map(|(char, how)| spell(char, how)).collect();
        format!("\"{written}\"")
    })
}

/// 0: as it is if it may be, 1: by number, 2: by its short escape if it has one.
fn spell(char: char, how: u8) -> String {
    match (char, how) {
        ('"' | '\\' | '/', 2) | ('"' | '\\', 0) => format!("\\{char}"),
        ('\n', 2) => "\\n".to_owned(),
        ('\t', 2) => "\\t".to_owned(),
        (char, how) if how == 1 || char < ' ' => {
            char.encode_utf16(&mut [0; 2]).iter().map(|unit| format!("\\u{unit:04x}")).collect()
        }
        (char, _) => char.to_string(),
    }
}

fn id() -> impl Strategy<Value = Option<String>> {
    let number = "-?(0|[1-9][0-9]{0,3})(\\.[0-9]{1,2})?([eE][+-]?[0-9])?";
    let token = prop_oneof![number, string().prop_map(|s| s.0)];
    prop::option::of(token.prop_map(|token| format!("\"id\":{token}")))
}

fn body() -> impl Strategy<Value = Option<String>> {
    prop::option::of(object(value()).prop_map(|object| format!("\"body\":{object}")))
}

fn other_member() -> impl Strategy<Value = String> {
    ("\"[A-Zx]{0,3}\"", value()).prop_map(|(name, value)| format!("{name} : {value}"))
}

fn value() -> impl Strategy<Value = String> {
    let scalar = prop_oneof![
        prop::sample::select(vec!["true", "false", "null", "0", "-1.5e3"]).prop_map(str::to_owned),
        string().prop_map(|s| s.0),
    ];
    scalar.prop_recursive(4, 24, 4, |inner| {
        let list =
            prop::collection::vec(inner.clone(), 0..4).prop_map(|v| format!("[{}]", v.join(" ,")));
        prop_oneof![list, object(inner)]
    })
}

fn object(value: impl Strategy<Value = String>) -> impl Strategy<Value = String> {
    let member = (string(), value).prop_map(|(name, value)| format!("{}:{value}", name.0));
    prop::collection::vec(member, 0..4).prop_map(|members| format!("{{{}}}", members.join(", ")))
}

fn space() -> impl Strategy<Value = String> {
    prop_oneof![3 => Just(String::new()), 1 => "[ \t\r\n]{1,3}"]
}

/// Any order, by a number.
fn shuffle(members: &mut [String], mut seed: u64) {
    for i in (1..members.len()).rev() {
        members.swap(i, (seed % (i as u64 + 1)) as usize);
        seed /= i as u64 + 1;
    }
}
