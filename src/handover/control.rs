//! The words that two peers exchange about their streams, as JSON objects. It knows their form, not their
//! meaning; the laws stand in the module above.

use std::fmt;

use simd_json::{
    BorrowedValue,
    prelude::{ValueAsArray, ValueAsScalar, ValueObjectAccess, Writable},
};
use smallvec::SmallVec;

use crate::limits::{HANDOVER_NUMBER_MAX, HANDOVER_RANGES_MAX};

/// Ranges of numbers, each by its first and its last.
pub(super) type Ranges = SmallVec<[(u64, u64); 2]>;

/// One control object. Streams and incarnations are 32 hexadecimal digits on the wire.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Control {
    /// Who I am, and whom I speak to; `challenge` is to be echoed as `answer` by who lives.
    Hello { incarnation: u128, known: Option<u128>, challenge: Option<u128>, answer: Option<u128> },
    /// Here is a stream for you.
    Handover { stream: u128, window: u64, incarnation: u128, known: Option<u128>, round: u64 },
    /// The numbers that follow on this link are of this stream.
    Stream { stream: u128 },
    /// Answer with `marked`; everything up to `upto` has been sent.
    Marker { stream: u128, mark: u64, upto: u64 },
    /// The answer to a marker.
    Marked { stream: u128, mark: u64 },
    /// Everything up to `number` is done with; what lies from `base` on, the listener took.
    Ack { stream: u128, number: u64, base: u64 },
    /// I have everything up to `number`, and nothing from there to `next` (0: to the end), nor what lies in
    /// `gaps` (first and last, ascending).
    Have { stream: u128, number: u64, next: u64, gaps: Ranges },
    /// What lies below `number` is given up; what became of it from `from` on?
    Base { stream: u128, from: u64, number: u64 },
    /// From `from` to before `number` the listener took all but what lies in `lost` (first and last,
    /// ascending), which it will never get.
    Fenced { stream: u128, from: u64, number: u64, lost: Ranges },
    /// I know no such stream.
    Unknown { stream: u128 },
    /// I, the sender, ended this stream.
    Ended { stream: u128, idle: bool },
    /// No such address lives here.
    NotHere { resource: String },
}

impl Control {
    /// Reads one object. Unknown members are passed over.
    pub(super) fn read(text: &str) -> Result<Control, ControlError> {
        if let Some(ack) = read_ack(text) {
            return Ok(ack);
        }
        let mut bytes = text.as_bytes().to_vec();
        let value = simd_json::to_borrowed_value(&mut bytes).map_err(|_| ControlError::NotJson)?;
        let members = Members(&value);
        let stream = || members.id("stream");
        Ok(match members.text("control")? {
            "hello" => Control::Hello {
                incarnation: members.id("incarnation")?,
                known: members.maybe_id("known")?,
                challenge: members.maybe_id("challenge")?,
                answer: members.maybe_id("answer")?,
            },
            "handover" => Control::Handover {
                stream: stream()?,
                window: members.number("window")?,
                incarnation: members.id("incarnation")?,
                known: members.maybe_id("known")?,
                round: members.number("round")?,
            },
            "stream" => Control::Stream { stream: stream()? },
            "marker" => Control::Marker {
                stream: stream()?,
                mark: members.number("mark")?,
                upto: members.number("upto")?,
            },
            "marked" => Control::Marked { stream: stream()?, mark: members.number("mark")? },
            "ack" => Control::Ack {
                stream: stream()?,
                number: members.number("number")?,
                base: members.maybe_number("base")?,
            },
            "have" => Control::Have {
                stream: stream()?,
                number: members.number("number")?,
                next: members.number("next")?,
                gaps: members.ranges("gaps")?,
            },
            "base" => Control::Base {
                stream: stream()?,
                from: members.number("from")?,
                number: members.number("number")?,
            },
            "fenced" => Control::Fenced {
                stream: stream()?,
                from: members.number("from")?,
                number: members.number("number")?,
                lost: members.ranges("lost")?,
            },
            "unknown" => Control::Unknown { stream: stream()? },
            "ended" => Control::Ended { stream: stream()?, idle: members.flag("idle") },
            "not-here" => Control::NotHere { resource: members.text("resource")?.to_owned() },
            _ => return Err(ControlError::UnknownWord),
        })
    }
}

