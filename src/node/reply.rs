//! What a service of the node answers, before it is a message.

use simd_json::{OwnedValue, owned::Object};

/// A code and the further members of the response's body.
#[derive(Debug)]
pub(super) struct Reply {
    pub(super) code: u16,
    members: Object,
}

impl Reply {
    pub(super) fn ok() -> Self {
        Reply { code: 200, members: Object::new() }
    }

    pub(super) fn error(code: u16, why: impl std::fmt::Display) -> Self {
        Reply { code, members: Object::new() }.with("desc", why.to_string())
    }

    pub(super) fn with(mut self, name: &str, value: impl Into<OwnedValue>) -> Self {
        self.members.insert(name.to_owned(), value.into());
        self
    }

    pub(super) fn into_members(self) -> OwnedValue {
        OwnedValue::Object(Box::new(self.members))
    }
}

impl From<crate::subscription::Refused> for Reply {
    fn from(refused: crate::subscription::Refused) -> Self {
        Reply::error(refused.code(), refused)
    }
}
