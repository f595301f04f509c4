//! What is allocated to one session. Who may have it is not known here.

use std::collections::{HashMap, HashSet};

use crate::address::Url;

/// The addresses allocated to one session, and their keys.
///
/// Keys are a session's own: the same key of another session is another key.
#[derive(Debug, Default)]
pub(super) struct Allocations {
    /// Each address, and the key it was asked for with.
    addresses: HashMap<Url, Option<String>>,
    keys: HashMap<String, HashSet<Url>>,
}

impl Allocations {
    /// Addresses allocated now.
    pub(super) fn len(&self) -> usize {
        self.addresses.len()
    }

    pub(super) fn add(&mut self, url: Url, key: Option<&str>) {
        if let Some(key) = key {
            self.keys.entry(key.to_owned()).or_default().insert(url.clone());
        }
        self.addresses.insert(url, key.map(str::to_owned));
    }

    /// Takes out what `name` is: all addresses of a key, or one address. Nothing if it is neither.
    pub(super) fn take(&mut self, name: &str) -> Vec<Url> {
        if let Some(urls) = self.keys.remove(name) {
            urls.iter().for_each(|url| {
                self.addresses.remove(url);
            });
            return urls.into_iter().collect();
        }
        let name = name.strip_suffix('/').unwrap_or(name);
        let Some((url, key)) = self.addresses.remove_entry(name) else { return Vec::new() };
        if let Some(key) = key
            && let Some(urls) = self.keys.get_mut(&key)
        {
            urls.remove(&url);
            if urls.is_empty() {
                self.keys.remove(&key);
            }
        }
        vec![url]
    }
}
