//! The domain registry: which Hyperties and data objects a domain has, by URL and by user.
//!
//! A trait, and an implementation in memory. It knows neither sessions nor messages, and asks no
//! clock.

use std::{
    collections::{BTreeSet, HashMap},
    fmt,
    time::{Duration, Instant},
};

use simd_json::{OwnedValue, owned::Object, prelude::*};

use crate::{address::Url, limits};

/// Where a Message Node keeps the entries of its domain.
///
/// It is called under the node's control lock, so an implementation answers at once, from memory;
/// one that keeps them elsewhere writes behind.
pub trait DomainRegistry: Send {
    /// Puts an entry, in place of one with the same URL.
    ///
    /// # Errors
    /// [`RegistryFull`] at the bound.
    fn create(&mut self, entry: RegistryEntry, now: Instant) -> Result<(), RegistryFull>;

    /// The entry of `url`.
    fn read(&mut self, url: &Url, now: Instant) -> Option<Found>;

    /// The entries of a user that meet the criteria, at most [`limits::REGISTRY_FOUND_MAX`], the
    /// live ones first.
    fn search(&mut self, criteria: &Criteria, now: Instant) -> Vec<Found>;

    /// Puts `members` over those of the entry, which is a keep-alive too; no entry: false.
    fn update(&mut self, url: &Url, members: Object, now: Instant) -> bool;

    /// Removes an entry; none: false.
    fn delete(&mut self, url: &Url) -> bool;

    /// Marks an entry as disconnected, its runtime being gone.
    fn disconnect(&mut self, url: &Url, now: Instant);

    /// Lets entries expire.
    fn handle_timeout(&mut self, now: Instant);

    /// When [`DomainRegistry::handle_timeout`] has something to do next; ask again after every
    /// change.
    fn poll_timeout(&self) -> Option<Instant>;

    /// How many entries there are.
    fn len(&self) -> usize;

    /// True if there is none.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// What is registered: its URL and the object as it was sent (`url`, `user`, `runtime`,
/// `p2pHandler`, `p2pRequester`, `status`, `expires`, `dataSchemes`, `resources`, and whatever
/// else).
#[derive(Clone, Debug, PartialEq)]
pub struct RegistryEntry {
    /// The Hyperty or data object.
    pub url: Url,
    /// The whole object.
    pub members: Object,
}

/// An entry that was found.
#[derive(Clone, Debug, PartialEq)]
pub struct Found {
    /// The entry, its `status` being `disconnected` if it has expired.
    pub entry: RegistryEntry,
    /// False if it is disconnected.
    pub live: bool,
}

/// What is searched for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Criteria {
    /// Entries of this user.
    pub user: String,
    /// That have all of these data schemes.
    pub data_schemes: Vec<String>,
    /// And all of these resources.
    pub resources: Vec<String>,
}

/// There is no room for one more entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RegistryFull {
    /// Entries that there may be.
    pub entries_max: usize,
}

impl fmt::Display for RegistryFull {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the domain registry is full at {} entries", self.entries_max)
    }
}

impl std::error::Error for RegistryFull {}

/// A domain registry in memory. It forgets with the process.
///
/// An entry is live until its `expires` (seconds since it was last written; an hour if it names
/// none) have passed, then disconnected, and forgotten a day later.
#[derive(Debug)]
pub struct MemoryRegistry {
    entries: HashMap<Url, Stored>,
    by_user: HashMap<String, BTreeSet<Url>>,
    /// When each entry disconnects, or, if it has, is forgotten.
    deadlines: BTreeSet<(Instant, Url)>,
    entries_max: usize,
}

#[derive(Debug)]
struct Stored {
    members: Object,
    live: bool,
    deadline: Instant,
}

impl MemoryRegistry {
    /// An empty registry of at most `entries_max` entries.
    pub fn new(entries_max: usize) -> Self {
        MemoryRegistry {
            entries: HashMap::new(),
            by_user: HashMap::new(),
            deadlines: BTreeSet::new(),
            entries_max,
        }
    }

    fn put(&mut self, url: Url, members: Object, now: Instant) {
        self.delete(&url);
        let live = status(&members) != Some("disconnected");
        let keep = if live { lifetime(&members) } else { limits::REGISTRY_DISCONNECTED_KEEP };
        let deadline = now + keep;
        if let Some(user) = text(&members, "user") {
            self.by_user.entry(user.to_owned()).or_default().insert(url.clone());
        }
        self.deadlines.insert((deadline, url.clone()));
        self.entries.insert(url, Stored { members, live, deadline });
    }

