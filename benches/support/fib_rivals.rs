//! What the table is measured against: how else one would find the longest prefix that ends at a `/`.
//!
//! Each keeps one target a prefix and no subscriptions, so each does less than ours. All are handed addresses
//! that were checked before, followed by one more `/`, which only the trie of bytes has a use for.

use std::{collections::BTreeMap, ops::Bound};

use hyperty_router::slab::Target;

/// A way to keep prefixes and to find the longest that covers an address.
pub(crate) trait Rival: Default {
    const NAME: &'static str;
    /// What a reader holds for a batch of look-ups.
    type Pinned<'a>
    where
        Self: 'a;

    fn insert(&mut self, slashed: &str, target: Target);

    fn pin(&self) -> Self::Pinned<'_>;

    fn longest(pinned: &Self::Pinned<'_>, slashed: &str) -> Option<Target>;
}

/// A hash map with a key of its own for each prefix, asked for the address and for what is left of it at each
/// `/`.
pub(crate) type Hashbrown = hashbrown::HashMap<Box<str>, Target, ahash::RandomState>;

impl Rival for Hashbrown {
    const NAME: &'static str = "hashbrown+ahash";
    type Pinned<'a> = &'a Hashbrown;

    fn insert(&mut self, slashed: &str, target: Target) {
        self.insert(bare(slashed).into(), target);
    }

    fn pin(&self) -> &Self {
        self
    }

    #[inline]
    fn longest(map: &&Self, slashed: &str) -> Option<Target> {
        cut(bare(slashed), |prefix| map.get(prefix).copied())
    }
}

/// The same way in a map whose readers take no lock.
pub(crate) type Papaya = papaya::HashMap<Box<str>, Target, ahash::RandomState>;

impl Rival for Papaya {
    const NAME: &'static str = "papaya";
    type Pinned<'a> =
        papaya::HashMapRef<'a, Box<str>, Target, ahash::RandomState, papaya::LocalGuard<'a>>;

    fn insert(&mut self, slashed: &str, target: Target) {
        papaya::HashMap::pin(self).insert(bare(slashed).into(), target);
    }

    fn pin(&self) -> Self::Pinned<'_> {
        papaya::HashMap::pin(self)
    }

    #[inline]
    fn longest(map: &Self::Pinned<'_>, slashed: &str) -> Option<Target> {
        cut(bare(slashed), |prefix| map.get(prefix).copied())
    }
}

/// A radix trie of bytes. Its keys end with `/`, so that a prefix ends at a segment.
pub(crate) type RadixTrie = fast_radix_trie::StringRadixMap<Target>;

impl Rival for RadixTrie {
    const NAME: &'static str = "fast_radix_trie";
    type Pinned<'a> = &'a RadixTrie;

    fn insert(&mut self, slashed: &str, target: Target) {
        self.insert(slashed, target);
    }

    fn pin(&self) -> &Self {
        self
    }

    #[inline]
    fn longest(trie: &&Self, slashed: &str) -> Option<Target> {
        trie.get_longest_common_prefix(slashed).map(|(_, target)| *target)
    }
}

/// The standard library's ordered map: the last key up to the address, and if that is no prefix of it, the
/// last up to what both begin with.
pub(crate) type Ordered = BTreeMap<Box<str>, Target>;

impl Rival for Ordered {
    const NAME: &'static str = "BTreeMap range";
    type Pinned<'a> = &'a Ordered;

    fn insert(&mut self, slashed: &str, target: Target) {
        self.insert(bare(slashed).into(), target);
    }

    fn pin(&self) -> &Self {
        self
    }

    fn longest(map: &&Self, slashed: &str) -> Option<Target> {
        let mut prefix = bare(slashed);
        loop {
            let up_to = (Bound::Unbounded, Bound::Included(prefix));
            let (key, target) = map.range::<str, _>(up_to).next_back()?;
            let common = key.bytes().zip(prefix.bytes()).take_while(|(a, b)| a == b).count();
            let ends_a_segment = common == prefix.len() || prefix.as_bytes()[common] == b'/';
            if common == key.len() && ends_a_segment {
                return Some(*target);
            }
            let common = if ends_a_segment { common } else { prefix[..common].rfind('/')? };
            prefix = &prefix[..common];
        }
    }
}

/// A router of URL paths. Each prefix is two routes: itself, and all that is below it.
pub(crate) type Matchit = matchit::Router<Target>;

impl Rival for Matchit {
    const NAME: &'static str = "matchit";
    type Pinned<'a> = &'a Matchit;

    fn insert(&mut self, slashed: &str, target: Target) {
        self.insert(bare(slashed), target).expect("no name twice");
        self.insert(format!("{slashed}{{*below}}"), target).expect("no name twice");
    }

    fn pin(&self) -> &Self {
        self
    }

    fn longest(router: &&Self, slashed: &str) -> Option<Target> {
        router.at(bare(slashed)).ok().map(|found| *found.value)
    }
}

fn bare(slashed: &str) -> &str {
    &slashed[..slashed.len() - 1]
}

/// Asks for `to`, and then for what stands before each `/` of its path, from the last on.
#[inline]
pub(crate) fn cut(to: &str, look_up: impl Fn(&str) -> Option<Target>) -> Option<Target> {
    let mut prefix = to;
    loop {
        if let Some(target) = look_up(prefix) {
            return Some(target);
        }
        let at = prefix.rfind('/')?;
        if prefix[..at].ends_with('/') {
            return None;
        }
        prefix = &prefix[..at];
    }
}