/// Writes the JSON text.
impl fmt::Display for Control {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let word = self.word();
        match self {
            Control::Hello { incarnation, known, challenge, answer } => {
                write!(f, r#"{{"control":"{word}","incarnation":"{incarnation:032x}""#)?;
                write_id(f, "known", *known)?;
                write_id(f, "challenge", *challenge)?;
                write_id(f, "answer", *answer)?;
            }
            Control::Handover { stream, window, incarnation, known, round } => {
                write!(f, r#"{{"control":"{word}","stream":"{stream:032x}","window":{window}"#)?;
                write!(f, r#","incarnation":"{incarnation:032x}","round":{round}"#)?;
                write_id(f, "known", *known)?;
            }
            Control::Stream { stream } | Control::Unknown { stream } => {
                write!(f, r#"{{"control":"{word}","stream":"{stream:032x}""#)?;
            }
            Control::Marker { stream, mark, upto } => write!(
                f,
                r#"{{"control":"{word}","stream":"{stream:032x}","mark":{mark},"upto":{upto}"#
            )?,
            Control::Marked { stream, mark } => {
                write!(f, r#"{{"control":"{word}","stream":"{stream:032x}","mark":{mark}"#)?;
            }
            Control::Ack { stream, number, base } => {
                write!(f, r#"{{"control":"{word}","stream":"{stream:032x}","number":{number}"#)?;
                if *base > 0 {
                    write!(f, r#","base":{base}"#)?;
                }
            }
            Control::Base { stream, from, number } => {
                write!(f, r#"{{"control":"{word}","stream":"{stream:032x}","from":{from}"#)?;
                write!(f, r#","number":{number}"#)?;
            }
            Control::Fenced { stream, from, number, lost } => {
                write!(f, r#"{{"control":"{word}","stream":"{stream:032x}","from":{from}"#)?;
                write!(f, r#","number":{number}"#)?;
                write_ranges(f, "lost", lost)?;
            }
            Control::Have { stream, number, next, gaps } => {
                write!(f, r#"{{"control":"{word}","stream":"{stream:032x}","number":{number}"#)?;
                write!(f, r#","next":{next}"#)?;
                write_ranges(f, "gaps", gaps)?;
            }
            Control::Ended { stream, idle } => {
                write!(f, r#"{{"control":"{word}","stream":"{stream:032x}","idle":{idle}"#)?;
            }
            Control::NotHere { resource } => {
                let resource = BorrowedValue::from(resource.as_str()).encode();
                write!(f, r#"{{"control":"{word}","resource":{resource}"#)?;
            }
        }
        f.write_str("}")
    }
}

impl Control {
    fn word(&self) -> &'static str {
        match self {
            Control::Hello { .. } => "hello",
            Control::Handover { .. } => "handover",
            Control::Stream { .. } => "stream",
            Control::Marker { .. } => "marker",
            Control::Marked { .. } => "marked",
            Control::Ack { .. } => "ack",
            Control::Have { .. } => "have",
            Control::Base { .. } => "base",
            Control::Fenced { .. } => "fenced",
            Control::Unknown { .. } => "unknown",
            Control::Ended { .. } => "ended",
            Control::NotHere { .. } => "not-here",
        }
    }
}

fn write_id(f: &mut fmt::Formatter<'_>, name: &str, id: Option<u128>) -> fmt::Result {
    match id {
        Some(id) => write!(f, r#","{name}":"{id:032x}""#),
        None => Ok(()),
    }
}

fn write_ranges(f: &mut fmt::Formatter<'_>, name: &str, ranges: &Ranges) -> fmt::Result {
    write!(f, r#","{name}":["#)?;
    for (at, (first, last)) in ranges.iter().enumerate() {
        let comma = if at == 0 { "" } else { "," };
        write!(f, "{comma}[{first},{last}]")?;
    }
    f.write_str("]")
}

/// An acknowledgement just as we write it, which of all control comes most often; anything else is `None`.
fn read_ack(text: &str) -> Option<Control> {
    let rest = text.strip_prefix(r#"{"control":"ack","stream":""#)?.strip_suffix('}')?;
    let (id, rest) = rest.split_once(r#"","number":"#)?;
    let (number, base) = rest.split_once(r#","base":"#).unwrap_or((rest, "0"));
    let stream = read_id(id)?;
    Some(Control::Ack { stream, number: read_digits(number)?, base: read_digits(base)? })
}

/// A number as JSON has it, without sign, fraction, exponent or leading zeros.
fn read_digits(text: &str) -> Option<u64> {
    let plain = text.bytes().all(|byte| byte.is_ascii_digit());
    let leads = text.len() > 1 && text.starts_with('0');
    let number = text.parse().ok().filter(|_| plain && !leads)?;
    (number <= HANDOVER_NUMBER_MAX).then_some(number)
}

fn read_id(text: &str) -> Option<u128> {
    let plain = text.len() == 32 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
    u128::from_str_radix(text, 16).ok().filter(|_| plain)
}

/// The members of one control object.
struct Members<'a>(&'a BorrowedValue<'a>);

impl<'a> Members<'a> {
    fn text(&self, name: &'static str) -> Result<&'a str, ControlError> {
        let value = self.0.get(name).ok_or(ControlError::Missing { name })?;
        value.as_str().ok_or(ControlError::Wrong { name })
    }

    fn number(&self, name: &'static str) -> Result<u64, ControlError> {
        let value = self.0.get(name).ok_or(ControlError::Missing { name })?;
        let number = value.as_u64().filter(|number| *number <= HANDOVER_NUMBER_MAX);
        number.ok_or(ControlError::Wrong { name })
    }

    /// 0 if it is not there.
    fn maybe_number(&self, name: &'static str) -> Result<u64, ControlError> {
        self.0.get(name).map_or(Ok(0), |_| self.number(name))
    }

    fn id(&self, name: &'static str) -> Result<u128, ControlError> {
        read_id(self.text(name)?).ok_or(ControlError::Wrong { name })
    }

    fn maybe_id(&self, name: &'static str) -> Result<Option<u128>, ControlError> {
        self.0.get(name).map(|_| self.id(name)).transpose()
    }

    fn ranges(&self, name: &'static str) -> Result<Ranges, ControlError> {
        let list = self.0.get(name).ok_or(ControlError::Missing { name })?;
        let list = list.as_array().filter(|list| list.len() <= HANDOVER_RANGES_MAX);
        let range = |of: &BorrowedValue<'_>| match of.as_array().map(Vec::as_slice) {
            Some([first, last]) => first.as_u64().zip(last.as_u64()),
            _ => None,
        };
        let ranges = list.and_then(|list| list.iter().map(range).collect::<Option<Ranges>>());
        ranges.ok_or(ControlError::Wrong { name })
    }

    fn flag(&self, name: &'static str) -> bool {
        self.0.get(name).and_then(|value| value.as_bool()).unwrap_or(false)
    }
}

/// Why a control object was not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ControlError {
    /// The text is no JSON.
    NotJson,
    /// `control` is no word that we know.
    UnknownWord,
    /// A member is missing.
    Missing {
        /// Its name.
        name: &'static str,
    },
    /// A member has the wrong type or form.
    Wrong {
        /// Its name.
        name: &'static str,
    },
    /// It acknowledges a number that was never sent.
    Beyond {
        /// The number named.
        number: u64,
        /// The highest number sent.
        sent: u64,
    },
}

impl fmt::Display for ControlError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ControlError::NotJson => f.write_str("the control object is no JSON"),
            ControlError::UnknownWord => f.write_str("`control` is no word that is known"),
            ControlError::Missing { name } => write!(f, "the control object has no `{name}`"),
            ControlError::Wrong { name } => {
                write!(f, "`{name}` of the control object has the wrong type or form")
            }
            ControlError::Beyond { number, sent } => {
                write!(f, "number {number} is spoken of, but only {sent} were sent")
            }
        }
    }
}

impl std::error::Error for ControlError {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read() {
        let (stream, incarnation) = (0xab << 100, u128::MAX);
        let (number, mark, upto, next, round, window) = (7, 8, HANDOVER_NUMBER_MAX, 10, 11, 12);
        let words = [
            Control::Hello { incarnation, known: None, challenge: Some(1), answer: None },
            Control::Hello { incarnation, known: Some(0), challenge: None, answer: Some(2) },
            Control::Handover { stream, window, incarnation, known: None, round },
            Control::Handover { stream, window, incarnation, known: Some(5), round },
            Control::Stream { stream },
            Control::Marker { stream, mark, upto },
            Control::Marked { stream, mark },
            Control::Ack { stream, number, base: 0 },
            Control::Ack { stream, number, base: 5 },
            Control::Have {
                stream,
                number,
                next,
                gaps: [(13, 13), (15, 20)].into_iter().collect(),
            },
            Control::Base { stream, from: 6, number },
            Control::Fenced { stream, from: 1, number, lost: Ranges::new() },
            Control::Fenced {
                stream,
                from: 1,
                number,
                lost: [(1, 1), (3, 6)].into_iter().collect(),
            },
            Control::Unknown { stream },
            Control::Ended { stream, idle: true },
            Control::NotHere { resource: "hyperty://a/\"b\\".to_owned() },
        ];
        for word in words {
            assert_eq!(Control::read(&word.to_string()), Ok(word));
        }
        // Beyond it nobody comes by counting, and counting on would overflow.
        let beyond = Control::Base { stream, from: 6, number: HANDOVER_NUMBER_MAX + 1 };
        let wrong = ControlError::Wrong { name: "number" };
        assert_eq!(Control::read(&beyond.to_string()), Err(wrong));
    }

    /// Whatever the short cut takes, the long way reads alike.
    #[test]
    fn the_short_cut_is_no_other_way() {
        let long_way = |text: &str| Control::read(&format!(" {text}"));
        let id = format!("{:032x}", 0xab_u128 << 64);
        let numbers = ["0", "7", "18446744073709551616", "007", "-1", "1.0", "1e3", "", " 7", "7 "];
        let ids = [id.as_str(), "", "ab", "+0000000000000000000000000000001"];
        let mut taken = 0;
        for (id, number, base) in ids
            .iter()
            .flat_map(|id| numbers.iter().map(move |number| (id, number)))
            .flat_map(|(id, number)| numbers.iter().map(move |base| (id, number, base)))
        {
            let head = format!(r#"{{"control":"ack","stream":"{id}","number":{number}"#);
            for text in [
                format!("{head}}}"),
                format!(r#"{head},"base":{base}}}"#),
                format!(r#"{head},"base":{base},"more":1}}"#),
                format!(r#"{head},"base":{base}"#),
            ] {
                if let Some(ack) = read_ack(&text) {
                    taken += 1;
                    assert_eq!(long_way(&text), Ok(ack), "{text}");
                }
            }
        }
        assert_eq!(taken, 2 * numbers.len() + 4);
    }

    #[test]
    fn what_is_wrong_is_named() {
        let read = |text| Control::read(text).unwrap_err();
        assert_eq!(read("{"), ControlError::NotJson);
        assert_eq!(read("[]"), ControlError::Missing { name: "control" });
        assert_eq!(read(r#"{"control":"dance"}"#), ControlError::UnknownWord);
        assert_eq!(read(r#"{"control":"ack"}"#), ControlError::Missing { name: "stream" });
        let signed = r#"{"control":"unknown","stream":"+0000000000000000000000000000001"}"#;
        assert_eq!(read(signed), ControlError::Wrong { name: "stream" });
        let negative = format!(r#"{{"control":"ack","stream":"{:032x}","number":-1}}"#, 1);
        assert_eq!(read(&negative), ControlError::Wrong { name: "number" });
    }
}
