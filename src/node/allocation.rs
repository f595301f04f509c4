//! `domain://msg-node.<domain>/address-allocation`: addresses given out, and taken back by key.

use simd_json::{OwnedValue, prelude::*};

use crate::{
    address::Url,
    limits,
    message::{Kind, Message},
    node::{control::Control, random::uuid, reply::Reply},
    slab::Target,
    subscription::{Reason, Refused},
};

impl Control {
    /// Answers one request to the address allocation.
    pub(super) fn allocation_request(&mut self, session: Target, message: &Message) -> Reply {
        let Some(body) = message.body_value() else {
            return Reply::error(400, "no `body` that could be read");
        };
        let result = match message.kind() {
            Kind::Create => self.allocate(session, message, &body),
            Kind::Delete => self.deallocate(session, message, &body),
            _ => Err(Reply::error(400, "the address allocation knows create and delete")),
        };
        result.unwrap_or_else(|error| error)
    }

    fn allocate(
        &mut self,
        session: Target,
        message: &Message,
        body: &OwnedValue,
    ) -> Result<Reply, Reply> {
        let wanted = Wanted::read(body)?;
        self.allow_from(session, message)?;
        let have = self.session(session).allocations.len();
        for (wanted, max) in [
            (wanted.number, self.limits.allocations_per_request_max as u64),
            (
                wanted.number.saturating_add(have as u64),
                self.limits.allocations_per_session_max as u64,
            ),
        ] {
            if wanted > max {
                let wanted = usize::try_from(wanted).unwrap_or(usize::MAX);
                return Err(Refused::OverQuota { wanted, max: max as usize }.into());
            }
        }
        let mut allocated = Vec::with_capacity(wanted.number as usize);
        for _ in 0..wanted.number {
            let text = format!("{}://{}/{}", wanted.scheme, self.domain, uuid(&mut self.random));
            let url = Url::parse(&text)
                .map_err(|error| Reply::error(400, format_args!("`body.scheme`: {error}")))?;
            allocated.push(url);
        }
        for url in &allocated {
            self.manager.own(&mut self.fib, session, url, Reason::Allocation);
            self.session_mut(session).allocations.add(url.clone(), wanted.key);
        }
        self.fib.publish();
        let allocated: Vec<OwnedValue> = allocated.iter().map(|url| url.as_str().into()).collect();
        Ok(Reply::ok().with("value", simd_json::json!({ "allocated": allocated })))
    }

    fn deallocate(
        &mut self,
        session: Target,
        message: &Message,
        body: &OwnedValue,
    ) -> Result<Reply, Reply> {
        let names = names(body)?;
        self.allow_from(session, message)?;
        for name in names {
            for url in self.session_mut(session).allocations.take(name) {
                self.manager.disown(&mut self.fib, session, &url, Reason::Allocation);
                if self.manager.disown(&mut self.fib, session, &url, Reason::Registration) {
                    self.registry.delete(&url);
                }
            }
        }
        self.fib.publish();
        Ok(Reply::ok())
    }
}

/// What a `create` asks for.
struct Wanted<'a> {
    scheme: &'a str,
    number: u64,
    key: Option<&'a str>,
}

impl<'a> Wanted<'a> {
    fn read(body: &'a OwnedValue) -> Result<Self, Reply> {
        let scheme = body.get("scheme").and_then(|value| value.as_str()).filter(|s| is_scheme(s));
        let scheme = scheme.ok_or_else(|| {
            let max = limits::ALLOCATION_SCHEME_BYTES_MAX;
            let why = format!("`body.scheme` should be a scheme of at most {max} letters");
            Reply::error(400, why)
        })?;
        let value = body.get("value");
        let member = |name| value.and_then(|value| value.get(name));
        let number = member("number").and_then(|value| value.as_u64()).filter(|n| *n > 0);
        let number = number
            .ok_or_else(|| Reply::error(400, "`body.value.number` should be an integer above 0"))?;
        let key = member("allocationKey").map(|value| {
            let key = value.as_str().filter(|key| key.len() <= limits::ALLOCATION_KEY_BYTES_MAX);
            key.ok_or_else(|| Reply::error(400, "`body.value.allocationKey` should be a string"))
        });
        Ok(Wanted { scheme, number, key: key.transpose()? })
    }
}

/// Letters, digits, `+`, `-` and `.`, a letter first (RFC 3986, section 3.1).
fn is_scheme(text: &str) -> bool {
    text.len() <= limits::ALLOCATION_SCHEME_BYTES_MAX
        && text.starts_with(|first: char| first.is_ascii_alphabetic())
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"+-.".contains(&byte))
}

/// What a `delete` names: `resource`, a string or an array, and `childrenResources`, flat or nested
/// once.
fn names<'a>(body: &'a OwnedValue) -> Result<Vec<&'a str>, Reply> {
    let mut names = Vec::new();
    let mut collect = |name: &str, value: &'a OwnedValue, depth| {
        let wrong = format!("`body.{name}` should be a string or an array of strings");
        strings(value, depth, &mut names).ok_or_else(|| Reply::error(400, wrong))
    };
    if let Some(value) = body.get("resource") {
        collect("resource", value, 1)?;
    }
    if let Some(value) = body.get("childrenResources") {
        collect("childrenResources", value, 2)?;
    }
    if names.is_empty() {
        return Err(Reply::error(400, "neither `body.resource` nor `body.childrenResources`"));
    }
    Ok(names)
}

/// Adds `value`, a string or `depth` levels of arrays of them, to `names`.
fn strings<'a>(value: &'a OwnedValue, depth: usize, names: &mut Vec<&'a str>) -> Option<()> {
    if let Some(name) = value.as_str() {
        names.push(name);
        return Some(());
    }
    let items = value.as_array().filter(|_| depth > 0)?;
    items.iter().try_for_each(|item| strings(item, depth - 1, names))
}
