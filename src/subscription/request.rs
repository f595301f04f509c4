//! What a `subscribe` or `unsubscribe` asks for: the list of URLs and the subscriber, read from the
//! body.
//!
//! It reads and checks; whether the request is allowed is decided elsewhere.

use std::{collections::HashSet, fmt};

use simd_json::{OwnedValue, prelude::*};

use crate::{
    address::{AddressError, Url},
    message::{Kind, Message},
};

/// The URLs that a request lists, each once, and who it says is subscribing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    /// What to subscribe to or unsubscribe from, in the order of the request.
    pub urls: Vec<Url>,
    /// `body.source`, if the request names one.
    pub source: Option<Url>,
    /// `from` of the message: the subscriber if there is no `source`.
    pub from: Url,
}

impl Request {
    /// Reads a message of type `subscribe` or `unsubscribe` (the list has the type's name).
    ///
    /// The list is `body.subscribe` or `body.unsubscribe`, and `body.resources` (array or one
    /// string), and `<body.resource>/children/<name>` for each name in `body.childrenResources`;
    /// whichever are there count together. O(size of the body).
    ///
    /// # Errors
    /// [`RequestError`]: always the requester's fault, a 400.
    pub fn read(message: &Message) -> Result<Request, RequestError> {
        let name = match message.kind() {
            Kind::Subscribe => "subscribe",
            Kind::Unsubscribe => "unsubscribe",
            _ => return Err(RequestError::WrongType),
        };
        let body = message.body_value().ok_or(RequestError::NoBody)?;
        let mut list = List::default();
        list.array(&body, name)?;
        list.resources(&body)?;
        list.children(&body)?;
        if list.urls.is_empty() {
            return Err(RequestError::EmptyList);
        }
        let from = url("from", &message.from())?;
        Ok(Request { urls: list.urls, source: source(&body)?, from })
    }

    /// Who is subscribing: `source`, else `from`.
    pub fn subscriber(&self) -> &Url {
        self.source.as_ref().unwrap_or(&self.from)
    }
}

/// Why a body asks for nothing that could be done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum RequestError {
    /// Neither `subscribe` nor `unsubscribe`.
    WrongType,
    /// No body, or one that is no JSON.
    NoBody,
    /// The list is missing or empty.
    EmptyList,
    /// A member has the wrong JSON type.
    WrongMember {
        /// The member of the body.
        member: &'static str,
        /// What it should be.
        expected: &'static str,
    },
    /// A text that should be a URL is none.
    NoUrl {
        /// The member of the body, or `from`.
        member: &'static str,
        /// What is wrong with it.
        error: AddressError,
    },
    /// `scheme://domain` without a path, which nobody can subscribe to or claim.
    Bare {
        /// The member of the body.
        member: &'static str,
    },
}

impl fmt::Display for RequestError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            RequestError::WrongType => f.write_str("`type` is neither subscribe nor unsubscribe"),
            RequestError::NoBody => f.write_str("no `body` that could be read"),
            RequestError::EmptyList => f.write_str("the list of URLs is missing or empty"),
            RequestError::WrongMember { member, expected } => {
                write!(f, "`body.{member}` should be {expected}")
            }
            RequestError::NoUrl { member: "from", error } => write!(f, "`from`: {error}"),
            RequestError::NoUrl { member, error } => write!(f, "`body.{member}`: {error}"),
            RequestError::Bare { member } => {
                write!(f, "`body.{member}`: a URL without a path can't be subscribed to or claimed")
            }
        }
    }
}

impl std::error::Error for RequestError {}

/// URLs collected so far, each once.
#[derive(Default)]
struct List {
    urls: Vec<Url>,
    seen: HashSet<Url>,
}

impl List {
    fn push(&mut self, member: &'static str, text: &str) -> Result<(), RequestError> {
        let url = url(member, text)?;
        if url.address().is_bare() {
            return Err(RequestError::Bare { member });
        }
        if self.seen.insert(url.clone()) {
            self.urls.push(url);
        }
        Ok(())
    }

    fn array(&mut self, body: &OwnedValue, member: &'static str) -> Result<(), RequestError> {
        for text in strings(body, member)? {
            self.push(member, text)?;
        }
        Ok(())
    }

    fn resources(&mut self, body: &OwnedValue) -> Result<(), RequestError> {
        match body.get("resources").and_then(|value| value.as_str()) {
            Some(one) => self.push("resources", one),
            None => self.array(body, "resources"),
        }
    }

    fn children(&mut self, body: &OwnedValue) -> Result<(), RequestError> {
        let names = strings(body, "childrenResources")?;
        if names.is_empty() {
            return Ok(());
        }
        let expected = "the URL that the children belong to";
        let resource = body
            .get("resource")
            .and_then(|value| value.as_str())
            .ok_or(RequestError::WrongMember { member: "resource", expected })?;
        let resource = url("resource", resource)?;
        for name in names {
            self.push("childrenResources", &format!("{resource}/children/{name}"))?;
        }
        Ok(())
    }
}

/// The strings of an array member; none if it is missing.
fn strings<'a>(body: &'a OwnedValue, member: &'static str) -> Result<Vec<&'a str>, RequestError> {
    let wrong = RequestError::WrongMember { member, expected: "an array of strings" };
    let Some(value) = body.get(member) else { return Ok(Vec::new()) };
    let items = value.as_array().ok_or(wrong)?;
    items.iter().map(|item| item.as_str().ok_or(wrong)).collect()
}

fn source(body: &OwnedValue) -> Result<Option<Url>, RequestError> {
    let Some(value) = body.get("source") else { return Ok(None) };
    let wrong = RequestError::WrongMember { member: "source", expected: "a URL" };
    let source = url("source", value.as_str().ok_or(wrong)?)?;
    if source.address().is_bare() {
        return Err(RequestError::Bare { member: "source" });
    }
    Ok(Some(source))
}

fn url(member: &'static str, text: &str) -> Result<Url, RequestError> {
    Url::parse(text).map_err(|error| RequestError::NoUrl { member, error })
}
