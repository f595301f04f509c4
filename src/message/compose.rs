//! Messages that we write ourselves, and the `code` of those that others write. No message is sent here.

use simd_json::OwnedValue;
use simd_json::prelude::Writable;

use super::checked::Checked;
use super::envelope::{Envelope, Member, Span};
use super::kind::Kind;
use super::salvage::is_id;
use super::text::write_string;
use super::{Message, body};

/// A message that we write: members in the order `id`, `type`, `from`, `to`, `body`; strings escaped.
///
/// `id` is a JSON token, a number or a string with its quotes; a text that is neither is written as a
/// string, and no `id` at all if it is empty. Members of `body` come out in the order in which they were put
/// in, up to 32 of them; larger objects are hash tables in simd-json and have no order.
///
/// ```
/// use hyperty_router::message::compose;
/// use simd_json::json;
///
/// let ping = compose("7", "execute", "hyperty://a/1", "hyperty://b/2", Some(&json!({"method": "ping"})));
/// assert_eq!(
///     ping.bytes(),
///     r#"{"id":7,"type":"execute","from":"hyperty://a/1","to":"hyperty://b/2","body":{"method":"ping"}}"#
/// );
/// ```
///
/// # Panics
/// If `body` is no object.
pub fn compose(id: &str, kind: &str, from: &str, to: &str, body: Option<&OwnedValue>) -> Message {
    let mut writer = Writer::new(id, kind, from, to);
    if let Some(body) = body {
        assert!(matches!(body, OwnedValue::Object(_)), "the body of a message is an object");
        writer.member(Member::Body, |out| {
            write_value(out, body);
            false
        });
    }
    writer.finish()
}

/// The response to `request`: `from` is `answering`, the one URL of its `to` that answers, and `to` its
/// `from`; the same `id`, as the token it came as, and none if there was none; `type` is `response` and
/// `body` `{"code":code, …members}`. A `code` among `members` gives way to `code`.
///
/// # Panics
/// If `members` is no object.
pub fn respond(
    request: &Message,
    answering: &str,
    code: u16,
    members: Option<OwnedValue>,
) -> Message {
    let id = request.id().unwrap_or_default();
    let mut writer = Writer::new(id, "response", answering, &request.from());
    writer.member(Member::Body, |out| {
        out.extend_from_slice(format!("{{\"code\":{code}").as_bytes());
        if let Some(members) = members {
            write_members(out, &members);
        }
        out.push(b'}');
        false
    });
    writer.finish()
}

/// The `code` of a response: an integer (`200`), a string of one (`"200"`), or a class (`"2XX"`, which is
/// 200). `None` if there is none that can be read.
pub fn response_code(response: &Message) -> Option<u16> {
    let raw = response.body_member(&["code"])?;
    let text = body::string(raw);
    let digits = text.as_deref().unwrap_or(raw);
    let class = digits.strip_suffix("XX").or_else(|| digits.strip_suffix("xx"));
    match (class, text.is_some()) {
        (Some(class), true) if class.len() == 1 => integer(class).map(|class| class * 100),
        _ => integer(digits),
    }
}

/// Digits only: no sign, no fraction.
fn integer(digits: &str) -> Option<u16> {
    digits.bytes().all(|byte| byte.is_ascii_digit()).then(|| digits.parse().ok())?
}

/// Everything but `code`, a comma before each.
fn write_members(out: &mut Vec<u8>, members: &OwnedValue) {
    let OwnedValue::Object(members) = members else {
        panic!("the members of a response's body are an object");
    };
    for (name, value) in members.iter().filter(|(name, _)| name.as_str() != "code") {
        out.push(b',');
        write_string(out, name);
        out.push(b':');
        write_value(out, value);
    }
}

fn write_value(out: &mut Vec<u8>, value: &OwnedValue) {
    value.write(out).expect("writing into memory does not fail");
}

/// Writes the members of a message one after the other and notes where they stand.
struct Writer {
    out: Vec<u8>,
    envelope: Envelope,
}

impl Writer {
    fn new(id: &str, kind: &str, from: &str, to: &str) -> Self {
        let mut writer = Writer { out: Vec::with_capacity(256), envelope: Envelope::default() };
        if is_id(id) {
            writer.member(Member::Id, |out| {
                out.extend_from_slice(id.as_bytes());
                id.contains('\\')
            });
        } else if !id.is_empty() {
            writer.member(Member::Id, |out| write_string(out, id));
        }
        writer.member(Member::Type, |out| write_string(out, kind));
        writer.member(Member::From, |out| write_string(out, from));
        writer.member(Member::To, |out| write_string(out, to));
        writer.envelope.kind = Kind::of_text(kind);
        writer
    }

    /// Writes one member; `value` writes its value and says whether it holds an escape.
    fn member(&mut self, member: Member, value: impl FnOnce(&mut Vec<u8>) -> bool) {
        self.out.extend([if self.out.is_empty() { b'{' } else { b',' }, b'"']);
        self.out.extend_from_slice(member.name().as_bytes());
        self.out.extend(*b"\":");
        let start = self.out.len();
        let escaped = value(&mut self.out);
        self.envelope.set(member, Span::new(start, self.out.len()), escaped);
    }

    fn finish(mut self) -> Message {
        self.out.push(b'}');
        Message { text: Checked::written(self.out), envelope: self.envelope }
    }
}
