//! `domain://registry.<domain>`: the messages that create, read, update and delete entries.
//!
//! It reads requests and judges them; the entries are the [`DomainRegistry`]'s.

use std::time::Instant;

use simd_json::{OwnedValue, owned::Object, prelude::*};

use crate::{
    address::Url,
    limits,
    message::{Kind, Message},
    node::{
        control::Control,
        domain_registry::{Criteria, Found, RegistryEntry, overwrite},
        reply::Reply,
    },
    slab::Target,
    subscription::{Reason, Refused},
};

impl Control {
    /// Answers one request to the domain registry.
    pub(super) fn registry_request(
        &mut self,
        session: Target,
        message: &Message,
        now: Instant,
    ) -> Reply {
        let Some(body) = message.body_value() else {
            return Reply::error(400, "no `body` that could be read");
        };
        let result = match message.kind() {
            Kind::Create => self.create_entry(session, message, &body, now),
            Kind::Read => self.read_entries(session, message, &body, now),
            Kind::Update => self.update_entry(session, message, &body, now),
            Kind::Delete => self.delete_entry(session, message, &body),
            _ => Err(Reply::error(400, "the domain registry knows create, read, update, delete")),
        };
        result.unwrap_or_else(|error| error)
    }

    fn create_entry(
        &mut self,
        session: Target,
        message: &Message,
        body: &OwnedValue,
        now: Instant,
    ) -> Result<Reply, Reply> {
        let members = object(body, "value")?.clone();
        let url = url(members.get("url"), "`body.value.url`")?;
        check_expires(&members)?;
        self.allow_from(session, message)?;
        self.manager.allow_owning(session, &url)?;
        check_size(message.body_member(&["value"]).map_or(0, str::len))?;
        self.check_registered(session, &url)?;
        let entry = RegistryEntry { url: url.clone(), members };
        self.registry.create(entry, now).map_err(|full| Reply::error(429, full))?;
        self.register(session, &url);
        Ok(Reply::ok())
    }

    fn read_entries(
        &mut self,
        session: Target,
        message: &Message,
        body: &OwnedValue,
        now: Instant,
    ) -> Result<Reply, Reply> {
        let criteria = criteria(body)?;
        self.allow_from(session, message)?;
        let resource = body.get("resource").and_then(|value| value.as_str());
        if let Some(url) = resource.and_then(|text| Url::parse(text).ok())
            && let Some(found) = self.registry.read(&url, now)
        {
            let code = if found.live { 200 } else { 408 };
            return Ok(answer(code).with("value", OwnedValue::from(found.entry.members)));
        }
        let found = self.registry.search(&criteria, now);
        let live = found.iter().filter(|found| found.live).count();
        match (live, found.len()) {
            (_, 0) => Err(Reply::error(404, "nothing is registered that would fit")),
            (0, _) => Ok(answer(408).with("value", by_url(found))),
            _ => Ok(Reply::ok().with("value", by_url(found.into_iter().take(live).collect()))),
        }
    }

    fn update_entry(
        &mut self,
        session: Target,
        message: &Message,
        body: &OwnedValue,
        now: Instant,
    ) -> Result<Reply, Reply> {
        let members = changes(body)?;
        let named = body.get("resource").or_else(|| members.get("url"));
        let url = url(named, "`body.resource`")?;
        check_expires(&members)?;
        self.allow_from(session, message)?;
        self.manager.allow_owning(session, &url)?;
        let Some(found) = self.registry.read(&url, now) else {
            return Err(Reply::error(404, format_args!("{url} is not registered")));
        };
        let mut merged = found.entry.members;
        overwrite(&mut merged, members.clone());
        check_size(OwnedValue::from(merged).encode().len())?;
        self.check_registered(session, &url)?;
        self.registry.update(&url, members, now);
        self.register(session, &url);
        Ok(Reply::ok())
    }

    fn delete_entry(
        &mut self,
        session: Target,
        message: &Message,
        body: &OwnedValue,
    ) -> Result<Reply, Reply> {
        let value_url = || body.get("value").and_then(|value| value.get("url"));
        let url = url(body.get("resource").or_else(value_url), "`body.resource`")?;
        self.allow_from(session, message)?;
        self.manager.allow(session, &url.address())?;
        if !self.registry.delete(&url) {
            return Err(Reply::error(404, format_args!("{url} is not registered")));
        }
        self.manager.disown(&mut self.fib, session, &url, Reason::Registration);
        self.fib.publish();
        Ok(Reply::ok())
    }

