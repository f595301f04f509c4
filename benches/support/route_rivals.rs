//! What the route bench measures ours against: the obvious way, read in three ways.

use std::{borrow::Cow, collections::HashMap};

use bytes::Bytes;
use crossbeam::channel::{self, Receiver, Sender};
use hyperty_router::address::Url;
use serde::{Deserialize, de::IgnoredAny};
use serde_json::Value;

use crate::Party;

/// How the obvious way reads `to`.
#[derive(Clone, Copy)]
pub(crate) enum Way {
    /// Into a struct that owns its members; the standard library's map.
    Struct,
    /// Into a tree; the standard library's map.
    Value,
    /// Into a struct that borrows and passes the body over; hashbrown with ahash.
    Borrowed,
}

/// The obvious way.
pub(crate) struct Rival {
    way: Way,
    std: HashMap<String, Sender<Bytes>>,
    ahash: hashbrown::HashMap<String, Sender<Bytes>, ahash::RandomState>,
    end: Receiver<Bytes>,
}

impl Rival {
    pub(crate) fn new(way: Way, urls: &[Url], items_max: usize) -> Self {
        let (sender, end) = channel::bounded(items_max);
        let entries = urls.iter().map(|url| (url.as_str().to_owned(), sender.clone()));
        let mut rival = Rival { way, std: HashMap::new(), ahash: Default::default(), end };
        match way {
            Way::Borrowed => rival.ahash.extend(entries),
            Way::Struct | Way::Value => rival.std.extend(entries),
        }
        rival
    }

    fn sender(&self, bytes: &[u8]) -> Option<&Sender<Bytes>> {
        match self.way {
            Way::Struct => {
                let message: Owned = serde_json::from_slice(bytes).ok()?;
                longest(&message.to, |prefix| self.std.get(prefix))
            }
            Way::Value => {
                let message: Value = serde_json::from_slice(bytes).ok()?;
                longest(message["to"].as_str()?, |prefix| self.std.get(prefix))
            }
            Way::Borrowed => {
                let message: Borrowed<'_> = serde_json::from_slice(bytes).ok()?;
                longest(&message.to, |prefix| self.ahash.get(prefix))
            }
        }
    }
}

impl Party for Rival {
    fn name(&self) -> &'static str {
        match self.way {
            Way::Struct => "serde_json struct + HashMap + crossbeam",
            Way::Value => "serde_json Value + HashMap + crossbeam",
            Way::Borrowed => "serde_json borrowed + hashbrown/ahash + crossbeam",
        }
    }

    fn post(&mut self, messages: &mut Vec<Bytes>) {
        for bytes in messages.drain(..) {
            let sender = self.sender(&bytes).expect("a message to a listener");
            sender.try_send(bytes).expect("room");
        }
    }

    fn drain(&mut self, into: &mut Vec<Bytes>) {
        into.extend(self.end.try_iter());
    }
}

#[derive(Deserialize)]
struct Owned {
    #[serde(rename = "id")]
    _id: Value,
    #[serde(rename = "type")]
    _kind: String,
    #[serde(rename = "from")]
    _from: String,
    to: String,
    #[serde(rename = "body")]
    _body: Value,
}

#[derive(Deserialize)]
struct Borrowed<'a> {
    #[serde(rename = "id")]
    _id: IgnoredAny,
    #[serde(rename = "type", borrow)]
    _kind: Cow<'a, str>,
    #[serde(rename = "from", borrow)]
    _from: Cow<'a, str>,
    #[serde(borrow)]
    to: Cow<'a, str>,
    #[serde(rename = "body")]
    _body: IgnoredAny,
}

/// What stands on the longest prefix of `to`, cut at each `/` but those before the domain.
fn longest<'m, T>(to: &str, find: impl Fn(&str) -> Option<&'m T>) -> Option<&'m T> {
    let mut prefix = to;
    loop {
        if let Some(found) = find(prefix) {
            return Some(found);
        }
        prefix = &prefix[..prefix.rfind('/').filter(|at| !prefix[..*at].ends_with('/'))?];
    }
}