    fn found(&self, url: &Url) -> Option<Found> {
        let stored = self.entries.get(url)?;
        let entry = RegistryEntry { url: url.clone(), members: stored.members.clone() };
        Some(Found { entry, live: stored.live })
    }
}

impl Default for MemoryRegistry {
    fn default() -> Self {
        MemoryRegistry::new(limits::REGISTRY_ENTRIES_MAX)
    }
}

impl DomainRegistry for MemoryRegistry {
    fn create(&mut self, entry: RegistryEntry, now: Instant) -> Result<(), RegistryFull> {
        self.handle_timeout(now);
        if self.entries.len() >= self.entries_max && !self.entries.contains_key(&entry.url) {
            return Err(RegistryFull { entries_max: self.entries_max });
        }
        self.put(entry.url, entry.members, now);
        Ok(())
    }

    fn read(&mut self, url: &Url, now: Instant) -> Option<Found> {
        self.handle_timeout(now);
        self.found(url)
    }

    fn search(&mut self, criteria: &Criteria, now: Instant) -> Vec<Found> {
        self.handle_timeout(now);
        let (urls, entries) = (self.by_user.get(&criteria.user), &self.entries);
        let of_state = |wanted: bool| {
            urls.into_iter().flatten().filter(move |url| {
                let stored = entries.get(*url);
                stored.is_some_and(|s| s.live == wanted && criteria.are_met_by(&s.members))
            })
        };
        let urls = of_state(true).chain(of_state(false)).take(limits::REGISTRY_FOUND_MAX);
        urls.filter_map(|url| self.found(url)).collect()
    }

    fn update(&mut self, url: &Url, members: Object, now: Instant) -> bool {
        self.handle_timeout(now);
        let Some(stored) = self.entries.get(url) else { return false };
        let mut merged = stored.members.clone();
        if !stored.live && status(&members).is_none() {
            merged.insert("status".to_owned(), "live".into());
        }
        overwrite(&mut merged, members);
        self.put(url.clone(), merged, now);
        true
    }

    fn delete(&mut self, url: &Url) -> bool {
        let Some(stored) = self.entries.remove(url) else { return false };
        self.deadlines.remove(&(stored.deadline, url.clone()));
        if let Some(user) = text(&stored.members, "user")
            && let Some(urls) = self.by_user.get_mut(user)
        {
            urls.remove(url);
            if urls.is_empty() {
                self.by_user.remove(user);
            }
        }
        true
    }

    fn disconnect(&mut self, url: &Url, now: Instant) {
        let Some(stored) = self.entries.get(url).filter(|stored| stored.live) else { return };
        let mut members = stored.members.clone();
        members.insert("status".to_owned(), "disconnected".into());
        self.put(url.clone(), members, now);
    }

    fn handle_timeout(&mut self, now: Instant) {
        while let Some((deadline, url)) = self.deadlines.first().cloned() {
            if deadline > now {
                return;
            }
            match self.entries.get(&url) {
                Some(stored) if stored.live => self.disconnect(&url, deadline),
                _ => {
                    self.delete(&url);
                }
            }
        }
    }

    fn poll_timeout(&self) -> Option<Instant> {
        self.deadlines.first().map(|(deadline, _)| *deadline)
    }

    fn len(&self) -> usize {
        self.entries.len()
    }
}

impl Criteria {
    /// True if `members` has every data scheme and every resource asked for.
    pub fn are_met_by(&self, members: &Object) -> bool {
        let has_all = |name, wanted: &[String]| {
            let has = members.get(name).and_then(|value| value.as_array());
            let is_in = |text: &String| {
                has.is_some_and(|has| has.iter().any(|one| one.as_str() == Some(text)))
            };
            wanted.iter().all(is_in)
        };
        has_all("dataSchemes", &self.data_schemes) && has_all("resources", &self.resources)
    }
}

/// Puts `members` over those of an entry, whose `url` stays what it is.
pub(super) fn overwrite(entry: &mut Object, members: Object) {
    for (name, value) in members.into_iter().filter(|(name, _)| name != "url") {
        entry.insert(name, value);
    }
}

/// How long an entry stays live: its `expires` in seconds, within the bound.
fn lifetime(members: &Object) -> Duration {
    let seconds = members.get("expires").and_then(OwnedValue::cast_f64);
    let wanted = seconds.and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
    wanted.map_or(limits::REGISTRY_EXPIRES_DEFAULT, |d| d.min(limits::REGISTRY_EXPIRES_MAX))
}

fn status(members: &Object) -> Option<&str> {
    text(members, "status")
}

fn text<'a>(members: &'a Object, name: &str) -> Option<&'a str> {
    members.get(name)?.as_str()
}
