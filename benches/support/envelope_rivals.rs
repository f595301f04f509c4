//! What the envelope bench measures ours against: each finds `to`, `from` and `type` in its own fastest way.

use std::borrow::Cow;

use serde::Deserialize;
use serde::de::IgnoredAny;
use simd_json::prelude::*;
use sonic_rs::{LazyValue, PointerTree};

/// What each contender has to find: lengths stand for the texts, so that nothing borrowed is returned.
pub(crate) type Found = (usize, usize, usize);

#[derive(Deserialize)]
struct Borrowed<'a> {
    #[serde(rename = "type", borrow)]
    kind: Cow<'a, str>,
    #[serde(borrow)]
    from: Cow<'a, str>,
    #[serde(borrow)]
    to: Cow<'a, str>,
    #[serde(rename = "id")]
    _id: IgnoredAny,
    #[serde(rename = "body")]
    _body: IgnoredAny,
}

pub(crate) fn serde_json_borrowed(bytes: &[u8]) -> Found {
    let found: Borrowed<'_> = serde_json::from_slice(bytes).expect("a message");
    (found.to.len(), found.from.len(), found.kind.len())
}

/// simd-json with everything reused that can be: its buffers, the tape, and the copy that it writes into.
pub(crate) struct SimdJson {
    copy: Vec<u8>,
    buffers: simd_json::Buffers,
    tape: Option<simd_json::Tape<'static>>,
}

impl SimdJson {
    pub(crate) fn new(size: usize) -> SimdJson {
        let tape = Some(simd_json::Tape::null());
        SimdJson { copy: Vec::with_capacity(size), buffers: simd_json::Buffers::new(size), tape }
    }

    pub(crate) fn read(&mut self, bytes: &[u8]) -> Found {
        self.copy.clear();
        self.copy.extend_from_slice(bytes);
        let mut tape = self.tape.take().expect("put back each time").reset();
        simd_json::fill_tape(&mut self.copy, &mut self.buffers, &mut tape).expect("a message");
        let root = tape.as_value();
        let len =
            |name: &str| root.get(name).and_then(|v| v.as_str().map(str::len)).expect("a string");
        let found = (len("to"), len("from"), len("type"));
        self.tape = Some(tape.reset());
        found
    }
}

/// sonic-rs with its paths made once.
pub(crate) struct Sonic(PointerTree);

impl Sonic {
    pub(crate) fn new() -> Sonic {
        let mut paths = PointerTree::new();
        for name in ["to", "from", "type", "id"] {
            paths.add_path([name].iter());
        }
        Sonic(paths)
    }

    pub(crate) fn checked(&self, bytes: &[u8]) -> Found {
        lens(&sonic_rs::get_many(bytes, &self.0).expect("a message"))
    }

    pub(crate) fn unchecked(&self, bytes: &[u8]) -> Found {
        // SAFETY: the bytes are a JSON text that serde_json has read before.
        lens(&unsafe { sonic_rs::get_many_unchecked(bytes, &self.0) }.expect("a message"))
    }
}

/// The texts have no escapes, so what is between the quotes is what they mean.
fn lens(values: &[Option<LazyValue<'_>>]) -> Found {
    let len = |i: usize| values[i].as_ref().expect("found").as_raw_str().len() - 2;
    (len(0), len(1), len(2))
}