    fn check_registered(&self, session: Target, url: &Url) -> Result<(), Reply> {
        let ownership = self.manager.ownership();
        let (wanted, max) = (
            ownership.count(session, Reason::Registration) + 1,
            self.limits.registry_entries_per_session_max,
        );
        if wanted > max && !ownership.owns(session, url, Reason::Registration) {
            return Err(Refused::OverQuota { wanted, max }.into());
        }
        if !self.fib.has_room() {
            return Err(Refused::TableFull.into());
        }
        Ok(())
    }

    fn register(&mut self, session: Target, url: &Url) {
        self.manager.own(&mut self.fib, session, url, Reason::Registration);
        self.fib.publish();
    }
}

fn answer(code: u16) -> Reply {
    match code {
        200 => Reply::ok(),
        _ => Reply::error(code, "only disconnected ones are registered"),
    }
}

fn by_url(found: Vec<Found>) -> OwnedValue {
    let entries = found.into_iter().map(|found| found.entry);
    let members: Object =
        entries.map(|entry| (entry.url.to_string(), OwnedValue::from(entry.members))).collect();
    OwnedValue::from(members)
}

/// What is searched for: `user`, or `resource` naming one, with `dataSchemes` and `resources`
/// beside it or in `criteria`.
fn criteria(body: &OwnedValue) -> Result<Criteria, Reply> {
    let within = body.get("criteria");
    let member = |name| body.get(name).or_else(|| within.and_then(|within| within.get(name)));
    let user = member("user").or_else(|| body.get("resource")).and_then(|value| value.as_str());
    let user = user.ok_or_else(|| Reply::error(400, "neither `body.resource` nor `body.user`"))?;
    let strings = |name: &'static str| {
        let wrong = || Reply::error(400, format_args!("`{name}` should be an array of strings"));
        let Some(value) = member(name) else { return Ok(Vec::new()) };
        let items = value.as_array().ok_or_else(wrong)?.iter();
        items.map(|item| item.as_str().map(str::to_owned).ok_or_else(wrong)).collect()
    };
    Ok(Criteria {
        user: user.to_owned(),
        data_schemes: strings("dataSchemes")?,
        resources: strings("resources")?,
    })
}

/// What an update changes: the object `value`, or one attribute (`status` if none is named) that it
/// is the value of; nothing for a mere keep-alive.
fn changes(body: &OwnedValue) -> Result<Object, Reply> {
    let Some(value) = body.get("value") else { return Ok(Object::new()) };
    if let Some(members) = value.as_object() {
        return Ok(members.clone());
    }
    let attribute = body.get("attribute").map_or(Some("status"), |value| value.as_str());
    let wrong = || Reply::error(400, "`body.attribute` should be the name of a member");
    let attribute = attribute.filter(|name| *name != "url").ok_or_else(wrong)?;
    let mut members = Object::new();
    members.insert(attribute.to_owned(), value.clone());
    Ok(members)
}

fn object<'a>(body: &'a OwnedValue, name: &str) -> Result<&'a Object, Reply> {
    let value = body.get(name).and_then(|value| value.as_object());
    value.ok_or_else(|| Reply::error(400, format_args!("`body.{name}` should be an object")))
}

fn url(value: Option<&OwnedValue>, name: &str) -> Result<Url, Reply> {
    let text = value.and_then(|value| value.as_str());
    let text = text.ok_or_else(|| Reply::error(400, format_args!("{name} should be a URL")))?;
    let url =
        Url::parse(text).map_err(|error| Reply::error(400, format_args!("{name}: {error}")))?;
    if url.address().is_bare() {
        return Err(Reply::error(400, format_args!("{name}: a URL without a path is nobody's")));
    }
    Ok(url)
}

fn check_expires(members: &Object) -> Result<(), Reply> {
    let Some(expires) = members.get("expires") else { return Ok(()) };
    match expires.cast_f64() {
        Some(seconds) if seconds > 0.0 => Ok(()),
        _ => Err(Reply::error(400, "`expires` should be a number of seconds above 0")),
    }
}

fn check_size(bytes: usize) -> Result<(), Reply> {
    let bytes_max = limits::REGISTRY_ENTRY_BYTES_MAX;
    if bytes > bytes_max {
        let why =
            format_args!("entry of {bytes} bytes, at most {bytes_max} are allowed").to_string();
        return Err(Reply::error(413, why));
    }
    Ok(())
}
