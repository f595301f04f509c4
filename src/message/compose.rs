//! Messages that we write ourselves. Skeleton.
use crate::message::Message;
use simd_json::OwnedValue;

/// A message that we write: members in the order `id`, `type`, `from`, `to`, `body`; strings escaped.
///
/// `id` is a raw JSON token; `body` must be an object if given.
pub fn compose(id: &str, kind: &str, from: &str, to: &str, body: Option<&OwnedValue>) -> Message {
    let _ = (id, kind, from, to, body);
    todo!()
}
/// The response to `request`: `from`/`to` swapped (the `from` being `answering`, the one URL of `to` that answers), the same
/// `id` (as the token it came as; left out if there was none), `type` "response", `body` `{"code":code, …members of body}`.
pub fn respond(
    request: &Message,
    answering: &str,
    code: u16,
    members: Option<OwnedValue>,
) -> Message {
    let _ = (request, answering, code, members);
    todo!()
}
/// The `code` of a response: an integer, a string of one ("200"), or "2XX" (200). `None` if there is none.
pub fn response_code(response: &Message) -> Option<u16> {
    let _ = response;
    todo!()
}
